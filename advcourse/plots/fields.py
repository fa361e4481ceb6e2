"""Maps over an image: a number or an arrow for each pixel."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from advcourse.core.inputs import InputError, check_range
from advcourse.plots.images import answers, image_axes
from advcourse.plots.style import (
    DPI,
    FOOLED,
    STYLE,
    Numbers,
    as_numbers,
    check_mapping,
    frame,
    rgb_pictures,
    same_length,
)
from advcourse.plots.texts import PlainFigure


def signed_maps(maps: Mapping[str, Numbers], unit: str, marks: Sequence[tuple[int, int]] = ()) -> Figure:
    """Draw maps of numbers side by side, each with its own scale: below 0 dark, 0 mid-grey, above 0 bright.

    Args:
        maps: name -> (H, W), a number for each pixel.
        unit: unit of the numbers, shown at the scales.
        marks: (row, column) of pixels that get a ring in every map (default none).

    Returns:
        the figure.

    Raises:
        InputError: there are no maps, or a map does not have shape (H, W).
    """
    check_mapping(maps, "maps")
    with rc_context(STYLE):
        figure = PlainFigure(figsize=(2.5 * len(maps), 2.9), dpi=DPI, layout="constrained")
        axes = np.atleast_1d(figure.subplots(1, len(maps)))
    for axis, (name, values) in zip(axes, maps.items(), strict=True):
        values = as_numbers(values, f"maps[{name!r}]")
        if values.ndim != 2:
            raise InputError(f"maps[{name!r}]: got shape {values.shape}; allowed is (H, W)")
        largest = np.abs(values).max(initial=0) or 1
        drawn = axis.imshow(values, cmap="cividis", vmin=-largest, vmax=largest, interpolation="nearest")
        axis.set(title=name, xticks=[], yticks=[])
        for row, column in marks:
            axis.plot(column, row, "o", markersize=7, markerfacecolor="none", markeredgecolor="white")
            axis.plot(column, row, "o", markersize=9, markerfacecolor="none", markeredgecolor="black")
        scale = figure.colorbar(drawn, ax=axis, location="bottom", shrink=0.85, pad=0.03)
        scale.set_label(unit, fontsize=8)
        scale.ax.tick_params(labelsize=7)
        scale.ax.locator_params(nbins=4)
    return figure


def bent(
    clean: Numbers,
    flow: Numbers,
    images: Numbers,
    before: Numbers,
    after: Numbers,
    *,
    classes: Sequence[str] | None = None,
    success: Numbers | None = None,
    shortest: float = 0.25,
) -> Figure:
    """Draw two rows: clean images with the arrows of a flow, and the resulting images, with the model's answers above.

    An arrow points from the place where a pixel's value comes from to the place where it is now, and is drawn at twice its
    length.

    Args:
        clean, images: (N, 1 or 3, H, W), float in [0, 1], before and after.
        flow: (N, 2, H, W), in pixels: where each pixel takes its value from, relative to its own place, to the right and down.
        before, after: the model's logits (N, K) for these images.
        classes: names of the K classes (default None: their numbers).
        success: (N,) bool, which images get a frame (default None: those whose label changed).
        shortest: arrows shorter than this are left out, in pixels (default 0.25).

    Returns:
        the figure.

    Raises:
        InputError: the shapes do not fit, or pixels are out of range.
    """
    shown, changed = rgb_pictures(clean, "clean"), rgb_pictures(images, "images")
    same_length(changed, shown, "images", "clean")
    arrows = as_numbers(flow, "flow")
    if arrows.shape != (len(shown), 2, *shown.shape[1:3]):
        allowed = (len(shown), 2, *shown.shape[1:3])
        raise InputError(f"flow: got shape {arrows.shape}; allowed is {allowed}")
    check_range(shortest, "shortest", 0)
    (labels, titles), (new_labels, new_titles) = answers(before, classes), answers(after, classes)
    success = labels != new_labels if success is None else as_numbers(success, "success")
    figure, axes = image_axes([titles, new_titles], left=0.3)
    figure.set_size_inches(1.3 * figure.get_size_inches())  # arrows of one pixel need room
    for name, row, pictures in zip(("clean, with the flow", "bent"), axes, (shown, changed), strict=True):
        row[0].set_ylabel(name)
        for axis, picture in zip(row, pictures, strict=True):
            axis.imshow(picture, interpolation="nearest")
    rows, columns = np.indices(shown.shape[1:3])
    for axis, (du, dv) in zip(axes[0], arrows, strict=True):
        at = np.hypot(du, dv) >= shortest
        way = (columns + du)[at], (rows + dv)[at], -du[at], -dv[at]
        style = {"angles": "xy", "scale_units": "xy", "scale": 0.5, "width": 0.009, "minlength": 0.2}
        axis.quiver(*way, color=FOOLED, headwidth=3.2, headlength=3, headaxislength=3, **style)
    for axis, framed in zip(axes[1], success, strict=True):
        frame(axis, bool(framed))
    return figure
