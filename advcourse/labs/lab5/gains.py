"""Lab 5: what an attack that expects the photograph must gain, on a linear model, on one that wavers, and on signs."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from advcourse.core.rounding import percent
from advcourse.labs.checks import Student, picture
from advcourse.labs.exercises import Case, Draw
from advcourse.labs.lab5.cameras import Net, Phone, Unsure
from advcourse.labs.lab5.photographs import (
    heeds_draws,
    logits_of_photographs,
    loss_in_photographs,
    misread,
    signs,
    unseen,
)
from advcourse.labs.lab8.gradients import gradient
from advcourse.labs.verdicts import Finding

GAIN = 0.8  # of what the author's attack gains on a linear model
SHARE = 0.7  # of the author's rate, on signs
RARE = 0.4  # of what the author's attack gains where a few photographs decide
LINEAR, SIGNS, GREY = 16, 10, 24  # images
SHAPE = (3, 24, 24)
HELD_OUT = 10  # photographs of each
APART = 0.1  # cosines of signs nearer than this are not told apart


def ascend(
    slope: Callable[[Tensor, int], Tensor],
    x: Tensor,
    eps: float,
    steps: int,
    box: bool = True,
    sign: int = 1,
    start: Tensor | None = None,
    size: float = 2.5,
) -> Tensor:
    """Sign steps along slope(x_i, i), within eps of x and [0, 1]."""
    x_i = x.clone() if start is None else start
    for i in range(steps):
        x_i = x_i + sign * size * eps / steps * slope(x_i, i).sign()
        x_i = x_i.clamp(x - eps, x + eps)
        x_i = x_i.clamp(0, 1) if box else x_i
    return x_i.detach()


def photographed(model: nn.Sequential, seed: int) -> Callable[[Tensor], Tensor]:
    """Images to the logits of one photograph of each."""
    camera, f = model
    return lambda x: f(camera(x, seed))


def pgd(f: nn.Module, x: Tensor, y: Tensor, eps: float, steps: int) -> Tensor:
    """PGD on the classifier itself, as if there were no camera."""
    return ascend(lambda x_i, i: gradient(f, x_i, y), x, eps, steps)


def right_answer(student: Student, case: Case) -> Tensor:
    """What the author's attack makes of a question."""
    return student.task.solution(case.victim.build(), **case.arguments)


def on_a_linear_model(draw: Draw, task: Any, **how: Any) -> Case:
    """Images of a linear model, labelled by what most photographs are read as; of one draw a step, so that steps disagree."""
    case = task.case(draw, "linear", LINEAR, shape=SHAPE, steps=12, draws=1, **how)
    seen = logits_of_photographs(case.victim, case["x"], unseen(draw, 8)).mean(0)
    return case.but(y=seen.argmax(1))


def survives_new_photographs(student: Student, draw: Draw) -> None:
    """On a linear model, where the camera makes PGD weak, it gains nearly what the author's attack does."""
    case = on_a_linear_model(draw, student.task)
    images, x, y = student(case), case["x"], case["y"]
    f, how = Net.build(case.victim), {name: case[name] for name in ("eps", "steps")}
    ours = right_answer(student, case)
    kinds = x, pgd(f, x, y, **how), images, ours
    seeds = unseen(draw, HELD_OUT)
    before, *after = (loss_in_photographs(case, kind, y, seeds) for kind in kinds)
    plain, theirs, best = (loss - before for loss in after)
    if theirs >= GAIN * best and theirs > plain:
        return
    told = (
        f"In new photographs the loss of a clean image is {before:.2f} on average. Your attack raises it by {theirs:.3f}, plain "
        f"PGD by {plain:.3f}, and a right attack by {best:.3f}."
    )
    key, why = _why(case, f, images, ours)
    if key == "weak":
        heeds_draws(student, draw)
        leaves_what_is_misread(student, draw)
    raise Finding(key, f"{told} {why}", picture(case, images, 0))


def _why(case, f, images, ours):
    """Key and sentence for an attack that gains too little, by the direction of its changes."""
    x, y = case["x"], case["y"]
    change, camera = (images.float() - x).sign(), Phone()
    alone = (change * gradient(f, x, y).sign()).mean().item()
    slopes = [gradient(lambda z, seed=seed: f(camera(z, seed)), x, y) for seed in range(500, 508)]
    expected = (change * sum(slopes).sign()).mean().item()
    if expected < -APART:
        return "downhill", "The steps make the model surer: they go down the loss of the label. Go up."
    if alone > expected + APART:
        return "camera left out", (
            "Your change is the one for images that nobody photographs. Ask f(camera(x_i, seed)) for its gradient, and ask it by "
            "x_i, not by the photograph."
        )
    if abs(expected) < APART:
        return (
            "no direction",
            "The changes have nothing to do with any gradient of the loss. Where do they come from?",
        )
    moved, right = ((kind.double() - x.double()).abs() for kind in (images, ours))
    if moved.max() > 0.9 * case["eps"] and moved.mean() < 0.85 * right.mean():
        return "short steps", (
            f"Your steps are too short: in the end a pixel has moved by {percent(moved.mean() / case['eps'])} of eps on average, "
            f"and by {percent(right.mean() / case['eps'])} in a right attack. Photographs disagree, so that steps take one "
            "another back, and those of eps / steps reach the end only where all agree. Make each 2.5 * eps / steps long."
        )
    return "weak", "The direction is right, but too few of the steps, or of the budget, are used."


def heeds_large_gradients(student: Student, draw: Draw) -> None:
    """Where a few photographs have a large gradient and most a small one the other way, the mean loss still rises."""
    case = student.task.case(draw, n=GREY, grey=True, shape=(3, 12, 12), classes=2, steps=5, draws=5)
    case = case.but(Unsure(**vars(case.victim)))
    images, x, y = student(case), case["x"], case["y"]
    model, seeds = case.victim.build(), unseen(draw, HELD_OUT)
    best = right_answer(student, case)
    with torch.no_grad():
        before, theirs, ours = (
            sum(cross_entropy(photographed(model, seed)(kind.float()), y) for seed in seeds) / len(seeds)
            for kind in (x, images, best)
        )
    if theirs - before >= RARE * (ours - before):
        return
    told = (
        "Here the gradient is large in a few photographs, and small, the other way, in most. The mean over all photographs "
        f"follows the few, and so a right attack raises the mean loss by {ours - before:.3f}; yours changes it by "
        f"{theirs - before:+.3f}. Is each draw's gradient brought to one size before you add them, by .sign() or by a division? "
        "Then the many outvote the few. Add the gradients as they are, and take the sign once, of the sum."
    )
    raise Finding("each draw's sign", told, picture(case, images, 0))


def leaves_what_is_misread(student: Student, draw: Draw) -> None:
    """For labels that the model does not give, the loss rises as well."""
    case = student.task.case(draw, "linear", LINEAR, shape=SHAPE, classes=2)
    seeds = unseen(draw, 4)
    y = logits_of_photographs(case.victim, case["x"], seeds).mean(0).argmin(1)
    images = student(case.but(y=y))

    if loss_in_photographs(case, images, y, seeds) > loss_in_photographs(case, case["x"], y, seeds):
        return
    told = (
        "Where the label is not what the model answers, your steps make the model come round to it: they lead away from the "
        "model's own answer. Lead away from y."
    )
    raise Finding("own answer", told, picture(case, images, 0))


def fools_from_paper(student: Student, draw: Draw) -> None:
    """On signs it is nearly as good as the author's attack, in photographs that neither has seen."""
    case = signs(student.task, draw, SIGNS, eps=10 / 255, steps=8, draws=3)
    images, x, y = student(case), case["x"], case["y"]
    moved = (images - x.double()).abs()
    clipped = (images < 1e-6) | (images > 1 - 1e-6)
    if ((moved > case["eps"] - 1e-5) | clipped).double().mean() > 0.99:
        told = "Every pixel is at the end of its budget, as after one large step. Take `steps` of them, each smaller."
        raise Finding("one step", told, picture(case, images, 0))
    seeds = unseen(draw, HELD_OUT)
    theirs = misread(case.victim, images, y, seeds)
    if theirs.mean() >= SHARE:  # enough, however good the author's attack is, which need not be run
        return
    best = right_answer(student, case)
    ours = misread(case.victim, best, y, seeds)
    if theirs.mean() < SHARE * ours.mean():
        told = (
            f"In new photographs of road signs {percent(theirs.mean())} are misread; a right attack gets to "
            f"{percent(ours.mean())}. Does yours use its steps, its draws and its whole budget?"
        )
        raise Finding("too weak", told, picture(case, images, int((ours - theirs).argmax())))
