"""What all figures share: colours, sizes, the axis of a chart, how a figure is shown, and checks of the input."""

import base64
import html
from collections.abc import Mapping, Sequence, Sized
from io import BytesIO

import numpy as np
import torch
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import ArrayLike
from PIL import Image

from advcourse.core.inputs import InputError, check_images
from advcourse.plots.labels import tidy
from advcourse.plots.texts import PlainFigure

Numbers = ArrayLike | torch.Tensor | Sequence[torch.Tensor]  # what `as_numbers` reads

DPI = 80
CRISP = 2  # pixels stored for each pixel of the page, for screens with twice as many
COLOURS = "#0072B2 #D55E00 #009E73 #CC79A7 #E69F00 #56B4E9 #000000 #7F7F7F #8C6D31 #5E3C99".split()
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))
HATCHES = ("", "//", "..", "xx", "\\\\", "oo", "++", "--")
FOOLED = "#D55E00"  # the frame of an image that fools the model
OUTLINED = {"color": "white", "path_effects": [withStroke(linewidth=2, foreground="black")]}
STYLE = {"font.size": 9, "axes.titlesize": 9, "axes.spines.top": False, "axes.spines.right": False}

_LARGE = 100_000  # bytes
_SHRINKS = 560  # CSS pixels: a figure up to this width can still be read when a phone shrinks it
_READABLE = 0.8  # a wider one is shrunk to this part of its width at most; beyond that, a phone scrolls it
_LOSSY = 80  # the quality of photographs
_UNKNOWN_TO_NUMPY = (torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2)


class AccessibleFigure:
    """A figure as WebP with its alternative text, for display in a notebook. `show` creates it.

    A notebook stores it once, as an HTML <img> with `alt`, and the alternative text as plain text. There is no image/png
    beside the HTML: JupyterLab, VS Code, nbconvert and previews made with it prefer HTML, so none of them would show it, and
    it would double the size of the output. Besides, JupyterLab and nbconvert drop the alternative text of an image/png. Where
    HTML can't be shown, as in a terminal or in LaTeX, the alternative text replaces the picture.

    Args:
        picture: the bytes of a WebP.
        alt: the alternative text.
        width: width on the page, in CSS pixels.
    """

    def __init__(self, picture: bytes, alt: str, width: int):
        self.picture, self.alt, self.width = picture, alt, width

    def __repr__(self):
        return self.alt

    def _repr_html_(self):
        source = f"data:image/webp;base64,{base64.b64encode(self.picture).decode()}"
        wide = f' style="min-width:{round(_READABLE * self.width)}px"' if self.width > _SHRINKS else ""
        return f'<img alt="{html.escape(self.alt)}" width="{self.width}"{wide} src="{source}">'


def show(figure: Figure, alt: str) -> AccessibleFigure:
    """Return the figure for display, as the last line of a cell or with IPython's `display`.

    Legends that a curve crosses, and names beside points that would collide, are moved first (`labels.tidy`).

    Args:
        figure: a matplotlib figure.
        alt: a text of at least three words that describes the figure for readers who cannot see it.

    Returns:
        an `AccessibleFigure`.

    Raises:
        InputError: `alt` is not such a text.
    """
    check_alt(alt)
    tidy(figure)
    return AccessibleFigure(webp(figure), alt, page_width(figure))


def check_alt(alt: object) -> None:
    """Raise `InputError` unless `alt` is a text of at least three words."""
    if not isinstance(alt, str) or len(alt.split()) < 3:
        raise InputError(
            f"alt: got {alt!r}; allowed is a text of three words or more that says what the figure shows"
        )


def page_width(figure: Figure) -> int:
    """Return the width of a figure on a page, in CSS pixels."""
    return int(figure.get_figwidth() * figure.dpi)


def webp(figure: Figure, colours: int | None = None) -> bytes:
    """Return the figure as the bytes of a WebP with twice the pixels that it takes on the page, so that it is sharp everywhere.

    It is lossless, and smaller than a PNG of half the resolution; only where it would be large, as for photographs, it is not.
    With `colours` (default None: all), at most so many are kept, 2 to 256, which suits drawings: those that lie farthest apart,
    so that a thin line keeps its own, each moved to the mean of the dots that it stands for.
    """
    dpi = figure.dpi
    figure.set_dpi(CRISP * dpi)
    picture = _drawn(figure)
    figure.set_dpi(dpi)
    if colours is not None:
        picture = picture.quantize(
            colours, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE
        ).convert("RGB")
    file = BytesIO()
    picture.save(file, "WEBP", lossless=True, method=4)
    if file.tell() > _LARGE:
        file = BytesIO()
        picture.save(file, "WEBP", quality=_LOSSY, method=6)
    return file.getvalue()


def png(figure: Figure, optimize: bool = True) -> bytes:
    """Return the figure as the bytes of an RGB PNG. With `optimize=False` (default True) it is faster, and the file larger."""
    file = BytesIO()
    _drawn(figure).save(file, "PNG", **({"optimize": True} if optimize else {"compress_level": 1}))
    return file.getvalue()


def _drawn(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3]))


def frame(axis: Axes, shown: bool) -> None:
    """Draw or remove the thick frame of an image that fools the model."""
    for spine in axis.spines.values():
        spine.set(visible=shown, color=FOOLED, linewidth=3)


def new_chart(width: float, height: float) -> tuple[Figure, Axes]:
    """Make a figure with a single axis; `width` and `height` are in inches."""
    with rc_context(STYLE):
        figure = PlainFigure(figsize=(width, height), dpi=DPI, layout="constrained")
        axis = figure.add_subplot()
    axis.tick_params(labelsize=8)
    return figure, axis


def as_numbers(values: Numbers, name: str) -> np.ndarray:
    """Convert numbers or tensors, or a list of them, to an array.

    Args:
        values: the numbers.
        name: what the error message calls them.

    Returns:
        an array of the same shape.

    Raises:
        InputError: the values are not numbers.
    """
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        return (values.float() if values.dtype in _UNKNOWN_TO_NUMPY else values).numpy()
    if isinstance(values, list | tuple):
        values = [as_numbers(part, name) if isinstance(part, torch.Tensor) else part for part in values]
    try:
        return np.asarray(values, dtype=None if isinstance(values, np.ndarray) else float)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: got {type(values).__name__}; allowed are numbers ({error})") from None


def rgb_pictures(images: Numbers, name: str) -> np.ndarray:
    """Convert a batch of images to RGB pictures, after checking it.

    Args:
        images: (N, 1 or 3, H, W), float in [0, 1], N >= 1.
        name: what the error message calls them.

    Returns:
        (N, H, W, 3), float in [0, 1].

    Raises:
        InputError: the images have another form.
    """
    batch = check_images(
        images if isinstance(images, torch.Tensor) else torch.as_tensor(as_numbers(images, name)), name
    )
    if batch.shape[1] not in (1, 3) or not len(batch):
        raise InputError(
            f"{name}: got shape {tuple(batch.shape)}; allowed are 1 or more images of 1 or 3 channels"
        )
    return batch.detach().cpu().float().expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy()


def same_length(values: Sized, others: Sized, name: str, other_name: str) -> None:
    """Raise `InputError` unless both have the same length. The names are for the message."""
    if len(values) != len(others):
        raise InputError(f"{name}: got {len(values)}; allowed are {len(others)}, as many as {other_name}")


def check_mapping(values: object, name: str) -> None:
    """Raise `InputError` unless `values` is a dictionary with at least one entry."""
    if not isinstance(values, Mapping) or not values:
        raise InputError(f"{name}: got {values!r}; allowed is a dictionary with at least one entry")
