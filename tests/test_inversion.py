"""Inversion: against minima in closed form, the exact inverse of a linear layer, and judges that know nothing of the net."""

import math

import pytest
import torch
from nets import conv, images, linear
from tiny import blobs, network
from torch import nn

from advcourse import data, metrics, models
from advcourse.core.inputs import InputError, predict
from advcourse.data import ImageSet
from advcourse.lifecycle import (
    GradientInversion,
    Inversion,
    class_means,
    judge_prototypes,
    label_of,
    linear_input,
    shared_gradient,
    smooth_net,
)
from advcourse.lifecycle.inversion import summed_variation

CLASSES = torch.arange(10)
BLACK = torch.zeros(10, 1, 28, 28)


def digits():
    return data.load("mnist-5k", "train")


def test_the_variation_by_hand():
    """By hand: |1-3| + |2-5| down, |1-2| + |3-5| across; a flat image has none."""
    x = torch.tensor([[[[1.0, 2.0], [3.0, 5.0]]], [[[7.0, 7.0], [7.0, 7.0]]]])
    assert summed_variation(x).tolist() == [2 + 3 + 1 + 2, 0]


def test_the_minimum_of_a_linear_net():
    """In closed form: logits (w x, 0), so class 0 wants every pixel of positive weight white and the others black; with a
    penalty l2 on one pixel of weight w, the minimum solves w * (1 - p) = 2 * l2 * x."""
    net = linear(2, (1, 4, 4), seed=3)
    with torch.no_grad():
        net.weight[1] = 0
    y, start = torch.tensor([0]), torch.full((1, 1, 4, 4), 0.5, dtype=torch.float64)
    x = Inversion(tv=0, roll=0)(net, start, y)
    assert torch.equal(x.flatten(), (net.weight[0] > 0).double())
    one = linear(2, (1, 1, 1), seed=0)
    with torch.no_grad():
        one.weight[:] = torch.tensor([[3.0], [0.0]])
    found = Inversion(tv=0, l2=1.0, roll=0, steps=400, lr=0.02)(
        one, torch.zeros(1, 1, 1, 1).double(), y
    ).item()
    assert 3 * (1 - 1 / (1 + math.exp(-3 * found))) == pytest.approx(2 * found, abs=1e-3)


def test_a_strong_prior_leaves_an_empty_image():
    """By the objective: where smoothness costs more than the class can give, black from the start stays black."""
    net = linear(2, (1, 4, 4), seed=3)
    x = Inversion(tv=1e3, roll=0, steps=20)(net, torch.zeros(1, 1, 4, 4).double(), torch.tensor([0]))
    assert x.max() < 0.5


def test_own_confidence_proves_nothing():
    """Against the judges: a net is sure of all its prototypes, another architecture reads most, and few look like the class's
    mean more than like any other's. The controls: class means win everywhere, an untrained net's prototypes nowhere."""
    small, other = models.load("mnist-small"), models.load("mnist-mlp")
    x = Inversion(tv=0)(small, BLACK, CLASSES)
    sure = predict(small, x).softmax(1)[CLASSES, CLASSES]
    verdict = judge_prototypes(x, CLASSES, other, digits())
    assert sure.min() >= 0.99
    assert verdict.readable.value >= 0.7 and verdict.similar.value <= 0.8 and verdict.own.mean() <= 0.3
    assert verdict.readable.n == 10
    means = judge_prototypes(class_means(digits()), CLASSES, other, digits())
    assert means.readable.value == 1 and means.similar.value == 1 and means.own.min() > 0.999
    fresh = judge_prototypes(
        Inversion(tv=0)(models.build("mnist-small", 0), BLACK, CLASSES), CLASSES, other, digits()
    )
    assert fresh.readable.value <= 0.3


def test_the_judges_against_scikit_image():
    """Against SSIM to each class's mean, computed pair by pair, and the arg max of another net's logits."""
    x, y = digits().pick(6)
    verdict = judge_prototypes(x, y, models.load("mnist-mlp"), digits())
    means = class_means(digits())
    for i in range(6):
        scores = [metrics.ssim(x[i : i + 1], mean[None]).item() for mean in means]
        own = scores.pop(int(y[i]))
        assert verdict.own[i].item() == pytest.approx(own) and verdict.best_other[i].item() == pytest.approx(
            max(scores)
        )
    assert torch.equal(verdict.labels, models.load("mnist-mlp")(x).argmax(1))
    assert verdict.similar.value == (verdict.own > verdict.best_other).double().mean()


def test_class_means_by_hand():
    """By hand, on three images of two classes; a class without an image is refused by name."""
    x, y = torch.tensor([0.0, 0.5, 1.0]).view(3, 1, 1, 1), torch.tensor([0, 1, 1])
    settings = {"name": "a", "split": "b", "licence": "c"}
    assert class_means(ImageSet(x, y, ("p", "q"), **settings)).flatten().tolist() == [0, 0.75]
    with pytest.raises(InputError, match="no image of class 'r'"):
        class_means(ImageSet(x, y, ("p", "q", "r"), **settings))


def test_a_linear_layer_gives_its_input_away():
    """In closed form, to rounding: the image behind the first layer of an MLP, from the gradient alone."""
    x, y = data.load("mnist-5k").first(1)
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 50), nn.ReLU(), nn.Linear(50, 10)).double()
    weight, bias, *_, last = shared_gradient(net, x.double(), y)
    torch.testing.assert_close(linear_input(weight, bias).view_as(x), x.double(), rtol=0, atol=1e-12)
    assert label_of(last) == y.item()


def test_the_mean_of_two_images_hides_both():
    """By hand: over a batch, the quotient is a mixture, so that the exact inverse fails, and the label cannot be told."""
    x, y = data.load("mnist-5k").first(2)
    assert y[0] != y[1]
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 50), nn.ReLU(), nn.Linear(50, 10)).double()
    weight, bias, *_, last = shared_gradient(net, x.double(), y)
    assert (linear_input(weight, bias).view(1, 1, 28, 28) - x).abs().amax((1, 2, 3)).min() > 0.1
    with pytest.raises(InputError, match="bias: got 2 negative entries"):
        label_of(last)


@pytest.mark.slow
def test_a_smooth_net_gives_its_image_away_and_noise_hides_it():
    """Against the true digit by SSIM. Zhu et al. 2019 find it to the pixel; the control is the class's mean, which an attacker
    has anyway. Noise as long as the gradient hides the image only in part; ten times as long, it leaves less than that mean."""
    x, y = data.load("mnist-5k").first(1)
    net = smooth_net((1, 28, 28), 10)
    gradient = shared_gradient(net, x, y)
    label = torch.tensor([label_of(gradient[-1])])
    known = metrics.ssim(class_means(digits())[label], x).item()
    length = torch.cat([g.flatten() for g in gradient]).norm() / sum(g.numel() for g in gradient) ** 0.5

    def similarity(noise):
        generator = torch.Generator().manual_seed(0)
        seen = [g + noise * length * torch.randn(g.shape, generator=generator) for g in gradient]
        return metrics.ssim(GradientInversion()(net, seen, (1, 28, 28), label), x).item()

    assert label.item() == y.item()
    assert similarity(0) >= max(0.8, known + 0.2)
    assert similarity(1) >= 0.3
    assert similarity(10) <= min(0.2, known - 0.2)


def test_the_shared_gradient_is_autograds():
    """Against backward() on the mean cross-entropy, parameter by parameter; frozen ones send nothing."""
    net, (x, y) = network().eval(), blobs(6)
    net[1].bias.requires_grad_(False)
    found = shared_gradient(net, x, y)
    nn.functional.cross_entropy(net(x), y).backward()
    own = [p.grad for p in net.parameters() if p.requires_grad]
    assert len(found) == len(own) and all(map(torch.allclose, found, own))


def test_attacks_repeat_and_leave_nothing_behind():
    """Against copies taken before, and a second run: weights, buffers, modes, gradients, images, and the global random state."""
    net = conv().train()
    before = {name: t.clone() for name, t in net.state_dict().items()}
    start, y, state = images(5), torch.arange(5), torch.get_rng_state()
    kept = start.clone()
    inversion = Inversion(steps=3, seed=1)
    assert torch.equal(inversion(net, start, y), inversion(net, start, y))
    assert not torch.equal(inversion(net, start, y), Inversion(steps=3, seed=2)(net, start, y))
    smooth = smooth_net((1, 8, 8), 5)
    gradient = shared_gradient(smooth, start[:2], y[:2])
    seen = [g.clone() for g in gradient]
    attack = GradientInversion(steps=3)
    found = attack(smooth, gradient, (1, 8, 8), y[:2])
    assert torch.equal(found, attack(smooth, gradient, (1, 8, 8), y[:2]))
    assert 0 <= found.min() and found.max() <= 1 and not found.requires_grad
    assert torch.equal(start, kept) and all(map(torch.equal, gradient, seen))
    assert torch.equal(state, torch.get_rng_state()) and net.training
    assert all(torch.equal(t, before[name]) for name, t in net.state_dict().items())
    assert all(p.grad is None for p in (*net.parameters(), *smooth.parameters()))


NET = conv()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Inversion(tv=-1), "tv: got -1"),
        (lambda: Inversion(steps=0), "steps: got 0"),
        (lambda: Inversion(roll=0.5), "roll: got 0.5"),
        (lambda: Inversion(lr=0), "lr: got 0"),
        (lambda: Inversion()(NET, torch.full((1, 1, 8, 8), 2.0), torch.tensor([0])), "start: got values"),
        (lambda: Inversion(steps=1)(NET, images(1), torch.tensor([5])), "y: got label 5"),
        (lambda: Inversion()("net", images(1), torch.tensor([0])), "model: got 'net'"),
        (lambda: judge_prototypes(BLACK[:0], CLASSES[:0], NET, digits()), "images: got none"),
        (lambda: GradientInversion(steps=0), "steps: got 0"),
        (lambda: GradientInversion()(NET, [], (1, 8, 8), torch.tensor([0])), "gradient: got 0 tensors"),
        (lambda: linear_input(torch.zeros(2, 3), torch.zeros(3)), "weight and bias: got shape"),
        (lambda: linear_input(torch.zeros(2, 3), torch.zeros(2)), "bias: got only zeros"),
        (lambda: label_of(torch.ones(3)), "bias: got 0 negative entries"),
        (lambda: shared_gradient(NET, images(1), torch.tensor([7])), "y: got label 7"),
    ],
)
def test_bad_input_is_named(call, message):
    """The expected sentences are written out by hand."""
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.gpu
def test_on_a_gpu():
    """Against the CPU, for a few steps: prototypes, gradients, and what is found from them."""
    there, y = conv().cuda(), torch.arange(3)
    found = Inversion(steps=3)(there, images(3).cuda(), y.cuda())
    assert found.is_cuda
    torch.testing.assert_close(found.cpu(), Inversion(steps=3)(conv(), images(3), y), atol=0.02, rtol=0)
    here, there = smooth_net((1, 8, 8), 5), smooth_net((1, 8, 8), 5).cuda()
    gradients = [
        shared_gradient(net, x, y.to(x.device)) for net, x in ((here, images(3)), (there, images(3).cuda()))
    ]
    for ours, theirs in zip(*gradients):
        torch.testing.assert_close(theirs.cpu(), ours, atol=1e-2, rtol=1e-2)
    assert GradientInversion(steps=2)(there, gradients[1], (1, 8, 8), y.cuda()).is_cuda
