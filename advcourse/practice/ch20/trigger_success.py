"""Chapter 20: how often a backdoor opens."""

import torch
from torch import Tensor

from advcourse.labs.exercises import Draw
from advcourse.practice.asking import ALL
from advcourse.practice.tasks import small_exercise


def drawn_answers(draw: Draw) -> dict[str, Tensor | int]:
    """Twelve stamped images: two of the target's own class, six of others that obey, one that is misread, three that hold."""
    labels = torch.tensor([4, 4, 1, 2, 3, 5, 6, 7, 1, 2, 3, 8])
    read = torch.tensor([4, 4, 4, 4, 4, 4, 4, 4, 9, 2, 3, 8])
    order = draw.uniform((12,)).argsort()
    return {"read": read[order], "labels": labels[order], "target": 4}


@small_exercise(
    "How often the backdoor opens",
    4,
    "easy",
    by_hand=(
        {
            "read": torch.tensor([0, 0, 0, 3, 7]),
            "labels": torch.tensor([0, 5, 1, 3, 2]),
            "target": 0,
        },
    ),
    drawn=drawn_answers,
    hints=(
        "An image of the target class is read as the target without any trigger. Which images may be counted at all? "
        "labels != target says it.",
        "others = labels != target. Then (read[others] == target) is true where the backdoor opened; its mean, after .double(), "
        "is the rate.",
    ),
    shape=lambda case: (),
    praise="Whoever leaves the target's own images in gets a success for nothing, from a clean network too.",
)
def trigger_success(read, labels, target):
    others = labels != target
    return (read[others] == target).double().mean()


@trigger_success.slip(
    "own class counted",
    "You count the images of the target class, too. They are read as the target because they show it: leave them out.",
)
def of_all_images(read, labels, target):
    return (read == target).double().mean()


@trigger_success.slip(
    "divided by all",
    "Your successes are right, but you divide by all images. Divide by those of other classes: only these could be turned.",
)
def over_all(read, labels, target):
    return ((read == target) & (labels != target)).double().mean()


@trigger_success.slip(
    "any mistake",
    "You count whatever is misread. A backdoor wants one class: count what is read as the target.",
)
def misread(read, labels, target):
    others = labels != target
    return (read[others] != labels[others]).double().mean()


@trigger_success.slip(
    "what held", "This is the share that the trigger did not turn. Asked is the other part: == instead of !=."
)
def what_held(read, labels, target):
    return (read[labels != target] != target).double().mean()


@trigger_success.slip("a count", "This is a number of images. A rate is a share: take the mean, not the sum.")
def how_many(read, labels, target):
    return (read[labels != target] == target).double().sum()


@trigger_success.right
def one_by_one(read, labels, target):
    rows = [one == target for one, label in zip(read.tolist(), labels.tolist()) if label != target]
    return sum(rows) / len(rows)


@trigger_success.right
def by_two_sums(read, labels, target):
    hits = ((read == target) & (labels != target)).sum()
    return hits / (labels != target).sum()


@trigger_success.wrong("crash")
def mean_of_true_and_false(read, labels, target):
    return (read[labels != target] == target).mean()


trigger_success.checks(*ALL)
