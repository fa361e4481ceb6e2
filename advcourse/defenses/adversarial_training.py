"""Adversarial training: the model learns from images that are attacked as it learns."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from advcourse.attacks import PGD
from advcourse.inputs import InputError, check_choice, check_range
from advcourse.training import SCHEDULES, cross_entropy


@dataclass(frozen=True)
class PAT:
    """PGD adversarial training: min_theta E max_{||delta||_inf <= eps} J(x + delta, y), the maximum sought by PGD.

    Paper: Madry et al. 2018, "Towards Deep Learning Models Resistant to Adversarial Attacks", equation 2.1 (arXiv 1706.06083).
    The loss is that of the adversarial images alone, as in the paper: the last iterates of PGD from a fresh random start, made
    in eval mode. The loss itself is taken in the mode that the model is in, which `training.fit` makes training mode. A call
    makes `steps` + 1 forward and backward passes, and so many times the cost of ordinary training.

    What breaks it: it holds in the ball that it was trained on, and promises nothing beyond. Perturbations that are small in
    another norm go through: EAD's in L1 (Sharma and Chen 2018, "Attacking the Madry Defense Model with L1-based Adversarial
    Examples", arXiv 1710.10733), and other norms in general (Tramer and Boneh 2019, "Adversarial Training and Robustness for
    Multiple Perturbations", arXiv 1904.13000). So do small shifts of pixels (Xiao et al. 2018, "Spatially Transformed
    Adversarial Examples", arXiv 1801.02612). Within the ball, stronger attacks lower the accuracy further.

    Args:
        eps: budget in L-infinity, in units of the pixel range [0, 1] (default 0.3, the paper's for MNIST).
        alpha: size of a step at the full budget (default None: 2.5 * eps / steps, as `PGD` has it).
        steps: steps of the attack (default 10; the paper takes 40 on MNIST).
        ramp: share of training over which budget and step grow from 0, in proportion (default 0: the full budget throughout,
            as in the paper). At eps 0.3 a model can give every image the same answer for many epochs; a ramp avoids that.
        mix: weight of the clean images' loss, beside 1 - mix for the adversarial ones (default 0). Anything else is a mistake,
            here to be shown: it is not the paper's loss, and buys clean accuracy with robustness. DEEPSEC reported such a
            mixture, trained for too few epochs, as PGD adversarial training (Carlini 2019, objection 4 of those on
            github.com/ryderling/DEEPSEC).

    An objective is not told how far training is, but a schedule is, before each step. So a ramp goes into both:

        >>> objective = PAT(eps=0.3, ramp=1 / 3)
        >>> fit(model, data, objective, schedule=objective.following("one-cycle"))

    What the schedule is told serves the next loss and is then forgotten: a resumed run is told the same as one that was never
    interrupted, and nothing stays behind. The random starts are drawn from the global random state, as dropout is; `fit` sets
    that state from its seed, keeps it in its checkpoints, and puts the caller's back.

    Raises:
        InputError: an argument out of its range; a loss asked for with a ramp that was not told how far training is.
    """

    eps: float = 0.3
    alpha: float | None = None
    steps: int = 10
    ramp: float = 0.0
    mix: float = 0.0
    _told: list[float] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self):
        PGD(self.eps, self.alpha, self.steps)  # which checks them
        check_range(self.ramp, "ramp", 0, 1)
        check_range(self.mix, "mix", 0, 1)

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """The loss of the images x (N, C, H, W) in [0, 1] with labels y (N,): a scalar in nats."""
        attack = self._attack(self._growth())
        adversarial = cross_entropy(model, attack(model, x, y), y)
        if not self.mix:
            return adversarial
        return self.mix * cross_entropy(model, x, y) + (1 - self.mix) * adversarial

    def following(self, schedule: str | Callable[[float], float] = "one-cycle") -> Callable[[float], float]:
        """The schedule for `fit`, "one-cycle", "constant" or a function, which also tells this objective how far training is.

        Raises:
            InputError: an unknown name.
        """
        if not callable(schedule):
            schedule = SCHEDULES[check_choice(schedule, "schedule", tuple(SCHEDULES))]
        return partial(self._follow, schedule=schedule)

    def _follow(self, done, schedule):
        self._told[:] = [done]
        return schedule(done)

    def _growth(self):
        """The share of the full budget at this step."""
        if not self.ramp:
            return 1.0
        if not self._told:
            raise InputError(
                f"ramp: got {self.ramp:.4g}, but nothing tells the objective how far training is; allowed is ramp=0, "
                f'or fit(..., schedule=objective.following("one-cycle"))'
            )
        return min(1.0, self._told.pop() / self.ramp)

    def _attack(self, growth):
        """PGD at this share of the full budget, from the next random start."""
        alpha = None if self.alpha is None else growth * self.alpha
        seed = int(torch.randint(2**63 - 1, ()))
        return PGD(growth * self.eps, alpha, self.steps, keep="last", seed=seed)
