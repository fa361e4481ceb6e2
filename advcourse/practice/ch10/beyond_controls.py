"""Chapter 10: what an attack is worth beyond the best of its controls."""

from typing import Any

import torch

from advcourse.labs.exercises import Draw
from advcourse.practice.asking import ALL
from advcourse.practice.tasks import small_exercise


def drawn_counts(draw: Draw) -> dict[str, Any]:
    """Photographs read as the target: of the attack, and of four controls, all different, the best anywhere in the row."""
    views = 40 + 10 * (draw.integer() % 17)
    shares = torch.tensor([0.02, 0.11, 0.24, 0.47]) + 0.05 * draw.uniform((4,))
    controls = (shares * views).round().to(torch.int64)[draw.uniform((4,)).argsort()]
    return {"hits": round(views * draw.number(0.6, 0.98)), "controls": controls, "views": views}


@small_exercise(
    "What the attack is worth",
    3,
    "easy",
    by_hand=(
        {"hits": 90, "controls": torch.tensor([0, 5, 40, 10]), "views": 100},
        {"hits": 40, "controls": torch.tensor([8, 42]), "views": 100},
    ),
    drawn=drawn_counts,
    hints=(
        "Some of the successes would have come without any attack, with a piece of paper of one colour, say. Which of the "
        "controls must an honest attacker beat?",
        "(hits - controls.max()) / views. It may be below 0.",
    ),
    shape=lambda case: (),
    praise="If this is near 0 or below, the paper did it and not the pattern on it.",
)
def beyond_controls(hits, controls, views):
    return (hits - controls.max()) / views


@beyond_controls.slip(
    "mean control",
    "You subtract the mean of the controls. An attack must beat the best of them: one simple patch that does as well is "
    "enough to explain the result.",
)
def beyond_the_mean(hits, controls, views):
    return (hits - controls.double().mean()) / views


@beyond_controls.slip(
    "weakest control",
    "You subtract the weakest control, which flatters the attack. Compare it with the strongest one.",
)
def beyond_the_weakest(hits, controls, views):
    return (hits - controls.min()) / views


@beyond_controls.slip(
    "all controls",
    "You subtract the controls one after another. Each of them is an experiment of its own: only the best one counts.",
)
def beyond_all(hits, controls, views):
    return (hits - controls.sum()) / views


@beyond_controls.slip(
    "no controls", "This is the attack's rate alone. How much of it would a simple patch have reached?"
)
def the_rate(hits, controls, views):
    return torch.tensor(hits / views)


@beyond_controls.slip(
    "not a share", "This is a number of photographs. Divide by how many were taken, so that it is a share."
)
def not_divided(hits, controls, views):
    return (hits - controls.max()).double()


@beyond_controls.slip(
    "cut at zero",
    "You cut the result off at 0. If the attack is worse than a simple patch, that is worth knowing: let it be negative.",
)
def never_negative(hits, controls, views):
    return ((hits - controls.max()) / views).clamp_min(0)


@beyond_controls.right
def difference_of_rates(hits, controls, views):
    return hits / views - (controls / views).max()


@beyond_controls.right
def in_plain_python(hits, controls, views):
    return (hits - max(controls.tolist())) / views


@beyond_controls.wrong("shape")
def for_each_control(hits, controls, views):
    return (hits - controls) / views


@beyond_controls.wrong("formula")
def as_a_ratio(hits, controls, views):
    return (hits - controls.max()) / hits


beyond_controls.checks(*ALL)
