"""Chapter 20: an image out of the gradient of a linear layer."""

from typing import Any

import torch

from advcourse.labs.exercises import Draw
from advcourse.practice.asking import ALL, rounded
from advcourse.practice.tasks import small_exercise


def drawn_gradient(draw: Draw) -> dict[str, Any]:
    """The gradients of three units over four pixels: the first unit had no effect, the strongest has a negative one."""
    x = rounded(0.1 + 0.8 * draw.uniform((4,)))
    slope = torch.tensor([0.0, draw.number(0.2, 0.4), -draw.number(0.6, 0.9)])
    order = draw.uniform((3,)).argsort()
    slope = slope[order]
    return {"weight": slope[:, None] * x, "bias": slope}


@small_exercise(
    "Read an image off a gradient",
    5,
    "medium",
    by_hand=(
        {
            "weight": torch.tensor([[0.0, 0.0], [-0.4, -0.1]]),
            "bias": torch.tensor([0.0, -0.5]),
        },
    ),
    drawn=drawn_gradient,
    hints=(
        "Row i of weight is bias[i] times the image. One division gives the image back, if bias[i] is not 0.",
        "i = bias.abs().argmax() is the unit that tells most, whichever its sign. Return weight[i] / bias[i].",
    ),
    shape=lambda case: (case.arguments["weight"].shape[1],),
    numbers="nan",
    praise="One division, no search, not a pixel lost: that is all that stood between the gradient and the picture.",
)
def pixels_from_gradient(weight, bias):
    i = bias.abs().argmax()
    return weight[i] / bias[i]


@pixels_from_gradient.slip(
    "largest, not strongest",
    "You take the unit with the largest slope, which misses one that is far below 0. A sign cancels in the division: go by the "
    "size, bias.abs().",
)
def by_max(weight, bias):
    i = bias.argmax()
    return weight[i] / bias[i]


@pixels_from_gradient.slip(
    "silent unit",
    "You use a unit that had no effect, and 0 over 0 is no number. One unit is enough: take the one with the largest effect.",
)
def by_min(weight, bias):
    i = bias.abs().argmin()
    return weight[i] / bias[i]


@pixels_from_gradient.slip(
    "not divided",
    "This is a row of the gradient: the image times the slope of one unit. Divide by that slope, bias[i].",
)
def the_row(weight, bias):
    return weight[bias.abs().argmax()]


@pixels_from_gradient.slip(
    "size of the slope",
    "You divide by the size of the slope, so that a unit with a slope below 0 gives the negative of the image. Divide by bias[i] "
    "itself.",
)
def by_size(weight, bias):
    i = bias.abs().argmax()
    return weight[i] / bias[i].abs()


@pixels_from_gradient.slip("silent unit")
def averaged(weight, bias):
    return (weight / bias[:, None]).mean(0)


@pixels_from_gradient.slip(
    "sum of the rows",
    "You divide the sum of all rows by the sum of the sizes of the slopes; where their signs differ, they cancel above and "
    "not below. Divide one row by its own slope.",
)
def sums(weight, bias):
    return weight.sum(0) / bias.abs().sum()


@pixels_from_gradient.right
def least_squares(weight, bias):
    return (weight * bias[:, None]).sum(0) / (bias**2).sum()


@pixels_from_gradient.right
def unit_by_unit(weight, bias):
    best = 0
    for i in range(len(bias)):
        if abs(bias[i]) > abs(bias[best]):
            best = i
    return torch.stack([row / bias[best] for row in weight[best]])


@pixels_from_gradient.wrong("crash")
def divides_the_matrix(weight, bias):
    return (weight / bias.view(len(bias), 1, 1))[bias.abs().argmax().item() + len(bias)]


pixels_from_gradient.checks(*ALL)
