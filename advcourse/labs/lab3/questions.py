"""The questions of lab 3: as those of other labs, but y is what the victim sees, so that every image has a way to go."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from advcourse.labs import definitions as by_hand
from advcourse.labs.checks import Student
from advcourse.labs.exercises import Case, Draw, Task
from advcourse.labs.lab3.pieces import others, own
from advcourse.labs.properties import (
    answers,
    keeps_what_it_gets,
    leaves_nothing_behind,
    other_device,
    other_shape,
    other_type,
)
from advcourse.labs.verdicts import Finding

FIRST = (answers, keeps_what_it_gets)
LAST = (other_type, other_shape, other_device, leaves_nothing_behind)


@dataclass(eq=False)
class NearestTask(Task):
    """A task for an attack that looks for the nearest image that fools. See `Task`."""

    def case(self, draw: Draw, *args: Any, **how: Any) -> Case:
        case = super().case(draw, *args, **how)
        return case if "y" in how else seen(case)


def seen(case: Case) -> Case:
    """The same question with the victim's own prediction as the label of each image."""
    y = by_hand.most_likely(case)
    return Case(case.victim, y, {**case.arguments, "y": y})


def lead(case: Case, images: Tensor) -> Tensor:
    """How far the label's logit is ahead of the best other (N,): below 0 the images fool. With a target, how far it is behind."""
    logits, target = by_hand.model_of(case)(images), case.arguments.get("target")
    label = case.labels if target is None else target
    ahead = own(logits, label) - others(logits, label)
    return ahead if target is None else -ahead


def keeps_the_digits(student: Student, draw: Draw) -> None:
    """float64 numbers are not cut to float32's digits on the way."""
    case = student.task.case(draw).to(torch.float64)
    floats = {
        k: v for k, v in case.arguments.items() if isinstance(v, torch.Tensor) and v.is_floating_point()
    }
    # With digits that float32 has no place for: of float32's own numbers a difference may need no more of them.
    value = student(case.but(**{name: (1 - 2**-30) * value for name, value in floats.items()}))
    if torch.equal(value, value.float().double()):
        told = (
            "float64 came in, and what came back is float64 with the digits of float32: on the way the numbers went through it. "
            "Leave out float(), and make new tensors of the type that came in."
        )
        raise Finding("other type", told)
