"""What is asked of a cell to fill in, and how a wrong result is shown: with what the function was given, and the right one."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor

from advcourse.labs.checks import Student
from advcourse.labs.comparing import NUMBERS, called, explains
from advcourse.labs.exercises import Case, Draw
from advcourse.labs.properties import answers, keeps_what_it_gets
from advcourse.labs.verdicts import NOT_ATTEMPTED, Finding

FRESH = 4  # cases that are drawn, beside those worked out by hand


def answers_by_hand(student: Student, draw: Draw) -> None:
    """It takes the parameters asked for, and returns what has the right shape. If not, the simplest case shows where."""
    try:
        answers(student, draw)
    except Finding as finding:
        if finding.outcome != NOT_ATTEMPTED and finding.key != "signature":
            for case in _cases(student.task, draw):
                _asked(student, case)
        raise


def agrees(student: Student, draw: Draw) -> None:
    """In each case the result is that of the author's answer. Where it is that of a slip in all cases, the slip is named."""
    task = student.task
    cases = _cases(task, draw)
    found = [_asked(student, case) for case in cases]
    right = [called(task.solution, case) for case in cases]
    wrong = [not NUMBERS.same(*pair) for pair in zip(found, right, strict=True)]
    if not any(wrong):
        return
    first = wrong.index(True)
    shown = worked_out(cases[first], yours=found[first], right=right[first])
    for slip in task.slips:
        if all(explains(slip, case, result, NUMBERS) for case, result in zip(cases, found, strict=True)):
            raise Finding(slip.key, slip.message, trace=shown)
    told = "Not yet: the result differs. Follow your lines with these numbers, one symbol at a time:"
    raise Finding("formula", told, trace=shown)


ALL = (answers_by_hand, keeps_what_it_gets, agrees)


def _cases(task, draw):
    """The cases by hand first, then fresh ones."""
    return [*task.cases_by_hand(), *(task.case(draw) for _ in range(FRESH))]


def _asked(student, case):
    """The student's result; a finding against it shows the arguments, and last the lines of a crash."""
    try:
        return student(case)
    except Finding as finding:
        finding.trace = "\n\n".join(filter(None, [worked_out(case), finding.trace]))
        raise


def worked_out(case: Case, **results: Tensor) -> str:
    """A small table: each argument of `case`, then each of the results. A matrix takes a line for each of its rows."""
    rows = [
        ("" if i else name, _texts(part))
        for name, value in [*case.arguments.items(), *results.items()]
        for i, part in enumerate(_parts(value))
    ]
    first = max(len(name) for name, _ in rows)
    across = max(
        len(text) for name, texts in rows for text in texts if not callable(case.arguments.get(name))
    )
    return "\n".join(
        f"{name:<{first}}  " + "  ".join(f"{text:>{across}}" for text in texts) for name, texts in rows
    )


def _parts(value):
    return value if isinstance(value, Tensor) and value.dim() == 2 else [value]


def _texts(value):
    if not isinstance(value, Tensor):
        return [f"{value:.4g}"] if isinstance(value, float | int) else [repr(value)]
    if value.dtype == torch.bool:
        return ["yes" if one else "no" for one in value.flatten().tolist()]
    return [f"{one:.4g}" for one in value.flatten().tolist()]


def joined(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, but where it returns a tuple of single numbers, as in `return a, b`, they come as one tensor."""

    @wraps(function)
    def with_one_result(*arguments, **named):
        value = function(*arguments, **named)
        single = isinstance(value, tuple) and value and all(map(_is_single, value))
        return torch.stack([torch.as_tensor(one).detach().double() for one in value]) if single else value

    return with_one_result


def _is_single(value):
    return isinstance(value, float | int) or (isinstance(value, Tensor) and value.dim() == 0)


def rounded(values: Tensor) -> Tensor:
    """The values with two decimals, so that a reader can follow them by hand."""
    return (100 * values).round() / 100


def slopes(draw: Draw, n: int, least: float = 0.1) -> Tensor:
    """`n` numbers, (n,), with two decimals and at least so far from 0; the first is above 0 and the second below."""
    sizes = rounded(least + 1.5 * draw.uniform((n,)))
    signs = torch.where(draw.uniform((n,)) < 0.5, -1.0, 1.0)
    signs[:2] = torch.tensor([1.0, -1.0])
    return signs * sizes
