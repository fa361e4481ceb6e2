"""The parts of a drawing on a plane: each knows how it is drawn, what it is called, and how it is said in words."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import FancyArrowPatch, PathPatch, Rectangle
from matplotlib.path import Path as Outline
from matplotlib.ticker import MaxNLocator

from advcourse.core.inputs import InputError
from advcourse.plots.labels import FAINT, Label
from advcourse.plots.style import COLOURS, DASHES, MARKERS

World = Callable[[torch.Tensor], torch.Tensor]  # points (N, 2) -> losses (N,) or logits (N, K)

ROWS = 121  # points of the grid on which a world is asked, on each side
TINTS = ("#CFE3F1", "#F3BE92", "#C9E8DD", "#F0D9E6", "#F9E3B8")  # of the areas: light, and of unequal grey
LOSS = LinearSegmentedColormap.from_list("loss", ["#FFFFFF", "#9CBFD8"])
MOVES = tuple(COLOURS[i] for i in (1, 0, 2, 9, 3))  # of the paths: vermilion, blue, green, violet, pink

Place = tuple[float, float]


def words(at: Place) -> str:
    """Return a place in words, "(0.2, 0.35)"."""
    return f"({at[0]:.3g}, {at[1]:.3g})"


def ask(world: World, points: np.ndarray) -> np.ndarray:
    """Return what a world answers for points (N, 2): (N,) or (N, K), checked."""
    with torch.no_grad():
        answer = world(torch.as_tensor(points, dtype=torch.float64))
    if not isinstance(answer, torch.Tensor) or answer.ndim not in (1, 2) or len(answer) != len(points):
        got = tuple(answer.shape) if isinstance(answer, torch.Tensor) else type(answer).__name__
        raise InputError(
            f"world: got {got} for points of shape {points.shape}; allowed is a tensor (N,), or logits (N, K)"
        )
    return answer.double().numpy()


def on_grid(
    world: World, view: tuple[float, float, float, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the coordinates of a grid over `view` (left, right, bottom, top), and the answers (ROWS, ROWS, ...)."""
    across, up = np.linspace(*view[:2], ROWS), np.linspace(*view[2:], ROWS)
    points = np.stack(np.meshgrid(across, up), -1).reshape(-1, 2)
    answer = ask(world, points)
    return across, up, answer.reshape(ROWS, ROWS, *answer.shape[1:])


def leads(logits: np.ndarray) -> list[np.ndarray]:
    """Return for each class by how much its logit exceeds the largest of the others, above 0 where it is the answer."""
    others = (np.delete(logits, k, -1).max(-1) for k in range(logits.shape[-1]))
    return [logits[..., k] - other for k, other in enumerate(others)]


@dataclass(frozen=True)
class Areas:
    """The areas of the classes, tinted and named, with the boundary between them."""

    across: np.ndarray
    up: np.ndarray
    logits: np.ndarray
    classes: tuple[str, ...]

    def draw(self, axis: Axes) -> None:
        for k, lead in enumerate(leads(self.logits)):
            style = {"colors": [TINTS[k % len(TINTS)]], "zorder": 0}
            axis.contourf(self.across, self.up, lead, [0, max(lead.max(), 0) + 1], **style).set_gid(FAINT)
            if lead.min() < 0 < lead.max():
                axis.contour(self.across, self.up, lead, [0], colors="0.15", linewidths=1.8, zorder=1)

    def in_words(self) -> str:
        present = [self.classes[k] for k in np.unique(self.logits.argmax(-1))]
        return f"Areas of the classes: {', '.join(present)}."


@dataclass(frozen=True)
class LevelLines:
    """A loss: darker where it is higher, with level lines."""

    across: np.ndarray
    up: np.ndarray
    loss: np.ndarray
    name: str
    lines: int

    def draw(self, axis: Axes) -> None:
        steps = MaxNLocator(self.lines).tick_values(self.loss.min(), self.loss.max())
        drawn = axis.contourf(self.across, self.up, self.loss, steps, cmap=LOSS, zorder=0, antialiased=False)
        style = {"colors": "0.6", "linewidths": 0.7, "zorder": 1, "linestyles": "-"}
        lines = axis.contour(self.across, self.up, self.loss, steps, **style)
        for collection in (drawn, lines):
            collection.set_gid(FAINT)
        scale = axis.figure.colorbar(drawn, cax=axis.inset_axes((1.03, 0, 0.04, 1)))
        scale.set_label(self.name, fontsize=10)
        scale.ax.tick_params(labelsize=9)
        scale.ax.locator_params(nbins=5)
        scale.outline.set_linewidth(0.5)

    def in_words(self) -> str:
        low, high = self.loss.min(), self.loss.max()
        return f"Level lines of the {self.name}, from {low:.2g} to {high:.2g}, darker where it is higher."


@dataclass(frozen=True)
class Boundary:
    """The boundary of another model, as a line alone."""

    across: np.ndarray
    up: np.ndarray
    lead: np.ndarray
    name: str
    number: int

    def draw(self, axis: Axes) -> None:
        colour, dash = MOVES[self.number % len(MOVES)], DASHES[(1 + self.number) % len(DASHES)]
        style = {"colors": colour, "linewidths": 2, "linestyles": [dash], "zorder": 2}
        axis.contour(self.across, self.up, self.lead, [0], **style)

    def labels(self) -> list[Label]:
        rows, columns = np.nonzero(np.diff(np.sign(self.lead), axis=0))
        inside = (
            (rows > 0.12 * ROWS) & (rows < 0.85 * ROWS) & (columns > 0.12 * ROWS) & (columns < 0.85 * ROWS)
        )
        places = np.stack([self.across[columns[inside]], self.up[rows[inside]]], 1)[::-6]
        colour = MOVES[self.number % len(MOVES)]
        return [Label(self.name, tuple(map(tuple, places)), colour)] if len(places) else []

    def in_words(self) -> str:
        return f"{self.name}: a second boundary."


@dataclass(frozen=True)
class Box:
    """The square of all images, [0, 1] on each axis; what is outside is hatched."""

    view: tuple[float, float, float, float]

    def draw(self, axis: Axes) -> None:
        left, right, bottom, top = self.view
        corners = [(left, bottom), (right, bottom), (right, top), (left, top), (left, bottom)]
        hole = [(0, 0), (0, 1), (1, 1), (1, 0), (0, 0)]
        codes = [Outline.MOVETO, *[Outline.LINETO] * 3, Outline.CLOSEPOLY]
        outside = Outline(corners + hole, codes + codes)
        style = {"facecolor": (1, 1, 1, 0.6), "edgecolor": "0.8", "hatch": "///", "linewidth": 0, "zorder": 2}
        axis.add_patch(PathPatch(outside, gid=FAINT, **style))
        axis.add_patch(Rectangle((0, 0), 1, 1, fill=False, edgecolor="black", linewidth=1.4, zorder=2.5))

    def in_words(self) -> str:
        return "The box of all images, from 0 to 1 on both axes; what lies outside is hatched."


@dataclass(frozen=True)
class Ball:
    """All points at distance at most `eps` from the centre: a square (Linf), a circle (L2) or a diamond (L1)."""

    centre: Place
    eps: float
    norm: str
    name: str

    def outline(self) -> np.ndarray:
        """Return the corners (M, 2) of the outline; many for a circle."""
        if self.norm == "L2":
            angles = np.linspace(0, 2 * np.pi, 181)
            unit = np.stack([np.cos(angles), np.sin(angles)], 1)
        elif self.norm == "Linf":
            unit = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)])
        else:
            unit = np.array([(1, 0), (0, 1), (-1, 0), (0, -1), (1, 0)])
        return np.asarray(self.centre) + self.eps * unit

    def points(self, rows: int = 81) -> np.ndarray:
        """Return a grid of points (M, 2) of the ball that are images, corners and edges included."""
        steps = np.linspace(-1, 1, rows)
        unit = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)
        size = {"Linf": np.abs(unit).max(1), "L2": np.linalg.norm(unit, axis=1), "L1": np.abs(unit).sum(1)}[
            self.norm
        ]
        inside = np.asarray(self.centre) + self.eps * unit[size <= 1 + 1e-9]
        edge = self.outline()
        return np.clip(np.concatenate([inside, edge]), 0, 1) if self.norm == "Linf" else _images(inside, edge)

    def draw(self, axis: Axes) -> None:
        axis.fill(*self.outline().T, facecolor=(0, 0, 0, 0.06), edgecolor="black", linewidth=1.6, zorder=3)

    def labels(self) -> list[Label]:
        outline = self.outline()[:: 15 if self.norm == "L2" else 1]
        places = [*outline, *(outline[:-1] + outline[1:]) / 2]
        return [Label(self.name, tuple(map(tuple, places)))] if self.name else []

    def in_words(self) -> str:
        shape = {"Linf": "square", "L2": "circle", "L1": "diamond"}[self.norm]
        return f"The {self.norm.replace('inf', '∞')} ball of radius {self.eps:.3g} around {words(self.centre)}, a {shape}."


def _images(*parts):
    points = np.concatenate(parts)
    return points[((points >= 0) & (points <= 1)).all(1)]


@dataclass(frozen=True)
class Point:
    """A marked place with its name, and its image as a tile of two pixels where wanted."""

    at: Place
    name: str
    kind: str
    tile: bool

    def draw(self, axis: Axes) -> None:
        marker, size, face = {
            "image": ("o", 9, "white"),
            "best": ("*", 17, "#FFD23F"),
            "dot": ("o", 5, "black"),
        }[self.kind]
        axis.plot(*self.at, marker, color=face, markeredgecolor="black", markersize=size, zorder=7)
        if self.tile:
            draw_tile(axis, self.at)

    def labels(self) -> list[Label]:
        return [Label(self.name, (self.at,), bold=True)] if self.name else []

    def in_words(self) -> str:
        return f"{self.name or 'A point'} at {words(self.at)}."


def draw_tile(axis: Axes, at: Place) -> None:
    """Draw a two-pixel image under its place: two squares of the grey that the coordinates say, left pixel 1, right pixel 2."""
    left, right = axis.get_xlim()
    side = 0.05 * (right - left)
    down = -1 if at[1] - 2.6 * side > axis.get_ylim()[0] else 1
    corner = (
        at[0] - side,
        at[1] + (down * 1.1 - (0.5 if down > 0 else 1)) * side + (0.5 * side if down > 0 else 0),
    )
    for i, value in enumerate(np.clip(at, 0, 1)):
        style = {"facecolor": str(float(value)), "edgecolor": "black", "linewidth": 1, "zorder": 6.5}
        axis.add_patch(Rectangle((corner[0] + i * side, corner[1]), side, side, **style))


@dataclass(frozen=True)
class Arrow:
    """An arrow with its name, such as a gradient."""

    start: Place
    end: Place
    name: str
    colour: str

    def draw(self, axis: Axes) -> None:
        style = {
            "arrowstyle": "-|>",
            "mutation_scale": 16,
            "shrinkA": 0,
            "shrinkB": 0,
            "linewidth": 2.4,
            "zorder": 5,
        }
        axis.add_patch(FancyArrowPatch(self.start, self.end, color=self.colour, **style))

    def labels(self) -> list[Label]:
        places = (
            np.asarray(self.start) + part * np.subtract(self.end, self.start) for part in (1, 0.75, 0.5)
        )
        return [Label(self.name, tuple(map(tuple, places)), self.colour)] if self.name else []

    def in_words(self) -> str:
        return f"{self.name or 'An arrow'}: an arrow from {words(self.start)} to {words(self.end)}."


@dataclass(frozen=True)
class Path:
    """The steps of an attack; where a step was projected back, `free` says where it would have ended without."""

    points: np.ndarray
    name: str
    free: np.ndarray | None
    number: int

    @property
    def colour(self) -> str:
        return MOVES[self.number % len(MOVES)]

    @property
    def style(self) -> dict:
        dash, marker = DASHES[self.number % len(DASHES)], MARKERS[self.number % len(MARKERS)]
        return {"color": self.colour, "linestyle": dash, "marker": marker, "linewidth": 2.2, "zorder": 6}

    def draw(self, axis: Axes) -> None:
        size = 6 if len(self.points) <= 12 else 3
        axis.plot(*self.points.T, **self.style, markersize=size, markeredgecolor="white", markeredgewidth=0.6)
        if len(self.points) <= 12:
            for start, end in zip(self.points[:-1], self.points[1:], strict=True):
                if np.linalg.norm(end - start) > 1e-9:
                    self._head(axis, start, end)
        if self.free is not None:
            for start, out, end in zip(self.points[:-1], self.free, self.points[1:], strict=True):
                if np.abs(out - end).max() > 1e-9:
                    style = {"color": self.colour, "linewidth": 1.1, "zorder": 5}
                    axis.plot(*np.stack([start, out, end]).T, linestyle=":", **style)

    def _head(self, axis, start, end):
        middle = start + 0.62 * (end - start)
        style = {
            "arrowstyle": "-|>",
            "mutation_scale": 13,
            "shrinkA": 0,
            "shrinkB": 0,
            "linewidth": 0,
            "zorder": 6,
        }
        axis.add_patch(FancyArrowPatch(start + 0.5 * (end - start), middle, color=self.colour, **style))

    def labels(self) -> list[Label]:
        return [Label(self.name, (tuple(self.points[-1]),), self.colour, bold=True)] if self.name else []

    def in_words(self) -> str:
        steps = len(self.points) - 1
        way = f"from {words(self.points[0])} to {words(self.points[-1])}"
        return f"{self.name or 'A path'}: {steps} step{'s' * (steps != 1)} {way}."
