"""DDN: a step along the gradient, then onto a sphere that shrinks while the model is fooled and grows while it is not."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch

from advcourse.attacks.ascent import log_odds
from advcourse.attacks.ball import direction
from advcourse.attacks.base import Attack
from advcourse.attacks.best import Nearest
from advcourse.attacks.hyperparameters import number
from advcourse.attacks.norms import length


@dataclass(frozen=True)
class DDN(Attack):
    """Decoupled direction and norm: minimise |x' - x|_2 by deciding how far to go apart from where to go.

        d_{k+1} = d_k + a_k * g / |g|_2, then scaled to the radius r_{k+1} = (1 - gamma) * r_k if x + d_k fools the model, else
            (1 + gamma) * r_k, and clipped to the box,

    with g the gradient of the cross-entropy at x + d_k (its negative towards a target). a_k falls from `alpha` to alpha / 100
    along a cosine. The nearest point that fools the model is returned.

    Paper: Rony et al. 2019, "Decoupling Direction and Norm for Efficient Gradient-Based L2 Adversarial Attacks and Defenses",
    algorithm 1 (arXiv 1811.09600). Norm: L2, minimised. The authors round to 256 grey values in every step; here nothing is
    rounded, which comes nearer.

    An image on which no point fools the model comes back clean and is flagged.

    Args:
        steps: number of steps, each a pass forward and one backward (default 300).
        gamma: the share by which the radius changes in a step (default 0.05).
        radius: the first radius, in Euclidean length (default 1).
        alpha: the first step (default 1).
        targeted: whether success means the given target (default False).

    Example:
        >>> DDN(steps=1000).run(model, x, y).distances["L2"]
    """

    steps: int = number(300, low=1)
    gamma: float = number(0.05, low=0, high=0.5, exclusive_low=True)
    radius: float = number(1.0, low=0, exclusive_low=True)
    alpha: float = number(1.0, low=0, exclusive_low=True)
    targeted: bool = False
    norm: ClassVar[str] = "L2"
    kind: ClassVar[str] = "minimum-norm"

    def _perturb(self, victim, x, y, target, noise):
        label, sign = (target, -1) if self.targeted else (y, 1)
        nearest = Nearest(x, lambda clean, images: length(images - clean, "L2"))
        everyone = torch.arange(len(x), device=x.device)
        x_k, radius = x, x.new_full((len(x),), self.radius)
        farthest = length(torch.maximum(x, 1 - x), "L2")  # of all images, so that no radius grows without end
        for step in range(self.steps + 1):
            at = x_k.detach().requires_grad_(step < self.steps)
            logits = victim(at)
            fooled = victim.distance_to_success(logits.detach(), label, sign) < 0
            nearest.offer(everyone, at.detach(), fooled)
            if step == self.steps:
                break
            gradient = sign * victim.gradient(log_odds(logits, label), at)
            alpha = self.alpha * (0.01 + 0.99 * (1 + math.cos(math.pi * step / self.steps)) / 2)
            delta = x_k - x + alpha * direction(gradient, "L2")
            radius = radius * torch.where(fooled, 1 - self.gamma, 1 + self.gamma)
            radius = radius.minimum(farthest)
            x_k = (x + direction(delta, "L2") * radius.view(-1, 1, 1, 1)).clamp(0, 1)
        return nearest.images, torch.full_like(y, self.steps), {}
