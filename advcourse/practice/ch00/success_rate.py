"""Chapter 00: how often an attack succeeds."""

import torch
from torch import Tensor

from advcourse.labs.exercises import Draw
from advcourse.practice.asking import ALL
from advcourse.practice.tasks import small_exercise


def drawn_readings(draw: Draw) -> dict[str, Tensor]:
    """Eleven images: some read wrongly already, one of them cured by the attack; of the others some are fooled."""
    wrong, fooled = ((2, 3), (3, 5), (2, 6), (3, 2))[draw.integer() % 4]
    y = (10 * draw.uniform((11,))).long()
    far = 1 + torch.stack([draw.uniform((9,)).argsort()[:2] for _ in range(11)], 1)
    kind = draw.uniform((11,)).argsort()
    before = torch.where(kind < wrong, (y + far[0]) % 10, y)
    after = torch.where((kind >= wrong) & (kind < wrong + fooled), (y + far[1]) % 10, before)
    return {"before": before, "after": torch.where(kind == 0, y, after), "y": y}


@small_exercise(
    "How often it succeeds",
    5,
    "medium",
    by_hand=(
        {
            "before": torch.tensor([3, 1, 7, 0, 6]),
            "after": torch.tensor([8, 1, 1, 0, 5]),
            "y": torch.tensor([3, 1, 7, 6, 6]),
        },
        {
            "before": torch.tensor([2, 2]),
            "after": torch.tensor([2, 5]),
            "y": torch.tensor([4, 4]),
        },
    ),
    drawn=drawn_readings,
    hints=(
        "An image that is misread before anybody touches it is no success of the attack. Which images are left, then, and which "
        "of those count?",
        "right = before == y is a mask. Of after[right] and y[right], take the share that differs: .double().mean(), which "
        "is nan by itself where nothing is left.",
    ),
    shape=lambda case: (),
    praise="Right. An attack gets no credit for what was wrong already, and where nothing was right there is nothing to measure.",
    numbers="nan",
)
def success_rate(before, after, y):
    right = before == y
    return (after[right] != y[right]).double().mean()


@success_rate.slip(
    "wrong already",
    "You count images that were misread before the attack. They are no success of it: look only at those that were right.",
)
def over_all(before, after, y):
    return (after != y).double().mean()


@success_rate.slip(
    "all images below",
    "You divide by all images. Those that were misread already could not be fooled any more: divide by the number of the others.",
)
def divided_by_all(before, after, y):
    return ((before == y) & (after != y)).double().mean()


@success_rate.slip(
    "any change",
    "You count every label that changed, also where a wrong one became another, or right. Compare with y.",
)
def labels_that_changed(before, after, y):
    return (after != before).double().mean()


@success_rate.slip(
    "what is left",
    "This is the share that the network still reads rightly. Success is the attacker's view: the share that is misread.",
)
def still_right(before, after, y):
    right = before == y
    return (after[right] == y[right]).double().mean()


@success_rate.slip(
    "exchanged",
    "You choose the images by what is read after the attack. Choose those that were read rightly before it.",
)
def chosen_afterwards(before, after, y):
    right = after == y
    return (before[right] != y[right]).double().mean()


@success_rate.slip(
    "count", "This is a number of images. A rate is a share of them: take the mean, not the sum."
)
def number_of_images(before, after, y):
    return ((before == y) & (after != y)).double().sum()


@success_rate.slip(
    "per cent", "These are per cent. A rate is a share between 0 and 1: leave the factor 100 out."
)
def times_100(before, after, y):
    right = before == y
    return 100 * (after[right] != y[right]).double().mean()


@success_rate.right
def by_labels_that_changed(before, after, y):
    right = before == y
    return (after != before)[right].float().mean()


@success_rate.right
def by_counting(before, after, y):
    rows = [row for row in zip(before.tolist(), after.tolist(), y.tolist(), strict=True) if row[0] == row[2]]
    return sum(row[1] != row[2] for row in rows) / len(rows) if rows else float("nan")


success_rate.checks(*ALL)
