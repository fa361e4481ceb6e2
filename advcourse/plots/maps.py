"""The input space in two dimensions."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from advcourse.core.inputs import InputError, check_range
from advcourse.plots.style import COLOURS, MARKERS, OUTLINED, Numbers, as_numbers, new_chart


def slice2d(
    predictions: Numbers,
    radius: float,
    *,
    classes: Sequence[str] | None = None,
    xlabel: str | None = None,
    ylabel: str | None = None,
    points: Mapping[str, Numbers] | None = None,
    path: Numbers | None = None,
    circle: float | None = None,
) -> Figure:
    """Draw a plane through the input space: the model's label as coloured areas, and a cross for the image at its centre.

    Args:
        predictions: labels (n, n); row i, column j is the model's answer for x + a_j d1 + a_i d2, with a from -radius to
            radius. Row 0 is drawn at the bottom.
        radius: length of the steps at the edge, in the unit of d1 and d2.
        classes: names of the classes (default None: their numbers).
        xlabel, ylabel: names of the directions (default None: "along direction 1 (L2)" and "along direction 2 (L2)", for
            directions of length 1).
        points: name -> (a1, a2), points to mark and name in the picture (default None).
        path: pairs (a1, a2), which are joined by a line in this order (default None).
        circle: radius of a dotted circle around the image, which shows all points at that distance (default None).

    Returns:
        the figure.

    Raises:
        InputError: `predictions` does not have this shape, or a radius is out of range.
    """
    labels = as_numbers(predictions, "predictions").astype(int)
    if labels.ndim != 2 or min(labels.shape) < 2:
        raise InputError(f"predictions: got shape {labels.shape}; allowed is (n, n), n >= 2")
    check_range(radius, "radius", 0, exclusive_low=True)
    figure, axis = new_chart(4.4, 3.9)
    extent = (-radius, radius, -radius, radius)
    colours = np.array([to_rgb(colour) for colour in COLOURS])[labels % len(COLOURS)]
    axis.imshow(colours, extent=extent, origin="lower", interpolation="nearest")
    for label in np.unique(labels):
        area = labels == label
        if not area.all():
            axis.contour(area.astype(float), [0.5], colors="white", linewidths=1.2, extent=extent)
        if area.mean() > 0.004:  # smaller areas have no room for the name
            at = (2 * (deepest(area) + 0.5) / labels.shape[::-1] - 1) * radius
            name = str(label if classes is None else classes[label])
            axis.text(*at, name, ha="center", va="center", fontsize=9, fontweight="bold", **OUTLINED)
    if circle is not None:
        check_range(circle, "circle", 0)
        axis.add_patch(Circle((0, 0), circle, fill=False, linestyle=":"))
    if path is not None:
        steps = as_numbers(path, "path")
        axis.plot(steps[:, 0], steps[:, 1], "o-", color="white", markeredgecolor="black", markersize=4)
    for i, (name, at) in enumerate({"x": (0, 0), **(points or {})}.items()):
        at, marker = as_numbers(at, f"points[{name!r}]"), "X" if i == 0 else MARKERS[i % len(MARKERS)]
        axis.plot(*at, marker, color="white", markeredgecolor="black", markersize=8)
        place, side = ((6, 5), "left") if at[0] < radius / 2 else ((-6, 5), "right")  # inside the axes
        axis.annotate(name, at, place, textcoords="offset points", fontsize=8, ha=side, **OUTLINED)
    axis.set(xlim=extent[:2], ylim=extent[2:])
    axis.set_xlabel(xlabel or "along direction 1 (L2)")
    axis.set_ylabel(ylabel or "along direction 2 (L2)")
    return figure


def deepest(area: np.ndarray) -> np.ndarray:
    """Return [column, row] of the point of `area` (n, m), bool, that is farthest from its edge."""
    from scipy.ndimage import distance_transform_edt  # slow to import, and only needed here

    depth = distance_transform_edt(np.pad(area, 1))[1:-1, 1:-1]
    return np.array(np.unravel_index(depth.argmax(), area.shape))[::-1]
