"""FAB: steps to the linearised boundary towards each of several classes, always drawn back to the clean image."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from advcourse.attacks.base import Attack
from advcourse.attacks.best import Nearest, PerImage
from advcourse.attacks.hyperparameters import number
from advcourse.attacks.slide import step_to_boundary
from advcourse.attacks.targets import other_classes

_ALPHA = 0.1  # the largest weight of the step from the clean image
_ETA = 1.05  # how far a step goes, in units of the distance to the linearised boundary
_BETA = 0.9  # the share of its change that a point keeps once it has fooled the model
_NEWTON = 6  # iterations for the L-infinity step: equal to a sort of all pixels to 1e-6 of a pixel's range
_ORDER = {"Linf": torch.inf, "L2": 2}


@dataclass(frozen=True)
class FAB(Attack):
    """Fast adaptive boundary attack, targeted version: the nearest point of the boundary to each of several classes.

    With f = Z_t - Z_y and w = grad f at x_k, let d_1 be the least step in the box from x_k to the plane f + w.(z - x_k) = 0, and
    d_2 that from the clean image x. Then

        x_{k+1} = clip((1 - a) * (x_k + 1.05 * d_1) + a * (x + 1.05 * d_2)), a = min(|d_1| / (|d_1| + |d_2|), 0.1).

    A point that fools the model, whatever the class, is kept if it is the nearest, and the next step begins at x + 0.9 *
    (x_k - x).

    Paper: Croce and Hein 2020, "Minimally Distorted Adversarial Examples with a Fast Adaptive Boundary Attack", algorithm 1
    (arXiv 1907.02044); the targeted version is that of the same authors' ensemble (arXiv 2003.01690). Two differences to the
    authors' code: the plane at a point that fools the model serves once more for the step after it, so a step costs one pass
    forward and one backward; and the L-infinity step finds its multiplier by Newton's method instead of a sort.

    An image on which no point fools the model comes back clean and is flagged.

    Args:
        targets: how many classes are aimed at, those with the largest logits on the clean image (default 9).
        steps: number of steps towards each (default 100).
        norm: the norm that is minimised, "Linf" (default) or "L2".

    Example:
        >>> FAB(norm="L2").run(model, x, y).distances["L2"]
    """

    targets: int = number(9, low=1)
    steps: int = number(100, low=1)
    norm: Literal["Linf", "L2"] = "Linf"
    kind: ClassVar[str] = "minimum-norm"

    def _perturb(self, victim, x, y, target, noise):
        nearest, steps = (
            Nearest(x, lambda clean, images: _length(images - clean, self.norm)),
            torch.zeros_like(y),
        )
        with torch.no_grad():
            logits = victim(x)
        everyone = torch.arange(len(x), device=x.device)
        fooled = victim.distance_to_success(logits, y, 1) < 0
        nearest.offer(everyone, x, fooled)
        for aim in other_classes(logits, y, self.targets).unbind(1):
            self._walk(victim, _Walk(everyone[~fooled], x[~fooled], y[~fooled], aim[~fooled]), nearest, steps)
        return nearest.images, steps, {}

    def _walk(self, victim, at, nearest, steps):
        """Take the steps towards one class, and offer each point to `nearest`."""
        for _ in range(self.steps):
            if not len(at.index):
                return
            x_k = at.x_k.detach().requires_grad_()
            logits = victim(x_k)
            f = logits.gather(1, at.aim.unsqueeze(1)) - logits.gather(1, at.y.unsqueeze(1))
            fooled = victim.distance_to_success(logits.detach(), at.y, 1) < 0
            nearest.offer(at.index, at.x_k, fooled)
            w, f = victim.gradient(f, x_k), f.detach().squeeze(1)
            steps[at.index] += 1
            at.move(f, w, fooled, self.norm)
            at.keep(w.flatten(1).any(1))  # without a gradient there is no plane to go to
        if len(at.index):
            with torch.no_grad():
                fooled = victim.distance_to_success(victim(at.x_k), at.y, 1) < 0
            nearest.offer(at.index, at.x_k, fooled)


class _Walk(PerImage):
    """The walk of n images towards one class each: the clean images, and the points where they are."""

    def __init__(self, index, x, y, aim):
        self.index, self.x, self.x_k, self.y, self.aim = index, x, x, y, aim

    def move(self, f, w, fooled, norm):
        """Take the step from the plane f + w.(z - x_k) = 0; `fooled` (n,) says where to begin nearer to the clean image."""
        change = self.x_k - self.x
        base = self.x + torch.where(fooled.view(-1, 1, 1, 1), _BETA * change, change)
        at_base = f + (w * (base - self.x_k)).flatten(1).sum(1)
        at_clean = f - (w * change).flatten(1).sum(1)
        d_1, d_2 = _to_plane(base, at_base, w, norm), _to_plane(self.x, at_clean, w, norm)
        length_1, length_2 = (_length(d, norm) for d in (d_1, d_2))
        tiny = torch.finfo(f.dtype).tiny
        a = (length_1 / (length_1 + length_2).clamp_min(tiny)).clamp_max(_ALPHA).view(-1, 1, 1, 1)
        self.x_k = ((1 - a) * (base + _ETA * d_1) + a * (self.x + _ETA * d_2)).clamp(0, 1)


def _length(change, norm):
    return torch.linalg.vector_norm(change, _ORDER[norm], dim=(1, 2, 3))


def _to_plane(z: Tensor, f: Tensor, w: Tensor, norm: str) -> Tensor:
    """Return the least step d (n, C, H, W) from `z`, in the box, with f + w.d = 0, or as near to it as the box allows."""
    w = w * -torch.where(f > 0, 1.0, -1.0).to(f.dtype).view(-1, 1, 1, 1)  # so that w.d = |f|
    if norm == "L2":
        return step_to_boundary(z, z, f.abs(), -w, torch.zeros_like(f), beyond=0.0) - z
    return least_linf_step(z, f.abs(), w)


def least_linf_step(z: Tensor, need: Tensor, w: Tensor) -> Tensor:
    """Return the step d from `z` of least L-infinity norm with w.d = need and z + d in [0, 1].

    Each pixel moves along the sign of w by min(t, r_i), where r_i is the room that the box leaves it. The sum of |w_i| *
    min(t, r_i) is concave in t, so Newton's method from t = 0 climbs to the root without passing it.

    Args:
        z: (n, C, H, W) in [0, 1].
        need: (n,), at least 0. If the box is too small for it, all room is taken.
        w: (n, C, H, W).
    """
    steep, z = w.flatten(1).abs(), z.flatten(1)
    sign = w.flatten(1).sign()
    room = torch.where(sign > 0, 1 - z, z)
    t = need.new_zeros(len(need), 1)
    for _ in range(_NEWTON):
        reached = (steep * room.minimum(t)).sum(1, keepdim=True)
        slope = (steep * (room > t)).sum(1, keepdim=True)
        step = (need.unsqueeze(1) - reached) / slope.clamp_min(torch.finfo(z.dtype).tiny)
        t = (t + step.clamp_min(0)).clamp_max(1)
    return (sign * room.minimum(t)).view_as(w)
