"""FMN: gradient steps inside a ball whose radius follows the boundary, in L0, L1, L2 or L-infinity."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from advcourse.attacks.ball import direction
from advcourse.attacks.base import Attack
from advcourse.attacks.best import Nearest
from advcourse.attacks.hyperparameters import number
from advcourse.attacks.norms import DUAL, into_ball, length
from advcourse.metrics import margin


@dataclass(frozen=True)
class FMN(Attack):
    """Fast minimum-norm attack: step along the gradient of the margin m, project onto the ball of radius r, and adapt r.

        d_{k+1} = project(d_k + a_k * g / |g|_2, r_k), clipped to the box, with g the gradient that lowers m at x + d_k. Until a
        point fools the model, r_k = |d_k|_p + |m| / |grad m|_q, the distance to the linearised boundary (q is dual to p); then
        r_k = min((1 - gamma_k) r_{k-1}, best) after a point that fools the model, and (1 + gamma_k) r_{k-1} after one that does
        not.

    gamma_k falls from `gamma` to gamma / 50 and a_k from `alpha` to alpha / 100 along a cosine. For "L0", r counts pixels, is
    one more than the pixels in use until a point fools the model, and changes by at least one pixel.

    Paper: Pintor et al. 2021, "Fast Minimum-norm Adversarial Attacks through Adaptive Norm Constraints", algorithms 1 and 2
    (arXiv 2102.12827). The norm is minimised. One difference: until a point fools the model, the radius above is multiplied by
    1 + gamma_k, because a point that ends on the linearised boundary comes ever closer to the real one without crossing it.

    An image on which no point fools the model comes back clean and is flagged.

    Args:
        norm: "L0", "L1", "L2" (default) or "Linf".
        steps: number of steps, each a pass forward and one backward (default 300).
        gamma: the first share by which the radius changes (default 0.05).
        alpha: the first step, in Euclidean length (default 1).
        targeted: whether success means the given target (default False).

    Example:
        >>> FMN(norm="L1").run(model, x, y).distances["L1"]
    """

    norm: Literal["L0", "L1", "L2", "Linf"] = "L2"
    steps: int = number(300, low=1)
    gamma: float = number(0.05, low=0, high=0.5, exclusive_low=True)
    alpha: float = number(1.0, low=0, exclusive_low=True)
    targeted: bool = False
    kind: ClassVar[str] = "minimum-norm"

    def _perturb(self, victim, x, y, target, noise):
        label, sign = (target, -1) if self.targeted else (y, 1)
        nearest = Nearest(x, lambda clean, images: length(images - clean, self.norm))
        everyone = torch.arange(len(x), device=x.device)
        x_k, radius = x, x.new_full((len(x),), torch.inf)
        for step in range(self.steps + 1):
            at = x_k.detach().requires_grad_(step < self.steps)
            logits = victim(at)
            fooled = victim.distance_to_success(logits.detach(), label, sign) < 0
            nearest.offer(everyone, at.detach(), fooled)
            if step == self.steps:
                break
            ahead = sign * margin(logits, label)
            gradient = victim.gradient(ahead, at)
            falling = (1 + math.cos(math.pi * step / self.steps)) / 2
            radius = self._radius(radius, x_k - x, ahead.detach(), gradient, fooled, nearest, falling)
            step_size = self.alpha * (0.01 + 0.99 * falling)
            beyond = (x_k - step_size * direction(gradient, "L2")).clamp(0, 1)
            # The projection only shrinks changes, so the point stays in the box.
            x_k = (x + into_ball(beyond - x, radius, self.norm)).clamp(0, 1)
        return nearest.images, torch.full_like(y, self.steps), {}

    def _radius(self, radius, delta, ahead, gradient, fooled, nearest, falling):
        """Return the radius (N,) of the next ball."""
        gamma, now = self.gamma * (0.02 + 0.98 * falling), length(delta, self.norm)
        if self.norm == "L0":
            first, change = now + 1, (radius.clamp_max(delta[0].numel()) * gamma).floor().clamp_min(1)
            smaller, larger = radius - change, radius + change
        else:
            slope = length(gradient, DUAL[self.norm]).clamp_min(torch.finfo(delta.dtype).tiny)
            first = (now + ahead.abs() / slope) * (1 + gamma)
            smaller, larger = radius * (1 - gamma), radius * (1 + gamma)
        searching = torch.where(fooled, smaller.minimum(nearest.distance), larger).clamp_min(0)
        return torch.where(nearest.found, searching, first)
