"""Chapter 21: at which moments of a game an attack is worth its while."""

from typing import Any

import torch

from advcourse.labs.exercises import Draw
from advcourse.practice.asking import ALL
from advcourse.practice.tasks import small_exercise


def drawn_moments(draw: Draw) -> dict[str, Any]:
    """Eight moments of a game with three moves, in sixteenths: sure ones, torn ones, and such as only their best move, their two
    best moves or the mean gives away."""
    rows = torch.tensor(
        [[12, 4, 0], [8, 8, 0], [6, 5, 5], [7, 5, 4], [9, 4, 3], [14, 1, 1], [9, 6, 1], [10, 3, 3]]
    )
    rows = rows[draw.uniform((8,)).argsort()]
    moves = draw.uniform((3,)).argsort()
    return {"probabilities": rows[:, moves] / 16, "gap": (6.5 + draw.integer() % 2) / 16}


@small_exercise(
    "When to strike",
    4,
    "easy",
    by_hand=({"probabilities": torch.tensor([[0.75, 0.25], [0.5, 0.5]]), "gap": 0.25},),
    drawn=drawn_moments,
    hints=(
        "A moment matters if the player would regret the wrong move: it prefers its best move to its worst by a lot. Which two "
        "numbers of a row do you need?",
        "probabilities.amax(1) is the best move of each moment, amin(1) the worst. Their difference must be above gap.",
    ),
    shape=lambda case: (len(case["probabilities"]),),
    praise="The player itself has told you when it is worth attacking.",
    numbers="whole",
)
def worth_attacking(probabilities, gap):
    return probabilities.amax(1) - probabilities.amin(1) > gap


@worth_attacking.slip(
    "best move alone",
    "You look at the best move alone. What counts is how far it is above the worst: subtract amin(1).",
)
def sure_of_the_best(probabilities, gap):
    return probabilities.amax(1) > gap


@worth_attacking.slip(
    "two best",
    "You compare the two best moves. The attacker would like the WORST one to be made: take amin(1).",
)
def two_best(probabilities, gap):
    best = probabilities.topk(2, dim=1).values
    return best[:, 0] - best[:, 1] > gap


@worth_attacking.slip(
    "the calm moments",
    "You strike where the moves are about equally good, and nothing is to be won. It is > gap, not <.",
)
def where_nothing_matters(probabilities, gap):
    return probabilities.amax(1) - probabilities.amin(1) < gap


@worth_attacking.slip(
    "wrong dimension",
    "You go through the moments and not through the moves. Each row is a moment: dimension 1 holds its moves.",
)
def over_all_moments(probabilities, gap):
    wide = (probabilities.amax(0) - probabilities.amin(0)).amax() > gap
    return wide.repeat(len(probabilities))


@worth_attacking.slip(
    "mean",
    "You compare the best move with the mean. The attacker would like the worst one to be made: take amin(1).",
)
def above_the_mean(probabilities, gap):
    return probabilities.amax(1) - probabilities.mean(1) > gap


@worth_attacking.right
def sorted_rows(probabilities, gap):
    rows = probabilities.sort(dim=1).values
    return rows[:, -1] - rows[:, 0] > gap


@worth_attacking.right
def one_by_one(probabilities, gap):
    return torch.tensor([max(row) - min(row) > gap for row in probabilities.tolist()])


@worth_attacking.wrong("crash")
def of_pairs(probabilities, gap):
    return probabilities.max(1) - probabilities.min(1) > gap


worth_attacking.checks(*ALL)
