"""Walks to the nearest boundary, DeepFool's and some that are often taken for it: what answers to `deepfool` are made of.

Each gives the images after its last step, whether or not they fool the model.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from advcourse.labs.lab2.distances import distances
from advcourse.labs.lab2.gradients import apart, jacobian, predicted, wide
from advcourse.labs.lab2.shortest_step import shortest_step

Model = Callable[[Tensor], Tensor]


def step_while_k0(logits: Tensor, gradients: Tensor, k0: Tensor, norm: str) -> Tensor:
    """The shortest step, of the images that are of class k0."""
    return torch.where(wide(logits.argmax(1) == k0), shortest_step(logits, gradients, norm), 0)


def walk(
    model: Model,
    x: Tensor,
    k0: Tensor,
    steps: int,
    overshoot: float,
    norm: str,
    step: Callable[[Tensor, Tensor, Tensor, str], Tensor] = step_while_k0,
) -> Tensor:
    """DeepFool's: away from class k0, by the sum of all steps and the overshoot. Another `step` makes another walk."""
    x_i, total = x.clone(), torch.zeros_like(x)
    for _ in range(steps):
        total = total + step(*jacobian(model, x_i), k0, norm)
        x_i = x + (1 + overshoot) * total
    return x_i


def kept(model: Model, x_i: Tensor, x: Tensor, k0: Tensor) -> Tensor:
    """The images x_i that are no longer of class k0, and x in place of the others."""
    return torch.where(wide(predicted(model, x_i) != k0), x_i, x)


def step_from_k0(logits: Tensor, gradients: Tensor, k0: Tensor, norm: str, l: Tensor | None = None) -> Tensor:
    """The shortest step away from k0, though the model may predict another class; towards the nearest, or the classes `l`."""
    rows, (f, w) = torch.arange(len(k0)), apart(logits, gradients, k0)
    far = f.abs() / w.flatten(2).norm(p=2 if norm == "L2" else 1, dim=2)
    far[rows, k0] = torch.inf
    l = far.argmin(1) if l is None else l
    far, w = far[rows, l], w[rows, l]
    return wide(far) * (w.sign() if norm == "Linf" else w / wide(w.flatten(1).norm(dim=1)))


def endless(model: Model, x: Tensor, k0: Tensor, steps: int, overshoot: float, norm: str) -> Tensor:
    """Fooled or not, every image goes on."""
    return walk(model, x, k0, steps, overshoot, norm, step_from_k0)


def until_all(model: Model, x: Tensor, k0: Tensor, steps: int, overshoot: float, norm: str) -> Tensor:
    """Every image goes on until all are fooled."""

    def step(logits, gradients, k0, norm):
        return torch.where((logits.argmax(1) == k0).any(), step_from_k0(logits, gradients, k0, norm), 0)

    return walk(model, x, k0, steps, overshoot, norm, step)


def until_one(model: Model, x: Tensor, k0: Tensor, steps: int, overshoot: float, norm: str) -> Tensor:
    """Every image goes on until one is fooled."""

    def step(logits, gradients, k0, norm):
        return torch.where((logits.argmax(1) == k0).all(), step_from_k0(logits, gradients, k0, norm), 0)

    return walk(model, x, k0, steps, overshoot, norm, step)


def to_and_fro(model: Model, x: Tensor, k0: Tensor, steps: int, overshoot: float, norm: str) -> Tensor:
    """Each step leaves the class of the moment."""

    def step(logits, gradients, k0, norm):
        return shortest_step(logits, gradients, norm)

    return walk(model, x, k0, steps, overshoot, norm, step)


def to_the_first(model: Model, x: Tensor, k0: Tensor, steps: int, overshoot: float, norm: str) -> Tensor:
    """All steps lead to the boundary that is the nearest at x."""
    l = distances(*jacobian(model, x), norm).argmin(1)

    def step(logits, gradients, k0, norm):
        return torch.where(wide(logits.argmax(1) == k0), step_from_k0(logits, gradients, k0, norm, l), 0)

    return walk(model, x, k0, steps, overshoot, norm, step)


def compounding(model: Model, x: Tensor, k0: Tensor, steps: int, overshoot: float, norm: str) -> Tensor:
    """The overshoot is that of the sum, which holds the overshoots of earlier steps."""
    delta = torch.zeros_like(x)
    for _ in range(steps):
        logits, gradients = jacobian(model, x + delta)
        longer = (delta + shortest_step(logits, gradients, norm)) * (1 + overshoot)
        delta = torch.where(wide(logits.argmax(1) == k0), longer, delta)
    return x + delta


def clipping(model: Model, x: Tensor, k0: Tensor, steps: int, overshoot: float, norm: str) -> Tensor:
    """Images stay in the box."""
    x_i, total = x.clone(), torch.zeros_like(x)
    for _ in range(steps):
        total = total + step_while_k0(*jacobian(model, x_i), k0, norm)
        x_i = (x + (1 + overshoot) * total).clamp(0, 1)
    return x_i


def forgetting(model: Model, x: Tensor, k0: Tensor, steps: int, overshoot: float, norm: str) -> Tensor:
    """Each step starts from x, where an image that makes none is again."""
    x_i = x.clone()
    for _ in range(steps):
        x_i = x + (1 + overshoot) * step_while_k0(*jacobian(model, x_i), k0, norm)
    return x_i
