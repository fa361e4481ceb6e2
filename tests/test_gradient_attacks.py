"""The gradient-sign family against closed forms: on a linear model the best point of a ball is known exactly."""

import dataclasses
import inspect

import numpy as np
import pytest
import torch
from nets import Function, Scaled, conv, images, linear
from torch import nn

from advcourse import attacks, metrics
from advcourse.attacks import BIM, FGSM, ILLC, LLC, PGD, RFGSM, RLLC, TMIFGSM, UMIFGSM
from advcourse.attacks.ascent import log_odds, log_odds_slope
from advcourse.attacks.noise import Noise
from advcourse.attacks.targets import least_likely

SHAPE = (1, 6, 6)
X = images(8, SHAPE, dtype=torch.float64)
TWO, TEN = linear(2, SHAPE), linear(10, SHAPE)
EPS = 0.1


def corner(x, direction, eps=EPS):
    """The point of the L-infinity ball and the box that is best for a linear function: each pixel at its own end."""
    return (x + eps * direction.sign().view(-1, *x.shape[1:])).clamp(0, 1)


def labels(model):
    return model(X).argmax(1).detach()


def towards_the_other(model, y):
    """With two classes, the gradient of every loss that there is points along w_other - w_y."""
    w = model.weight.detach()
    return w[1 - y] - w[y]


@pytest.mark.parametrize(
    "attack", [FGSM(EPS), BIM(EPS, steps=6), BIM(EPS, keep="last"), UMIFGSM(EPS), PGD(EPS, steps=9)]
)
def test_two_linear_classes_untargeted(attack):
    """Closed form: x + eps * sign(w_other - w_y), clipped to [0, 1]. PGD gets there from any start."""
    y = labels(TWO)
    torch.testing.assert_close(attack(TWO, X, y), corner(X, towards_the_other(TWO, y)), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "attack",
    [
        FGSM(EPS, targeted=True),
        BIM(EPS, targeted=True),
        PGD(EPS, targeted=True),
        TMIFGSM(EPS),
        LLC(EPS),
        ILLC(EPS),
    ],
)
def test_two_linear_classes_targeted(attack):
    """With two classes, to reach the other one is to leave this one: the same closed form, through the minus sign."""
    y = labels(TWO)
    target = None if attack.chooses_target else 1 - y
    torch.testing.assert_close(
        attack(TWO, X, y, target), corner(X, towards_the_other(TWO, y)), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("attack", [RFGSM(EPS, alpha=0.04, seed=3), RLLC(EPS, alpha=0.04, seed=3)])
def test_the_random_step_comes_first_and_the_gradient_step_has_what_is_left(attack):
    """Closed form: clip(x + alpha * corner of the cube), then eps - alpha along sign(w_other - w_y), clipped."""
    y = labels(TWO)
    start = (X + 0.04 * Noise(3).normal(X).sign()).clamp(0, 1)
    expected = corner(start, towards_the_other(TWO, y), EPS - 0.04)
    torch.testing.assert_close(attack(TWO, X, y), expected, rtol=0, atol=1e-12)


def test_linf_on_ten_linear_classes():
    """The gradient by hand, in numpy: sum_k p_k w_k - w_y for leaving y, and its negative at t for reaching t."""
    y, w = labels(TEN), TEN.weight.detach().numpy()
    logits = X.flatten(1).numpy() @ w.T
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    away = torch.from_numpy(p @ w - w[y.numpy()])
    torch.testing.assert_close(FGSM(EPS)(TEN, X, y), corner(X, away), rtol=0, atol=1e-12)
    target = torch.from_numpy(np.where(logits.argmin(1) == y.numpy(), -1, logits.argmin(1)))
    assert (target >= 0).all()
    towards = torch.from_numpy(w[target.numpy()] - p @ w)
    torch.testing.assert_close(LLC(EPS)(TEN, X, y), corner(X, towards), rtol=0, atol=1e-12)


@pytest.mark.parametrize("random_start", [False, True])
def test_l2_on_two_linear_classes(random_start):
    """Closed form in the middle of the box: x + eps * (w_other - w_y) / ||w_other - w_y||_2."""
    x = images(8, SHAPE, dtype=torch.float64) * 0.2 + 0.4
    y = TWO(x).argmax(1).detach()
    w = towards_the_other(TWO, y)
    expected = x + 0.3 * (w / w.norm(dim=1, keepdim=True)).view_as(x)
    x_adv = PGD(eps=0.3, alpha=0.1, steps=60, norm="L2", random_start=random_start)(TWO, x, y)
    torch.testing.assert_close(x_adv, expected, rtol=0, atol=2e-3 if random_start else 1e-9)


def test_pgd_finds_the_smallest_budget_of_a_linear_model():
    """Closed form: |w x| / ||w||_2 and |w x| / ||w||_1 to the boundary in L2 and L-infinity; 1 % more fools, 1 % less cannot."""
    x = images(8, SHAPE, dtype=torch.float64) * 0.02 + 0.49
    y = TWO(x).argmax(1).detach()
    w = towards_the_other(TWO, y)
    gap = -(x.flatten(1) * w).sum(1)
    for norm, dual in (("L2", 2), ("Linf", 1)):
        radius = gap / w.norm(p=dual, dim=1)
        for i in range(len(x)):
            one = x[i : i + 1], y[i : i + 1]
            more = PGD(eps=1.01 * radius[i].item(), norm=norm, steps=50).run(TWO, *one)
            less = PGD(eps=0.99 * radius[i].item(), norm=norm, steps=50).run(TWO, *one)
            assert more.success.all() and not less.success.any()


def test_fgsm_climbs_the_loss_and_does_not_descend_it():
    """Untargeted: with the gradient of the loss, not against it. The cross-entropy before and after says which."""
    model, x = conv(dtype=torch.float64), images(dtype=torch.float64)
    y = model.eval()(x).argmax(1).detach()
    loss = [
        nn.functional.cross_entropy(model(image), y, reduction="none")
        for image in (x, FGSM(0.01)(model, x, y))
    ]
    assert (loss[1] > loss[0]).all()
    target = (y + 1) % 5
    loss = [
        nn.functional.cross_entropy(model(image), target, reduction="none")
        for image in (x, FGSM(0.01, targeted=True)(model, x, y, target))
    ]
    assert (loss[1] < loss[0]).all()


def test_log_odds_have_the_direction_of_the_cross_entropy():
    """softplus(log_odds) is the cross-entropy: torch's own values; and torch's own gradients, but for a positive factor."""
    logits = torch.randn(9, 5, dtype=torch.float64, requires_grad=True)
    y = torch.arange(9) % 5
    cross_entropy = nn.functional.cross_entropy(logits, y, reduction="none")
    torch.testing.assert_close(nn.functional.softplus(log_odds(logits, y)), cross_entropy)
    ours = log_odds_slope(logits.detach(), y)
    torch.testing.assert_close(ours, torch.autograd.grad(log_odds(logits, y).sum(), logits)[0])
    theirs = torch.autograd.grad(cross_entropy.sum(), logits)[0]
    torch.testing.assert_close(
        ours / ours.norm(dim=1, keepdim=True), theirs / theirs.norm(dim=1, keepdim=True)
    )


def test_saturated_float32_softmax_does_not_stop_the_attack():
    """At logits of 1 000 and more the gradient of torch's cross-entropy is exactly 0; the closed form is reached all the same."""
    model = Scaled(linear(2, SHAPE, dtype=torch.float32), 1e4)
    x = X.float()
    y = model(x).argmax(1)
    x.requires_grad_()
    assert not torch.autograd.grad(nn.functional.cross_entropy(model(x), y), x)[0].any()
    expected = corner(x.detach(), towards_the_other(model.model, y))
    torch.testing.assert_close(FGSM(EPS)(model, x, y), expected, rtol=0, atol=1e-6)


def test_momentum_by_hand():
    """Two steps whose gradients disagree: the plain sign follows the second, the momentum the stronger first one.

    One pixel; f(x) = 3x up to 0.55, then -x: normalised gradients are 1 and -1, so decay 0.5 gives -0.5 and decay 2 gives 1.
    """
    model = Function(lambda x: torch.stack([torch.zeros(len(x), dtype=x.dtype), _bent(x.flatten())], 1))
    x, y = torch.full((1, 1, 1, 1), 0.5, dtype=torch.float64), torch.tensor([0])
    for decay, end in ((0.0, 0.5), (0.5, 0.5), (2.0, 0.7)):
        x_adv = UMIFGSM(eps=0.3, alpha=0.1, steps=2, decay=decay, keep="last")(model, x, y)
        assert x_adv.item() == pytest.approx(end)


def _bent(x):
    return torch.where(x < 0.55, 3 * x, 1.65 - (x - 0.55))


def test_momentum_normalises_each_image_by_its_own_gradient():
    """An image with logits 1 000 times as large has gradients as much larger; its path must be the same."""
    model = conv(dtype=torch.float64).eval()
    factor = torch.tensor([1.0, 1e3], dtype=torch.float64).view(2, 1)
    two = Function(lambda x: model(x) * factor * 1e-3)
    x = images(1, dtype=torch.float64).repeat(2, 1, 1, 1)
    y = model(x).argmax(1).detach()
    binary = Function(lambda x: two(x).topk(2).values.gather(1, torch.tensor([[0, 1], [0, 1]])))
    x_adv = UMIFGSM(0.05, steps=5, keep="last")(binary, x, torch.zeros_like(y))
    torch.testing.assert_close(x_adv[0], x_adv[1], rtol=0, atol=1e-9)


def test_keep_best_returns_the_lowest_margin_ever_seen():
    """A model of one pixel whose weakest point lies between the steps' ends: the last iterate has run past it."""
    model = Function(
        lambda x: torch.stack([(x.flatten() - 0.6).abs(), torch.full((len(x),), 0.05, dtype=x.dtype)], 1)
    )
    x, y = torch.full((1, 1, 1, 1), 0.3, dtype=torch.float64), torch.tensor([0])
    settings = {
        "eps": 0.7,
        "alpha": 0.2,
        "steps": 2,
    }  # 0.3 -> 0.5 -> 0.7: margins 0.25, 0.05, 0.05, then back
    best = BIM(**settings)(model, x, y).item()
    assert best == pytest.approx(0.5)
    first = BIM(eps=0.7, alpha=0.27, steps=5, keep="first").run(model, x, y)
    assert first.images.item() == pytest.approx(0.57) and first.steps.item() == 1 and first.success.all()


def test_keep_first_stops_and_costs_less():
    """Steps and passes are counted: a fooled image leaves the batch, and an image that is wrong already takes no step."""
    model = linear(10, SHAPE)
    y = labels(model)
    y[0] = (y[0] + 1) % 10
    whole, first = (
        PGD(0.3, alpha=0.02, steps=20, random_start=False, keep=keep).run(model, X, y)
        for keep in ("best", "first")
    )
    assert first.success_rate == whole.success_rate == 1
    assert first.steps[0] == 0 and torch.equal(first.images[0], X[0])
    assert (first.steps < 20).all() and (whole.steps == 20).all()
    assert first.backward_passes < whole.backward_passes == 20 * len(X)


def test_restarts_take_only_what_is_not_fooled_yet_and_never_lose_a_success():
    """Per image: three runs do at least as well as one, and cost no pass for an image that the first run fooled."""
    model = conv(dtype=torch.float64)
    x = images(40, dtype=torch.float64)
    y = model.eval()(x).argmax(1).detach()
    one, three = (PGD(0.006, steps=3, restarts=restarts).run(model, x, y) for restarts in (1, 3))
    assert (three.success >= one.success).all() and 0 < one.success_rate < 1
    assert torch.equal(three.images[one.success], one.images[one.success])
    assert three.backward_passes <= 3 * (len(x) + 2 * int((~one.success).sum()))
    assert (metrics.margin(three.logits, y) <= metrics.margin(one.logits, y) + 1e-12).all()


def test_the_least_likely_class_is_frozen_and_never_the_true_one():
    """By hand: class 2 has the lowest logit; where it is the true class, the next lowest, class 0."""
    logits = torch.tensor([[1.0, 2.0, 0.0], [1.0, 2.0, 0.0]])
    assert least_likely(logits, torch.tensor([1, 2])).tolist() == [2, 0]
    model = linear(10, SHAPE)
    y = labels(model)
    expected = model(X).argmin(1)
    assert (expected != y).all() and torch.equal(ILLC(0.3).run(model, X, y).target, expected)


def test_targets_are_wrong_labels_and_random_ones_are_uniform():
    """Chi-square of 9 000 draws over the nine wrong classes: below 26.1 in 999 of 1 000 cases (8 degrees of freedom)."""
    model, x = linear(10, SHAPE), torch.zeros(9000, *SHAPE, dtype=torch.float64)
    y = torch.full((9000,), 4)
    target = attacks.choose_target(model, x, y)
    counts = torch.bincount(target, minlength=10)
    assert counts[4] == 0
    assert ((counts[counts > 0] - 1000.0) ** 2 / 1000).sum() < 26.1
    assert torch.equal(target, attacks.choose_target(model, x, y))
    assert not torch.equal(target, attacks.choose_target(model, x, y, seed=1))
    assert attacks.choose_target(model, x[:2], torch.tensor([4, 9]), how="next").tolist() == [5, 0]


def test_random_starts_fill_the_ball():
    """Linf: uniform, so the mean size is eps / 2. L2 in d = 36: the mean of u^(1/d) is d / (d + 1). 400 images each."""
    flat = Function(lambda x: x.flatten(1)[:, :2] * 0)
    x, y = torch.full((400, *SHAPE), 0.5, dtype=torch.float64), torch.zeros(400, dtype=torch.long)
    start = PGD(0.2, alpha=0.0, steps=1, keep="last")(flat, x, y) - x
    assert start.abs().max() <= 0.2 and start.abs().mean().item() == pytest.approx(0.1, rel=0.03)
    start = PGD(0.2, alpha=0.0, steps=1, norm="L2", keep="last")(flat, x, y) - x
    radius = start.flatten(1).norm(dim=1)
    assert radius.max() <= 0.2 and radius.mean().item() == pytest.approx(0.2 * 36 / 37, rel=0.01)
    assert start.mean(0).abs().max() < 0.01


def test_noise_depends_on_the_place_in_the_batch_alone():
    """Draws for places 5 to 40 are those places of a longer draw."""
    x = torch.zeros(64, 2, 3)
    whole = Noise(7).normal(x)
    assert torch.equal(Noise(7, first=5).normal(x[:35]), whole[5:40])
    assert not torch.equal(whole, Noise(7).normal(x, stream=1)) and not torch.equal(whole, Noise(8).normal(x))
    assert len(torch.unique(whole)) == whole.numel()


def test_the_table_of_the_family_is_what_the_classes_do():
    """Nine names; each is one loop with settings, and the settings are the papers' (start, steps, target) by hand."""
    table = dict(attacks.gradient_family())
    assert set(table) == {name for name, cls in attacks.TABLE_1.items() if hasattr(cls, "schedule")}
    one_step = {name for name, schedule in table.items() if schedule.steps == 1}
    assert one_step == {"FGSM", "RFGSM", "LLC", "RLLC"}
    assert {name for name, s in table.items() if s.start != "image"} == {"RFGSM", "RLLC", "PGD"}
    assert {name for name, s in table.items() if s.target == "least likely"} == {"LLC", "RLLC", "ILLC"}
    assert {name for name, s in table.items() if s.decay} == {"UMIFGSM", "TMIFGSM"}
    assert table["RFGSM"].start_size + table["RFGSM"].alpha == pytest.approx(table["RFGSM"].eps)
    assert table["BIM"].alpha * table["BIM"].steps >= table["BIM"].eps


def test_every_public_attack_tells_its_paper_and_its_arguments():
    """The docstring names the paper with its year, and each field."""
    for name, cls in attacks.REGISTRY.items():
        text = inspect.getdoc(cls)
        assert "Paper:" in text and "Args:" in text and "Example:" in text, name
        assert "arXiv" in text or "OpenReview" in text, name
        for field in dataclasses.fields(cls):
            assert field.name in text, (name, field.name)
