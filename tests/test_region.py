"""Region-based classification against exact shares and radii, and votes counted one by one; the attacks stand apart."""

import math

import pytest
import torch
from nets import Function, Linear, Scaled, images, linear

from advcourse import models
from advcourse.core.inputs import InputError, accuracy, predict
from advcourse.core.randomness import seeded
from advcourse.defenses import RegionClassifier, UniformNoise, choose_radius


def threshold(at=0.5):
    """A model of one pixel, whose class is 1 where the pixel is above `at`."""
    return Linear(torch.tensor([[0.0], [1.0]]), torch.tensor([at, 0.0]))


# ---- the vote ----


@pytest.mark.parametrize("value", [0.35, 0.5, 0.6])
def test_the_shares_are_the_volumes(value):
    """Against the exact share of the interval above the threshold, within four standard errors of the binomial."""
    x, m = torch.full((1, 1, 1, 1), value), 4000
    torch.manual_seed(0)
    votes = RegionClassifier(threshold(), 0.2, m).votes(x)
    share = (value + 0.2 - 0.5) / 0.4
    assert votes.sum() == m
    assert abs(votes[0, 1].item() / m - share) < 4 * math.sqrt(share * (1 - share) / m)


def test_voters_stay_among_images():
    """Against what the model is shown: within the radius, clipped to [0, 1], uniform where nothing is clipped."""
    seen = []
    model = Function(lambda x: seen.append(x) or x.flatten(1)[:, :2])
    x = torch.tensor([0.1, 0.5]).view(2, 1, 1, 1).expand(2, 1, 5, 5)
    torch.manual_seed(0)
    RegionClassifier(model, 0.3, 200).votes(x)
    low, mid = torch.cat(seen).view(2, -1)
    assert (
        low.min() == 0
        and low.max() <= 0.4 + 1e-6
        and (low == 0).float().mean() == pytest.approx(1 / 3, abs=0.03)
    )
    assert 0.2 <= mid.min() < 0.201 and 0.799 < mid.max() <= 0.8
    assert mid.var().item() == pytest.approx(0.6**2 / 12, rel=0.05) and mid.mean().item() == pytest.approx(
        0.5, abs=0.02
    )


def test_the_answer_is_the_log_of_the_shares_and_finite():
    """Against log((v + 1/2) / (m + K/2)) by hand for votes that are unanimous, and turned back into votes for others."""
    x = torch.tensor([0.1, 0.9]).view(2, 1, 1, 1)
    found = RegionClassifier(threshold(), 0.1, 9)(x)
    expected = torch.tensor([[9.5, 0.5], [0.5, 9.5]]) / 10
    assert torch.allclose(found.exp(), expected) and torch.equal(found.argmax(1), torch.tensor([0, 1]))
    model, x = linear(4), images(5, (1, 6, 6), dtype=torch.float64)
    defense = RegionClassifier(model, 0.3, 50, seed=0)
    assert torch.allclose(predict(defense, x).exp() * 52 - 0.5, defense.votes(x).double())


def test_without_a_radius_it_is_the_model():
    """Against the model's own classes: all voters see the image itself."""
    model, x = linear(5), images(20, (1, 6, 6), dtype=torch.float64)
    assert torch.equal(RegionClassifier(model, 0.0, 7)(x).argmax(1), model(x).argmax(1))


def test_only_classes_count():
    """Against the same votes of a model whose logits are 1000 times as large: how sure a voter is does not count."""
    model, x = linear(4), images(10, (1, 6, 6), dtype=torch.float64)
    votes = [RegionClassifier(m, 0.3, 100, seed=1).votes(x) for m in (model, Scaled(model, 1000.0))]
    assert torch.equal(*votes) and (votes[0] > 0).sum() > 15


def test_trap_chunks_of_images_times_voters():
    """Against one long batch: batches of 8 that cut through images give the same votes, and no batch is longer than asked.

    In float64: in float32 a batch of another size rounds differently, and a vote near the boundary may change sides.
    """
    lengths = []
    net = linear(4)
    model = Function(lambda x: lengths.append(len(x)) or net(x))
    x = images(5, (1, 6, 6), dtype=torch.float64)
    whole, parts = (RegionClassifier(model, 0.3, 20, size, seed=1) for size in (100, 8))
    assert torch.equal(whole.votes(x), parts.votes(x)) and lengths == [100] + 12 * [8] + [4]


def test_its_gradient_is_that_of_a_step():
    """Against 0, which is there to be asked for; a voter's is the model's own, at the noisy image."""
    model = linear()
    x = images(3, (1, 6, 6), dtype=torch.float64).requires_grad_()
    logits = RegionClassifier(model, 0.3, 20)(x)
    assert torch.autograd.grad((logits[:, 0] - logits[:, 1]).sum(), x)[0].eq(0).all()
    inner = (0.4 + 0.2 * x.detach()).requires_grad_()
    voter = RegionClassifier(model, 0.3).voter()(inner)
    expected = (model.weight[0] - model.weight[1]).view(1, 1, 6, 6).expand_as(x)
    assert torch.equal(torch.autograd.grad((voter[:, 0] - voter[:, 1]).sum(), inner)[0], expected)


def test_draws_are_fresh_follow_from_the_global_state_and_can_be_fixed():
    """Against second passes: two differ, a seeded pair repeats, and a seed of its own gives the same votes every time."""
    model, x, cpu = linear(4), images(10, (1, 6, 6), dtype=torch.float64), torch.device("cpu")
    for make in (
        lambda **s: RegionClassifier(model, 0.3, 50, **s),
        lambda **s: UniformNoise(model, 0.3, **s),
    ):
        defense, fixed, pairs = make(), make(seed=1), []
        for _ in range(2):
            with seeded(cpu, 5):
                pairs.append((defense(x), defense(x)))
        assert all(torch.equal(a, b) for a, b in zip(*pairs)) and not torch.equal(*pairs[0])
        assert torch.equal(fixed(x), fixed(x))


# ---- the radius ----


def test_a_model_whose_answers_are_no_numbers_has_no_vote():
    """By hand: NaN is the largest of a row for argmax, so that class 0 would win; only noise drives this model there."""
    broken = Function(
        lambda x: torch.stack([torch.where(x[:, 0, 0, 0] == 0.5, 0, torch.nan), x[:, 0, 0, 0]], 1)
    )
    x = torch.full((2, 1, 1, 1), 0.5)
    assert broken(x).isfinite().all()
    with pytest.raises(InputError, match="NaN or infinite for noisy images"):
        RegionClassifier(broken, 0.1, samples=5)(x)


@pytest.mark.parametrize("half, expected", [(0.025, 0.0), (0.175, 0.3), (0.325, 0.6)])
def test_the_radius_of_a_band_is_its_width(half, expected):
    """Against the closed form: class 0 fills a band of half-width h around the image, and wins the vote while r < 2 h."""

    def band(x):
        inside = half - (x[:, 0, 0] - 0.5).abs()
        return torch.cat([inside, -inside], 1)

    x, y = torch.full((1, 1, 1, 1), 0.5), torch.zeros(1, dtype=torch.long)
    # For r > 1/2 black and white get what was clipped; they are class 1 as well.
    assert choose_radius(Function(band), x, y, samples=1000, step=0.1) == pytest.approx(expected)


RADII = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]


@pytest.fixture(scope="module")
def lost(digits):
    """By how much the accuracy at each of the radii is below the model's."""
    model, (x, y) = models.load("mnist-cnn"), digits
    return [accuracy(model, x, y) - accuracy(RegionClassifier(model, r, 20, seed=4), x, y) for r in RADII]


@pytest.mark.parametrize("tolerance", [0.0, 0.1, 0.3])
def test_the_radius_is_the_last_within_the_tolerance(tolerance, digits, lost):
    """Against the accuracy at every radius, measured one by one: the last before the first at which too much is lost."""
    kept = [loss <= tolerance + 1e-9 for loss in lost]
    assert kept[0] and not all(kept)
    found = choose_radius(models.load("mnist-cnn"), *digits, 20, step=0.1, tolerance=tolerance, seed=4)
    assert found == pytest.approx(RADII[kept.index(False) - 1])


# ---- arguments ----


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: RegionClassifier(abs), "model: got .*allowed is a torch.nn.Module"),
        (lambda: UniformNoise(abs, 0.1), "model: got .*allowed is a torch.nn.Module"),
        (lambda: RegionClassifier(linear(), -0.1), "radius: got -0.1; allowed is a number >= 0 and <= 1"),
        (lambda: UniformNoise(linear(), 1.1), "radius: got 1.1"),
        (lambda: RegionClassifier(linear(), samples=0), "samples: got 0; allowed is an integer >= 1"),
        (lambda: RegionClassifier(linear(), batch_size=0), "batch_size: got 0"),
        (lambda: RegionClassifier(linear(), seed=-1), "seed: got -1"),
        (lambda: choose_radius(linear(), images(0, (1, 6, 6)), torch.zeros(0).long()), "x: got no images"),
        (lambda: choose_radius(linear(), 2 + images(2), torch.zeros(2).long()), "x: got values in"),
        (lambda: choose_radius(linear(), images(2), torch.zeros(3).long()), "y: got .*allowed is shape"),
        (lambda: choose_radius(linear(), images(2), torch.zeros(2).long(), step=0), "step: got 0; allowed is a number > 0"),
        (lambda: choose_radius(linear(), images(2), torch.zeros(2).long(), tolerance=2), "tolerance: got 2"),
        (lambda: choose_radius(linear(), images(2), torch.zeros(2).long(), samples=0), "samples: got 0"),
    ],
)  # fmt: skip
def test_bad_arguments_are_named(make, message):
    """Against one bad argument at a time; the error names it."""
    with pytest.raises(InputError, match=message):
        make()
