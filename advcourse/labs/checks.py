"""The engine of the labs: a task is a row of properties, asked in order of a student's function. The first that fails speaks.

`judge(task, runner, seed)` serves the notebook, where the runner calls a local function, and any other place that the function
may live in. The judge makes the questions, keeps its own copies of images and models, and believes the returned values alone.
"""

import inspect
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import torch

from advcourse import data
from advcourse.core.inputs import InputError, check_choice, check_range
from advcourse.labs.advice import explained
from advcourse.labs.measuring import Measurement, measure
from advcourse.labs.running import (
    CRASH,
    NOTHING,
    NUMBER,
    OTHER,
    UNWRITTEN,
    Call,
    LocalRunner,
    Reply,
    usual_state,
)
from advcourse.labs.verdicts import CRASHED, NOT_ATTEMPTED, RIGHT, Finding, Picture, Verdict
from advcourse.labs.victims import Victim

if TYPE_CHECKING:
    from typing import Protocol

    class Runner(Protocol):
        """What calls a student's function: a `LocalRunner`, or what calls one in another process."""

        has_gpu: bool

        def parameters(self) -> tuple[str, ...]: ...

        def __call__(self, call: "Call") -> "Reply": ...


SMALLEST_SHOWN = 10  # pixels


@dataclass(frozen=True)
class Slip:
    """A mistake that the judge knows by its results: those of `function`, or those for which `test(case, found)` is true.

    `function` makes it as a student would, None where no single function does; `message` is what the student is told.
    """

    key: str
    message: str
    function: Callable | None
    test: "Callable[[Case, Any], bool] | None" = None


@dataclass(eq=False)
class Task:
    """One graded task of a lab; `exercise` makes it of the author's answer.

    name: of the function that the student writes; parameters: the names of its parameters, in order, "model" among them if it
    takes one; settings(draw, x): fresh values for those that are not "model", "x" or "y"; properties: functions of
    (student, draw) that return nothing, or raise a `Finding`; hints: from a nudge to nearly the answer; shape(case): the
    shape of the result where it holds no images like x, () for one number, which may be a float; numbers: what it holds,
    "finite" numbers, also "infinite" ones, also "nan", or "whole" ones, which may be integers; solution: the author's answer,
    which defines what is right; slips: the mistakes that are known by their results; rights: other right answers, and wrongs:
    wrong ones, each with the key of the finding that it must meet, slips among them. Only tests call these two.
    """

    name: str
    title: str
    points: int
    parameters: tuple[str, ...]
    settings: Callable
    properties: tuple[Callable, ...]
    hints: tuple[str, ...]
    shape: Callable | None = None
    numbers: str = "finite"
    solution: Callable | None = None
    slips: list[Slip] = field(default_factory=list)
    rights: list[Callable] = field(default_factory=list)
    wrongs: list[tuple[str, Callable]] = field(default_factory=list)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """The author's answer, for the answers to other tasks that build on this one."""
        return self.solution(*arguments, **named)

    def slip(
        self, key: str, message: str = "", test: "Callable[[Case, Any], bool] | None" = None
    ) -> Callable[[Callable], Callable]:
        """Decorate a function that makes a mistake which the judge recognises by its results, and names by `message`.

        Without a `message`: another way to make the mistake `key`, told in the same words. `test(case, found)`: how it is
        recognised, where its results are not exactly those of the function.
        """
        same = [slip.message for slip in self.slips if slip.key == key]
        if not message and not same:
            raise InputError(f"message: got none for {key!r}; the first slip of that key needs one")

        def keep(function):
            self.slips.append(Slip(key, message or same[0], function, test))
            self.wrongs.append((key, function))
            return function

        return keep

    def right(self, function: Callable) -> Callable:
        """Decorate a right answer that is written differently."""
        self.rights.append(function)
        return function

    def wrong(self, key: str) -> Callable[[Callable], Callable]:
        """Decorate a wrong answer that must meet the finding `key` of a property."""

        def keep(function):
            self.wrongs.append((key, function))
            return function

        return keep

    def checks(self, *properties: Callable) -> None:
        """Say what is asked of an answer, in this order."""
        self.properties = properties

    def case(
        self,
        draw: "Draw",
        kind: str = "smooth",
        n: int = 4,
        grey: bool = False,
        mixed: bool = False,
        shape: tuple[int, int, int] = (1, 28, 28),
        classes: int = 10,
        **overrides: Any,
    ) -> "Case":
        """A fresh question: a victim of this `kind`, `n` images, and settings; `overrides` replace settings.

        `grey` images are so near to 0.5 that no attack of a small budget is clipped; of `mixed` ones every second is a negative.
        """
        x, y = draw.images(n, shape)
        if mixed:
            x[1::2] = 1 - x[1::2]
        x = 0.4 + 0.2 * x if grey else x
        values = {"x": x, "y": y % classes, **self.settings(draw, x), **overrides}
        victim = Victim(kind, draw.integer(), shape, classes) if "model" in self.parameters else None
        return Case(victim, values["y"], {name: values[name] for name in self.parameters if name != "model"})


def exercise(
    title: str,
    points: int,
    settings: Callable = lambda draw, x: {},
    hints: tuple[str, ...] = (),
    shape: Callable | None = None,
    numbers: str = "finite",
    kind: type[Task] = Task,
) -> Callable[[Callable], Task]:
    """Make a `Task` (or a `kind` of it) of the author's answer: its name and its parameters are the function's."""

    def made(function):
        names = tuple(inspect.signature(function).parameters)
        task = kind(function.__name__, title, points, names, settings, (), hints, shape, numbers, function)
        task.right(function)
        return task

    return made


@dataclass(frozen=True)
class Case:
    """One question: what the function is called with, and the true labels. `case["eps"]` is the argument eps."""

    victim: Victim | None
    labels: torch.Tensor
    arguments: dict = field(default_factory=dict)

    def __getitem__(self, name):
        return self.arguments[name]

    def but(self, victim: Victim | None = None, **arguments: Any) -> "Case":
        """The same question with some things changed."""
        return Case(victim or self.victim, self.labels, {**self.arguments, **arguments})

    def to(self, dtype: torch.dtype) -> "Case":
        """The same question with images of another type."""
        changed = {
            k: v.to(dtype)
            for k, v in self.arguments.items()
            if isinstance(v, torch.Tensor) and v.is_floating_point()
        }
        return self.but(**changed)

    def image(self, i: int) -> "Case":
        """The question about image `i` alone: of tensors that have a row for each image, its row."""
        return self.images([i])

    def images(self, chosen: list[int] | torch.Tensor) -> "Case":
        """The question about these images alone."""
        n = len(self.labels)
        rows = {
            k: v[chosen] for k, v in self.arguments.items() if isinstance(v, torch.Tensor) and len(v) == n
        }
        return Case(self.victim, self.labels[chosen], {**self.arguments, **rows})


class Draw:
    """Fresh randomness for one check; all of it follows from `seed`."""

    def __init__(self, seed: int):
        self._generator = torch.Generator().manual_seed(seed)

    def integer(self) -> int:
        return int(torch.randint(2**31, (), generator=self._generator))

    def number(self, low: float, high: float) -> float:
        """A number in [low, high] with three decimals."""
        share = torch.rand((), generator=self._generator, dtype=torch.float64).item()
        return round(low + share * (high - low), 3)

    def normal(self, shape: Sequence[int]) -> torch.Tensor:
        return torch.randn(shape, generator=self._generator)

    def uniform(self, shape: Sequence[int]) -> torch.Tensor:
        return torch.rand(shape, generator=self._generator)

    def images(self, n: int, shape: tuple[int, int, int] = (1, 28, 28)) -> tuple[torch.Tensor, torch.Tensor]:
        """`n` digits and their labels; for another shape, coloured noise and labels 0, 1, 2..."""
        if shape == (1, 28, 28):
            return _digits().pick(n, self.integer())
        return self.uniform((n, *shape)), torch.arange(n) % 10


@cache
def _digits():
    return data.load("mnist-5k", "test")


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
        held, of_images = ("numbers", "") if self.task.shape else ("pixels", " of images")
        wanted = tuple(self.task.shape(case) if self.task.shape else case["x"].shape)
        if reply.kind == OTHER or (reply.kind == NUMBER and wanted):
            what = f"a torch.Tensor{of_images}" if wanted else "one number, a float or a tensor of shape ()"
            raise Finding("type", f"Return {what}. Yours returned: {reply.detail}.")
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
