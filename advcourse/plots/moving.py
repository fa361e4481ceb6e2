"""Motion: the paths on a plane, walked step by step, in a light picture that moves, with a still one beside it."""

import base64
import html
from dataclasses import dataclass

import numpy as np

from advcourse.core.inputs import InputError, check_flag, check_range
from advcourse.plots.drawing import Plane
from advcourse.plots.parts import Path
from advcourse.plots.style import check_alt, page_width, webp
from advcourse.plots.vector import on_page, svg

_STEP, _BACK, _PAUSE, _REST, _END = (
    0.45,
    0.3,
    0.12,
    0.6,
    2.2,
)  # seconds: a step, the way back, after a step, a path, at the end


class MovingPicture:
    """A picture that moves and a still one, for display in a notebook. `walk` creates it.

    The browser shows the moving one on a screen, unless the reader has asked for less motion; the still one in print, in
    previews, and wherever a page is cleaned of `<source>`. Readers whom it disturbs can fold it away.

    Args:
        moving: the text of an SVG with an animation.
        still: the bytes of a WebP, which shows the end.
        alt: the alternative text.
        width: width on the page, in CSS pixels.
    """

    def __init__(self, moving: str, still: bytes, alt: str, width: int):
        self.moving, self.still, self.alt, self.width = moving, still, alt, width

    def __repr__(self):
        return self.alt

    def _repr_html_(self):
        moving, still = (base64.b64encode(part).decode() for part in (self.moving.encode(), self.still))
        return (
            "<details open><summary>A moving picture (close it to stop it)</summary><picture>"
            '<source media="screen and (prefers-reduced-motion: no-preference)" type="image/svg+xml" '
            f'srcset="data:image/svg+xml;base64,{moving}">'
            f'<img alt="{html.escape(self.alt)}" width="{self.width}" src="data:image/webp;base64,{still}">'
            "</picture></details>"
        )


def walk(plane: Plane, alt: str, together: bool = False, slow: float = 1) -> MovingPicture:
    """Let a marker walk along the paths of a plane; where a step was projected (`free`), it goes out and comes back.

    Args:
        plane: a plane with at least one path.
        alt: a text of at least three words that describes the picture and its motion.
        together: True to walk all paths at the same time (default False: one after the other).
        slow: how many times longer it takes, 0.2 to 5 (default 1: a step takes about half a second).

    Returns:
        a `MovingPicture`, which starts anew after it has shown the end for two seconds.

    Raises:
        InputError: the plane has no path, or `alt` is not such a text.
    """
    check_alt(alt)
    check_flag(together, "together")
    check_range(slow, "slow", 0.2, 5)
    if not plane.paths:
        raise InputError("plane: got a plane without a path; allowed is one to which path(…) has added some")
    figure, _ = plane.drawn(walked=False)
    ground = svg(figure)
    walks, start = [], 0.3
    for path in plane.paths:
        walks.append(_legs(path, figure, 0.3 if together else start))
        start = walks[-1][-1].end + _REST
    whole = max(legs[-1].end for legs in walks) + _END
    drawn = "".join(
        _walker(path, legs, whole, f"w{i}")
        for i, (path, legs) in enumerate(zip(plane.paths, walks, strict=True))
    )
    style = f"<style>*{{animation:{whole * slow:.2f}s linear infinite}}"
    moving = ground.replace("</svg>", f"{drawn}</svg>").replace("<defs>", f"{style}</style><defs>", 1)
    return MovingPicture(moving, webp(plane.figure(), colours=256), alt, page_width(figure))


@dataclass(frozen=True)
class _Leg:
    """A straight line from one place of the SVG to another, drawn between two times in seconds.

    `step` tells a step as it counts (thick) from the way out of the ball and back (thin); `walked` whether the marker goes there.
    """

    start: tuple[float, float]
    stop: tuple[float, float]
    begin: float
    end: float
    step: bool = True
    walked: bool = True


def _legs(path: Path, figure, begin: float) -> list[_Leg]:
    """Return the legs of a path's walk: one for each step; where it was projected the way out, the step, and the way back."""
    legs = []
    outs = path.points[1:] if path.free is None else path.free
    for start, out, stop in zip(path.points[:-1], outs, path.points[1:], strict=True):
        inside = np.abs(out - stop).max() < 1e-9
        at = [on_page(figure, place) for place in (start, out, stop)]
        legs.append(_Leg(at[0], at[1], begin, begin + _STEP, step=inside))
        begin += _STEP + _PAUSE
        if not inside:
            legs.append(_Leg(at[0], at[2], begin, begin + _BACK, walked=False))
            legs.append(_Leg(at[1], at[2], begin, begin + _BACK, step=False))
            begin += _BACK + _PAUSE
    return legs


def _walker(path: Path, legs: list[_Leg], whole: float, name: str) -> str:
    """Return SVG: the lines of the legs, each drawn while the marker walks it, and the marker."""
    lines = "".join(_line(leg, whole, f"{name}l{i}", path.colour) for i, leg in enumerate(legs))
    stops = [(0, legs[0].start)]
    for leg in (leg for leg in legs if leg.walked):
        stops += [(leg.begin, leg.start), (leg.end, leg.stop)]
    stops.append((whole, legs[-1].stop))
    moves = "".join(f"{_share(time, whole)}{{transform:translate({x}px,{y}px)}}" for time, (x, y) in stops)
    last = legs[-1].stop
    return (
        f"<style>@keyframes {name}{{{moves}}}</style>{lines}"
        f'<g style="animation-name:{name};transform:translate({last[0]}px,{last[1]}px)">'
        f'<path d="{_MARKS[path.number % len(_MARKS)]}" fill="{path.colour}" stroke="#000" stroke-width="1"/></g>'
    )


def _line(leg, whole, name, colour):
    """Return a line that grows while the marker walks it; thick as a step, thin out of the ball and back."""
    (x1, y1), (x2, y2) = leg.start, leg.stop
    length = round(float(np.hypot(x2 - x1, y2 - y1)), 2) + 0.01
    begin, end = _share(leg.begin, whole), _share(leg.end, whole)
    width = 2.2 if leg.step else 1.1
    return (
        f"<style>@keyframes {name}{{0%,{begin}{{stroke-dashoffset:{length}}}{end},to{{stroke-dashoffset:0}}}}</style>"
        f'<path d="M{x1} {y1}L{x2} {y2}" stroke="{colour}" stroke-width="{width}" stroke-dasharray="{length} {length + 9}" '
        f'style="animation-name:{name}"/>'
    )


def _share(time, whole):
    return f"{100 * time / whole:.2f}%"


_MARKS = (  # the markers of the paths, around (0, 0): circle, square, triangle, diamond, triangle downwards
    "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0-10 0z",
    "M-4.6-4.6h9.2v9.2h-9.2z",
    "M0-6L5.6 4.4H-5.6z",
    "M0-6.4L6.4 0L0 6.4L-6.4 0z",
    "M0 6L5.6-4.4H-5.6z",
)
