"""Lab 4: how often an attack succeeds."""

import math

import torch
from torch import Tensor

from advcourse.labs.comparing import NUMBERS, called, gives
from advcourse.labs.exercises import Case, Draw, Task, exercise
from advcourse.labs.lab4.questions import FIRST, LAST

CLASSES = 6


def outcomes(draw: Draw, x: Tensor | None, n: int = 120, aimed: bool = False) -> dict[str, Tensor | None]:
    """Logits before and after an attack, labels, and a target where it is `aimed`. A fifth of the images was wrong before."""
    y = any_class(draw, n)
    target = other_class(draw, y)
    was_right = draw.uniform((n,)) < 0.8
    before = torch.where(was_right, y, other_class(draw, y))
    dice = draw.uniform((n,))
    after = torch.where(dice < 0.4, y, torch.where(dice < 0.7, target, any_class(draw, n)))
    stays = torch.where(dice < 0.75, before, y)  # what was wrong mostly stays as it was
    after = torch.where(was_right, after, stays)
    clean_logits, logits = won_by(draw, before), won_by(draw, after)
    return {"clean_logits": clean_logits, "logits": logits, "y": y, "target": target if aimed else None}


def any_class(draw: Draw, n: int) -> Tensor:
    return (CLASSES * draw.uniform((n,))).long()


def other_class(draw: Draw, y: Tensor) -> Tensor:
    return (y + 1 + ((CLASSES - 1) * draw.uniform((len(y),))).long()) % CLASSES


def won_by(draw: Draw, winner: Tensor) -> Tensor:
    """Logits (N, CLASSES) whose largest is the winner's."""
    logits = 2 * draw.normal((len(winner), CLASSES))
    top = logits.amax(1, keepdim=True) + 0.1 + draw.uniform((len(winner), 1))
    return logits.scatter(1, winner[:, None], top)


def hits(logits, y, target):
    return logits.argmax(1) != y if target is None else logits.argmax(1) == target


def known(clean_logits, y):
    return clean_logits.argmax(1) == y


@exercise(
    "How often does it fool?",
    2,
    outcomes,
    (
        "The answer to an image is the class of its largest logit: logits.argmax(1). Two masks of shape (N,) are all you need.",
        "right = clean_logits.argmax(1) == y says which images count. success is logits.argmax(1) != y, or == target if there is "
        "one; `if target is None` tells.",
        "return success[right].double().mean(). The mean of no number is NaN of its own accord.",
    ),
    shape=lambda case: (),
    numbers="nan",
)
def rate(clean_logits, logits, y, target):
    return hits(logits, y, target)[known(clean_logits, y)].double().mean()


@rate.slip(
    "target unused",
    "With a target, any wrong answer counts as a success here. A targeted attack has one aim: count the hits of target alone.",
)
def any_error(clean_logits, logits, y, target):
    return rate(clean_logits, logits, y, None)


@rate.slip(
    "missed the target",
    "With a target, you count the images that miss it. A success is an answer that equals target.",
)
def not_the_target(clean_logits, logits, y, target):
    aim = y if target is None else target
    return (logits.argmax(1) != aim)[known(clean_logits, y)].float().mean()


@rate.slip(
    "old mistakes",
    "Images count that the model got wrong before any attack. Nobody had to fool it there. Leave them out, above the fraction "
    "line and below it.",
)
def mean_over_all(clean_logits, logits, y, target):
    return hits(logits, y, target).float().mean()


@rate.slip(
    "divided by all",
    "The successes are the right ones, but they are divided by all N images. Divide by those that the model got right before.",
)
def hits_over_n(clean_logits, logits, y, target):
    return (hits(logits, y, target) & known(clean_logits, y)).sum() / len(y)


@rate.slip(
    "changed answers",
    "You count answers that have changed. From one wrong answer to another is no success. Compare with y.",
)
def before_against_after(clean_logits, logits, y, target):
    return (clean_logits.argmax(1) != logits.argmax(1)).float().mean()


@rate.slip(
    "lost accuracy",
    "You subtract one accuracy from the other. Images that were wrong and are now right then make up for others that were "
    "fooled.",
)
def one_accuracy_minus_the_other(clean_logits, logits, y, target):
    return known(clean_logits, y).float().mean() - known(logits, y).float().mean()


@rate.slip(
    "accuracy",
    "This is the share that the attack does not get. The rate is that of its successes: 1 minus yours.",
)
def share_that_holds(clean_logits, logits, y, target):
    return 1 - rate(clean_logits, logits, y, target)


@rate.slip(
    "count", "This is the number of successes. Divide it by the number of images that were right before."
)
def number_of_hits(clean_logits, logits, y, target):
    return (hits(logits, y, target) & known(clean_logits, y)).sum().float()


@rate.slip("percent", "This is a percentage. A rate is a share, from 0 to 1.")
def out_of_a_hundred(clean_logits, logits, y, target):
    return 100 * rate(clean_logits, logits, y, target)


@rate.slip(
    "0 for none",
    "No image was right before, so nothing was attacked, and yet the rate is 0, as if an attack had failed. It is NaN, 0 / 0.",
)
def at_least_one(clean_logits, logits, y, target):
    right = known(clean_logits, y)
    return (hits(logits, y, target) & right).sum() / right.sum().clamp_min(1)


@rate.slip(
    "1 for none",
    "No image was right before, so nothing was attacked, and yet the rate is 1, as if all had been fooled. It is NaN, 0 / 0.",
)
def nothing_left_to_fool(clean_logits, logits, y, target):
    return rate(clean_logits, logits, y, target) if known(clean_logits, y).any() else 1.0


@rate.right
def image_by_image(clean_logits, logits, y, target):
    fooled, tried = 0, 0
    for i in range(len(y)):
        if int(clean_logits[i].argmax()) == int(y[i]):
            tried += 1
            answer = int(logits[i].argmax())
            fooled += answer != int(y[i]) if target is None else answer == int(target[i])
    return fooled / tried if tried else math.nan


@rate.right
def with_products(clean_logits, logits, y, target):
    right = known(clean_logits, y).float()
    return (right * hits(logits, y, target)).sum() / right.sum()


@rate.wrong("formula")
def least_likely_class(clean_logits, logits, y, target):
    return rate(clean_logits, -logits, y, target)


@rate.wrong("shape")
def every_image(clean_logits, logits, y, target):
    return hits(logits, y, target)[known(clean_logits, y)].float()


@rate.wrong("type")
def as_a_tuple(clean_logits, logits, y, target):
    right = known(clean_logits, y)
    return (hits(logits, y, target) & right).sum(), right.sum()


@rate.wrong("input")
def labels_overwritten(clean_logits, logits, y, target):
    right = known(clean_logits, y)
    y[~right] = -1
    return hits(logits, y, target)[right].float().mean()


@rate.wrong("crash")
def divides_by_zero(clean_logits, logits, y, target):
    right = known(clean_logits, y)
    return int((hits(logits, y, target) & right).sum()) / int(right.sum())


def of_two_sizes(task: Task, draw: Draw, aimed: bool = False) -> list[Case]:
    """Two cases: where 100 images count, a number of successes reads like a percentage."""
    return [uneven(task, draw, n, aimed) for n in (120, 60)]


def uneven(task: Task, draw: Draw, n: int, aimed: bool) -> Case:
    """A case whose rate is not 1/2, which is what is left, too."""
    for _ in range(50):
        case = task.case(draw, **outcomes(draw, None, n, aimed))
        if called(rate, case) != 0.5:
            break
    return case


def nothing_was_right(task: Task, draw: Draw) -> Case:
    """Images all of which the model got wrong before."""
    case = task.case(draw)
    return case.but(y=(case["clean_logits"].argmax(1) + 1) % CLASSES)


rate.checks(
    *FIRST,
    gives(rate, NUMBERS, make=of_two_sizes),
    gives(rate, NUMBERS, make=of_two_sizes, aimed=True),
    gives(rate, NUMBERS, ("0 for none", "1 for none"), make=nothing_was_right),
    *LAST,
)
