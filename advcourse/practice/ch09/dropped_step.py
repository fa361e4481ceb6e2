"""Chapter 09: a step of a colour that would leave the range is dropped."""

from typing import Any

import torch

from advcourse.labs.exercises import Draw
from advcourse.practice.asking import ALL, rounded
from advcourse.practice.tasks import small_exercise


def drawn_colours(draw: Draw) -> dict[str, Any]:
    """Six colours: the first two would leave the range below, the next above, the last three stay inside."""
    colours = torch.tensor([0.05, 0.12, 0.93, 0.4, 0.5, 0.6]) + rounded(0.04 * draw.uniform((6,)))
    step = torch.tensor([0.3, 0.2, -0.2, 0.2, -0.2, 0.1]) + rounded(0.04 * draw.uniform((6,)))
    order = draw.uniform((6,)).argsort()
    return {"colours": colours[order], "step": step[order]}


@small_exercise(
    "A step that is dropped",
    3,
    "easy",
    by_hand=(
        {"colours": torch.tensor([0.1, 0.5, 0.9]), "step": torch.tensor([0.3, 0.2, -0.2])},
        {"colours": torch.tensor([0.25, 0.75, 0.5]), "step": torch.tensor([0.25, -0.25, 0.25])},
    ),
    drawn=drawn_colours,
    hints=(
        "Calculate where each colour would go, colours - step, and which of these lie inside 0 to 1: "
        "(moved >= 0) & (moved <= 1).",
        "torch.where(inside, moved, colours) takes the new colour where it is inside, and the old one elsewhere.",
    ),
    shape=lambda case: case.arguments["colours"].shape,
    praise="A colour that cannot go there stays where it was, and can still move tomorrow.",
)
def dropped_step(colours, step):
    moved = colours - step
    return torch.where((moved >= 0) & (moved <= 1), moved, colours)


@dropped_step.slip(
    "clipped",
    "You clip to the range, as PGD does. The released code drops the step instead: a colour that would leave the range stays.",
)
def clips(colours, step):
    return (colours - step).clamp(0, 1)


@dropped_step.slip("never dropped", "Some of your colours are below 0 or above 1. No printer has them.")
def leaves(colours, step):
    return colours - step


@dropped_step.slip("wrong way", "You go up the slope. The deficit is to fall: subtract the step.")
def climbs(colours, step):
    moved = colours + step
    return torch.where((moved >= 0) & (moved <= 1), moved, colours)


@dropped_step.slip(
    "all or nothing",
    "You drop the whole step as soon as one colour would leave. Only that colour stays; the others move.",
)
def all_or_nothing(colours, step):
    moved = colours - step
    return moved if bool(((moved >= 0) & (moved <= 1)).all()) else colours + 0


@dropped_step.slip("upper end", "You look at the lower end only. A colour may not go above 1 either.")
def below_only(colours, step):
    moved = colours - step
    return torch.where(moved >= 0, moved, colours)


@dropped_step.slip("lower end", "You look at the upper end only. A colour may not go below 0 either.")
def above_only(colours, step):
    moved = colours - step
    return torch.where(moved <= 1, moved, colours)


@dropped_step.slip(
    "ends left out",
    "You drop a step that ends exactly at 0 or at 1. Both are colours that can be printed: use >= and <=.",
)
def strictly_inside(colours, step):
    moved = colours - step
    return torch.where((moved > 0) & (moved < 1), moved, colours)


@dropped_step.right
def one_by_one(colours, step):
    return torch.stack([c - s if 0 <= c - s <= 1 else c for c, s in zip(colours, step, strict=True)])


@dropped_step.right
def with_a_product(colours, step):
    moved = colours - step
    return colours - step * ((moved >= 0) & (moved <= 1))


@dropped_step.wrong("crash")
def chained(colours, step):
    moved = colours - step
    return moved if 0 <= moved <= 1 else colours


dropped_step.checks(*ALL)
