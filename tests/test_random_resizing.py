"""Random resizing and padding against nearest-neighbour resizing by torch, and the laws of its draws; the attacks stand apart."""

import pytest
import torch
from nets import conv, images, linear
from torch.nn import functional as F

from advcourse.core.inputs import InputError
from advcourse.core.randomness import seeded
from advcourse.defenses import RandomTransformation


def defended(model=None, **settings):
    return RandomTransformation(model or linear(shape=(1, 28, 28), dtype=torch.float32), **settings)


def possible(x, low, high, padded, fill):
    """Every padded image that can come of `x` (1, C, H, H), by torch's own resizing and padding: (size, top, left) -> image."""
    found = {}
    for size in range(low, high):
        larger = F.interpolate(x, size=(size, size), mode="nearest")
        for top in range(padded - size + 1):
            for left in range(padded - size + 1):
                edges = left, padded - size - left, top, padded - size - top
                found[size, top, left] = F.pad(larger, edges, value=fill)
    return found


def test_each_draw_is_a_resized_and_padded_image_evenly_over_sizes_and_places():
    """Against all of the 14 images that can come about: sizes evenly, and the places of a size evenly (chi squared)."""
    x = images(1, (2, 5, 5))
    expected = possible(x, 5, 8, 7, 0.5)
    torch.manual_seed(0)
    drawn = defended(low=5, high=8, padded=7, restore=False).transform(x.repeat(3000, 1, 1, 1))
    counts = {key: (drawn == image).flatten(1).all(1).sum().item() for key, image in expected.items()}
    assert sum(counts.values()) == 3000 and len(expected) == 9 + 4 + 1
    law = {key: 1000 / (8 - key[0]) ** 2 for key in expected}
    assert (
        sum((counts[key] - law[key]) ** 2 / law[key] for key in law) < 34.5
    )  # 13 degrees of freedom, p = 0.001


def test_the_image_is_brought_back_to_its_size_or_handed_on(digits):
    """Against torch's bilinear resizing of the padded image; `mnist-cnn` takes 28 x 28 alone, a pooled head takes 31."""
    x = digits[0]
    larger = defended(restore=False, seed=1).transform(x)
    assert larger.shape == (30, 1, 31, 31)
    assert torch.equal(defended(seed=1).transform(x), F.interpolate(larger, size=(28, 28), mode="bilinear"))
    pooled = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(8), conv()).eval()
    assert RandomTransformation(pooled, restore=False)(x).shape == (30, 5)


def test_trap_the_padding_is_mid_grey():
    """Against the value 0.5 around a black and a white image, all 31^2 - r^2 pixels of it, and no other grey."""
    for value in (0.0, 1.0):
        drawn = defended(restore=False).transform(torch.full((50, 1, 28, 28), value))
        grey = (drawn == 0.5).flatten(1).sum(1)
        assert set(grey.tolist()) == {31**2 - r**2 for r in (28, 29, 30)}
        assert ((drawn == 0.5) | (drawn == value)).all()


def test_draws_are_fresh_follow_from_the_global_state_and_can_be_fixed():
    """Against second passes: each image and each pass differs, a seeded pair repeats, a seed of its own repeats every time."""
    x, cpu = images(1, (1, 28, 28)).repeat(20, 1, 1, 1), torch.device("cpu")
    defense, pairs = defended(), []
    assert not torch.equal(defense(x), defense(x)) and len(defense(x).unique(dim=0)) > 5
    for _ in range(2):
        with seeded(cpu, 5):
            pairs.append((defense(x), defense(x)))
    assert all(torch.equal(a, b) for a, b in zip(*pairs)) and not torch.equal(*pairs[0])
    fixed, state = defended(seed=3), torch.get_rng_state()
    assert torch.equal(fixed(x), fixed(x)) and torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("restore", [True, False])
def test_its_gradient_is_its_own(restore):
    """Against finite differences in float64, the draws fixed."""
    x = images(2, (1, 4, 4), dtype=torch.float64).requires_grad_()
    defense = defended(low=4, high=7, padded=7, restore=restore, seed=0)
    assert torch.autograd.gradcheck(defense.transform, x)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"low": 0}, "low: got 0"),
        ({"high": 28}, "high: got 28; allowed is an integer >= 29"),
        ({"padded": 29}, "padded: got 29; allowed is an integer >= 30"),
        ({"fill": 1.5}, "fill: got 1.5"),
        ({"seed": -1}, "seed: got -1"),
        ({"model": abs}, "model: got .*allowed is a torch.nn.Module"),
    ],
    ids=str,
)
def test_bad_settings_are_named(settings, message):
    """Against one bad setting at a time; the error names it."""
    with pytest.raises(InputError, match=message):
        defended(**settings)


@pytest.mark.parametrize("shape", [(1, 28, 27), (1, 29, 29)])
def test_bad_images_are_named(shape):
    """Against images that are no squares, or larger than the smallest size drawn."""
    with pytest.raises(
        InputError,
        match=f"x: got images of {shape[1]} x {shape[2]} pixels; allowed are squares of at most 28",
    ):
        defended()(images(1, shape))
