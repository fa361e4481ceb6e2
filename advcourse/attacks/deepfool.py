"""DeepFool: step by step over the nearest decision boundary, each step exact where the model is linear."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from advcourse.attacks.base import Attack, Victim
from advcourse.attacks.hyperparameters import number

_STILL_NEAR = 3  # classes that are looked at after the first step: on the shipped models the same steps as with all of them
_BEYOND = 1e-4  # added to each step's length, as in the authors' code, so that a boundary is crossed and not only met
_FORWARD = 1.5  # the price of a forward pass in backward passes, measured on the shipped convolutional nets


@dataclass(frozen=True)
class DeepFool(Attack):
    """DeepFool: x_{i+1} = x + (1 + overshoot) * sum_{j <= i} r_j, r_j the shortest step that a linear model would need.

    With f_k = Z_k - Z_{k0}, w_k = grad f_k, k0 the prediction, and 1/p + 1/q = 1: the step goes over the boundary of
    the class l = argmin_k |f_k| / ||w_k||_q. In L2 it is r = |f_l| / ||w_l||_2^2 * w_l, in L-infinity r = |f_l| /
    ||w_l||_1 * sign(w_l). It ends once the prediction is not k0.

    Paper: Moosavi-Dezfooli, Fawzi and Frossard 2016, "DeepFool: a simple and accurate method to fool deep neural networks",
    algorithm 2 and section 3.3 (arXiv 1511.04599). As in the authors' code, the overshoot moves the iterates themselves
    (in algorithm 2 only the result), and 1e-4 is added to each step's length.

    The paper knows no box, and clipping its result to [0, 1] often undoes it: on digits nearly always. So an image
    whose clipped result is not fooling walks on from there, towards the class that it had reached, and is clipped after
    each step. Other libraries clip each step from the start, which takes more passes and ends a little farther away.

    A misread image comes back as it is, after no steps; one that is not fooled after `steps` comes back clean, and is
    flagged.

    Args:
        steps: iterations at most, outside and inside of the box together (default 50).
        overshoot: how far beyond the linear boundary, as a share of the way (default 0.02).
        norm: "L2" (default) or "Linf", the norm that is kept small.
        classes: the number of classes with the largest logits, the prediction among them, over whose boundaries the
            first step may go (default 10); later steps look at the three that were nearest then.

    Details of the record: "unclipped" (N, C, H, W), the paper's perturbation, not clipped; "crossed" (N,) bool, whether it
    changes the label; "iterations" (N,), those that it took.

    Example:
        >>> result = DeepFool().run(model, x, y)
        >>> result.distances["L2"], result.details["unclipped"].flatten(1).norm(dim=1)
    """

    steps: int = number(50, low=1)
    overshoot: float = number(0.02, low=0)
    norm: Literal["Linf", "L2"] = "L2"
    classes: int = number(10, low=2)
    kind: ClassVar[str] = "minimum-norm"

    def _perturb(self, victim, x, y, target, noise):
        settings = self.steps, self.overshoot, self.norm
        over = walk(victim, x, y, settings, classes=self.classes)
        images = over.images.clamp(0, 1)
        cut = (over.crossed & (images != over.images).flatten(1).any(1)).nonzero().squeeze(1)
        images[~over.crossed] = x[~over.crossed]
        steps = over.steps.clone()
        if len(cut):
            inside = walk(victim, images[cut], y[cut], settings, towards=over.nearest[cut], taken=steps[cut])
            images[cut] = torch.where(inside.crossed.view(-1, 1, 1, 1), inside.images, x[cut])
            steps[cut] = inside.steps
        told = {"unclipped": over.images - x, "crossed": over.crossed, "iterations": over.steps}
        return images, steps, told


class Walk:
    """Where the walk has led N images: `images`; whether each has `crossed`; `steps` taken; `nearest`, its last aim."""

    def __init__(self, x: Tensor, taken: Tensor | None):
        self.images = x.clone()
        self.crossed = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        self.steps = (
            torch.zeros(len(x), dtype=torch.long, device=x.device) if taken is None else taken.clone()
        )
        self.nearest = torch.zeros_like(self.steps)


def walk(
    victim: Victim,
    x: Tensor,
    y: Tensor,
    settings: tuple[int, float, Literal["Linf", "L2"]],
    classes: int = 10,
    towards: Tensor | None = None,
    taken: Tensor | None = None,
) -> Walk:
    """DeepFool's loop from `x` (N, C, H, W), away from `y` (N,): the prediction, for an image that is misread already stays.

    `settings`: steps, overshoot and norm. Either over the nearest of the boundaries to the `classes` top classes, out
    of the box where that leads there; or over the one to the class `towards` (N,), clipped to [0, 1] after each step.
    `taken` (N,): steps taken before. Returns a `Walk`.
    """
    steps, overshoot, norm = settings
    at, rivals = Walk(x, taken), None if towards is None else towards.unsqueeze(1)
    index, x_i = torch.arange(len(x), device=x.device), x.detach()
    on = at.steps < steps
    while True:
        logits = victim(x_i.requires_grad_())
        if rivals is None:
            rivals = _rivals(logits.detach(), y, classes)
        to_success = victim.distance_to_success(logits.detach(), y[index], 1)
        at.images[index], at.crossed[index] = x_i.detach(), to_success < 0
        on &= to_success >= 0
        left = int(on.sum())
        if not left:
            return at
        index, rivals = index[on], rivals[on]
        # A sample that is done leaves the batch: at once, where a pass over the others costs less than to carry it along.
        if (len(on) - left) * rivals.shape[1] > _FORWARD * left:
            x_i = x_i.detach()[on].requires_grad_()
            logits, on = victim(x_i), slice(None)
        f, w = _linearised(victim, logits, x_i, on, y[index].unsqueeze(1), rivals)
        distance, r, nearest = _shortest(f, w, norm)
        before = x_i.detach()[on]
        # Each r is taken at a point that holds the overshoot, so this sum is x + (1 + overshoot) * (r_0 + ... + r_i).
        x_i = before + (1 + overshoot) * r
        if towards is not None:
            x_i = x_i.clamp(0, 1)
        at.nearest[index] = rivals.gather(1, nearest).squeeze(1)
        moved = (x_i != before).flatten(1).any(1)
        at.steps[index] += moved
        on = moved & (at.steps[index] < steps)  # where there is no gradient, there is nowhere to go
        if rivals.shape[1] > _STILL_NEAR:
            rivals = rivals.gather(1, distance.topk(_STILL_NEAR, largest=False).indices)


def _rivals(logits, y, classes):
    """The `classes` - 1 top classes but `y`, shape (N, classes - 1)."""
    others = logits.scatter(1, y.unsqueeze(1), -torch.inf)
    return others.topk(min(classes, logits.shape[1]) - 1).indices


def _linearised(victim, logits, x_i, on, y, rivals):
    """f_k and w_k of the images `on`: how far each rival is behind the label, (n, k), and the gradient, (n, k, C, H, W).

    By one backward pass for each rival over one forward graph: faster than `vmap` or tiling for more than a few images.
    """
    f = logits[on].gather(1, rivals) - logits[on].gather(1, y)
    last = f.shape[1] - 1
    w = [victim.gradient(f[:, k], x_i, keep_graph=k < last)[on] for k in range(last + 1)]
    # In float32 `_BEYOND` is enough to be over the boundary for certain; in a shorter type it has to be crossed by more.
    if victim.coarse(logits):
        f = f - victim.blur(logits)[on].unsqueeze(1)
    return f.detach(), torch.stack(w, 1)


def _shortest(f, w, norm):
    """Distances to the linearised boundaries (n, k), the step r (n, C, H, W) over the nearest, and which that is, (n, 1)."""
    length = torch.linalg.vector_norm(w, 2 if norm == "L2" else 1, dim=(2, 3, 4))
    length = length.clamp_min(torch.finfo(w.dtype).tiny)
    # No step longer than the box is wide: where the gradient vanishes, the quotient would be infinite.
    widest = w[0, 0].numel() ** 0.5 if norm == "L2" else 1.0
    distance = (f.abs() / length).clamp_max(widest)
    nearest = distance.argmin(1, keepdim=True)
    w = w[torch.arange(len(w), device=w.device), nearest.squeeze(1)]
    size = (distance.gather(1, nearest) + _BEYOND).view(-1, 1, 1, 1)
    unit = w.sign() if norm == "Linf" else w / length.gather(1, nearest).view(-1, 1, 1, 1)
    return distance, size * unit, nearest


def nearest_rival(
    victim: Victim, x: Tensor, y: Tensor, norm: Literal["Linf", "L2"] = "L2", classes: int = 10
) -> Tensor:
    """The class behind the nearest of the linearised boundaries to the `classes` top classes, (N,): DeepFool's first aim.

    Costs a forward pass and a backward pass for each class.
    """
    x = x.detach().requires_grad_()
    logits = victim(x)
    rivals = _rivals(logits.detach(), y, classes)
    f, w = _linearised(victim, logits, x, slice(None), y.unsqueeze(1), rivals)
    return rivals.gather(1, _shortest(f, w, norm)[2]).squeeze(1)
