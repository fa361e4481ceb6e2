"""Heat maps, panels of bars, distributions of sizes and tables of images, as they are drawn."""

import math

import numpy as np
import pytest
from matplotlib import colormaps

from advcourse import plots
from advcourse.core.inputs import InputError
from advcourse.core.intervals import Interval, wilson

BLOCKS = {
    "": {"no attack": {"net": 0.98, "wide net": 0.96}},
    "L∞ ≤ 0.3": {"FGSM": {"net": 0.5, "wide net": 0.25}, "PGD": {"net": 0.0}},
    "least L2": {"DeepFool": {"net": math.nan, "wide net": 1.0}},
}


def texts(figure):
    """All texts of the figure and its axes."""
    found = [*figure.texts, *(text for axis in figure.axes for text in axis.texts)]
    return [text.get_text() for text in found]


def inside(figure):
    """Whether all texts, as drawn, lie inside the figure."""
    plots.png(figure)
    shown = [
        *figure.texts,
        *(text for axis in figure.axes for text in (*axis.texts, *axis.get_xticklabels())),
    ]
    boxes = [text.get_window_extent() for text in shown if text.get_text()]
    return all(box.x0 >= -1 and box.y0 >= -1 and box.x1 <= figure.bbox.x1 + 1 for box in boxes) and boxes


# Heat map


def test_heat_map_shows_each_number_in_its_colour():
    """Checks numbers, colours and columns, block by block, against the values handed in; dark is low, in grey as well."""
    figure = plots.heat_map(BLOCKS, "accuracy", percentages=True)
    axis = figure.axes[0]
    first, second, third = (mesh.get_array() for mesh in axis.collections)
    assert first.tolist() == [[0.98, 0.96]]
    assert second.filled(-1).tolist() == [[0.5, 0.25], [0, -1]]
    assert third.filled(-1).tolist() == [[-1, 1]]
    assert [text.get_text() for text in axis.get_xticklabels()] == ["net", "wide net"]
    cells = [text.get_text() for text in axis.texts]
    assert cells == ["98 %", "96 %", "50 %", "25 %", "0 %", "n/a", "n/a", "100 %"]
    assert {mesh.get_clim() for mesh in axis.collections} == {(0, 1)}
    grey = colormaps["cividis"](np.linspace(0, 1, 50))[:, :3] @ [0.299, 0.587, 0.114]
    assert (np.diff(grey) > 0).all()


def test_heat_map_keeps_its_blocks_apart():
    """Checks the rows' places: no two overlap, and there is room for the heading above each block, where it stands."""
    figure = plots.heat_map(BLOCKS, "accuracy", percentages=True)
    edges = [mesh.get_coordinates()[:, 0, 1] for mesh in figure.axes[0].collections]
    for above, below in zip(edges, edges[1:]):
        assert below[0] >= above[-1] + 1
    figure.canvas.draw()
    boxes = {text.get_text(): text.get_window_extent() for text in figure.texts}
    names = ["no attack", "L∞ ≤ 0.3", "FGSM", "PGD", "least L2", "DeepFool"]
    assert [boxes[name].y0 for name in names] == sorted((boxes[name].y0 for name in names), reverse=True)
    assert not any(boxes[a].overlaps(boxes[b]) for a, b in zip(names, names[1:]))


def test_the_names_stand_beside_their_rows():
    """Checks that the middle of a row, in pixels, is the middle of its name."""
    figure = plots.heat_map(BLOCKS, "accuracy")
    figure.canvas.draw()
    axis, mesh = figure.axes[0], figure.axes[0].collections[1]
    y = mesh.get_coordinates()[:, 0, 1]
    for name, middle in zip(("FGSM", "PGD"), (y[:-1] + y[1:]) / 2):
        box = next(text for text in figure.texts if text.get_text() == name).get_window_extent()
        assert abs(axis.transData.transform((0, middle))[1] - (box.y0 + box.y1) / 2) < 2.5
        assert box.x1 < axis.bbox.x0


def test_heat_map_of_other_numbers():
    """By hand: sizes from 2 to 40 span the colours, are written with two digits, and bear their notes."""
    blocks = {"L2": {"a": {"net": 2.0, "wide": 40.0}}}
    axis = plots.heat_map(blocks, "size", notes={"L2": {"a": {"wide": "(0.5)"}}}).axes[0]
    assert [text.get_text() for text in axis.texts] == ["2.0", "40 (0.5)"]
    assert axis.collections[0].get_clim() == (2, 40)
    ink = [text.get_color() for text in axis.texts]
    assert ink == ["white", "black"]  # on dark blue and on yellow


def test_heat_map_of_flags():
    """By hand: where all numbers are 0 or 1 they are written as such, without decimals."""
    axis = plots.heat_map({"": {"a": {"1": 1.0, "2": 0.0}}}, "fooled (1) or not (0)").axes[0]
    assert [text.get_text() for text in axis.texts] == ["1", "0"]


@pytest.mark.parametrize("value", [math.nan, 0.5])
def test_heat_map_of_one_number(value):
    """Checks the ends: no number at all, and numbers that are all the same, have a range of colours."""
    mesh = plots.heat_map({"": {"a": {"net": value}}}, "size").axes[0].collections[0]
    low, high = mesh.get_clim()
    assert low < high


def test_long_names_stay_inside():
    """Checks every text's box, as drawn, against the figure; and that all of the name is there."""
    long = "an attack with a long name and $eps$ of $\\frac$ in it, eps 0.125, steps 1000"
    blocks = {f"least L2, {long}": {long: {f"{long} {i}": 0.5 for i in range(3)}}}
    for figure in (plots.heat_map(blocks, long), plots.bar_panels(blocks, long)):
        assert inside(figure)
        assert long in {text.replace("\n", " ") for text in texts(figure)}


# Bars


def test_bar_panels_show_share_interval_and_reference():
    """Checks lengths, whiskers, numbers and dotted lines, panel by panel, against the shares handed in."""
    blocks = {
        "L∞ ≤ 0.3": {
            "FGSM": {"noise": Interval(0.5, 0.3, 0.7, 20), "JPEG": 0.25},
            "PGD": {"noise": Interval(*[math.nan] * 3, 0)},
        },
        "least L2": {"DeepFool": {"noise": 1.0, "JPEG": 0.0}},
    }
    figure = plots.bar_panels(blocks, "what survives", references={"noise": 0.9})
    noise, jpeg = figure.axes
    assert [patch.get_width() for patch in noise.patches] == [0.5, 0, 1]
    assert [patch.get_width() for patch in jpeg.patches] == [0.25, 0, 0]
    assert [text.get_text() for text in noise.texts] == ["50 %", "n/a", "100 %"]
    assert [text.get_text() for text in jpeg.texts] == ["25 %", "n/a", "0 %"]
    whisker, dotted = noise.lines
    assert list(whisker.get_xdata()) == [0.3, 0.7] and set(dotted.get_xdata()) == {0.9}
    assert not jpeg.lines and noise.get_title() == "noise\ndotted: 90 %" and jpeg.get_title() == "JPEG"
    assert noise.get_xlim() == (0, 1) and noise.get_ylim() == jpeg.get_ylim()


# Distributions


def test_distribution_is_the_share_up_to_a_size():
    """By hand: sizes 1, 2, 4 and a failure. A quarter is fooled up to 1, three quarters up to 4, and it stays there; median 3."""
    axis = plots.distributions({"DeepFool": [4, 1, math.inf, 2]}, "L2").axes[0]
    line = axis.lines[0]
    assert line.get_drawstyle() == "steps-post"
    assert line.get_xdata().tolist()[:4] == [0, 1, 2, 4] and line.get_xdata()[-1] > 4
    assert line.get_ydata().tolist() == [0, 0.25, 0.5, 0.75, 0.75]
    assert line.get_label() == "DeepFool: median 3.0"
    band = wilson(0.25, 4)
    heights = axis.collections[0].get_paths()[0].vertices[:, 1].round(9)
    assert {round(band.low, 9), round(band.high, 9)} <= set(heights)


def test_the_curve_crosses_one_half_at_the_median():
    """Checks the height of the curve before and at numpy's median, an odd number of sizes so that it is one of them."""
    sizes = np.random.default_rng(0).gamma(2, 1, 31)
    sizes[:5] = math.inf
    line = plots.distributions({"a": sizes}, "L2").axes[0].lines[0]
    at = np.searchsorted(line.get_xdata(), np.median(sizes))
    assert line.get_ydata()[at - 1] < 0.5 <= line.get_ydata()[at]


def test_failures_never_enter():
    """By hand: nothing succeeds, half succeeds, or there are no images: heights 0, 1/2, none; medians infinite, or none."""
    sizes = {"none": [math.inf] * 3, "half": [1.0, math.inf], "no images": []}
    axis = plots.distributions(sizes, "L2").axes[0]
    none, half, empty = axis.lines[:3]
    assert set(none.get_ydata()) == {0} and half.get_ydata()[-1] == 0.5 and not len(empty.get_xdata())
    legend = [text.get_text() for text in axis.figure.legends[0].get_texts()]
    assert legend == ["none: median ∞", "half: median ∞", "no images: no images"]


def test_budgets_stand_beside_the_curve():
    """Checks points, whiskers (Wilson) and order against the numbers; points of one budget are apart, around the budget."""
    budgets = {
        "FGSM": ([0.3, 0.1], [0.5, 0.25], 20),
        "PGD": ([0.3], [1.0], 20),
        "none": ([0.3], [math.nan], 0),
    }
    figure = plots.distributions({"CWLinf": [0.2]}, "L∞", budgets=budgets)
    axis = figure.axes[0]
    fgsm, pgd, none = axis.containers
    assert fgsm[0].get_xdata().tolist() == [0.1, 0.3] and fgsm[0].get_ydata().tolist() == [0.25, 0.5]
    band = wilson(0.25, 20)
    assert np.allclose(fgsm[2][0].get_segments()[0], [[0.1, band.low], [0.1, band.high]])
    figure.canvas.draw()
    drawn = [one[0].get_transform().transform((0.3, 0.5))[0] for one in (fgsm, pgd, none)]
    middle = axis.transData.transform((0.3, 0.5))[0]
    assert drawn[0] < drawn[1] < drawn[2] and abs(np.mean(drawn) - middle) < 1e-6
    looks = [axis.lines[0], *(one[0] for one in axis.containers)]
    assert len({(line.get_marker(), line.get_linestyle()) for line in looks}) == 4


def test_budgets_alone():
    """Checks that a chart of budgets alone reaches the largest of them."""
    axis = plots.distributions({}, "L∞", budgets={"FGSM": ([0.1, 0.2], [0, 1], 5)}).axes[0]
    assert axis.get_xlim()[0] == 0 and axis.get_xlim()[1] > 0.2


# Images


def test_image_table_shows_each_image_in_its_place():
    """Checks arrays, titles, frames and places against what was handed in: rows under, columns beside each other."""
    rng = np.random.default_rng(0)
    rows = {"clean": rng.random((2, 28, 28, 3)), "attacked": rng.random((2, 28, 28, 3))}
    figure = plots.image_table(
        rows, titles={"attacked": ["4, 98 %", "$1$"]}, framed={"attacked": [False, True]}, columns=3
    )
    axis = figure.axes[0]
    for shown, image in zip(axis.images, [*rows["clean"], *rows["attacked"]], strict=True):
        assert np.array_equal(shown.get_array(), image)
    (a, b), (c, d) = ([shown.get_extent() for shown in part] for part in (axis.images[:2], axis.images[2:]))
    assert a[1] < b[0] and a[:2] == c[:2] and b[:2] == d[:2] and a[2] < c[3]
    assert a[1] - a[0] == 84 and abs(a[3] - a[2]) == 84  # three screen pixels for each of 28
    (frame,) = axis.patches
    assert (frame.get_x(), frame.get_y()) == (d[0], d[3])
    assert [text for text in texts(figure) if text] == ["clean", "attacked", "4, 98 %", "$1$"]
    assert figure.get_figwidth() * plots.DPI > 22 + 3 * 84


def test_image_table_of_other_sizes():
    """Checks the shape of what is drawn: a wide image stays wide, a large one is made smaller."""
    for shape, box in (((1, 4, 8), (80, 40)), ((1, 200, 100), (84, 168))):
        left, right, bottom, top = plots.image_table({"a": np.zeros(shape)}).axes[0].images[0].get_extent()
        assert (right - left, bottom - top) == box


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: plots.heat_map({}, "x"), ["blocks", "at least one"]),
        (lambda: plots.heat_map({"a": {"b": {}}}, "x"), ["blocks", "no numbers"]),
        (lambda: plots.heat_map({"a": 1}, "x"), ["blocks", "no numbers"]),
        (
            lambda: plots.bar_panels({"a": {"b": {"c": (1, 2)}}}, "x"),
            ["blocks", "(1, 2)", "Interval"],
        ),
        (lambda: plots.distributions({}, "x"), ["sizes", "at least one"]),
        (lambda: plots.distributions({"a": [math.nan]}, "x"), ["sizes['a']", "nan", "+inf"]),
        (lambda: plots.distributions({"a": [-1]}, "x"), ["sizes['a']", "-1", "from 0 on"]),
        (
            lambda: plots.distributions({"a": [1]}, "x", budgets={"a": ([1], [1], 1)}),
            ["budgets", "'a'", "twice"],
        ),
        (
            lambda: plots.distributions({}, "x", budgets={"a": ([1], [1])}),
            ["budgets", "2", "(eps, share, images)"],
        ),
        (lambda: plots.distributions({}, "x", budgets={"a": ([1], [1, 1], 3)}), ["share", "2", "1"]),
        (lambda: plots.distributions({}, "x", budgets={"a": ([1], [2], 3)}), ["share", "2", "[0, 1]"]),
        (lambda: plots.image_table({"a": np.zeros((0, 4, 4))}), ["rows", "(0, 4, 4)", "k >= 1"]),
        (
            lambda: plots.image_table({"a": np.zeros((2, 4, 4)), "b": np.zeros((1, 4, 4))}),
            ["rows['b']", "1", "2"],
        ),
        (
            lambda: plots.image_table({"a": np.zeros((2, 4, 4))}, titles={"a": ["x"]}),
            ["titles['a']", "1", "2"],
        ),
    ],
)
def test_bad_input(call, words):
    """Checks that the message names the argument, what was given and what is allowed."""
    with pytest.raises(InputError) as error:
        call()
    assert all(word in str(error.value) for word in words)
