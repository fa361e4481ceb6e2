"""Chapter 11: a suspicion that no addition can lower."""

from typing import Any

import torch

from advcourse.labs.exercises import Draw
from advcourse.practice.asking import ALL, slopes
from advcourse.practice.tasks import small_exercise


def drawn_detector(draw: Draw) -> dict[str, Any]:
    """Six features, of which four are there, with weights of both signs, and a constant below 0."""
    x = torch.tensor([1.0, 1.0, 0.0, 1.0, 1.0, 0.0])
    return {"w": slopes(draw, 6), "b": -draw.number(0.2, 1.5), "x": x}


@small_exercise(
    "A suspicion that cannot fall",
    4,
    "easy",
    by_hand=(
        {
            "w": torch.tensor([2.0, -1.5, 0.5, -0.8]),
            "b": -1.0,
            "x": torch.tensor([1.0, 1.0, 0.0, 1.0]),
        },
        {"w": torch.tensor([0.7, -0.4]), "b": 0.5, "x": torch.tensor([1.0, 1.0])},
        {"w": torch.tensor([0.3, -0.6]), "b": -1.5, "x": torch.tensor([1.0, 0.0])},
    ),
    drawn=drawn_detector,
    hints=(
        "An addition turns a 0 of x into a 1, and so adds one weight to the sum. The sum can fall only if that weight is below "
        "0: which weights must change, and into what?",
        "w.clamp(min=0) leaves the weights above 0 as they are and makes all others 0. Multiply it by x, add up, and add b, "
        "which may stay below 0.",
    ),
    shape=lambda case: (),
    praise="Whatever is added, a number that is not below 0 is added to the suspicion: this is the whole proof.",
)
def monotone_score(w, b, x):
    return x @ w.clamp(min=0) + b


@monotone_score.slip(
    "weights as they are",
    "A weight below 0 is still there: whoever adds that feature lowers the suspicion. Clamp the weights at 0.",
)
def plain_sum(w, b, x):
    return x @ w + b


@monotone_score.slip(
    "sum clamped",
    "You clamp the sum, and not the weights. Above 0 it falls with an addition as before: the weights have kept their signs.",
)
def clamps_the_sum(w, b, x):
    return (x @ w + b).clamp(min=0)


@monotone_score.slip(
    "signs dropped",
    "You take the size of each weight. Then a feature that speaks for an honest app makes it suspicious. Make such weights 0.",
)
def sizes(w, b, x):
    return x @ w.abs() + b


@monotone_score.slip(
    "constant clamped",
    "You clamp the constant b, too. No addition changes it, so it may be below 0; without it every app starts suspicious.",
)
def clamps_b(w, b, x):
    return x @ w.clamp(min=0) + max(b, 0.0)


@monotone_score.slip("constant forgotten", "The weights are right, but the constant b is missing: add it.")
def without_b(w, b, x):
    return x @ w.clamp(min=0)


@monotone_score.slip(
    "other half",
    "You keep the weights below 0 and drop the others, so that every addition lowers the suspicion. Clamp with min=0.",
)
def keeps_the_negative(w, b, x):
    return x @ w.clamp(max=0) + b


@monotone_score.slip(
    "all there",
    "You add up the weights of all features, those too that the app does not have. Multiply by x first.",
)
def forgets_x(w, b, x):
    return w.clamp(min=0).sum() + b


@monotone_score.slip(
    "result clamped",
    "The weights are right, but you clamp the result as well. Below 0 the alarm is off, and how far below may matter: leave it.",
)
def clamps_the_result(w, b, x):
    return (x @ w.clamp(min=0) + b).clamp(min=0)


@monotone_score.right
def in_words(w, b, x):
    return (torch.where(w > 0, w, torch.zeros_like(w)) * x).sum() + b


@monotone_score.right
def one_by_one(w, b, x):
    total = b
    for weight, present in zip(w.tolist(), x.tolist(), strict=True):
        if present and weight > 0:
            total += weight
    return total


@monotone_score.wrong("crash")
def without_min(w, b, x):
    return x @ w.clamp() + b


monotone_score.checks(*ALL)
