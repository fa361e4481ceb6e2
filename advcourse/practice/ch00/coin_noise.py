"""Chapter 00: noise of the same size as an attack, the control."""

from typing import Any

import torch

from advcourse.labs.exercises import Draw
from advcourse.practice.asking import ALL, rounded
from advcourse.practice.tasks import small_exercise


def drawn_tosses(draw: Draw) -> dict[str, Any]:
    """Six pixels: the first leaves the range above and the second below; the third and the fourth stay inside it."""
    x = rounded(0.3 + 0.4 * draw.uniform((6,)))
    x[:2] = torch.tensor([0.97, 0.02])
    heads = draw.uniform((6,)) < 0.5
    heads[:4] = torch.tensor([True, False, False, True])
    return {"x": x, "eps": draw.number(0.05, 0.25), "heads": heads}


@small_exercise(
    "Noise of the same size",
    4,
    "easy",
    by_hand=(
        {
            "x": torch.tensor([0.5, 0.2, 0.95, 0.6]),
            "eps": 0.1,
            "heads": torch.tensor([True, False, True, False]),
        },
    ),
    drawn=drawn_tosses,
    hints=(
        "Each pixel moves by the whole eps, one way or the other. So you need +1 where the coin shows heads and -1 where it "
        "does not.",
        "torch.where(heads, 1.0, -1.0) gives these signs. Add eps times them to x, and cut off at black and white with "
        ".clamp(0, 1).",
    ),
    shape=lambda case: tuple(case["x"].shape),
    praise="Right. FGSM pushes pixels by the same eps, so whatever it does beyond this is the work of its direction.",
)
def coin_noise(x, eps, heads):
    return (x + eps * torch.where(heads, 1.0, -1.0)).clamp(0, 1)


@coin_noise.slip(
    "tails stay",
    "Where the coin shows tails your pixel stays where it is. It must get darker by eps there: True and False are 1 and 0, and "
    "you need 1 and -1.",
)
def only_lighter(x, eps, heads):
    return (x + eps * heads).clamp(0, 1)


@coin_noise.slip("tails stay")
def only_lighter_and_not_clipped(x, eps, heads):
    return x + eps * heads


@coin_noise.slip(
    "half the size",
    "Your pixels move by half of eps. Then the noise is smaller than the attack, and the comparison is unfair to the attack's "
    "opponent: move them by the whole eps.",
)
def half_a_step(x, eps, heads):
    return (x + eps * (heads.double() - 0.5)).clamp(0, 1)


@coin_noise.slip(
    "exchanged",
    "Your signs are exchanged: heads makes a pixel lighter, tails makes it darker.",
)
def heads_down(x, eps, heads):
    return (x - eps * torch.where(heads, 1.0, -1.0)).clamp(0, 1)


@coin_noise.slip(
    "not clipped",
    "Some of your pixels are darker than black or lighter than white, and no such image exists. Cut them off with .clamp(0, 1).",
)
def leaves_the_range(x, eps, heads):
    return x + eps * torch.where(heads, 1.0, -1.0)


@coin_noise.slip(
    "one toss",
    "You use the first toss for all pixels, so that the whole image just gets lighter or darker. Each pixel has its own toss.",
)
def the_first_for_all(x, eps, heads):
    return (x + (eps if heads[0] else -eps)).clamp(0, 1)


@coin_noise.slip(
    "image lost",
    "You return the noise without the image. Add it to x.",
)
def noise_alone(x, eps, heads):
    return (eps * torch.where(heads, 1.0, -1.0)).clamp(0, 1)


@coin_noise.slip(
    "image clipped to the budget",
    "You clip the image to the range from -eps to eps, which is the range of the noise. An image lies between 0 and 1.",
)
def clipped_to_eps(x, eps, heads):
    return (x + eps * torch.where(heads, 1.0, -1.0)).clamp(-eps, eps)


@coin_noise.right
def by_arithmetic(x, eps, heads):
    return torch.clamp(x + eps * (2 * heads.to(x) - 1), min=0, max=1)


@coin_noise.right
def two_cases(x, eps, heads):
    return torch.where(heads, (x + eps).clamp(max=1), (x - eps).clamp(min=0))


coin_noise.checks(*ALL)
