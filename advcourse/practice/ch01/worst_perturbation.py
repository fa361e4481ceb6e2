"""Chapter 01: the change within a budget that lowers a linear score most."""

from typing import Any

import torch

from advcourse.labs.exercises import Draw
from advcourse.practice.asking import ALL, slopes
from advcourse.practice.tasks import small_exercise


def drawn_weights(draw: Draw) -> dict[str, Any]:
    """Five weights of both signs, and a budget."""
    return {"w": slopes(draw, 5), "eps": draw.number(0.05, 0.3)}


@small_exercise(
    "The worst change of a linear score",
    3,
    "easy",
    by_hand=({"w": torch.tensor([2.0, -0.5, 0.1]), "eps": 0.1},),
    drawn=drawn_weights,
    hints=(
        "The pixels do not disturb each other: w·x is a sum. Take one pixel alone. If its weight is 2, which change between "
        "-eps and eps lowers the score most? And if it is -0.5?",
        "Every pixel goes the whole way, down where its weight is positive and up where it is negative: minus eps times the "
        "sign of w.",
    ),
    shape=lambda case: tuple(case["w"].shape),
    praise="Every pixel spends the whole eps, however small its weight; that is why many pixels make a small eps mighty.",
)
def worst_perturbation(w, eps):
    return -eps * w.sign()


@worst_perturbation.slip(
    "raises the score",
    "This change raises the score most. The other way, each pixel against its weight, lowers it.",
)
def along_the_weights(w, eps):
    return eps * w.sign()


@worst_perturbation.slip(
    "follows the weights",
    "A pixel with a small weight moves less here, and one with a large weight may move by more than eps. The limit is the same "
    "for each pixel, and each gains by using all of it: only the sign of its weight counts.",
)
def minus_the_weights(w, eps):
    return -eps * w


@worst_perturbation.slip(
    "worst in L2",
    "That is the worst change of the length eps, the answer for an L2 ball. In the L∞ ball each pixel may move by eps by itself.",
)
def unit_vector(w, eps):
    return -eps * w / w.norm()


@worst_perturbation.slip(
    "scaled by the largest",
    "Only the pixel with the largest weight uses up its eps. The others have one too, and it costs nothing to use it.",
)
def over_the_largest(w, eps):
    return -eps * w / w.abs().max()


@worst_perturbation.slip(
    "one pixel",
    "You change only the pixel with the largest weight. Each of the others could lower the score too, by eps times its own "
    "weight.",
)
def only_the_strongest(w, eps):
    change = torch.zeros_like(w)
    strongest = w.abs().argmax()
    change[strongest] = -eps * w[strongest].sign()
    return change


@worst_perturbation.slip(
    "all down",
    "Every pixel gets darker. Where the weight is negative that raises the score: there the pixel must get lighter.",
)
def darker_everywhere(w, eps):
    return torch.full_like(w, -eps)


@worst_perturbation.slip(
    "positive weights only",
    "Pixels with a negative weight stay as they are. They can lower the score as well, by getting lighter.",
)
def where_positive(w, eps):
    return -eps * (w > 0).to(w.dtype)


@worst_perturbation.slip(
    "size of the weights",
    "With the absolute value of w every pixel moves in the same direction, and by another amount. You need its sign, not its "
    "size.",
)
def absolute_values(w, eps):
    return -eps * w.abs()


@worst_perturbation.slip(
    "without eps",
    "These are the right directions, one unit long. The budget is eps: that is how far each pixel may go.",
)
def signs_alone(w, eps):
    return -w.sign()


@worst_perturbation.slip(
    "added to the weights",
    "This is the change added to the weights. The weights stay as they are: return the change alone.",
)
def weights_moved(w, eps):
    return w - eps * w.sign()


@worst_perturbation.slip(
    "eps shared out",
    "You share eps out among the pixels. They need not share it: each of them may move by the whole eps.",
)
def divided_by_their_number(w, eps):
    return -eps * w.sign() / len(w)


@worst_perturbation.right
def with_where(w, eps):
    return torch.where(w > 0, -eps, eps)


@worst_perturbation.right
def weight_by_weight(w, eps):
    return torch.tensor([-eps if weight > 0 else eps for weight in w.tolist()])


@worst_perturbation.wrong("shape")
def the_change_of_the_score(w, eps):
    return -eps * w.abs().sum()


@worst_perturbation.wrong("crash")
def sign_as_a_function(w, eps):
    return -eps * sign(w)  # noqa: F821


@worst_perturbation.wrong("formula")
def half_of_it(w, eps):
    return -0.5 * eps * w.sign()


worst_perturbation.checks(*ALL)
