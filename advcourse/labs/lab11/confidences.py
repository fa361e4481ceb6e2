"""What the judge of lab 11 asks of scores of membership: fresh matrices, and what is the same to nine digits."""

from typing import Any

import torch
from torch import Tensor

from advcourse.labs.checks import Student
from advcourse.labs.comparing import Comparison, called
from advcourse.labs.exercises import Case, Draw
from advcourse.labs.lab11.sets import PlainTask
from advcourse.labs.numbers import differs
from advcourse.labs.verdicts import Finding

ALIKE = 1e-9  # relative, in float64


def a_matrix(
    draw: Draw, x: None = None, nets: int = 16, points: int = 24, online: bool = True
) -> dict[str, Any]:
    """Fresh confidences of nets that learned from half of the points each; every point is in half of the nets.

    Members are more confident, and vary more. Each point has a centre of its own, and some nets are far off, so that mean and
    median are two things.
    """
    order = torch.stack([draw.uniform((nets,)).argsort() for _ in range(points)], 1)
    members = order < nets // 2
    centre, gap = 2 * draw.normal((points,)), 1 + draw.uniform((points,))
    noise = draw.normal((nets, points)) + 3 * (draw.uniform((nets, points)) < 0.1)
    phi = torch.where(members, centre + gap + 1.7 * noise, centre + 0.8 * noise)
    return {"phi": phi.double(), "members": members, "target": draw.integer() % nets, "online": online}


def alike(found: Tensor, expected: Tensor) -> bool:
    """True where all scores are the same to 1e-9."""
    return bool(((found - expected).abs() <= ALIKE * (1 + expected.abs())).all())


def other_scores(case: Case, found: Tensor, expected: Tensor) -> Finding:
    """The finding for scores that no known slip explains."""
    return differs(found, expected)


SCORES = Comparison(Student.__call__, called, alike, other_scores)


def on_and_off(task: PlainTask, draw: Draw) -> list[Case]:
    """Fresh questions, online and offline; in some an odd number of nets is left on a side, in some an even one."""
    return [task.case(draw, online=online, nets=nets) for nets in (16, 18) for online in (True, False)]
