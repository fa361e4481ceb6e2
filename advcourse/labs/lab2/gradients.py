"""What answers to lab 2 are made of: the jacobian that its notebook gives, and what is read off a model at x."""

from collections.abc import Callable

import torch
from torch import Tensor


def jacobian(model: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (N, K) of a model at x, and their gradients (N, K, C, H, W)."""
    x = x.detach().clone().requires_grad_()
    logits = model(x)
    rows = [torch.autograd.grad(logits[:, k].sum(), x, retain_graph=True)[0] for k in range(logits.shape[1])]
    return logits.detach(), torch.stack(rows, 1)


def predicted(model: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The class of each image, (N,)."""
    with torch.no_grad():
        return model(x).argmax(1)


def apart(logits: Tensor, gradients: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    """f and w: how each class differs from the class `own` of its image, in logits and in gradients."""
    rows = torch.arange(len(logits))
    return logits - logits[rows, own][:, None], gradients - gradients[rows, own][:, None]


def wide(values: Tensor) -> Tensor:
    """One value for each image, (N,), as (N, 1, 1, 1)."""
    return values.view(-1, 1, 1, 1)
