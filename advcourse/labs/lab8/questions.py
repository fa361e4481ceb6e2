"""What lab 8 asks of most of its tasks, its models behind a defense, and what is asked of gradients."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from advcourse.labs.checks import Student
from advcourse.labs.comparing import Comparison, called
from advcourse.labs.definitions import model_of
from advcourse.labs.exercises import Case, Draw, Task
from advcourse.labs.lab8.defended import Defended
from advcourse.labs.properties import answers, keeps_what_it_gets, leaves_nothing_behind, other_device
from advcourse.labs.running import TENSOR
from advcourse.labs.verdicts import Finding

FIRST = (answers, keeps_what_it_gets)
LAST = (other_device, leaves_nothing_behind)
ALIKE = 1e-6  # relative, in float64
LOUD = 1e5  # logits of a linear model so many times as large lie thousands apart


class DefendedTask(Task):
    """A task whose model stands behind `parts`. A part's number may be the name of the setting that it is."""

    parts: tuple[tuple[str, int | str], ...] = ()

    def case(self, draw: Draw, kind: str = "smooth", n: int = 4, **how: Any) -> Case:
        """As `Task.case`."""
        case = super().case(draw, kind, n, **how)
        parts = tuple((part, case.arguments.get(number, number)) for part, number in self.parts)
        return case.but(Defended(**vars(case.victim), parts=parts, drawn=draw.integer() // 2))


# Defenses that draw


def called_afresh(function: Callable, case: Case) -> Tensor:
    """What a function of the lab gives in float64, on a model that has drawn nothing yet."""
    return function(case.victim.build(torch.float64), **case.to(torch.float64).arguments).detach()


def drawn(model: nn.Sequential, passes: int) -> list[tuple[int, int]]:
    """The moves that a defense whose first part is a shift draws in its first passes."""
    shift = model[0]
    generators = [torch.Generator().manual_seed(shift.seed + 7919 * i) for i in range(passes)]
    return [shift._draw(generator) for generator in generators]


def moved_first(case: Case) -> Case:
    """The same question with a shift whose first draw moves the images: they are then not those of no defense."""
    victim = case.victim
    while drawn(victim.build(), 1) == [(0, 0)]:
        victim = replace(victim, drawn=victim.drawn + 1)
    return case.but(victim)


# Gradients


def in_float64(task: Task, draw: Draw) -> Case:
    """A question that the student answers in float64 too."""
    return task.case(draw).to(torch.float64)


def alike(found: Tensor, expected: Tensor) -> bool:
    """True where all images have the expected gradient, each measured by its own length."""
    apart = (found - expected).flatten(1).norm(dim=1)
    return bool((apart <= ALIKE * expected.flatten(1).norm(dim=1) + 1e-15).all())


def other_gradient(case: Case, found: Tensor, expected: Tensor) -> Finding:
    """The finding for a gradient that no known slip explains."""
    apart = (found - expected).flatten(1).norm(dim=1) / expected.flatten(1).norm(dim=1)
    share = int((apart > ALIKE).sum())
    told = (
        f"The gradient of {share} of {len(found)} images is not what the formula gives; in the worst it is off by "
        f"{apart.max():.2g} of its length. Compare your lines with the formula, one symbol at a time."
    )
    return Finding("formula", told)


GRADIENTS = Comparison(Student.__call__, called, alike, other_gradient)


def holds_at_large_logits(student: Student, draw: Draw) -> None:
    """Where logits lie thousands apart, and the label's is the smallest, the gradient is that of the cross-entropy too."""
    case = student.task.case(draw, "loud").to(torch.float64)
    still = tuple((kind, 0 if kind == "shift" else number) for kind, number in case.victim.parts)
    case = case.but(replace(case.victim, gain=LOUD, parts=still))
    with torch.no_grad():
        case = case.but(y=model_of(case)(case["x"]).argmin(1))
    reply = student.ask(case)
    if reply.kind == TENSOR and alike(reply.value.double(), called(student.task.solution, case)):
        return
    told = (
        "Where logits are large, a softmax is 0 to the last digit, and the gradient is not what the formula gives: that of "
        "log(0) is no number, and that of log(p + 1e-8) is 0. Take cross_entropy, or log_softmax(1) of the logits, and no "
        "logarithm of a softmax."
    )
    raise Finding("logarithm of a softmax", told)
