"""Chapter 20: the score of the likelihood-ratio attack."""

from typing import Any

import torch

from advcourse.labs.exercises import Draw
from advcourse.practice.asking import ALL, rounded
from advcourse.practice.tasks import small_exercise


def drawn_confidences(draw: Draw) -> dict[str, Any]:
    """Five points whose confidence lies between, beyond and outside of the two centres."""
    outside = rounded(4 * draw.uniform((5,)) - 1).double()
    inside = outside + rounded(0.5 + 2 * draw.uniform((5,))).double()
    phi = inside + torch.tensor([-0.3, 1.5, -2.9, 0.4, -1.2]).double()
    return {"phi": phi, "inside": inside, "outside": outside, "spread": draw.number(0.6, 1.6)}


@small_exercise(
    "Inside or outside?",
    5,
    "medium",
    by_hand=(
        {
            "phi": torch.tensor([6.0, 6.0, 1.0]),
            "inside": torch.tensor([6.0, 8.0, 4.0]),
            "outside": torch.tensor([2.0, 7.0, 2.0]),
            "spread": 2.0,
        },
    ),
    drawn=drawn_confidences,
    hints=(
        "The logarithm of a normal density is minus the squared distance to its centre, over 2 spread², and a constant. In the "
        "difference of two with the same spread the constants cancel.",
        "((phi - outside) ** 2 - (phi - inside) ** 2) / (2 * spread**2): far from the outside and near the inside is a member.",
    ),
    shape=lambda case: case.arguments["phi"].shape,
    praise="The same confidence, 6, speaks for a member at the first image and against one at the second.",
)
def likelihood_ratio(phi, inside, outside, spread):
    return ((phi - outside) ** 2 - (phi - inside) ** 2) / (2 * spread**2)


@likelihood_ratio.slip(
    "upside down",
    "Your scores have the wrong sign: they are high for what looks like a non-member. Subtract the distance to the inside.",
)
def upside_down(phi, inside, outside, spread):
    return ((phi - inside) ** 2 - (phi - outside) ** 2) / (2 * spread**2)


@likelihood_ratio.slip(
    "one threshold for all",
    "This is the confidence itself, the same for easy and for hard images. Compare it with what each image's own two centres "
    "predict.",
)
def the_confidence(phi, inside, outside, spread):
    return phi


@likelihood_ratio.slip(
    "only from the outside",
    "You look at the distance from the outside alone, and squared: a confidence far below it would count as a member's, too. "
    "Subtract the squared distance to the inside.",
)
def far_from_outside(phi, inside, outside, spread):
    return (phi - outside) ** 2 / (2 * spread**2)


@likelihood_ratio.slip(
    "spread not squared",
    "You divide by the spread, not by its square. A density of twice the width falls four times as slowly.",
)
def spread_once(phi, inside, outside, spread):
    return ((phi - outside) ** 2 - (phi - inside) ** 2) / (2 * spread)


@likelihood_ratio.slip(
    "the 2 forgotten",
    "Your scores are twice too large: a normal density has 2 spread² under its square.",
)
def without_two(phi, inside, outside, spread):
    return ((phi - outside) ** 2 - (phi - inside) ** 2) / spread**2


@likelihood_ratio.slip(
    "not squared",
    "You compare plain distances. A normal density falls with the square of the distance.",
)
def plain_distances(phi, inside, outside, spread):
    return ((phi - outside).abs() - (phi - inside).abs()) / (2 * spread**2)


@likelihood_ratio.right
def by_densities(phi, inside, outside, spread):
    normal = torch.distributions.Normal
    return normal(inside, spread).log_prob(phi) - normal(outside, spread).log_prob(phi)


@likelihood_ratio.right
def multiplied_out(phi, inside, outside, spread):
    middle = (inside + outside) / 2
    return (inside - outside) * (phi - middle) / spread**2


@likelihood_ratio.wrong("crash")
def logarithm_of_a_number(phi, inside, outside, spread):
    return torch.log(spread) * phi


likelihood_ratio.checks(*ALL)
