"""What the lab's notebook gives: the iterates of PGD."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy


def climb(
    model: nn.Module, x: Tensor, y: Tensor, start: Tensor, eps: float, alpha: float, steps: int
) -> Tensor:
    """PGD's iterates, (steps + 1, N, C, H, W): `start` first, the last one last. The model is asked in the mode that it is in.

    x_{i+1} = clip(x_i + alpha sign(grad J(x_i, y))), to at most eps from x, and to [0, 1].
    """
    low, high = (x - eps).clamp_min(0), (x + eps).clamp_max(1)
    iterates = [start.detach()]
    for _ in range(steps):
        x_i = iterates[-1].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(cross_entropy(model(x_i), y, reduction="sum"), x_i)
        iterates.append((x_i.detach() + alpha * gradient.sign()).clamp(low, high))
    return torch.stack(iterates)
