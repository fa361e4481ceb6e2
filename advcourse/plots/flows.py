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
from advcourse.plots.texts import PlainFigure, inches

_SIDE, _WAY, _MARGIN = 1.15, 0.42, 0.12  # inches: a stage at least, the arrow to the next one, around all
_ABOVE, _BELOW, _PAD = 0.3, 0.62, 0.1
_BOX, _ROW = 0.76, 0.34  # the height of a net's box at least, and of a bar with its gap


@dataclass(frozen=True)
class Tile:
    """An image as a stage of a flow: (1 or 3, H, W), float in [0, 1], and its name; framed if it fools the model."""

    image: Numbers
    name: str = ""
    framed: bool = False

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in inches."""
        return _SIDE, _SIDE

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

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in inches: those of the text, if it is large."""
        width, height = inches(self.text, 10)
        return max(_SIDE, width + 2 * _PAD), max(_BOX, height + 2 * _PAD)

    def draw(self, axis: Axes, x: float, y: float) -> None:
        """Draw it around (x, y)."""
        width, height = self.size
        style = {
            "boxstyle": "round,pad=0,rounding_size=0.12",
            "facecolor": "#CFE3F1",
            "edgecolor": "black",
            "linewidth": 1.5,
        }
        axis.add_patch(FancyBboxPatch((x - width / 2, y - height / 2), width, height, **style))
        axis.text(x, y, self.text, ha="center", va="center", fontsize=10)


@dataclass(frozen=True)
class Gate:
    """A detector as a stage of a flow: what it asks stands in a diamond; images that it flags leave downwards."""

    text: str
    name: str = ""
    flagged: str = "flagged"

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in inches: of a diamond as high as three times its text, and so wide that the text stays inside."""
        width, height = inches(self.text, 10)
        tall = max(0.85 * _SIDE, 3 * height)
        return max(_SIDE, inches(self.flagged, 10)[0], (width + _PAD) / (1 - height / tall)), tall

    def draw(self, axis: Axes, x: float, y: float) -> None:
        """Draw it around (x, y)."""
        width, height = self.size
        corners = np.array([(-width, 0), (0, height), (width, 0), (0, -height)]) / 2 + (x, y)
        axis.add_patch(Polygon(corners, facecolor="#F9E3B8", edgecolor="black", linewidth=1.5))
        axis.text(x, y, self.text, ha="center", va="center", fontsize=10)
        end = y - max(_SIDE, height) / 2 - 0.3
        _arrow(axis, (x, y - height / 2), (x, end))
        axis.text(x, end - 0.04, self.flagged, ha="center", va="top", fontsize=10, color="0.2")


@dataclass(frozen=True)
class Mind:
    """A model's answer as a stage of a flow: bars of its three most probable classes. `logits` are K numbers."""

    logits: Numbers
    classes: Sequence[str]
    name: str = ""

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in inches: a bar is as wide as the longest name with its share beside it."""
        words = [inches(name, 9)[0] + inches(share, 9)[0] + 2 * _PAD for name, share, _ in self._rows()]
        return max(_SIDE, *words), 3 * _ROW

    def _rows(self):
        """Return name, share in words, and share of the three most probable classes."""
        logits = as_numbers(self.logits, "logits").astype(float).ravel()
        answers(logits[None], self.classes)  # checks the number of names
        odds = np.exp(logits - logits.max())
        shares = odds / odds.sum()
        return [
            (str(self.classes[k]), percent(shares[k]), shares[k])
            for k in np.argsort(-shares, kind="stable")[:3]
        ]

    def draw(self, axis: Axes, x: float, y: float) -> None:
        """Draw it around (x, y)."""
        width = self.size[0]
        left = x - width / 2
        for row, (name, words, share) in enumerate(self._rows()):
            at = y + _ROW * (1 - row)
            axis.barh(at, width, 0.28, left, color="0.93", zorder=2)
            axis.barh(
                at, width * share, 0.28, left, color=COLOURS[5], edgecolor="0.4", linewidth=0.5, zorder=3
            )
            style = {"va": "center", "fontsize": 9, "zorder": 4}
            axis.text(left + 0.05, at, name, **style)
            axis.text(left + width - 0.04, at, words, ha="right", **style)


Stage = Tile | Net | Gate | Mind


def flow(*stages: Stage) -> Figure:
    """Draw stages from left to right, joined by arrows, each with its name above; a box is as large as its text.

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
    with rc_context(STYLE):
        widths = [max(stage.size[0], inches(stage.name, 10, "bold")[0]) for stage in stages]
        side = max(_SIDE, *(stage.size[1] for stage in stages))
        above = _ABOVE + max(0, *(inches(stage.name, 10, "bold")[1] - 0.2 for stage in stages))
        width, height = sum(widths) + _WAY * (len(stages) - 1) + 2 * _MARGIN, above + side + below
        figure = PlainFigure(figsize=(width, height), dpi=DPI)
        axis = figure.add_axes((0, 0, 1, 1))
        axis.axis("off")
        left, end, y = _MARGIN, 0.0, below + side / 2
        for i, (stage, wide) in enumerate(zip(stages, widths, strict=True)):
            x, half = left + wide / 2, stage.size[0] / 2
            stage.draw(axis, x, y)
            style = {"ha": "center", "va": "bottom", "fontsize": 10, "fontweight": "bold"}
            axis.text(x, y + side / 2 + 0.07, stage.name, **style)
            if i:
                _arrow(axis, (end + 0.03, y), (x - half - 0.05, y))
            left, end = left + wide + _WAY, x + half
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
