"""Lab 3: the shrinkage of EAD, which takes small changes back."""

import torch
from torch import Tensor
from torch.nn.functional import softshrink

from advcourse.labs.comparing import follows, images, recognises
from advcourse.labs.exercises import Draw, exercise
from advcourse.labs.lab3.questions import FIRST, LAST, keeps_the_digits
from advcourse.labs.properties import stays_in_the_box, treats_images_alone

EXACTLY = images(most=1.0)


def near_and_far(draw: Draw, x: Tensor) -> dict[str, Tensor | float]:
    """Points near x and far from it, some outside the box."""
    beta = draw.number(0.05, 0.1)
    return {"beta": beta, "z": x + 2.5 * beta * draw.normal(x.shape)}


@exercise(
    "Small changes become none",
    2,
    near_and_far,
    (
        "Three cases for each pixel: well above x, well below x, and near it. torch.where chooses between two of them.",
        "Above: (z - beta).clamp_max(1). Below: (z + beta).clamp_min(0). Near: x itself.",
        "With change = z - x: x + change.sign() * (change.abs() - beta).clamp_min(0), then clamp(0, 1), is all three in one.",
    ),
)
def shrink(z, x, beta):
    return (x + softshrink(z - x, beta)).clamp(0, 1)


@shrink.slip("perturbation", "The result is the shrunk change alone. Add x again.")
def returns_the_change(z, x, beta):
    return softshrink(z - x, beta).clamp(0, 1)


@shrink.slip(
    "about zero",
    "The pixels are shrunk towards 0. They shrink towards x: it is the change z - x that the L1 norm wants small.",
)
def forgets_x(z, x, beta):
    return softshrink(z, beta).clamp(0, 1)


@shrink.slip(
    "cut, not shrunk",
    "Small changes go, but large ones stay as they are. They shrink too, each by beta.",
)
def hard_threshold(z, x, beta):
    return torch.where((z - x).abs() > beta, z, x).clamp(0, 1)


@shrink.slip(
    "small changes stay",
    "Changes of up to beta stay as they are. They become 0: these pixels go back to x, which is what makes EAD sparse.",
)
def dead_zone_left_out(z, x, beta):
    return torch.where(z - x > beta, z - beta, torch.where(z - x < -beta, z + beta, z)).clamp(0, 1)


@shrink.slip(
    "past x",
    "All changes lose beta, small ones too, and those end beyond x. Up to beta a pixel goes back to x and stops.",
)
def no_dead_zone(z, x, beta):
    return (z - beta * (z - x).sign()).clamp(0, 1)


@shrink.slip(
    "pushed outwards",
    "Large changes grow by beta. They shrink by it: z - beta where z is above x, z + beta where it is below.",
)
def signs_swapped(z, x, beta):
    return torch.where(z - x > beta, z + beta, torch.where(z - x < -beta, z - beta, x)).clamp(0, 1)


@shrink.slip(
    "one side",
    "Only pixels that became lighter are kept. Those that became darker by more than beta shrink likewise, to z + beta.",
)
def lighter_only(z, x, beta):
    return torch.where(z - x > beta, (z - beta).clamp_max(1), x)


@shrink.slip(
    "box first",
    "z is clipped to [0, 1] before it is shrunk. Shrink first, then clip: S_beta is min(z - beta, 1) and max(z + beta, 0).",
)
def clipped_before(z, x, beta):
    return shrink(z.clamp(0, 1), x, beta)


@shrink.right
def three_cases(z, x, beta):
    lighter, darker = (z - beta).clamp_max(1), (z + beta).clamp_min(0)
    return torch.where(z - x > beta, lighter, torch.where(z - x < -beta, darker, x))


@shrink.wrong("box")
def not_clipped(z, x, beta):
    return x + softshrink(z - x, beta)


@shrink.wrong("formula")
def half_the_threshold(z, x, beta):
    return shrink(z, x, beta / 2)


@shrink.wrong("input")
def writes_into_z(z, x, beta):
    near = (z - x).abs() <= beta
    result = no_dead_zone(z, x, beta)
    z[near] = x[near]
    return torch.where(near, z, result)


@shrink.wrong("crash")
def asks_all_pixels_at_once(z, x, beta):
    if (z - x).abs() <= beta:
        return x
    return z - beta


@shrink.wrong("other type")
def through_float32(z, x, beta):
    return shrink(z.float(), x.float(), beta).to(x)


shrink.checks(
    *FIRST,
    recognises(shrink, by=EXACTLY, shape=(3, 20, 24)),
    stays_in_the_box,
    follows(shrink, by=EXACTLY),
    treats_images_alone,
    *LAST,
    keeps_the_digits,
)
