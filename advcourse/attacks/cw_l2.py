"""C&W L2: finding the smallest change in the Euclidean norm as an optimisation problem."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from advcourse.attacks.base import Attack
from advcourse.attacks.deepfool import nearest_rival
from advcourse.attacks.hyperparameters import number
from advcourse.attacks.search import Hinge, Search, squared_l2
from advcourse.attacks.slide import slide


@dataclass(frozen=True)
class CWL2(Attack):
    """Carlini and Wagner's L2 attack: minimise |x' - x|_2^2 + c * max(max_{i != t} Z_i - Z_t, -confidence).

    Paper: Carlini and Wagner 2017, "Towards Evaluating the Robustness of Neural Networks", sections V and VI.A (arXiv
    1608.04644). Norm: L2, minimised. With x' = (tanh w + 1) / 2, images stay in the box [0, 1]. Adam minimises over w, and
    each image has its own binary search on c. If the attack is untargeted, the loss is the lead of the true label over the
    best other class instead of the target's deficit.

    Beyond the paper: an untargeted search aims at the class behind the nearest linearised boundary (the class with the largest
    logit is often farther away), though any wrong class counts as success. The first c is estimated from the model's slope.
    Each run starts from the best point so far. At the end, that point slides along the boundary (`attacks.slide`). The paper's
    own settings are `lr=0.01, steps=1000, binary_search_steps=9, initial_const=1e-3, slides=0, doublings=0`; they need about
    180 times as many passes, and end farther away.

    An image on which the attack fails comes back clean and is flagged.

    Args:
        confidence: margin in logits by which the wanted class must lead (default 0).
        lr: Adam's step size in w (default 0.5).
        steps: steps of Adam for each c (default 4).
        binary_search_steps: number of constants c tried (default 4).
        initial_const: the first c (default None: estimated for each image).
        slides: steps along the boundary at the end (default 25; 0 for none).
        doublings: for images without a success so far, how many more runs are made, each with twice as many steps as the last
            (default 6; 0 for none). It costs nothing if the runs before succeed; models with flat gradients need it.
        targeted: reach `target` instead of leaving `y` (default False).

    Details:
        c: (N,), the last constant of the search.

    Example:
        >>> x_adv = CWL2()(model, x, y)
    """

    confidence: float = number(0.0, low=0)
    lr: float = number(0.5, low=1e-6)
    steps: int = number(4, low=1)
    binary_search_steps: int = number(4, low=1)
    initial_const: float | None = number(None, low=1e-12)
    slides: int = number(25, low=0)
    doublings: int = number(6, low=0)
    targeted: bool = False
    kind: ClassVar[str] = "minimum-norm"
    norm: ClassVar[str] = "L2"

    def _perturb(self, victim, x, y, target, noise):
        rival = nearest_rival(victim, x, y) if target is None else None
        search = Search(x, Hinge(victim, y, target, self.confidence, rival), squared_l2, self.initial_const)
        for run in search.runs(self.steps, self.binary_search_steps, self.doublings):  # each tries another c
            adam = TanhAdam(run.start, self.lr)
            for c, gradient in run.gradients(adam):  # of max(f, 0); `run` keeps the nearest success
                adam.step(2 * (adam.images - run.x) + c * gradient)  # of |x' - x|_2^2 + c * max(f, 0)
        f = Hinge(victim, y, target, self.confidence, cut=False)
        taken = search.taken + slide(f, x, search.nearest, self.slides)
        return search.nearest.images, taken, {"c": search.c}


class TanhAdam:
    """Adam on w, where x' = (tanh w + 1) / 2 cannot leave the box (Carlini and Wagner 2017, section V.B).

    w starts at 0.999 of the box. The authors' code uses 0.999999, where saturated pixels have almost no gradient.

    Args:
        start: the images to start from, (N, C, H, W).
        lr: size of a step in w.

    Attributes:
        images, point: both are the current x', (N, C, H, W).
    """

    def __init__(self, start: Tensor, lr: float):
        self._lr, self._steps = lr, 0
        self._w = torch.atanh((2 * start - 1) * 0.999)
        self._mean, self._square = torch.zeros_like(start), torch.zeros_like(start)
        self.images = self.point = (self._w.tanh() + 1) / 2

    def step(self, gradient: Tensor) -> None:
        """Take one step of Adam; `gradient` (N, C, H, W) is that of the loss with respect to x'."""
        tanh = 2 * self.images - 1
        gradient = gradient * (1 - tanh * tanh) / 2  # d x' / d w
        self._steps += 1
        self._mean.lerp_(gradient, 0.1)
        self._square.lerp_(gradient * gradient, 0.001)
        mean, square = self._mean / (1 - 0.9**self._steps), self._square / (1 - 0.999**self._steps)
        self._w -= (self._lr * mean).div_(square.sqrt_().add_(1e-8))
        self.images = self.point = self._w.tanh().add_(1).div_(2)

    def keep(self, on: Tensor) -> None:
        """Keep only the images where `on` (N,) is True."""
        self._w, self._mean, self._square = self._w[on], self._mean[on], self._square[on]
        self.images = self.point = self.images[on]
