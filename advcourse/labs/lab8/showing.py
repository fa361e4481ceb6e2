"""`show(function)`: what a student's function does to real digits and attacks, in words and in a picture."""

from advcourse import plots
from advcourse.inputs import InputError, check_choice
from advcourse.labs.checks import Draw
from advcourse.labs.lab4.showing import Shown
from advcourse.labs.lab8.tasks import LAB
from advcourse.labs.lab8.views import VIEWS
from advcourse.labs.running import NUMBER, TENSOR, UNWRITTEN, Call, LocalRunner

LARGEST = 1e6  # more than any right answer holds


class _Missing(Exception):
    """The student's function gives no answer; the message says why."""


def show(function, guess=None, task=None):
    """Try a student's function out on digits; returns a `Shown`, which shows itself.

    Args:
        function: the student's answer.
        guess: what was expected beforehand; it is told beside the result.
        task: the task's name (default: the function's own name).

    Raises `InputError` for what is no function or no task of this lab.
    """
    if not callable(function):
        raise InputError(
            f"function: got {function!r}; allowed is the function itself, for example show(quantise)"
        )
    name = check_choice(task or getattr(function, "__name__", None), "task", tuple(VIEWS))

    def ask(shape, victim=None, **arguments):
        reply = LocalRunner(function)(Call(victim, arguments))
        if reply.kind == UNWRITTEN:
            raise _Missing(f"{reply.detail} is not written yet.")
        if reply.kind not in (TENSOR, NUMBER) or tuple(reply.value.shape) != tuple(shape):
            raise _Missing(f"{name} did not return what it should. `check({name})` says why.")
        value = reply.value.double()
        if not (value.abs() <= LARGEST).all():
            raise _Missing(f"{name} returned numbers that make no picture. `check({name})` says more.")
        return value

    asked = LAB.tasks[name]
    case = asked.case(Draw(0))
    try:
        shape = asked.shape(case) if asked.shape else case["x"].shape
        ask(shape, case.victim, **case.arguments)  # before any attack is run, which takes its time
        sentences, figure, alt = VIEWS[name](ask)
    except _Missing as missing:
        return Shown(str(missing))
    told = [] if guess is None else [f"You guessed {guess}."]
    return Shown("\n".join([*sentences, *told]), plots.png(figure), " ".join([alt, *sentences]))
