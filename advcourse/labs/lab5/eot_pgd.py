"""Lab 5: an attack that expects the photograph.

The judge photographs the images with seeds of its own, which no answer has seen.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from advcourse.core.rounding import percent
from advcourse.labs.checks import Student, picture
from advcourse.labs.exercises import Case, Draw, exercise
from advcourse.labs.lab5.cameras import Net, Phone, Unsure
from advcourse.labs.lab5.photographs import (
    PhotographedTask,
    heeds_draws,
    logits_of_photographs,
    loss_in_photographs,
    misread,
    signs,
    stays_near_the_image,
    takes_new_photographs,
    unseen,
)
from advcourse.labs.lab8.gradients import gradient, summed
from advcourse.labs.lab8.questions import FIRST, LAST
from advcourse.labs.properties import (
    other_classes,
    other_shape,
    other_type,
    stays_in_budget,
    stays_in_the_box,
)
from advcourse.labs.verdicts import Finding

GAIN = 0.8  # of what the author's attack gains on a linear model
SHARE = 0.7  # of the author's rate, on signs
RARE = 0.4  # of what the author's attack gains where a few photographs decide
LINEAR, SIGNS, GREY = 16, 10, 24  # images
SHAPE = (3, 24, 24)
HELD_OUT = 10  # photographs of each
APART = 0.1  # cosines of signs nearer than this are not told apart


def a_budget(draw: Draw, x: Tensor) -> dict[str, float]:
    """A few steps of two draws."""
    return {"eps": draw.number(0.035, 0.045), "steps": 4, "draws": 2}


def ascend(slope, x, eps, steps, box=True, sign=1, start=None, size=2.5):
    """Sign steps along slope(x_i, i), within eps of x and [0, 1]."""
    x_i = x.clone() if start is None else start
    for i in range(steps):
        x_i = x_i + sign * size * eps / steps * slope(x_i, i).sign()
        x_i = x_i.clamp(x - eps, x + eps)
        x_i = x_i.clamp(0, 1) if box else x_i
    return x_i.detach()


def photographed(model, seed):
    """Images to the logits of one photograph of each."""
    camera, f = model
    return lambda x: f(camera(x, seed))


def mean_slope(model, y, draws, first=0):
    """The slope over `draws` photographs, other ones in each step."""

    def slope(x_i, i):
        seeds = range(first + i * draws, first + (i + 1) * draws)
        return sum(gradient(photographed(model, seed), x_i, y) for seed in seeds)

    return slope


def pgd(f, x, y, eps, steps):
    """PGD on the classifier itself, as if there were no camera."""
    return ascend(lambda x_i, i: gradient(f, x_i, y), x, eps, steps)


@exercise(
    "An attack that expects the photograph",
    4,
    a_budget,
    (
        "camera, f = model. In every step you photograph x_i `draws` times, each time with a seed that you have not used before, "
        "and add up the gradients by x_i.",
        'In step i, draw k has the seed i * draws + k. Its loss is cross_entropy(f(camera(x_i, seed)), y, reduction="sum"). The '
        "camera is only looked through: the image that is changed, and clipped, is x_i.",
        "x_adv = x_adv + 2.5 * eps / steps * total.sign(); x_adv = x_adv.clamp(x - eps, x + eps).clamp(0, 1). Return it "
        "detached.",
    ),
    kind=PhotographedTask,
)
def eot_pgd(model, x, y, eps, steps, draws):
    return ascend(mean_slope(model, y, draws), x, eps, steps)


@eot_pgd.right
def mean_logits_and_momentum(model, x, y, eps, steps, draws):
    camera, f = model
    low, high = (x - eps).clamp(min=0), (x + eps).clamp(max=1)
    x_i, memory = x.clone(), torch.zeros_like(x)
    for i in range(steps):
        seeds = range(1000 + i * draws, 1000 + (i + 1) * draws)
        slope = gradient(lambda z: sum(f(camera(z, s)) for s in seeds) / draws, x_i, y)  # noqa: B023
        memory = 0.5 * memory + slope / slope.abs().sum((1, 2, 3), keepdim=True).clamp(min=1e-30)
        x_i = torch.minimum(torch.maximum(x_i + 2 * eps / steps * memory.sign(), low), high)
    return x_i.detach()


@eot_pgd.right
def one_backward_pass(model, x, y, eps, steps, draws):
    camera, f = model
    change = torch.zeros_like(x)
    for i in range(steps):
        change = change.requires_grad_()
        photographs = [camera(x + change, 7 + i * draws + k) for k in range(draws)]
        loss = cross_entropy(f(torch.cat(photographs)), y.repeat(draws), reduction="sum")
        (slope,) = torch.autograd.grad(loss, change)
        change = (change.detach() + 2 * eps / steps * slope.sign()).clamp(-eps, eps)
        change = (x + change).clamp(0, 1) - x
    return (x + change).clamp(0, 1)


@eot_pgd.right
def from_a_random_start(model, x, y, eps, steps, draws):
    g = torch.Generator().manual_seed(0)
    start = (x + eps * (2 * torch.rand(x.shape, generator=g).to(x) - 1)).clamp(0, 1)
    return ascend(mean_slope(model, y, draws, 50), x, eps, steps, start=start)


@eot_pgd.wrong("camera left out")
def plain_pgd(model, x, y, eps, steps, draws):
    return pgd(model[-1], x, y, eps, steps)


@eot_pgd.wrong("camera left out")
def by_the_photograph(model, x, y, eps, steps, draws):
    camera, f = model

    def slope(x_i, i):
        return sum(gradient(f, camera(x_i, i * draws + k), y) for k in range(draws))

    return ascend(slope, x, eps, steps)


@eot_pgd.wrong("same draws")
def the_same_in_each_step(model, x, y, eps, steps, draws):
    slope = mean_slope(model, y, draws)
    return ascend(lambda x_i, i: slope(x_i, 0), x, eps, steps)


@eot_pgd.wrong("same draws")
def one_photograph_many_times(model, x, y, eps, steps, draws):
    return ascend(
        lambda x_i, i: sum(gradient(photographed(model, i), x_i, y) for _ in range(draws)), x, eps, steps
    )


@eot_pgd.wrong("draws ignored")
def one_photograph_a_step(model, x, y, eps, steps, draws):
    return ascend(mean_slope(model, y, 1), x, eps, steps)


@eot_pgd.wrong("too many draws")
def five_times_the_draws(model, x, y, eps, steps, draws):
    return eot_pgd(model, x, y, eps, steps, 5 * draws)


@eot_pgd.wrong("too many draws")
def three_times_the_steps(model, x, y, eps, steps, draws):
    return eot_pgd(model, x, y, eps, 3 * steps, draws)


@eot_pgd.wrong("clips the photograph")
def clipped_after_the_camera(model, x, y, eps, steps, draws):
    camera, f = model
    x_i = x
    for i in range(steps):
        seen = [camera(x_i, i * draws + k) for k in range(draws)]
        slope = sum(gradient(f, photograph, y) for photograph in seen)
        x_i = (seen[-1] + 2.5 * eps / steps * slope.sign()).clamp(seen[-1] - eps, seen[-1] + eps).clamp(0, 1)
    return x_i.detach()


@eot_pgd.wrong("clips the photograph")
def returns_a_photograph(model, x, y, eps, steps, draws):
    return model[0](eot_pgd(model, x, y, eps, steps, draws), 0).detach()


@eot_pgd.wrong("ball around the last iterate")
def around_the_last(model, x, y, eps, steps, draws):
    slope, x_i = mean_slope(model, y, draws), x
    for i in range(steps):
        moved = x_i + 2.5 * eps / steps * slope(x_i, i).sign()
        x_i = moved.clamp(x_i - eps, x_i + eps).clamp(0, 1)
    return x_i


@eot_pgd.wrong("ball around the last iterate")
def never_clipped_to_the_ball(model, x, y, eps, steps, draws):
    slope, x_i = mean_slope(model, y, draws), x
    for i in range(steps):
        x_i = (x_i + 2.5 * eps / steps * slope(x_i, i).sign()).clamp(0, 1)
    return x_i


@eot_pgd.wrong("downhill")
def down(model, x, y, eps, steps, draws):
    return ascend(mean_slope(model, y, draws), x, eps, steps, sign=-1)


@eot_pgd.wrong("one step")
def fgsm(model, x, y, eps, steps, draws):
    return (x + eps * mean_slope(model, y, draws * steps)(x, 0).sign()).clamp(0, 1)


@eot_pgd.wrong("short steps")
def eps_over_steps(model, x, y, eps, steps, draws):
    return ascend(mean_slope(model, y, draws), x, eps, steps, size=1.0)


def slope_by_slope(model, y, draws, size):
    """The slopes of the draws, each brought to one size by `size`, and then added."""

    def slope(x_i, i):
        seeds = range(i * draws, (i + 1) * draws)
        return sum(size(gradient(photographed(model, seed), x_i, y)) for seed in seeds)

    return slope


@eot_pgd.wrong("each draw's sign")
def sign_of_the_signs(model, x, y, eps, steps, draws):
    return ascend(slope_by_slope(model, y, draws, torch.sign), x, eps, steps)


@eot_pgd.wrong("each draw's sign")
def mean_of_the_signs(model, x, y, eps, steps, draws):
    slope, x_i = slope_by_slope(model, y, draws, torch.sign), x
    for i in range(steps):
        x_i = x_i + 2.5 * eps / steps * slope(x_i, i) / draws
        x_i = x_i.clamp(x - eps, x + eps).clamp(0, 1)
    return x_i


@eot_pgd.wrong("each draw's sign")
def each_draw_over_its_norm(model, x, y, eps, steps, draws):
    def unit(slope):
        return slope / slope.flatten(1).norm(dim=1).clamp(min=1e-30).view(-1, 1, 1, 1)

    return ascend(slope_by_slope(model, y, draws, unit), x, eps, steps)


@eot_pgd.wrong("weak")
def a_tenth_of_the_budget(model, x, y, eps, steps, draws):
    return eot_pgd(model, x, y, eps / 10, steps, draws)


@eot_pgd.wrong("units")
def eps_in_levels(model, x, y, eps, steps, draws):
    return eot_pgd(model, x, y, eps / 255, steps, draws)


@eot_pgd.wrong("box")
def unclipped(model, x, y, eps, steps, draws):
    return ascend(mean_slope(model, y, draws), x, eps, steps, box=False)


@eot_pgd.wrong("no direction")
def random_signs(model, x, y, eps, steps, draws):
    g = torch.Generator().manual_seed(draws)
    model[-1](model[0](x, 0))
    return (x + eps * torch.randn(x.shape, generator=g).to(x).sign()).clamp(0, 1)


@eot_pgd.wrong("own answer")
def away_from_its_own_answer(model, x, y, eps, steps, draws):
    return eot_pgd(model, x, model[-1](x).argmax(1), eps, steps, draws)


@eot_pgd.wrong("parameter gradients")
def backward_everywhere(model, x, y, eps, steps, draws):
    x_i = x
    for i in range(steps):
        x_i = x_i.detach().requires_grad_()
        sum(summed(photographed(model, i * draws + k)(x_i), y) for k in range(draws)).backward()
        x_i = (x_i + 2.5 * eps / steps * x_i.grad.sign()).clamp(x - eps, x + eps).clamp(0, 1)
    return x_i.detach()


@eot_pgd.wrong("crash")
def without_a_seed(model, x, y, eps, steps, draws):
    return ascend(lambda x_i, i: gradient(model, x_i, y), x, eps, steps)


@eot_pgd.wrong("shape")
def all_draws(model, x, y, eps, steps, draws):
    return torch.cat([eot_pgd(model, x, y, eps, steps, 1) for _ in range(draws)])


def on_a_linear_model(draw: Draw, task: Any, **how: Any) -> Case:
    """Images of a linear model, labelled by what most of their photographs are read as; one draw a step, so that steps disagree."""
    case = task.case(draw, "linear", LINEAR, shape=SHAPE, steps=12, draws=1, **how)
    seen = logits_of_photographs(case.victim, case["x"], unseen(draw, 8)).mean(0)
    return case.but(y=seen.argmax(1))


def survives_new_photographs(student: Student, draw: Draw) -> None:
    """On a linear model, where the camera makes PGD weak, it gains nearly what the author's attack does."""
    case = on_a_linear_model(draw, student.task)
    images, x, y = student(case), case["x"], case["y"]
    f, how = Net.build(case.victim), {name: case[name] for name in ("eps", "steps")}
    ours = eot_pgd(case.victim.build(), x, y, draws=case["draws"], **how)
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
            f"Your steps are too short: in the end a pixel has moved by {percent(moved.mean() / case['eps'])} of eps on average, and "
            f"by {percent(right.mean() / case['eps'])} in a right attack. Photographs disagree, so steps take one another back, and "
            "those of eps / steps reach the end only where all agree. Make each 2.5 * eps / steps long."
        )
    return "weak", "The direction is right, but too few of the steps, or of the budget, are used."


def heeds_large_gradients(student: Student, draw: Draw) -> None:
    """Where a few photographs have a large gradient and most a small one the other way, the mean loss still rises."""
    case = student.task.case(draw, n=GREY, grey=True, shape=(3, 12, 12), classes=2, steps=5, draws=5)
    case = case.but(Unsure(**vars(case.victim)))
    images, x, y = student(case), case["x"], case["y"]
    model, seeds = case.victim.build(), unseen(draw, HELD_OUT)
    best = eot_pgd(case.victim.build(), x, y, case["eps"], case["steps"], case["draws"])
    with torch.no_grad():
        before, theirs, ours = (
            sum(cross_entropy(photographed(model, seed)(kind.float()), y) for seed in seeds) / len(seeds)
            for kind in (x, images, best)
        )
    if theirs - before >= RARE * (ours - before):
        return
    told = (
        "Here the gradient is large in a few photographs, and small, the other way, in most. The mean over all photographs follows "
        f"the few, and by it a right attack raises the mean loss by {ours - before:.3f}; yours changes it by {theirs - before:+.3f}. "
        "Is each draw's gradient brought to one size before you add them, by .sign() or by a division? Then the many outvote the "
        "few. Add the gradients as they are, and take the sign once, of the sum."
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
    best = eot_pgd(case.victim.build(), x, y, case["eps"], case["steps"], case["draws"])
    seeds = unseen(draw, HELD_OUT)
    theirs, ours = (misread(case.victim, kind, y, seeds) for kind in (images, best))
    if theirs.mean() < SHARE * ours.mean():
        told = (
            f"In new photographs of road signs {percent(theirs.mean())} are misread; a right attack gets to "
            f"{percent(ours.mean())}. Does yours use its steps, its draws and its whole budget?"
        )
        raise Finding("too weak", told, picture(case, images, int((ours - theirs).argmax())))


eot_pgd.checks(
    *FIRST,
    other_classes,
    stays_in_the_box,
    stays_near_the_image,
    stays_in_budget(),
    takes_new_photographs,
    survives_new_photographs,
    heeds_draws,
    leaves_what_is_misread,
    heeds_large_gradients,
    fools_from_paper,
    other_type,
    other_shape,
    *LAST,
)
