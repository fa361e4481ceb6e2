"""Worlds of two and three pixels, and defended models, as they are drawn; and their alternative text."""

import numpy as np
import pytest
import torch
from matplotlib.patches import FancyBboxPatch, Polygon, Rectangle

from advcourse import plots
from advcourse.core.inputs import InputError
from advcourse.plots.collisions import collisions

SLOPES = torch.tensor([3.0, -1.0], dtype=torch.float64)
X = (0.4, 0.6)


def straight(points):
    """A loss whose gradient is the same everywhere: the best corner of a ball is known."""
    return points @ SLOPES


def halves(points):
    """Two classes, apart at pixel 1 = 0.7."""
    return torch.stack([0 * points[:, 0], points[:, 0] - 0.7], 1)


def full(name="x"):
    """A plane with one of each part."""
    plane = plots.Plane().regions(halves, ["cat", "dog"]).box().ball(X, 0.2).point(X, name, tile=True)
    return plane.arrow(X, (0.15, -0.05), "gradient").path([X, (0.6, 0.4)], "FGSM")


# The world


@pytest.mark.parametrize(
    "norm, best",
    [("Linf", (0.6, 0.4)), ("L1", (0.6, 0.6)), ("L2", (0.4 + 0.6 / 10**0.5, 0.6 - 0.2 / 10**0.5))],
)
def test_the_highest_loss_in_a_ball(norm, best):
    """By hand, for a linear loss: eps times the sign of the slopes, the steepest axis, or the slopes' direction."""
    assert np.allclose(plots.highest(straight, X, 0.2, norm), best, atol=0.004)


def test_the_highest_loss_is_at_an_image():
    """By hand: the ball sticks out of the box on the right, and the best pixel is 1."""
    assert np.allclose(plots.highest(straight, (0.95, 0.5), 0.2), (1, 0.3))


@pytest.mark.parametrize(
    "norm, corners",
    [
        ("Linf", {(0.2, 0.4), (0.6, 0.4), (0.6, 0.8), (0.2, 0.8)}),
        ("L1", {(0.6, 0.6), (0.4, 0.8), (0.2, 0.6), (0.4, 0.4)}),
    ],
)
def test_balls_have_their_corners(norm, corners):
    """Against the corners of the square and the diamond, by hand."""
    [ball] = [
        patch
        for patch in plots.Plane().ball(X, 0.2, norm).figure().axes[0].patches
        if isinstance(patch, Polygon)
    ]
    assert {tuple(np.round(corner, 6).tolist()) for corner in ball.get_xy()} == corners


def test_the_boundary_is_where_the_classes_meet():
    """Against the world's own boundary, pixel 1 = 0.7, in the line that is drawn."""
    figure = plots.Plane().regions(halves, ["cat", "dog"]).figure()
    lines = [c for c in figure.axes[0].collections if type(c).__name__ == "QuadContourSet" and not c.filled]
    points = np.concatenate([path.vertices for line in lines for path in line.get_paths()])
    assert len(points) and np.allclose(points[:, 0], 0.7, atol=1e-6)
    places = {text.get_text(): text.get_position()[0] for text in figure.axes[0].texts}
    assert places["cat"] < 0.7 < places["dog"]


def test_a_tile_has_the_greys_of_its_place():
    """Against the two coordinates: the left square is pixel 1, the right one pixel 2."""
    axis = plots.Plane().point(X, "x", tile=True).figure().axes[0]
    left, right = sorted(axis.patches, key=lambda patch: patch.get_x())
    assert left.get_facecolor()[0] == pytest.approx(0.4) and right.get_facecolor()[0] == pytest.approx(0.6)


def test_no_names_collide_wherever_the_point_lies():
    """Against the drawing itself: nothing overlaps, sticks out or lies on a line, for points all over the box."""
    for x in (0.15, 0.3, 0.62, 0.85):
        for y in (0.2, 0.5, 0.85):
            plane = plots.Plane().regions(halves, ["cat", "dog"]).box().ball((x, y), 0.15)
            plane.point((x, y), "x").path([(x, y), (x + 0.15, y - 0.15)], "FGSM")
            assert collisions(plane.figure()) == [], (x, y)
    assert (
        collisions(
            plots.Plane().levels(straight).box().ball(X, 0.2).point((0.6, 0.4), "best", "best").figure()
        )
        == []
    )


def test_areas_differ_in_grey():
    """Against the luminance of the two tints, printed in grey: apart by more than 0.05 of white."""
    from matplotlib.colors import to_rgb

    from advcourse.plots.parts import TINTS

    first, second = (np.dot(to_rgb(tint), (0.299, 0.587, 0.114)) for tint in TINTS[:2])
    assert first - second > 0.05


def test_the_text_says_the_places():
    """Against the numbers that were given: centre, radius, steps and ends, each part once."""
    text = full().alt()
    for part in (
        "cat, dog",
        "radius 0.2 around (0.4, 0.6), a square",
        "from (0.4, 0.6) to (0.55, 0.55)",
        "x at (0.4, 0.6)",
    ):
        assert text.count(part) == 1, part
    assert "FGSM: 1 step from (0.4, 0.6) to (0.6, 0.4)." in text
    assert "a second boundary" in plots.Plane().boundary(halves, "after").alt()
    assert "from -1.5 to 3.5" in plots.Plane().levels(straight).alt()  # -0.12 · 3 - 1.12 = -1.48, and 3.48


# By hand


def test_a_napkin_shows_the_numbers_on_their_greys():
    """Against the rows that were given: texts with signs, the grey of a pixel, results at the right."""
    figure = plots.napkin({"x": [0.2, 1.0], "g": [0.5, -0.25]}, signed=["g"], results={"x": "loss 3"})
    axis = figure.axes[0]
    assert [t.get_text() for t in axis.texts if t.get_text()] == [
        "x",
        "loss 3",
        "0.2",
        "1",
        "g",
        "+0.5",
        "−0.25",
    ]
    assert axis.patches[0].get_facecolor()[:3] == pytest.approx((0.2,) * 3)
    assert collisions(figure) == []


def test_a_cube_has_the_growth_at_its_corners():
    """By hand: 0.1 · (±2 ± 3 ± 5), the star at the largest."""
    figure = plots.cube([0.5, 0.5, 0.5], [2, -3, 5], 0.1)
    names = sorted(t.get_text() for t in figure.axes[0].texts)
    assert {*names} >= {"+1", "−1", "+0.4", "−0.4", "+0.6", "−0.6", "0"} and names.count("0") == 2
    [star] = [line for line in figure.axes[0].lines if line.get_marker() == "*"]
    assert np.allclose(star.get_xydata()[0], np.array([1, -1, 1]) @ [(1.0, -0.16), (0.0, 1.0), (0.52, 0.36)])
    assert collisions(figure) == []


def test_a_flow_has_its_stages_in_order():
    """Against the texts and the shares by hand: log 6, log 3, log 1 give 60, 30 and 10 %."""
    stages = (
        plots.Tile(torch.rand(1, 4, 4), "image"),
        plots.Gate("LID?", "detector"),
        plots.Net("network", "classifier"),
        plots.Mind(torch.tensor([1.0, 6.0, 3.0]).log(), ("cat", "dog", "elk"), "answer"),
    )
    figure = plots.flow(*stages)
    texts = sorted(figure.axes[0].texts, key=lambda text: text.get_position()[0])
    titles = [text.get_text() for text in texts if text.get_fontweight() == "bold"]
    assert titles == ["image", "detector", "classifier", "answer"]
    assert {"60 %", "30 %", "10 %", "flagged", "network"} <= {text.get_text() for text in texts}
    assert collisions(figure) == []


LONG = (
    "speed limit 30",
    "American Staffordshire terrier",
    "a class whose name is so long that hardly a box would hold it",
    "WWWWWWWWWWWWWWWWWWWWWWWWWW",
)


@pytest.mark.parametrize("name", LONG)
def test_no_box_of_a_flow_cuts_its_text(name):
    """Against the boxes as drawn: each text stands whole, inside the diamond, the rounded box or the bar that is its own."""
    column = name.replace(" ", "\n")
    stages = plots.Tile(torch.rand(1, 4, 4), name), plots.Gate(name, "detector", name), plots.Net(name)
    mind = plots.Mind(torch.tensor([2.0, 1.0, 0.0]), (name, "b", "c"), "answer")
    figure = plots.flow(*stages, plots.Net(column, "network"), plots.Gate(column), mind)
    figure.draw_without_rendering()
    [axis] = figure.axes
    texts = {text: text.get_window_extent() for text in axis.texts}
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in texts.values())
    assert all(figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1 for box in texts.values())
    assert [text.get_text() for text in texts].count(name) >= 5
    for patch in axis.patches:
        box = patch.get_window_extent()
        inside = [
            own for own in texts.values() if box.containsx(own.x0) and box.y0 < (own.y0 + own.y1) / 2 < box.y1
        ]
        if isinstance(patch, FancyBboxPatch):
            [own] = inside
            assert box.x0 < own.x0 < own.x1 < box.x1 and box.y0 < own.y0 < own.y1 < box.y1
        elif isinstance(patch, Polygon) and patch.get_facecolor()[:3] == pytest.approx(
            (0.976, 0.89, 0.722), abs=0.01
        ):
            [own] = (
                inside  # in a diamond the two distances of a text's corner from the middle share one budget
            )
            assert own.width / box.width + own.height / box.height < 1
            assert abs(own.x0 + own.x1 - box.x0 - box.x1) < 2
        elif isinstance(patch, Rectangle) and inside:
            assert all(own.x1 <= box.x1 for own in inside) or patch.get_zorder() == 3  # not the filled part


@pytest.mark.parametrize("name", LONG)
def test_no_mind_cuts_a_name(name):
    """Against the drawing: a long name is written smaller, and never runs into its share or out of its bar."""
    figure = plots.minds(torch.rand(1, 3, 8, 8), torch.tensor([[9.0, 0, 0]]), (name, "b", "c"))
    assert collisions(figure) == []
    bars = figure.axes[1]
    written, share = bars.texts[:2]
    assert written.get_text() == name and written.get_window_extent().x1 < share.get_window_extent().x0
    assert (written.get_fontsize() == 8) is (name == LONG[0] or name == LONG[1])


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: plots.Plane(view=(0, 0, 0, 1)), ["view", "(0, 0, 0, 1)"]),
        (lambda: plots.Plane().levels(halves), ["world", "one, the loss"]),
        (lambda: plots.Plane().regions(straight, ["a", "b"]), ["world", "logits"]),
        (lambda: plots.Plane().regions(halves, ["a"]), ["world", "2 to 1"]),
        (lambda: plots.Plane().boundary(straight, "a"), ["world", "2 logits"]),
        (lambda: plots.Plane().levels(lambda points: 1), ["world", "int"]),
        (lambda: plots.Plane().ball(X, 0), ["eps", "0"]),
        (lambda: plots.Plane().ball(X, 0.1, "L3"), ["norm", "'L3'"]),
        (lambda: plots.Plane().ball((1, 2, 3), 0.1), ["centre", "two numbers"]),
        (lambda: plots.Plane().point(X, kind="cross"), ["kind", "'cross'"]),
        (lambda: plots.Plane().path([X], "a"), ["points", "(1, 2)"]),
        (lambda: plots.Plane().path([X, X], free=[X, X]), ["free", "(1, 2)"]),
        (lambda: plots.napkin({}), ["rows", "at least one"]),
        (lambda: plots.napkin({"a": [0], "b": [0, 1]}), ["rows", "[1, 2]"]),
        (lambda: plots.napkin({"a": [-1]}), ["rows['a']", "signed"]),
        (lambda: plots.napkin({"a": [0]}, signed=["b"]), ["signed", "['b']", "['a']"]),
        (lambda: plots.cube([1], [1, 2, 3], 0.1), ["centre", "got 1"]),
        (lambda: plots.flow(), ["stages", "[]"]),
        (lambda: plots.flow("net"), ["stages", "str"]),
        (lambda: plots.highest(straight, X, -1), ["eps", "-1"]),
    ],
)
def test_bad_input(call, words):
    """Checks that the message names the argument, what was given and what is allowed."""
    with pytest.raises(InputError) as error:
        call()
    assert all(word in str(error.value) for word in words)


def test_the_name_of_a_scale_stays_in_the_figure():
    """Checks the drawn box against the figure's edge, for numbers as wide as -12.5."""
    figure = plots.Plane().levels(lambda points: 3 - 30 * (points - 0.6).square().sum(1), "loss").figure()
    figure.draw_without_rendering()
    scale = figure.axes[0].child_axes[0].yaxis.label
    assert scale.get_text() == "loss" and scale.get_window_extent().x1 <= figure.bbox.x1
