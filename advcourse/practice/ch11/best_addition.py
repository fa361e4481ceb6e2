"""Chapter 11: which feature the attack adds next."""

from typing import Any

import torch

from advcourse.labs.exercises import Draw
from advcourse.practice.asking import ALL, rounded
from advcourse.practice.tasks import small_exercise

NO, YES = False, True


def drawn_slopes(draw: Draw) -> dict[str, Any]:
    """Seven features: the steepest is forbidden, the next is there, then the right one; two fall steeply, one of them there."""
    slope = torch.tensor([3.0, 2.5, 1.2, 0.5, -2.0, -0.4, -3.0]) + rounded(0.4 * draw.uniform((7,)) - 0.2)
    x = torch.tensor([0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0])
    addable = torch.tensor([NO, YES, YES, YES, YES, YES, YES])
    order = draw.uniform((7,)).argsort()
    return {"slope": slope[order], "x": x[order], "addable": addable[order]}


@small_exercise(
    "The next addition",
    5,
    "medium",
    by_hand=(
        {
            "slope": torch.tensor([0.6, 0.9, 1.5, 0.8, 2.0]),
            "x": torch.tensor([0.0, 0.0, 1.0, 0.0, 0.0]),
            "addable": torch.tensor([YES, YES, YES, YES, NO]),
        },
        {
            "slope": torch.tensor([0.0, -0.7, 1.1, 0.6]),
            "x": torch.tensor([0.0, 0.0, 1.0, 0.0]),
            "addable": torch.tensor([YES, YES, YES, NO]),
        },
        {
            "slope": torch.tensor([-0.3, -0.6]),
            "x": torch.tensor([0.0, 0.0]),
            "addable": torch.tensor([YES, YES]),
        },
        {
            "slope": torch.tensor([0.2, 0.3]),
            "x": torch.tensor([0.0, 0.0]),
            "addable": torch.tensor([YES, YES]),
        },
    ),
    drawn=drawn_slopes,
    hints=(
        "Some features must not win, however steep they are. Give them a slope that no other can be below: "
        "slope.masked_fill(mask, -torch.inf), where mask is True for those that may not be added or are there already.",
        "The mask is ~addable | (x > 0), and .argmax() of the masked slopes is the candidate. If its slope is not above 0, "
        "return -1.",
    ),
    shape=lambda case: (),
    numbers="whole",
    praise="Three things may forbid an addition: the rules, that it is there already, and that it does not help.",
)
def best_addition(slope, x, addable):
    allowed = slope.masked_fill(~addable | (x > 0), -torch.inf)
    best = int(allowed.argmax())
    return best if allowed[best] > 0 else -1


@best_addition.slip(
    "is there already",
    "Your feature is in the app already (its x is 1), so that nothing would be added. Only features with x = 0 can come.",
)
def forgets_x(slope, x, addable):
    allowed = slope.masked_fill(~addable, -torch.inf)
    best = int(allowed.argmax())
    return best if allowed[best] > 0 else -1


@best_addition.slip(
    "forbidden",
    "Your feature may not be added: addable says no. However steep its slope is, it must not win.",
)
def forgets_addable(slope, x, addable):
    allowed = slope.masked_fill(x > 0, -torch.inf)
    best = int(allowed.argmax())
    return best if allowed[best] > 0 else -1


@best_addition.slip(
    "all are candidates",
    "You take the largest slope of all, of features too that are there already or may not be added. Mask these first.",
)
def largest_of_all(slope, x, addable):
    return int(slope.argmax())


@best_addition.slip(
    "size of the slope",
    "You go by the size of the slope, whatever its sign. A steep slope below 0 makes the app more suspicious: take the "
    "largest.",
)
def by_size(slope, x, addable):
    return int(slope.abs().masked_fill(~addable | (x > 0), -torch.inf).argmax())


@best_addition.slip(
    "wrong way",
    "You take the smallest slope, the feature that makes the app most suspicious. The attacker wants the largest.",
)
def smallest(slope, x, addable):
    return int(slope.masked_fill(~addable | (x > 0), torch.inf).argmin())


@best_addition.slip(
    "never stops",
    "Where no allowed slope is above 0, no addition helps, and you add one all the same. Return -1 there.",
)
def always_adds(slope, x, addable):
    return int(slope.masked_fill(~addable | (x > 0), -torch.inf).argmax())


@best_addition.slip("never stops")
def multiplies_by_the_mask(slope, x, addable):
    return int((slope * addable * (1 - x)).argmax())


@best_addition.slip(
    "slope, not place",
    "This is the slope of the right feature. Asked is its place: argmax instead of max.",
)
def its_value(slope, x, addable):
    best = slope.masked_fill(~addable | (x > 0), -torch.inf).max()
    return float(best) if best > 0 else -1.0


@best_addition.slip(
    "0 helps",
    "A slope of exactly 0 promises nothing, and you add the feature. It must be above 0: > instead of >=.",
)
def adds_at_zero(slope, x, addable):
    allowed = slope.masked_fill(~addable | (x > 0), -torch.inf)
    best = int(allowed.argmax())
    return best if allowed[best] >= 0 else -1


@best_addition.slip(
    "first that helps",
    "You take the first feature that helps. The attack takes the one that helps most: the largest slope of those allowed.",
)
def the_first_that_helps(slope, x, addable):
    helping = (addable & (x == 0) & (slope > 0)).nonzero()[:, 0]
    return int(helping[0]) if len(helping) else -1


@best_addition.slip(
    "removal",
    "You take a feature away: its x is 1, and its slope is below 0. Whatever does the harm must stay, so only a 0 may change.",
)
def removes_too(slope, x, addable):
    gain = (slope * (1 - 2 * x)).masked_fill(~addable, -torch.inf)
    best = int(gain.argmax())
    return best if gain[best] > 0 else -1


@best_addition.right
def one_by_one(slope, x, addable):
    found, height = -1, 0.0
    for i, value in enumerate(slope.tolist()):
        if addable[i] and x[i] == 0 and value > height:
            found, height = i, value
    return found


@best_addition.right
def among_the_candidates(slope, x, addable):
    places = (addable & (x == 0) & (slope > 0)).nonzero()[:, 0]
    if len(places) == 0:
        return torch.tensor(-1)
    return places[slope[places].argmax()]


@best_addition.wrong("crash")
def masks_with_minus(slope, x, addable):
    return int(slope.masked_fill(-addable, -torch.inf).argmax())


best_addition.checks(*ALL)
