"""Thermometer encoding: codes by hand, a gradient that is not there, and the stand-in that brings it back."""

import math
from copy import deepcopy

import pytest
import torch
from nets import Function, images
from tiny import quiet
from torch import nn
from torch.nn import functional as F

from advcourse import data
from advcourse.attacks import FGSM, PGD
from advcourse.core.inputs import InputError, accuracy
from advcourse.defenses import LSPGA, Thermometer
from advcourse.defenses.thermometer import smooth_thermometer, thermometer


def row(*pixels):
    """One image 1 x 1 x len(pixels)."""
    return torch.tensor(pixels).view(1, 1, 1, -1)


def network(channels=16, side=8, classes=5, seed=0):
    """A linear map of codes (N, channels, side, side) to logits."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(channels * side * side, classes))


# ---- codes ----


def test_codes_by_hand():
    """By hand, for four levels: 0.13 is in the first quarter, 0.66 in the third, and 1 in the last, not beyond it."""
    code = thermometer(row(0.13, 0.66, 1.0, 0.0, 0.25, 0.2501), 4)[0, :, 0].T
    expected = [[1, 0, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1], [1, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0]]
    assert code.tolist() == expected  # 0.25 itself is just below, by the 0.99999


@pytest.mark.parametrize("levels", [2, 16])
def test_codes_follow_the_definition(levels):
    """Against the definition, pixel by pixel: tau_l = 1 where l <= floor(0.99999 x L); level l of channel c is number c L + l."""
    x = images(2, (3, 4, 4), dtype=torch.float64)
    code = thermometer(x, levels)
    assert code.shape == (2, 3 * levels, 4, 4) and code.dtype == x.dtype
    for n, c, i, j in torch.cartesian_prod(*map(torch.arange, x.shape)).tolist():
        b = math.floor(0.99999 * x[n, c, i, j].item() * levels)
        found = code[n, c * levels : (c + 1) * levels, i, j].tolist()
        assert found == [float(l <= b) for l in range(levels)]


def test_the_number_of_ones_tells_the_pixel():
    """Against the pixel: the count of ones, less a half, in units of 1 / L, is within half a level of it."""
    x = images(4)
    assert (((thermometer(x).sum(1, keepdim=True) - 0.5) / 16) - x).abs().max() <= 0.5 / 16 + 1e-4


def test_the_stand_in_by_hand():
    """By hand, for four levels: clip(4 x - (l - 1), 0, 1), so that 0.3 has 1, 1, 0.2 and 0; slopes of 4 where it is not cut."""
    x = row(0.3).requires_grad_()
    soft = smooth_thermometer(x, 4)
    assert soft.flatten().tolist() == pytest.approx([1, 1, 0.2, 0])
    slopes = [torch.autograd.grad(one, x, retain_graph=True)[0].item() for one in soft.flatten()]
    assert slopes == pytest.approx([0, 0, 4, 0])


@pytest.mark.parametrize("width, where", [(1, []), (2, [15]), (4, [13, 14, 15])])
def test_white_pixels_have_a_gradient_from_the_width_2_on(width, where):
    """By hand, at 0.99: with the width w the levels rise whose number l keeps 0.99 * 16 between l - 1 and l - 1 + w."""
    x = row(0.99).requires_grad_()
    slopes = [
        torch.autograd.grad(one, x, retain_graph=True)[0].item()
        for one in smooth_thermometer(x, 16, width).flatten()
    ]
    assert [l for l, slope in enumerate(slopes) if slope] == where
    assert sum(slopes) == pytest.approx(len(where) * 16 / width)


def test_the_stand_in_is_near_the_code():
    """Against the code: never below it, up to its 0.99999, and the two differ in one level of a pixel at most."""
    x = images(4)
    apart = smooth_thermometer(x) - thermometer(x)
    assert apart.min() > -2e-4 and apart.max() < 1
    assert (apart.abs() > 2e-4).unflatten(1, (1, 16)).sum(2).max() == 1


# ---- the module ----


def test_the_gradient_is_0_and_the_stand_in_brings_it_back():
    """Against 0, and the gradient of the linear network on the stand-in itself; the answers are the code's, bit for bit."""
    x, defense = images(3).requires_grad_(), Thermometer(network())
    (gone,) = torch.autograd.grad(defense(x)[:, 0].sum(), x)
    attackable = defense.attackable()
    assert torch.equal(attackable(x), defense(x)) and attackable.network is defense.network
    (back,) = torch.autograd.grad(attackable(x)[:, 0].sum(), x)
    (expected,) = torch.autograd.grad(defense.network(smooth_thermometer(x, 16, 4))[:, 0].sum(), x)
    assert (gone == 0).all() and torch.allclose(back, expected) and (back != 0).all()


def test_an_attack_without_a_gradient_goes_nowhere():
    """Against the image itself, bit for bit: FGSM moves by the sign of 0."""
    x, y = images(5), torch.arange(5)
    defense = Thermometer(network())
    assert torch.equal(FGSM(0.3)(defense, x, y), x)
    assert (FGSM(0.3)(defense.attackable(), x, y) - x).abs().max() > 0.29


def test_it_works_on_colour_and_keeps_its_mode():
    """Against the shapes, the network's own answer to the code, and the mode of the defense."""
    x, defense = images(2, (3, 8, 8)), Thermometer(network(3 * 4), 4)
    assert torch.equal(defense(x), defense.network(thermometer(x, 4)))
    assert not defense.eval().attackable().training and defense.train().attackable().training


# ---- training on codes ----


def test_adversarial_codes_are_codes_of_images_in_the_ball():
    """Against the definition: zeros after ones, and a last level between those of x - eps and x + eps."""
    x, y, defense = images(4), torch.arange(4), Thermometer(network())
    codes = LSPGA(0.2, steps=3).codes(defense, x, y).unflatten(1, (1, 16))
    last = codes.sum(2) - 1
    assert set(codes.unique().tolist()) == {0, 1} and (codes.diff(dim=2) <= 0).all()
    low, high = ((0.99999 * edge * 16).floor() for edge in ((x - 0.2).clamp_min(0), (x + 0.2).clamp_max(1)))
    assert (last >= low).all() and (last <= high).all() and (last != (0.99999 * x * 16).floor()).any()


def test_the_ascent_finds_the_worst_code_of_a_linear_network():
    """Against the exact maximum: with two classes each pixel's worst level is the best of cumulative weight differences."""
    x, y, defense = images(6), torch.arange(6) % 2, Thermometer(network(classes=2))
    weight = (defense.network[1].weight[1] - defense.network[1].weight[0]).view(16, 8, 8).cumsum(0)
    codes = LSPGA(0.2, steps=40).codes(defense, x, y).detach()
    gain = lambda code: (defense.network(code) @ torch.tensor([-1.0, 1.0])) * (1 - 2.0 * y)  # noqa: E731
    low, high = (
        (0.99999 * edge * 16).floor().long() for edge in ((x - 0.2).clamp_min(0), (x + 0.2).clamp_max(1))
    )
    levels = torch.arange(16).view(16, 1, 1)
    sign = (1 - 2.0 * y).view(6, 1, 1, 1)
    best = (sign * weight).masked_fill((levels < low) | (levels > high), -torch.inf).amax(1).sum((1, 2))
    bias = (defense.network[1].bias[1] - defense.network[1].bias[0]) * (1 - 2.0 * y)
    start = gain(thermometer(x))
    share = (gain(codes) - start) / (best + bias - start)
    assert share.max() <= 1 + 1e-5 and share.min() > 0.9


def test_without_a_budget_it_is_ordinary_training():
    """Against the cross-entropy of the images' own codes: the ball of radius 0 holds them alone."""
    x, y, defense = images(6), torch.arange(6) % 5, Thermometer(network())
    assert LSPGA(0.0)(defense, x, y).item() == pytest.approx(F.cross_entropy(defense(x), y).item())


# ---- bad input ----


def test_bad_input_is_named():
    """Against one bad argument at a time; the error names it."""
    x, y, defense = images(2), torch.arange(2), Thermometer(network())
    for settings, message in (
        ({"levels": 1}, "levels: got 1"),
        ({"width": 0}, "width: got 0; allowed is a number > 0"),
    ):
        with pytest.raises(InputError, match=message):
            Thermometer(network(), **settings)
    with pytest.raises(InputError, match="network: got str"):
        Thermometer("mnist-cnn")
    with pytest.raises(InputError, match="model: got Function; allowed is a Thermometer"):
        LSPGA()(Function(lambda x: x), x, y)
    with pytest.raises(InputError, match=r"x: got values in .*allowed is \[0, 1\]"):
        LSPGA()(defense, 2 * x, y)
    for settings in ({"eps": -0.1}, {"steps": 0}, {"alpha": -1}, {"growth": 0.9}):
        with pytest.raises(InputError, match=f"{next(iter(settings))}: got"):
            LSPGA(**settings)


# ---- what it seems to stand, and what breaks it ----


@pytest.fixture(scope="module")
def trained():
    """A small convolutional network behind the code, trained on 1000 digits; and 50 others with their labels."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = [nn.Conv2d(16, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 4, 2, 1), nn.ReLU()]
        defense = Thermometer(nn.Sequential(*layers, nn.Flatten(), nn.Linear(32 * 49, 10)))
    quiet(defense, data.load("mnist-5k", "train").pick(1000), epochs=4, batch_size=32, lr=5e-3)
    return defense.eval(), *data.load("mnist-5k").pick(50)


def test_it_seems_to_stand_what_needs_a_gradient(trained):
    """Against the accuracy without an attack: FGSM and PGD at 0.3 take little of it, for they see a gradient of 0."""
    defense, x, y = trained
    assert accuracy(defense, x, y) >= 0.9
    assert accuracy(defense, FGSM(0.3)(defense, x, y), y) == accuracy(defense, x, y)
    assert accuracy(defense, PGD(0.3, steps=20)(defense, x, y), y) >= 0.8


def test_a_stand_in_for_the_gradient_breaks_it(trained):
    """Against Athalye et al. 2018, who leave 0 %: PGD with the stand-in leaves 0, 0 and 2 % on 3 seeds."""
    defense, x, y = trained
    assert accuracy(defense, PGD(0.3, steps=20)(defense.attackable(), x, y), y) <= 0.06
    assert accuracy(defense, PGD(0.3, steps=20)(defense.attackable(1), x, y), y) <= 0.3


def test_training_on_adversarial_codes_helps_against_the_stand_in(trained):
    """Against the same network without it, at 0.15: 82 % are right under the attack, not 34; clean digits cost nothing."""
    plain, x, y = trained
    defense = deepcopy(plain)
    settings = {"epochs": 3, "batch_size": 32, "lr": 2e-3}
    quiet(defense, data.load("mnist-5k", "train").pick(600), LSPGA(0.1, steps=3), **settings)
    ours, theirs = (
        accuracy(one, PGD(0.15, steps=20)(one.attackable(), x, y), y) for one in (defense.eval(), plain)
    )
    assert ours >= theirs + 0.2 and ours >= 0.6
    assert accuracy(defense, x, y) >= 0.9
