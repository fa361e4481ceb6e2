"""Lab 7: of which of several networks a loss is, and whether each comes up by a fair draw."""

from collections.abc import Callable
from itertools import count

import torch
from torch import Tensor

from advcourse.labs.checks import Student
from advcourse.labs.exercises import Case, Draw, Task
from advcourse.labs.lab7.answering import drawn
from advcourse.labs.lab7.losses import LOSS, alike, followed, learning, told, unexplained
from advcourse.labs.numbers import near
from advcourse.labs.running import CRASH
from advcourse.labs.verdicts import Finding
from advcourse.labs.victims import Victim

SEEDS = 40  # three sources: one of them stays away 40 times by chance in one of three million checks
FEW_SEEDS = (
    28  # a draw from three sources brings up the third with one of these, but in one of 80 thousand checks
)
OTHERS, DRAWS, MOST = 24, 48, 12  # of 25 sources one comes up 12 times of 48 in one of two million checks
REPEATED = 12  # a draw that ignores the seed repeats these by chance in one of half a million checks


def with_source(function: Callable[..., Tensor], case: Case, s: int) -> tuple[Tensor, Tensor]:
    """What a function of the lab gives, and its gradient, where it draws source number `s`, the model itself being the last."""
    number = len(case["static"]) + 1
    return followed(function, case.but(seed=next(i for i in count() if drawn(number, i) == s)))


def _with_sources(function, case):
    return [with_source(function, case, s) for s in range(len(case["static"]) + 1)]


def _explained(answer, known):
    return any(LOSS.same(answer, loss) for loss in known)


def follows_its_source(student: Student, draw: Draw) -> None:
    """Each of many losses is that of one of the sources; all of them come up, and the same seed brings up the same."""
    case = learning(student.task, draw, n=4).to(torch.float64)
    found = [told(student, case.but(seed=case["seed"] + i)) for i in range(SEEDS)]
    right = _with_sources(student.task.solution, case)
    strange = [answer for answer in found if not _explained(answer, right)]
    if strange:
        raise _slip(student.task, case, strange, right)
    seen = [_nearest(right, answer) for answer in found]
    again = [told(student, case.but(seed=case["seed"] + i)) for i in range(REPEATED)]
    if [_nearest(right, answer) for answer in again] != seen[:REPEATED]:
        message = (
            "The same seed draws another source each time. Draw from torch.Generator().manual_seed(seed)."
        )
        raise Finding("not repeatable", message)
    _all_come_up(seen, len(right))
    if seen == (seen[: len(right)] * SEEDS)[:SEEDS]:
        message = (
            "The sources take turns as the seed counts up. Draw: torch.randint(number, (), generator=...), the generator being "
            "seeded with it."
        )
        raise Finding("taken in turn", message)


def _nearest(right, answer):
    return min(range(len(right)), key=lambda s: abs(right[s][0] - answer[0]))


def _slip(task: Task, case: Case, strange: list, right: list) -> Finding:
    """The finding for losses that no source explains."""
    for slip in task.slips:
        known = _with_sources(slip.function, case)
        if all(_explained(answer, known) for answer in strange):
            return Finding(slip.key, slip.message)
    pairs = [(answer, right[_nearest(right, answer)]) for answer in strange]
    wrong_numbers = [pair for pair in pairs if not alike(*pair)[0]]
    return unexplained(case, *(wrong_numbers or pairs)[0])


def _all_come_up(seen, number):
    absent = set(range(number)) - set(seen)
    if len(absent) == number - 1:
        message = f"{SEEDS} seeds bring up one and the same source. Draw it: torch.randint(number, (), generator=...)."
        raise Finding("no draw", message)
    if number - 1 in absent:
        message = "The model itself is never the source. It is one of them, beside the static ones."
        raise Finding("never itself", message)
    if absent:
        message = (
            f"static[{min(absent)}] is never the source. Draw from all of the static networks and the model."
        )
        raise Finding("one left out", message)


def counts_its_sources(student: Student, draw: Draw) -> None:
    """With one static network and the model itself, no draw asks for a third source."""
    case = student.task.case(draw)
    case = case.but(static=case["static"][:1])
    for i in range(FEW_SEEDS):
        reply = student.ask(case.but(seed=case["seed"] + i))
        if reply.kind == CRASH:
            message = (
                "It works for two static networks and fails for one. Is the number of sources written down somewhere? It is "
                f"len(static) + 1. The error: {reply.detail.splitlines()[-1]}"
            )
            raise Finding("other amount", message)


def draws_evenly(student: Student, draw: Draw) -> None:
    """Of many sources the model itself comes up no more often than the others."""
    case = learning(student.task, draw, n=2, shape=(1, 6, 6)).to(torch.float64)
    static = tuple(Victim("linear", draw.integer(), (1, 6, 6)) for _ in range(OTHERS))
    case = case.but(static=static)
    itself, _ = with_source(student.task.solution, case, OTHERS)
    times = sum(bool(near(student(case.but(seed=case["seed"] + i)), itself)) for i in range(DRAWS))
    if times >= MOST:
        message = (
            f"Beside {OTHERS} static networks the model itself is the source of {times} of {DRAWS} batches. It is one source "
            "among the others, and as likely as each of them: draw once from all."
        )
        raise Finding("not uniform", message)
