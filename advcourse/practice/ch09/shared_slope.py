"""Chapter 09: the slope that all photographs of a person agree on."""

from typing import Any

import torch

from advcourse.labs.exercises import Draw
from advcourse.practice.asking import ALL, rounded
from advcourse.practice.tasks import small_exercise


def drawn_slopes(draw: Draw) -> dict[str, Any]:
    """Three photographs, three cells of the frame: the first has steep slopes, the last one gentle ones; no row is zero."""
    sizes = torch.tensor([[4.0], [1.0], [0.2]])
    signs = torch.where(draw.uniform((3, 3)) < 0.5, -1.0, 1.0)
    return {"slopes": rounded(sizes * signs * (0.3 + 0.7 * draw.uniform((3, 3))))}


@small_exercise(
    "One frame for all photographs",
    4,
    "medium",
    by_hand=(
        {"slopes": torch.tensor([[4.0, -2.0], [-0.1, -0.2]])},
        {"slopes": torch.tensor([[0.25, -0.5], [-2.0, 1.0]])},
    ),
    drawn=drawn_slopes,
    hints=(
        "First make the rows comparable: divide each row by its own largest size. slopes.abs().amax(1, keepdim=True) gives these "
        "sizes, one in each row.",
        "Then .mean(0) takes the average over the photographs, cell by cell.",
    ),
    shape=lambda case: case.arguments["slopes"].shape[1:],
    praise="Each photograph has one vote of the same weight, however loud its network shouts.",
)
def shared_slope(slopes):
    return (slopes / slopes.abs().amax(1, keepdim=True)).mean(0)


@shared_slope.slip(
    "not normalised",
    "You take the mean of the slopes as they are, so that the photograph with the steepest slopes decides alone. Divide each row "
    "by its largest size first.",
)
def plain_mean(slopes):
    return slopes.mean(0)


@shared_slope.slip(
    "sum",
    "This is the sum over the photographs. Take the mean, or the step grows with the number of photographs.",
)
def total(slopes):
    return (slopes / slopes.abs().amax(1, keepdim=True)).sum(0)


@shared_slope.slip(
    "one size for all",
    "You divide by the largest size of all rows together, so that the loud one stays loud. Each row has its own.",
)
def one_size(slopes):
    return (slopes / slopes.abs().max()).mean(0)


@shared_slope.slip(
    "divided too late",
    "You take the mean first and divide then. By then the steep photograph has decided. Divide each row, then take the mean.",
)
def late(slopes):
    mean = slopes.mean(0)
    return mean / mean.abs().max()


@shared_slope.slip(
    "largest, not largest size",
    "You divide by the largest slope, whatever its sign. A row whose steepest slope is below 0 needs its size: abs() first.",
)
def without_abs(slopes):
    return (slopes / slopes.amax(1, keepdim=True)).mean(0)


@shared_slope.slip(
    "signs", "You keep only the signs. A cell that hardly matters gets as much as the steepest one."
)
def signs(slopes):
    return slopes.sign().mean(0)


@shared_slope.slip(
    "wrong direction",
    "You average over the cells of each photograph. Asked is one number for each cell, averaged over the photographs: mean(0).",
)
def over_cells(slopes):
    return (slopes / slopes.abs().amax(1, keepdim=True)).mean(1)


@shared_slope.right
def one_by_one(slopes):
    return sum(row / max(abs(value) for value in row.tolist()) for row in slopes) / len(slopes)


@shared_slope.right
def with_max(slopes):
    return (slopes / slopes.abs().max(dim=1).values[:, None]).mean(dim=0)


@shared_slope.wrong("crash")
def keepdims(slopes):
    return (slopes / slopes.abs().max(1, keepdim=True)).mean(0)


shared_slope.checks(*ALL)
