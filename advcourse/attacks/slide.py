"""Sliding along the decision boundary towards the clean image: how the search of C&W L2 and EAD ends.

Near the boundary the constraint "the model is fooled" is almost linear, f + g.(x' - x_k) <= 0, and the nearest point
under a linear constraint in the box is known but for one multiplier. Descent on a sum of distance and hinge keeps
crossing the boundary instead, and needs many more passes to come as close.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from advcourse.attacks.best import Nearest

_NEWTON = 4  # iterations for the multiplier: it is the root of a piecewise linear function
_TOO_MUCH = 1e12


def slide(f: Callable, x: Tensor, nearest: Nearest, steps: int, sparsity: float = 0.0) -> Tensor:
    """Bring the points that `nearest` knows closer to the images `x` (N, C, H, W), in at most `steps` steps each.

    `f(index, images, differentiate)` gives the distance to success, as for `search.Search`, and its gradient, beyond the
    boundary too. A step from x_k minimises pull * (|d|_2^2 + sparsity * |d|_1) + (1 - pull) * |x + d - x_k|_2^2 over d,
    under the linearised constraint and in the box. While it succeeds the pull grows; where it does not the pull shrinks,
    and the next step only restores. A point whose pull has become too small to matter leaves the batch. Returns the steps
    taken, (N,).
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
        # Aim beyond the boundary, by a share of the distance: far at first, which finds better parts of it, and ever less.
        beyond = 0.005 + 0.3 * (1 - step / steps) ** 3
        x_k = step_to_boundary(x, x_k, to_success, g, pull * success, sparsity, beyond)
        if step % 4 == 3:  # now and then: each look waits for a GPU
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
    """The next point after x_k (N, C, H, W), as `slide` tells.

    `to_success`, the distance to success, and `pull` (N,); `g` the gradient of the former: a pixel where it is 0 is moved
    by `pull` alone. `beyond`: how far over the linearised boundary to aim, as a share of the distance to `x`, or of the
    distance to the boundary where that is larger: from `x` itself, too, no rounding shall decide on which side it ends.
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
    """`d` shrunk by `threshold` and clipped to the box; and where neither holds it, so that it still moves with `d`."""
    if threshold is None:
        clipped = d.clamp(low, high)
        return clipped, clipped == d
    shrunk = d - d.clamp(-threshold, threshold)
    clipped = shrunk.clamp(low, high)
    return clipped, (clipped == shrunk) & (d.abs() >= threshold)
