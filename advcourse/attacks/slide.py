"""Slide along the decision boundary towards the clean image: the last part of the search of C&W L2 and EAD.

Near the boundary the constraint "the model is fooled" is almost linear, f + g.(x' - x_k) <= 0. The nearest point under a
linear constraint in the box has a closed form with a single unknown multiplier. Descent on a sum of distance and hinge instead
keeps crossing the boundary, and needs many more passes to come as close.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from advcourse.attacks.best import Nearest

_NEWTON = 4  # iterations of Newton's method for the multiplier, the root of a piecewise linear function
_TOO_MUCH = 1e12


def slide(f: Callable, x: Tensor, nearest: Nearest, steps: int, sparsity: float = 0.0) -> Tensor:
    """Bring the successful points of `nearest` closer to the clean images.

    A step from x_k minimises pull * (|d|_2^2 + sparsity * |d|_1) + (1 - pull) * |x + d - x_k|_2^2 over d, under the linearised
    constraint and in the box. While the point succeeds, the pull grows; after a failure it shrinks, and the next step only
    returns to the boundary. A point whose pull has become too small to matter leaves the batch.

    Args:
        f: `f(index, images, differentiate)` as for `search.Search`, but its gradient must not vanish beyond the boundary.
        x: the clean images (N, C, H, W).
        nearest: the points; improved in place.
        steps: the largest number of steps.
        sparsity: weight of the L1 norm (default 0).

    Returns:
        the number of steps taken for each image, (N,).
    """
    taken = torch.zeros(len(x), dtype=torch.long, device=x.device)
    index = (nearest.found & (nearest.distance > 0)).nonzero().squeeze(1)
    x, x_k, pull = x[index], nearest.images[index], x.new_full((len(index),), 0.5)
    for step in range(steps + 1):
        if not len(index):
            break
        to_success, g = f(index, x_k, step < steps)
        success = to_success < 0
        nearest.offer(index, x_k, success)
        if step == steps:
            taken[index] = steps
            break
        pull = torch.where(success, 1.1 * pull, 0.7 * pull).clamp_max(0.9)
        # Aim beyond the boundary by a share of the distance: a large share at first, which finds better parts of it, then less.
        beyond = 0.005 + 0.3 * (1 - step / steps) ** 3
        x_k = step_to_boundary(x, x_k, to_success, g, pull * success, sparsity, beyond)
        if step % 4 == 3:  # not in each step, because the check waits for a GPU
            taken[index] = step + 1
            on = pull > 0.02
            if not on.all():
                index, x, x_k, pull = index[on], x[on], x_k[on], pull[on]
    return taken


def step_to_boundary(
    x: Tensor,
    x_k: Tensor,
    to_success: Tensor,
    g: Tensor,
    pull: Tensor,
    sparsity: float = 0.0,
    beyond: float = 0.005,
) -> Tensor:
    """Return the next point after x_k, as `slide` describes.

    Args:
        x, x_k: the clean images and the current points, (N, C, H, W).
        to_success: the distance to success at x_k, (N,).
        g: its gradient, (N, C, H, W). A pixel whose gradient is 0 is moved only by `pull`.
        pull: (N,), how strongly the point is pulled towards `x`, in [0, 1).
        sparsity: weight of the L1 norm (default 0).
        beyond: how far over the linearised boundary to aim, as a share of the distance to `x`, or of the distance to the
            boundary if that is larger, so that rounding does not decide on which side a step from `x` itself ends (default
            0.005).

    Returns:
        the new points (N, C, H, W), in [0, 1].
    """
    shape = x.shape
    x, x_k, g = x.flatten(1), x_k.flatten(1), g.flatten(1)
    change, pull = x_k - x, pull.unsqueeze(1)
    anchor, threshold = (1 - pull) * change, pull * sparsity / 2 if sparsity else None
    low, high = -x, 1 - x
    # The constraint on d: g.d <= room.
    lengths = torch.linalg.vector_norm(change, dim=1) * torch.linalg.vector_norm(g, dim=1)
    room = (g * change).sum(1) - to_success - beyond * torch.maximum(lengths, to_success)
    price, steepness, aim = 0.0, g * g, anchor
    for _ in range(_NEWTON):
        d, free = _prox(aim, threshold, low, high)
        slope = (steepness * free).sum(1).clamp_min_(torch.finfo(x.dtype).tiny)
        price = (torch.linalg.vecdot(g, d) - room).div_(slope).add_(price).clamp_(0, _TOO_MUCH)
        aim = torch.addcmul(anchor, price.unsqueeze(1), g, value=-1)
    d, _ = _prox(aim, threshold, low, high)
    return (x + d).clamp(0, 1).view(shape)


def _prox(d, threshold, low, high):
    """Return `d` shrunk by `threshold` and clipped to the box, and a mask of where neither stops it from moving with `d`."""
    if threshold is None:
        clipped = d.clamp(low, high)
        return clipped, clipped == d
    shrunk = d - d.clamp(-threshold, threshold)
    clipped = shrunk.clamp(low, high)
    return clipped, (clipped == shrunk) & (d.abs() >= threshold)
