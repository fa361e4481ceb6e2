"""A model whose gradient is hidden: how often it is 0, and an attack that finds its way all the same."""

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from advcourse.core.inputs import predict
from advcourse.labs import definitions as by_hand
from advcourse.labs.checks import Case, Draw, Student, Task, picture
from advcourse.labs.numbers import gives
from advcourse.labs.verdicts import Finding
from advcourse.metrics import succeeded

# exp(-104) is 0 in float32, the smallest positive number of which is exp(-103.3). Between these two a processor may round to 0 or
# not, and products of the gradient with the weights too, so that no image is asked about there.
ZERO, SMALL = 120.0, 70.0
SURE = 90.0  # how many times as large the logits of two pixels are
TINY = 25.0  # from here on the gradient is far smaller than any tolerance
TRACE = 1e-30  # a gradient below it, and not 0
STEP = 5e-3  # much less than one image's share


def margins(case: Case) -> Tensor:
    """How far the largest logit of the masked model is above the second, (N,)."""
    first, second = by_hand.logits(case, by_hand.clean(case)).topk(2).values.T
    return first - second


def both_kinds(task: Task, draw: Draw) -> Case:
    """Digits of the masked model, some with wrong labels: the gradient is 0, or small, or large where the label is wrong."""
    case = task.case(draw, "masked", 70)
    case = case.but(replace(case.victim, gain=draw.number(7, 10)))
    margin = margins(case)
    right = by_hand.most_likely(case) == case["y"]
    zero, small = (
        (right & (margin > ZERO)).nonzero()[:, 0],
        (right & (margin > TINY) & (margin < SMALL)).nonzero()[:, 0],
    )
    chosen = torch.cat([zero[: 18 + draw.integer() % 6], small[: 7 + draw.integer() % 4]])
    y = case["y"][chosen].clone()
    y[::5] = (y[::5] + 1 + draw.integer() % 9) % 10
    return case.but(x=case["x"][chosen], y=y)


def two_masked(task: Task, draw: Draw) -> list[Case]:
    return [both_kinds(task, draw) for _ in range(2)] + [of_two_pixels(task, draw), of_one_sign(task, draw)]


def of_one_sign(task: Task, draw: Draw) -> Case:
    """Images whose gradient has one pixel that is not 0: it is negative in the first ones, and positive in the others."""
    n = 16 + draw.integer() % 4
    case = task.case(draw, "two hills", n, classes=2)
    x, away = case["x"].clone(), 0.02 + 0.05 * draw.uniform((n,))
    away[: 5 + draw.integer() % 4] *= -1
    x[:, 0, 0, 0] = 0.5 + away
    return case.but(x=x, y=torch.zeros(n, dtype=torch.long))


def _of_two_pixels(task, draw):
    """Colours whose gradient has two pixels that cancel, each below 1e-30, or is 0, or large where the label is wrong."""
    sure = torch.cat([130 + 30 * draw.uniform((8,)), 72 + 6 * draw.uniform((9 + draw.integer() % 3,))])
    case = task.case(draw, "two pixels", len(sure), shape=(3, 6, 8), classes=2)
    x, y = case["x"].clone(), torch.ones(len(sure), dtype=torch.long)
    gap = sure / (2 * SURE)
    x[:, -1, -1, -2], x[:, -1, -1, -1] = 0.5 + gap / 2, 0.5 - gap / 2
    y[::5] = 0
    return case.but(replace(case.victim, gain=SURE), x=x, y=y)


def of_two_pixels(task: Task, draw: Draw) -> Case:
    """The same, drawn until the share of channels without a gradient is another than that of images with a small one."""
    while True:
        case = _of_two_pixels(task, draw)
        if (_channels(case) - _below(case, TRACE)).abs() > 2 * STEP:
            return case


def zero_share(case: Case) -> Tensor:
    """By the margins: with the right label the gradient is 0 where all other probabilities are; with a wrong one it never is."""
    return ((margins(case) > (ZERO + SMALL) / 2) & _right(case)).double().mean()


def _right(case):
    return by_hand.most_likely(case) == case["y"]


def _own_label(case):
    return (margins(case) > (ZERO + SMALL) / 2).double().mean()


def _gradient(case):
    """As float32 has it."""
    x = case["x"].clone().requires_grad_()
    loss = torch.nn.functional.cross_entropy(case.victim.build()(x), case["y"], reduction="sum")
    return torch.autograd.grad(loss, x)[0].flatten(1)


def _below(case, bound):
    return (_gradient(case).abs().amax(1) < bound).double().mean()


def _cancelled(case):
    return (_gradient(case).sum(1) == 0).double().mean()


def _channels(case):
    pixels = (_gradient(case) == 0).view(len(case["y"]), case["x"].shape[1], -1)
    return pixels.all(2).double().mean()


def _pixels(case):
    return (_gradient(case) == 0).double().mean()


def _any_pixel(case):
    return (_gradient(case) == 0).any(1).double().mean()


_SMALL = (
    "small ones too",
    "Gradients count that are only small. A sign attack does not care how small a number is, as long as it is not 0: compare "
    "with == 0, without a tolerance.",
)

_SIGN = (
    "one sign alone",
    "Images count whose gradient goes one way only: the largest number of a gradient may be 0, and others negative; or the "
    "smallest 0, and others positive. Take abs() before amax, or ask for 0 in every pixel: (gradient == 0).flatten(1).all(1).",
)

_ZERO_SLIPS = (
    (*_SMALL, lambda case: _below(case, 1e-3)),
    (*_SMALL, lambda case: _below(case, TRACE)),
    (*_SIGN, lambda case: (_gradient(case).amax(1) == 0).double().mean()),
    (*_SIGN, lambda case: (_gradient(case).amin(1) == 0).double().mean()),
    (
        "own answer",
        "The gradient is that of the model's own answer. The loss that an attack climbs is that of the label y, and where the "
        "model is wrong, its gradient is large.",
        _own_label,
    ),
    (
        "no zero",
        "You found no gradient that is 0, and there are some. Is it the gradient of the cross-entropy, in float32, and is "
        "each image looked at for itself? In float64, and of logits, it is not 0.",
        lambda case: torch.zeros((), dtype=torch.float64),
    ),
    (
        "some pixels",
        "An image counts where the gradient of any pixel is 0. All of them must be: (gradient == 0).flatten(1).all(1).",
        _any_pixel,
    ),
    (
        "sums of 0",
        "Images count whose gradient sums to 0: what goes up in one pixel and down in another cancels. Ask for 0 in every pixel: "
        "(gradient == 0).flatten(1).all(1).",
        _cancelled,
    ),
    (
        "share of channels",
        "This is the share of the channels. An image counts where all of its pixels have the gradient 0, in all channels.",
        _channels,
    ),
    (
        "share of pixels",
        "This is the share of the pixels. An image counts where all of its pixels have the gradient 0.",
        _pixels,
    ),
    (
        "not 0",
        "This is the share of the images that have a gradient. Those without one are asked for.",
        lambda case: 1 - zero_share(case),
    ),
    (
        "count",
        "This is a number of images. Divide by the number of all of them.",
        lambda case: zero_share(case) * len(case["y"]),
    ),
    ("percent", "This is a percentage. A share is from 0 to 1.", lambda case: 100 * zero_share(case)),
)

ZERO_SHARE = (gives(zero_share, _ZERO_SLIPS, least=STEP, cases=two_masked),)


# An attack


def lead(logits: Tensor, y: Tensor) -> Tensor:
    """How far the label's logit is above the best other (N,)."""
    others = logits.masked_fill(one_hot(y, logits.shape[1]).bool(), -torch.inf).amax(1)
    return logits.gather(1, y[:, None])[:, 0] - others


def downhill(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The sign of the gradient of what is ahead: where to go down to fool."""
    x = x.detach().clone().requires_grad_()
    return torch.autograd.grad(lead(model(x), y).sum(), x)[0].sign()


def by_the_logits(model: nn.Module, case: Case, steps: int | None = None) -> Tensor:
    """Sign steps that bring the label's logit below the others, in the type of x."""
    x, y, eps = case["x"], case.labels, case["eps"]
    steps = case["steps"] if steps is None else steps
    size = eps if steps == 1 else 2.5 * eps / steps
    x_i = x
    for _ in range(steps):
        x_i = x_i - size * downhill(model, x_i, y)
        x_i = (x + (x_i - x).clamp(-eps, eps)).clamp(0, 1)
    return x_i


def a_budget(draw: Draw, x: Tensor) -> dict[str, float]:
    return {"eps": draw.number(0.17, 0.185), "steps": 12 + draw.integer() % 5}


SHARE = 0.8  # of what the judge's attack fools
DIGITS = 48


def breaks_the_mask(student: Student, draw: Draw) -> None:
    """On a model whose cross-entropy has no gradient it fools nearly as many digits as an attack on the logits does."""
    case = student.task.case(draw, "masked", DIGITS)
    case = case.but(replace(case.victim, gain=draw.number(35, 60)))
    model, y = case.victim.build(), case.labels
    images = student(case)
    given = images.float().clamp(0, 1)
    theirs, ours = (succeeded(predict(model, found), y) for found in (given, by_the_logits(model, case)))
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
    if ((images - by_the_logits(model, case, steps=1)).abs() < 1e-4).double().mean() > 0.9:
        return (
            "one step",
            "This is a single step. Its direction is right; take `steps` of them, each smaller.",
        )
    with torch.no_grad():
        ahead, before = lead(model(images), y), lead(model(x), y)
    if (ahead > before + 1e-3)[lost].double().mean() > 0.7:
        return (
            "downhill",
            "The label's logit is farther ahead than before the attack: the steps go the wrong way.",
        )
    way = -downhill(model, x, y)
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


UNMASK = (keeps_to_its_steps, breaks_the_mask)
