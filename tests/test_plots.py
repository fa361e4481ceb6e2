"""The figures, the picture with its alternative text, and the numbers as the course prints them."""

import base64
import io
import math
from html.parser import HTMLParser

import matplotlib
import nbformat
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import pyplot
from PIL import Image
from scipy.stats import binomtest

from advcourse import plots
from advcourse.core.inputs import InputError
from advcourse.core.rounding import number, percent

LOGITS = torch.tensor([[4.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 1.0]])


@pytest.fixture
def images():
    """Three colour images with a margin of 0.2 to either end of [0, 1]."""
    return 0.2 + 0.6 * torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def pixels(figure):
    return np.asarray(Image.open(io.BytesIO(plots.png(figure))))


# Rounding


@pytest.mark.parametrize(
    "value, text",
    [
        (0.985, "99 %"),
        (np.float32(0.98499995), "99 %"),  # the same 197 of 200, as a float32 mean
        (torch.tensor(0.125), "13 %"),
        (1, "100 %"),
        (-0.001, "0 %"),
        (float("nan"), "n/a"),
    ],
)
def test_percent(value, text):
    """Checks against numbers rounded by hand, halves away from zero."""
    assert percent(value) == text


def test_percent_in_other_steps():
    """Checks against numbers rounded by hand."""
    assert [percent(2 / 3, step) for step in (0.1, 1, 5, 25)] == ["66.7 %", "67 %", "65 %", "75 %"]
    assert percent(0, 0.1) == "0.0 %"


@given(st.integers(1, 1000), st.data())
def test_percent_does_not_see_float32(n, data):
    """Checks that k of n prints alike as a float64 quotient and as float32 neighbours of it."""
    k = data.draw(st.integers(0, n))
    single = np.float32(k / n)
    for value in (single, np.nextafter(single, np.float32(2)), np.nextafter(single, np.float32(0))):
        assert percent(value) == percent(k / n)


@pytest.mark.parametrize(
    "value, digits, text",
    [
        (0.3, 2, "0.30"),
        (1234, 2, "1200"),
        (0.0999, 2, "0.10"),
        (-0.5, 1, "-0.5"),
        (1.25e-5, 2, "1.3e-05"),
        (9_999_999, 3, "1.00e+07"),
        (0.0, 3, "0"),
        (float("inf"), 2, "inf"),
        (float("nan"), 2, "n/a"),
    ],
)
def test_number(value, digits, text):
    """Checks against numbers rounded by hand."""
    assert number(value, digits) == text


@given(st.floats(-1e300, 1e300, allow_subnormal=False), st.integers(1, 5))
def test_number_is_near(value, digits):
    """Checks the printed number against the value: off by half a unit of its last digit at most."""
    assert math.isclose(float(number(value, digits)), value, rel_tol=0.5001 * 10 ** (1 - digits) + 1e-5)


# Figures


def test_no_pyplot_state(images):
    """Checks pyplot's figures and matplotlib's settings against those before: nothing is left behind."""
    before = dict(matplotlib.rcParams)
    plots.grid(images)
    plots.lines({"a": ([0, 1], [0, 1])}, "x", "y")
    assert pyplot.get_fignums() == [] and dict(matplotlib.rcParams) == before


def test_grid_shows_each_image_under_its_title(images):
    """Checks the arrays and titles in the figure against the input."""
    figure = plots.grid(images, ["one", "two", "three"], columns=2)
    shown = [axis for axis in figure.axes if axis.get_visible()]
    assert [axis.get_title() for axis in shown] == ["one", "two", "three"]
    for axis, image in zip(shown, images, strict=True):
        assert np.allclose(axis.images[0].get_array(), image.permute(1, 2, 0))


def test_grid_names_its_rows(images):
    """Checks the names against those handed in, that they lie inside the figure, and that a name too few is refused."""
    figure = plots.grid(torch.cat([images, images]), columns=3, rows=("clean", "attacked"))
    figure.draw_without_rendering()
    labels = [axis.yaxis.label for axis in figure.axes if axis.get_ylabel()]
    assert [label.get_text() for label in labels] == ["clean", "attacked"]
    assert all(label.get_window_extent().x0 >= 0 for label in labels)
    with pytest.raises(InputError, match="rows: got 1; allowed are 2"):
        plots.grid(torch.cat([images, images]), columns=3, rows=("clean",))


def test_the_number_of_a_full_bar_stands_beside_it():
    """By the boxes in the drawing: the number is right of its bar and inside the axes, before and after `tidy` has looked."""
    figure = plots.bars({"a bar with a long name": 1.0, "b": 0.98}, "share", percentages=True)
    plots.show(figure, "two bars that are nearly full")
    axis = figure.axes[0]
    for bar, text in zip(axis.patches, axis.texts, strict=True):
        assert text.get_window_extent().x0 > bar.get_window_extent().x1
        assert text.get_window_extent().x1 < axis.bbox.x1


def test_long_titles_stay_over_their_image(images):
    """Checks the titles' boxes, as drawn, against the figure and each other."""
    figure = plots.grid(images[:1].expand(8, -1, -1, -1), ["pedestrian crossing\n98 %"] * 8)
    figure.canvas.draw()
    boxes = [axis.title.get_window_extent() for axis in figure.axes]
    assert not any(a.overlaps(b) for a, b in zip(boxes, boxes[1:], strict=False))
    assert all(box.y1 <= figure.bbox.y1 for box in boxes)


def test_adversarial_rows(images):
    """Checks titles, factor, frames and the middle row's colours against an attack made by hand."""
    change = torch.zeros_like(images)
    change[0, 0, 2, 3], change[1, 2, 4, 4] = 0.1, -0.05
    after = LOGITS[[1, 1, 0]]
    figure = plots.adversarial(images, images + change, LOGITS, after, classes=("cat", "dog", "elk"))
    axes = np.array(figure.axes).reshape(3, 3)
    assert [axis.get_title() for axis in axes[0]] == ["cat\n96 %", "dog\n79 %", "elk\n58 %"]
    assert [axis.get_title() for axis in axes[2]] == ["dog\n79 %", "dog\n79 %", "cat\n96 %"]
    assert [axis.spines["top"].get_visible() for axis in axes[2]] == [True, False, True]
    assert axes[1, 0].get_ylabel() == "change × 10"
    assert np.allclose(axes[1, 0].images[0].get_array()[2, 3], [1, 0.5, 0.5], atol=1e-5)
    assert np.allclose(axes[1, 1].images[0].get_array()[4, 4], [0.5, 0.5, 0.25], atol=1e-5)
    assert np.allclose(axes[1, 2].images[0].get_array(), 0.5)


def test_grey_change_reads_in_grey():
    """Checks that the map of a grey image's change, printed in grey, rises with the change, from dark to bright."""
    change = np.linspace(-0.3, 0.3, 31).reshape(1, 1, 31)
    colours = plots.change_picture(change, 3)[0]
    luminance = colours @ [0.299, 0.587, 0.114]
    assert (np.diff(luminance) > 0).all()
    assert luminance[0] < 0.25 and abs(luminance[15] - 0.5) < 0.05 and luminance[-1] > 0.75


@given(st.floats(1e-5, 1))
def test_magnification_is_the_largest_that_fits(largest):
    """Checks the definition: one significant digit, nothing clipped, and the next such factor would clip."""
    factor = plots.magnification(np.array([[-largest, largest / 2]]))
    assert factor * largest <= 1 + 1e-5
    step = 10 ** math.floor(math.log10(factor) + 1e-9)
    assert (factor + step) * largest > 1 - 1e-5
    assert abs(factor / step - round(factor / step)) < 1e-9


@pytest.mark.parametrize("change", [0.0, 1.0])
def test_magnification_without_need(change):
    """Checks the two ends: no change at all, and the largest that there is."""
    assert plots.magnification(np.full((2, 2), change)) == 1


def test_accuracy_against_eps():
    """Checks that curves differ without colour, that axes bear units, and that the band is drawn where it is asked for."""
    curves = {"FGSM": ([0, 0.1, 0.2], [1, 0.5, 0.2]), "PGD": ([0, 0.1, 0.2], [1, 0.2, float("nan")])}
    axis = plots.accuracy_against_eps(curves, samples=100, chance=0.1).axes[0]
    first, second = axis.lines[:2]
    assert first.get_marker() != second.get_marker() and first.get_linestyle() != second.get_linestyle()
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["FGSM", "PGD"]
    assert "L∞" in axis.get_xlabel() and "0 to 1" in axis.get_xlabel() and axis.get_ylabel() == "accuracy"
    assert len(axis.collections) == 2
    band = binomtest(50, 100).proportion_ci(0.95, method="wilson")
    vertices = axis.collections[0].get_paths()[0].vertices
    assert {round(band.low, 6), round(band.high, 6)} <= {round(y, 6) for _, y in vertices}
    assert not plots.accuracy_against_eps(curves).axes[0].collections


@pytest.mark.parametrize("many", range(1, 8))
def test_no_curve_runs_through_a_legend_or_its_line_of_chance(many):
    """Checks the picture itself: falling curves, dense enough to leave no corner free, and one that lies on the line."""
    x = np.linspace(0, 0.4, 9)
    curves = {f"network {i}": (x, 1 / (1 + np.exp(20 * (x - 0.05 * i)))) for i in range(many)} | {
        "low": (x, 0 * x + 0.1)
    }
    figure = plots.accuracy_against_eps(curves, chance=0.1)
    figure.draw_without_rendering()
    axis = figure.axes[0]
    boxes = [part.get_window_extent() for part in (axis.get_legend(), *axis.texts)]
    for line in axis.lines:
        dense = line.get_transform().transform(line.get_path().interpolated(200).vertices)
        assert not any(box.contains(*point) for box in boxes for point in dense)


@pytest.mark.parametrize("place", [(1.9, 0), (-1.9, 0), (0, 0.5), (1.2, -1)])
def test_the_name_of_a_point_stays_in_the_plane(place):
    """Checks the picture itself: the name's box lies between the left and the right end of the axes."""
    figure = plots.slice2d(np.ones((5, 5), dtype=int), 2, points={"FGSM 0.3": place})
    figure.draw_without_rendering()
    axis = figure.axes[0]
    [box] = [text.get_window_extent() for text in axis.texts if text.get_text() == "FGSM 0.3"]
    assert axis.bbox.x0 <= box.x0 and box.x1 <= axis.bbox.x1


def test_bars_say_their_numbers():
    """Checks the texts beside the bars and their lengths against the values."""
    values = {"FGSM": {"digits": 0.8, "signs": float("nan")}, "PGD": {"digits": 1.0}}
    axis = plots.bars(values, "misclassification rate", percentages=True).axes[0]
    assert [text.get_text() for text in axis.texts] == ["80 %", "100 %", "n/a", "n/a"]
    assert [patch.get_width() for patch in axis.patches] == [0.8, 1.0, 0, 0]
    assert len({patch.get_hatch() for patch in axis.patches}) == 2
    assert [text.get_text() for text in plots.bars({"a": 0.25}, "L2").axes[0].texts] == ["0.25"]


def test_slice_names_its_areas():
    """Checks that each name stands inside its own area, and the colours to the left and right of a known boundary."""
    a = np.linspace(-2, 2, 41)
    labels = np.where(a[None, :] > 0.5, 2, 0) * np.ones((41, 1), dtype=int)
    axis = plots.slice2d(labels, 2, classes=("cat", "dog", "elk"), points={"FGSM": (1, 0)}).axes[0]
    places = {text.get_text(): text.get_position() for text in axis.texts}
    assert places["cat"][0] < 0.5 < places["elk"][0] and "dog" not in places and "FGSM" in places
    picture = axis.images[0].get_array()
    assert (picture[:, 0] == picture[0, 0]).all() and (picture[:, -1] == picture[0, -1]).all()
    assert (picture[0, 0] != picture[0, -1]).any()
    assert [tuple(np.ravel(line.get_xydata())) for line in axis.lines] == [(0, 0), (1, 0)]


def test_slice_puts_row_0_at_the_bottom():
    """Checks pixels of the PNG, found by the axis' own transformation, against a plane split into below and above."""
    labels = np.repeat([[0], [2]], 10, axis=0) * np.ones((20, 20), dtype=int)
    figure = plots.slice2d(labels, 2)
    drawn = pixels(figure)
    for y, colour in ((-1.7, plots.COLOURS[0]), (1.7, plots.COLOURS[2])):
        column, row = figure.axes[0].transData.transform((1.7, y)).astype(int)
        assert tuple(drawn[drawn.shape[0] - 1 - row, column]) == tuple(bytes.fromhex(colour[1:]))


def test_slice_with_a_path_and_a_circle():
    """Checks the line's points and the circle's centre and radius, as they were given, in the figure."""
    path = [(0, 0), (0.5, -0.5), (1, 0.2)]
    axis = plots.slice2d(np.ones((5, 5), dtype=int), 2, path=path, circle=1.5).axes[0]
    assert np.allclose(axis.lines[0].get_xydata(), path)
    assert axis.patches[0].center == (0, 0) and axis.patches[0].radius == 1.5


def test_slice_of_one_class():
    """Checks that a plane without a boundary draws none."""
    axis = plots.slice2d(np.ones((5, 5), dtype=int), 1).axes[0]
    assert not axis.collections and [text.get_text() for text in axis.texts][0] == "1"


# The picture in a notebook


class _Images(HTMLParser):
    def __init__(self):
        super().__init__()
        self.alts = []

    def handle_starttag(self, tag, attributes):
        if tag == "img":
            self.alts.append(dict(attributes).get("alt"))


def test_alternative_text_reaches_the_page(images):
    """Checks with nbconvert's own HTML that the figure appears once, with its alternative text, quotes and all; and that IPython
    stores it once, and the alternative text for those who have no HTML."""
    from IPython.core.formatters import DisplayFormatter
    from nbconvert import HTMLExporter

    alt = 'Three images called "a" & <b>, each with noise'
    shown = plots.show(plots.grid(images), alt)
    data, metadata = DisplayFormatter().format(shown)
    assert data.keys() == {"text/html", "text/plain"} and data["text/plain"] == alt
    assert data["text/html"].count(base64.b64encode(shown.picture).decode()) == 1
    output = nbformat.v4.new_output("display_data", data, metadata=metadata)
    cell = nbformat.v4.new_code_cell("show", outputs=[output])
    page, _ = HTMLExporter().from_notebook_node(nbformat.v4.new_notebook(cells=[cell]))
    parser = _Images()
    parser.feed(page)
    assert parser.alts == [alt]


def test_png_is_small_and_the_same_each_time(images):
    """Checks the bytes of two drawings, and that Pillow reads the size that the figure has at 80 dots an inch."""
    figure = plots.grid(images)
    first = plots.png(figure)
    assert first == plots.png(plots.grid(images)) and len(first) < 30_000
    assert Image.open(io.BytesIO(first)).size == tuple((figure.get_size_inches() * 80).astype(int))
    assert (pixels(figure) == np.asarray(Image.open(io.BytesIO(plots.png(figure, optimize=False))))).all()


def test_a_picture_on_a_page_is_sharp_and_exact(images):
    """Checks the stored WebP against the figure drawn by matplotlib at twice the resolution, pixel by pixel, and its width."""
    figure = plots.lines({"a": ([0, 1], [0, 1])}, "x", "y")
    shown = plots.show(figure, "A line that rises")
    stored = np.asarray(Image.open(io.BytesIO(shown.picture)).convert("RGB"))
    figure.set_dpi(160)
    assert np.array_equal(stored, pixels(figure)) and len(shown.picture) < 20_000
    assert 'width="448"' in shown._repr_html_() and stored.shape[1] == 896


def test_a_wide_picture_scrolls_on_a_phone_instead_of_shrinking(images):
    """Against arithmetic: eight images take 800 dots of a page, and 640 at the least; four take less than 560, and any width."""
    eight, four = (
        plots.show(plots.grid(images[:1].expand(n, -1, -1, -1), columns=8), "A row of images") for n in (8, 4)
    )
    assert eight.width == 800 and 'style="min-width:640px"' in eight._repr_html_()
    assert four.width < 560 and "style" not in four._repr_html_()


def test_the_key_of_a_change_has_the_colours_of_its_row(images):
    """Checks the squares under the rows against the map of a change of -1, 0 and 1, and that they are named."""
    grey = plots.adversarial(images[:, :1], images[:, :1], LOGITS, LOGITS)
    squares = [patch.get_facecolor()[:3] for patch in grey.artists]
    assert [text.get_text() for text in grey.texts] == ["darker", "unchanged", "lighter"]
    for square, change in zip(squares, (-1, 0, 1), strict=True):
        assert np.allclose(square, plots.change_picture(np.full((1, 1, 1), change), 1)[0, 0])
    names = [text.get_text() for text in plots.adversarial(images, images, LOGITS, LOGITS).texts]
    assert names[3:] == ["more red", "more green", "more blue", "less red", "less green", "less blue"]


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda x: plots.grid(x[0]), ["images", "(3, 8, 8)", "(N, C, H, W)"]),
        (lambda x: plots.grid(x + 1), ["images", "[0, 1]"]),
        (lambda x: plots.grid(x[:, :2]), ["images", "1 or 3 channels"]),
        (lambda x: plots.grid(x[:0]), ["images", "1 or more"]),
        (lambda x: plots.grid(x, ["a"]), ["titles", "1", "3"]),
        (lambda x: plots.grid(x, columns=0), ["columns", "0"]),
        (lambda x: plots.adversarial(x, x[:2], LOGITS, LOGITS), ["images", "2", "3"]),
        (lambda x: plots.adversarial(x, x, LOGITS[:2], LOGITS), ["before", "2", "3"]),
        (lambda x: plots.adversarial(x, x, LOGITS, LOGITS, classes=("a",)), ["classes", "1", "3"]),
        (lambda x: plots.adversarial(x, x, LOGITS, LOGITS, magnify=0), ["magnify", "0"]),
        (lambda x: plots.lines({}, "x", "y"), ["curves", "at least one"]),
        (lambda x: plots.lines({"a": ([0], [1, 2])}, "x", "y"), ["curves['a'] y", "2", "1"]),
        (lambda x: plots.lines({"a": [0]}, "x", "y"), ["curves", "(x, y)"]),
        (lambda x: plots.accuracy_against_eps({"a": ([0], [1.5])}, samples=5), ["share", "1.5", "[0, 1]"]),
        (lambda x: plots.bars({"a": {}}, "x"), ["values", "at least one"]),
        (lambda x: plots.slice2d(np.ones(4), 1), ["predictions", "(4,)", "(n, n)"]),
        (lambda x: plots.slice2d(np.ones((4, 4)), 0), ["radius", "0"]),
        (lambda x: plots.show(plots.grid(x), ""), ["alt", "''"]),
        (lambda x: percent("much"), ["rate", "'much'", "one number"]),
        (lambda x: percent(x), ["rate", "one number"]),
        (lambda x: percent(1, nearest=0), ["nearest", "0"]),
        (lambda x: number(1, digits=0), ["digits", "0"]),
    ],
)
def test_bad_input(images, call, words):
    """Checks that the message names the argument, what was given and what is allowed."""
    with pytest.raises(InputError) as error:
        call(images)
    assert all(word in str(error.value) for word in words)
