"""Lab 1: what every lab passes, and the judge's formulas."""

import pytest
import torch
from lab_tests import LabTests
from museum.lab1 import ROOMS

from advcourse import attacks
from advcourse.labs import definitions as by_hand
from advcourse.labs.checks import Draw
from advcourse.labs.lab1 import LAB, TASKS


class TestLab1(LabTests):
    lab, rooms, written, pictures = LAB, ROOMS, 6, 7


# The judge's formulas


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
    "task, attack", [("fgsm", attacks.FGSM), ("bim", attacks.BIM), ("mifgsm", attacks.UMIFGSM)]
)
def test_formulas_agree_with_the_library(task, attack):
    """Checks the judge's images in float64 against those of the library's attack, which was written apart from them."""
    case = TASKS[task].case(Draw(3))
    settings = {name: case[name] for name in attack.__dataclass_fields__ if name in case.arguments}
    if task == "fgsm":
        expected = by_hand.one_step(case, case.labels, 1)
    else:
        alpha = case.arguments.get("alpha", case["eps"] / case["steps"])
        decay = case.arguments.get("decay", 0.0)
        expected = by_hand.climb(case, case.labels, alpha=alpha, steps=case["steps"], decay=decay)
        settings["keep"] = "last"
    images = attack(**settings)(case.victim.build(torch.float64), by_hand.clean(case), case.labels)
    assert (images - expected).abs().max() < 1e-9


def test_projections_agree_with_brute_force():
    """Checks both projections against many random points of the set: none is nearer."""
    case = TASKS["project"].case(Draw(4), n=3, shape=(1, 2, 2))
    x, x_adv, eps = by_hand.clean(case), case["x_adv"].double(), case["eps"]
    nearest = by_hand.nearest(x_adv, x, eps)
    others = (x + eps * (2 * torch.rand(5000, *x.shape, dtype=torch.float64) - 1)).clamp(0, 1)
    assert (
        (others - x_adv).square().flatten(2).sum(2) >= (nearest - x_adv).square().flatten(1).sum(1) - 1e-12
    ).all()
    x = torch.full_like(x, 0.5)  # far from the box, where clipping plays no part
    nearest = by_hand.nearest_l2(x_adv, x, eps)
    direction = torch.randn(5000, *x.shape, dtype=torch.float64)
    others = x + eps * direction / direction.flatten(2).norm(dim=2)[..., None, None, None]
    assert (
        (others - x_adv).square().flatten(2).sum(2) >= (nearest - x_adv).square().flatten(1).sum(1) - 1e-12
    ).all()


def test_two_classes_and_a_line_end_in_the_corner():
    """Checks the closed form: on a linear model with two classes many steps end where one long one does."""
    case = TASKS["bim"].case(Draw(5), kind="linear", classes=2)
    weight = case.victim.build(torch.float64)[1].weight
    uphill = (weight[1 - case.labels] - weight[case.labels]).view_as(case["x"])
    corner = (by_hand.clean(case) + case["eps"] * uphill.sign()).clamp(0, 1)
    steps = by_hand.climb(case, case.labels, alpha=case["eps"] / 4, steps=8)
    assert torch.allclose(steps, corner, atol=1e-12)
