"""`compare` ranks what can be ranked, and says why it refuses the rest."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from nets import Scaled, linear
from records import record

from advcourse import attacks
from advcourse.attacks import ThreatModel
from advcourse.core.identity import identity
from advcourse.core.inputs import InputError
from advcourse.evaluation import compare

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
    "channels": record([1, 1], threat=ThreatModel("L2", None, "untargeted", channel="physical")),
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


def test_a_budget_in_another_unit_than_the_sizes_is_refused():
    """0.145 of all values against 3 changed pixels: both attacks always succeed, and 0 % and 0 % would be shown. In pixels, by
    hand: of the sizes 3, 5 and 9 two are at most 5."""
    share = record([1, 1, 1], [3, 5, 9], threat=ThreatModel("L0", 0.145, "untargeted"))
    pixels = record([1, 1, 1], [3, 5, 9], threat=ThreatModel("L0", None, "untargeted"))
    with pytest.raises(
        InputError, match="at: got 0.145 beside JSMA .L0 ≤ 0.145 of all values.*changed pixels"
    ):
        compare({"JSMA": share, "CWL0": pixels}, by="success", at=0.145)
    with pytest.raises(InputError, match="at: got 0.145 for sizes in L0.*>= 1"):
        compare({"CWL0": pixels}, by="success", at=0.145)
    assert compare({"CWL0": pixels}, by="success", at=5)["success"].tolist() == [pytest.approx(2 / 3)]
    assert compare({"JSMA": share}, by="success")["success"].tolist() == [1]


def test_a_budget_is_of_one_norm():
    """The sentences, written out by hand: 0.3 in L2 is not 0.3 in L-infinity."""
    with pytest.raises(
        InputError, match="at: got 0.3 for sizes in L2 and Linf; allowed is a budget for attacks of one"
    ):
        compare({"a": record([1]), "b": record([1], threat=LINF)}, at=0.3)
    for at in (-1, math.nan, "0.3"):
        with pytest.raises(InputError, match="at: got .*; allowed is a number >= 0"):
            compare({"a": record([1])}, "success", at=at)


def test_what_is_no_result_is_no_ranking():
    """The size of a budgeted attack is its budget; the success of an unbounded one is a matter of patience."""
    with pytest.raises(InputError, match="by: got 'size' for attacks with the budget 0.3"):
        compare({"a": in_ball([1])}, "size")
    with pytest.raises(InputError, match="by: got 'success' for attacks without a budget"):
        compare({"a": record([1])}, "success")


def test_other_images_are_refused():
    """Two of three images, and the same number of others: each decides how well an attack does, whatever the model."""
    for other in (record([1, 1]), record([1, 1, 1], index=[0, 1, 3])):
        for across in (False, True):
            with pytest.raises(InputError, match="'b' attacked other images than 'a'"):
                compare({"a": record([1, 1, 1]), "b": other}, across_models=across)


def test_other_models_are_refused_unless_told_so():
    """Checks records of two models; told to go across them, the table has the rates of both, by hand 1 and 1/3."""
    runs = {"a": record([1, 1, 1]), "b": record([1, 0, 0], model="else")}
    with pytest.raises(
        InputError, match="'b' attacked another model than 'a'.*model and else.*across_models=True"
    ):
        compare(runs)
    table = compare(runs, by="size", across_models=True)
    assert table["success"].tolist() == pytest.approx([1, 1 / 3])


def test_a_result_knows_its_model():
    """Checks results of one attack on two models that differ in a private number alone, and on a copy of the first."""
    weak, strong, copied = Scaled(linear(), 1.0), Scaled(linear(), 0.6), Scaled(linear(), 1.0)
    x = 0.4 + 0.2 * torch.rand(6, 1, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = weak(x).argmax(1)
    one, other, same = (attacks.FGSM(0.1).run(model, x, y) for model in (weak, strong, copied))
    carried = attacks.Transfer(attacks.FGSM(0.1), strong).run(weak, x, y)
    assert one.model == same.model == carried.model == identity(weak) != other.model == identity(strong)
    assert len(compare({"a": one, "b": same, "c": carried}, by="success")) == 3
    with pytest.raises(InputError, match="'b' attacked another model than 'a'"):
        compare({"a": one, "b": other})
    assert len(compare({"a": one, "b": other}, across_models=True)) == 2
    with pytest.raises(InputError, match="unknown and unknown"):
        compare({"a": replace(one, model=""), "b": replace(one, model="")})


def test_a_result_is_its_own_copy():
    """Checks a record's numbers before and after the caller fills all that was handed in, labels and targets included."""
    x = 0.4 + 0.2 * torch.rand(6, 1, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    model = linear(4)
    y = model(x).argmax(1)
    for attack, target in (
        (attacks.FGSM(0.2), None),
        (attacks.PGD(0.2, steps=3, targeted=True), (y + 1) % 4),
    ):
        given = [tensor if tensor is None else tensor.clone() for tensor in (x, y, target)]
        run = attack.run(model, *given)
        held = {name: value.clone() for name, value in vars(run).items() if isinstance(value, torch.Tensor)}
        rate = run.success_rate
        for tensor in given:
            if tensor is not None:
                tensor.fill_(0)
        assert run.success_rate == rate > 0
        assert all(torch.equal(getattr(run, name), value) for name, value in held.items())


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


def test_records_in_bfloat16_compare_as_those_of_the_same_numbers():
    """The same record in float64, which holds every bfloat16 number: equal tables."""
    model, x = linear().bfloat16(), torch.full((2, 1, 6, 6), 0.5, dtype=torch.bfloat16)
    run = attacks.FGSM(0.25).run(model, x, model(x).argmax(1))
    wide = replace(run, clean=run.clean.double(), images=run.images.double(), logits=run.logits.double())
    pd.testing.assert_frame_equal(compare({"a": run}), compare({"a": wide}))


@pytest.mark.parametrize(
    "runs", [[in_ball([True])], in_ball([True]), {"a": "b"}, {"a": None}], ids=["list", "one", "text", "none"]
)
def test_runs_are_a_dictionary_of_results(runs):
    """Checks the sentence, where Python would name an attribute that is missing."""
    with pytest.raises(InputError, match="^runs: got a .*; allowed is a dictionary, name -> what attack.run"):
        compare(runs)


def test_a_word_does_not_compare_models():
    """Checks that "no", which is true, is refused: it would put attacks on different models into one table."""
    with pytest.raises(InputError, match="^across_models: got 'no'; allowed are True and False"):
        compare({"a": in_ball([True])}, across_models="no")
