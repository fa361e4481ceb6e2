"""The audit against broken evaluations whose mistakes are known, right ones, and counts by hand."""

import json
from copy import deepcopy
from functools import partial
from pathlib import Path

import pytest
import torch
from amounts import some
from broken_evaluations import BEGIN, CASES, END, audited, digits, missing, same_start
from nets import Function, images, linear
from torch import nn
from torchvision import transforms

from advcourse import attacks, data, models
from advcourse.attacks import BPDA, CWL2, EOT, FGSM, JSMA, PGD, UAP, Transfer
from advcourse.core.inputs import InputError, predict
from advcourse.evaluation import Audit, Store, audit, standard
from advcourse.evaluation.audit import effort, elsewhere
from advcourse.evaluation.audit.findings import CHECKS, Finding, light_of
from advcourse.zoo import deployed

# What `make test` tries: case -> digits.
QUICK = {
    "one_step": 40,
    "no_bpda": 20,
    "wrong_unit": 20,
    "shuffled_labels": 20,
    "standardised": 20,
    "training_mode": 20,
    "label_leaking": 20,
}
OTHERS = tuple(name for name in CASES if name not in QUICK)
REMEDIED = {
    "one_step": "6",
    "no_bpda": "11",
    "standardised": "0",
    "training_mode": "0",
    "shuffled_labels": "8",
}
SPACE = vars(attacks) | {
    "nn": nn,
    "torch": torch,
    "transforms": transforms,
    "partial": partial,
    "standard": standard,
}
LEAST = 20  # digits, in `make test`


@pytest.mark.parametrize("name", QUICK)
def test_a_broken_evaluation_turns_its_lights(name):
    """Against the table of mistakes in `broken_evaluations`, each of which was made on purpose."""
    assert missing(CASES[name], audited(name, QUICK[name])) == []


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("name", some(OTHERS[::-1], 20))
def test_the_other_broken_evaluations_do_so_too(name):
    """Against the same table."""
    assert missing(CASES[name], audited(name)) == []


def test_the_page_has_a_row_for_each_case():
    """The stored table against the cases: their titles, and the lights that each must turn."""
    page = (Path(__file__).parent.parent / "docs" / "evaluation.md").read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in page.split(BEGIN)[1].split(END)[0].splitlines()
        if line.startswith("| ") and "what is wrong" not in line
    ]
    assert [row[0] for row in rows] == [broken.title for broken in CASES.values()]
    for row, broken in zip(rows, CASES.values()):
        red, amber = ({*cell.split(", ")} for cell in row[3:])
        assert red >= {*broken.red} and red | amber >= {*broken.lit}, row[0]
        assert not broken.one_of or red & {*broken.one_of}, row[0]


def strongest(model, x, y):
    return standard(model, x, y, 0.3, version="quick").images


# Defense -> (digits, attack, straight): as strong as the zoo knows, with fewer draws where they take long.
RIGHT = {
    "Thermometer": (40, deployed.DEFENSES["Thermometer"].adaptive["BPDA"], deployed.Thermometer.attackable),
    "PAT": (24, strongest, None),
    "none": (40, PGD(0.3), None),
    "NAT": (40, PGD(0.3, steps=100, restarts=10), None),
    "IGR": (40, PGD(0.3, steps=100, restarts=10), None),
    "DD": (40, PGD(0.3, steps=100, restarts=10), None),
    "RC": (10, Transfer(PGD(0.3, steps=20), deployed.mean_voter), deployed.mean_voter),
    "LID": (20, deployed.DEFENSES["LID"].adaptive["aware"], None),
    "RT": (10, Transfer(PGD(0.3, steps=20), partial(EOT, draws=10)), None),
    "EIT": (8, Transfer(PGD(0.3, steps=20), deployed.shown_through), deployed.shown_through),
}


@pytest.mark.long
@pytest.mark.parametrize("name", some(tuple(RIGHT), 5))
def test_a_right_evaluation_of_a_shipped_defense_is_not_red(name):
    """Against the zoo's own strongest attacks, which docs/defenses.md measures on a hundred digits."""
    few, attack, straight = RIGHT[name]
    result = audit(
        deployed.load(name), *data.load("mnist-5k").pick(few, seed=0), attack, straight=straight, eps=0.3
    )
    assert result.light in ("green", "amber"), [f for f in result.findings if f.light == "red"]


def begun(name):
    """The arguments of a case, and its audit."""
    given = CASES[name].make(*digits(LEAST))
    return given, audit(*(given[key] for key in ("model", "x", "y", "attack")), **_options(given))


def remedied(given, before, check):
    """The audit after the line of code that the finding of `check` gives."""
    space = SPACE | {"eps": before.eps, "audited": before, "dataset": data.load("mnist-5k")} | given
    exec(before[check].remedy, space)
    changed = _options(given) | {"eps": space["eps"]}
    return audit(*(space[key] for key in ("model", "x", "y", "attack")), **changed)


def _options(given):
    return {key: given[key] for key in ("straight", "eps") if key in given}


@pytest.mark.parametrize("name", REMEDIED)
def test_a_remedy_turns_its_light(name):
    """The line is run as it stands, and the same check asked again."""
    (given, before), check = begun(name), REMEDIED[name]
    assert before[check].light == "red"
    assert remedied(given, before, check)[check].light in ("green", "amber")


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(
    "name", some(["label_leaking", *(name for name in CASES if name != "label_leaking")], 30)
)
def test_every_remedy_turns_its_light(name):
    """All red findings of a case that give a line, each run by itself."""
    given, before = begun(name)
    for finding in before.findings:
        if finding.light == "red" and finding.remedy:
            assert remedied(given, before, finding.check)[finding.check].light != "red", finding.check


def test_lights_are_the_sheets():
    """By hand: amber above one image and half a point, red above two images and two points."""
    assert [light_of(fallen, 40) for fallen in (0, 1, 2, 3)] == ["green", "green", "amber", "red"]
    assert [light_of(fallen, 1000) for fallen in (2, 5, 6, 20, 21)] == [
        "green",
        "green",
        "amber",
        "amber",
        "red",
    ]
    assert light_of(0, 0) == "green"


@pytest.fixture(scope="module")
def fgsm():
    """A single step on adversarially trained digits: (model, x, y, audit)."""
    model, (x, y) = models.load("mnist-nat"), digits(LEAST)
    return model, x, y, audit(model, x, y, FGSM(0.3))


def test_what_is_left_is_true(fgsm):
    """Against fresh passes, and FGSM by itself: what fell was fooled inside the ball, what is left was never."""
    model, x, y, result = fgsm
    assert torch.equal(result.clean, predict(model, x).argmax(1) == y)
    assert torch.equal(result.claimed, predict(model, FGSM(0.3)(model, x, y)).argmax(1) == y)
    fooled = predict(model, result.images).argmax(1) != y
    assert torch.equal(fooled & result.clean, result.clean & ~result.minimum)
    assert (result.images - x).abs().max() <= 0.3 + 1e-6 and not (result.minimum & ~result.claimed).any()
    assert result.light == "red" and result.robust_accuracy.value < result.claimed_accuracy.value


def test_witnesses_show_what_a_finding_says(fgsm):
    """Against a fresh pass of each witness through the model."""
    model, x, y, result = fgsm
    shown = [
        (finding, one) for finding in result.findings for one in finding.witnesses if finding.check in "146"
    ]
    assert shown
    for finding, one in shown:
        assert (
            len(finding.witnesses) <= 3 and torch.equal(one.clean, x[one.index]) and one.label == y[one.index]
        )
        assert int(predict(model, one.image[None]).argmax(1)) == one.answer != one.label
        assert one.size == pytest.approx((one.image - one.clean).abs().max().item())


def test_every_check_has_a_finding(fgsm):
    """Against the list of checks; a grey light gives its reason, a red one its remedy and what was tried."""
    *_, result = fgsm
    assert [finding.check for finding in result.findings] == list(CHECKS)
    assert all(finding.sentence.endswith((".", ")")) for finding in result.findings)
    assert all(finding.remedy for finding in result.findings if finding.light == "red")
    assert result["6"] is result[6] and result.passes == sum(finding.passes for finding in result.findings)
    with pytest.raises(InputError, match="check: got 19"):
        result[19]


def test_it_can_be_read_in_three_ways(fgsm):
    """Against the findings: all sentences are on the page and in the table, and the JSON is strict."""
    *_, result = fgsm
    page, text, content = result.as_html("My audit"), result.as_markdown(), json.loads(result.as_json())
    for finding in result.findings:
        assert finding.sentence.split("`")[0] in page.replace("&quot;", '"') and finding.sentence in text
    assert "My audit" in page and "<script" not in page and page.count("<img") >= 3
    assert content["light"] == "red" and len(content["findings"]) == len(CHECKS)
    assert content["minimum"] == result.minimum.tolist()


def test_finished_probes_are_found_again(tmp_path, monkeypatch):
    """The second audit has the same findings, and puts nothing new into the store."""
    net, x = linear(5, (1, 8, 8), dtype=torch.float32), images(6)
    y = predict(net, x).argmax(1)
    first = audit(net, x, y, FGSM(0.02), folder=tmp_path)
    assert len([*tmp_path.iterdir()]) >= 5
    monkeypatch.setattr(Store, "put", lambda *_: pytest.fail("measured again"))
    again = audit(net, x, y, FGSM(0.02), folder=tmp_path)
    assert [_comparable(one) for one in first.findings] == [_comparable(one) for one in again.findings]
    assert torch.equal(again.images, first.images)


def _comparable(finding):
    """A finding without its pictures, whose tensors can't be compared by ==."""
    return Finding(**{**vars(finding), "witnesses": len(finding.witnesses)})


def test_the_same_seed_gives_the_same_findings():
    """Two runs of the same computation, and the global generator, which is left alone."""
    net, x = linear(5, (1, 8, 8), dtype=torch.float32), images(6)
    y = predict(net, x).argmax(1)
    state = torch.get_rng_state()
    first, second = (audit(net, x, y, FGSM(0.02), seed=3) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert first.as_markdown() == second.as_markdown() and torch.equal(first.images, second.images)


def test_a_model_without_a_gradient_is_red_and_still_searched():
    """Rounded images under no_grad: 17 says so, and what needs no gradient is tried all the same."""
    net, x = linear(5, (1, 8, 8), dtype=torch.float32), images(12)
    blind = Function(lambda z: net(z).detach())
    y = predict(net, x).argmax(1)
    result = audit(blind, x, y, lambda model, x, y: x, eps=0.2, straight=net)
    assert result["17"].light == "red" and "no gradient" in result["17"].sentence.lower()
    assert result["1"].light == "grey" and "could not be tried" in result["1"].sentence
    assert result["11"].light == "red" and result["budget"].light == "red" and int(result.minimum.sum()) < 12


def test_dead_restarts_are_seen_bit_by_bit():
    """Restarts from one seed beside PGD's own: only the first give what a single run gives."""
    net, x = linear(5, (1, 8, 8), dtype=torch.float32), images(12)
    y = predict(net, x).argmax(1)

    dead = partial(same_start, eps=0.005, steps=3, restarts=3)
    for attack, seen in ((dead, True), (PGD(0.005, steps=3, restarts=3, keep="last"), False)):
        finding = audit(net, x, y, attack)["6"]
        assert ("The restarts are dead" in finding.sentence) == seen
        assert not seen or finding.light in ("amber", "red")


@pytest.mark.gpu
def test_a_gpu_finds_what_the_cpu_finds(monkeypatch):
    """The same lights, with few draws and queries, on a linear net whose images fall by far or not at all."""
    monkeypatch.setattr(effort, "_DRAWS", 2)
    monkeypatch.setattr(elsewhere, "_QUERIES", 4)
    net, x = linear(5, (1, 8, 8), dtype=torch.float32), images(3)
    y = predict(net, x).argmax(1)
    there = audit(deepcopy(net).to("cuda"), x.to("cuda"), y.to("cuda"), FGSM(0.01), straight=deepcopy(net))
    here = audit(net, x, y, FGSM(0.01), straight=net)
    assert there.images.is_cuda and [f.light for f in there.findings] == [f.light for f in here.findings]


def test_a_batch_that_is_all_misread_has_nothing_to_attack():
    """By hand: 8 is red, and no check by effect says green."""
    net, x = linear(5, (1, 8, 8), dtype=torch.float32), images(6)
    result = audit(net, x, (predict(net, x).argmax(1) + 1) % 5, PGD(0.02, steps=3))
    assert result["8"].light == "red" and not result.clean.any()
    assert {result[check].light for check in ("1", "4", "5", "6", "14", "17")} == {"grey"}


def test_few_classes_are_said_where_the_loss_needs_four():
    """By hand: the sentence of check 14 names the loss that stood in."""
    net, x = linear(3, (1, 8, 8), dtype=torch.float32), images(6)
    result = audit(net, x, predict(net, x).argmax(1), PGD(0.02, steps=3))
    assert "fewer than four classes" in result["14"].sentence


def test_a_smallest_change_needs_the_budget_of_the_claim():
    """C&W, whose claim is counted by hand from its own sizes."""
    net, x = linear(4, (1, 8, 8), dtype=torch.float32), 0.3 + 0.4 * images(8)
    y, attack = predict(net, x).argmax(1), CWL2(binary_search_steps=3, steps=30)
    run = attack.run(net, x, y)
    eps = run.size[run.success].median().item() * 1.01
    result = audit(net, x, y, attack, eps=eps)
    assert torch.equal(result.claimed, ~(run.success & (run.size <= eps)))
    assert result["budget"].light == "grey" and "median" in result["15"].sentence
    with pytest.raises(InputError, match="eps: got None, but a minimum-norm attack has no budget"):
        audit(net, x, y, attack)


def test_what_passes_a_success_is_caught():
    """A function that walks over the boundary and returns its first image: the walk is what fools."""
    net, x = linear(5, (1, 8, 8), dtype=torch.float32), images(12)
    y = predict(net, x).argmax(1)

    def forgets(model, x, y):
        model(PGD(0.1)(model, x, y))
        return x

    result = audit(net, x, y, forgets, eps=0.1)
    assert result["0"].light == "red" and "passed a success" in result["0"].sentence
    assert not (result.minimum & (predict(net, PGD(0.1)(net, x, y)).argmax(1) != y)).any()


def test_an_attack_may_return_the_clean_image_where_it_fails():
    """By hand: one asks about the border of the ball, the other about nothing but the image; both return it."""
    net, x = linear(5, (1, 8, 8), dtype=torch.float32), 0.3 + 0.4 * images(6)
    y = predict(net, x).argmax(1)

    def far(model, x, y, eps=1e-4):
        model(x + eps)
        return x

    def near(model, x, y, eps=1e-4):
        model(x)
        return x

    lights = [audit(net, x, y, attack)["budget"] for attack in (far, near)]
    assert [one.light for one in lights] == ["green", "red"]
    assert lights[0].numbers["median size where it fails"] == pytest.approx(1e-4, rel=1e-2)


def test_a_fresh_wrapper_is_no_model_in_training_mode():
    """`training` is True in a new Sequential around a net in eval mode, and nothing differs."""
    net = models.load("mnist-small")
    x, y = digits(4)
    wrapped = nn.Sequential(net)
    assert wrapped.training
    result = audit(wrapped, x, y, PGD(0.3, steps=5))
    assert result["0"].light == "green" and wrapped.training and not net.training


def test_bpda_may_be_a_function_of_the_model():
    """The same finding as with the module that the function returns."""
    net, x = linear(5, (1, 8, 8), dtype=torch.float32), images(8)
    model = nn.Sequential(Function(torch.round), net)
    y = predict(model, x).argmax(1)

    def straight(given):
        return nn.Sequential(BPDA(given[0]), given[1])

    results = [audit(model, x, y, FGSM(0.1), straight=one)["11"] for one in (straight, straight(model))]
    assert results[0].numbers == results[1].numbers


BAD = {
    "eps 0": ({"eps": 0}, "eps: got 0; allowed is a number > 0"),
    "an unknown profile": ({"profile": "slow"}, "profile: got 'slow'; allowed are 'quick', 'full'"),
    "another norm": ({"norm": "L1"}, "norm: got 'L1'; allowed are 'Linf', 'L2'"),
    "an attack in another norm": ({"attack": JSMA()}, "norm: got an attack in L0"),
    "one change for all": ({"attack": UAP()}, "attack: got UAP.*; allowed are attacks on each image"),
    "a class": ({"attack": PGD}, r"attack: got .*make it an object"),
    "no attack": ({"attack": 3}, "attack: got 3; allowed is an Attack, a function"),
    "images of another shape": ({"attack": torch.zeros(1, 1, 8, 8)}, "attack: got images of shape"),
    "a function without a budget": ({"attack": lambda model, x, y: x}, "eps: got None, but a function"),
    "a function that returns none": (
        {"attack": lambda model, x, y: None, "eps": 0.1},
        "attack: gave NoneType",
    ),
    "no model": ({"model": "mnist-cnn"}, "model: got 'mnist-cnn'"),
    "labels of a class that is not there": ({"y": torch.full((4,), 9)}, "y: got label 9"),
    "no images": ({"x": torch.zeros(0, 1, 8, 8), "y": torch.zeros(0).long()}, "x: got no images"),
    "no network to compare with": ({"known": "mnist-cnn"}, "known: got 'mnist-cnn'"),
    "no straight version": ({"straight": 3}, "straight: got 3; allowed is a module, or a function"),
    "a seed below 0": ({"seed": -1}, "seed: got -1"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_one_sentence(kind):
    """The expected sentence is written out by hand for each kind."""
    net, x = linear(4, (1, 8, 8), dtype=torch.float32), images(4)
    given = {"model": net, "x": x, "y": predict(net, x).argmax(1), "attack": PGD(0.1, steps=2)}
    changed, message = BAD[kind]
    given |= changed
    with pytest.raises(InputError, match=message):
        audit(given.pop("model"), given.pop("x"), given.pop("y"), given.pop("attack"), **given)


def test_it_is_an_audit(fgsm):
    """The type that `evaluation` hands on."""
    assert isinstance(fgsm[-1], Audit)
