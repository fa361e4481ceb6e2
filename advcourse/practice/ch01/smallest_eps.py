"""Chapter 01: the smallest budget with which the sign of a linear score can be turned over."""

import torch
from torch import Tensor

from advcourse.labs.exercises import Draw
from advcourse.practice.asking import ALL, rounded, slopes
from advcourse.practice.tasks import small_exercise


def drawn_score(draw: Draw) -> dict[str, Tensor]:
    """Five weights of both signs, an image of five pixels, and an offset b that is not 0 and gives a score of either sign."""
    w, x = slopes(draw, 5), rounded(draw.uniform((5,)))
    score = draw.number(0.2, 1.5) * (1 if draw.uniform(()) < 0.5 else -1)
    b = rounded(score - w @ x)
    return {"w": w, "b": b if b.abs() >= 0.05 else b + 0.1 * (1 if score > 0 else -1), "x": x}


def told(w: list[float], b: float, x: list[float]) -> dict[str, Tensor]:
    """The arguments as tensors."""
    return {"w": torch.tensor(w), "b": torch.tensor(b), "x": torch.tensor(x)}


@small_exercise(
    "The smallest budget that flips a linear score",
    5,
    "medium",
    by_hand=(told([2.0, -0.5, 0.5], 0.2, [0.3, 0.8, 0.6]), told([1.0, -3.0, 1.0], -0.4, [0.5, 0.3, 0.2])),
    drawn=drawn_score,
    hints=(
        "With the worst change of size eps the score falls by eps * |w₁| + eps * |w₂| + ... For which eps is that as much as "
        "the score itself? And if the score is negative?",
        "The score is w @ x + b, and what eps is multiplied with is w.abs().sum(). Divide the size of the one by the other.",
    ),
    shape=lambda case: (),
    praise="Only the score and the size of all weights together count, and not the number of pixels.",
)
def smallest_eps(w, b, x):
    score = w @ x + b
    return score.abs() / w.abs().sum()


@smallest_eps.slip(
    "distance in L2",
    "You divide by the length of w. That is the distance to the boundary as a ruler measures it, in L2. In the L∞ ball all "
    "pixels move at once, so the sizes of the weights add up: divide by their sum.",
)
def by_the_length(w, b, x):
    return (w @ x + b).abs() / w.norm()


@smallest_eps.slip("distance in L2")
def by_the_squared_length(w, b, x):
    return (w @ x + b).abs() / (w @ w)


@smallest_eps.slip(
    "one pixel",
    "You divide by the largest weight, as if only that pixel could be changed. All may move by eps, and their weights add up.",
)
def by_the_largest_weight(w, b, x):
    return (w @ x + b).abs() / w.abs().max()


@smallest_eps.slip(
    "weights cancel",
    "In your sum negative weights cancel positive ones. A pixel with a negative weight is no less useful, it moves the other "
    "way: add up the absolute values.",
)
def by_the_signed_sum(w, b, x):
    return (w @ x + b).abs() / w.sum()


@smallest_eps.slip("weights cancel")
def by_the_size_of_the_sum(w, b, x):
    return (w @ x + b).abs() / w.sum().abs()


@smallest_eps.slip(
    "without b", "The constant b is missing. The score that has to change its sign is w @ x + b."
)
def score_without_b(w, b, x):
    return (w @ x).abs() / w.abs().sum()


@smallest_eps.slip(
    "negative budget",
    "For a negative score your budget is negative. How far the score is from 0 is its absolute value.",
)
def without_absolute_value(w, b, x):
    return (w @ x + b) / w.abs().sum()


@smallest_eps.slip(
    "negative for a positive score",
    "For a positive score your budget is negative. Which way the score has to go plays no part: take its absolute value.",
)
def minus_the_score(w, b, x):
    return -(w @ x + b) / w.abs().sum()


@smallest_eps.slip(
    "brackets missing",
    "Only b is divided here, for / comes before +. Put brackets around the score: (w @ x + b).",
)
def divides_only_b(w, b, x):
    return w @ x + b / w.abs().sum()


@smallest_eps.slip("brackets missing")
def divides_only_b_and_takes_the_size(w, b, x):
    return (w @ x + b / w.abs().sum()).abs()


@smallest_eps.slip(
    "size of a part",
    "You take the absolute value of w @ x and add b afterwards. Where the two have different signs they cancel in part: add "
    "first, and then take the absolute value.",
)
def size_before_b(w, b, x):
    return ((w @ x).abs() + b) / w.abs().sum()


@smallest_eps.slip("size of a part")
def sizes_of_both(w, b, x):
    return ((w @ x).abs() + b.abs()) / w.abs().sum()


@smallest_eps.slip(
    "score alone",
    "This is how far the score is from 0, and not yet how far the image has to go. A budget of eps changes the score by eps "
    "times the sum of the weights' sizes: divide by that.",
)
def not_divided(w, b, x):
    return (w @ x + b).abs()


@smallest_eps.slip(
    "mean weight",
    "You divide by the mean size of a weight. The pixels do not share eps, each has it: divide by the sum.",
)
def by_the_mean(w, b, x):
    return (w @ x + b).abs() / w.abs().mean()


@smallest_eps.slip(
    "number of pixels",
    "You divide by the number of pixels, as if each weight were 1. A pixel counts as much as its weight is large.",
)
def by_their_number(w, b, x):
    return (w @ x + b).abs() / len(w)


@smallest_eps.slip(
    "upside down",
    "The fraction stands on its head: a score far from 0 needs a large budget, so the score belongs above the line.",
)
def inverted(w, b, x):
    return w.abs().sum() / (w @ x + b).abs()


@smallest_eps.slip(
    "weights of the light pixels",
    "You divide by the sum of |w * x|, in which a black pixel counts nothing. Black pixels can be changed as well: x has no "
    "place below the line.",
)
def by_the_terms(w, b, x):
    return (w @ x + b).abs() / (w * x).abs().sum()


@smallest_eps.right
def with_torchs_norm(w, b, x):
    return torch.abs((w * x).sum() + b) / torch.linalg.vector_norm(w, ord=1)


@smallest_eps.right
def in_plain_python(w, b, x):
    score = sum(weight * pixel for weight, pixel in zip(w.tolist(), x.tolist(), strict=True)) + float(b)
    return abs(score) / sum(map(abs, w.tolist()))


@smallest_eps.wrong("shape")
def for_each_pixel(w, b, x):
    return (w @ x + b).abs() / w.abs()


@smallest_eps.wrong("crash")
def product_of_rows(w, b, x):
    return (w @ x[None] + b).abs() / w.abs().sum()


@smallest_eps.wrong("formula")
def a_little_more(w, b, x):
    return 1.01 * (w @ x + b).abs() / w.abs().sum()


smallest_eps.checks(*ALL)
