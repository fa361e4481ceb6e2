"""Chapter 21: which substitutes the polarity guard lets through."""

from typing import Any

import torch

from advcourse.labs.exercises import Draw
from advcourse.practice.asking import ALL
from advcourse.practice.tasks import small_exercise


def drawn_valences(draw: Draw) -> dict[str, Any]:
    """A rated word and six substitutes: two alike, one unrated, one of the other sign and near, one far, one of the other sign
    and far. The order is drawn, and so is the sign."""
    own = 0.75 + 0.25 * (draw.integer() % 2)  # 0.75 or 1
    shifts = torch.tensor([0.5, -0.5, -own, -own - 0.25, 1.75, -own - 2.0])
    others = own + shifts[draw.uniform((6,)).argsort()]
    sign = 1.0 if draw.integer() % 2 else -1.0
    return {"own": sign * own, "others": sign * others, "most": 1.5}


@small_exercise(
    "The polarity guard",
    4,
    "easy",
    by_hand=(
        {"own": -2.5, "others": torch.tensor([-1.5, 0.0, 0.5, -0.5]), "most": 1.5},
        {"own": 0.5, "others": torch.tensor([1.0, -0.25, 3.0, 0.0]), "most": 1.5},
    ),
    drawn=drawn_valences,
    hints=(
        "Two conditions, and both must hold: no change of sign, and no large distance. A neutral word, 0, has no sign to change.",
        "own * others is negative exactly if the signs are opposite. So: (own * others >= 0) & ((own - others).abs() <= most).",
    ),
    shape=lambda case: (len(case["others"]),),
    praise="Two lines of arithmetic, and praise can no longer become blame by way of the dictionary.",
    numbers="whole",
)
def keeps_polarity(own, others, most):
    return (own * others >= 0) & ((own - others).abs() <= most)


@keeps_polarity.slip(
    "sign forgotten",
    "You ask for the distance alone. Half a point of praise and half a point of blame are near, and opposite.",
)
def only_near(own, others, most):
    return (own - others).abs() <= most


@keeps_polarity.slip(
    "distance forgotten",
    "You ask for the sign alone. A little good may then become superb: the distance must be at most `most`.",
)
def only_sign(own, others, most):
    return own * others >= 0


@keeps_polarity.slip(
    "neutral words",
    "You turn down neutral words, of valence 0. They have no sign that could be opposite: >= 0 instead of > 0.",
)
def strictly_same(own, others, most):
    return (own * others > 0) & ((own - others).abs() <= most)


@keeps_polarity.slip(
    "either", "You let a word through if one of the conditions holds. It takes both: & instead of |."
)
def one_of_both(own, others, most):
    return (own * others >= 0) | ((own - others).abs() <= most)


@keeps_polarity.slip("the forbidden ones", "You return what the guard stops. Asked is what it lets through.")
def stopped(own, others, most):
    return (own * others < 0) | ((own - others).abs() > most)


@keeps_polarity.slip(
    "size of the new word",
    "You compare the valence of the new word with `most`. It is the distance of the two words that counts.",
)
def not_too_strong(own, others, most):
    return (own * others >= 0) & (others.abs() <= most)


@keeps_polarity.right
def with_signs(own, others, most):
    opposite = (others.sign() * (1 if own > 0 else -1 if own < 0 else 0)) < 0
    return ~opposite & (others >= own - most) & (others <= own + most)


@keeps_polarity.right
def one_by_one(own, others, most):
    kept = [not (own > 0 > o or own < 0 < o) and abs(own - o) <= most for o in others.tolist()]
    return torch.tensor(kept)


@keeps_polarity.wrong("crash")
def joined_by_and(own, others, most):
    return own * others >= 0 and (own - others).abs() <= most


keeps_polarity.checks(*ALL)
