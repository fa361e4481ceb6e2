"""C&W L0: change as few pixels as possible, by freezing those that matter least."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from advcourse.attacks.base import Attack
from advcourse.attacks.best import Nearest, PerImage
from advcourse.attacks.cw_l2 import CWL2
from advcourse.attacks.hyperparameters import number
from advcourse.attacks.search import Hinge
from advcourse.attacks.slide import step_to_boundary


def l0(x: Tensor, images: Tensor) -> Tensor:
    """Return the number of pixels that differ in any channel, (N,)."""
    return (images != x).any(1).flatten(1).sum(1).to(x.dtype)


@dataclass(frozen=True)
class CWL0(Attack):
    """Carlini and Wagner's L0 attack: repeat the L2 attack on fewer and fewer pixels until it fails.

    Paper: Carlini and Wagner 2017, "Towards Evaluating the Robustness of Neural Networks", section VI.B (arXiv 1608.04644).
    Norm: L0, minimised; a pixel counts once, however many of its channels change. After each success the pixels with the
    smallest |grad f . delta| go back to their clean value and stay there. The absolute value is taken in each channel before
    summing, so that opposite changes of a colour do not cancel, as they do in the authors' code.

    Beyond the paper: each image freezes its own pixels and leaves the batch when it is done. It freezes a share of the changed
    pixels at once; if the attack fails on the others, it goes back and freezes half as many, down to a single pixel. The L2
    problem on the free pixels is solved by steps to the linearised boundary (`attacks.slide`) from the last success.

    An image on which the attack fails comes back clean and is flagged.

    Args:
        confidence: margin in logits by which the wanted class must lead (default 0).
        steps: tries for one set of free pixels (default 10).
        decrease: share of the changed pixels that stay free after a success, from 0.01 to 0.99 (default 0.7).
        rounds: an image is done after this many single pixels could not be frozen (default 4).
        targeted: reach `target` instead of leaving `y` (default False).

    Example:
        >>> x_adv = CWL0()(model, x, y)
    """

    confidence: float = number(0.0, low=0)
    steps: int = number(10, low=1)
    decrease: float = number(0.7, low=0.01, high=0.99)
    rounds: int = number(4, low=1)
    targeted: bool = False
    kind: ClassVar[str] = "minimum-norm"
    norm: ClassVar[str] = "L0"

    def _perturb(self, victim, x, y, target, noise):
        whole = CWL2(self.confidence, slides=10, targeted=self.targeted)
        start, taken, _ = whole._perturb(victim, x, y, target, noise)
        f = Hinge(victim, y, target, self.confidence, cut=False)
        nearest = Nearest(x, l0)
        # If C&W L2 changed nothing, it failed or the image was misread already. In both cases the clean image is the result.
        index = (start != x).flatten(1).any(1).nonzero().squeeze(1)
        pruning = _Pruning(x[index], start[index], self.decrease)
        while len(index):
            to_success, gradient = f(index, pruning.images)
            nearest.offer(index, pruning.images, to_success < 0)
            pruning.advance(to_success, gradient, self.steps)
            taken[index] += 1
            on = (pruning.misses < self.rounds) & (pruning.count > 0)
            index = index[on]
            pruning.keep(on)
        return nearest.images, taken, {}


class _Pruning(PerImage):
    """Which pixels of each image may still change, and its current point. All tensors have the images first.

    `safe` is the last success and `score` how much each of its pixels contributed to it. `free` are the pixels that may change
    now, and `count` is how many were frozen last. `share` is the share of the changed pixels to freeze next. `idle` counts the
    tries since the last change of `free`. `misses` counts the single pixels that could not be frozen, `skip` those of them
    since the last success.
    """

    def __init__(self, x, start, decrease):
        self.x, self.images, self.safe = x, start, start
        self.score = x.new_zeros(len(x), *x.shape[2:])
        self.free = torch.ones_like(x[:, :1], dtype=torch.bool)
        self.share = x.new_full((len(x),), 1 - decrease)
        self.idle, self.misses, self.skip, self.count = torch.zeros(
            4, len(x), dtype=torch.long, device=x.device
        )
        self.count = self.count + 1

    def advance(self, to_success, gradient, steps):
        """Freeze more after a success; go back and freeze less after `steps` failed tries; otherwise step to the boundary."""
        success = to_success < 0
        self.idle = torch.where(success, 0, self.idle + 1)
        tired = self.idle >= steps
        self.safe = torch.where(_wide(success), self.images, self.safe)
        self.score = torch.where(_wide(success)[:, 0], self._scores(gradient), self.score)
        single = tired & (self.count == 1)
        self.misses, self.skip = self.misses + single, torch.where(success, 0, self.skip + single)
        self.share = torch.where(tired, self.share / 2, self.share)
        self.idle = torch.where(tired, 0, self.idle)
        again = success | tired
        free, count = self._freeze()
        self.free, self.count = (
            torch.where(_wide(again), free, self.free),
            torch.where(again, count, self.count),
        )
        still = torch.zeros_like(to_success)
        moved = step_to_boundary(self.x, self.images, to_success, gradient * self.free, still)
        self.images = torch.where(self.free, torch.where(_wide(again), self.safe, moved), self.x)

    def _scores(self, gradient):
        """Return each pixel's contribution, |grad f * delta| summed over channels, (N, H, W); infinite if it is unchanged."""
        change = self.images - self.x
        return torch.where((change != 0).any(1), (gradient * change).abs().sum(1), torch.inf)

    def _freeze(self):
        """Freeze the pixels with the lowest scores, except for the first `skip` ones.

        Returns the pixels that stay free, (N, 1, H, W) bool, and how many are frozen, (N,).
        """
        changed = self.score.isfinite()
        number = changed.flatten(1).sum(1)
        count = torch.minimum((self.share * number).long().clamp_min(1), number - self.skip)
        rank = self.score.flatten(1).argsort(1).argsort(1).view_as(self.score)
        first, last = self.skip.view(-1, 1, 1), (self.skip + count).view(-1, 1, 1)
        return (changed & ((rank < first) | (rank >= last))).unsqueeze(1), count


def _wide(condition):
    return condition.view(-1, 1, 1, 1)
