"""Lab 7: an attack on a model whose gradient is hidden."""

import copy
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from advcourse.core.inputs import predict
from advcourse.labs import definitions as by_hand
from advcourse.labs.checks import Student, picture
from advcourse.labs.exercises import Draw, exercise
from advcourse.labs.properties import (
    answers,
    asks_the_model,
    changes_the_images,
    keeps_what_it_gets,
    leaves_nothing_behind,
    other_classes,
    other_device,
    other_shape,
    other_type,
    stays_in_budget,
    stays_in_the_box,
)
from advcourse.labs.verdicts import Finding
from advcourse.metrics import succeeded


def a_budget(draw: Draw, x: Tensor) -> dict[str, float]:
    return {"eps": draw.number(0.17, 0.185), "steps": 12 + draw.integer() % 5}


def behind(logits, y):
    """How far the label's logit is behind the best other, (N,)."""
    own = one_hot(y, logits.shape[1]).bool()
    return logits.masked_fill(own, -torch.inf).amax(1) - logits[own]


def uphill(model, x, objective):
    """The sign of the gradient of an objective, a number, of the logits."""
    x = x.detach().clone().requires_grad_()
    return torch.autograd.grad(objective(model(x)), x)[0].sign()


def pushed(model, x, eps, steps, objective, start=None):
    """Sign steps up an objective of the logits, projected."""
    x_i = x if start is None else start
    for _ in range(steps):
        x_i = x_i + 2.5 * eps / steps * uphill(model, x_i, objective)
        x_i = x_i.clamp(x - eps, x + eps).clamp(0, 1)
    return x_i


def gap(y):
    """The sum of how far the labels' logits are behind."""
    return lambda logits: behind(logits, y).sum()


def loss(y):
    """The sum of the cross-entropies."""
    return lambda logits: cross_entropy(logits, y, reduction="sum")


@exercise(
    "Break it",
    4,
    a_budget,
    (
        "The loss saturates, the logits do not. What has to happen to the logits of an image for the model to be wrong about it?",
        "The label's logit must fall below the largest of the others. Their difference has a gradient everywhere: with "
        "one_hot(y, K) as a mask, others = logits.masked_fill(mask, -inf).amax(1).",
        "PGD without its start: x_i = x_i + 2.5 * eps / steps * gradient.sign(), of (others - own).sum(), then clipped to x - "
        "eps, x + eps and to [0, 1], `steps` times. Return it detached.",
    ),
)
def unmask(model, x, y, eps, steps):
    return pushed(model, x, eps, steps, gap(y))


@unmask.right
def by_softened_logits(model, x, y, eps, steps):
    def objective(logits):
        size = logits.detach().std(1, keepdim=True)  # a temperature for each image
        return cross_entropy(logits / size, y, reduction="sum")

    return pushed(model, x, eps, steps, objective)


@unmask.right
def in_double_precision(model, x, y, eps, steps):
    double = copy.deepcopy(model).double()  # where exp(-700) is not 0 yet
    return pushed(double, x.double(), eps, steps, lambda logits: loss(y)(logits / 10)).to(x.dtype)


def around(x, eps):
    """A random point near x."""
    noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(0)).to(x)
    return (x + eps * (2 * noise - 1)).clamp(0, 1)


@unmask.right
def margin_from_a_random_start(model, x, y, eps, steps):
    return pushed(model, x, eps, steps, gap(y), around(x, eps))


@unmask.wrong("does not move")
def plain_pgd(model, x, y, eps, steps):
    return pushed(model, x, eps, steps, loss(y))


@unmask.wrong("no direction")
def pgd_from_a_random_start(model, x, y, eps, steps):
    return pushed(model, x, eps, steps, loss(y), around(x, eps))


@unmask.wrong("one step")
def fgsm_on_the_logits(model, x, y, eps, steps):
    return (x + eps * uphill(model, x, gap(y))).clamp(0, 1)


@unmask.wrong("downhill")
def own_logit_up(model, x, y, eps, steps):
    return pushed(model, x, eps, steps, lambda logits: -gap(y)(logits))


@unmask.wrong("weak")
def small_steps(model, x, y, eps, steps):
    return unmask(model, x, y, eps / 3, steps)


@unmask.wrong("budget")
def added_steps(model, x, y, eps, steps):
    return unmask(model, x, y, 2 * eps, steps)


@unmask.wrong("box")
def no_clip(model, x, y, eps, steps):
    x_i = x
    for _ in range(steps):
        x_i = x_i + 2.5 * eps / steps * uphill(model, x_i, gap(y))
        x_i = x_i.clamp(x - eps, x + eps)
    return x_i


@unmask.wrong("units")
def eps_of_255(model, x, y, eps, steps):
    return unmask(model, x, y, eps / 255, steps)


@unmask.wrong("clean image")
def never_assigned(model, x, y, eps, steps):
    unmask(model, x, y, eps, steps)
    return x.clone()


@unmask.wrong("ignores the model")
def noise_alone(model, x, y, eps, steps):
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).to(x)
    return (x + eps * noise.sign()).clamp(0, 1)


@unmask.wrong("parameters")
def softens_the_model_itself(model, x, y, eps, steps):
    with torch.no_grad():
        for parameter in list(model.parameters())[-2:]:
            parameter.div_(50)
    return plain_pgd(model, x, y, eps, steps)


@unmask.wrong("attached")
def result_on_the_graph(model, x, y, eps, steps):
    return unmask(model, x, y, eps, steps).requires_grad_()


@unmask.wrong("crash")
def zip_of_logits(model, x, y, eps, steps):
    return pushed(model, x, eps, steps, lambda logits: logits - logits[y])


@unmask.wrong("too many steps")
def ten_times_the_steps(model, x, y, eps, steps):
    return unmask(model, x, y, eps, 10 * steps)


@unmask.wrong("too many steps")
def one_step_more(model, x, y, eps, steps):
    return unmask(model, x, y, eps, steps + 1)


@unmask.wrong("too many steps")
def always_forty_steps(model, x, y, eps, steps):
    return unmask(model, x, y, eps, 40)


@unmask.wrong("own answer")
def away_from_its_own_answer(model, x, y, eps, steps):
    return unmask(model, x, model(x).argmax(1), eps, steps)


@unmask.wrong("budget")
def always_the_same_budget(model, x, y, eps, steps):
    return unmask(model, x, y, 0.15, steps)


@unmask.wrong("other classes")
def ten_classes(model, x, y, eps, steps):
    own = one_hot(y, 10).bool()
    return pushed(model, x, eps, steps, lambda z: (z.masked_fill(own, -torch.inf).amax(1) - z[own]).sum())


SHARE = 0.8  # of what the judge's attack fools
DIGITS = 48


def breaks_the_mask(student: Student, draw: Draw) -> None:
    """On a model whose cross-entropy has no gradient it fools nearly as many digits as an attack on the logits does."""
    case = student.task.case(draw, "masked", DIGITS)
    case = case.but(replace(case.victim, gain=draw.number(35, 60)))
    model, y = case.victim.build(), case.labels
    images, best = student(case), unmask(model, **case.arguments)
    given = images.float().clamp(0, 1)
    theirs, ours = (succeeded(predict(model, found), y) for found in (given, best))
    if theirs.sum() >= SHARE * ours.sum():
        return
    lost = ours & ~theirs
    told = f"{int(theirs.sum())} of {DIGITS} digits fool the masked model; an attack on the logits fools {int(ours.sum())}."
    key, why = _why_it_fails(model, case, given, lost)
    raise Finding(key, f"{told} {why}", picture(case, images, int(lost.nonzero()[0])))


def _why_it_fails(model, case, images, lost):
    """Key and sentence for an attack that fools too few, by what it did to the images `lost`."""
    x, y = case["x"], case.labels
    moved = (images - x).flatten(1).abs().amax(1) > 1e-6
    if (~moved[lost]).double().mean() > 0.7:
        return "does not move", (
            f"{int((~moved & lost).sum())} of the others came back as they went in: the gradient of their cross-entropy is "
            "exactly 0, and so is its sign, whatever the loss is multiplied with. Climb something that does not saturate: the "
            "logits."
        )
    if ((images - unmask(model, **case.but(steps=1).arguments)).abs() < 1e-4).double().mean() > 0.9:
        return (
            "one step",
            "This is a single step. Its direction is right; take `steps` of them, each smaller.",
        )
    with torch.no_grad():
        after, before = behind(model(images), y), behind(model(x), y)
    if (after < before - 1e-3)[lost].double().mean() > 0.7:
        return (
            "downhill",
            "The label's logit is farther ahead than before the attack: the steps go the wrong way.",
        )
    way = uphill(model, x, gap(y))
    agreement = (way * (images - x).sign()).flatten(1)[lost].mean().item()
    if abs(agreement) < 0.08:
        return "no direction", (
            "What moves the others is the start alone: their changes have nothing to do with any gradient of the logits, for "
            "that of the cross-entropy is exactly 0 there, too. Climb something that does not saturate."
        )
    return (
        "weak",
        "They move the right way, but not far enough. Does the attack use its steps, and its whole budget?",
    )


STEPS = 3


def keeps_to_its_steps(student: Student, draw: Draw) -> None:
    """On stairs it climbs no more of them than it has steps; and an image that is misread already stays so."""
    case = student.task.case(draw, "stairs", 6, classes=2, steps=STEPS, eps=draw.number(0.05, 0.1))
    x, y, eps = torch.full_like(case["x"], 0.5), torch.arange(6) % 2, case["eps"]
    case = case.but(replace(case.victim, size=eps / 4), x=x, y=y)
    images = student(case)
    if (images - x).abs().max() > eps + 1e-5:
        told = f"A pixel moves by {(images - x).abs().max():.3f}, more than the budget eps = {eps}, which is another one here."
        raise Finding("budget", told, picture(case, images, 0))
    model = by_hand.model_of(case)
    stairs = (model.climbed(images) > eps / 4).sum(1)[y == 0].min().item()
    if stairs > STEPS:
        told = (
            f"steps is {STEPS}, and you take more: on a model whose gradient moves on by one block of pixels with each step, "
            f"{stairs} blocks were changed. Take `steps` steps."
        )
        raise Finding("too many steps", told, picture(case, images, 0))
    if not stairs or succeeded(model(images), y)[y == 1].any():  # what climbs none of them is told below
        return
    told = (
        "Images that the model misread as they came are read right after the attack: it leads away from what the model answers. "
        "Lead away from the label y."
    )
    raise Finding("own answer", told, picture(case, images, 1))


unmask.checks(
    answers,
    keeps_what_it_gets,
    other_classes,
    changes_the_images,
    asks_the_model,
    stays_in_the_box,
    stays_in_budget(),
    keeps_to_its_steps,
    breaks_the_mask,
    other_type,
    other_shape,
    other_device,
    leaves_nothing_behind,
)
