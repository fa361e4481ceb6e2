"""Chapter 08: the share of the successful attacks that a photograph undoes."""

import math
from typing import Any

import torch

from advcourse.labs.exercises import Draw
from advcourse.practice.asking import ALL
from advcourse.practice.tasks import small_exercise

FATES = (  # right before, right when attacked, right in the photograph: images of each kind
    ((True, False, True), 2),
    ((True, False, False), 3),
    ((True, True, True), 4),
    ((True, True, False), 1),
    ((False, False, True), 2),
    ((False, False, False), 1),
    ((False, True, True), 1),
    ((False, True, False), 1),
)


def drawn_fates(draw: Draw) -> dict[str, Any]:
    """Fifteen images in any order: five were fooled, of which two are right again, and five were misread to begin with."""
    rows = torch.tensor([fate for fate, number in FATES for _ in range(number)])
    rows = rows[draw.uniform((len(rows),)).argsort()]
    return {"clean_right": rows[:, 0], "attacked_right": rows[:, 1], "after_right": rows[:, 2]}


@small_exercise(
    "Destroyed",
    5,
    "medium",
    by_hand=(
        {
            "clean_right": torch.tensor([True, True, True, True, False]),
            "attacked_right": torch.tensor([False, False, False, True, False]),
            "after_right": torch.tensor([True, False, False, True, True]),
        },
        {
            "clean_right": torch.tensor([True, True]),
            "attacked_right": torch.tensor([True, True]),
            "after_right": torch.tensor([True, False]),
        },
    ),
    drawn=drawn_fates,
    hints=(
        "First find the images on which the attack succeeded: right before, and wrong when attacked. Of these, which share is "
        "right in the photograph?",
        "fooled = clean_right & ~attacked_right is True for them, and after_right[fooled] keeps their photographs. The mean of "
        "nothing is NaN, which is what you want.",
    ),
    shape=lambda case: (),
    praise="Right. The same images above and below the line, and NaN where nothing had been fooled.",
    numbers="nan",
)
def destroyed(clean_right, attacked_right, after_right):
    fooled = clean_right & ~attacked_right
    return after_right[fooled].double().mean()


@destroyed.slip(
    "survival", "This is the share that survives. Destroyed are those whose photograph is read rightly again."
)
def survived(clean_right, attacked_right, after_right):
    return (~after_right[clean_right & ~attacked_right]).double().mean()


@destroyed.slip(
    "over all",
    "You divide by all images. An attack that fooled nobody would then be destroyed in 0 % of the cases: divide by those that "
    "were fooled.",
)
def of_all(clean_right, attacked_right, after_right):
    return (clean_right & ~attacked_right & after_right).double().mean()


@destroyed.slip(
    "misread before",
    "You also count images that were misread before anybody attacked them. Nothing was won there that a photograph could undo.",
)
def whoever_is_wrong(clean_right, attacked_right, after_right):
    return after_right[~attacked_right].double().mean()


@destroyed.slip(
    "of the clean",
    "You divide by all images that were right before. On some of them the attack failed, and a failure cannot be destroyed.",
)
def of_those_right_before(clean_right, attacked_right, after_right):
    return after_right[clean_right].double().mean()


@destroyed.slip(
    "photographs alone",
    "This is the share of all photographs that are read rightly. Which of them had been fooled before?",
)
def right_afterwards(clean_right, attacked_right, after_right):
    return after_right.double().mean()


@destroyed.slip(
    "0 for nothing",
    "Where no attack succeeded you say 0: nothing was destroyed, which sounds as if the attack survived. Of nothing there is no "
    "share, and the honest answer is NaN.",
)
def zero_of_nothing(clean_right, attacked_right, after_right):
    fooled = clean_right & ~attacked_right
    return (fooled & after_right).double().sum() / fooled.sum().clamp(min=1)


@destroyed.slip("count", "This is a number of images. A rate is a share of those that were fooled.")
def how_many(clean_right, attacked_right, after_right):
    return (clean_right & ~attacked_right & after_right).double().sum()


@destroyed.slip("per cent", "This is per cent. A rate lies between 0 and 1: leave the factor 100 out.")
def times_100(clean_right, attacked_right, after_right):
    return 100 * after_right[clean_right & ~attacked_right].double().mean()


@destroyed.right
def as_the_paper_writes_it(clean_right, attacked_right, after_right):
    fooled = clean_right.double() * (1 - attacked_right.double())
    return (fooled * after_right.double()).sum() / fooled.sum()


@destroyed.right
def image_by_image(clean_right, attacked_right, after_right):
    rows = zip(clean_right.tolist(), attacked_right.tolist(), after_right.tolist(), strict=True)
    again = [after for clean, attacked, after in rows if clean and not attacked]
    return sum(again) / len(again) if again else math.nan


@destroyed.right
def one_minus_survival(clean_right, attacked_right, after_right):
    return 1 - (~after_right)[clean_right & ~attacked_right].double().mean()


@destroyed.wrong("crash")
def mean_of_true_and_false(clean_right, attacked_right, after_right):
    return after_right[clean_right & ~attacked_right].mean()


@destroyed.slip(
    "changed either way",
    "You count every image whose reading the attack changed, also one that was misread before and is right when attacked. That "
    "is no success: right before, and wrong when attacked.",
)
def changed(clean_right, attacked_right, after_right):
    return after_right[clean_right != attacked_right].double().mean()


@destroyed.wrong("shape")
def image_for_image(clean_right, attacked_right, after_right):
    return (clean_right & ~attacked_right & after_right).double()


destroyed.checks(*ALL)
