"""Hold a student's results against those of the author's answer and of known slips, each called on the judge's own models.

What is compared is told by a `Comparison`: images, numbers, or a loss with its gradient. The student is asked in float32, and
the functions of the lab are called in float64, so that rounding does not decide.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from advcourse.core.rounding import percent
from advcourse.labs.checks import Student, picture
from advcourse.labs.definitions import model_of
from advcourse.labs.exercises import Case, Draw, Slip, Task
from advcourse.labs.numbers import LEAST, differs, near
from advcourse.labs.running import quiet
from advcourse.labs.verdicts import Finding

SAME = 1e-4  # pixels closer than this are the same: float32 rounding, far below every step size asked for
MOST = 0.98  # share of pixels that must agree: a gradient next to 0 may have either sign, by rounding


@dataclass(frozen=True)
class Comparison:
    """How two results are compared.

    asked(student, case): the student's result. called(function, case): that of a function of the lab. same(found, expected):
    whether they agree. differs(case, found, expected): the `Finding` where no slip explains why not. shown(case, found,
    expected): the picture of a slip, or None.
    """

    asked: Callable[[Student, Case], Any]
    called: Callable[[Callable, Case], Any]
    same: Callable[[Any, Any], bool]
    differs: Callable[[Case, Any, Any], Finding]
    shown: Callable[[Case, Any, Any], Any] = lambda case, found, expected: None


def answered(function: Callable, case: Case, model: nn.Module | None = None) -> Any:
    """What a function of the lab answers to `case` in float64, on the judge's own models; it may hang on the graph.

    `model`: another copy of the case's model, where the function may change it.
    """
    given = dict(case.to(torch.float64).arguments)
    given = {name: tuple(map(_model, v)) if isinstance(v, tuple) else v for name, v in given.items()}
    if case.victim is not None:
        given["model"] = model_of(case) if model is None else model
    with quiet():
        return function(**given)


def called(function: Callable, case: Case) -> Tensor:
    """The same, free of the graph; a plain number as a tensor of shape ()."""
    return torch.as_tensor(answered(function, case)).detach().double()


def _model(value):
    return value.build(torch.float64) if hasattr(value, "build") else value


def agree(images: Tensor, expected: Tensor, most: float = MOST) -> bool:
    """True where a share of `most` of the pixels are the same; in the worst image a little less will do."""
    close = (images - expected).abs() < SAME * expected.abs().clamp_min(1)  # not every result is an image
    same = (close | (images == expected)).double().reshape(len(images), -1).mean(1)
    return bool(same.mean() >= most and same.min() >= most - 0.03)


def formula(case: Case, images: Tensor, expected: Tensor) -> Finding:
    """The finding for images that no slip explains."""
    share = ((images - expected).abs() >= SAME).double().mean().item()
    told = f"{percent(share)} of the pixels are not what the formula gives. Compare your lines with it, one symbol at a time."
    return Finding("formula", told, _worst(case, images, expected))


def _worst(case, images, expected):
    return picture(case, images, int((images - expected).abs().flatten(1).mean(1).argmax()))


def images(most: float = MOST) -> Comparison:
    """Images, of which a share of `most` of the pixels must agree."""
    return Comparison(
        Student.__call__, called, lambda found, right: agree(found, right, most), formula, _worst
    )


def numbers(least: float = LEAST) -> Comparison:
    """Numbers, each by its own size; `least`: how far from 0 a 0 may be."""
    return Comparison(
        Student.__call__,
        called,
        lambda found, right: found.shape == right.shape and bool(near(found, right, least).all()),
        lambda case, found, right: differs(found, right, least),
    )


IMAGES, NUMBERS = images(), numbers()


def gives(
    task: Task,
    by: Comparison = IMAGES,
    keys: Sequence[str] | None = None,
    make: Callable[..., Case | Sequence[Case]] = Task.case,
    only: bool = False,
    **how: Any,
) -> Callable[[Student, Draw], None]:
    """The result is that of the author's answer. Where it is that of a slip, in all cases, the slip is named.

    `keys`: of the slips that are tried, in this order (default: all, as they stand in the task's file). `make(task, draw, **how)`
    gives the case, or several. With `only`, what no slip explains is left to other properties.
    """

    def ask(student, draw):
        made = make(student.task, draw, **how)
        cases = (made,) if isinstance(made, Case) else made
        found = [by.asked(student, case) for case in cases]
        right = [by.called(task.solution, case) for case in cases]
        wrong = [not by.same(*pair) for pair in zip(found, right, strict=True)]
        if not any(wrong):
            return
        first = wrong.index(True)
        told = cases[first], found[first], right[first]
        for slip in _chosen(task, keys):
            if all(explains(slip, case, result, by) for case, result in zip(cases, found, strict=True)):
                raise Finding(slip.key, slip.message, by.shown(*told))
        if not only:
            raise by.differs(*told)

    return ask


def recognises(task: Task, *keys: str, **how: Any) -> Callable[[Student, Draw], None]:
    """A slip is named where the result is wrong and is the slip's; all else is left to other properties. As `gives`."""
    return gives(task, keys=keys or None, only=True, **how)


def follows(task: Task, **how: Any) -> Callable[[Student, Draw], None]:
    """The result is that of the author's answer; slips are not looked for. As `gives`."""
    return gives(task, keys=(), **how)


def explains(slip: Slip, case: Case, found: Any, by: Comparison = IMAGES) -> bool:
    """Whether `found` is what this slip gives."""
    if slip.test is not None:
        return slip.test(case, found)
    return by.same(found, by.called(slip.function, case))


def same_as(function: Callable, by: Comparison = IMAGES) -> Callable[[Case, Any], bool]:
    """The test of a slip: is this what `function` gives?"""
    return lambda case, found: by.same(found, by.called(function, case))


def _chosen(task, keys):
    if keys is None:
        return task.slips
    known = {slip.key for slip in task.slips}
    assert set(keys) <= known, f"{task.name} has no slips {sorted(set(keys) - known)}"
    return [slip for key in keys for slip in task.slips if slip.key == key]
