"""Lab 7: for which share of the images the gradient is 0, in float32."""

import copy
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from advcourse.labs import definitions as by_hand
from advcourse.labs.comparing import gives, numbers
from advcourse.labs.exercises import Case, Draw, Task, exercise
from advcourse.labs.lab7.losses import one_number
from advcourse.labs.properties import (
    answers,
    keeps_what_it_gets,
    leaves_nothing_behind,
    other_device,
    other_shape,
)

# exp(-104) is 0 in float32, the smallest positive number of which is exp(-103.3). Between these two a processor may round to 0 or
# not, and products of the gradient with the weights too, so that no image is asked about there.
ZERO, SMALL = 120.0, 70.0
SURE = 90.0  # how many times as large the logits of two pixels are
TINY = 25.0  # from here on the gradient is far smaller than any tolerance
STEP = 5e-3  # much less than one image's share


def gradient_of(model, x, y):
    x = x.detach().clone().requires_grad_()
    return torch.autograd.grad(cross_entropy(model(x), y, reduction="sum"), x)[0]


def without(model, x, y):
    """For which images there is no gradient, (N,)."""
    return (gradient_of(model, x, y) == 0).flatten(1).all(1)


@exercise(
    "Where there is no gradient",
    2,
    hints=(
        "The gradient of the cross-entropy by the images: work on a copy that requires gradients, and take the sum of the "
        "losses.",
        "(gradient == 0).flatten(1).all(1) is True for images without any gradient, (N,).",
        "return (gradient == 0).flatten(1).all(1).double().mean().",
    ),
    shape=one_number,
)
def zero_share(model, x, y):
    return without(model, x, y).double().mean()


@zero_share.slip(
    "small ones too",
    "Gradients count that are only small. A sign attack does not care how small a number is, as long as it is not 0: compare "
    "with == 0, without a tolerance.",
)
def with_a_tolerance(model, x, y):
    return (gradient_of(model, x, y).abs() < 1e-8).flatten(1).all(1).double().mean()


@zero_share.slip("small ones too")
def with_a_tiny_tolerance(model, x, y):
    return (gradient_of(model, x, y).abs() < 1e-30).flatten(1).all(1).double().mean()


@zero_share.slip(
    "one sign alone",
    "Images count whose gradient goes one way only: the largest number of a gradient may be 0, and others negative; or the "
    "smallest 0, and others positive. Take abs() before amax, or ask for 0 in every pixel: (gradient == 0).flatten(1).all(1).",
)
def largest_without_abs(model, x, y):
    return (gradient_of(model, x, y).flatten(1).amax(1) == 0).double().mean()


@zero_share.slip("one sign alone")
def smallest_without_abs(model, x, y):
    return (gradient_of(model, x, y).flatten(1).amin(1) == 0).double().mean()


@zero_share.slip(
    "own answer",
    "The gradient is that of the model's own answer. The loss that an attack climbs is that of the label y, and where the "
    "model is wrong, its gradient is large.",
)
def of_the_models_answer(model, x, y):
    return zero_share(model, x, model(x).argmax(1))


@zero_share.slip(
    "no zero",
    "You found no gradient that is 0, and there are some. Is it the gradient of the cross-entropy, in float32, and is "
    "each image looked at for itself? In float64, and of logits, it is not 0.",
)
def in_double(model, x, y):
    return zero_share(copy.deepcopy(model).double(), x.double(), y)


@zero_share.slip(
    "some pixels",
    "An image counts where the gradient of any pixel is 0. All of them must be: (gradient == 0).flatten(1).all(1).",
)
def any_pixel(model, x, y):
    return (gradient_of(model, x, y) == 0).flatten(1).any(1).double().mean()


@zero_share.slip(
    "sums of 0",
    "Images count whose gradient sums to 0: what goes up in one pixel and down in another cancels. Ask for 0 in every pixel: "
    "(gradient == 0).flatten(1).all(1).",
)
def added_up(model, x, y):
    return (gradient_of(model, x, y).flatten(1).sum(1) == 0).double().mean()


@zero_share.slip(
    "share of channels",
    "This is the share of the channels. An image counts where all of its pixels have the gradient 0, in all channels.",
)
def of_all_channels(model, x, y):
    return (gradient_of(model, x, y) == 0).flatten(2).all(2).double().mean()


@zero_share.slip(
    "share of pixels",
    "This is the share of the pixels. An image counts where all of its pixels have the gradient 0.",
)
def of_all_pixels(model, x, y):
    return (gradient_of(model, x, y) == 0).double().mean()


@zero_share.slip(
    "not 0", "This is the share of the images that have a gradient. Those without one are asked for."
)
def with_a_gradient(model, x, y):
    return 1 - zero_share(model, x, y)


@zero_share.slip("count", "This is a number of images. Divide by the number of all of them.")
def number_of_images(model, x, y):
    return without(model, x, y).double().sum()


@zero_share.slip("percent", "This is a percentage. A share is from 0 to 1.")
def percentage(model, x, y):
    return 100 * zero_share(model, x, y)


@zero_share.right
def largest_pixel(model, x, y):
    images = x.clone().requires_grad_()
    cross_entropy(model(images), y).backward(inputs=[images])
    largest = images.grad.abs().amax(dim=(1, 2, 3))
    return sum(1 for size in largest.tolist() if size == 0) / len(x)


@zero_share.wrong("shape")
def for_each_image(model, x, y):
    return without(model, x, y).double()


@zero_share.wrong("type")
def in_words(model, x, y):
    return f"{100 * float(zero_share(model, x, y)):.0f} %"


@zero_share.wrong("parameter gradients")
def backward_into_the_weights(model, x, y):
    x = x.detach().clone().requires_grad_()
    cross_entropy(model(x), y, reduction="sum").backward()
    return (x.grad == 0).flatten(1).all(1).double().mean()


@zero_share.wrong("formula")
def every_second_image(model, x, y):
    return 0.5 * zero_share(model, x, y)


@zero_share.wrong("crash")
def x_without_gradients(model, x, y):
    return (torch.autograd.grad(cross_entropy(model(x), y), x)[0] == 0).flatten(1).all(1).double().mean()


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
        if abs(in_float32(of_all_channels, case) - in_float32(with_a_tiny_tolerance, case)) > 2 * STEP:
            return case


def in_float32(function, case):
    """What a function of the lab gives in float32, where gradients become 0."""
    return torch.as_tensor(function(case.victim.build(), **case.arguments)).double()


SHARES = replace(numbers(STEP), called=in_float32)

zero_share.checks(
    answers,
    keeps_what_it_gets,
    gives(zero_share, SHARES, make=two_masked),
    other_shape,
    other_device,
    leaves_nothing_behind,
)
