"""Large pictures, such as a page or a photograph of it, with many pixels for each inch."""

from collections.abc import Mapping

from matplotlib import rc_context
from matplotlib.figure import Figure

from advcourse.core.inputs import InputError, check_range
from advcourse.plots.style import DPI, STYLE, Numbers, as_numbers, check_mapping
from advcourse.plots.texts import PlainFigure

_GAP, _ABOVE = 0.12, 0.3  # inches


def large(pictures: Mapping[str, Numbers], height: float = 6.0) -> Figure:
    """Draw pictures of one height side by side, each with its name above; small pixels are averaged.

    Args:
        pictures: name -> (H, W, 3), float in [0, 1]; the sides may differ from one to the next.
        height: of each, in inches, 1 to 12 (default 6).

    Returns:
        the figure.

    Raises:
        InputError: there are no pictures, or one has another shape.
    """
    check_mapping(pictures, "pictures")
    check_range(height, "height", 1, 12)
    shown = {name: as_numbers(picture, f"pictures[{name!r}]") for name, picture in pictures.items()}
    for name, picture in shown.items():
        if picture.ndim != 3 or picture.shape[2] != 3:
            raise InputError(f"pictures[{name!r}]: got shape {picture.shape}; allowed is (H, W, 3)")
    widths = [height * picture.shape[1] / picture.shape[0] for picture in shown.values()]
    across, down = sum(widths) + _GAP * (len(widths) + 1), height + _ABOVE + _GAP
    with rc_context(STYLE):
        figure = PlainFigure(figsize=(across, down), dpi=DPI)
        left = _GAP
        for (name, picture), width in zip(shown.items(), widths, strict=True):
            box = (left / across, _GAP / down, width / across, height / down)
            axis = figure.add_axes(box, xticks=[], yticks=[])
            axis.imshow(picture.clip(0, 1), interpolation="antialiased", aspect="auto")
            for spine in axis.spines.values():
                spine.set(visible=True, color="0.6", linewidth=0.8)
            axis.set_title(name, y=1)
            left += width + _GAP
    return figure
