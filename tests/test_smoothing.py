"""Randomised smoothing beside scipy's exact intervals, linear models whose radius is known, and an attack."""

import math

import numpy as np
import pytest
import torch
from nets import Function, Linear, images
from scipy import stats
from torch.nn import functional as F

from advcourse import data, models
from advcourse.attacks import EOT, PGD
from advcourse.core.inputs import InputError
from advcourse.defenses import Certificate, GaussianAugmentation, Smoothed
from advcourse.defenses.smoothing import ABSTAINED, lower_bound


def test_the_lower_bound_is_scipys_exact_one_sided_interval():
    """scipy's Clopper-Pearson interval of level 1 - 2 alpha has the same lower end; and its definition, P(X >= k) = alpha."""
    for k, n, alpha in (
        (0, 10, 0.05),
        (1, 10, 0.05),
        (60, 100, 0.001),
        (999, 1000, 0.001),
        (1000, 1000, 0.001),
    ):
        bound = lower_bound(k, n, alpha)
        low = stats.binomtest(k, n).proportion_ci(1 - 2 * alpha, method="exact").low
        assert bound == pytest.approx(low, abs=1e-9)
        if k:
            assert stats.binom.sf(k - 1, n, bound) == pytest.approx(alpha, rel=1e-6)
    np.testing.assert_allclose(lower_bound(np.array([0, 5]), 5, 0.1), [0, 0.1 ** (1 / 5)])


def plane(distance, sigma_of_weights=1.0, shape=(1, 5, 5), n=1):
    """A linear model of two classes, and `n` images in the same place whose distance to its boundary is known."""
    weight = torch.zeros(2, math.prod(shape), dtype=torch.float64)
    weight[0] = sigma_of_weights * torch.randn(
        math.prod(shape), generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    x = torch.full((n, *shape), 0.5, dtype=torch.float64)
    bias = distance * weight[0].norm() - weight[0] @ x[0].flatten()
    return Linear(weight, torch.stack([bias, torch.zeros((), dtype=torch.float64)])), x


def test_the_bound_covers_and_is_not_idle():
    """For a linear model the probability under noise is Phi(d / sigma); a bound at 5 % is above it in about 5 % of 600 runs."""
    model, x = plane(0.3, n=600)
    truth = stats.norm.cdf(0.3 / 0.5)
    certificate = Smoothed(model, 0.5).certify(x, n0=50, n=200, alpha=0.05, seed=3)
    bound = lower_bound(certificate.count.numpy(), 200, 0.05)
    above = (bound > truth).mean()
    assert 0.01 < above < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 600)


def test_no_radius_exceeds_a_linear_models_distance():
    """The smoothed linear model has the same boundary, so |w.x + b| / |w| is the exact radius, which no certificate exceeds."""
    for distance in (0.2, 0.6):
        model, x = plane(distance, n=50)
        certificate = Smoothed(model, 0.5).certify(x, n=2000)
        assert (certificate.radius <= distance).all() and certificate.radius.max() > 0.7 * distance
        assert (certificate.label == 0).all()


@pytest.mark.parametrize(("n", "most"), [(1000, 2.46), (10_000, 3.20)])
def test_draws_limit_the_radius(n, most):
    """A constant model is sure of itself; by the rule sigma * Phi^-1(alpha^(1 / n)), computed by hand beforehand."""
    model = Function(lambda x: torch.tensor([[1.0, 0.0]]).expand(len(x), 2))
    certificate = Smoothed(model, 0.5).certify(torch.zeros(1, 1, 2, 2), n=n)
    assert certificate.radius.item() / 0.5 == pytest.approx(most, abs=0.005)


def test_choosing_and_bounding_use_different_noise_and_it_is_not_clipped():
    """Against what the model was shown: no noisy image twice, and values on both sides of the box."""
    seen = []

    def answer(x):
        seen.append(x.clone())
        return x.flatten(1)[:, :2]

    Smoothed(Function(answer), 0.5).certify(torch.full((2, 1, 3, 3), 0.5), n0=30, n=50)
    shown = torch.cat(seen[1:]).flatten(1)  # the first call counts the classes
    assert len(shown) == 2 * 80 == len(shown.unique(dim=0))
    assert shown.min() < -0.3 and shown.max() > 1.3
    assert shown.sub(0.5).std().item() == pytest.approx(0.5, rel=0.05)


def test_where_nothing_can_be_told_it_abstains():
    """On the boundary both classes are as likely: abstained, radius 0, and counted as misread whatever the label."""
    model, x = plane(0.0, n=40)
    certificate = Smoothed(model, 0.5).certify(x)
    assert (certificate.label == ABSTAINED).float().mean() > 0.9
    assert not certificate.radius[certificate.label == ABSTAINED].any()
    assert (Smoothed(model, 0.5).predict(x) == ABSTAINED).float().mean() > 0.9
    model, x = plane(0.5, n=5)
    assert Smoothed(model, 0.5).predict(x).tolist() == [0] * 5


def test_certified_accuracy_by_hand():
    """Right with radius .6, right with .2, wrong with .9, abstained: 2, 1 and 0 of 4 at 0, 0.5 and 0.7."""
    certificate = Certificate(
        torch.tensor([1, 2, 0, -1]), torch.tensor([0.6, 0.2, 0.9, 0.0]), torch.tensor([9, 8, 9, 5])
    )
    y = torch.tensor([1, 2, 1, 1])
    assert [certificate.accuracy(y, r).value for r in (0, 0.5, 0.7)] == [0.5, 0.25, 0]
    assert certificate.accuracy(y).n == 4


def test_no_attack_succeeds_inside_the_radius():
    """PGD in L2 on the mean of noisy copies, to nine tenths of each digit's radius: the prediction stays."""
    smoothed = Smoothed(models.load("mnist-smoothed"), 0.5)
    x, y = data.load("mnist-5k").pick(6, seed=2)
    certificate = smoothed.certify(x, n=500)
    sure = certificate.label == y
    assert sure.sum() >= 4
    for i in sure.nonzero().flatten().tolist():
        one = slice(i, i + 1)
        attack = PGD(0.9 * certificate.radius[i].item(), norm="L2", steps=10)
        moved = attack(EOT(smoothed.voter(), 8), x[one], y[one])
        assert smoothed.predict(moved, n=500, seed=9).item() in (y[i].item(), ABSTAINED)


def test_the_shipped_model_is_certified_as_far_as_its_training_allows():
    """The course's bar for sigma 0.5 with n = 1000: .965, .885 and .67 at radius 0, 0.5 and 1, on 60 digits within 3 sigma."""
    x, y = data.load("mnist-5k").pick(60, seed=0)
    certificate = Smoothed(models.load("mnist-smoothed"), 0.5).certify(x)
    for radius, bar in ((0.0, 0.965), (0.5, 0.885), (1.0, 0.67)):
        spread = 3 * math.sqrt(bar * (1 - bar) / 60)
        assert certificate.accuracy(y, radius).value >= bar - spread


def test_the_same_seed_gives_the_same_certificate_and_global_state_stays():
    model, x = plane(0.2, n=4)
    state = torch.get_rng_state()
    first, second = (Smoothed(model, 0.5).certify(x, seed=5) for _ in range(2))
    assert torch.equal(first.count, second.count) and torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(first.count, Smoothed(model, 0.5).certify(x, seed=6).count)


def test_the_training_loss_is_the_cross_entropy_under_noise():
    """By hand: the same draw of noise added to the images; with sigma 0 the plain cross-entropy."""
    model, x = plane(0.2, n=3)
    y = torch.tensor([0, 1, 0])
    torch.manual_seed(4)
    loss = GaussianAugmentation(0.5)(model, x, y)
    torch.manual_seed(4)
    noise = torch.randn(x.shape)
    assert loss.item() == pytest.approx(F.cross_entropy(model(x + 0.5 * noise.double()), y).item())
    assert GaussianAugmentation(0.0)(model, x, y).item() == pytest.approx(F.cross_entropy(model(x), y).item())


def test_an_empty_batch_has_an_empty_certificate():
    model, x = plane(0.2)
    certificate = Smoothed(model, 0.5).certify(x[:0])
    assert certificate.label.shape == certificate.radius.shape == (0,)


def test_bad_input_is_named():
    model, x = plane(0.2)
    with pytest.raises(InputError, match="sigma: got 0; allowed"):
        Smoothed(model, 0)
    with pytest.raises(InputError, match="n: got 9; allowed are at least 10"):
        Smoothed(model, 0.5).certify(x, n=9)
    assert Smoothed(model, 0.5).certify(x, n=10).label.shape == (1,)
    with pytest.raises(InputError, match="alpha: got 0"):
        Smoothed(model, 0.5).predict(x, alpha=0)
    with pytest.raises(InputError, match="n0"):
        Smoothed(model, 0.5).certify(x, n0=0)
    with pytest.raises(InputError, match="x: got"):
        Smoothed(model, 0.5).certify(images(2) + 2)
    with pytest.raises(InputError, match="model"):
        Smoothed(lambda x: x, 0.5)


def test_logits_that_are_no_numbers_prove_nothing():
    """NaN has a largest place like all numbers, so a vote alone would be unanimous."""
    nothing = Function(lambda x: x.flatten(1)[:, :3] * torch.nan)
    for model, sigma in ((nothing, 0.5), (models.load("mnist-small"), 1e39)):
        with pytest.raises(InputError, match="NaN or infinite for noisy images"):
            Smoothed(model, sigma).certify(torch.zeros(1, 1, 28, 28), n=20)


def test_a_model_that_draws_by_itself_follows_the_seed():
    """Dropout that stays on: the same counts from two global states, which stay as they were."""
    model = Function(lambda x: F.dropout(x.flatten(1), 0.5)[:, :4])
    x, counts = images(4), []
    for state in (1, 2):
        before = torch.manual_seed(state).get_state()
        counts.append(Smoothed(model, 0.5).certify(x, n=200, seed=3).count)
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(*counts)
