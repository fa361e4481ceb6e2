"""Worked examples of a few pixels: rows of tiles with their numbers, and the cube of three pixels with its corners."""

from collections.abc import Collection, Mapping, Sequence
from itertools import product

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from advcourse.core.inputs import InputError, check_range
from advcourse.plots.labels import Label, place
from advcourse.plots.style import COLOURS, DPI, STYLE, Numbers, as_numbers, check_mapping
from advcourse.plots.texts import PlainFigure, letters_across

_TILE, _GAP, _LETTER = 0.62, 0.14, 0.095  # inches
_VIEW = np.array([(1.0, -0.16), (0.0, 1.0), (0.52, 0.36)])  # a step along each side of a cube, on the page


def napkin(
    rows: Mapping[str, Numbers], signed: Collection[str] = (), results: Mapping[str, str] | None = None
) -> Figure:
    """Draw a calculation with a few pixels: a row of tiles for each step, its name on the left, the numbers in the tiles.

    A row of pixels shows each as its grey, 0 black and 1 white. A signed row, such as a gradient or a change, uses the colours
    of all changes in this course: below 0 dark blue, 0 grey, above 0 yellow; and its numbers bear their sign.

    Args:
        rows: name -> the numbers of the pixels, the same number of them in each row.
        signed: names of the rows that are no pixels but may be negative (default none).
        results: name -> text at the right end of its row, such as "loss 0.31" (default none).

    Returns:
        the figure.

    Raises:
        InputError: there are no rows, they differ in length, a pixel is outside [0, 1], or a name is none of the rows.
    """
    check_mapping(rows, "rows")
    table = {
        name: as_numbers(values, f"rows[{name!r}]").astype(float).ravel() for name, values in rows.items()
    }
    results = results or {}
    if unknown := ({*signed} | {*results}) - {*table}:
        raise InputError(f"signed, results: got {sorted(unknown)}; allowed are names of rows, {list(table)}")
    widths = {len(values) for values in table.values()}
    if len(widths) != 1 or 0 in widths:
        raise InputError(f"rows: got rows of {sorted(widths)} numbers; allowed is one length, at least 1")
    for name, values in table.items():
        if name not in signed and not ((values >= 0) & (values <= 1)).all():
            raise InputError(
                f"rows[{name!r}]: got {values}; allowed are pixels in [0, 1], or name the row in `signed`"
            )
    [columns] = widths
    left = 0.2 + _LETTER * max(letters_across(name) for name in table)
    right = 0.15 + _LETTER * max((letters_across(text) for text in results.values()), default=0)
    width, height = left + columns * _TILE + right, len(table) * (_TILE + _GAP) + _GAP
    with rc_context(STYLE):
        figure = PlainFigure(figsize=(width, height), dpi=DPI)
        axis = figure.add_axes((0, 0, 1, 1))
    axis.set(xlim=(0, width), ylim=(height, 0))
    axis.axis("off")
    for row, (name, values) in enumerate(table.items()):
        top = _GAP + row * (_TILE + _GAP)
        axis.text(left - 0.12, top + _TILE / 2, name, ha="right", va="center", fontsize=11)
        axis.text(
            left + columns * _TILE + 0.12, top + _TILE / 2, results.get(name, ""), va="center", fontsize=11
        )
        largest = np.abs(values).max() or 1
        for column, value in enumerate(values):
            _draw_tile(axis, left + column * _TILE, top, value, largest if name in signed else None)
    return figure


def _draw_tile(axis, x, y, value, largest):
    """Draw one number on its colour: a grey, or if `largest` is given, that of a change."""
    colour = (value,) * 3 if largest is None else colormaps["cividis"](0.5 + 0.5 * value / largest)[:3]
    axis.add_patch(Rectangle((x, y), _TILE, _TILE, facecolor=colour, edgecolor="black", linewidth=1.2))
    ink = "black" if np.dot(colour, (0.299, 0.587, 0.114)) > 0.45 else "white"
    style = {"ha": "center", "va": "center", "fontsize": 11, "color": ink}
    written = f"{value:.3g}" if largest is None else _with_sign(value)
    axis.text(x + _TILE / 2, y + _TILE / 2, written, **style)


def _with_sign(value):
    return f"{value:+.3g}".replace("-", "−") if value else "0"


def cube(
    centre: Numbers, gradient: Numbers, eps: float, names: Sequence[str] = ("pixel 1", "pixel 2", "pixel 3")
) -> Figure:
    """Draw the L∞ ball of three pixels: a cube with eight corners, at each how much a linear loss grows up to there.

    The loss at a corner is that of a straight line, gradient times change; the best corner has a star, and the gradient is an
    arrow from the centre.

    Args:
        centre: the three pixels of the image.
        gradient: the loss's three slopes.
        eps: half of the cube's side, in the unit of the pixels.
        names: names of the three directions.

    Returns:
        the figure.

    Raises:
        InputError: there are not three numbers, or `eps` is not above 0.
    """
    x, g = (
        as_numbers(values, name).astype(float).ravel()
        for values, name in ((centre, "centre"), (gradient, "gradient"))
    )
    if len(x) != 3 or len(g) != 3 or len(names) != 3:
        raise InputError(
            f"centre, gradient, names: got {len(x)}, {len(g)} and {len(names)}; allowed are 3 each"
        )
    check_range(eps, "eps", 0, exclusive_low=True)
    corners = np.array(list(product((-1, 1), repeat=3)))
    with rc_context(STYLE):
        figure = PlainFigure(figsize=(4.8, 4.0), dpi=DPI)
        axis = figure.add_axes((0, 0, 1, 1))
    axis.set(xlim=(-2.16, 2.16), ylim=(-1.8, 1.8))
    axis.axis("off")
    _draw_edges(axis, corners)
    labels = _draw_corners(axis, corners, np.round(eps * corners @ g, 12) + 0.0)
    axis.plot(0, 0, "o", color="black", markersize=6)
    way = tuple(g / (np.abs(g).max() or 1) * 0.75 @ _VIEW)
    axis.annotate("", way, (0, 0), arrowprops={"arrowstyle": "-|>", "color": COLOURS[2], "lw": 2.4})
    labels += [Label("gradient", (way,), COLOURS[2]), Label("x", ((0.0, 0.0),), bold=True)]
    place(axis, labels, size=11)
    _name_directions(axis, names)
    return figure


def _draw_edges(axis, corners):
    """Draw the twelve edges of the cube; the three at the corner behind all others are dotted."""
    for start in corners:
        for way in np.eye(3):
            if start @ way < 0:
                ends = np.array([start, start + 2 * way])
                hidden = (ends == (-1, -1, 1)).all(1).any()
                style = {"color": "black", "linewidth": 1.8}
                if hidden:
                    style = {"linestyle": ":", "color": "0.5", "linewidth": 1.3}
                axis.plot(*(ends @ _VIEW).T, **style, zorder=1)


def _draw_corners(axis, corners, growth):
    """Draw the corners, the best with a star; return a `Label` for each, by how much the loss grows up to there."""
    labels = []
    for corner, grows in zip(corners, growth, strict=True):
        best, at = bool(np.isclose(grows, growth.max())), corner @ _VIEW
        marker, size, colour = ("*", 20, "#FFD23F") if best else ("o", 7, "white")
        axis.plot(*at, marker, color=colour, markeredgecolor="black", markersize=size, zorder=5)
        labels.append(Label(_with_sign(grows), (tuple(at),), bold=best))
    return labels


def _name_directions(axis, names):
    """Write the names of the three directions along an edge of each."""
    edges = (((0, -1, -1), (0, -0.3), 0), ((-1, 0, -1), (-0.28, 0), 90), ((1, -1, 0), (0.22, -0.16), 0))
    for name, (middle, shift, turn), way in zip(names, edges, _VIEW, strict=True):
        angle = turn or np.degrees(np.arctan2(way[1], way[0]))
        style = {"ha": "center", "va": "center", "rotation": angle, "rotation_mode": "anchor"}
        axis.text(*(np.array(middle) @ _VIEW + shift), f"{name} →", color="0.3", fontsize=10, **style)
