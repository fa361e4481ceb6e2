"""Lab 3: what every lab passes, and the judge's formulas."""

import re

import pytest
import torch
from lab_tests import LabTests

from advcourse.labs import definitions as by_hand
from advcourse.labs.comparing import called
from advcourse.labs.exercises import Draw
from advcourse.labs.lab3 import LAB, around, measure, nearest
from advcourse.labs.lab3.cw_l2 import cw_l2
from advcourse.labs.lab3.cw_loss import cw_loss, detached
from advcourse.labs.lab3.directions import directions
from advcourse.labs.lab3.ead import cases, ead
from advcourse.labs.lab3.freeze import freeze
from advcourse.labs.lab3.questions import lead
from advcourse.labs.lab3.search import search
from advcourse.labs.lab3.shrink import shrink
from advcourse.labs.measuring import known_digits
from advcourse.labs.running import Call, LocalRunner
from advcourse.labs.victims import Victim
from advcourse.metrics import l1, l2


class TestLab3(LabTests):
    lab, written, pictures = LAB, 6, 7


# The judge's formulas


@pytest.fixture
def line():
    """The judge's question with closed forms: a linear model with two classes, images 0.3 away from the boundary."""
    return nearest.at_distance(cw_l2.case(Draw(5), **nearest.LINE), 0.3)


def test_the_boundary_is_as_far_as_the_judge_says(line):
    """Checks geometry: 0.3 along the normal the lead is 0, and of many random changes of that length none gets there."""
    x, g = by_hand.clean(line), nearest._normal(line)
    there = x + 0.3 * g / g.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    assert torch.allclose(lead(line, there), torch.zeros(4, dtype=torch.float64), atol=1e-6)
    changes = torch.randn(
        500, 1, *x.shape[1:], generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    changes = 0.3 * changes / changes.flatten(2).norm(dim=2).view(-1, 1, 1, 1, 1)
    leads = torch.stack([lead(line, x + change) for change in changes])
    assert (leads > 0).all() and lead(line, x).min() > 0.05


@pytest.mark.parametrize("times, fools", [(0.9, False), (1.1, True)])
def test_the_least_constant_is_what_descent_finds(line, times, fools):
    """Checks the closed form against plain gradient descent on |delta|^2 + c f, which is convex here: it fools above it alone."""
    x, c = by_hand.clean(line), times * nearest.least_constant(line)
    delta = torch.zeros_like(x, requires_grad=True)
    reached = torch.zeros(4, dtype=torch.bool)
    for _ in range(200):
        ahead = lead(line, x + delta)
        reached |= ahead <= 0
        value = delta.square().sum() + c * ahead.clamp_min(0).sum()
        delta = (delta - 0.05 * torch.autograd.grad(value, delta)[0]).detach().requires_grad_()
    assert reached.tolist() == [fools] * 4


def test_shrinking_is_foolboxs():
    """Checks S_beta, pixel by pixel, against foolbox's shrinkage, on points inside and outside the box."""
    from foolbox.attacks import ead

    case = shrink.case(Draw(6))
    z, x = (ead.ep.astensor(tensor.double()) for tensor in (case["z"], case["x"]))
    theirs = ead._project_shrinkage_thresholding(z, x, case["beta"], 0, 1).raw
    assert torch.equal(theirs, x.raw) is False
    assert torch.allclose(called(shrink, case), theirs, atol=1e-15)


@pytest.mark.parametrize("rule", ["EN", "L1"])
def test_fista_is_foolboxs(rule):
    """Checks the judge's EAD, image by image, against foolbox's with one constant and no early stop, by both rules."""
    import foolbox

    case = cases(ead, Draw(7))[1].but(rule=rule).to(torch.float64)
    attack = foolbox.attacks.EADAttack(
        binary_search_steps=1,
        steps=case["steps"],
        initial_stepsize=case["lr"],
        initial_const=case["const"],
        regularization=case["beta"],
        decision_rule=rule,
        abort_early=False,
    )
    model = foolbox.PyTorchModel(by_hand.model_of(case), bounds=(0, 1), device="cpu")
    theirs = attack.run(model, case["x"], foolbox.criteria.Misclassification(case.labels))
    assert torch.allclose(called(ead, case), theirs, atol=1e-9)


def test_the_rules_pay_in_opposite_norms():
    """Checks what follows from what each rule keeps, image by image, and the order of Chen et al. 2018 (table 1) on average:
    the rule L1 ends nearer in L1, and farther in L2. Some images get the same answer by both."""
    apart = {"L1": [], "L2": []}
    for seed in range(8, 12):
        case = cases(ead, Draw(seed))[1]
        x = by_hand.clean(case)
        en, sparse = (called(ead, case.but(rule=rule)) for rule in ("EN", "L1"))
        apart["L1"].append(l1(x, en) - l1(x, sparse))
        apart["L2"].append(l2(x, sparse) - l2(x, en))
    for differences in map(torch.cat, apart.values()):
        assert (differences >= -1e-9).all() and differences.mean() > 0.01


def test_the_loss_by_hand():
    """Checks f on three rows worked out by hand, all logits negative in the second."""
    logits = torch.tensor([[1.0, 3.0, -2.0], [-5.0, -1.0, -4.0], [2.0, 0.0, 9.0]])
    case = cw_loss.case(Draw(1), logits=logits, label=torch.tensor([1, 0, 1]), confidence=2.5)
    assert called(cw_loss, case).tolist() == [2.0, -2.5, -2.5]
    assert called(cw_loss, case.but(targeted=True)).tolist() == [-2.0, 4.0, 9.0]


def test_the_slope_by_an_argument():
    """Checks the runner's slope against one worked out by hand, 1 at the label, -1 at the strongest other, 0 below the floor."""
    logits, label = torch.tensor([[1.0, 3.0, -2.0], [-5.0, -1.0, -4.0]]), torch.tensor([1, 0])
    asked = {"logits": logits, "label": label, "confidence": 2.5, "targeted": False}
    call = Call(None, asked, differentiate="logits")
    assert LocalRunner(cw_loss.solution)(call).slope.tolist() == [-1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    assert LocalRunner(detached)(call).slope is None
    assert LocalRunner(cw_loss.solution)(call).left == () and not logits.requires_grad


def test_the_search_closes_in():
    """Checks twenty rounds against constants that suffice by construction: each lies between lo and hi, which all but meet."""
    least = torch.tensor([0.003, 0.7, 42.0, 9e4], dtype=torch.float64)
    state = torch.tensor([[0.0], [1e10], [0.01]], dtype=torch.float64).repeat(1, 4)
    for _ in range(40):
        lo, hi, c = state = search(state, (state[2] >= least).expand(3, -1))
    assert ((lo < least) & (least <= hi)).all() and ((hi - lo) / least < 1e-6).all()


def test_freezing_by_hand():
    """Checks one image of two channels and three pixels: products (4, -4), (1, 2), (0, 0); the last is frozen already."""
    gradient = torch.tensor([[[[2.0, 1.0, 5.0]], [[-2.0, 1.0, 5.0]]]])
    delta = torch.tensor([[[[2.0, 1.0, 0.0]], [[2.0, 2.0, 0.0]]]])
    allowed = torch.tensor([[[[1.0, 1.0, 0.0]]]])
    assert freeze(gradient, delta, allowed).tolist() == [[[[1.0, 0.0, 0.0]]]]


# Trying out


def test_distances_are_told():
    """Checks the mean distance that is told against one computed here from the images that come with it."""
    attack = cw_l2.solution
    settings = {"const": 10.0, "lr": 0.3, "steps": 20, "searches": 1, "confidence": 0.0}
    told = measure(attack, n=6, norm="L2", **settings)
    x, _ = known_digits(Victim("mnist-cnn"), 6)
    mean = (told.images - x).flatten(1).norm(dim=1).mean().item()
    assert told.rate == 1 and float(re.search(r"L2 distance is ([\d.]+)\.", repr(told))[1]) == pytest.approx(
        mean, rel=0.05
    )


def test_around_counts_copies():
    """Checks the extremes: without noise all copies are where the image is; without an attack it says what is missing."""
    attack, settings = cw_l2.solution, {"const": 10.0, "lr": 0.3, "steps": 20, "searches": 1}
    settings |= {"confidence": 0.0}

    def unwritten(x, copies, radius, seed):
        raise NotImplementedError()

    right = directions.solution
    still = around(attack, right, 50, n=4, copies=3, radius=0.0, **settings)
    assert (
        repr(still)
        == "100 % of the copies fool the model. All 3 copies do for 4 of 4 digits. You guessed 50 %."
    )
    assert "unwritten is not written yet" in repr(around(attack, unwritten, n=4, **settings))
    assert "no directions" in repr(around(attack, lambda x, copies, radius, seed: x, n=4, **settings))

    def attack_unwritten(model, x, y):
        raise NotImplementedError()

    assert "attack_unwritten is not written yet" in repr(around(attack_unwritten, right, n=4))
