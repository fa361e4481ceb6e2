"""Chapter 03: what several runs of an attack reach together."""

from typing import Any

import torch

from advcourse.labs.exercises import Draw
from advcourse.practice.asking import ALL
from advcourse.practice.tasks import small_exercise

RUNS = ((0, 1, 2, 3), (0, 1, 3, 4, 5, 6), (0, 1, 6, 7), (0, 1, 2, 4, 5))  # the images that each of them fools


def drawn_runs(draw: Draw) -> dict[str, Any]:
    """Four runs on eleven images. Two images fall in every run and three in none; a middle run is the best."""
    fallen = torch.zeros(4, 11, dtype=torch.bool)
    for run, images in zip(fallen, RUNS, strict=True):
        run[list(images)] = True
    if draw.integer() % 2:
        fallen[1:3] = fallen[1:3].flip(0)
    return {"fooled": fallen[:, draw.uniform((11,)).argsort()]}


@small_exercise(
    "Several runs together",
    4,
    "easy",
    by_hand=({"fooled": torch.tensor([[True, False], [False, True]])},),
    drawn=drawn_runs,
    hints=(
        "An image falls as soon as one run fools it. So for each image, a column, ask whether any of its entries is True.",
        "fooled.any(0) goes down the columns and leaves one True or False for each image. What share of them is True?",
    ),
    shape=lambda case: (),
    praise="Right. The worst case of each image first, and the mean over the images after it: the order decides.",
)
def worst_case_rate(fooled):
    return fooled.any(0).double().mean()


@worst_case_rate.slip(
    "mean of the runs",
    "This is the mean of the runs' rates. It says how good one run is, and flatters the model: the attacker keeps whatever any "
    "of the runs has found.",
)
def all_entries(fooled):
    return fooled.double().mean()


@worst_case_rate.slip(
    "best run",
    "This is the rate of the best single run. Another run may have fooled images that this one did not: ask for each image by "
    "itself.",
)
def one_run_for_all(fooled):
    return fooled.double().mean(1).max()


@worst_case_rate.slip(
    "every run", "You count an image only if every run fools it. One is enough: any, not all."
)
def in_all_runs(fooled):
    return fooled.all(0).double().mean()


@worst_case_rate.slip(
    "other direction",
    "You ask of each run whether it fooled any image. The rows are runs and the columns images: go down the columns, any(0).",
)
def along_the_rows(fooled):
    return fooled.any(1).double().mean()


@worst_case_rate.slip(
    "survivors",
    "This is the share of the images that no run has fooled. That is the defender's number; here it is one minus this.",
)
def left_standing(fooled):
    return 1 - fooled.any(0).double().mean()


@worst_case_rate.slip("count", "This is a number of images. A rate is a share of all images: take the mean.")
def how_many(fooled):
    return fooled.any(0).double().sum()


@worst_case_rate.slip("per cent", "This is per cent. A rate lies between 0 and 1: leave the factor 100 out.")
def times_100(fooled):
    return 100 * fooled.any(0).double().mean()


@worst_case_rate.slip("first run", "You look at the first run only. The others may have found more.")
def the_first(fooled):
    return fooled[0].double().mean()


@worst_case_rate.slip("last run", "You look at the last run only. What the earlier ones found would be lost.")
def the_last(fooled):
    return fooled[-1].double().mean()


@worst_case_rate.slip(
    "every time counts",
    "You count an image as often as it falls. However many runs fool it, it is one image: any(0) before you add up.",
)
def as_often_as_it_falls(fooled):
    return fooled.double().sum(0).mean()


@worst_case_rate.slip(
    "divided by the runs",
    "You divide by the number of runs, len(fooled). It is a share of the images: divide by the number of columns.",
)
def by_the_number_of_rows(fooled):
    return fooled.any(0).double().sum() / len(fooled)


@worst_case_rate.slip(
    "divided by all entries",
    "You divide by all entries of the table. It is a share of the images: divide by the number of columns.",
)
def by_all_entries(fooled):
    return fooled.any(0).double().sum() / fooled.numel()


@worst_case_rate.right
def by_the_largest(fooled):
    return fooled.double().amax(0).mean()


@worst_case_rate.right
def image_by_image(fooled):
    columns = fooled.T.tolist()
    return sum(any(column) for column in columns) / len(columns)


@worst_case_rate.wrong("crash")
def mean_of_true_and_false(fooled):
    return fooled.any(0).mean()


@worst_case_rate.wrong("shape")
def of_each_run(fooled):
    return fooled.double().mean(1)


worst_case_rate.checks(*ALL)
