"""What answers of lab 12 about games share: the gradient by the frames, and a ball with a box."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy


def preferred(model: nn.Module, x: Tensor) -> Tensor:
    """The action that the player prefers in each game, (N,)."""
    with torch.no_grad():
        return model(x).argmax(1)


def gradient_of_loss(model: nn.Module, x: Tensor, action: Tensor) -> Tensor:
    """The gradient (N, C, H, W) by the frames of J(x, action), summed over the games."""
    x = x.detach().clone().requires_grad_()
    return torch.autograd.grad(cross_entropy(model(x), action, reduction="sum"), x)[0]


def near(x_i: Tensor, x: Tensor, eps: float) -> Tensor:
    """x_i back in the ball of eps around x, and in the box."""
    return x_i.clamp(x - eps, x + eps).clamp(0, 1)


def walk(model: nn.Module, x: Tensor, action: Tensor, eps: float, alpha: float, steps: int) -> Tensor:
    """`steps` steps of alpha up J(x_i, action), each back in the ball around x."""
    x_i = x
    for _ in range(steps):
        x_i = near(x_i + alpha * gradient_of_loss(model, x_i, action).sign(), x, eps)
    return x_i
