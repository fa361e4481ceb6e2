"""Games as films: what several players see, side by side, over the moments of the game."""

import base64
from collections.abc import Mapping, Sequence
from io import BytesIO

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from advcourse.core.inputs import InputError, check_range
from advcourse.plots.moving import MovingPicture
from advcourse.plots.style import (
    DPI,
    FOOLED,
    STYLE,
    Numbers,
    as_numbers,
    check_alt,
    check_mapping,
    page_width,
    webp,
)
from advcourse.plots.texts import PlainFigure
from advcourse.plots.vector import svg

_SIDE, _GAP, _EDGE = 1.9, 0.3, 0.12  # inches: a picture, between two, around all
_TOP, _STRIP, _UNDER = (
    0.32,
    0.16,
    0.52,
)  # above the pictures, the moments, and from the lower end to the pictures
_POINTS = 72
_REST = 2.0  # seconds at the end
_MOST = 4


def film(
    views: Mapping[str, Numbers],
    alt: str,
    marks: Mapping[str, Numbers],
    ends: Mapping[str, str],
    *,
    seconds: float = 0.4,
    still: int = -1,
) -> MovingPicture:
    """Show what several players see, side by side, moment by moment; below each a strip with a square for each moment.

    Args:
        views: name -> (T, H, W), grey pictures in [0, 1], as many moments for each; 1 to 4 players.
        alt: a text of at least three words that describes the film, its marks and its ends.
        marks: name -> bool (M,), M <= T: which squares of the strip are filled, such as the moments at which a move was changed.
        ends: name -> what is written below once the film is over.
        seconds: how long a moment lasts, 0.1 to 3 (default 0.4).
        still: the moment that the still picture shows, -T to T - 1 (default -1, the last one).

    Returns:
        a `MovingPicture`.

    Raises:
        InputError: the parts do not fit together, or values lie outside [0, 1].
    """
    check_alt(alt)
    check_range(seconds, "seconds", 0.1, 3)
    pictures = _checked(views, marks, ends)
    flags = {name: as_numbers(marks[name], "marks").astype(bool) for name in pictures}
    moments = len(next(iter(pictures.values())))
    moment = check_range(still, "still", -moments, moments - 1, integer=True)
    shown = _drawn(pictures, flags, ends, moment)
    ground = _drawn(pictures, flags, ends, None)
    whole = moments * seconds + _REST
    share = 100 * (moments - 1) * seconds / whole  # the end of the last step
    parts = "".join(
        _reel(i, frames, len(flags[name]), ground) for i, (name, frames) in enumerate(pictures.items())
    )
    rules = (
        f"<style>.f{{animation:film {whole:g}s infinite;image-rendering:pixelated}}"
        f"@keyframes film{{0%{{transform:none;animation-timing-function:steps({moments - 1})}}"
        f"{share:.2f}%,to{{transform:var(--end)}}}}"
        f".e{{animation:end {whole:g}s step-end infinite}}@keyframes end{{0%{{opacity:1}}{share:.2f}%,to{{opacity:0}}}}</style>"
    )
    moving = svg(ground).replace("</svg>", f"{rules}{parts}</svg>")
    return MovingPicture(moving, webp(shown, colours=128), alt, page_width(shown))


def _checked(views, marks, ends):
    check_mapping(views, "views")
    if len(views) > _MOST:
        raise InputError(f"views: got {len(views)} players; allowed are 1 to {_MOST}")
    for other, name in ((marks, "marks"), (ends, "ends")):
        if not isinstance(other, Mapping) or {*other} != {*views}:
            raise InputError(f"{name}: got other players than views has; allowed are {sorted(views)}")
    pictures = {name: as_numbers(frames, f"views[{name!r}]") for name, frames in views.items()}
    shapes = {frames.shape for frames in pictures.values()}
    [shape, *others] = sorted(shapes)
    if others or len(shape) != 3 or shape[0] < 2 or not min(shape):
        raise InputError(f"views: got shapes {sorted(shapes)}; allowed is one shape (T, H, W), T >= 2")
    if not all(((frames >= 0) & (frames <= 1)).all() for frames in pictures.values()):
        raise InputError("views: got values outside [0, 1]; allowed are grey pictures")
    for name in views:
        flags = as_numbers(marks[name], f"marks[{name!r}]")
        if flags.ndim != 1 or not 1 <= len(flags) <= shape[0]:
            raise InputError(f"marks: got shape {flags.shape}; allowed is (M,), M from 1 to {shape[0]}")
    return pictures


def _boxes(count: int) -> list[tuple[float, float, float, float]]:
    """The place of each picture: left, bottom, width and height, in inches."""
    return [(_EDGE + i * (_SIDE + _GAP), _UNDER, _SIDE, _SIDE) for i in range(count)]


def _drawn(pictures, marks, ends, moment) -> Figure:
    """Draw names and strips, and what is written at the end; and the pictures of a moment, unless it is None."""
    width, height = len(pictures) * (_SIDE + _GAP) - _GAP + 2 * _EDGE, _UNDER + _SIDE + _TOP
    with rc_context(STYLE):
        figure = PlainFigure(figsize=(width, height), dpi=DPI)
        axis = figure.add_axes((0, 0, 1, 1))
    axis.set(xlim=(0, width), ylim=(0, height))
    axis.axis("off")
    for (name, frames), (x, y, side, _) in zip(pictures.items(), _boxes(len(pictures)), strict=True):
        axis.text(
            x + side / 2, y + side + 0.07, name, ha="center", va="bottom", fontsize=10, fontweight="bold"
        )
        axis.text(x + side / 2, 0.04, ends[name], ha="center", va="bottom", fontsize=10)
        if moment is not None:
            axis.imshow(
                frames[moment],
                cmap="gray",
                vmin=0,
                vmax=1,
                extent=(x, x + side, y, y + side),
                interpolation="nearest",
                zorder=1,
            )
        axis.add_patch(Rectangle((x, y), side, side, fill=False, edgecolor="0.4", linewidth=1, zorder=3))
        _strip(axis, x, y - _STRIP - 0.06, marks[name])
    axis.set(xlim=(0, width), ylim=(0, height), aspect="auto")
    return figure


def _strip(axis, x, y, flags: Sequence[bool]) -> None:
    step = _SIDE / len(flags)
    for i, flag in enumerate(flags):
        colour = FOOLED if flag else "white"
        axis.add_patch(
            Rectangle((x + i * step, y), step, 0.1, facecolor=colour, edgecolor="0.3", linewidth=0.7)
        )


def _reel(number: int, frames: np.ndarray, squares: int, figure: Figure) -> str:
    """Return SVG: one player's pictures below each other, of which a window shows one; a hand on the strip; a veil on the end."""
    x, y, side, _ = (_POINTS * value for value in _boxes(number + 1)[number])
    high = _POINTS * figure.get_figheight()
    moments, rows, columns = frames.shape
    reel = Image.fromarray(np.round(255 * frames.reshape(-1, columns)).astype(np.uint8))
    reel = reel.quantize(16) if len(np.unique(np.asarray(reel))) <= 16 else reel
    file = BytesIO()
    reel.save(file, "PNG", optimize=True)
    data = base64.b64encode(file.getvalue()).decode()
    way = side * (moments - 1) / squares
    strip = high - y + _POINTS * 0.06
    return (
        f'<svg x="{x:.2f}" y="{high - y - side:.2f}" width="{side:.2f}" height="{side:.2f}" viewBox="0 0 {columns} {rows}" '
        f'preserveAspectRatio="none"><image class="f" style="--end:translateY(-{rows * (moments - 1)}px)" width="{columns}" '
        f'height="{rows * moments}" preserveAspectRatio="none" href="data:image/png;base64,{data}"/></svg>'
        f'<path class="f" style="--end:translateX({way:.2f}px)" d="M{x:.2f} {strip:.2f}v11.5" stroke="#000" stroke-width="2.5"/>'
        f'<rect class="e" x="{x:.2f}" y="{high - _POINTS * 0.26:.2f}" width="{side:.2f}" height="{_POINTS * 0.26:.2f}" '
        f'fill="#fff" opacity="0"/>'
    )
