"""Controls: noise that is as large as an attack, but knows nothing of the model. An attack must do more harm than these."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from advcourse.attacks import Attack
from advcourse.attacks.hyperparameters import number
from advcourse.core.inputs import LARGEST_SEED


@dataclass(frozen=True)
class RandomSigns(Attack):
    """Move every value by eps, up or down at random: x' = clip(x + eps * s), s = -1 or 1. The control of FGSM and PGD.

    Norm: L-infinity. No draw in the ball is larger.

    Args:
        eps: budget, in units of the pixel range [0, 1] (default 0.1).
        seed: of the draws (default 0).

    Example:
        >>> x_noisy = RandomSigns(eps=0.1)(model, x, y)
    """

    eps: float = number(0.1, low=0)
    seed: int = number(0, low=0, high=LARGEST_SEED)
    kind: ClassVar[str] = "budgeted"
    norm: ClassVar[str] = "Linf"

    def _perturb(self, victim, x, y, target, noise):
        signs = torch.where(noise.uniform(x) < 0.5, -1.0, 1.0).to(x)
        return (x + self.eps * signs).clamp(0, 1), torch.zeros_like(y), {}
