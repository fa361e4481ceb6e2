"""Chapter 10: one change for two views, along the sign of the mean of their slopes."""

from typing import Any

import torch

from advcourse.labs.exercises import Draw
from advcourse.practice.asking import ALL, rounded
from advcourse.practice.tasks import small_exercise


def drawn_slopes(draw: Draw) -> dict[str, Any]:
    """Six pixels in any order: on two the views agree, on three they differ by size, and one slope cancels another."""
    big, small = 1.5 + draw.uniform((6,)), 0.1 + draw.uniform((6,))
    signs = torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, 1.0])
    near = rounded(signs * torch.where(torch.arange(6) == 4, small, big))
    far = rounded(torch.stack([small[0], -small[1], -small[2], small[3], -big[4], -big[5]]))
    near[5] = -far[5]
    order = draw.uniform((6,)).argsort()
    return {"near": near[order], "far": far[order], "eps": draw.number(0.1, 0.3)}


@small_exercise(
    "One change for two views",
    4,
    "easy",
    by_hand=(
        {
            "near": torch.tensor([2.0, -1.0, 3.0, 0.5, -2.5]),
            "far": torch.tensor([2.0, 1.0, 1.0, -1.5, 0.5]),
            "eps": 0.2,
        },
    ),
    drawn=drawn_slopes,
    hints=(
        "The same paper is seen from both places, so the mean of the two leads is what you want to lower. What is the slope of a "
        "mean of two functions?",
        "slope = (near + far) / 2. Then step against it: -eps * slope.sign().",
    ),
    shape=lambda case: tuple(case["near"].shape),
    praise="With two hundred views in place of two, this is the gradient that RP2 follows.",
)
def step_for_all(near, far, eps):
    slope = (near + far) / 2
    return -eps * slope.sign()


@step_for_all.slip(
    "one view",
    "You follow the slopes of one view alone. The paper is the same for both, so both have a say: take the mean of the slopes.",
)
def near_alone(near, far, eps):
    return -eps * near.sign()


@step_for_all.slip("one view")
def far_alone(near, far, eps):
    return -eps * far.sign()


@step_for_all.slip(
    "mean of signs",
    "You take the signs first and the mean after. Then a view that hardly cares has as much to say as one that cares a lot. "
    "Average the slopes, and take the sign of that.",
)
def signs_first(near, far, eps):
    return -eps * (near.sign() + far.sign()) / 2


@step_for_all.slip("mean of signs")
def sign_of_the_signs(near, far, eps):
    return -eps * (near.sign() + far.sign()).sign()


@step_for_all.slip(
    "uphill",
    "You step along the slope, so the lead of “stop” grows. You want it to fall: there is a minus missing.",
)
def climbs(near, far, eps):
    return eps * (near + far).sign()


@step_for_all.slip(
    "no sign",
    "You step in proportion to the slope. Each pixel may use its whole eps, whatever its slope: only the sign counts.",
)
def by_size(near, far, eps):
    return -eps * (near + far) / 2


@step_for_all.slip("no sign")
def by_the_sum(near, far, eps):
    return -eps * (near + far)


@step_for_all.right
def of_the_sum(near, far, eps):
    return (near + far).sign().mul(-eps)


@step_for_all.right
def of_a_stack(near, far, eps):
    return -torch.sign(torch.stack([near, far]).mean(0)) * eps


@step_for_all.wrong("shape")
def both_steps(near, far, eps):
    return -eps * torch.stack([near, far]).sign()


@step_for_all.wrong("formula")
def a_little_less(near, far, eps):
    return -0.9 * eps * (near + far).sign()


step_for_all.checks(*ALL)
