"""Lab 4: the destruction rate of attacks under transformations, and what these cost in accuracy.

All that says whether the model is right is bool: True where it gives the true label.
"""

import math

import torch
from torch import Tensor

from advcourse.labs.comparing import NUMBERS, gives
from advcourse.labs.exercises import Case, Draw, Task, exercise
from advcourse.labs.lab4.questions import FIRST, LAST
from advcourse.labs.properties import other_amount


def transformed(draw: Draw, x: Tensor | None, n: int = 80, number: int = 3) -> dict[str, Tensor]:
    """Answers before and after so many transformations, of which the first is gentle and the third is harsh."""
    harm = torch.tensor([0.05, 0.2, 0.45, 0.1])[:number, None]
    clean = draw.uniform((n,)) < 0.85
    attacked = draw.uniform((n,)) < torch.where(clean, 0.3, 0.05)
    clean_after = torch.where(clean, draw.uniform((number, n)) > harm, draw.uniform((number, n)) < 0.3)
    back = torch.where(attacked, 0.9, torch.where(clean, 0.2 + harm, 0.1))
    attacked_after = draw.uniform((number, n)) < back
    return {
        "clean": clean,
        "attacked": attacked,
        "clean_after": clean_after,
        "attacked_after": attacked_after,
    }


def share(after, among):
    return after[:, among].double().mean(1)


def rows(destroyed, clean_after):
    return torch.stack([destroyed, clean_after.double().mean(1)])


@exercise(
    "Does it last?",
    3,
    transformed,
    (
        "Both sums run over the same images: those that were right, and that the attack fooled. That is a mask (N,): clean & "
        "~attacked.",
        "attacked_after[:, fooled] keeps these images in all rows. It holds True where the model is right again.",
        "destroyed = attacked_after[:, fooled].double().mean(1); accuracy = clean_after.double().mean(1); return "
        "torch.stack([destroyed, accuracy]).",
    ),
    shape=lambda case: (2, len(case["clean_after"])),
    numbers="nan",
)
def destruction(clean, attacked, clean_after, attacked_after):
    return rows(share(attacked_after, clean & ~attacked), clean_after)


@destruction.slip(
    "survival",
    "The first row is the share that survives. Destroyed are those that the transformation makes right again: 1 minus yours.",
)
def still_fools(clean, attacked, clean_after, attacked_after):
    return destruction(clean, attacked, clean_after, ~attacked_after)


@destruction.slip(
    "old mistakes",
    "Images count that the model got wrong without an attack. There was nothing to destroy. The sums hold C(x) as well.",
)
def clean_unused(clean, attacked, clean_after, attacked_after):
    return rows(share(attacked_after, ~attacked), clean_after)


@destruction.slip(
    "attacks that failed",
    "Attacks that never fooled the model count as destroyed. Both sums hold 1 - C(x'): take only what was fooled before.",
)
def attacked_unused(clean, attacked, clean_after, attacked_after):
    return rows(share(attacked_after, clean), clean_after)


@destruction.slip(
    "failures above the line",
    "Above the fraction line attacks count that never fooled the model. Both sums hold 1 - C(x').",
)
def bar_forgotten_above(clean, attacked, clean_after, attacked_after):
    return rows((clean & attacked_after).sum(1) / (clean & ~attacked).sum(), clean_after)


@destruction.slip(
    "all images",
    "The first row is the accuracy on all attacked images after the transformation. Take only those that were right, and fooled.",
)
def accuracy_of_both(clean, attacked, clean_after, attacked_after):
    return rows(attacked_after.double().mean(1), clean_after)


@destruction.slip(
    "divided by all",
    "The destroyed ones are divided by all N images. Divide them by those that were right, and fooled.",
)
def over_n(clean, attacked, clean_after, attacked_after):
    return rows((clean & ~attacked & attacked_after).double().mean(1), clean_after)


@destruction.slip(
    "right after the transformation",
    "Images count by what the model says of them, clean, after the transformation. C(x) is about the image as it is.",
)
def other_clean_images(clean, attacked, clean_after, attacked_after):
    fooled = clean_after & ~attacked
    return rows((fooled & attacked_after).sum(1) / fooled.sum(1), clean_after)


@destruction.slip(
    "transformations mixed",
    "All transformations get the same destruction rate. Each has its own: sum along the images, dim=1.",
)
def one_rate_for_all(clean, attacked, clean_after, attacked_after):
    return rows(share(attacked_after, clean & ~attacked).mean().repeat(len(clean_after)), clean_after)


@destruction.slip(
    "rows swapped",
    "The accuracies stand in the first row and the destruction rates in the second. It is the other way round.",
)
def accuracy_first(clean, attacked, clean_after, attacked_after):
    return destruction(clean, attacked, clean_after, attacked_after).flip(0)


@destruction.slip(
    "accuracy before",
    "The second row is the accuracy without the transformation. What does the transformation do to clean images?",
)
def clean_accuracy(clean, attacked, clean_after, attacked_after):
    return destruction(clean, attacked, clean.expand_as(clean_after), attacked_after)


@destruction.slip(
    "accuracy of those that were right",
    "The second row leaves out the clean images that were wrong before. It is the accuracy on all N, as anyone who puts the "
    "transformation before his model would get it.",
)
def kept(clean, attacked, clean_after, attacked_after):
    return destruction(clean, attacked, clean_after[:, clean], attacked_after)


@destruction.slip(
    "accuracy of the fooled",
    "The second row is about the images alone that the attack fooled. It is the accuracy on all N clean images.",
)
def of_the_same_images(clean, attacked, clean_after, attacked_after):
    return destruction(clean, attacked, clean_after[:, clean & ~attacked], attacked_after)


@destruction.slip(
    "loss of accuracy",
    "The second row is the accuracy that is lost. It is the accuracy that is left: clean_after, averaged.",
)
def what_it_costs(clean, attacked, clean_after, attacked_after):
    destroyed, accuracy = destruction(clean, attacked, clean_after, attacked_after)
    return torch.stack([destroyed, clean.double().mean() - accuracy])


@destruction.slip(
    "0 for none",
    "Nothing was fooled, so nothing can be destroyed, and yet the rate is 0: as if the attack had survived. It is NaN, 0 / 0.",
)
def nan_is_zero(clean, attacked, clean_after, attacked_after):
    return destruction(clean, attacked, clean_after, attacked_after).nan_to_num(0.0)


@destruction.slip(
    "1 for none",
    "Nothing was fooled, so nothing can be destroyed, and yet the rate is 1. It is NaN, 0 / 0.",
)
def nan_is_one(clean, attacked, clean_after, attacked_after):
    return destruction(clean, attacked, clean_after, attacked_after).nan_to_num(1.0)


@destruction.right
def with_the_papers_sums(clean, attacked, clean_after, attacked_after):
    c, bar, again = clean.float(), 1 - attacked.float(), attacked_after.float()
    return torch.stack([(c * bar * again).sum(1) / (c * bar).sum(), clean_after.float().mean(1)])


@destruction.right
def image_by_image(clean, attacked, clean_after, attacked_after):
    found = [[], []]
    for before, after in zip(clean_after.tolist(), attacked_after.tolist()):
        again = [a for c, b, a in zip(clean.tolist(), attacked.tolist(), after) if c and not b]
        found[0].append(sum(again) / len(again) if again else math.nan)
        found[1].append(sum(before) / len(before))
    return torch.tensor(found, device=clean.device)


@destruction.wrong("formula")
def harmed_images_left_out(clean, attacked, clean_after, attacked_after):
    fooled = clean & ~attacked & clean_after
    return rows((fooled & attacked_after).sum(1) / fooled.sum(1), clean_after)


@destruction.wrong("shape")
def destruction_alone(clean, attacked, clean_after, attacked_after):
    return share(attacked_after, clean & ~attacked)


@destruction.wrong("type")
def a_pair(clean, attacked, clean_after, attacked_after):
    return tuple(destruction(clean, attacked, clean_after, attacked_after))


@destruction.wrong("input")
def negated_in_place(clean, attacked, clean_after, attacked_after):
    return rows(share(attacked_after, clean & attacked.logical_not_()), clean_after)


@destruction.wrong("crash")
def minus_of_bools(clean, attacked, clean_after, attacked_after):
    return rows(share(attacked_after, clean * (1 - attacked)), clean_after)


@destruction.wrong("other amount")
def three_of_them(clean, attacked, clean_after, attacked_after):
    fooled = clean & ~attacked
    destroyed = torch.stack([attacked_after[t, fooled].double().mean() for t in range(3)])
    return torch.stack([destroyed, torch.stack([clean_after[t].double().mean() for t in range(3)])])


def two_transformations(task: Task, draw: Draw) -> Case:
    return task.case(draw, **transformed(draw, None, number=2))


def three_and_four(task: Task, draw: Draw) -> tuple[Case, Case]:
    return task.case(draw), task.case(draw, **transformed(draw, None, number=4))


def nothing_fooled(task: Task, draw: Draw) -> Case:
    case = task.case(draw)
    return case.but(attacked=case["attacked"] | case["clean"])


destruction.checks(
    *FIRST,
    other_amount("It works for three transformations and fails for two.", two_transformations),
    gives(destruction, NUMBERS, make=three_and_four),
    gives(destruction, NUMBERS, ("0 for none", "1 for none"), make=nothing_fooled),
    *LAST,
)
