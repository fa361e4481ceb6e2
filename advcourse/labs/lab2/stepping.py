"""DeepFool as the judge computes it, and slips known by their results."""

from typing import Any

import torch
from torch import Tensor

from advcourse.labs import definitions as by_hand
from advcourse.labs.checks import Case, Draw, Student, picture
from advcourse.labs.lab2.nearest import jacobian, nearest_class, towards
from advcourse.labs.properties import agree, same_as
from advcourse.labs.verdicts import Finding


def deepfool(case: Case, **slip: Any) -> Tensor:
    """DeepFool with the settings of the case; what differs in a `slip`: see DEEPFOOL_SLIPS."""
    x, steps, norm = by_hand.clean(case), case["steps"], case["norm"]
    eta = slip.get("overshoot", case["overshoot"])
    own = case.labels if slip.get("label") else by_hand.most_likely(case)
    x_i, total, first = x, torch.zeros_like(x), None
    for _ in range(steps):
        logits, gradients = jacobian(case, x_i)
        at = logits.argmax(1) if slip.get("new class") else own
        going = logits.argmax(1) == at
        if slip.get("together") == "all":  # until every image is fooled, all of them move
            going = going.any().expand(len(x))
        elif slip.get("together") == "any":  # one is fooled: all stop
            going = going.all().expand(len(x))
        elif slip.get("no stop"):
            going = torch.ones(len(x), dtype=torch.bool)
        l = nearest_class(logits, gradients, at, norm)
        first = l if first is None else first
        r = towards(first if slip.get("first class") else l, logits, gradients, at, norm)
        r = torch.where(going.view(-1, 1, 1, 1), r, 0)
        total = (
            (total + r) * torch.where(going, 1 + eta, 1).view(-1, 1, 1, 1)
            if slip.get("compounds")
            else total + r
        )
        x_i = x + (1 if slip.get("compounds") or slip.get("at the end") else 1 + eta) * total
        if slip.get("clips") == "each":
            x_i = x_i.clamp(0, 1)
        if slip.get("forgets"):
            total = torch.zeros_like(x)
    if slip.get("at the end"):
        x_i = x + (1 + eta) * total
    if slip.get("returns last"):
        return x_i
    fooled = by_hand.logits(case, x_i).argmax(1) != own
    return torch.where(fooled.view(-1, 1, 1, 1), x_i, x)


def _deepfool(**slip):
    """The test of a slip, whether or not the answer gives back the clean image where it fails."""

    def test(case, images):
        last = deepfool(case, **slip, **{"returns last": True})
        return agree(images, deepfool(case, **slip)) or agree(images, last)

    return test


def _steps_more(number):
    return same_as(lambda case: deepfool(case.but(steps=case["steps"] + number)))


DEEPFOOL_SLIPS = (
    (
        "one step too few",
        "The loop goes round once too seldom: with steps = 1 nothing moves. range(steps) has `steps` rounds.",
        _steps_more(-1),
    ),
    (
        "one step too many",
        "The loop goes round once too often: with steps = 1 some images are moved twice. range(steps) has `steps` rounds.",
        _steps_more(1),
    ),
    (
        "overshoot at the end alone",
        "The overshoot is applied only after the loop, so that images stop short of the "
        "boundary in every step. In each step x_i = x + (1 + overshoot) * sum.",
        same_as(lambda case: deepfool(case, **{"at the end": True})),
    ),
    (
        "label",
        "Images that the model reads wrongly come back unchanged: k0 is the label y. It must be the class that the model "
        "predicts for x.",
        _deepfool(label=True),
    ),
    (
        "returns last",
        "Where no step has changed the class, the last image comes back. It fools nobody: return the clean image there.",
        same_as(lambda case: deepfool(case, **{"returns last": True})),
    ),
    (
        "overshoot compounds",
        "The overshoot is applied to the sum, and the sum that holds it is used again: it grows with each step. Keep "
        "the sum of the bare steps; x_i = x + (1 + overshoot) * sum.",
        _deepfool(compounds=True),
    ),
    (
        "does not stop",
        "The steps go on after the class has changed. An image that is fooled stays as it is.",
        _deepfool(**{"no stop": True}),
    ),
    (
        "waits for all",
        "Images that are fooled go on moving until the last one of the batch is. Each stops for itself: torch.where.",
        _deepfool(together="all"),
    ),
    (
        "stops with the first",
        "The batch stops as soon as one image is fooled. The others go on.",
        _deepfool(together="any"),
    ),
    (
        "new class",
        "k0 is taken anew at each x_i, so that no image is ever done: it walks to and fro across boundaries. k0 is fixed at x.",
        _deepfool(**{"new class": True}),
    ),
    (
        "clips",
        "Pixels are clipped to [0, 1], which takes the images back before the boundary. DeepFool measures how near the "
        "boundary is, and knows no box: leave the clip to whoever needs an image.",
        lambda case, images: (
            _deepfool(clips="each")(case, images) or agree(images, deepfool(case).clamp(0, 1))
        ),
    ),
    (
        "norm unused",
        "The steps are those of the other norm. Hand the argument norm on to shortest_step.",
        lambda case, images: _deepfool()(case.but(norm="L2" if case["norm"] == "Linf" else "Linf"), images),
    ),
)


def passes_the_boundary(student: Student, draw: Draw) -> None:
    """On a linear model one step ends behind the boundary by the overshoot: a closed form. A large overshoot shows itself."""
    eta = draw.number(0.2, 0.4)
    case = student.task.case(draw, "linear", n=8, grey=True, overshoot=eta, steps=2)
    images, x = student(case), by_hand.clean(case)
    step = ((deepfool(case) - x) / (1 + eta)).flatten(1)
    share = ((images - x).flatten(1) * step).sum(1) / step.square().sum(1)
    reached = (share - 1).abs() < 0.02
    if reached.any() and (reached | (share.abs() < 0.02)).all():
        told = (
            "Images end on the boundary, at 1.00 times the way to it, or come back unchanged. The overshoot takes them "
            f"behind it: to 1 + overshoot times the way, here {1 + eta:.3f}."
        )
        raise Finding("overshoot unused", told, picture(case, images, int(reached.nonzero()[0])))


def adds_up(student: Student, draw: Draw) -> None:
    """An image that needs two steps, alone: both count."""
    case = student.task.case(draw, **{**CURVED, "n": 96})
    case = case.but(x=0.25 + 0.5 * case["x"])  # so far inside that no clip matters
    x = by_hand.clean(case)
    once, twice = ((deepfool(case.but(steps=n)) != x).flatten(1).any(1) for n in (1, 2))
    for i in (twice & ~once).nonzero().flatten().tolist():
        one = case.image(i)
        one = one.but(y=by_hand.most_likely(one))  # whoever leaves the label is told so elsewhere
        images = student(one)
        if not same_as(deepfool)(one, images) and _deepfool(forgets=True)(one, images):
            told = (
                "An image that needs two steps gets nowhere: each step starts from x again, and the earlier ones are "
                "lost. Add it to the sum of all steps so far."
            )
            raise Finding("forgets the sum", told, picture(one, images, 0))


def looks_anew(student: Student, draw: Draw) -> None:
    """Images for which another boundary is the nearest once they have moved: each step chooses anew. Few are."""
    for _ in range(20):
        case = student.task.case(draw, **BENT)
        ends = deepfool(case), deepfool(case, **{"first class": True})
        apart, moved = (
            (end - ends[1]).flatten(1).abs().amax(1) > 0.05 for end in (ends[0], by_hand.clean(case))
        )
        turning = apart & moved  # where the slip fails, others fail too, and all end at x
        if turning.any():
            break
    for i in turning.nonzero().flatten().tolist()[:3]:
        one = case.image(i)
        one = one.but(y=by_hand.most_likely(one))  # as above
        images = student(one)
        if not same_as(deepfool)(one, images) and _deepfool(**{"first class": True})(one, images):
            told = (
                "All steps lead to the boundary that was the nearest at x. The model bends: at x_i another one may be nearer. "
                "Only k0 stays; choose l anew in every step, by shortest_step at x_i."
            )
            raise Finding("class of the first step", told, picture(one, images, 0))


BENT = {"n": 96, "shape": (1, 2, 2), "overshoot": 0.1}  # four pixels alone must change a lot
CURVED = {"n": 24, "shape": (1, 6, 6), "overshoot": 0.1}  # some images need one step, others two or three
