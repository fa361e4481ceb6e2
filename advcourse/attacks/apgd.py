"""Auto-PGD: projected ascent that halves its step where the loss has stopped to grow, and the losses that it climbs."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from advcourse.attacks.ascent import log_odds
from advcourse.attacks.ball import box, direction, project
from advcourse.attacks.base import Attack
from advcourse.attacks.best import PerImage, Strongest
from advcourse.attacks.hyperparameters import number
from advcourse.attacks.targets import other_classes
from advcourse.core.inputs import LARGEST_SEED, InputError
from advcourse.metrics import margin

_FIRST, _SHORTER, _LEAST = (
    0.22,
    0.03,
    0.06,
)  # of the steps: the first gap between checkpoints, how it shrinks, and its end
_RISING = 0.75  # the share of a gap's steps that must have raised the loss
_TRIAL = 0.2  # of the steps: after them the targets are compared


@dataclass(frozen=True)
class APGD(Attack):
    """Auto-PGD: ascent with inertia, whose step size eta starts at 2 * eps and is halved at checkpoints.

        z = project(x_k + eta * d), x_{k+1} = project(x_k + 0.75 * (z - x_k) + 0.25 * (x_k - x_{k-1})),

    where d is the gradient's sign (L-infinity) or unit vector (L2); the first step has no inertia. At a checkpoint, eta is halved
    and the search goes back to its best point if at most three quarters of the steps since the last one raised the loss, or if
    the best loss has not changed since then and nothing was halved there.

    Paper: Croce and Hein 2020, "Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse Parameter-free
    Attacks", algorithm 1 and section 4 (arXiv 2003.01690). Two differences to the authors' code: the first step's loss is
    compared with that of the start, where theirs compares with 0; and for the cross-entropy the log-odds are climbed, which
    have the same direction and order but never saturate. An image leaves as soon as it is fooled.

    With `targets`, the attack runs once for each of so many other classes, those with the largest logits on the clean image, and
    climbs the loss that favours this class. Success still means any wrong class. The targeted DLR loss needs four classes, the
    other one three; with fewer, the difference of the two logits takes its place.

    Args:
        eps: budget, in the unit of `norm`: pixel range for "Linf" (default 0.3), Euclidean length for "L2".
        loss: "ce" (default), the cross-entropy, or "dlr", the difference of logits ratio, which no rescaling changes.
        targets: how many classes are aimed at (default 0: none, the loss of the label is climbed).
        finalists: after a fifth of the steps, only so many targets go on, those with the highest loss on this image (default 0:
            all of them).
        norm: "Linf" (default) or "L2".
        steps: number of steps of each run (default 100).
        restarts: number of runs, each for the images that are not fooled yet (default 1).
        seed: seed of the random starts, which lie on the ball's surface (default 0).

    Raises:
        InputError: finalists without so many targets.

    Example:
        >>> x_adv = APGD(eps=0.3, loss="dlr", targets=9)(model, x, y)
    """

    eps: float = number(0.3, low=0)
    loss: Literal["ce", "dlr"] = "ce"
    targets: int = number(0, low=0)
    finalists: int = number(0, low=0)
    norm: Literal["Linf", "L2"] = "Linf"
    steps: int = number(100, low=1)
    restarts: int = number(1, low=1)
    seed: int = number(0, low=0, high=LARGEST_SEED)
    kind: ClassVar[str] = "budgeted"

    def __post_init__(self):
        super().__post_init__()
        if self.finalists > self.targets:
            raise InputError(
                f"finalists: got {self.finalists}; allowed are at most the {self.targets} targets"
            )

    def _perturb(self, victim, x, y, target, noise):
        strongest, aims = Strongest(x), [None]
        if self.targets:
            with torch.no_grad():
                logits = victim(x)
            strongest.offer(torch.arange(len(x), device=x.device), x, margin(logits, y))
            aims = other_classes(logits, y, self.targets).unbind(1)
        trial = max(1, round(_TRIAL * self.steps)) if self.finalists else self.steps
        for restart in range(self.restarts):
            runs = []
            for stream, aim in enumerate(aims):
                if not (strongest.margin >= 0).any():
                    break
                run = self._run(victim, x, y, aim, noise, restart * len(aims) + stream, strongest)
                self._climb(victim, run, range(trial), strongest)
                runs.append(run)
            for run in _best(runs, self.finalists, len(x)) if self.finalists and runs else ():
                self._climb(victim, run, range(trial, self.steps), strongest)
        return strongest.images, strongest.steps, {}

    def _run(self, victim, x, y, aim, noise, stream, strongest):
        """Return a run from a random point of the surface, for the images that are not fooled yet."""
        left = (strongest.margin >= 0).nonzero().squeeze(1)
        x_0 = _surface(x, self.eps, self.norm, noise, stream)[left]
        run = _Run(left, x[left], x_0, y[left], None if aim is None else aim[left], self.eps)
        loss, gradient = self._ask(victim, run, strongest)
        run.begin(loss, gradient)
        return run

    def _ask(self, victim, run, strongest, differentiate=True):
        """Return loss (n,) and gradient (n, C, H, W), or None for it, at the run's points, which are offered to `strongest`."""
        x_k = run.x_k.detach().requires_grad_(differentiate)
        with torch.set_grad_enabled(differentiate):
            logits = victim(x_k)
            loss = self._loss(logits, run.y, run.aim)
        strongest.offer(run.index, x_k.detach(), margin(logits.detach(), run.y))
        return loss.detach(), victim.gradient(loss, x_k) if differentiate else None

    def _loss(self, logits, y, aim):
        if self.loss == "dlr":
            return targeted_dlr(logits, y, aim) if self.targets else dlr(logits, y)
        return -log_odds(logits, aim) if self.targets else log_odds(logits, y)

    def _climb(self, victim, run, steps, strongest):
        """Take these steps; images that are fooled leave the run."""
        gaps = checkpoints(self.steps)
        for step in steps:
            run.keep(strongest.margin[run.index] >= 0)
            if not len(run.index):
                return
            run.move(step == 0, self.norm, self.eps)
            strongest.steps[run.index] += 1
            loss, gradient = self._ask(victim, run, strongest, step + 1 < self.steps)
            run.compare(loss, gradient)
            if step + 1 in gaps and gradient is not None:
                run.check(gaps[step + 1])


class _Run(PerImage):
    """The state of one run for n images: the current point, the one before, the best with its gradient, and what was counted."""

    def __init__(self, index, x, x_0, y, aim, eps):
        self.index, self.x, self.x_k, self.previous, self.y = index, x, x_0, x_0, y
        self.aim = y if aim is None else aim
        self.low, self.high = box(x, eps)
        self.eta = x.new_full((len(x), 1, 1, 1), 2 * eps)
        self.risen = torch.zeros_like(y)
        self.halved = torch.ones_like(y, dtype=torch.bool)

    def begin(self, loss, gradient):
        self.best, self.loss, self.best_loss, self.loss_at_check = self.x_k, loss, loss, loss
        self.gradient = self.best_gradient = gradient

    def move(self, first, norm, eps):
        bounds = self.low, self.high
        z = project(self.x_k + self.eta * direction(self.gradient, norm), self.x, eps, norm, bounds)
        if not first:
            z = self.x_k + 0.75 * (z - self.x_k) + 0.25 * (self.x_k - self.previous)
            z = project(z, self.x, eps, norm, bounds)
        self.previous, self.x_k = self.x_k, z

    def compare(self, loss, gradient):
        """Count whether the loss has risen, and keep the point if it is the best."""
        self.risen = self.risen + (loss > self.loss)
        self.loss, better = loss, loss > self.best_loss
        self.best_loss = torch.where(better, loss, self.best_loss)
        better = better.view(-1, 1, 1, 1)
        self.best = torch.where(better, self.x_k, self.best)
        if gradient is not None:
            self.gradient = gradient
            self.best_gradient = torch.where(better, gradient, self.best_gradient)

    def check(self, gap):
        """Halve the step and go back to the best point where the last `gap` steps were of little use."""
        stuck = ~self.halved & (self.best_loss <= self.loss_at_check)
        self.halved = (self.risen <= _RISING * gap) | stuck
        self.loss_at_check, self.risen = self.best_loss, torch.zeros_like(self.risen)
        back = self.halved.view(-1, 1, 1, 1)
        self.eta = torch.where(back, self.eta / 2, self.eta)
        self.x_k = torch.where(back, self.best, self.x_k)
        self.gradient = torch.where(back, self.best_gradient, self.gradient)


def checkpoints(steps: int) -> dict[int, int]:
    """Return the checkpoints of a run: how many steps were taken -> how many of them since the last checkpoint."""
    gap, least, shorter = (max(1, int(share * steps)) for share in (_FIRST, _LEAST, _SHORTER))
    at, gaps = gap, {}
    while at <= steps:
        gaps[at] = gap
        gap = max(gap - shorter, least)
        at += gap
    return gaps


def _surface(x, eps, norm, noise, stream):
    """Return random points of the ball's surface, clipped to [0, 1]."""
    if norm == "L2":
        return (x + eps * direction(noise.normal(x, stream), norm)).clamp(0, 1)
    u = 2 * noise.uniform(x, stream) - 1
    largest = u.abs().flatten(1).amax(1).clamp_min(torch.finfo(x.dtype).tiny)
    return torch.clamp(x + eps * u / largest.view(-1, 1, 1, 1), *box(x, eps))


def _best(runs, finalists, n):
    """Yield the runs, each with the images for which its loss is among the `finalists` highest of all runs."""
    losses = runs[0].loss.new_full((len(runs), n), -torch.inf)
    for losses_of_run, run in zip(losses, runs):
        losses_of_run[run.index] = run.best_loss
    first = losses.topk(min(finalists, len(runs)), dim=0).indices
    on = torch.zeros_like(losses, dtype=torch.bool).scatter(0, first, True)
    for chosen, run in zip(on, runs):
        run.keep(chosen[run.index])
        yield run


def dlr(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the difference of logits ratio, -(Z_y - max_{i != y} Z_i) / (Z_1st - Z_3rd), of Croce and Hein 2020, equation 3.

    Adding a number to all logits, or multiplying them by one, does not change it.

    Args:
        logits: (N, K). With two classes, the numerator alone is returned.
        labels: (N,).
    """
    if logits.shape[1] < 3:
        return -margin(logits, labels)
    first = logits.topk(3, dim=1).values
    return -margin(logits, labels) / (first[:, 0] - first[:, 2] + 1e-12)


def targeted_dlr(logits: Tensor, labels: Tensor, aim: Tensor) -> Tensor:
    """Return -(Z_y - Z_t) / (Z_1st - (Z_3rd + Z_4th) / 2), of Croce and Hein 2020, equation 6.

    Args:
        logits: (N, K). With two or three classes, the numerator alone is returned.
        labels, aim: (N,), y and t.
    """
    ahead = logits.gather(1, aim.unsqueeze(1)) - logits.gather(1, labels.unsqueeze(1))
    if logits.shape[1] < 4:
        return ahead.squeeze(1)
    first = logits.topk(4, dim=1).values
    return ahead.squeeze(1) / (first[:, 0] - (first[:, 2] + first[:, 3]) / 2 + 1e-12)
