"""DeepFool: repeated steps over the nearest decision boundary, each computed as if the model were linear."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from advcourse.attacks.base import Attack, AttackedModel
from advcourse.attacks.hyperparameters import number
from advcourse.attacks.targets import other_classes

_STILL_NEAR = 3  # classes considered after the first step: on the shipped models they give the same steps as all classes
_BEYOND = 1e-4  # added to each step's length, as in the authors' code, so that a step crosses the boundary and does not end on it
_FORWARD = 1.5  # the cost of a forward pass in backward passes, measured on the shipped convolutional nets


@dataclass(frozen=True)
class DeepFool(Attack):
    """DeepFool: x_{i+1} = x + (1 + overshoot) * sum_{j <= i} r_j, where r_j is the shortest step that fools a linear model.

    With f_k = Z_k - Z_{k0}, w_k = grad f_k, k0 the prediction, and 1/p + 1/q = 1, the step crosses the boundary of the class l
    = argmin_k |f_k| / ||w_k||_q. In L2 it is r = |f_l| / ||w_l||_2^2 * w_l, in L-infinity r = |f_l| / ||w_l||_1 * sign(w_l).
    The attack ends once the prediction is not k0.

    Paper: Moosavi-Dezfooli, Fawzi and Frossard 2016, "DeepFool: a simple and accurate method to fool deep neural networks",
    algorithm 2 and section 3.3 (arXiv 1511.04599). As in the authors' code, the overshoot is applied to the iterates
    themselves (in algorithm 2 only to the result), and 1e-4 is added to each step's length.

    The paper does not restrict images to [0, 1], and clipping its result to [0, 1] often undoes the attack: on digits nearly
    always. If the clipped result does not fool the model, the attack therefore continues from there, towards the class that it
    had reached, and clips after each step. Other libraries clip each step from the start, which takes more passes and ends a
    little farther away.

    An image that the model already misreads comes back unchanged, after no steps. An image on which the attack fails within
    `steps` comes back clean and is flagged.

    Args:
        steps: the most iterations, before and after clipping together (default 50).
        overshoot: how far to step beyond the linear boundary, as a share of the step (default 0.02).
        norm: the norm that is minimised, "L2" (default) or "Linf".
        classes: how many classes the first step considers: those with the largest logits, including the prediction (default
            10). Later steps consider the three classes whose boundaries were nearest in the first.

    Details:
        unclipped: (N, C, H, W), the paper's perturbation, not clipped.
        crossed: (N,) bool, whether it changes the label.
        iterations: (N,), the number of iterations that it took.

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
        details = {"unclipped": over.images - x, "crossed": over.crossed, "iterations": over.steps}
        return images, steps, details


class Walk:
    """The state of DeepFool's loop for N images.

    Attributes:
        images: the current points (N, C, H, W), clipped to [0, 1] only if the walk has a `towards`.
        crossed: (N,) bool, whether each point has crossed the boundary.
        steps: (N,), the number of steps taken.
        nearest: (N,), the class that the last step aimed at.
    """

    def __init__(self, x: Tensor, taken: Tensor | None):
        self.images = x.clone()
        self.crossed = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        self.steps = (
            torch.zeros(len(x), dtype=torch.long, device=x.device) if taken is None else taken.clone()
        )
        self.nearest = torch.zeros_like(self.steps)


def walk(
    victim: AttackedModel,
    x: Tensor,
    y: Tensor,
    settings: tuple[int, float, Literal["Linf", "L2"]],
    classes: int = 10,
    towards: Tensor | None = None,
    taken: Tensor | None = None,
) -> Walk:
    """Run DeepFool's loop away from the label `y`.

    It either crosses the nearest of the boundaries to the `classes` top classes, without clipping, or the boundary to the
    class `towards`, clipped to [0, 1] after each step.

    Args:
        victim: the attacked model.
        x: the images to start from, (N, C, H, W).
        y: the labels to leave, (N,). If the model gives an image another label already, the image stays.
        settings: steps, overshoot and norm, as for `DeepFool`.
        classes: how many classes the first step considers (default 10).
        towards: the class to reach, (N,) (default None: the nearest).
        taken: steps taken before, (N,), which count towards the limit (default None: none).

    Returns:
        the final state of the loop.
    """
    steps, overshoot, norm = settings
    at, rivals = Walk(x, taken), None if towards is None else towards.unsqueeze(1)
    index, x_i = torch.arange(len(x), device=x.device), x.detach()
    on = at.steps < steps
    while True:
        logits = victim(x_i.requires_grad_())
        if rivals is None:
            rivals = other_classes(logits.detach(), y, classes - 1)
        to_success = victim.distance_to_success(logits.detach(), y[index], 1)
        at.images[index], at.crossed[index] = x_i.detach(), to_success < 0
        on &= to_success >= 0
        left = int(on.sum())
        if not left:
            return at
        index, rivals = index[on], rivals[on]
        # Images that are done leave the batch: at once, if an extra pass over the others costs less than carrying them along.
        if (len(on) - left) * rivals.shape[1] > _FORWARD * left:
            x_i = x_i.detach()[on].requires_grad_()
            logits, on = victim(x_i), slice(None)
        f, w = _linearised(victim, logits, x_i, on, y[index].unsqueeze(1), rivals)
        distance, r, nearest = _shortest(f, w, norm)
        before = x_i.detach()[on]
        # Each r is computed at a point that includes the overshoot, so this sum is x + (1 + overshoot) * (r_0 + ... + r_i).
        x_i = before + (1 + overshoot) * r
        if towards is not None:
            x_i = x_i.clamp(0, 1)
        at.nearest[index] = rivals.gather(1, nearest).squeeze(1)
        moved = (x_i != before).flatten(1).any(1)
        at.steps[index] += moved
        on = moved & (at.steps[index] < steps)  # without a gradient an image cannot move, and stops
        if rivals.shape[1] > _STILL_NEAR:
            rivals = rivals.gather(1, distance.topk(_STILL_NEAR, largest=False).indices)


def _linearised(victim, logits, x_i, on, y, rivals):
    """Return f_k and w_k of the images `on`: how far each rival is behind the label, (n, k), and its gradient, (n, k, C, H, W).

    It makes one backward pass for each rival over a single forward graph, which is faster than `vmap` or tiling for more than
    a few images.
    """
    f = logits[on].gather(1, rivals) - logits[on].gather(1, y)
    last = f.shape[1] - 1
    w = [victim.gradient(f[:, k], x_i, keep_graph=k < last)[on] for k in range(last + 1)]
    # In float32 `_BEYOND` is enough to cross the boundary for certain; a less precise type needs a longer step.
    if victim.coarse(logits):
        f = f - victim.blur(logits)[on].unsqueeze(1)
    return f.detach(), torch.stack(w, 1)


def _shortest(f, w, norm):
    """Return the distances to the linearised boundaries (n, k), the step over the nearest (n, C, H, W), and its index (n, 1)."""
    length = torch.linalg.vector_norm(w, 2 if norm == "L2" else 1, dim=(2, 3, 4))
    length = length.clamp_min(torch.finfo(w.dtype).tiny)
    # No step is longer than the box [0, 1]: if the gradient vanishes, the quotient would be infinite.
    widest = w[0, 0].numel() ** 0.5 if norm == "L2" else 1.0
    distance = (f.abs() / length).clamp_max(widest)
    nearest = distance.argmin(1, keepdim=True)
    w = w[torch.arange(len(w), device=w.device), nearest.squeeze(1)]
    size = (distance.gather(1, nearest) + _BEYOND).view(-1, 1, 1, 1)
    unit = w.sign() if norm == "Linf" else w / length.gather(1, nearest).view(-1, 1, 1, 1)
    return distance, size * unit, nearest


def nearest_rival(
    victim: AttackedModel, x: Tensor, y: Tensor, norm: Literal["Linf", "L2"] = "L2", classes: int = 10
) -> Tensor:
    """Return the class behind the nearest linearised boundary: the class that DeepFool's first step aims at.

    It costs a forward pass, and a backward pass for each class.

    Args:
        victim: the attacked model.
        x: images (N, C, H, W).
        y: true labels (N,).
        norm: the norm of the distance, "L2" (default) or "Linf".
        classes: how many classes are considered: those with the largest logits (default 10).

    Returns:
        (N,), the classes.
    """
    x = x.detach().requires_grad_()
    logits = victim(x)
    rivals = other_classes(logits.detach(), y, classes - 1)
    f, w = _linearised(victim, logits, x, slice(None), y.unsqueeze(1), rivals)
    return rivals.gather(1, _shortest(f, w, norm)[2]).squeeze(1)
