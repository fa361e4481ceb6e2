"""What is asked of attacks of many steps: which image they return, and cases where their steps show."""

import torch

from advcourse.labs.checks import Student, picture
from advcourse.labs.comparing import agree, called, formula
from advcourse.labs.definitions import logits
from advcourse.labs.exercises import Case, Draw, Task
from advcourse.labs.lab1.gradients import log_odds
from advcourse.labs.verdicts import Finding
from advcourse.labs.victims import Victim


def projected_too_early(case: Case) -> tuple[float, str, str]:
    told = (
        "A pixel ends eps + alpha away: the projection comes before the step, and the last step goes uncorrected. "
        "Step first, then project."
    )
    return case["eps"] + case["alpha"], "projects first", told


def returns_the_end(student: Student, draw: Draw) -> None:
    """The last image comes back, though the first of two steps, from corner to corner of the ball, may have gained more."""
    eps = draw.number(0.1, 0.2)
    case = student.task.case(draw, n=8, grey=True, eps=eps, alpha=2 * eps, steps=2)
    images, first, last = student(case), called(student.task, case.but(steps=1)), called(student.task, case)
    if agree(images, last):
        return
    gained, kept = (log_odds(logits(case, x), case.labels) for x in (first, last))
    clear = (gained - kept).abs() > 1e-3  # elsewhere rounding decides
    if agree(images[clear], torch.where((gained > kept).view(-1, 1, 1, 1), first, last)[clear]):
        told = "The best image on the way comes back, here for some that after the first of two steps. Return the last image."
        raise Finding("best on the way", told, picture(case, images, 0))
    raise formula(case, images, last)


def with_a_target(task: Task, draw: Draw) -> Case:
    """A grey case with a target, which is neither the label nor class 0."""
    case = task.case(draw, grey=True)
    return case.but(target=(case.labels + draw.integer() % 8) % 9 + 1)


def across_the_ridge(task: Task, draw: Draw, shape: tuple[int, int, int] = (3, 20, 24)) -> Case:
    """Colour images that cross a ridge, three after one step and one after two; old and new gradients pull against each other.

    Whether the memory turns round, and when, depends on the norm by which each gradient is divided.
    """
    n, steps, eps = 4, 12, draw.number(0.1, 0.2)
    x = 0.4 + 0.2 * draw.uniform((n, *shape))
    x[:, 0, 0, 0] = 0.5 - eps / steps * torch.tensor([0.5, 0.5, 0.5, 1.5])
    settings = {"x": x, "y": torch.zeros(n, dtype=torch.long), "eps": eps, "steps": steps, "decay": 0.75}
    return task.case(draw, "ridge", n, shape=shape, classes=2, **settings)


def to_the_bottom(task: Task, draw: Draw) -> Case:
    """The first of two steps leads to the bottom between two hills, where the gradient is exactly 0; the memory leads on.

    All numbers are sums of powers of 2, so that the bottom is met to the last digit.
    """
    shape = (1, 4, 4)
    x = 0.3 + 0.4 * draw.uniform((2, *shape))
    x[:, 0, 0, 0] = 0.5 + 1 / 16
    case = task.case(draw, n=2, shape=shape, x=x, y=torch.ones(2, dtype=torch.long), eps=1 / 8, steps=2)
    return case.but(Victim("two hills", shape=shape, classes=2))
