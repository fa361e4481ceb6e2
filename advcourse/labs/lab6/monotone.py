"""Lab 6: weights with which no addition lowers the suspicion."""

import torch
from torch import Tensor

from advcourse.labs.checks import Student
from advcourse.labs.comparing import NUMBERS, gives
from advcourse.labs.exercises import Case, Draw, exercise
from advcourse.labs.lab6.apps import AppTask
from advcourse.labs.numbers import can_be_followed
from advcourse.labs.properties import (
    answers,
    keeps_what_it_gets,
    leaves_no_trace,
    other_amount,
    other_device,
)
from advcourse.labs.verdicts import Finding

LAYERS, WIDTH = 3, 6
PAIRS = 60


def weights_of(draw: Draw, x: None = None, layers: int = LAYERS, width: int = WIDTH) -> dict[str, Tensor]:
    """Weights of both signs, (layers, width, width); the first row of each layer has both signs."""
    weights = draw.normal((layers, width, width))
    weights[:, 0] = weights[:, 0].abs() * torch.tensor([1.0, -1.0]).repeat(width)[:width]
    return {"weights": weights}


@exercise(
    "A net that no addition deceives",
    2,
    weights_of,
    (
        "An addition turns a 0 of x into a 1. If no weight is below 0, what can that do to the first layer? And to the next?",
        "Weights from 0 on do no harm and stay. Those below 0 become what is nearest to them and not below 0.",
        "return weights.clamp(min=0). Not weights.data, and no torch.no_grad(): training must see through it.",
    ),
    shape=lambda case: case["weights"].shape,
    kind=AppTask,
)
def monotone(weights):
    return weights.clamp(min=0)


@monotone.slip(
    "signs dropped",
    "You take the size of each weight. The net is monotone, and what spoke for an honest app speaks against it now. A weight "
    "below 0 must become what is nearest to it: 0.",
)
def sizes(weights):
    return weights.abs()


@monotone.slip("signs dropped")
def squares(weights):
    return weights**2


@monotone.slip(
    "other half",
    "You keep the weights below 0. With these every addition lowers the sum of its layer: clamp with min=0, not max=0.",
)
def keeps_the_negative(weights):
    return weights.clamp(max=0)


@monotone.slip(
    "first layer alone",
    "The first layer has no weight below 0, and a later one has: what rises in front falls behind it. All layers must be "
    "clamped.",
)
def clamps_the_first(weights):
    return torch.cat([weights[:1].clamp(min=0), weights[1:]])


@monotone.slip(
    "last layer alone",
    "The last layer has no weight below 0, and the ones before it have: the addition goes through them first. Clamp all layers.",
)
def clamps_the_last(weights):
    return torch.cat([weights[:-1], weights[-1:].clamp(min=0)])


@monotone.slip(
    "all to nothing",
    "All weights are 0: this net gives all apps the same suspicion. It is monotone, and blind. Weights from 0 on stay as they "
    "are.",
)
def all_zero(weights):
    return 0 * weights


@monotone.slip(
    "moved up",
    "You move all weights up until none is below 0, and so change those that did no harm. Only weights below 0 change, to 0.",
)
def less_the_smallest(weights):
    return weights - weights.min()


@monotone.slip("moved up")
def less_the_smallest_of_its_layer(weights):
    return weights - weights.amin((1, 2), keepdim=True)


@monotone.slip(
    "squeezed",
    "You put a smooth function over the weights. None is below 0 then, but those that did no harm are others now. Only weights "
    "below 0 change.",
)
def softplus(weights):
    return torch.nn.functional.softplus(weights)


@monotone.slip("squeezed")
def exponential(weights):
    return weights.exp()


@monotone.slip("squeezed")
def shares(weights):
    return weights.softmax(-1)


@monotone.slip(
    "cut above",
    "No weight is below 0, but you also cut those above 1 off. Nothing is wrong with a large weight: clamp(min=0) alone.",
)
def between_0_and_1(weights):
    return weights.clamp(0, 1)


@monotone.right
def relu(weights):
    return torch.relu(weights)


@monotone.right
def where_above(weights):
    return torch.where(weights > 0, weights, torch.zeros_like(weights))


@monotone.right
def half_of_both(weights):
    return (weights + weights.abs()) / 2


@monotone.wrong("falls")
def unchanged(weights):
    return weights.clone()


@monotone.wrong("falls")
def sums_of_rows(weights):
    return torch.where(weights.sum(-1, keepdim=True) < 0, 0 * weights, weights)


@monotone.wrong("falls")
def nearly_zero(weights):
    return torch.where(weights < 0, 0.01 * weights, weights)


@monotone.wrong("detached")
def by_data(weights):
    return weights.data.clamp(min=0)


@monotone.wrong("detached")
def without_gradients(weights):
    with torch.no_grad():
        return weights.clamp(min=0)


@monotone.wrong("input")
def in_place(weights):
    weights.data.clamp_(min=0)
    return weights


@monotone.wrong("crash")
def without_min(weights):
    return weights.clamp()


def suspicion(weights: Tensor, x: Tensor, bias: Tensor) -> Tensor:
    """The net: ReLU between its layers, whose weights are `weights` (L, D, D); the suspicion is the sum of the last, (N,)."""
    for i, (layer, b) in enumerate(zip(weights, bias)):
        x = (x.relu() if i else x) @ layer.T + b
    return x.sum(1)


def never_falls(student: Student, draw: Draw) -> None:
    """Of many pairs x <= x' of random apps none has a lower suspicion after the additions."""
    for _ in range(3):
        case = student.task.case(draw)
        found = student(case)
        x = (draw.uniform((PAIRS, WIDTH)) < 0.4).double()
        more = torch.maximum(x, (draw.uniform(x.shape) < 0.4).double())
        one = torch.eye(WIDTH).double().repeat(PAIRS // WIDTH, 1).maximum(x)  # one addition each
        bias = 3 * draw.normal((LAYERS, WIDTH)).double()
        _compare(found, torch.cat([x, x]), torch.cat([more, one]), bias)
    if (found < 0).any():
        told = f"{int((found < 0).sum())} of your weights are below 0, and lower the suspicion where biases let them."
        raise Finding("falls", told)


def _compare(weights, x, more, bias):
    before, after = suspicion(weights, x, bias), suspicion(weights, more, bias)
    fall = before - after
    if fall.max() <= 1e-9 * before.abs().max():
        return
    i = int(fall.argmax())
    new = [j for j in range(WIDTH) if more[i, j] > x[i, j]]
    told = (
        f"{int((weights < 0).sum())} of your weights are below 0, and so additions pay: one app has a suspicion of "
        f"{before[i]:.2f}, and with {'feature' if len(new) == 1 else 'features'} {', '.join(map(str, new))} added, "
        f"{after[i]:.2f}."
    )
    raise Finding("falls", told)


def other_size(task: AppTask, draw: Draw) -> Case:
    """Two layers of four."""
    return task.case(draw, **weights_of(draw, layers=2, width=4))


def two_nets(task: AppTask, draw: Draw) -> list[Case]:
    return [task.case(draw), other_size(task, draw)]


monotone.checks(
    answers,
    keeps_what_it_gets,
    gives(monotone, NUMBERS, make=two_nets, only=True),
    never_falls,
    gives(monotone, NUMBERS, keys=(), make=two_nets),
    other_amount("It works for three layers of six and fails for two of four.", other_size),
    can_be_followed(lambda case: case["weights"].clamp(min=0), "weights", "training"),
    other_device,
    leaves_no_trace,
)
