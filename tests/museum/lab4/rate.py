"""Answers to rate(clean_logits, logits, y, target)."""

import math

from museum import Room

room = Room("rate")


def hits(logits, y, target):
    return logits.argmax(1) != y if target is None else logits.argmax(1) == target


def known(clean_logits, y):
    return clean_logits.argmax(1) == y


@room.right
def with_a_mask(clean_logits, logits, y, target):
    return hits(logits, y, target)[known(clean_logits, y)].double().mean()


@room.right
def image_by_image(clean_logits, logits, y, target):
    fooled, tried = 0, 0
    for i in range(len(y)):
        if int(clean_logits[i].argmax()) == int(y[i]):
            tried += 1
            answer = int(logits[i].argmax())
            fooled += answer != int(y[i]) if target is None else answer == int(target[i])
    return fooled / tried if tried else math.nan


@room.right
def with_products(clean_logits, logits, y, target):
    right = known(clean_logits, y).float()
    return (right * hits(logits, y, target)).sum() / right.sum()


@room.wrong("old mistakes")
def mean_over_all(clean_logits, logits, y, target):
    return hits(logits, y, target).float().mean()


@room.wrong("divided by all")
def hits_over_n(clean_logits, logits, y, target):
    return (hits(logits, y, target) & known(clean_logits, y)).sum() / len(y)


@room.wrong("changed answers")
def before_against_after(clean_logits, logits, y, target):
    return (clean_logits.argmax(1) != logits.argmax(1)).float().mean()


@room.wrong("lost accuracy")
def one_accuracy_minus_the_other(clean_logits, logits, y, target):
    return known(clean_logits, y).float().mean() - known(logits, y).float().mean()


@room.wrong("accuracy")
def share_that_holds(clean_logits, logits, y, target):
    return 1 - with_a_mask(clean_logits, logits, y, target)


@room.wrong("count")
def number_of_hits(clean_logits, logits, y, target):
    return (hits(logits, y, target) & known(clean_logits, y)).sum().float()


@room.wrong("percent")
def out_of_a_hundred(clean_logits, logits, y, target):
    return 100 * with_a_mask(clean_logits, logits, y, target)


@room.wrong("target unused")
def any_error(clean_logits, logits, y, target):
    return with_a_mask(clean_logits, logits, y, None)


@room.wrong("missed the target")
def not_the_target(clean_logits, logits, y, target):
    aim = y if target is None else target
    return (logits.argmax(1) != aim)[known(clean_logits, y)].float().mean()


@room.wrong("0 for none")
def at_least_one(clean_logits, logits, y, target):
    right = known(clean_logits, y)
    return (hits(logits, y, target) & right).sum() / right.sum().clamp_min(1)


@room.wrong("1 for none")
def nothing_left_to_fool(clean_logits, logits, y, target):
    right = known(clean_logits, y)
    return with_a_mask(clean_logits, logits, y, target) if right.any() else 1.0


@room.wrong("formula")
def least_likely_class(clean_logits, logits, y, target):
    return with_a_mask(clean_logits, -logits, y, target)


@room.wrong("shape")
def every_image(clean_logits, logits, y, target):
    return hits(logits, y, target)[known(clean_logits, y)].float()


@room.wrong("type")
def as_a_tuple(clean_logits, logits, y, target):
    right = known(clean_logits, y)
    return (hits(logits, y, target) & right).sum(), right.sum()


@room.wrong("input")
def labels_overwritten(clean_logits, logits, y, target):
    right = known(clean_logits, y)
    y[~right] = -1
    return hits(logits, y, target)[right].float().mean()


@room.wrong("crash")
def divides_by_zero(clean_logits, logits, y, target):
    right = known(clean_logits, y)
    return int((hits(logits, y, target) & right).sum()) / int(right.sum())
