"""The figures of a report on records made by hand: what is drawn, and what never shares a block or a chart."""

import math
from dataclasses import replace

import pytest
from reports import LEAST, LEAST_LINF, LINF, SMALL, TARGETED, matrix, measured

from advcourse import plots
from advcourse.attacks import ThreatModel
from advcourse.core.intervals import counted
from advcourse.evaluation import Names, figures


@pytest.fixture
def drawn(monkeypatch):
    """What the plots are asked to draw: name -> list of (positional, named) arguments."""
    calls = {}
    for name in ("heat_map", "distributions", "bar_panels", "image_table"):
        original = getattr(plots, name)

        def spy(*arguments, _name=name, _original=original, **settings):
            calls.setdefault(_name, []).append((arguments, settings))
            return _original(*arguments, **settings)

        monkeypatch.setattr(plots, name, spy)
    return calls


def test_no_block_of_the_heat_map_mixes_threat_models(drawn):
    """By hand: a block for each threat model; the numbers are the shares of all 5 images that are left."""
    figures.overview(matrix().records)
    (blocks, _), settings = drawn["heat_map"][0]
    assert {name: list(block) for name, block in blocks.items()} == {
        "": ["no attack"],
        "L∞ ≤ 0.3, untargeted": ["FGSM", "PGD"],
        "L∞ ≤ 0.3, targeted": ["LLC"],
        "least L2, untargeted": ["DeepFool", "CWL2"],
    }
    assert blocks[""]["no attack"] == {"net": 0.8, "wide net": 0.8}
    assert blocks["L∞ ≤ 0.3, untargeted"]["PGD"] == {"net": 0, "wide net": 0.2}
    assert blocks["L∞ ≤ 0.3, targeted"]["LLC"] == {"net": 0.2, "wide net": 0.2}  # three of four are misread
    assert settings["notes"]["least L2, untargeted"]["DeepFool"] == {"net": "(∞)", "wide net": "(∞)"}
    assert settings["notes"]["least L2, untargeted"]["CWL2"]["net"] == "(2.5)"
    assert not settings["notes"]["L∞ ≤ 0.3, untargeted"]


def test_photographs_are_in_blocks_and_charts_of_their_own(drawn):
    """By hand: two attacks of one norm and budget, one judged on screen, one on paper; and two budgets of each in charts."""
    records = [
        replace(
            measured([1, 0], attack=name, threat=threat),
            names=Names(name, "net", "images", f"{threat.eps:g}"),
        )
        for name, channel in (("paper", "physical"), ("screen", "digital"))
        for threat in (replace(LINF, channel=channel), replace(SMALL, channel=channel))
    ]
    figures.overview(records)
    (blocks, _), _ = drawn["heat_map"][0]
    assert {name: list(block) for name, block in blocks.items()} == {
        "": ["no attack"],
        "L∞ ≤ 0.1, untargeted": ["screen, 0.1"],
        "L∞ ≤ 0.3, untargeted": ["screen, 0.3"],
        "L∞ ≤ 0.1, untargeted, physical": ["paper, 0.1"],
        "L∞ ≤ 0.3, untargeted, physical": ["paper, 0.3"],
    }
    captions = {drawing.caption for drawing in figures.against_eps(records)}
    assert captions == {"net: L∞, untargeted", "net: L∞, untargeted, physical"}


def test_success_against_eps_keeps_aims_apart(drawn):
    """By hand: one chart, with FGSM at two budgets as one curve, and the sizes of the minimum-norm attack of the same norm."""
    sweep = [
        replace(measured(success, attack="FGSM", threat=threat), names=Names("FGSM", "net", "images", name))
        for success, threat, name in (([1, 1], LINF, "eps 0.3"), ([1, 0], SMALL, "eps 0.1"))
    ]
    others = [
        measured([1, 0], attack="CWLinf", threat=LEAST_LINF, size=[0.2, 0]),
        measured([1, 0], attack="LLC", threat=TARGETED),
        measured([1, 1], attack="DeepFool", threat=LEAST),
    ]
    drawings = figures.against_eps([*sweep, *others])
    ((sizes, label), settings) = drawn["distributions"][0]
    assert [drawing.caption for drawing in drawings] == ["net: L∞, untargeted"]
    assert {name: values.tolist() for name, values in sizes.items()} == {"CWLinf": [0.2, math.inf]}
    assert settings["budgets"] == {"FGSM": ([0.3, 0.1], [1, 0.5], 2)} and "L∞" in label


def test_variants_of_one_budget_are_curves_of_their_own(drawn):
    """By hand: two settings of PGD at eps 0.3 and one at 0.1 cannot be one curve."""
    settings = (("10 steps", LINF), ("40 steps", LINF), ("weak", SMALL))
    records = [
        replace(measured([1, 0], attack="PGD", threat=threat), names=Names("PGD", "net", "images", name))
        for name, threat in settings
    ]
    figures.against_eps(records)
    assert list(drawn["distributions"][0][1]["budgets"]) == ["PGD, 10 steps", "PGD, 40 steps", "PGD, weak"]


def test_one_budget_and_nothing_else_is_no_curve():
    """Checks that no chart is drawn whose only content would be points above each other."""
    assert figures.against_eps([measured([1, 0], attack=name, threat=LINF) for name in ("FGSM", "PGD")]) == []


def test_a_share_and_a_number_of_pixels_are_no_common_axis(drawn):
    """JSMA's budget is a share of all values, C&W L0's size a number of pixels: they do not meet in a chart."""
    budgets = [ThreatModel("L0", share, "untargeted") for share in (0.1, 0.2)]
    records = [
        replace(
            measured([1, 0], attack="JSMA", threat=one), names=Names("JSMA", "net", "images", str(one.eps))
        )
        for one in budgets
    ]
    records.append(measured([1, 1], attack="CWL0", threat=ThreatModel("L0", None, "untargeted")))
    figures.against_eps(records)
    figures.distributions(records)
    (first, _), (second, _) = drawn["distributions"]
    assert first[0] == {} and first[1].startswith("share of all values")
    assert list(second[0]) == ["CWL0"] and "pixels" in second[1]


def test_size_distributions_have_failures_at_infinity(drawn):
    """By hand: models side by side in one chart of a threat model; with more than eight curves, a chart for each model."""
    drawings = figures.distributions(matrix().records)
    assert [drawing.caption for drawing in drawings] == ["least L2, untargeted"]
    sizes = drawn["distributions"][0][0][0]
    assert sizes["DeepFool, net"].tolist() == [0.5, math.inf, math.inf, math.inf]
    assert sizes["CWL2, wide net"].tolist() == [1, 2, 3, math.inf]
    many = [measured([1, 0], model=f"net {i % 2}", attack=f"a{i}", threat=LEAST) for i in range(10)]
    assert [drawing.caption[:5] for drawing in figures.distributions(many)] == ["net 0", "net 1"]


def test_robustness_has_the_clean_accuracy_beside_it(drawn):
    """By hand: of PGD's three successes the first and third are left; the clean accuracy is the record's 0.75."""
    figures.robustness(matrix().records)
    (blocks, _), settings = drawn["bar_panels"][1]
    assert blocks["L∞ ≤ 0.3, untargeted"]["PGD"]["noise"] == counted(2, 3)
    assert settings["references"] == {"noise": 0.75}


def test_pictures_of_each_attack_on_the_first_model(drawn):
    """Checks the rows against the record's pictures: from 0 to 0.5, a change that can be doubled; labels, frames, one scale."""
    drawings = figures.pictures(matrix().records)
    assert [drawing.caption.split(" ")[0] for drawing in drawings] == [
        "FGSM",
        "PGD",
        "LLC",
        "DeepFool",
        "CWL2",
    ]
    (rows,), settings = drawn["image_table"][0]
    assert list(rows) == ["clean", "change × 2", "attacked"]
    assert rows["clean"].shape == (3, 8, 8, 3) and (rows["attacked"] == 0.5).all()
    assert settings["titles"] == {"clean": ["0"] * 3, "attacked": ["1, 75 %"] * 3}
    assert settings["framed"]["attacked"].tolist() == [True, False, False]
