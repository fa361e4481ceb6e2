"""What answers to lab 1 are made of: the loss, its gradient, steps along it, and losses often taken for it."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from advcourse.labs.definitions import log_odds
from advcourse.labs.lab1.project import project


def gradient(
    model: nn.Module, x: Tensor, label: Tensor, loss: Callable[[Tensor, Tensor], Tensor] = log_odds
) -> Tensor:
    """Gradient (N, C, H, W) by the images of the sum of loss(logits, label)."""
    x = x.detach().clone().requires_grad_()
    return torch.autograd.grad(loss(model(x), label).sum(), x)[0]


def climb(
    model: nn.Module,
    start: Tensor,
    x: Tensor,
    label: Tensor,
    eps: float,
    alpha: float | Tensor,
    steps: int,
    loss: Callable[[Tensor, Tensor], Tensor] = log_odds,
) -> Tensor:
    """Where `steps` steps of alpha lead from `start`, each projected onto the ball around x."""
    x_i = start.clone()
    for _ in range(steps):
        x_i = project(x_i + alpha * gradient(model, x_i, label, loss).sign(), x, eps)
    return x_i


def mean_log_odds(logits: Tensor, label: Tensor) -> Tensor:
    """The mean over the images, one number."""
    return log_odds(logits, label).mean()


def cross_entropies(logits: Tensor, label: Tensor) -> Tensor:
    """J of each image, shape (N,)."""
    return cross_entropy(logits, label, reduction="none")


def softmax_twice(logits: Tensor, label: Tensor) -> Tensor:
    """The cross-entropy of what is a probability already."""
    return cross_entropies(logits.softmax(1), label)


def own_logit(logits: Tensor, label: Tensor) -> Tensor:
    """Minus the label's logit: nll_loss of the logits."""
    return -logits.gather(1, label[:, None])[:, 0]


def margin(logits: Tensor, label: Tensor) -> Tensor:
    """How far the largest of the other logits is above the label's."""
    return logits.scatter(1, label[:, None], -torch.inf).amax(1) - logits.gather(1, label[:, None])[:, 0]


def largest_logit(logits: Tensor, label: Tensor) -> Tensor:
    """The largest logit, whatever the label is."""
    return logits.amax(1)
