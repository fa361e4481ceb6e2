"""Lab 2: JSMA, a few pixels, pair by pair."""

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from advcourse.labs.checks import Student, picture
from advcourse.labs.comparing import agree, called, follows, images, recognises
from advcourse.labs.definitions import clean, least_likely
from advcourse.labs.exercises import Case, Draw, Task, exercise
from advcourse.labs.lab2.best_pair import best_pair
from advcourse.labs.lab2.gradients import jacobian, predicted, wide
from advcourse.labs.lab2.questions import LAST
from advcourse.labs.properties import (
    answers,
    asks_the_model,
    changes_the_images,
    keeps_what_it_gets,
    stays_in_the_box,
    treats_images_alone,
)
from advcourse.labs.verdicts import Finding

# 5.76 rounds, so five; a pixel is one value, in whichever channel
SMALL = {"shape": (2, 3, 6), "n": 8, "gamma": 0.32}
ALL_PIXELS = images(1.0)


@dataclass(eq=False)
class PairsTask(Task):
    """A task for JSMA: two images, since the table of pairs is large. The first, and every second one, is far from its target."""

    def case(self, draw: Draw, kind: str = "smooth", n: int = 2, **how: Any) -> Case:
        case = super().case(draw, kind, n, **how)
        target = case["target"].clone()
        target[::2] = least_likely(case)[::2]
        return case.but(target=target)


def settings(draw: Draw, x: Tensor) -> dict[str, Any]:
    """Two rounds."""
    target = (10 * draw.uniform((len(x),))).long()
    return {"target": target, "theta": draw.number(0.4, 0.6), "gamma": round(4.5 / x[0].numel(), 6)}


def changed(x_i, pair, theta):
    change = torch.zeros_like(x_i).flatten(1).scatter_(1, pair.clamp_min(0), theta)
    return x_i + change.view_as(x_i)


@exercise(
    "A few pixels, pair by pair",
    4,
    settings,
    (
        "d = x[0].numel() pixels, so int(gamma * d / 2) rounds. In each: jacobian at x_i, then best_pair with free = "
        "x_i < 1, then two pixels of each image change.",
        "An image stands still where it has reached its target, or where its pair is (-1, -1). In a flat image, "
        "x_i.flatten(1), the other pairs are places to add theta to.",
        "going = (logits.argmax(1) != target) & (pair[:, 0] >= 0). change = torch.zeros_like(x).flatten(1); "
        "change.scatter_(1, pair.clamp_min(0), theta); x_i = (x_i + going.view(-1, 1, 1, 1) * change.view_as(x)).clamp(0, 1).",
    ),
    kind=PairsTask,
)
def jsma(model, x, target, theta, gamma):
    x_i = x.clone()
    for _ in range(int(gamma * x[0].numel() / 2)):
        logits, gradients = jacobian(model, x_i)
        pair = best_pair(gradients, target, x_i < 1)
        going = (logits.argmax(1) != target) & (pair[:, 0] >= 0)
        x_i = torch.where(wide(going), changed(x_i, pair, theta), x_i).clamp(0, 1)
    return x_i


def is_grey(x_i):
    return x_i < 1


def on_its_way(logits, target):
    return logits.argmax(1) != target


def rounds(number, model, x, target, theta, free=is_grey, going=on_its_way, change=changed):
    x_i = x.clone()
    for _ in range(number):
        logits, gradients = jacobian(model, x_i)
        pair = best_pair(gradients, target, free(x_i))
        moves = going(logits, target) & (pair[:, 0] >= 0)
        x_i = torch.where(wide(moves), change(x_i, pair, theta), x_i).clamp(0, 1)
    return x_i


def allowed(gamma, x):
    return int(gamma * x[0].numel() / 2)


def right_once_clipped(case: Case, found: Tensor) -> bool:
    """Whether the images are right but for the box."""
    return agree(found.clamp(0, 1), called(jsma, case), 1.0)


@jsma.slip(
    "box",
    "Pixels go beyond 1: a pixel that was grey gets the whole theta. Clip to [0, 1] after each step.",
    test=right_once_clipped,
)
def never_clipped(model, x, target, theta, gamma):
    x_i = x.clone()
    for _ in range(allowed(gamma, x)):
        logits, gradients = jacobian(model, x_i.clamp(0, 1))
        pair = best_pair(gradients, target, x_i < 1)
        going = (logits.argmax(1) != target) & (pair[:, 0] >= 0)
        x_i = torch.where(wide(going), changed(x_i, pair, theta), x_i)
    return x_i


@jsma.slip(
    "budget in pairs",
    "Twice as many pixels change as allowed: gamma is a share of pixels, and each round changes two. Halve the "
    "number of rounds.",
)
def a_round_for_each_pixel(model, x, target, theta, gamma):
    return jsma(model, x, target, theta, 2 * gamma)


@jsma.slip(
    "does not stop",
    "Pixels go on changing after the target is reached. An image that has got there stays as it is.",
)
def goes_on(model, x, target, theta, gamma):
    def going(logits, target):
        return torch.ones_like(target, dtype=torch.bool)

    return rounds(allowed(gamma, x), model, x, target, theta, going=going)


@jsma.slip(
    "stops with the first",
    "All images stop as soon as one has reached its target. The others go on.",
)
def all_stop_together(model, x, target, theta, gamma):
    def going(logits, target):
        return (logits.argmax(1) != target).all()

    return rounds(allowed(gamma, x), model, x, target, theta, going=going)


@jsma.slip(
    "probabilities",
    "The pairs are those of the softmax. There the others' sum is the target with a minus, and says nothing new. Take the "
    "gradients of the logits.",
)
def gradients_of_the_softmax(model, x, target, theta, gamma):
    return jsma(lambda x: model(x).softmax(1), x, target, theta, gamma)


@jsma.slip(
    "jacobian at x",
    "All pairs are chosen by the gradients at the clean image. They change with every pair: take them anew at x_i.",
)
def chosen_once(model, x, target, theta, gamma):
    x_i, gradients = x.clone(), jacobian(model, x)[1]
    for _ in range(allowed(gamma, x)):
        pair = best_pair(gradients, target, x_i < 1)
        going = (predicted(model, x_i) != target) & (pair[:, 0] >= 0)
        x_i = torch.where(wide(going), changed(x_i, pair, theta), x_i).clamp(0, 1)
    return x_i


@jsma.slip(
    "saturated pixels stay",
    "Pixels that are white already are chosen again, and nothing changes. Free are only those below 1.",
)
def all_stay_free(model, x, target, theta, gamma):
    return rounds(allowed(gamma, x), model, x, target, theta, free=lambda x_i: x_i <= 1)


@jsma.slip(
    "leaves too early",
    "A pixel is out after its first change, though it is not white yet. It stays free until it reaches 1.",
)
def each_pixel_once(model, x, target, theta, gamma):
    return rounds(allowed(gamma, x), model, x, target, theta, free=lambda x_i: (x_i < 1) & (x_i == x))


@jsma.slip("darker", "The pixels become darker, but the pair was chosen for lighter ones. Add theta.")
def theta_subtracted(model, x, target, theta, gamma):
    return jsma(model, x, target, -theta, gamma)


@jsma.slip("sets the value", "The pixels are set to theta. Add theta to what they are, and clip.")
def set_to_theta(model, x, target, theta, gamma):
    def put(x_i, pair, theta):
        return x_i.flatten(1).scatter(1, pair.clamp_min(0), theta).view_as(x_i)

    return rounds(allowed(gamma, x), model, x, target, theta, change=put)


@jsma.slip("theta unused", "The pixels become white at once. Add theta, and clip to 1.")
def white_at_once(model, x, target, theta, gamma):
    return jsma(model, x, target, 1.0, gamma)


@jsma.slip(
    "clean where it fails",
    "Images that do not reach their target come back unchanged. Return the images after the last round, whether they have "
    "reached it or not.",
)
def clean_where_it_fails(model, x, target, theta, gamma):
    x_i = jsma(model, x, target, theta, gamma)
    return torch.where(wide(predicted(model, x_i) == target), x_i, x)


@jsma.slip(
    "channels forgotten",
    "Too few values change in colour images: d is the number of all values of an image, channels included, x[0].numel().",
)
def height_times_width(model, x, target, theta, gamma):
    return jsma(model, x, target, theta, gamma / x.shape[1])


@jsma.slip(
    "rounds up",
    "There is one round too many. The share gamma is an upper limit: round down, int(gamma * d / 2).",
)
def one_round_more(model, x, target, theta, gamma):
    return jsma(model, x, target, theta, gamma + 2 / x[0].numel())


@jsma.right
def image_by_image(model, x, target, theta, gamma):
    results = []
    for one, t in zip(x.split(1), target.split(1)):
        x_i = one.clone()
        for _ in range(int(gamma * one.numel() / 2)):
            logits, gradients = jacobian(model, x_i)
            if logits.argmax(1) == t:
                break
            p, q = best_pair(gradients, t, x_i < 1)[0].tolist()
            if p < 0:
                break
            flat = x_i.view(-1)
            flat[p], flat[q] = min(flat[p] + theta, torch.ones_like(flat[p])), min(1, flat[q] + theta)
        results.append(x_i)
    return torch.cat(results)


@jsma.wrong("formula")
def first_pixel_when_there_is_none(model, x, target, theta, gamma):
    x_i = x.clone()
    for _ in range(allowed(gamma, x)):
        logits, gradients = jacobian(model, x_i)
        alpha = gradients.flatten(2)[torch.arange(len(x)), target]
        pair = (alpha * (x_i < 1).flatten(1)).topk(2).indices
        x_i = torch.where(wide(logits.argmax(1) != target), changed(x_i, pair, theta), x_i).clamp(0, 1)
    return x_i


@jsma.wrong("input")
def in_place(model, x, target, theta, gamma):
    return x.copy_(jsma(model, x, target, theta, gamma))


@jsma.wrong("rounds up")
def rounds_to_the_nearest(model, x, target, theta, gamma):
    return rounds(round(gamma * x[0].numel() / 2), model, x, target, theta)


@jsma.wrong("formula")
def whole_theta_alone(model, x, target, theta, gamma):
    return rounds(allowed(gamma, x), model, x, target, theta, free=lambda x_i: x_i <= 1 - theta)


def undone(task: Task, draw: Draw, **how: Any) -> Case:
    """A case of five rounds in which one round more, twice as many, half of them, and a common stop each end elsewhere."""
    for _ in range(20):
        case = task.case(draw, **SMALL, **how)
        others = one_round_more, a_round_for_each_pixel, all_stop_together
        ends = [called(function, case) for function in (jsma, *others)]
        ends.append(called(jsma, case.but(gamma=case["gamma"] / 2)))
        if not any(torch.equal(one, other) for one, other in combinations(ends, 2)):
            break
    return case


def changes_few_pixels(student: Student, draw: Draw) -> None:
    """At most the share gamma of the pixels changes."""
    case = student.task.case(draw)
    found, d = student(case), case["x"][0].numel()
    numbers = (found != clean(case)).flatten(1).sum(1)
    budget = 2 * allowed(case["gamma"], case["x"])
    if (most := int(numbers.max())) > budget:
        told = f"{most} of {d} pixels have changed; gamma = {case['gamma']} allows {budget}."
        raise Finding("budget", told, picture(case, found, int(numbers.argmax())))


jsma.checks(
    answers,
    keeps_what_it_gets,
    recognises(jsma, by=ALL_PIXELS, make=undone),
    changes_few_pixels,
    changes_the_images,
    asks_the_model,
    stays_in_the_box,
    treats_images_alone,
    follows(jsma, by=ALL_PIXELS, make=undone),
    *LAST,
)
