"""Chapter 00: whether a change stays within the attacker's budget."""

from typing import Any

import torch

from advcourse.labs.exercises import Draw
from advcourse.practice.asking import ALL
from advcourse.practice.tasks import small_exercise

STEP = 1 / 64  # all numbers are multiples of it, so that no rounding decides


def drawn_changes(draw: Draw) -> dict[str, Any]:
    """Five images of eight pixels: two within the budget, three not, and each wrong way to ask takes another for allowed."""
    eps = 6 + draw.integer() % 3  # in steps
    change = torch.zeros(5, 8)
    change[0, draw.integer() % 8] = eps  # all of the budget, at one pixel
    change[1] = eps - 1 - torch.floor(2 * draw.uniform((8,)))  # nearly all of it, at each pixel
    change[2, draw.integer() % 8] = -(eps + 3)  # too dark, at one pixel
    change[3] = -(eps + 1) - torch.floor(2 * draw.uniform((8,)))  # too dark, at each pixel
    change[4, 1:] = 3 * eps  # far too light, but for one pixel
    x = 20 + torch.floor(8 * draw.uniform((5, 8)))
    return {"x": STEP * x, "x_adv": STEP * (x + change), "eps": STEP * eps}


@small_exercise(
    "Within the budget?",
    4,
    "easy",
    by_hand=(
        {
            "x": torch.tensor([[0.5, 0.5], [0.5, 0.5]]),
            "x_adv": torch.tensor([[0.75, 0.25], [0.5, 0.125]]),
            "eps": 0.25,
        },
    ),
    drawn=drawn_changes,
    hints=(
        "The budget bounds the largest change of any pixel, up or down. What is the size of a change, and which of an image's "
        "sizes counts?",
        "(x_adv - x).abs() has the sizes, and .amax(1) the largest one of each row. Compare that with eps; a change of exactly "
        "eps is allowed.",
    ),
    shape=lambda case: (len(case["x"]),),
    praise="Right. One pixel too far is enough to break the rules, however well the others behave.",
    numbers="whole",
)
def within_budget(x, x_adv, eps):
    return (x_adv - x).abs().amax(1) <= eps


@within_budget.slip(
    "upwards only",
    "You look at the changes upwards only. A pixel that gets darker by more than eps breaks the budget as well: take the "
    "absolute value first.",
)
def without_the_size(x, x_adv, eps):
    return (x_adv - x).amax(1) <= eps


@within_budget.slip("upwards only")
def without_the_size_and_strictly(x, x_adv, eps):
    return (x_adv - x).amax(1) < eps


@within_budget.slip(
    "mean",
    "You compare the mean change with eps. Then a single pixel may do as it likes, if the others keep still. It is the largest "
    "change that counts.",
)
def on_average(x, x_adv, eps):
    return (x_adv - x).abs().mean(1) <= eps


@within_budget.slip("mean")
def strictly_on_average(x, x_adv, eps):
    return (x_adv - x).abs().mean(1) < eps


@within_budget.slip(
    "any pixel",
    "You ask whether any pixel stays within the budget. All of them must.",
)
def some_pixel_is(x, x_adv, eps):
    return ((x_adv - x).abs() <= eps).any(1)


@within_budget.slip(
    "exactly eps",
    "You refuse a change of exactly eps. The budget is what may be spent, so the whole of it may be: <=, not <.",
)
def strictly_below(x, x_adv, eps):
    return (x_adv - x).abs().amax(1) < eps


@within_budget.slip(
    "turned round",
    "Your answer is turned round: True should say that the image keeps to the budget.",
)
def out_of_budget(x, x_adv, eps):
    return (x_adv - x).abs().amax(1) > eps


@within_budget.slip(
    "L2",
    "You compare the length of the whole change with eps, the L2 norm. The budget of this chapter is L∞, the largest change of "
    "any pixel.",
)
def by_its_length(x, x_adv, eps):
    return (x_adv - x).norm(dim=1) <= eps


@within_budget.slip(
    "whole batch",
    "One image over the budget makes all of yours fail. Each image has an answer of its own.",
)
def all_together(x, x_adv, eps):
    return ((x_adv - x).abs().max() <= eps).expand(len(x))


@within_budget.slip(
    "not compared",
    "You return the largest change of each image. The question is whether it is allowed: compare it with eps.",
)
def the_largest_change(x, x_adv, eps):
    return (x_adv - x).abs().amax(1)


@within_budget.right
def pixel_by_pixel(x, x_adv, eps):
    return torch.tensor([max(abs(change) for change in row) <= eps for row in (x_adv - x).tolist()])


@within_budget.right
def between_two_bounds(x, x_adv, eps):
    return ((x - eps <= x_adv) & (x_adv <= x + eps)).all(1)


within_budget.checks(*ALL)
