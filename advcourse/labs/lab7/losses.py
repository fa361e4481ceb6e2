"""What lab 7 asks of a training loss: number and gradient by the weights are those of the author's answer, and modes stay.

The loss is taken on a fresh copy of a model in training mode, in float64, and so is the student's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from advcourse.labs.checks import Student
from advcourse.labs.comparing import Comparison, answered, gives
from advcourse.labs.exercises import Case, Draw, Task
from advcourse.labs.numbers import CLOSE, differs, near
from advcourse.labs.properties import (
    answers,
    keeps_what_it_gets,
    leaves_no_trace,
    other_classes,
    other_device,
    other_shape,
)
from advcourse.labs.running import CRASH, NUMBER, TENSOR, Call
from advcourse.labs.verdicts import Finding

SOFTMAX_TWICE = (
    "softmax twice",
    "The softmax is taken twice: cross_entropy wants logits, and takes the softmax itself. Give it model(...) as it is.",
)
EVAL_MODE = (
    "eval mode",
    "The loss is taken in eval mode. The model learns in the mode that it came in: leave that alone.",
)
TEN_CLASSES = (
    "other classes",
    "It is right for ten classes and wrong for seven. Is their number written down somewhere? Sum over the classes, and you need "
    "none.",
)
PARTLY = (
    "partly in training mode",
    "In the attack only some layers are in eval mode. Batch normalisation and dropout both work otherwise in training mode: "
    "model.eval() switches all of them.",
)

LOUD = 1e5  # logits of a linear model so many times as large lie thousands apart


@dataclass(eq=False)
class TaughtTask(Task):
    """A task with a teacher, or with other networks, who know as many classes as the model."""

    def case(self, draw: Draw, *how: Any, classes: int = 10, **more: Any) -> Case:
        """As `Task.case`."""
        case = super().case(draw, *how, classes=classes, **more)
        if "static" in case.arguments:
            return case.but(static=tuple(replace(victim, classes=classes) for victim in case["static"]))
        return case.but(teacher_logits=case["teacher_logits"][:, :classes])


def one_number(case: Case) -> tuple[()]:
    """The shape of a loss."""
    return ()


def learning(task: Task, draw: Draw, kind: str = "normed", n: int = 9, **how: Any) -> Case:
    """A question whose model is in training mode, as one that learns is."""
    case = task.case(draw, kind, n, **how)
    return case.but(replace(case.victim, training=True))


def two_learning(task: Task, draw: Draw, **how: Any) -> list[Case]:
    """Of ten classes, and of seven."""
    return [learning(task, draw, classes=classes, **how) for classes in (10, 7)]


def told(student: Student, case: Case) -> tuple[Tensor, Tensor]:
    """The loss, float64, and its gradient by the weights, (W,), as the student's function gives them; a `Finding` if none."""
    case = case.to(torch.float64)
    reply = student.runner(Call(case.victim, case.arguments, differentiate=True))
    value = student.images(reply, case)
    slope = torch.zeros(1) if reply.slope is None else reply.slope
    return value, slope.double()


def followed(function: Callable[..., Tensor], case: Case) -> tuple[Tensor, Tensor]:
    """The same of a function of the lab, with a fresh copy of the model."""
    model = case.victim.build(torch.float64)
    value = answered(function, case, model)
    found = torch.autograd.grad(value, tuple(model.parameters()), allow_unused=True, materialize_grads=True)
    return value.detach(), torch.cat([gradient.flatten() for gradient in found])


def alike(found: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor]) -> tuple[bool, bool]:
    """Whether the numbers agree, and whether the gradients do."""
    size = expected[1].norm()
    close = found[1].shape == expected[1].shape and (found[1] - expected[1]).norm() <= CLOSE * size + 1e-12
    return bool(near(found[0], expected[0])), bool(close)


def unexplained(case: Case, found: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor]) -> Finding:
    """The finding for a loss that no slip explains."""
    if not alike(found, expected)[0]:
        return differs(found[0], expected[0])
    message = (
        "The number is right, but its gradient by the weights is another, and training follows the gradient. Is a part of the "
        "loss cut off by detach(), torch.no_grad() or a missing create_graph=True?"
    )
    return Finding("gradient", message)


LOSS = Comparison(told, followed, lambda found, expected: all(alike(found, expected)), unexplained)


def trains_as(
    task: Task, make: Callable[[Task, Draw], Case | Sequence[Case]] = two_learning
) -> Callable[[Student, Draw], None]:
    """Number and gradient are those of the author's answer; a slip is named if it explains all cases that `make` gives."""
    judged = gives(task, LOSS, make=make)

    def ask(student, draw):
        try:
            judged(student, draw)
        except Finding as finding:
            if finding.key == "gradient":  # a wrong number may be near the right one by chance
                judged(student, draw)
            raise

    return ask


def in_logarithms(
    task: Task, gain: float = LOUD, change: Callable[[Case], dict[str, Any]] = lambda case: {}
) -> Callable[[Student, Draw], None]:
    """Number and gradient are the author's also where logits are `gain` times as large; `change(case)`: other arguments."""

    def ask(student, draw):
        if all(_holds(student, draw, task, gain, change) for _ in range(5)):
            return
        message = (
            "Where logits are large, a softmax is 0 to the last digit, and the loss is not what the formula gives: log(0) is "
            "infinite, and log(p + 1e-8) never less than -18.4, without a gradient. Take log_softmax(1) of the logits, or "
            "cross_entropy, and no logarithm of a softmax."
        )
        raise Finding("logarithm of a softmax", message)

    return ask


def _holds(student, draw, task, gain, change):
    case = learning(student.task, draw, "loud").to(torch.float64)
    case = case.but(replace(case.victim, gain=gain), **change(case))
    reply = student.runner(Call(case.victim, case.arguments, differentiate=True))
    if reply.kind != TENSOR or reply.slope is None:
        return False
    return all(alike((reply.value.double(), reply.slope.double()), followed(task.solution, case)))


def can_be_followed(student: Student, draw: Draw) -> None:
    """The result is a tensor that hangs on the graph."""
    case = student.task.case(draw)
    reply = student.ask(case)
    student.images(reply, case)
    if reply.kind == NUMBER:
        message = "A plain number came back, which no optimizer can follow. Return the tensor as it is, without .item()."
        raise Finding("plain number", message)
    if not reply.requires_grad:
        message = (
            "The loss does not hang on the graph, so loss.backward() would fail. Compute it from model(...) with gradients "
            "on, and do not detach it."
        )
        raise Finding("detached", message)


def puts_the_mode_back(student: Student, draw: Draw) -> None:
    """A model that comes in training mode goes back in it, and one in eval mode in that."""
    case = learning(student.task, draw)
    reply = student.ask(case)
    student.images(reply, case)
    if "mode" in reply.left:
        message = (
            "The model came in training mode and goes back in another, and would learn in eval mode from then on. Whoever "
            "changes the mode puts it back: model.train()."
        )
        raise Finding("mode lost", message)
    case = student.task.case(draw)
    reply = student.ask(case)
    student.images(reply, case)
    if "mode" in reply.left:
        message = (
            "A model that came in eval mode goes back in training mode. Remember the mode that it had: was = model.training, "
            "and at the end model.train(was)."
        )
        raise Finding("always training", message)


def takes_other_types(student: Student, draw: Draw) -> None:
    """float64 images work, and the loss is float64 then."""
    case = student.task.case(draw).to(torch.float64)
    reply = student.ask(case)
    if reply.kind == CRASH:
        error = reply.detail.splitlines()[-1]
        message = f"It works for float32 images and fails for float64. Take the type of new tensors from x. The error: {error}"
        raise Finding("other type", message)
    student.images(reply, case)
    if reply.kind == TENSOR and reply.value.dtype != torch.float64:
        message = f"float64 images came in and a loss of {reply.value.dtype} came back. Take the type from x."
        raise Finding("other type", message)


def leaves_no_gradients(student: Student, draw: Draw) -> None:
    """What every function leaves alone; but the result of this one must hang on the graph."""
    leaves_no_trace(student, draw)


FIRST = (
    answers,
    can_be_followed,
    puts_the_mode_back,
    keeps_what_it_gets,
    takes_other_types,
    other_classes,
)
LAST = (other_shape, other_device, leaves_no_gradients)
