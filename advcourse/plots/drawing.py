"""A world of two pixels, drawn: areas or level lines, the box of all images, balls, arrows and the steps of an attack."""

from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from advcourse.core.inputs import InputError, check_range
from advcourse.plots import parts
from advcourse.plots.labels import HALO, ink, place
from advcourse.plots.maps import deepest
from advcourse.plots.parts import World
from advcourse.plots.style import COLOURS, DPI, STYLE, Numbers, as_numbers
from advcourse.plots.texts import PlainFigure

Norm = Literal["Linf", "L2", "L1"]

_SIDE = 3.7  # inches
_BESIDE, _UNDER = 0.76, 0.5  # inches for the axes' names and numbers
_SCALE = 0.95  # inches for the scale of a loss


class Plane:
    """A drawing of a world of two pixels. Each method adds a part and returns the plane, so that calls can be chained.

    A world is a function of points, a float64 tensor (N, 2): it returns losses (N,) for `levels`, or logits (N, K) for
    `regions` and `boundary`.

    Args:
        xlabel, ylabel: names of the axes (default "pixel 1" and "pixel 2", with what 0 and 1 mean).
        view: left, right, bottom and top end of the axes (default -0.12 to 1.12, some more than the box of all images).

    Example:
        plane = Plane().levels(loss).box().ball(x, 0.2)
        plane.point(x, "x").arrow(x, gradient, "gradient").path([x, x + 0.2 * sign], "FGSM")
        show(plane.figure(), plane.alt())

    Raises:
        InputError: `view` has no area.
    """

    def __init__(
        self,
        xlabel: str = "pixel 1 (0 black, 1 white)",
        ylabel: str = "pixel 2 (0 black, 1 white)",
        view: Sequence[float] = (-0.12, 1.12, -0.12, 1.12),
    ):
        self.xlabel, self.ylabel = xlabel, ylabel
        self.view = tuple(float(value) for value in view)
        if len(self.view) != 4 or not (self.view[0] < self.view[1] and self.view[2] < self.view[3]):
            raise InputError(f"view: got {view!r}; allowed are left < right and bottom < top")
        self._parts: list = []

    # What is below

    def regions(self, world: World, classes: Sequence[str]) -> Self:
        """Tint and name the areas of the classes, and draw the boundary between them.

        Args:
            world: points (N, 2) -> logits (N, K).
            classes: the K names.

        Raises:
            InputError: the world does not answer with K >= 2 logits, or there are fewer names.
        """
        across, up, logits = parts.on_grid(world, self.view)
        if logits.ndim != 3 or not 2 <= logits.shape[-1] <= len(classes):
            raise InputError(
                f"world: got {logits.shape[2:]} numbers a point; allowed are 2 to {len(classes)} logits"
            )
        return self._add(parts.Areas(across, up, logits, tuple(classes)))

    def levels(self, world: World, name: str = "loss", lines: int = 10) -> Self:
        """Draw level lines of a loss, darker where it is higher, with a scale beside.

        Args:
            world: points (N, 2) -> losses (N,).
            name: what the scale is called (default "loss").
            lines: about how many lines, 2 to 40 (default 10).

        Raises:
            InputError: the world does not answer with one number a point.
        """
        across, up, loss = parts.on_grid(world, self.view)
        if loss.ndim != 2:
            raise InputError(f"world: got {loss.shape[2:]} numbers a point; allowed is one, the loss")
        return self._add(
            parts.LevelLines(across, up, loss, name, check_range(lines, "lines", 2, 40, integer=True))
        )

    def boundary(self, world: World, name: str) -> Self:
        """Draw the boundary of another model as a coloured line, named: world gives logits (N, 2)."""
        across, up, logits = parts.on_grid(world, self.view)
        if logits.shape[2:] != (2,):
            raise InputError(f"world: got {logits.shape[2:]} numbers a point; allowed are 2 logits")
        number = sum(isinstance(part, parts.Boundary) for part in self._parts)
        return self._add(parts.Boundary(across, up, logits[..., 0] - logits[..., 1], name, number))

    def box(self) -> Self:
        """Draw the box of all images, [0, 1] on both axes, and hatch what is outside."""
        return self._add(parts.Box(self.view))

    # What is on it

    def ball(self, centre: Numbers, eps: float, norm: Norm = "Linf", name: str | None = None) -> Self:
        """Draw all points at distance at most `eps` from `centre`: a square (Linf), a circle (L2) or a diamond (L1).

        Args:
            centre: the two pixels of the image.
            eps: the budget, in the unit of the pixels, above 0.
            norm: "Linf" (default), "L2" or "L1".
            name: written beside it (default: "L∞ ball, eps = 0.2", as it may be; "" for none).
        """
        name = f"{norm.replace('inf', '∞')} ball, eps = {eps:g}" if name is None else name
        return self._add(_a_ball(centre, eps, norm, name))

    def point(
        self, at: Numbers, name: str = "", kind: Literal["image", "best", "dot"] = "image", tile: bool = False
    ) -> Self:
        """Mark a place: an "image" (circle, default), the "best" one (star), or a "dot".

        Args:
            at: the two pixels.
            name: written beside it (default none).
            kind: how it is marked.
            tile: True to draw the image too, two squares of these greys (default False).
        """
        if kind not in ("image", "best", "dot"):
            raise InputError(f"kind: got {kind!r}; allowed are 'image', 'best' and 'dot'")
        return self._add(parts.Point(_a_place(at, "at"), name, kind, tile))

    def arrow(self, start: Numbers, way: Numbers, name: str = "", colour: str = COLOURS[2]) -> Self:
        """Draw an arrow from `start` along `way`, such as a gradient; scale `way` yourself so that it fits."""
        start, way = _a_place(start, "start"), _a_place(way, "way")
        return self._add(parts.Arrow(start, (start[0] + way[0], start[1] + way[1]), name, colour))

    def path(self, points: Numbers, name: str = "", free: Numbers | None = None) -> Self:
        """Draw the steps of an attack, joined; each path has its own colour, dash and marker.

        Args:
            points: (T + 1, 2), from the first place to the last.
            name: written at its end (default none).
            free: (T, 2), where each step would have ended without projection; the way there and back is dotted (default None).

        Raises:
            InputError: there are fewer than two points, or `free` does not fit.
        """
        steps = as_numbers(points, "points").astype(float)
        if steps.ndim != 2 or steps.shape[1] != 2 or len(steps) < 2:
            raise InputError(f"points: got shape {steps.shape}; allowed is (T + 1, 2), T >= 1")
        out = None if free is None else as_numbers(free, "free").astype(float)
        if out is not None and out.shape != (len(steps) - 1, 2):
            raise InputError(
                f"free: got shape {out.shape}; allowed is {(len(steps) - 1, 2)}, one place for each step"
            )
        number = sum(isinstance(part, parts.Path) for part in self._parts)
        return self._add(parts.Path(steps, name, out, number))

    # What comes out

    def figure(self) -> Figure:
        """Return the drawing as a matplotlib figure."""
        figure, _ = self.drawn()
        return figure

    def alt(self) -> str:
        """Return alternative text that lists what is drawn, with its places."""
        axes = f"A plane, {self.xlabel} to the right and {self.ylabel} upwards."
        return " ".join([axes, *(part.in_words() for part in self._parts)])

    def drawn(self, walked: bool = True) -> tuple[Figure, Axes]:
        """Return the figure and its axes. With `walked=False` (default True) the paths are left out, but not their names."""
        figure, axis = self._empty()
        paths = []
        for part in self._parts:
            before = {*axis.get_children()}
            part.draw(axis)
            if isinstance(part, parts.Path):
                paths += [artist for artist in axis.get_children() if artist not in before]
        place(axis, [label for part in self._parts if hasattr(part, "labels") for label in part.labels()])
        for part in self._parts:
            if isinstance(part, parts.Areas):
                self._name_areas(axis, part)
        if not walked:
            for artist in paths:
                artist.remove()
        return figure, axis

    @property
    def paths(self) -> list[parts.Path]:
        """The paths that were added, in this order."""
        return [part for part in self._parts if isinstance(part, parts.Path)]

    def _add(self, part):
        self._parts.append(part)
        return self

    def _name_areas(self, axis, areas):
        """Write the name of each class where its area is widest and nothing else is drawn."""
        left, right, bottom, top = self.view
        free = np.ones(areas.logits.shape[:2], dtype=bool)
        to_cells = axis.transData.inverted()
        size = (right - left, top - bottom)
        cells = (to_cells.transform(ink(axis)) - (left, bottom)) / size * len(free)
        across, up = np.clip(cells.astype(int), 0, len(free) - 1).T
        free[up, across] = False
        for text in axis.texts:
            box = to_cells.transform(text.get_window_extent())
            (x0, y0), (x1, y1) = np.clip((box - (left, bottom)) / size * len(free), 0, None).astype(int)
            free[y0 : y1 + 1, x0 : x1 + 1] = False
        if any(isinstance(part, parts.Box) for part in self._parts):
            places = np.stack(np.meshgrid(areas.across, areas.up), -1)
            free &= ((places > 0) & (places < 1)).all(-1)
        answer = areas.logits.argmax(-1)
        for k in np.unique(answer):
            area = (answer == k) & free
            if area.mean() > 0.01:  # smaller areas have no room for the name
                column, row = deepest(area)
                style = {
                    "ha": "center",
                    "va": "center",
                    "fontsize": 12,
                    "fontweight": "bold",
                    "color": "0.25",
                }
                axis.text(areas.across[column], areas.up[row], areas.classes[k], path_effects=HALO, **style)

    def _empty(self):
        left, right, bottom, top = self.view
        beside = _SCALE if any(isinstance(part, parts.LevelLines) for part in self._parts) else 0.12
        high = _SIDE * (top - bottom) / (right - left)
        width, height = _BESIDE + _SIDE + beside, _UNDER + high + 0.12
        with rc_context(STYLE):
            figure = PlainFigure(figsize=(width, height), dpi=DPI)
            axis = figure.add_axes((_BESIDE / width, _UNDER / height, _SIDE / width, high / height))
        axis.set(xlim=(left, right), ylim=(bottom, top), xlabel=self.xlabel, ylabel=self.ylabel)
        axis.set_autoscale_on(False)
        axis.tick_params(labelsize=9)
        for name in (axis.xaxis.label, axis.yaxis.label):
            name.set_fontsize(10)
        axis.locator_params(nbins=5)
        return figure, axis


def highest(loss: World, centre: Numbers, eps: float, norm: Norm = "Linf") -> np.ndarray:
    """Return the point (2,) of the ball around `centre`, among images, at which a loss is highest.

    It is found by trial on a fine grid of the ball, its corners and edges included, so it needs no gradient.

    Args:
        loss: points (N, 2) -> losses (N,).
        centre: the two pixels of the image.
        eps: the budget, in the unit of the pixels, above 0.
        norm: "Linf" (default), "L2" or "L1".

    Raises:
        InputError: the budget, the norm or the centre is wrong.
    """
    points = _a_ball(centre, eps, norm, "").points()
    return points[parts.ask(loss, points).argmax()]


def _a_ball(centre, eps, norm, name):
    check_range(eps, "eps", 0, exclusive_low=True)
    if norm not in ("Linf", "L2", "L1"):
        raise InputError(f"norm: got {norm!r}; allowed are 'Linf', 'L2' and 'L1'")
    return parts.Ball(_a_place(centre, "centre"), float(eps), norm, name)


def _a_place(values, name):
    numbers = as_numbers(values, name).astype(float).ravel()
    if len(numbers) != 2 or not np.isfinite(numbers).all():
        raise InputError(f"{name}: got {values!r}; allowed are two numbers, one for each pixel")
    return float(numbers[0]), float(numbers[1])
