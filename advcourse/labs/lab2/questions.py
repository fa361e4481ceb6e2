"""What lab 2 asks of several of its tasks, and the settings that they are asked with."""

from typing import Any

import torch
from torch import Tensor

from advcourse.labs.checks import Student
from advcourse.labs.comparing import called
from advcourse.labs.exercises import Draw
from advcourse.labs.numbers import near
from advcourse.labs.properties import leaves_nothing_behind, other_device, other_shape, other_type
from advcourse.labs.verdicts import Finding

CLASSES = 10
LAST = (other_type, other_shape, other_device, leaves_nothing_behind)


def a_model_at_x(draw: Draw, x: Tensor) -> dict[str, Any]:
    """Logits and gradients of a model at x: some boundaries are steep, others flat, and all logits may lie below 0.

    The gradients of some classes are large in few pixels, so that what is near in L2 is not what is near in Linf.
    """
    n = len(x)
    steep = 0.2 + 3 * draw.uniform((n, CLASSES, 1, 1, 1))
    share = torch.where(draw.uniform((n, CLASSES, 1, 1, 1)) < 0.5, 0.1, 1.0)
    chosen = draw.uniform((n, CLASSES, *x.shape[1:])) < share
    chosen[..., 0, 0] = True  # never none
    spread = chosen / share.sqrt()
    return {
        "logits": draw.normal((n, CLASSES)) + 3 * draw.normal((n, 1)),
        "gradients": steep * spread * draw.normal((n, CLASSES, *x.shape[1:])),
        "norm": "L2",
    }


def takes_faint_gradients(student: Student, draw: Draw) -> None:
    """Where gradients are 10 000 times as faint, the numbers are still those of the formula, in both norms."""
    for norm in ("L2", "Linf"):
        case = student.task.case(draw, norm=norm)
        case = case.but(gradients=1e-4 * case["gradients"])
        if not near(student(case), called(student.task, case)).all():
            told = (
                f"With gradients 10 000 times as faint the numbers are no longer those of the formula (norm {norm}). Is a "
                "number added to a norm, or a norm bounded below, so that nothing is divided by 0? Take a far smaller one."
            )
            raise Finding("faint gradients", told)
