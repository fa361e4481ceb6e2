"""Schematics of a defended model: an image as a tile, networks, a detector as a gate, the answer as bars, joined by arrows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Polygon

from advcourse.core.inputs import InputError
from advcourse.core.rounding import percent
from advcourse.plots.images import answers
from advcourse.plots.style import COLOURS, DPI, FOOLED, STYLE, Numbers, as_numbers, rgb_pictures
from advcourse.plots.texts import PlainFigure

_SIDE, _WAY, _MARGIN = 1.15, 0.42, 0.12  # inches: a stage, the arrow to the next one, around all
_ABOVE, _BELOW = 0.3, 0.62


@dataclass(frozen=True)
class Tile:
    """An image as a stage of a flow: (1 or 3, H, W), float in [0, 1], and its name; framed if it fools the model."""

    image: Numbers
    name: str = ""
    framed: bool = False

    def draw(self, axis: Axes, x: float, y: float) -> None:
        """Draw it around (x, y)."""
        [picture] = rgb_pictures(
            [self.image] if not hasattr(self.image, "ndim") else self.image[None], "image"
        )
        half = _SIDE / 2
        axis.imshow(
            picture, extent=(x - half, x + half, y - half, y + half), interpolation="nearest", zorder=3
        )
        colour, width = (FOOLED, 4) if self.framed else ("black", 1.2)
        square = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * half + (x, y)
        axis.add_patch(Polygon(square, fill=False, edgecolor=colour, linewidth=width, zorder=4))


@dataclass(frozen=True)
class Net:
    """A network or any other computation as a stage of a flow, with the text inside; `name` stands above."""

    text: str
    name: str = ""

    def draw(self, axis: Axes, x: float, y: float) -> None:
        """Draw it around (x, y)."""
        half = _SIDE / 2
        style = {
            "boxstyle": "round,pad=0,rounding_size=0.12",
            "facecolor": "#CFE3F1",
            "edgecolor": "black",
            "linewidth": 1.5,
        }
        axis.add_patch(FancyBboxPatch((x - half, y - 0.38), _SIDE, 0.76, **style))
        axis.text(x, y, self.text, ha="center", va="center", fontsize=10)


@dataclass(frozen=True)
class Gate:
    """A detector as a stage of a flow: what it asks stands in a diamond; images that it flags leave downwards."""

    text: str
    name: str = ""
    flagged: str = "flagged"

    def draw(self, axis: Axes, x: float, y: float) -> None:
        """Draw it around (x, y)."""
        half = _SIDE / 2
        corners = np.array([(-1.0, 0), (0, 0.85), (1, 0), (0, -0.85)]) * half + (x, y)
        axis.add_patch(Polygon(corners, facecolor="#F9E3B8", edgecolor="black", linewidth=1.5))
        axis.text(x, y, self.text, ha="center", va="center", fontsize=10)
        _arrow(axis, (x, y - 0.85 * half), (x, y - half - 0.3))
        axis.text(x, y - half - 0.34, self.flagged, ha="center", va="top", fontsize=10, color="0.2")


@dataclass(frozen=True)
class Mind:
    """A model's answer as a stage of a flow: bars of its three most probable classes. `logits` are K numbers."""

    logits: Numbers
    classes: Sequence[str]
    name: str = ""

    def draw(self, axis: Axes, x: float, y: float) -> None:
        """Draw it around (x, y)."""
        logits = as_numbers(self.logits, "logits").astype(float).ravel()
        answers(logits[None], self.classes)  # checks the number of names
        odds = np.exp(logits - logits.max())
        shares = odds / odds.sum()
        for row, k in enumerate(np.argsort(-shares, kind="stable")[:3]):
            at, left = y + 0.34 * (1 - row), x - _SIDE / 2
            axis.barh(at, _SIDE, 0.28, left, color="0.93", zorder=2)
            axis.barh(
                at, _SIDE * shares[k], 0.28, left, color=COLOURS[5], edgecolor="0.4", linewidth=0.5, zorder=3
            )
            style = {"va": "center", "fontsize": 9, "zorder": 4}
            axis.text(left + 0.05, at, str(self.classes[k])[:9], **style)
            axis.text(left + _SIDE - 0.04, at, percent(shares[k]), ha="right", **style)


Stage = Tile | Net | Gate | Mind


def flow(*stages: Stage) -> Figure:
    """Draw stages from left to right, joined by arrows, each with its name above.

    Args:
        stages: `Tile`, `Net`, `Gate` and `Mind`, 1 to 7 of them.

    Returns:
        the figure.

    Raises:
        InputError: there are no stages or too many, or one is something else.

    Example:
        flow(Tile(x[0], "image"), Gate("LID", "detector"), Net("network"), Mind(logits[0], classes, "answer"))
    """
    if not 1 <= len(stages) <= 7 or not all(isinstance(stage, Stage) for stage in stages):
        given = [type(stage).__name__ for stage in stages]
        raise InputError(f"stages: got {given}; allowed are 1 to 7 of Tile, Net, Gate and Mind")
    below = _BELOW if any(isinstance(stage, Gate) for stage in stages) else _MARGIN
    width = len(stages) * (_SIDE + _WAY) - _WAY + 2 * _MARGIN
    height = _ABOVE + _SIDE + below
    with rc_context(STYLE):
        figure = PlainFigure(figsize=(width, height), dpi=DPI)
        axis = figure.add_axes((0, 0, 1, 1))
    axis.axis("off")
    y = below + _SIDE / 2
    for i, stage in enumerate(stages):
        x = _MARGIN + _SIDE / 2 + i * (_SIDE + _WAY)
        stage.draw(axis, x, y)
        axis.text(
            x, y + _SIDE / 2 + 0.07, stage.name, ha="center", va="bottom", fontsize=10, fontweight="bold"
        )
        if i:
            _arrow(axis, (x - _SIDE / 2 - _WAY + 0.03, y), (x - _SIDE / 2 - 0.05, y))
    axis.set(xlim=(0, width), ylim=(0, height), aspect="auto")
    return figure


def _arrow(axis, start, end):
    style = {
        "arrowstyle": "-|>",
        "mutation_scale": 14,
        "shrinkA": 0,
        "shrinkB": 0,
        "linewidth": 1.8,
        "color": "black",
    }
    axis.add_patch(FancyArrowPatch(start, end, **style))
