"""The engine of the labs: a task is a row of properties, asked in order of a student's function. The first that fails speaks.

`judge(task, runner, seed)` serves the notebook, where the runner calls a local function, and any other place that the function
may live in. The judge makes the questions, keeps its own copies of images and models, and believes the returned values alone.
"""

import json
import secrets
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch

from advcourse.core.inputs import InputError, check_choice, check_range
from advcourse.labs.advice import explained
from advcourse.labs.exercises import Case, Draw, Task
from advcourse.labs.measuring import Measurement, measure
from advcourse.labs.running import (
    CRASH,
    NOTHING,
    NUMBER,
    OTHER,
    TEXT,
    UNWRITTEN,
    Call,
    LocalRunner,
    Reply,
    usual_state,
)
from advcourse.labs.verdicts import CRASHED, NOT_ATTEMPTED, RIGHT, Finding, Picture, Verdict

if TYPE_CHECKING:
    from typing import Protocol

    class Runner(Protocol):
        """What calls a student's function: a `LocalRunner`, or what calls one in another process."""

        has_gpu: bool

        def parameters(self) -> tuple[str, ...]: ...

        def __call__(self, call: "Call") -> "Reply": ...


SMALLEST_SHOWN = 10  # pixels
_TEXTS = {
    "text": (str, "a text, str"),
    "dictionary": (dict, "a dictionary, dict, of sets of texts"),
}


class Student:
    """The function of one student, as the properties see it."""

    def __init__(self, runner: "Runner", task: Task):
        self.runner, self.task = runner, task

    def ask(self, case: Case, device: str = "cpu") -> Reply:
        """Whatever came back: a `Reply`."""
        return self.runner(Call(case.victim, case.arguments, device))

    def __call__(self, case: Case) -> torch.Tensor:
        """The images that the function returned, float64, shaped like x; a `Finding` if it returned none."""
        return self.images(self.ask(case), case)

    def images(self, reply: Reply, case: Case) -> torch.Tensor:
        """As `__call__`, of a reply that is there already."""
        name = self.task.name
        if reply.kind == UNWRITTEN:
            where = "" if reply.detail == name else f" It calls {reply.detail}, which is not written yet."
            told = f"Write your answer in place of `raise NotImplementedError()`.{where}"
            raise Finding("not attempted", told, outcome=NOT_ATTEMPTED)
        if reply.kind == NOTHING:
            told = (
                f"{name} returned {reply.detail}. If you have written it, is the `return` missing at the end?"
            )
            raise Finding("nothing returned", told, outcome=NOT_ATTEMPTED)
        if reply.kind == CRASH:
            told = (
                "Your function stopped with an error. The last line says which; the line above it is where."
            )
            raise Finding("crash", told, outcome=CRASHED, trace=explained(reply.detail))
        self._check_result(reply, case)
        return reply.value.double()

    def _check_result(self, reply, case):
        """The shape and type of what came back, and that all its numbers are finite."""
        if self.task.numbers in _TEXTS:
            self._check_text(reply)
            return
        held, of_images = ("numbers", "") if self.task.shape else ("pixels", " of images")
        wanted = tuple(self.task.shape(case) if self.task.shape else case["x"].shape)
        if reply.kind in (OTHER, TEXT) or (reply.kind == NUMBER and wanted):
            what = f"a torch.Tensor{of_images}" if wanted else "one number, a float or a tensor of shape ()"
            remedy = (
                " torch.tensor(...) makes one of a list of numbers."
                if wanted and reply.detail == "list"
                else ""
            )
            raise Finding("type", f"Return {what}. Yours returned: {reply.detail}.{remedy}")
        if (found := tuple(reply.value.shape)) != wanted:
            told = f"The result must have the shape of x. Yours has {found}; the images that came in have {wanted}."
            if self.task.shape:
                told = f"The result must have the shape {wanted} here. Yours has {found}."
            raise Finding("shape", told)
        if not reply.value.is_floating_point() and self.task.numbers != "whole":
            told = f"The result must hold floating-point {held} like x. Yours holds {reply.value.dtype}."
            if self.task.shape:
                told = f"The result must hold floating-point {held}. Yours holds {reply.value.dtype}."
            raise Finding("type", told)
        finite = torch.isfinite(reply.value)
        if self.task.numbers == "infinite":
            finite = ~torch.isnan(reply.value)
        if self.task.numbers != "nan" and not finite.all():
            if self.task.shape:
                where = f"{int((~finite).sum())} of {finite.numel()} places"
            else:
                where = f"{int((~finite.flatten(1).all(1)).sum())} of {wanted[0]} images"
            odd = "NaN" if self.task.numbers == "infinite" else "NaN or infinite"
            told = f"There are {odd} {held} in {where}. Is a number divided by 0?"
            raise Finding("not a number", told)

    def text(self, case: Case) -> "str | dict":
        """The text, or the dictionary of texts, that the function returned, for a task whose `numbers` says so."""
        reply = self.ask(case)
        self.images(reply, case)
        return _decoded(reply)

    def _check_text(self, reply):
        """That what came back is a text, or a dictionary."""
        kind, what = _TEXTS[self.task.numbers]
        if reply.kind != TEXT or not isinstance(_decoded(reply), kind):
            remedy = ' ElementTree gives text with tostring(root, encoding="unicode").'
            told = f"Return {what}. Yours returned: {reply.detail or reply.kind}."
            raise Finding("type", told + remedy * (reply.detail == "bytes"))


def _decoded(reply):
    """What the JSON in a reply holds; None for what is no JSON."""
    try:
        return json.loads(reply.value.numpy().tobytes())
    except (ValueError, RecursionError):
        return None


def picture(case: Case, images: torch.Tensor, i: int) -> Picture | None:
    """The `Picture` of image `i` of the batch that the student returned; None where the images are noise of a few pixels."""
    if case["x"].shape[-1] < SMALLEST_SHOWN:
        return None
    return Picture(case["x"][i], images[i])


@usual_state()
def judge(task: Task, runner: "Runner", seed: int) -> Verdict:
    """Ask all properties of `task` of the function behind `runner`, with the randomness of `seed`; returns a `Verdict`."""
    student, draw = Student(runner, task), Draw(seed)
    try:
        for ask in task.properties:
            ask(student, draw)
    except Finding as finding:
        found = {"key": finding.key, "picture": finding.picture, "trace": finding.trace}
        return Verdict(task.name, finding.outcome, finding.message, 0, task.points, seed, **found)
    return Verdict(
        task.name, RIGHT, f"All {len(task.properties)} properties hold.", task.points, task.points, seed
    )


def task_of(function: Callable[..., Any], task: str | None, names: Iterable[str], call: str = "check") -> str:
    """Which of the tasks `names` a call of check(function, task) is about: `task`, or the one that bears the function's own name.

    call: the name of what was called, for the error. Raises `InputError` for what is no function, and where no task is meant.
    """
    names = tuple(names)
    if not callable(function):
        raise InputError(
            f"function: got {function!r}; allowed is the function itself, for example {call}({names[0]})"
        )
    if task is not None:
        return check_choice(task, "task", names)
    own = getattr(function, "__name__", None)
    if own in names:
        return own
    what = repr(own) if own else f"a {type(function).__name__} object, which has no name"
    raise InputError(
        f"task: got {what}; allowed are {', '.join(map(repr, names))}. "
        f'If the function has another name, say which task it answers, for example {call}(f, "{names[0]}")'
    )


class Hint:
    """A hint that shows itself as text."""

    def __init__(self, text: str):
        self.text = text

    def __repr__(self):
        return self.text


class Lab:
    """The tasks of one lab, and what a student does with them."""

    def __init__(self, name: str, tasks: Iterable[Task]):
        self.name, self.tasks = name, {task.name: task for task in tasks}

    @property
    def points(self) -> int:
        """The sum over the tasks that are graded by program."""
        return sum(task.points for task in self.tasks.values())

    def check(
        self, function: Callable[..., Any], task: str | None = None, seed: int | None = None
    ) -> Verdict:
        """Check a function against its task, and say what is right or wrong.

        Args:
            function: the student's answer.
            task: the task's name (default: the function's own name).
            seed: repeats an earlier check (default: a fresh one each time).

        Returns a `Verdict`, which shows itself. Raises `InputError` for what is no function or no task of this lab.
        """
        name = task_of(function, task, self.tasks)
        seed = secrets.randbelow(2**31) if seed is None else check_range(seed, "seed", 0, integer=True)
        return judge(self.tasks[name], LocalRunner(function), seed)

    def measure(
        self, function: Callable[..., Any], guess: float | None = None, n: int = 100, **settings: Any
    ) -> Measurement:
        """Try an attack out on `n` digits: see `advcourse.labs.measuring.measure`."""
        return measure(function, guess, n, **settings)

    def hint(self, task: str | Callable[..., Any], level: int = 1) -> Hint:
        """Hint number `level` for a task: 1 is a nudge, the last is nearly the answer."""
        name = task_of(task, None, self.tasks, "hint") if callable(task) else task
        hints = self.tasks[check_choice(name, "task", tuple(self.tasks))].hints
        check_range(level, "level", 1, len(hints), integer=True)
        more = f' More help: hint("{name}", {level + 1})' if level < len(hints) else ""
        return Hint(f"Hint {level} of {len(hints)}: {hints[level - 1]}{more}")
