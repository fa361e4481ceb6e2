"""Lab 1: what every lab passes, and the author's answers against formulas that are none of them."""

from dataclasses import replace
from itertools import combinations

import pytest
import torch
from lab_tests import LabTests

from advcourse import attacks
from advcourse.labs import definitions as by_hand
from advcourse.labs.comparing import agree, called, explains
from advcourse.labs.exercises import Draw
from advcourse.labs.lab1 import LAB, TASKS, loud
from advcourse.labs.lab1.many_steps import across_the_ridge, with_a_target
from advcourse.labs.lab1.mifgsm import NORMS


class TestLab1(LabTests):
    lab, written, pictures = LAB, 6, 7


# What is right


@pytest.mark.parametrize("kind", ["linear", "smooth"])
def test_slope_is_the_gradient(kind):
    """Checks the gradient, on linear models written out by hand, against central differences of the loss."""
    case = TASKS["fgsm"].case(Draw(2), kind, n=2)
    x = by_hand.clean(case)
    gradient = by_hand.slope(case, x, case.labels)
    step = torch.zeros_like(x)
    step[:, 0, 13, 9] = 1e-5
    model = case.victim.build(torch.float64)
    above, below = (
        torch.nn.functional.cross_entropy(model(x + s), case.labels, reduction="none") for s in (step, -step)
    )
    assert torch.allclose(gradient[:, 0, 13, 9], (above - below).detach() / 2e-5, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(
    "task, attack",
    [("fgsm", attacks.FGSM), ("bim", attacks.BIM), ("mifgsm", attacks.UMIFGSM)],
)
def test_answers_agree_with_the_library(task, attack):
    """Checks the author's images in float64 against those of the library's attack, which was written apart from them."""
    case = TASKS[task].case(Draw(3))
    fields = attack.__dataclass_fields__
    settings = {name: case[name] for name in fields if name in case.arguments}
    settings |= {"keep": "last"} if "keep" in fields else {}
    images = attack(**settings)(case.victim.build(torch.float64), by_hand.clean(case), case.labels)
    assert (images - called(TASKS[task], case)).abs().max() < 1e-9


def test_a_target_agrees_with_the_library():
    """Checks the author's steps towards a target against the library's."""
    case = with_a_target(TASKS["bim"], Draw(3))
    attack = attacks.BIM(case["eps"], case["alpha"], case["steps"], targeted=True, keep="last")
    model, x = case.victim.build(torch.float64), by_hand.clean(case)
    images = attack(model, x, case.labels, target=case["target"])
    assert (images - called(TASKS["bim"], case)).abs().max() < 1e-9


def test_projections_agree_with_brute_force():
    """Checks both projections against many random points of the set: none is nearer."""
    case = TASKS["project"].case(Draw(4), n=3, shape=(1, 2, 2))
    x, x_adv, eps = by_hand.clean(case), case["x_adv"].double(), case["eps"]
    nearest = TASKS["project"](x_adv, x, eps)
    others = (x + eps * (2 * torch.rand(5000, *x.shape, dtype=torch.float64) - 1)).clamp(0, 1)
    assert (
        (others - x_adv).square().flatten(2).sum(2) >= (nearest - x_adv).square().flatten(1).sum(1) - 1e-12
    ).all()
    x = torch.full_like(x, 0.5)  # far from the box, where clipping plays no part
    nearest = TASKS["project_l2"](x_adv, x, eps)
    direction = torch.randn(5000, *x.shape, dtype=torch.float64)
    others = x + eps * direction / direction.flatten(2).norm(dim=2)[..., None, None, None]
    assert (
        (others - x_adv).square().flatten(2).sum(2) >= (nearest - x_adv).square().flatten(1).sum(1) - 1e-12
    ).all()


@pytest.mark.parametrize("task", ["bim", "mifgsm", "pgd"])
def test_two_classes_and_a_line_end_in_the_corner(task):
    """Checks the closed form: on a linear model with two classes many steps end where one long one does, from any start."""
    case = TASKS[task].case(Draw(5), kind="linear", classes=2)
    weight = case.victim.build(torch.float64)[1].weight
    uphill = (weight[1 - case.labels] - weight[case.labels]).view_as(case["x"])
    corner = (by_hand.clean(case) + case["eps"] * uphill.sign()).clamp(0, 1)
    assert torch.allclose(called(TASKS[task], case), corner, atol=1e-12)


def test_the_judges_sign_is_there_where_the_cross_entropy_has_none():
    """Checks the sign on a loud model against the same model with logits of usual size, and against autograd's cross-entropy.

    With two classes the direction does not depend on the loudness. In float64, too, the cross-entropy's gradient has lost a part.
    """
    case = loud.certain(TASKS["fgsm"], Draw(6))
    x = by_hand.clean(case)
    quiet = case.but(replace(case.victim, gain=1.0))
    assert torch.equal(by_hand.rise(case, x, case.labels).sign(), by_hand.slope(quiet, x, case.labels).sign())

    def j(logits):
        return torch.nn.functional.cross_entropy(logits, case.labels, reduction="none")

    assert torch.equal(by_hand.gradient_of(quiet, x, j).sign(), by_hand.rise(quiet, x, case.labels).sign())
    assert not torch.equal(by_hand.gradient_of(case, x, j).sign(), by_hand.rise(case, x, case.labels).sign())
    lead = by_hand.logits(case, x).diff(dim=1).abs()
    assert lead.min() > 250 and case.victim.gain >= 1000


# The cases tell mistakes apart by how they are made, not by luck


LOSSES = [key for key, _ in (loud.SOFTMAX_TWICE, loud.OWN_LOGIT, loud.MARGIN, loud.LARGEST_LOGIT)]


@pytest.mark.parametrize("seed", range(20))
def test_losses_have_directions_of_their_own(seed):
    """Checks that no other loss gives FGSM's or LLC's images on models that hesitate, nor any two losses the same."""
    for task in (TASKS["fgsm"], TASKS["llc"]):
        case = loud.hesitant(task, Draw(seed))
        slips = [slip for slip in task.slips if slip.key in LOSSES]
        images = {"right": called(task, case)} | {slip.key: called(slip.function, case) for slip in slips}
        assert list(images) == ["right", *LOSSES]
        for (one, first), (other, second) in combinations(images.items(), 2):
            assert not agree(first, second, 0.96), (task.name, one, other)
        for slip in slips:
            assert [name for name, found in images.items() if explains(slip, case, found)] == [slip.key]


@pytest.mark.parametrize("seed", range(3))
def test_norms_turn_round_at_places_of_their_own(seed):
    """Checks that on the ridge every norm that MI-FGSM could be given leads to other images than the right one and the others."""
    task = TASKS["mifgsm"]
    case = across_the_ridge(task, Draw(seed))
    images = {slip.key: called(slip.function, case) for slip in task.slips if slip.key in NORMS}
    images["right"] = called(task, case)
    assert list(images) == [*NORMS, "right"]
    for (one, first), (other, second) in combinations(images.items(), 2):
        assert not agree(first, second), (one, other)


def test_a_sign_error_is_looked_for_in_the_loss_too():
    """Checks an FGSM that adds its step, but climbs log_odds with its sign turned round: the sentence names both suspects."""

    def log_odds(logits, label):
        label = label.unsqueeze(1)
        others = logits.scatter(1, label, -torch.inf)
        return logits.gather(1, label).squeeze(1) - others.logsumexp(1)

    def fgsm(model, x, y, eps):
        x_in = x.clone().requires_grad_()
        gradient = torch.autograd.grad(log_odds(model(x_in), y).sum(), x_in)[0]
        return (x + eps * gradient.sign()).clamp(0, 1)

    verdict = LAB.check(fgsm, seed=3)
    assert verdict.key == "descends"
    assert "sign of the step" in verdict.message and "loss (log_odds" in verdict.message
