"""Results that are no batch of images: when two numbers are the same, which one is wrong, and whether they can be followed."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from advcourse.labs.checks import Student
from advcourse.labs.exercises import Case, Draw
from advcourse.labs.running import Call
from advcourse.labs.verdicts import Finding

CLOSE = 1e-4  # relative; float32 rounding is far below it
LEAST = 1e-7  # absolute, for what should be 0


def near(found: Tensor, expected: Tensor, least: float = LEAST) -> Tensor:
    """True where a number is the expected one, each measured by its own size; infinity and NaN are near themselves alone."""
    close = (found - expected).abs() <= CLOSE * expected.abs() + least
    odd = (found == expected) | (found.isnan() & expected.isnan())
    return torch.where(expected.isfinite(), close, odd)


def differs(found: Tensor, expected: Tensor, least: float = LEAST) -> Finding:
    """The finding for numbers that no known slip explains: how many are wrong, and the first of them."""
    if found.dim() == 0:
        return Finding(
            "formula",
            f"The number is not what the formula gives: yours is {found:.4g}, right is {expected:.4g}.",
        )
    wrong = ~near(found, expected, least)
    place = tuple(wrong.nonzero()[0].tolist())
    told = (
        f"{int(wrong.sum())} of {wrong.numel()} numbers are not what the formula gives. The first stands at "
        f"[{', '.join(map(str, place))}]: yours is {found[place]:.4g}, right is {expected[place]:.4g}."
    )
    return Finding("formula", told)


def can_be_followed(
    definition: Callable[[Case], Tensor], argument: str, follower: str, **how: Any
) -> Callable[[Student, Draw], None]:
    """The result has the gradient by this `argument` that `definition`, a function of the case, has; float64.

    `follower`: what follows the gradient, for the message. `how`: the case, as for `Task.case`.
    """
    detached = (
        f"The numbers are right, but they do not hang on `{argument}`: {follower} cannot follow their gradient. Compute them "
        f"from `{argument}` itself: no .detach(), .item(), numpy() or torch.tensor() on the way, and no torch.no_grad()."
    )
    another = (
        f"The numbers are right, but their gradient by `{argument}` is another one, and {follower} follows it. Is a part of them "
        "cut off by .detach(), .item() or torch.no_grad()?"
    )

    def ask(student, draw):
        case = student.task.case(draw, **how).to(torch.float64)
        reply = student.runner(Call(case.victim, case.arguments, differentiate=argument))
        student.images(reply, case)
        if reply.slope is None:
            raise Finding("detached", detached)
        leaf = case[argument].clone().requires_grad_()
        (expected,) = torch.autograd.grad(definition(case.but(**{argument: leaf})).sum(), leaf)
        expected, found = expected.flatten(), reply.slope.double()
        if found.shape != expected.shape or not near(found, expected).all():
            raise Finding("gradient", another)

    return ask
