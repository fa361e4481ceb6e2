"""`show(function)`: what a student's measure says of real attacks, in words and in a picture."""

from dataclasses import dataclass

from advcourse import plots
from advcourse.inputs import InputError, check_choice
from advcourse.labs.checks import Draw
from advcourse.labs.lab4.tasks import LAB
from advcourse.labs.lab4.views import VIEWS
from advcourse.labs.running import NUMBER, TENSOR, UNWRITTEN, Call, LocalRunner
from advcourse.labs.verdicts import image_tag, marked_up

INFINITE = ("median_size",)  # may be infinite
LARGEST = 1e6  # more than any other measure can be


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


def show(function, guess=None, task=None):
    """Measure real attacks on digits with a student's function; returns a `Shown`, which shows itself.

    Args:
        function: the student's answer.
        guess: what was expected beforehand; it is told beside the result.
        task: the task's name (default: the function's own name).

    Raises `InputError` for what is no function or no task of this lab.
    """
    if not callable(function):
        raise InputError(
            f"function: got {function!r}; allowed is the function itself, for example show(rate)"
        )
    name = check_choice(task or getattr(function, "__name__", None), "task", tuple(VIEWS))

    def ask(shape, **arguments):
        reply = LocalRunner(function)(Call(None, arguments))
        if reply.kind == UNWRITTEN:
            raise _Missing(f"{reply.detail} is not written yet.")
        if reply.kind not in (TENSOR, NUMBER) or tuple(reply.value.shape) != shape:
            raise _Missing(f"{name} did not return what it should. `check({name})` says why.")
        value = reply.value.double()
        if name not in INFINITE and (value.abs() > LARGEST).any():
            raise _Missing(f"{name} returned numbers too large for a picture. `check({name})` says more.")
        return value

    asked = LAB.tasks[name]
    case = asked.case(Draw(0))
    try:
        ask(tuple(asked.shape(case)), **case.arguments)  # before any attack is run, which takes its time
        sentences, figure, alt = VIEWS[name](ask)
    except _Missing as missing:
        return Shown(str(missing))
    told = [] if guess is None else [f"You guessed {guess}."]
    return Shown("\n".join([*sentences, *told]), plots.png(figure), " ".join([alt, *sentences]))
