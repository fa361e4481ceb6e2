"""Models that are sure of their answers, where the choice of the loss shows, and the slips that are known by it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from advcourse.labs import definitions as by_hand
from advcourse.labs.checks import Student, picture
from advcourse.labs.comparing import agree, called
from advcourse.labs.exercises import Case, Draw, Task
from advcourse.labs.verdicts import Finding

GAIN = 1000  # as in chapter 02
LEAD = 300  # of the winning logit: exp(-300) is 0 in float32
DEEP = 1e5  # so far below 0 lies the other logit: a mask such as -1000 is larger
SPREAD = 1.2  # of the logits of a model that has some classes to choose from

SATURATED = (
    "Multiply the logits of a model by {gain}, and it decides as before, but your function then fails for {failed} of {n} "
    "images. The softmax there is 1 for one class and 0 for the others, to the last digit, so the gradient of the loss is 0 or "
    "has lost a part. Take log_odds of the logits as the loss: its gradient has the same sign, and does not vanish."
)
FINITE_MASK = (
    "Where all logits are far below 0, the images follow the label's own logit alone. What stands in its place among the others "
    "must be smaller than any of them, or it outweighs them: put -torch.inf there, not 0 or -1000."
)


def _labelled(case, labels):
    given = {"y": labels} if "y" in case.arguments else {}
    return replace(case, labels=labels, arguments={**case.arguments, **given})


def hesitant(task: Task, draw: Draw, **how: Any) -> Case:
    """A case where some classes share the probability, and the label is the least likely one.

    There a loss with another formula than J has another direction. On a model that thinks all classes alike, many have the same.
    """
    case = task.case(draw, kind="loud", n=8, grey=True, **how)
    spread = (
        by_hand.logits(case.but(replace(case.victim, gain=1.0)), by_hand.clean(case)).std(1).mean().item()
    )
    case = case.but(replace(case.victim, gain=SPREAD / spread))
    return _labelled(case, by_hand.least_likely(case))


def certain(task: Task, draw: Draw) -> Case:
    """A case of two classes whose logits are 1000 times as large, or more, so that the softmax is sure of the label.

    With two classes all losses that survive have the same direction. The other class has a logit far below 0.
    """
    for _ in range(50):
        case = task.case(draw, kind="loud", classes=2, grey=True)
        logits = by_hand.logits(case.but(replace(case.victim, gain=1.0)), by_hand.clean(case))
        lead, other = (logits[:, 1] - logits[:, 0]).abs().min().item(), logits.amin(1).max().item()
        if other < -0.05:
            break
    case = case.but(replace(case.victim, gain=max(GAIN, LEAD / lead, DEEP / abs(other))))
    return _labelled(case, by_hand.most_likely(case))


def certain_of_many(task: Task, draw: Draw) -> Case:
    """A case of ten classes whose logits are 1000 times as large, so that several probabilities are 0 to the last digit.

    Of these argmin takes the first, which is the least likely class of no image.
    """
    for _ in range(50):
        case = task.case(draw, kind="loud", grey=True)
        case = case.but(replace(case.victim, gain=GAIN))
        if (by_hand.least_likely(case) != least_probable(case)).all():
            break
    return case


def least_probable(case: Case) -> Tensor:
    """The class whose probability, in float32, is the smallest, (N,); of several that are 0 the first."""
    return by_hand.logits(case, by_hand.clean(case)).float().softmax(1).argmin(1)


def withstands_saturation(
    task: Task,
    masked: Callable[..., Tensor] | None = None,
    right: Callable[[Case, Tensor], Tensor] | None = None,
) -> Callable[[Student, Draw], None]:
    """Where the softmax saturates, the images are still those of the author's answer.

    masked: a function whose loss is the label's own logit alone, which is what a finite mask leaves of it. right(case, images):
    what the images should be, where chance has a part in them.
    """

    def ask(student, draw):
        case = certain(student.task, draw)
        images = student.images(_finite(student.ask(case)), case)
        expected = right(case, images) if right else called(task, case)
        failed = torch.tensor([not agree(a[None], b[None]) for a, b in zip(images, expected, strict=True)])
        if not failed.any():
            return
        if masked and agree(images, called(masked, case)):
            raise Finding("finite mask", FINITE_MASK, picture(case, images.clamp(0, 1), 0))
        told = SATURATED.format(gain=GAIN, failed=int(failed.sum()), n=len(failed))
        raise Finding("saturated", told, picture(case, images.clamp(0, 1), int(failed.nonzero()[0])))

    return ask


def _finite(reply):
    """A gradient of 0 divided by its norm is NaN; it is the gradient that is to be told here."""
    return replace(reply, value=reply.value.nan_to_num()) if reply.value is not None else reply


SOFTMAX_TWICE = (
    "softmax twice",
    "The softmax is taken twice. cross_entropy wants the logits as the model gives them, and does the softmax itself; so "
    "does log_odds. Leave out your own.",
)
OWN_LOGIT = (
    "logits for log-probabilities",
    "The loss is minus the logit of the label alone, so the other classes play no part. nll_loss takes log-probabilities: "
    "give the logits to cross_entropy, or to log_odds.",
)
MARGIN = (
    "margin",
    "The loss holds the label's logit against the largest of the others alone. In J each of the others counts, by its "
    "probability: logsumexp, not max.",
)
LARGEST_LOGIT = (
    "largest logit",
    "The loss is the largest logit, whatever the label is. It must say how wrong the label is: J(x, y).",
)
LOSSES = tuple(key for key, _ in (SOFTMAX_TWICE, OWN_LOGIT, MARGIN, LARGEST_LOGIT))


def skips_none(student: Student, draw: Draw) -> None:
    """Images that the model misreads already are attacked like the others."""
    case = student.task.case(draw, grey=True)
    case = _labelled(case, by_hand.least_likely(case))
    read = _labelled(case, by_hand.most_likely(case))

    def left(case):
        return (student(case) - by_hand.clean(case)).flatten(1).abs().amax(1) < 1e-6

    if left(case).all() and not left(read).any():
        told = (
            "Images that the model misreads already come back as they were. Attack every image, and take all steps, whatever the "
            "model thinks of it: whether it fooled is counted elsewhere."
        )
        raise Finding("skips misread images", told, picture(case, student(case), 0))
