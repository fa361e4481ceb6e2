"""Minimise distance(x, x') + c * max(f(x'), 0) with a separate c for each image: shared by C&W L2, EAD and OptMargin.

The file of each attack contains its distance, its f and its optimiser. `Search` does the rest: it tries one c after another,
keeps the nearest successful point, and drops the images that have converged.
"""

from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor

from advcourse.attacks.base import AttackedModel
from advcourse.attacks.best import Distance, Nearest

_TOO_MUCH = 1e12  # upper limit of the constants


class Search:
    """The binary search on c (Carlini and Wagner 2017, section V.A) for a batch of images.

    Args:
        x: the clean images (N, C, H, W).
        f: `f(index, images, differentiate)` takes points `images` (n, C, H, W) that belong to the images `index` (n,). It
            returns their signed distances to success, (n,), negative for a success, and the gradient of max(f, 0), in the
            shape of `images`, or None unless `differentiate`. `Hinge` is an example.
        distance: `distance(clean, images)` returns the distances to minimise, (n,).
        initial_const: the first c (default None: estimated for each image).

    Attributes:
        nearest: the best points so far (`Nearest`); final once `runs` is exhausted.
        c: (N,), the current constants.
        taken: (N,), the number of steps taken for each image.
    """

    def __init__(self, x: Tensor, f: Callable, distance: Distance, initial_const: float | None = None):
        self.x, self.f, self.distance = x, f, distance
        everyone = torch.arange(len(x), device=x.device)
        to_success, gradient = f(everyone, x, True)
        self.nearest = Nearest(x, distance)
        self.nearest.offer(everyone, x, to_success < 0)
        self.last, self.taken = x.clone(), torch.zeros_like(everyone)
        self._index = everyone[to_success >= 0]  # the others are misread already
        if initial_const is None:
            self.c, self._growth = _estimate(to_success, gradient), 4
        else:
            self.c, self._growth = torch.full_like(to_success, initial_const), 10
        self._low, self._high = torch.zeros_like(self.c), torch.full_like(self.c, torch.inf)

    def runs(self, steps: int, binary_search_steps: int, doublings: int) -> Iterator["Run"]:
        """Yield one run after another, each with another c; take the steps of a run before asking for the next.

        If an image has no success after `binary_search_steps` runs, for example because the model's gradient is flat around
        it, it gets another run with twice as many steps, and so on, up to `doublings` times. Once it succeeds, it gets a
        binary search of its own.

        Args:
            steps: number of steps of a run.
            binary_search_steps: number of runs.
            doublings: how many times at most the steps are doubled.

        Yields:
            `Run` objects.
        """
        yield from self._runs(binary_search_steps, steps, self._index)
        for _ in range(doublings):
            hard, steps = self._index[~self.nearest.found[self._index]], 2 * steps
            if not len(hard):
                break
            yield from self._runs(1, steps, hard)
            yield from self._runs(binary_search_steps - 1, steps, hard[self.nearest.found[hard]])

    def _runs(self, count, steps, index):
        for _ in range(count if len(index) else 0):
            run = Run(self, index, steps)
            yield run
            self._bound(run.enough[index], index)

    def _bound(self, enough, index):
        """Make a c that was `enough` (n,) the upper bound, another c the lower bound. Without an upper bound c grows."""
        low, high, c = self._low[index], self._high[index], self.c[index]
        self._high[index] = high = torch.where(enough, torch.minimum(high, c), high)
        self._low[index] = low = torch.where(enough, low, torch.maximum(low, c))
        larger = (self._growth * c).clamp_max(_TOO_MUCH)
        self.c[index] = torch.where(high.isfinite(), (low + high) / 2, larger)


def _estimate(to_success, gradient):
    """Return half of the smallest c that succeeds on a linear model, 2 f / |gradient|^2, (N,): curved models mostly need less."""
    steepness = gradient.flatten(1).square().sum(1).clamp_min(1 / _TOO_MUCH)
    return (to_success.clamp_min(0) / steepness).clamp(1 / _TOO_MUCH, _TOO_MUCH)


class Optimiser(Protocol):
    """What takes the steps of a `Run`.

    Attributes:
        images: the current images (n, C, H, W).
        point: where the next gradient is computed, (n, C, H, W).
    """

    images: Tensor
    point: Tensor

    def keep(self, on: Tensor) -> None:
        """Keep only the images where `on` (n,) is True."""


class Run:
    """One run of an optimiser with fixed constants. Images leave the run as they converge.

    Args:
        search: the search that the run belongs to.
        index: the images to start with, (n,).
        steps: number of steps.

    Attributes:
        x: the clean images that are still in the run, (n, C, H, W).
        start: the points to start from, (n, C, H, W): the best so far or, without one, the end of the last run.
        steps: number of steps.
        enough: (N,) bool, whether each image's c was large enough to succeed.
    """

    def __init__(self, search: Search, index: Tensor, steps: int):
        self._search, self._index, self.steps = search, index, steps
        best = torch.where(search.nearest.found.view(-1, 1, 1, 1), search.nearest.images, search.last)
        self.x, self.start, self._c = search.x[index], best[index], search.c[index]
        self._least = torch.full_like(self._c, torch.inf)
        self._outside, self._back = torch.zeros(2, len(index), dtype=torch.bool, device=index.device)
        self.enough = torch.zeros(len(search.x), dtype=torch.bool, device=index.device)

    def gradients(self, walk: Optimiser) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield c and the gradient for each step of an optimiser, and keep the nearest success among its images.

        When images leave the run, `walk.keep(on)` drops them from the optimiser.

        Args:
            walk: the optimiser; it must take a step between two values of this iterator.

        Yields:
            c (n, 1, 1, 1), and the gradient of max(f, 0) at `walk.point`, (n, C, H, W).
        """
        search, patience = self._search, max(10, self.steps // 10)
        for step in range(self.steps + 1):
            last = step == self.steps
            to_success, gradient = search.f(self._index, walk.point, not last)
            if walk.point is not walk.images:
                to_success, _ = search.f(self._index, walk.images, False)
            self._judge(walk.images, to_success)
            if last:
                break
            if step % patience == patience - 1:
                on = self._falling(walk.images, to_success)
                if not on.all():
                    self._note(walk.images, step, ~on)
                    self._keep(on)
                    walk.keep(on)
                    gradient = gradient[on]
                if not len(self._index):
                    return
            yield self._c.view(-1, 1, 1, 1), gradient
        self._note(walk.images, self.steps)

    def _judge(self, images, to_success):
        """Keep the nearest success.

        A start from the best point succeeds already, which says nothing about c. So c is enough only if a point outside came
        back.
        """
        success = to_success < 0
        self._outside |= to_success >= 0
        self._back |= self._outside & success
        self._search.nearest.offer(self._index, images, success)

    def _falling(self, images, to_success):
        """Return whose objective still falls, (n,). Each of the others leaves on its own; the authors' code stops the batch."""
        objective = self._search.distance(self.x, images) + self._c * to_success.clamp_min(0)
        on = objective < 0.9999 * self._least
        self._least = objective
        return on

    def _note(self, images, step, gone=slice(None)):
        """Record the end points of the images `gone` (n,) (default: all), their steps, and whether their c was enough."""
        index = self._index[gone]
        self._search.last[index] = images[gone]
        self._search.taken[index] += step
        self.enough[index] = (self._back | ~self._outside)[gone]

    def _keep(self, on):
        self._index, self.x, self._c = self._index[on], self.x[on], self._c[on]
        self._least, self._outside, self._back = self._least[on], self._outside[on], self._back[on]


class Hinge:
    """f6 of Carlini and Wagner 2017: the distance to success in logits, and its gradient.

        targeted:    f = max_{i != t} Z_i - Z_t + confidence
        untargeted:  f = Z_y - max_{i != y} Z_i + confidence

    Args:
        victim: the attacked model.
        y: true labels (N,).
        target: wanted labels (N,); None for an untargeted attack.
        confidence: margin in logits by which the wanted class must lead.
        rival: classes (N,) that an untargeted attack aims at, though any wrong class counts as success: the gradient is that
            of Z_y - Z_rival + confidence (default None: the class with the largest logit).
        cut: True (default) gives the gradient of max(f, 0); False that of f, which does not vanish beyond the boundary.
    """

    def __init__(
        self,
        victim: AttackedModel,
        y: Tensor,
        target: Tensor | None,
        confidence: float,
        rival: Tensor | None = None,
        cut: bool = True,
    ):
        self._victim, self._confidence, self._cut = victim, confidence, cut
        self._label, self._sign = (y, 1) if target is None else (target, -1)
        self._pair = None if rival is None else torch.stack([y, rival], 1)

    def __call__(
        self, index: Tensor, images: Tensor, differentiate: bool = True
    ) -> tuple[Tensor, Tensor | None]:
        """Return f (n,), and its gradient (n, C, H, W) or None.

        Args:
            index: which images the points belong to, (n,).
            images: the points (n, C, H, W).
            differentiate: whether the gradient is computed (default True).
        """
        images = images.detach().requires_grad_(differentiate)
        logits = self._victim(images)
        apart = logits if differentiate and self._pair is None else logits.detach()
        f = self._victim.distance_to_success(apart, self._label[index], self._sign) + self._confidence
        to_success = f.detach()
        if not differentiate:
            return to_success, None
        if self._pair is not None:
            ours, theirs = logits.gather(1, self._pair[index]).unbind(1)
            f = ours - theirs + self._confidence
        return to_success, self._victim.gradient(f.clamp_min(0) if self._cut else f, images)


def squared_l2(x: Tensor, images: Tensor) -> Tensor:
    """Return the squared L2 distance, (N,), which C&W L2 minimises."""
    return (images - x).flatten(1).square().sum(1)
