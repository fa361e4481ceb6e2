"""Lab 2: DeepFool, step by step to the nearest boundary."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from advcourse.labs.checks import Student, picture
from advcourse.labs.comparing import agree, called, follows, recognises
from advcourse.labs.definitions import clean, most_likely
from advcourse.labs.exercises import Case, Draw, exercise
from advcourse.labs.lab2 import walks
from advcourse.labs.lab2.gradients import jacobian, predicted, wide
from advcourse.labs.lab2.questions import LAST
from advcourse.labs.lab2.shortest_step import shortest_step
from advcourse.labs.lab2.walks import kept, walk
from advcourse.labs.properties import (
    answers,
    asks_the_model,
    changes_the_images,
    keeps_what_it_gets,
    treats_images_alone,
)
from advcourse.labs.verdicts import Finding

BENT = {"n": 96, "shape": (1, 2, 2), "overshoot": 0.1}  # four pixels alone must change a lot
CURVED = {"n": 24, "shape": (1, 6, 6), "overshoot": 0.1}  # some images need one step, others two or three


@exercise(
    "Step by step to the nearest boundary",
    4,
    lambda draw, x: {"steps": 4, "overshoot": draw.number(0.02, 0.05), "norm": "L2"},
    (
        "Two tensors live through the loop: the sum of all steps so far, and x_i = x + (1 + overshoot) * sum. k0 is found "
        "once, before the loop.",
        "In each round: logits, gradients = jacobian(model, x_i); going = logits.argmax(1) == k0; the step counts only "
        "where going is True: torch.where(going.view(-1, 1, 1, 1), step, 0).",
        "After the loop: fooled = model(x_i).argmax(1) != k0, within torch.no_grad(). Return "
        "torch.where(fooled.view(-1, 1, 1, 1), x_i, x).",
    ),
)
def deepfool(model, x, y, steps, overshoot, norm):
    k0 = predicted(model, x)
    return kept(model, walk(model, x, k0, steps, overshoot, norm), x, k0)


def last(way, model, x, y, steps, overshoot, norm):
    return way(model, x, predicted(model, x), steps, overshoot, norm)


def fooling(way, model, x, y, steps, overshoot, norm):
    return kept(model, last(way, model, x, y, steps, overshoot, norm), x, predicted(model, x))


def ends_of(way: Callable[..., Tensor]) -> Callable[[Case, Tensor], bool]:
    """The test of a slip: are these the ends of a wrong walk, whether or not the clean image comes back where it fails?"""
    return lambda case, images: any(agree(images, called(partial(end, way), case)) for end in (fooling, last))


@deepfool.slip(
    "one step too few",
    "The loop goes round once too seldom: with steps = 1 nothing moves. range(steps) has `steps` rounds.",
)
def counts_from_one(model, x, y, steps, overshoot, norm):
    return deepfool(model, x, y, len(range(1, steps)), overshoot, norm)


@deepfool.slip(
    "one step too many",
    "The loop goes round once too often: with steps = 1 some images are moved twice. range(steps) has `steps` rounds.",
)
def counts_to_the_end(model, x, y, steps, overshoot, norm):
    return deepfool(model, x, y, len(range(steps + 1)), overshoot, norm)


@deepfool.slip(
    "overshoot at the end alone",
    "The overshoot is applied only after the loop, so that images stop short of the "
    "boundary in every step. In each step x_i = x + (1 + overshoot) * sum.",
)
def overshoot_after_the_loop(model, x, y, steps, overshoot, norm):
    x_i = last(walk, model, x, y, steps, 0, norm)
    return kept(model, x + (1 + overshoot) * (x_i - x), x, predicted(model, x))


@deepfool.slip(
    "label",
    "Images that the model reads wrongly come back unchanged: k0 is the label y. It must be the class that the model "
    "predicts for x.",
)
def leaves_the_label(model, x, y, steps, overshoot, norm):
    return kept(model, walk(model, x, y, steps, overshoot, norm), x, y)


@deepfool.slip("label")
def leaves_the_label_to_the_last(model, x, y, steps, overshoot, norm):
    return walk(model, x, y, steps, overshoot, norm)


@deepfool.slip(
    "returns last",
    "Where no step has changed the class, the last image comes back. It fools nobody: return the clean image there.",
)
def failures_kept(model, x, y, steps, overshoot, norm):
    return last(walk, model, x, y, steps, overshoot, norm)


@deepfool.slip(
    "overshoot compounds",
    "The overshoot is applied to the sum, and the sum that holds it is used again: it grows with each step. Keep "
    "the sum of the bare steps; x_i = x + (1 + overshoot) * sum.",
    test=ends_of(walks.compounding),
)
def overshoot_of_the_overshoot(model, x, y, steps, overshoot, norm):
    return fooling(walks.compounding, model, x, y, steps, overshoot, norm)


@deepfool.slip(
    "does not stop",
    "The steps go on after the class has changed. An image that is fooled stays as it is.",
    test=ends_of(walks.endless),
)
def every_step_for_all(model, x, y, steps, overshoot, norm):
    return fooling(walks.endless, model, x, y, steps, overshoot, norm)


@deepfool.slip(
    "waits for all",
    "Images that are fooled go on moving until the last one of the batch is. Each stops for itself: torch.where.",
    test=ends_of(walks.until_all),
)
def until_all_are_fooled(model, x, y, steps, overshoot, norm):
    return fooling(walks.until_all, model, x, y, steps, overshoot, norm)


@deepfool.slip(
    "stops with the first",
    "The batch stops as soon as one image is fooled. The others go on.",
    test=ends_of(walks.until_one),
)
def until_one_is_fooled(model, x, y, steps, overshoot, norm):
    return fooling(walks.until_one, model, x, y, steps, overshoot, norm)


@deepfool.slip(
    "new class",
    "k0 is taken anew at each x_i, so that no image is ever done: it walks to and fro across boundaries. k0 is fixed at x.",
    test=ends_of(walks.to_and_fro),
)
def class_of_the_moment(model, x, y, steps, overshoot, norm):
    return last(walks.to_and_fro, model, x, y, steps, overshoot, norm)


@deepfool.slip(
    "clips",
    "Pixels are clipped to [0, 1], which takes the images back before the boundary. DeepFool measures how near the "
    "boundary is, and knows no box: leave the clip to whoever needs an image.",
    test=ends_of(walks.clipping),
)
def clipped_each_step(model, x, y, steps, overshoot, norm):
    return fooling(walks.clipping, model, x, y, steps, overshoot, norm)


@deepfool.slip("clips")
def clipped_at_the_end(model, x, y, steps, overshoot, norm):
    return deepfool(model, x, y, steps, overshoot, norm).clamp(0, 1)


@deepfool.slip(
    "norm unused",
    "The steps are those of the other norm. Hand the argument norm on to shortest_step.",
)
def always_l2(model, x, y, steps, overshoot, norm):
    return deepfool(model, x, y, steps, overshoot, "L2")


@deepfool.slip("norm unused")
def always_linf(model, x, y, steps, overshoot, norm):
    return deepfool(model, x, y, steps, overshoot, "Linf")


@deepfool.slip("norm unused")
def always_linf_to_the_last(model, x, y, steps, overshoot, norm):
    return failures_kept(model, x, y, steps, overshoot, "Linf")


@deepfool.slip(
    "forgets the sum",
    "An image that needs two steps gets nowhere: each step starts from x again, and the earlier ones are "
    "lost. Add it to the sum of all steps so far.",
    test=ends_of(walks.forgetting),
)
def step_from_x(model, x, y, steps, overshoot, norm):
    return fooling(walks.forgetting, model, x, y, steps, overshoot, norm)


@deepfool.slip("forgets the sum")
def last_step_from_x(model, x, y, steps, overshoot, norm):
    k0, x_i = predicted(model, x), x.clone()
    for _ in range(steps):
        logits, gradients = jacobian(model, x_i)
        going = wide(logits.argmax(1) == k0)
        r = shortest_step(logits, gradients, norm)
        x_i = torch.where(going, x + (1 + overshoot) * r, x_i)
    return kept(model, x_i, x, k0)


@deepfool.slip(
    "class of the first step",
    "All steps lead to the boundary that was the nearest at x. The model bends: at x_i another one may be nearer. "
    "Only k0 stays; choose l anew in every step, by shortest_step at x_i.",
    test=ends_of(walks.to_the_first),
)
def class_chosen_once(model, x, y, steps, overshoot, norm):
    return fooling(walks.to_the_first, model, x, y, steps, overshoot, norm)


@deepfool.right
def active_images_alone(model, x, y, steps, overshoot, norm):
    k0 = predicted(model, x)
    result, total = x.clone(), torch.zeros_like(x)
    active, x_i = torch.arange(len(x), device=x.device), x.clone()
    for _ in range(steps):
        if len(active) == 0:
            break
        total[active] += shortest_step(*jacobian(model, x_i[active]), norm)
        x_i[active] = x[active] + (1 + overshoot) * total[active]
        fooled = predicted(model, x_i[active]) != k0[active]
        result[active[fooled]] = x_i[active[fooled]]
        active = active[~fooled]
    return result


@deepfool.right
def image_by_image(model, x, y, steps, overshoot, norm):
    results = []
    for one in x.split(1):
        k0, total, here = predicted(model, one), torch.zeros_like(one), one
        for _ in range(steps):
            if predicted(model, here) != k0:
                break
            total += shortest_step(*jacobian(model, here), norm)
            here = one + total + overshoot * total
        results.append(here if predicted(model, here) != k0 else one)
    return torch.cat(results)


@deepfool.right
def step_upon_step(model, x, y, steps, overshoot, norm):
    k0, x_i = predicted(model, x), x.clone()
    for _ in range(steps):
        x_i = x_i + (1 + overshoot) * walks.step_while_k0(*jacobian(model, x_i), k0, norm)
    return kept(model, x_i, x, k0)


@deepfool.wrong("overshoot unused")
def to_the_boundary(model, x, y, steps, overshoot, norm):
    return deepfool(model, x, y, steps, 0.0, norm)


@deepfool.wrong("parameter gradients")
def backward_for_each_class(model, x, y, steps, overshoot, norm):
    k0, x_i, total = predicted(model, x), x.clone(), torch.zeros_like(x)
    for _ in range(steps):
        x_i = x_i.detach().requires_grad_()
        logits, rows = model(x_i), []
        for k in range(logits.shape[1]):
            x_i.grad = None
            logits[:, k].sum().backward(retain_graph=True)
            rows.append(x_i.grad)
        total = total + walks.step_while_k0(logits.detach(), torch.stack(rows, 1), k0, norm)
        x_i = x + (1 + overshoot) * total
    return kept(model, x_i.detach(), x, k0)


def passes_the_boundary(student: Student, draw: Draw) -> None:
    """On a linear model one step ends behind the boundary by the overshoot: a closed form. A large overshoot shows itself."""
    eta = draw.number(0.2, 0.4)
    case = student.task.case(draw, "linear", n=8, grey=True, overshoot=eta, steps=2)
    images, x = student(case), clean(case)
    step = ((called(deepfool, case) - x) / (1 + eta)).flatten(1)
    share = ((images - x).flatten(1) * step).sum(1) / step.square().sum(1)
    reached = (share - 1).abs() < 0.02
    if reached.any() and (reached | (share.abs() < 0.02)).all():
        told = (
            "Images end on the boundary, at 1.00 times the way to it, or come back unchanged. The overshoot takes them "
            f"behind it: to 1 + overshoot times the way, here {1 + eta:.3f}."
        )
        raise Finding("overshoot unused", told, picture(case, images, int(reached.nonzero()[0])))


def names_alone(key: str, student: Student, draw: Draw, case: Case, chosen: Tensor) -> None:
    """Name the slip `key` where the answer to one of the `chosen` images, alone, is its."""
    for i in chosen.nonzero().flatten().tolist():
        one = case.image(i)
        one = one.but(y=most_likely(one))  # whoever leaves the label is told so elsewhere
        recognises(deepfool, key, make=lambda task, draw, one: one, one=one)(student, draw)


def adds_up(student: Student, draw: Draw) -> None:
    """An image that needs two steps, alone: both count."""
    case = student.task.case(draw, **{**CURVED, "n": 96})
    case = case.but(x=0.25 + 0.5 * case["x"])  # so far inside that no clip matters
    once, twice = ((called(deepfool, case.but(steps=n)) != clean(case)).flatten(1).any(1) for n in (1, 2))
    names_alone("forgets the sum", student, draw, case, twice & ~once)


def looks_anew(student: Student, draw: Draw) -> None:
    """Images for which another boundary is the nearest once they have moved: each step chooses anew. Few are."""
    for _ in range(20):
        case = student.task.case(draw, **BENT)
        end, first = called(deepfool, case), called(class_chosen_once, case)
        apart, moved = ((place - first).flatten(1).abs().amax(1) > 0.05 for place in (end, clean(case)))
        turning = apart & moved  # where the slip fails, others fail too, and all end at x
        if turning.any():
            break
    turning &= turning.cumsum(0) <= 3
    names_alone("class of the first step", student, draw, case, turning)


deepfool.checks(
    answers,
    keeps_what_it_gets,
    passes_the_boundary,
    adds_up,
    looks_anew,
    recognises(deepfool, **CURVED),
    recognises(deepfool, **CURVED, steps=1),
    recognises(deepfool, **CURVED, norm="Linf"),
    changes_the_images,
    asks_the_model,
    treats_images_alone,
    follows(deepfool, kind="linear"),
    follows(deepfool, **CURVED),
    follows(deepfool, **CURVED, norm="Linf"),
    follows(deepfool, **CURVED, steps=1),
    *LAST,
)
