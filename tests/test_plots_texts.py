"""Texts in figures: whatever a model, a class or a curve is called, it is drawn as it stands, in a font that has its letters."""

import io
import math
import warnings

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.font_manager import fontManager
from matplotlib.text import Text
from PIL import Image

from advcourse import plots
from advcourse.core.inputs import InputError
from advcourse.plots import texts

ODD = "_$\\frac$ $$ a_b^"  # two formulas that matplotlib cannot read, and a first letter that hides a curve
X, LOGITS = torch.full((2, 1, 8, 8), 0.5), torch.eye(2)
FIGURES = {
    "grid": lambda name: plots.grid(X, [name, name]),
    "adversarial": lambda name: plots.adversarial(X, X, LOGITS, LOGITS, classes=[name, name]),
    "minds": lambda name: plots.minds(X, LOGITS, [name, name], [name, name]),
    "lines": lambda name: plots.lines({name: ([0, 1], [0, 1])}, name, name),
    "accuracy": lambda name: plots.accuracy_against_eps({name: ([0, 1], [0, 1])}, norm=name),
    "bars": lambda name: plots.bars({name: {name: 0.5, "b": 1.0}}, name),
    "histogram": lambda name: plots.histogram([0, 1], 1, name, name)[0],
    "slice": lambda name: plots.slice2d(
        torch.eye(4), 1, classes=[name, name], xlabel=name, ylabel=name, points={name: (0, 0)}
    ),
    "maps": lambda name: plots.signed_maps({name: torch.eye(4)}, name),
    "bent": lambda name: plots.bent(X, X.expand(-1, 2, -1, -1), X, LOGITS, LOGITS, classes=[name, name]),
    "heat map": lambda name: plots.heat_map(
        {name: {name: {name: 0.5}}}, name, notes={name: {name: {name: name}}}
    ),
    "panels": lambda name: plots.bar_panels({name: {name: {name: 0.5}}}, name, references={name: 0.5}),
    "distributions": lambda name: plots.distributions(
        {name: [0.1, math.inf]}, name, budgets={name + "b": ([1], [1], 2)}
    ),
    "roc": lambda name: plots.roc_curves({name: ([0, 0.1, 1], [0.01, 0.5, 1])}, name, name),
    "images": lambda name: plots.image_table({name: X[:, 0]}, titles={name: [name, name]}),
    "large": lambda name: plots.large({name: torch.full((8, 8, 3), 0.5), "b": torch.zeros(8, 4, 3)}),
    "spectrograms": lambda name: plots.spectrograms({name: torch.zeros(800)}, 8000),
    "napkin": lambda name: plots.napkin({name: [0, 1]}, results={name: name}),
    "cube": lambda name: plots.cube([0, 0, 0], [1, 2, 3], 0.1, names=[name] * 3),
    "flow": lambda name: plots.flow(
        plots.Tile(X[0], name),
        plots.Gate(name, name, name),
        plots.Net(name, name),
        plots.Mind([1, 0], [name, name], name),
    ),
    "plane": lambda name: (
        plots.Plane(name, name)
        .regions(lambda points: points, [name, name])
        .levels(lambda points: points.sum(1), name)
        .boundary(lambda points: points, name)
        .ball((0.5, 0.5), 0.2, name=name)
        .point((0.5, 0.5), name)
        .arrow((0.5, 0.5), (0.1, 0.1), name)
        .path([(0, 0), (1, 1)], name)
        .figure()
    ),
}


def darkness(figure):
    """How much ink, white 0 and black 1 a pixel, is on the picture."""
    return (1 - np.asarray(Image.open(io.BytesIO(plots.png(figure))).convert("L")) / 255).sum()


@pytest.mark.parametrize("kind", FIGURES)
def test_no_text_is_read_as_a_formula(kind, monkeypatch):
    """Checks against matplotlib's own reader of formulas, which is never asked, whatever stands at a place for a text."""
    parser = "matplotlib.mathtext.MathTextParser.parse"
    monkeypatch.setattr(parser, lambda self, text, *_: pytest.fail(f"{text!r} is read as a formula"))
    assert plots.png(FIGURES[kind](ODD)).startswith(b"\x89PNG")


def test_every_function_that_draws_is_tried():
    """The public functions of `plots` that return a figure, by their names."""
    given = {
        "image_axes",
        "magnification",
        "change_picture",
        "answers",
        "show",
        "walk",
        "film",
        "levels",
        "describe",
        "highest",
        "png",
        "frame",
    }
    functions = {name for name in plots.__all__ if callable(getattr(plots, name)) and name[0].islower()}
    assert len(functions - given) == len(FIGURES.keys() - {"plane"})  # Plane is a class


def test_dollar_signs_are_drawn():
    """By ink: "$l$" as a formula is one letter, as it stands two signs more; what is added to a figure later as well."""
    plain, signs = (plots.grid(X[:1], [title]) for title in ("l", "$l$"))
    assert darkness(signs) > darkness(plain) + 10
    for figure, text in ((plain, "l"), (signs, "$l$")):
        figure.axes[0].set_title("")
        figure.axes[0].annotate(text, (1, 1))
    assert darkness(signs) > darkness(plain) + 10


def test_powers_of_ten_at_ticks_stay_formulas():
    """matplotlib writes 10 to the power of 3 on a logarithmic axis as a formula; letter by letter it would be mathdefault."""
    figure = plots.lines({"a": ([1, 1000], [0, 1])}, "x", "y")
    figure.axes[0].set_xscale("log")
    plots.png(figure)
    ticks = [text for text in figure.axes[0].get_xticklabels() if "10^" in text.get_text()]
    assert ticks and all(text.get_parse_math() for text in ticks)


@pytest.mark.parametrize("kind", ["lines", "bars", "distributions"])
def test_a_curve_whose_name_begins_with_an_underscore_is_in_the_legend(kind):
    """matplotlib leaves such names out of a legend: by hand, the legend has as many names as there are curves."""
    figure = FIGURES[kind]("_net")
    [legend] = [*figure.legends, *filter(None, (axis.get_legend() for axis in figure.axes))]
    named = [text.get_text().strip() for text in legend.get_texts()]
    assert len(named) == (1 if kind == "lines" else 2) and named[0].startswith("_net")


def test_what_has_no_form_is_replaced():
    """A lone surrogate (of a file's name) and a control character, of which FreeType makes an error and a box."""
    figure = plots.grid(X[:1], ["a\udce4b\x07c\nd"])
    plots.png(figure)
    assert figure.axes[0].get_title() == "a\ufffdb\ufffdc\nd"


@pytest.mark.parametrize("kind", FIGURES)
def test_names_without_a_form_are_drawn_wherever_they_stand(kind):
    """Checks that each figure is drawn, and again, with such a name at ticks, in legends and titles; FreeType raises."""
    figure = FIGURES[kind]("a\udce4b\x07c")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plots.png(figure), plots.png(figure)
    drawn = "".join(text.get_text() for text in figure.findobj(Text))
    assert "\ufffd" in drawn and not {"\udce4", "\x07"} & set(drawn)


@pytest.mark.parametrize(
    "draw",
    [
        lambda **flag: plots.bars({"a": 1}, "x", **flag),
        lambda **flag: plots.lines({"a": ([0], [1])}, "x", "y", **flag),
    ],
)
def test_a_word_is_no_flag(draw):
    """Checks that "no", which is true, is refused where shares are told from numbers."""
    with pytest.raises(InputError, match="^percentages: got 'no'; allowed are True and False"):
        draw(percentages="no")


# Fonts


@pytest.fixture(autouse=True)
def own_fonts(monkeypatch):
    """Only matplotlib's own fonts are installed, whatever the machine has, and nothing was told before."""
    own = [entry for entry in fontManager.ttflist if entry.fname.startswith(matplotlib.get_data_path())]
    monkeypatch.setattr(fontManager, "ttflist", own)
    monkeypatch.setattr(texts, "_warned", set())
    texts._fonts_with.cache_clear()
    yield
    texts._fonts_with.cache_clear()


def test_an_installed_font_that_has_the_characters_is_used():
    """Checks against the picture in which the title was given the one font of matplotlib that has circled letters, STIX: byte by
    byte; without it a warning would be an error, and the letters boxes."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chosen, given = (plots.grid(X[:1], ["ⒶⒷ"]) for _ in range(2))
        given.axes[0].title.set_fontfamily("STIXGeneral")
        assert plots.png(chosen) == plots.png(given)
        mixed = plots.grid(X[:1], ["Ⓐ STOP"])
        plots.png(mixed)
    assert mixed.axes[0].title.get_fontfamily() == [
        "sans-serif",
        "STIXGeneral",
    ]  # other letters stay in the usual font


def test_characters_without_a_font_are_told_of_once(recwarn):
    """The sentence, by hand: the characters and the remedy, and nothing of matplotlib's own beside it; new ones are told anew."""
    for _ in range(2):
        plots.png(plots.adversarial(X, X, LOGITS, LOGITS, classes=["停", "止 ok"]))
    [told] = [str(warning.message) for warning in recwarn]
    assert told.startswith("figure: no installed font has 停 止, drawn as boxes. Install one, such as Noto")
    assert "apt install fonts-noto-cjk" in told and matplotlib.get_cachedir() in told
    plots.png(plots.grid(X[:1], ["行"]))
    assert "行" in str(recwarn[-1].message) and len(recwarn) == 2


def test_wide_names_have_room():
    """Checks the box of a row's name, as drawn, against the figure: a Chinese character is as wide as two letters."""
    figure = plots.heat_map({"": {"限速二十公里每小时": {"net": 0.5}}}, "share")
    with pytest.warns(UserWarning, match="no installed font"):
        plots.png(figure)
    boxes = [text.get_window_extent() for text in figure.texts]
    assert all(box.x0 >= 0 for box in boxes)


# Numbers that numpy does not know


def test_bfloat16_is_drawn_as_its_float32_numbers():
    """The same numbers in float32, which holds every bfloat16 number: equal pictures, byte by byte."""
    x = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    logits, sizes = LOGITS.bfloat16(), torch.tensor([0.1, 0.3]).bfloat16()
    draw = [
        lambda of: plots.grid(of(x)),
        lambda of: plots.adversarial(of(x), of(x / 2), of(logits), of(logits)),
        lambda of: plots.lines({"a": (of(sizes), of(sizes))}, "x", "y", samples=10),
        lambda of: plots.lines({"a": ([0, 1], list(of(sizes)))}, "x", "y"),
        lambda of: plots.bars({"a": of(sizes)[0]}, "x"),
        lambda of: plots.distributions({"a": of(sizes)}, "x", budgets={"b": (of(sizes), of(sizes), 4)}),
        lambda of: plots.bent(of(x), of(x[:, :2]), of(x), of(logits), of(logits)),
    ]
    for figure in draw:
        assert plots.png(figure(lambda values: values)) == plots.png(figure(torch.Tensor.float))


def test_ticks_may_be_named_by_numbers():
    """`set_xticks(places, names)` takes numbers for names; they are written as matplotlib writes them elsewhere."""
    figure = plots.lines({"one": ([1, 5], [0, 1])}, "x", "y")
    figure.axes[0].set_xscale("log")
    figure.axes[0].set_xticks([1, 5], [1, 5.5])
    plots.png(figure)
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["1", "5.5"]
