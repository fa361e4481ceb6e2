"""What a lab asks: its tasks, each with the answers to it, and the cases, the fresh questions of one check."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch

from advcourse import data
from advcourse.core.errors import InputError
from advcourse.labs.victims import Victim


@dataclass(frozen=True)
class Slip:
    """A mistake that the judge knows by its results: those of `function`, or those for which `test(case, found)` is true.

    `function` makes it as a student would; `message` is what the student is told.
    """

    key: str
    message: str
    function: Callable
    test: "Callable[[Case, Any], bool] | None" = None


@dataclass(eq=False)
class Task:
    """One graded task of a lab; `exercise` makes it of the author's answer.

    name: of the function that the student writes; parameters: the names of its parameters, in order, "model" among them if it
    takes one; settings(draw, x): fresh values for those that are not "model", "x" or "y"; properties: functions of
    (student, draw) that return nothing, or raise a `Finding`; hints: from a nudge to nearly the answer; shape(case): the
    shape of the result where it holds no images like x, () for one number, which may be a float; numbers: what it holds,
    "finite" numbers, also "infinite" ones, also "nan", or "whole" ones, which may be integers; "text" for a text and
    "dictionary" for sets of texts by name, which have no shape; solution: the author's answer,
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
