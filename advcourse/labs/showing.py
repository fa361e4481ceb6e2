"""`show(function)`: what a student's function makes of real digits and attacks, in words and in a picture."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from advcourse import plots
from advcourse.labs.checks import task_of
from advcourse.labs.exercises import Draw
from advcourse.labs.running import NUMBER, TENSOR, UNWRITTEN, Call, LocalRunner, quiet, usual_state
from advcourse.labs.verdicts import NOT_ATTEMPTED, image_tag, marked_up

LARGEST = 1e6  # more than any right answer holds


@dataclass(frozen=True)
class Shown:
    """Sentences, and a picture (PNG) with its description; no picture where the function gives no answer yet."""

    text: str
    png: bytes | None = None
    alt: str = ""

    def __repr__(self):
        return self.text

    def _repr_html_(self):
        lines = marked_up(self.text).replace("\n", "<br>")
        picture = image_tag(self.png, self.alt) if self.png else ""
        return f"<div>{lines}</div>{picture}"


class _Missing(Exception):
    """The student's function gives no answer; the message says why."""


@dataclass(frozen=True)
class Show:
    """The function `show` of a lab.

    lab: whose tasks they are. views: by task, a function of `ask` that returns sentences, a figure and its description;
    `ask(shape, victim=None, **arguments)` is the student's answer. infinite: the tasks whose answers may be infinite.
    """

    lab: object
    views: dict
    infinite: tuple[str, ...] = ()

    @usual_state()
    def __call__(self, function: Callable[..., Any], guess: object = None, task: str | None = None) -> Shown:
        """Try a student's function out on digits; returns a `Shown`, which shows itself.

        Args:
            function: the student's answer.
            guess: what was expected beforehand; it is told beside the result.
            task: the task's name (default: the function's own name).

        Raises `InputError` for what is no function or no task of this lab.
        """
        name = task_of(function, task, self.views, "show")

        def ask(shape, victim=None, **arguments):
            return self._answer(name, LocalRunner(function)(Call(victim, arguments)), tuple(shape))

        asked = self.lab.tasks[name]
        case = asked.case(Draw(0))
        try:
            shape = asked.shape(case) if asked.shape else case["x"].shape
            ask(shape, case.victim, **case.arguments)  # before any attack is run, which takes its time
            sentences, figure, alt = self.views[name](ask)
        except _Missing as missing:
            return Shown(str(missing))
        told = [] if guess is None else [f"You guessed {guess}."]
        return Shown("\n".join([*sentences, *told]), plots.png(figure), " ".join([alt, *sentences]))

    def _answer(self, name, reply, shape):
        if reply.kind == UNWRITTEN:
            raise _Missing(f"{reply.detail} is not written yet.")
        if reply.kind not in (TENSOR, NUMBER) or tuple(reply.value.shape) != shape:
            raise _Missing(f"{name} did not return what it should. `check({name})` says why.")
        value = reply.value.double()
        usual = value[~value.isnan()] if self.lab.tasks[name].numbers == "nan" else value
        if name not in self.infinite and not (usual.abs() <= LARGEST).all():
            raise _Missing(f"{name} returned numbers that make no picture. `check({name})` says more.")
        return value


@dataclass(frozen=True)
class ShowRight:
    """The function `show` of a lab whose views try an answer out on something large, and so ask for a right one.

    lab: whose tasks they are. views: by task, a function of the student's answer that returns a `Shown`, or something else that
    shows itself.
    """

    lab: object
    views: dict

    @usual_state()
    def __call__(self, function: Callable[..., Any], guess: object = None, task: str | None = None) -> object:
        """Try a student's function out; returns something that shows itself. The first call can take some seconds.

        Args:
            function: the student's answer. It must be right: nothing is shown of another.
            guess: what was expected beforehand; it is told beside the result.
            task: the task's name (default: the function's own name).

        Raises `InputError` for what is no function, or no task of this lab that has something to show.
        """
        name = task_of(function, task, self.views, "show")
        verdict = self.lab.check(function, name)
        if not verdict.right:
            unwritten = verdict.outcome == NOT_ATTEMPTED
            why = "is not written yet." if unwritten else f"is not right yet. `check({name})` says why."
            return Shown(f"{name} {why}")
        with quiet():
            shown = self.views[name](function)
        if isinstance(shown, Shown) and guess is not None:
            return replace(shown, text=f"{shown.text}\nYou guessed {guess}.")
        return shown
