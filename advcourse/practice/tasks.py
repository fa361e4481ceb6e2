"""What a cell to fill in asks: a small task, its author's answer, the typical mistakes, and cases to work out by hand."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from advcourse.core.inputs import check_choice, check_range
from advcourse.labs.exercises import Case, Draw, Task, exercise

LEVELS = ("easy", "medium", "hard")


@dataclass(eq=False)
class Practice(Task):
    """A task of a chapter; `small_exercise` makes it of the author's answer. What `Task` has, it has; it gives no points.

    minutes: how long a reader takes; level: one of `LEVELS`; by_hand: the arguments of the cases that fit on a napkin, the first
    of which is asked first; praise: what a right answer is told, a sentence on what the reader has now.
    """

    minutes: int = 0
    level: str = ""
    by_hand: tuple[dict[str, Any], ...] = ()
    praise: str = ""

    def case(self, draw: Draw, **overrides: Any) -> Case:
        """A fresh question: the drawn arguments, of which `overrides` replace some. There are neither images nor a model."""
        return self._case({**self.settings(draw, None), **overrides})

    def cases_by_hand(self) -> list[Case]:
        """The napkin's cases."""
        return [self._case(arguments) for arguments in self.by_hand]

    def _case(self, arguments):
        return Case(None, torch.empty(0), {name: arguments[name] for name in self.parameters})


def small_exercise(
    title: str,
    minutes: int,
    level: str,
    *,
    by_hand: tuple[dict[str, Any], ...],
    drawn: Callable[[Draw], dict[str, Any]],
    hints: tuple[str, ...],
    shape: Callable[[Case], tuple[int, ...]],
    praise: str,
    numbers: str = "finite",
) -> Callable[[Callable], Practice]:
    """Make a `Practice` of the author's answer: its name and its parameters are the function's.

    Args:
        title: what the task is about, in a few words.
        minutes: how long a reader takes, a whole number from 1 to 30.
        level: "easy", "medium" or "hard".
        by_hand: arguments by name, once for each case that is worked out by hand.
        drawn: drawn(draw) gives the arguments of a fresh case.
        hints: from a nudge to nearly the answer.
        shape: shape(case) is the shape of the result; () for one number.
        praise: the sentence that a right answer is told.
        numbers: what the result holds: "finite" numbers, or also "infinite" ones, or also "nan".

    Raises `InputError` for minutes or a level that are not allowed.
    """
    check_range(minutes, "minutes", 1, 30, integer=True)
    check_choice(level, "level", LEVELS)

    def made(function):
        make = exercise(title, 0, lambda draw, x: drawn(draw), hints, shape, numbers, Practice)
        task = make(function)
        task.minutes, task.level, task.by_hand, task.praise = minutes, level, by_hand, praise
        return task

    return made
