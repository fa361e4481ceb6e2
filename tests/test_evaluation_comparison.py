"""`compare` ranks what can be ranked, and says why it refuses the rest."""

import math

import numpy as np
import pytest
import torch
from nets import linear
from records import record

from advcourse import attacks
from advcourse.attacks import ThreatModel
from advcourse.evaluation import compare
from advcourse.inputs import InputError

BALL = ThreatModel("Linf", 0.3, "untargeted")
LINF = ThreatModel("Linf", None, "untargeted")


def in_ball(success, eps=0.3, **more):
    threat = ThreatModel("Linf", eps, "untargeted", **more)
    return record(success, [eps] * len(success), threat=threat)


def test_minimum_norm_attacks_are_ranked_by_the_median_with_failures_at_infinity():
    """By hand: the mean over successes would put "easy" (1) before "good" (2.75); its median is infinite."""
    runs = {"easy": record([1, 0, 0, 0, 0]), "good": record([1, 1, 1, 1, 0], [2, 2, 3, 4, 5])}
    table = compare(runs, by="size")
    assert list(table.index) == ["good", "easy"]
    assert table["median size"].tolist() == [3, math.inf] and table["success"].tolist() == [0.8, 0.2]
    assert table["common"].tolist() == [1, 1] and table["mean L2"].tolist() == [2, 1]


def test_budgeted_attacks_are_ranked_by_success():
    """By hand: 3 of 4 before 1 of 4."""
    table = compare({"a": in_ball([1, 0, 0, 0]), "b": in_ball([1, 1, 1, 0])}, by="success")
    assert list(table.index) == ["b", "a"]


def test_a_budget_makes_minimum_norm_attacks_comparable():
    """By hand: of the sizes 0.1, 0.2, 0.4 and 0.5 two are within 0.3."""
    free = record([1, 1, 1, 1], [0.1, 0.2, 0.4, 0.5], threat=LINF)
    table = compare({"pgd": in_ball([1, 0, 0, 0]), "free": free}, by="success", at=0.3)
    assert table["success"].to_dict() == {"free": 0.5, "pgd": 0.25}


THREATS = {
    "norms": record([1, 1], threat=ThreatModel("L1", None, "untargeted")),
    "aims": record([1, 1], threat=ThreatModel("L2", None, "targeted")),
    "kinds": record([1, 1], threat=ThreatModel("L2", 2.0, "untargeted")),
    "universal": record([1, 1], threat=ThreatModel("L2", None, "untargeted", universal=True)),
}


@pytest.mark.parametrize("other", THREATS)
@pytest.mark.parametrize("by", ["size", "success"])
def test_other_threat_models_are_refused_by_name(other, by):
    """The message must name both threat models in words."""
    runs = {"one": record([1, 1]), "two": THREATS[other]}
    with pytest.raises(InputError, match="2 threat models: one .*two .*say nothing") as refused:
        compare(runs, by)
    assert all(f"({run.threat_model})" in str(refused.value) for run in runs.values())
    assert len(compare(runs)) == 2  # beside each other they may stand


def test_other_budgets_are_refused():
    """0.3 and 0.1 in L-infinity; and a budget `at` that is not the attack's own."""
    with pytest.raises(InputError, match="2 threat models: a .L∞ ≤ 0.3.*b .L∞ ≤ 0.1"):
        compare({"a": in_ball([1]), "b": in_ball([1], eps=0.1)}, "success")
    with pytest.raises(InputError, match="2 threat models"):
        compare({"a": in_ball([1]), "free": record([1], threat=LINF)}, "success", at=0.1)


def test_what_is_no_result_is_no_ranking():
    """The size of a budgeted attack is its budget; the success of an unbounded one is a matter of patience."""
    with pytest.raises(InputError, match="by: got 'size' for attacks with the budget 0.3"):
        compare({"a": in_ball([1])}, "size")
    with pytest.raises(InputError, match="by: got 'success' for attacks without a budget"):
        compare({"a": record([1])}, "success")


def test_other_images_are_refused():
    """Two of three images, and the same number of others: each decides how well an attack does."""
    for other in (record([1, 1]), record([1, 1, 1], index=[0, 1, 3]), record([1, 1, 1], model="else")):
        with pytest.raises(InputError, match="'b' attacked other images, or another model, than 'a'"):
            compare({"a": record([1, 1, 1]), "b": other})


def test_bad_input():
    """The sentences, written out by hand."""
    with pytest.raises(InputError, match="runs: got none"):
        compare({})
    with pytest.raises(InputError, match="by: got 'L2'; allowed are None, 'success', 'size'"):
        compare({"a": record([1])}, "L2")


def test_results_of_attacks_compare_as_records_do():
    """The closed form of a linear model: DeepFool and C&W end at one distance; a tie keeps the order that was given."""
    model = linear()
    x = 0.4 + 0.2 * torch.rand(6, 1, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = model(x).argmax(1)
    runs = {
        name: attack.run(model, x, y) for name, attack in (("cw", attacks.CWL2()), ("df", attacks.DeepFool()))
    }
    table = compare(runs, by="size")
    weight = (model.weight[1] - model.weight[0]).detach()
    exact = (model(x)[:, 1] - model(x)[:, 0]).abs().detach() / weight.norm()
    assert table["median size"].tolist() == pytest.approx([np.median(exact)] * 2, rel=0.05)
    assert table["mean L2"].tolist() == pytest.approx([exact.mean().item()] * 2, rel=0.05)
    assert table["threat model"].tolist() == ["least L2, untargeted"] * 2
