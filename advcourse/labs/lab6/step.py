"""Lab 6: which feature is added next."""

from typing import Any

import torch

from advcourse.labs.comparing import NUMBERS, gives
from advcourse.labs.exercises import Case, Draw, exercise
from advcourse.labs.lab6.apps import AppTask
from advcourse.labs.properties import answers, keeps_what_it_gets, leaves_nothing_behind, other_device

KINDS = ("usual", "there first", "clear", "all fall", "level", "nothing left")


def slopes(draw: Draw, x: None = None, kind: str = "usual", n: int = 12) -> dict[str, Any]:
    """Slopes in which each mistake picks another feature.

    From the front: two that may not be added, steepest of all; two that are there, next ("there first": these are steeper); a
    very steep fall; then the others, of which some rise. With "clear" one of these is steepest of all; with "all fall" none
    rises, and with "level" one has a slope of exactly 0; with "nothing left" nothing may be added.
    """
    slope = 0.2 + 0.7 * draw.uniform((n,))
    slope[:4] += torch.tensor([3.0, 2.8, 2.0, 1.8])
    slope[4] = -4 - draw.number(0, 1)
    if kind == "there first":
        slope[:4] = slope[:4].flip(0)
    fall = torch.full((n,), kind in KINDS[3:])
    fall[:5], fall[-2:] = False, True
    slope = torch.where(fall, -slope, slope)
    slope[5] = {"level": 0.0, "clear": 6.0}.get(kind, float(slope[5]))
    x, addable = torch.zeros(n), torch.ones(n, dtype=torch.bool)
    x[2:4], addable[:2] = 1.0, False
    if kind == "nothing left":
        slope[5:] = slope[5:].abs()
        addable[:] = x > 0
    order = draw.uniform((n,)).argsort()
    while order[0] in (5, 6, 7) or order[-1] in (5, 6, 7):  # no mistake may be right by its place
        order = draw.uniform((n,)).argsort()
    return {"slope": slope[order], "x": x[order], "addable": addable[order]}


@exercise(
    "The next addition",
    3,
    slopes,
    (
        "Three things forbid an addition: it is not addable, it is there already, or its slope is not above 0. Which slope "
        "must a forbidden feature have, so that it never is the largest?",
        "allowed = slope.masked_fill(~addable | (x > 0), -torch.inf). With -inf no slope that is left is smaller.",
        "best = int(allowed.argmax()); return best if allowed[best] > 0 else -1.",
    ),
    shape=lambda case: (),
    numbers="whole",
    kind=AppTask,
)
def step(slope, x, addable):
    allowed = slope.masked_fill(~addable | (x > 0), -torch.inf)
    best = int(allowed.argmax())
    return best if allowed[best] > 0 else -1


def best_of(values):
    """The place of the largest value if that is above 0, else -1."""
    best = int(values.argmax())
    return best if values[best] > 0 else -1


@step.slip(
    "is there already",
    "Your feature is in the app already: its x is 1, and nothing would be added. Only features with x = 0 can come.",
)
def forgets_x(slope, x, addable):
    return best_of(slope.masked_fill(~addable, -torch.inf))


@step.slip(
    "forbidden",
    "Your feature may not be added: addable is False there. However steep its slope, it must not win.",
)
def forgets_addable(slope, x, addable):
    return best_of(slope.masked_fill(x > 0, -torch.inf))


@step.slip(
    "no mask",
    "Features win that may not be added, or are there already. Mask both before you take the largest.",
)
def largest_of_all(slope, x, addable):
    return best_of(slope)


@step.slip(
    "mask turned round",
    "You choose among the features that must not come, and leave out those that may. Turn the mask round: ~addable | (x > 0) is "
    "what to leave out.",
)
def the_forbidden_ones(slope, x, addable):
    return best_of(slope.masked_fill(addable & (x == 0), -torch.inf))


@step.slip(
    "size of the slope",
    "You go by the size of the slope. One far below 0 makes the app more suspicious with every addition: take the largest slope, "
    "not the largest size.",
)
def by_size(slope, x, addable):
    return best_of(slope.abs().masked_fill(~addable | (x > 0), -torch.inf))


@step.slip(
    "wrong way",
    "You take the most negative slope, the feature that raises the suspicion most. slope is that of benign minus malicious: the "
    "attacker wants it large.",
)
def smallest(slope, x, addable):
    return best_of(-slope.masked_fill(~addable | (x > 0), torch.inf))


@step.slip(
    "never stops",
    "Where no allowed slope is above 0, every addition makes things worse, and you add one all the same. Return -1 there.",
)
def always_adds(slope, x, addable):
    allowed = slope.masked_fill(~addable | (x > 0), -torch.inf)
    return int(allowed.argmax()) if allowed.max() > -torch.inf else -1


@step.slip(
    "zeros win",
    "You set forbidden slopes to 0. Where all that is allowed falls, a forbidden feature then wins with its 0. Set them to "
    "-torch.inf, and compare the winner with 0.",
)
def multiplies_by_the_mask(slope, x, addable):
    return int((slope * addable * (1 - x)).argmax())


@step.slip(
    "level",
    "You add a feature whose slope is exactly 0. It promises nothing, and costs one of the budget: only a slope above 0 counts.",
)
def zero_is_enough(slope, x, addable):
    allowed = slope.masked_fill(~addable | (x > 0), -torch.inf)
    best = int(allowed.argmax())
    return best if allowed[best] >= 0 else -1


@step.slip(
    "slope, not place",
    "This is the slope of the right feature. Asked is its place: argmax in place of max.",
)
def its_value(slope, x, addable):
    best = slope.masked_fill(~addable | (x > 0), -torch.inf).max()
    return float(best) if best > 0 else -1.0


@step.slip(
    "place among the chosen",
    "Your number is the place among the features that are left after the mask. slope[mask] is shorter than slope: use "
    "masked_fill, or look the place up in mask.nonzero().",
)
def place_in_the_rest(slope, x, addable):
    rest = slope[addable & (x == 0)]
    return best_of(rest) if len(rest) else -1


@step.slip(
    "the first that rises",
    "You take the first feature with a slope above 0. There may be steeper ones: the largest wins.",
)
def first_that_rises(slope, x, addable):
    places = (addable & (x == 0) & (slope > 0)).nonzero()[:, 0]
    return int(places[0]) if len(places) else -1


@step.right
def one_by_one(slope, x, addable):
    found, height = -1, 0.0
    for i, value in enumerate(slope.tolist()):
        if addable[i] and x[i] == 0 and value > height:
            found, height = i, value
    return found


@step.right
def among_the_candidates(slope, x, addable):
    places = (addable & (x == 0) & (slope > 0)).nonzero()[:, 0]
    return places[slope[places].argmax()] if len(places) else torch.tensor(-1)


@step.wrong("crash")
def masks_with_minus(slope, x, addable):
    return int(slope.masked_fill(-addable, -torch.inf).argmax())


@step.wrong("crash")
def no_candidates(slope, x, addable):
    places = (addable & (x == 0) & (slope > 0)).nonzero()[:, 0]
    return int(places[slope[places].argmax()])


@step.wrong("input")
def masks_in_place(slope, x, addable):
    slope[~addable | (x > 0)] = -torch.inf
    return best_of(slope)


@step.wrong("formula")
def always_the_end(slope, x, addable):
    return -1


def each_kind(task: AppTask, draw: Draw) -> list[Case]:
    """Questions of all kinds, the usual one six times."""
    return [task.case(draw, **slopes(draw, kind=kind)) for kind in (*["usual"] * 5, *KINDS)]


step.checks(
    answers,
    keeps_what_it_gets,
    gives(step, NUMBERS, make=each_kind),
    other_device,
    leaves_nothing_behind,
)
