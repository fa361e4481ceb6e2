"""Chapter 02: how often the target is reached, and how often the model errs at all."""

import torch
from torch import Tensor

from advcourse.labs.exercises import Draw
from advcourse.practice.asking import ALL
from advcourse.practice.tasks import small_exercise


def drawn_answers(draw: Draw) -> dict[str, Tensor]:
    """What the model says of eleven images: of some the target, of some another wrong class, of some their own class."""
    hits, other = ((1, 2), (2, 3), (3, 1), (4, 2), (2, 6))[draw.integer() % 5]
    y = (10 * draw.uniform((11,))).long()
    far = 1 + torch.stack([draw.uniform((9,)).argsort()[:2] for _ in range(11)], 1)  # two other classes each
    target, third = (y + far[0]) % 10, (y + far[1]) % 10
    kind = draw.uniform((11,)).argsort()
    predicted = torch.where(kind < hits, target, torch.where(kind < hits + other, third, y))
    return {"predicted": predicted, "y": y, "target": target}


@small_exercise(
    "Two success rates",
    4,
    "easy",
    by_hand=(
        {
            "predicted": torch.tensor([8, 1, 2, 0, 5]),
            "y": torch.tensor([3, 1, 7, 0, 6]),
            "target": torch.tensor([8, 8, 8, 8, 8]),
        },
    ),
    drawn=drawn_answers,
    hints=(
        "predicted == target is a tensor of True and False, one for each image. Which comparison says that an image is read "
        "wrongly, as whatever it may be?",
        "A mean needs numbers: (predicted == target).double().mean(). The second rate is the same with predicted != y. Return "
        "both, with a comma between them.",
    ),
    shape=lambda case: (2,),
    praise="The second rate is never below the first: whoever reaches the target has been misread as well.",
)
def success_rates(predicted, y, target):
    reached = (predicted == target).double().mean()
    misread = (predicted != y).double().mean()
    return reached, misread


@success_rates.slip(
    "exchanged",
    "Both rates are right, and in the wrong order. First comes the share that reaches the target, then the share that is "
    "misread.",
)
def errors_first(predicted, y, target):
    return (predicted != y).double().mean(), (predicted == target).double().mean()


@success_rates.slip(
    "hits left out",
    "Your second rate leaves out the images that reach the target. They are misread too: an error is every answer but y.",
)
def neither_y_nor_target(predicted, y, target):
    return (predicted == target).double().mean(), ((predicted != y) & (predicted != target)).double().mean()


@success_rates.slip(
    "accuracy",
    "Your second rate counts the images that are read correctly. That is the defender's view: count those whose answer is not y.",
)
def still_right(predicted, y, target):
    return (predicted == target).double().mean(), (predicted == y).double().mean()


@success_rates.slip(
    "missed targets",
    "Your second rate counts what misses the target, and so also the images that are still read correctly. Compare with y.",
)
def not_the_target(predicted, y, target):
    return (predicted == target).double().mean(), (predicted != target).double().mean()


@success_rates.slip(
    "counts", "These are numbers of images. A rate is a share of all of them: take the mean, not the sum."
)
def sums(predicted, y, target):
    return (predicted == target).sum(), (predicted != y).sum()


@success_rates.slip(
    "per cent", "These are per cent. A rate is a share between 0 and 1: leave the factor 100 out."
)
def times_100(predicted, y, target):
    return 100 * (predicted == target).double().mean(), 100 * (predicted != y).double().mean()


@success_rates.slip(
    "among the errors",
    "Your first rate is a share of the misread images alone. Then an attack that misses nearly always can look perfect: divide "
    "by the number of all images.",
)
def hits_among_errors(predicted, y, target):
    wrong = predicted != y
    return (predicted == target)[wrong].double().mean(), wrong.double().mean()


@success_rates.slip(
    "true class and target",
    "Your first rate compares y with target, and what the model says plays no part in it. Compare predicted with target.",
)
def y_and_target(predicted, y, target):
    return (y == target).double().mean(), (predicted != y).double().mean()


@success_rates.right
def in_one_tensor(predicted, y, target):
    return torch.stack([predicted == target, predicted != y]).float().mean(dim=1)


@success_rates.right
def by_counting(predicted, y, target):
    rows = list(zip(predicted.tolist(), y.tolist(), target.tolist(), strict=True))
    hits = sum(said == aim for said, _, aim in rows)
    return hits / len(rows), 1 - sum(said == true for said, true, _ in rows) / len(rows)


@success_rates.wrong("crash")
def mean_of_true_and_false(predicted, y, target):
    return (predicted == target).mean(), (predicted != y).mean()


@success_rates.wrong("shape")
def one_rate(predicted, y, target):
    return (predicted == target).double().mean()


success_rates.checks(*ALL)
