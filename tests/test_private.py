"""DP-SGD: against per-image gradients by a loop, the noise's own statistics, closed forms and published numbers of privacy."""

import importlib.util
import math
import sys

import numpy as np
import pytest
import torch
from nets import linear
from tiny import blobs, network, quiet, same, snapshot
from torch import nn

from advcourse.core.inputs import InputError, accuracy
from advcourse.lifecycle import PrivateTraining, clipped_sum, epsilon, noise_for

needs_opacus = pytest.mark.skipif(
    importlib.util.find_spec("opacus") is None,
    reason="opacus, which counts privacy, is not installed: pip install advcourse[privacy]",
)


def plain(seed=0):
    """A net that treats each image by itself."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 3)).double()


def one_by_one(net, x, y):
    """Each image's gradient as one vector, by backward() in a loop."""
    rows = []
    for image, label in zip(x, y):
        net.zero_grad()
        nn.functional.cross_entropy(net(image[None]), label[None]).backward()
        rows.append(torch.cat([p.grad.flatten() for p in net.parameters() if p.requires_grad]))
    net.zero_grad()
    return torch.stack(rows)


def test_the_sum_of_clipped_gradients():
    """Against a loop over the images, for clips that touch none, some and all of them; more images than are held at once."""
    net, (x, y) = plain(), blobs(70)
    x = x.double()
    rows = one_by_one(net, x, y)
    norms = rows.norm(dim=1)
    for clip in (norms.max() * 2, norms.median(), norms.min() / 2):
        expected = (rows * (clip / norms).clamp(max=1)[:, None]).sum(0)
        found = clipped_sum(net, x, y, float(clip))
        torch.testing.assert_close(torch.cat([g.flatten() for g in found.values()]), expected)
    assert all(p.grad is None for p in net.parameters())


def test_slip_a_clip_of_the_mean():
    """By hand: one image with a large gradient among many small ones. Clipping the mean leaves its influence; clipping each
    image's bounds what any one of them adds, which is what privacy rests on."""
    net = linear(2, (1, 1, 2)).requires_grad_()
    with torch.no_grad():
        net.weight.zero_()
    x, y = torch.zeros(10, 1, 1, 2).double(), torch.zeros(10, dtype=torch.int64)
    x[0] = 1
    without, with_it = (clipped_sum(net, part, labels, 0.1) for part, labels in ((x[1:], y[1:]), (x, y)))
    change = torch.cat([(with_it[k] - without[k]).flatten() for k in with_it])
    assert change.norm().item() == pytest.approx(0.1)


def test_the_steps_have_the_noise_that_is_promised():
    """Against the law of the noise: with lr 1 and no data in the batch, each step moves the weights by noise * clip / (rate * n)
    times a standard normal. 200 steps of 40 weights: its deviation to 2 %, four standard errors; no bias."""
    net, (x, y) = plain(), blobs(20)
    training = PrivateTraining(noise=3.0, clip=0.5, rate=1e-9, steps=200, lr=1.0)
    before = torch.cat([p.detach().flatten().clone() for p in net.parameters()])
    sizes = training.fit(net, (x.double(), y), device="cpu")
    moved = torch.cat([p.detach().flatten() for p in net.parameters()]) - before
    assert sizes == [0] * 200
    expected = 3.0 * 0.5 / (1e-9 * 20) * math.sqrt(200)
    n = len(moved)
    assert moved.std().item() == pytest.approx(expected, rel=4 / math.sqrt(2 * n))
    assert abs(moved.mean().item()) <= 4 * expected / math.sqrt(n)


def test_without_noise_it_is_gradient_descent():
    """Against plain gradient descent written out: no clip that touches, every image in every batch."""
    net, other, (x, y) = plain(), plain(), blobs(30)
    x = x.double()
    PrivateTraining(noise=0, clip=1e6, rate=1.0, steps=5, lr=0.3).fit(net, (x, y), device="cpu")
    for _ in range(5):
        gradient = torch.autograd.grad(nn.functional.cross_entropy(other(x), y), list(other.parameters()))
        with torch.no_grad():
            for p, g in zip(other.parameters(), gradient):
                p -= 0.3 * g
    for p, q in zip(net.parameters(), other.parameters()):
        torch.testing.assert_close(p, q)


def test_batches_are_poisson():
    """Against the binomial distribution: each image by itself, so that sizes vary; mean and variance over 400 batches to four
    standard errors."""
    x, y = blobs(60)
    sizes = np.array(PrivateTraining(rate=0.2, steps=400, lr=1e-3).fit(plain().float(), (x, y), device="cpu"))
    assert sizes.mean() == pytest.approx(12, abs=4 * math.sqrt(9.6 / 400))
    assert sizes.var() == pytest.approx(9.6, rel=4 * math.sqrt(2 / 400))


def test_it_learns_and_noise_costs():
    """Against training without privacy on blobs: little noise reaches it, much noise does not."""
    x, y = blobs(120)
    free = plain().float()
    quiet(free, (x, y), epochs=20, batch_size=24, lr=0.01)
    found = []
    for noise in (0.1, 30.0):
        net = plain().float()
        PrivateTraining(noise=noise, rate=0.2, steps=150, lr=1.0).fit(net, (x, y), device="cpu")
        found.append(accuracy(net, x, y))
    assert accuracy(free, x, y) >= 0.95 and found[0] >= 0.85 and found[1] <= found[0] - 0.2


def test_training_repeats_and_leaves_the_rest():
    """Against a second run; another seed ends elsewhere; data, mode and the global random state stay."""
    x, y = blobs(30)
    kept, state, ends = x.clone(), torch.get_rng_state(), []
    for seed in (0, 0, 1):
        net = plain().float().eval()
        PrivateTraining(steps=3).fit(net, (x, y), seed=seed, device="cpu")
        assert not net.training and all(p.grad is None for p in net.parameters())
        ends.append(snapshot(net))
        assert same(net, ends[0]) == (seed == 0)
    assert torch.equal(x, kept) and torch.equal(state, torch.get_rng_state())


@needs_opacus
def test_the_published_numbers():
    """Against the values of opacus 1.6's own search for delta 1e-4, rate 0.051 and 400 steps: 3.75, 2.13 and 0.91."""
    for target, noise in ((1, 3.75), (2, 2.13), (8, 0.911)):
        found = noise_for(target, 0.051, 400, 1e-4)
        assert found == pytest.approx(noise, rel=0.015)
        assert epsilon(found, 0.051, 400, 1e-4) <= target <= epsilon(found / 1.03, 0.051, 400, 1e-4)
        assert PrivateTraining(noise=found, rate=0.051).epsilon(1e-4) == epsilon(found, 0.051, 400, 1e-4)


@needs_opacus
def test_without_subsampling_it_is_the_gaussian_mechanism():
    """In closed form: k steps of the Gaussian mechanism have Renyi divergence k a / (2 s^2) at order a, and epsilon is the
    least of that + log((a-1)/a) - (log delta + log a) / (a-1) over a (Canonne, Kamath and Steinke 2020, proposition 12)."""
    for noise, steps, delta in ((2.0, 1, 1e-5), (5.0, 10, 1e-5), (20.0, 100, 1e-3)):
        a = np.linspace(1.01, 200, 200_000)
        exact = (
            steps * a / (2 * noise**2) + np.log((a - 1) / a) - (math.log(delta) + np.log(a)) / (a - 1)
        ).min()
        assert epsilon(noise, 1.0, steps, delta) == pytest.approx(exact, rel=0.01)


@needs_opacus
def test_more_noise_and_fewer_steps_keep_more():
    """By the order that must hold: noise, rate and steps each in its own direction."""
    base = epsilon(1.0, 0.1, 100, 1e-4)
    assert epsilon(1.5, 0.1, 100, 1e-4) < base < epsilon(0.8, 0.1, 100, 1e-4)
    assert epsilon(1.0, 0.05, 100, 1e-4) < base < epsilon(1.0, 0.1, 200, 1e-4)


def test_a_missing_accountant_is_explained(monkeypatch):
    """By hiding it: the sentence says what is missing, what it is for, and how to get it."""
    monkeypatch.setitem(sys.modules, "opacus", None)
    with pytest.raises(
        InputError, match=r"opacus: it counts what DP-SGD spends, .*pip install advcourse\[privacy\]"
    ):
        epsilon(1.0, 0.1, 100, 1e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PrivateTraining(noise=-1), "noise: got -1"),
        (lambda: PrivateTraining(clip=0), "clip: got 0"),
        (lambda: PrivateTraining(rate=1.5), "rate: got 1.5"),
        (lambda: PrivateTraining(steps=0), "steps: got 0"),
        (lambda: PrivateTraining(lr=0), "lr: got 0"),
        (lambda: PrivateTraining().fit(network(), blobs(6)), "model: got the layer 2 .BatchNorm1d."),
        (
            lambda: PrivateTraining().fit(plain().float(), (torch.zeros(0, 1, 4, 4), torch.zeros(0).long())),
            "none",
        ),
        (
            lambda: PrivateTraining().fit(plain().float(), (blobs(6)[0], torch.full((6,), 3))),
            "y: got label 3",
        ),
        (lambda: PrivateTraining().fit(plain().requires_grad_(False), blobs(6)), "no trainable parameters"),
        (lambda: clipped_sum(plain().float(), *blobs(6), 0), "clip: got 0"),
        (lambda: epsilon(0, 0.1, 10, 1e-4), "noise: got 0"),
        (lambda: epsilon(1, 0.1, 10, 1.0), "delta: got 1.0"),
        (lambda: noise_for(0, 0.1, 10, 1e-4), "target: got 0"),
    ],
)
def test_bad_input_is_named(call, message):
    """The expected sentences are written out by hand."""
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.gpu
def test_on_a_gpu():
    """Against the CPU: the same batches and the same noise, since both are drawn there."""
    nets = []
    for device in ("cpu", "cuda"):
        net = plain().float().to(device)
        PrivateTraining(steps=3).fit(net, tuple(t.to(device) for t in blobs(30)), device=device)
        nets.append(net.cpu())
    for p, q in zip(*(net.parameters() for net in nets)):
        torch.testing.assert_close(p, q, atol=1e-3, rtol=1e-2)


def test_an_image_without_a_finite_gradient_adds_nothing():
    """The root of a black image has an infinite slope: against the sum over the other images."""

    class Root(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(4, 3, bias=False)

        def forward(self, z):
            return self.linear(z.flatten(1)).square().sum(1, keepdim=True).sqrt() * torch.arange(3.0)

    torch.manual_seed(0)
    model, x, y = Root(), torch.rand(4, 1, 2, 2), torch.tensor([0, 1, 2, 0])
    x[1] = 0
    rest = torch.tensor([0, 2, 3])
    both, others = clipped_sum(model, x, y, 1.0), clipped_sum(model, x[rest], y[rest], 1.0)
    torch.testing.assert_close(both["linear.weight"], others["linear.weight"])
    assert both["linear.weight"].isfinite().all()
