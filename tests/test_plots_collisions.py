"""Texts that can't be read: found in figures that are made so, not in good ones, and mended where they stand beside a point."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from advcourse import plots
from advcourse.plots.collisions import collisions
from advcourse.plots.labels import tidy


def empty():
    """A figure with one axis from 0 to 1, 400 by 300 pixels, without numbers at its ends."""
    figure = Figure(figsize=(4, 3), dpi=100)
    axis = figure.add_axes((0.1, 0.1, 0.8, 0.8), xlim=(0, 1), ylim=(0, 1), xticks=[0.5], yticks=[0.5])
    axis.set_autoscale_on(False)
    return figure, axis


def overlapping(axis, draw):
    """Two texts of the same size, less than half a letter's height and two letters' width apart."""
    x, y = draw.uniform(0.25, 0.6, 2)
    (
        axis.text(x, y, "a first name"),
        axis.text(x + draw.uniform(-0.05, 0.05), y + draw.uniform(-0.02, 0.02), "another"),
    )


def out_of_the_figure(axis, draw):
    """A text that begins inside and is too long."""
    axis.text(draw.uniform(0.85, 0.95), draw.uniform(0.1, 0.9), "a name that is long")


def over_the_edge(axis, draw):
    """A text of which a part lies outside the axes, but inside the figure."""
    axis.text(draw.uniform(0.2, 0.8), draw.uniform(-0.02, -0.01), "name")


def on_a_line(axis, draw):
    """A line that runs through the middle of a text, level or steep."""
    x, y = draw.uniform(0.3, 0.7, 2)
    axis.text(x, y, "a name here", ha="center", va="center")
    slope = draw.uniform(-2, 2)
    axis.plot([x - 0.3, x + 0.3], [y - 0.3 * slope, y + 0.3 * slope], linewidth=1)


def on_a_marker(axis, draw):
    """A marker that lies in the middle of a text."""
    x, y = draw.uniform(0.3, 0.7, 2)
    axis.text(x, y, "a name here", ha="center", va="center")
    axis.plot(x + draw.uniform(-0.05, 0.05), y, "os^D"[draw.integers(4)])


def on_points(axis, draw):
    """The same, for a scatter."""
    x, y = draw.uniform(0.3, 0.7, 2)
    axis.text(x, y, "a name here", ha="center", va="center")
    axis.scatter([x], [y], 30)


def crowded_ticks(axis, draw):
    """Numbers at an axis that are too long for their distance."""
    places = np.linspace(0.3, 0.3 + draw.uniform(0.05, 0.2), 4)
    axis.set_xticks(places, [f"{place:.6f}" for place in places])


def crossed_legend(axis, draw):
    """A legend over a curve."""
    axis.plot([0, 1], [draw.uniform(0.89, 0.95)] * 2, label="a curve")
    axis.legend(loc="upper right")


BAD = (
    overlapping,
    out_of_the_figure,
    over_the_edge,
    on_a_line,
    on_a_marker,
    on_points,
    crowded_ticks,
    crossed_legend,
)


@pytest.mark.parametrize("kind", BAD)
def test_bad_figures_are_found(kind):
    """Against figures that are bad by construction, 25 of each kind: none may be missed."""
    draw = np.random.default_rng(0)
    missed = 0
    for _ in range(25):
        figure, axis = empty()
        kind(axis, draw)
        missed += not collisions(figure)
    assert missed == 0, f"{missed} of 25"


def test_good_figures_are_not_accused():
    """Against figures that are good by construction: a free text, lines above and below it, a halo over a faint line."""
    draw = np.random.default_rng(0)
    for _ in range(25):
        figure, axis = empty()
        x, y = draw.uniform(0.1, 0.6, 2)
        axis.text(x, y, "a name")
        axis.text(x, y - 0.08, "below")
        axis.plot([0, 1], [y + 0.09] * 2, label="a curve")
        axis.plot([0, 1], [y + 0.02] * 2, gid="faint")
        axis.bar([x], [y + 0.05], 0.5, color="0.9")
        assert collisions(figure) == []


@pytest.mark.parametrize("kind", [overlapping, over_the_edge, on_a_line, on_a_marker, on_points])
def test_names_beside_points_are_mended(kind):
    """Against the checker, for the same figures with names beside points instead of texts, 25 of each kind."""
    draw, left = np.random.default_rng(1), 0
    for _ in range(25):
        figure, axis = empty()
        kind(axis, draw)
        for text in [*axis.texts]:
            at, name = np.clip(text.get_position(), 0.01, 0.99), text.get_text()
            text.remove()
            axis.annotate(name, at, (3, 3), textcoords="offset points")
        tidy(figure)
        left += bool(collisions(figure))
    assert left <= 1, f"{left} of 25"


def test_names_in_free_places_stay():
    """Against their offsets before: what is good is not moved."""
    figure, axis = empty()
    text = axis.annotate("name", (0.5, 0.5), (7, 9), textcoords="offset points")
    axis.plot(0.5, 0.5, "o")
    tidy(figure)
    assert text.get_position() == (7, 9) and collisions(figure) == []


def test_the_makers_draw_good_figures():
    """Against the checker, for charts whose names and curves leave little room."""
    x = np.linspace(0, 0.4, 9)
    curves = {f"network {i}": (x, 1 / (1 + np.exp(20 * (x - 0.05 * i)))) for i in range(6)}
    figures = [
        plots.accuracy_against_eps(curves, chance=0.1),
        plots.bars(
            {f"attack {i}": {"digits": i / 9, "signs": 1.0} for i in range(9)}, "rate", percentages=True
        ),
        plots.slice2d(
            np.repeat([[0, 1]], 40, axis=0).repeat(20, axis=1),
            1,
            points={"FGSM": (0.1, 0.05), "PGD": (-0.9, 0.9)},
        ),
    ]
    for figure in figures:
        tidy(figure)
        assert collisions(figure) == []


def test_a_legend_on_a_curve_moves_beside_the_axes():
    """Against a legend that is put on a curve after the figure was made: shown, the figure is clear again."""
    x = np.linspace(0.01, 1, 200)
    figure = plots.lines({"one": (x, x), "two": (x, x**0.3), "three": (x, x**0.2)}, "x", "y")
    figure.axes[0].set_xscale("log")
    (legend,) = [axis.get_legend() for axis in figure.axes]
    legend.set_loc("center")  # where a curve passes
    assert "a line runs through the legend" in collisions(figure)
    plots.show(figure, "Three curves that rise on a logarithmic axis.")
    assert collisions(figure) == []
