"""What the reader of a chapter calls: `check` and `hint`. The tasks are found by the chapters' folders."""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

from advcourse.core.errors import InputError
from advcourse.core.inputs import check_choice, check_range
from advcourse.labs.checks import Hint, judge, task_of
from advcourse.labs.running import LocalRunner, usual_state
from advcourse.labs.verdicts import NOT_ATTEMPTED, Verdict
from advcourse.practice.asking import joined
from advcourse.practice.tasks import Practice

PACKAGE = __name__.rpartition(".")[0]


def chapters() -> tuple[str, ...]:
    """The names of the folders that hold tasks, ch01 before ch02."""
    return tuple(name for name in _inside(PACKAGE) if name[:2] == "ch" and name[2:].isdecimal())


def tasks_of(chapter: str) -> dict[str, Practice]:
    """The tasks of one chapter, such as "ch02", by their names. Each stands in a file that is called as it is."""
    package = f"{PACKAGE}.{check_choice(chapter, 'chapter', chapters())}"
    with usual_state():  # the files make tensors, whatever a cell has set
        modules = {name: importlib.import_module(f"{package}.{name}") for name in _inside(package)}
    found = {name: getattr(module, name, None) for name, module in modules.items()}
    return {name: task for name, task in found.items() if isinstance(task, Practice)}


def _inside(package):
    return sorted(module.name for module in pkgutil.iter_modules(importlib.import_module(package).__path__))


@cache
def tasks() -> dict[str, Practice]:
    """All tasks by their names. Raises `InputError` where two chapters use one name."""
    found = {}
    for chapter in chapters():
        for name, task in tasks_of(chapter).items():
            if name in found:
                raise InputError(
                    f"{chapter}: a task is called {name!r} as one of an earlier chapter is; allowed is a name that is used once"
                )
            found[name] = task
    return found


def check(function: Callable[..., Any], task: str | None = None, seed: int = 0) -> Verdict:
    """Say whether a cell is filled in rightly, and if not, what is wrong. Whatever the function does, nothing is raised.

    Args:
        function: what the reader has written.
        task: the task's name (default: the function's own name).
        seed: what the drawn cases follow from (default: 0, so that the same code is told the same).

    Returns a `Verdict`, which shows itself. Raises `InputError` for what is no function, and for a name that no task has.
    """
    name = task_of(function, task, tasks(), "practice.check")
    check_range(seed, "seed", 0, integer=True)
    verdict = judge(tasks()[name], LocalRunner(joined(function)), seed)
    if verdict.right:
        return replace(verdict, message=tasks()[name].praise)
    help_ = f"`practice.hint({name})` gives a hint."
    if verdict.outcome == NOT_ATTEMPTED:
        return replace(verdict, message=f"{verdict.message} {help_}")
    return verdict


def hint(task: Callable[..., Any] | str, level: int = 1) -> Hint:
    """Hint number `level` for a task, given by its function or its name: 1 is a nudge, the last is nearly the answer."""
    name = task_of(task, None, tasks(), "practice.hint") if callable(task) else task
    hints = tasks()[check_choice(name, "task", tuple(tasks()))].hints
    check_range(level, "level", 1, len(hints), integer=True)
    more = "The answer is folded below the cell."
    if level < len(hints):
        more = f"More help: practice.hint({name}, {level + 1})"
    return Hint(f"Hint {level} of {len(hints)}: {hints[level - 1]} {more}")
