"""Imperceptibility (the survey's section 3): how large is the change? Pixels are in [0, 1], so L-infinity is too.

`x` and `x_adv` are image batches of one shape (N, C, H, W). Each distance has shape (N,) and is float64: sums of float32
pixels lose digits.
"""

import torch

from advcourse.inputs import InputError, check_choice


def _difference(x, x_adv):
    for name, images in (("x", x), ("x_adv", x_adv)):
        if not isinstance(images, torch.Tensor) or images.dim() < 2:
            given = tuple(images.shape) if isinstance(images, torch.Tensor) else type(images).__name__
            raise InputError(f"{name}: got {given}; allowed is a tensor of images, shape (N, C, H, W)")
    if x.shape != x_adv.shape:
        raise InputError(
            f"x_adv: got shape {tuple(x_adv.shape)}; allowed is the shape of x, {tuple(x.shape)}"
        )
    return (x_adv.detach().double() - x.detach().double()).abs()


def l0(x, x_adv, per="pixel"):
    """L0, shape (N,): how many pixels differ. `per="pixel"` counts a pixel once, `"channel"` each of its channel values."""
    check_choice(per, "per", ("pixel", "channel"))
    changed = _difference(x, x_adv) > 0
    if per == "pixel" and changed.dim() == 4:
        changed = changed.any(1)
    return changed.flatten(1).sum(1).double()


def l1(x, x_adv):
    """L1, shape (N,): the sum of the absolute changes over pixels and channels."""
    return _difference(x, x_adv).flatten(1).sum(1)


def l2(x, x_adv):
    """L2, shape (N,): the Euclidean length of the change, over pixels and channels. Not squared."""
    return _difference(x, x_adv).flatten(1).square().sum(1).sqrt()


def linf(x, x_adv):
    """L-infinity, shape (N,): the largest change of any pixel and channel."""
    return _difference(x, x_adv).flatten(1).amax(1)


def mean_over_successes(values, success):
    """Mean of `values` (N,) over the images with `success` (N,) bool; NaN where nothing succeeded.

    An average over successes flatters an attack that succeeds only where it is easy: show the misclassification rate beside it.
    """
    return values[success].double().mean().item()
