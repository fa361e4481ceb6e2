"""C&W L-infinity: make the largest change of any pixel as small as possible, with a bound that is lowered step by step."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from advcourse.attacks.base import Attack
from advcourse.attacks.best import Nearest, PerImage
from advcourse.attacks.deepfool import nearest_rival
from advcourse.attacks.hyperparameters import number
from advcourse.attacks.search import Hinge


def linf(x: Tensor, images: Tensor) -> Tensor:
    """Return the largest change of any pixel and channel, (N,)."""
    return (images - x).flatten(1).abs().amax(1)


@dataclass(frozen=True)
class CWLinf(Attack):
    """Carlini and Wagner's L-infinity attack: minimise c * f(x') + sum_i max(|x'_i - x_i| - tau, 0) while tau is lowered.

    Paper: Carlini and Wagner 2017, "Towards Evaluating the Robustness of Neural Networks", section VI.C (arXiv 1608.04644),
    with f as in `CWL2`. Norm: L-infinity, minimised. After a success tau becomes `decrease` times the largest change, and the
    search continues from the current point.

    Beyond the paper: each image has its own tau and leaves the batch when it is done. tau starts at the distance to the
    boundary of a linear model, instead of at 1, and grows until the first success. If the attack fails at a tau, the next
    reduction is half as large, and an image is done after `rounds` such failures. A step follows the sign of the gradient,
    which is steepest descent in L-infinity; the authors use Adam, whose memory of the penalty slows pixels down. c is half of
    the value at which f would outweigh the penalty at the steepest pixel.

    An image on which the attack fails comes back clean and is flagged.

    Args:
        confidence: margin in logits by which the wanted class must lead (default 0).
        lr: size of a step, as a share of tau (default 0.2).
        steps: tries at one tau (default 10).
        decrease: tau after a success, as a factor of the largest change, from 0.01 to 0.99 (default 0.9).
        rounds: an image is done after tau was too small this many times (default 4).
        targeted: reach `target` instead of leaving `y` (default False).

    Details:
        tau: (N,), the last bound.

    Example:
        >>> x_adv = CWLinf()(model, x, y)
    """

    confidence: float = number(0.0, low=0)
    lr: float = number(0.2, low=1e-6)
    steps: int = number(10, low=1)
    decrease: float = number(0.9, low=0.01, high=0.99)
    rounds: int = number(4, low=1)
    targeted: bool = False
    kind: ClassVar[str] = "minimum-norm"
    norm: ClassVar[str] = "Linf"

    def _perturb(self, victim, x, y, target, noise):
        rival = nearest_rival(victim, x, y, "Linf") if target is None else None
        f = Hinge(victim, y, target, self.confidence, rival)
        nearest, index = Nearest(x, linf), torch.arange(len(x), device=x.device)
        final, taken = x.new_zeros(len(x)), torch.zeros_like(index)
        to_success, gradient = f(index, x)
        nearest.offer(index, x, to_success < 0)
        index = index[to_success >= 0]
        bound = _Tightening(x[index], to_success[to_success >= 0], gradient[to_success >= 0], self.decrease)
        while len(index):
            to_success, gradient = f(index, bound.images)
            nearest.offer(index, bound.images, to_success < 0)
            bound.tighten(nearest.images[index], nearest.distance[index], self.steps)
            bound.step(gradient, self.lr, self.steps)
            taken[index] += 1
            final[index] = bound.tau
            on = bound.misses < self.rounds
            index = index[on]
            bound.keep(on)
        return nearest.images, taken, {"tau": final}


class _Tightening(PerImage):
    """The bound tau of each image, and its current point. All tensors have the images first.

    `share` is the share by which tau is lowered after a success, `reached` the distance of the last success that counted,
    `idle` the number of tries since then, and `misses` how often tau was too small.
    """

    def __init__(self, x, to_success, gradient, decrease):
        self.x = self.images = x
        slope = gradient.flatten(1).abs().sum(1).clamp_min(torch.finfo(x.dtype).tiny)
        self.tau = (to_success / slope).clamp(1e-4, 1)
        self.share, self.reached = (
            torch.full_like(to_success, 1 - decrease),
            torch.full_like(to_success, torch.inf),
        )
        self.idle, self.misses = torch.zeros(2, len(x), dtype=torch.long, device=x.device)

    def tighten(self, best, distance, steps):
        """Lower tau after a success. After `steps` tries without one, go back to the `best` point and halve the reduction."""
        # A point only slightly nearer does not count as a success; otherwise an image would never be done.
        success = distance < (1 - self.share / 4) * self.reached
        self.reached = torch.where(success, distance, self.reached)
        self.idle = torch.where(success, 0, self.idle + 1)
        found, tired = distance.isfinite(), self.idle >= steps
        missed = tired & (found | (self.tau >= 1))
        back = missed & found
        self.misses = self.misses + missed
        self.share = torch.where(missed, self.share / 2, self.share)
        self.tau = torch.where(tired & ~found, (1.5 * self.tau).clamp_max(1), self.tau)
        self.tau = torch.where(success | back, (1 - self.share) * distance, self.tau)
        self.images = torch.where(back.view(-1, 1, 1, 1), best, self.images)
        self.idle = torch.where(tired, 0, self.idle)

    def step(self, gradient, lr, steps):
        """Take one sign step on c * f + sum_i max(|x'_i - x_i| - tau, 0); `gradient` is that of f."""
        c = 0.5 / gradient.flatten(1).abs().amax(1).clamp_min(torch.finfo(gradient.dtype).tiny ** 0.5)
        change = self.images - self.x
        penalty = change.sign() * (change.abs() > self.tau.view(-1, 1, 1, 1))
        # Steps shorten until the next success, from lr * tau to a tenth of it.
        size = lr * self.tau * (1 - 0.9 * self.idle.to(self.tau.dtype) / steps)
        direction = (c.view(-1, 1, 1, 1) * gradient + penalty).sign()
        self.images = (self.images - size.view(-1, 1, 1, 1) * direction).clamp(0, 1)
