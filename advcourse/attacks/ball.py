"""The ball of a budgeted attack: the steepest direction in its norm, and the projection onto the ball and the box [0, 1]."""

from typing import Literal

import torch
from torch import Tensor

Norm = Literal["Linf", "L2"]


def per_image(values: Tensor) -> Tensor:
    """Return `values` (N,) shaped to divide (N, C, H, W), and never 0: without a gradient an image stays, and is not NaN."""
    return values.clamp_min(torch.finfo(values.dtype).tiny).view(-1, 1, 1, 1)


def direction(gradient: Tensor, norm: Norm) -> Tensor:
    """Return the direction (N, C, H, W) of steepest ascent: the gradient's sign for "Linf", its unit vector for "L2"."""
    return gradient.sign() if norm == "Linf" else gradient / per_image(gradient.flatten(1).norm(dim=1))


def box(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Return the lowest and the highest image in the L-infinity ball around `x` and in [0, 1]: computed once for all steps."""
    return (x - eps).clamp_min(0), (x + eps).clamp_max(1)


def project(x_i: Tensor, x: Tensor, eps: float, norm: Norm, bounds: tuple[Tensor, Tensor]) -> Tensor:
    """Project the points `x_i` onto the ball around `x` (N, C, H, W) and clip them to [0, 1]; `bounds` are those of `box`."""
    if norm == "Linf":
        return torch.clamp(x_i, *bounds)
    delta = x_i - x
    # [0, 1] contains x, so clipping only brings the point nearer to x, and the norm stays within the budget.
    return (x + delta * (eps / per_image(delta.flatten(1).norm(dim=1))).clamp_max(1)).clamp(0, 1)
