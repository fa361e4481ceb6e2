"""C&W L2: the smallest change by the Euclidean norm, as an optimisation problem."""

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
    1608.04644). Norm: L2, the smallest. x' = (tanh w + 1) / 2 keeps the box, Adam minimises over w, and each image has
    its own binary search on c. Untargeted, the true label's lead over the best other takes the place of the target's
    deficit.

    Beyond the paper: untargeted, the search aims at the class behind the nearest linearised boundary, while any class
    counts (the class of the largest logit is often farther away); the first c is estimated from the model's slope; a
    run starts from the best point so far; and at the end that point slides along the boundary (`attacks.slide`). The
    paper's own settings are `lr=0.01, steps=1000, binary_search_steps=9, initial_const=1e-3, slides=0, doublings=0`;
    they take some 180 times as many passes, and end farther away.

    Args:
        confidence: by how much the wanted logit shall lead (default 0).
        lr: Adam's step in w (default 0.5).
        steps: of Adam for each c (default 4).
        binary_search_steps: constants tried (default 4).
        initial_const: the first c (default None, an estimate for each image).
        slides: steps along the boundary at the end (default 25; 0 for none).
        doublings: where nothing has succeeded yet, one more run with twice as many steps, and so on, at most so often
            (default 6; 0 for none). It costs nothing where the runs above succeed; models with flat gradients need it.
        targeted: reach `target` instead of leaving `y` (default False).

    What fails comes back as the clean image. `details`: "c" (N,), the constant that the search had come to.

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
            for c, gradient in run.gradients(adam):  # of max(f, 0); the nearest success on the way is kept
                adam.step(2 * (adam.images - run.x) + c * gradient)  # of |x' - x|_2^2 + c * max(f, 0)
        f = Hinge(victim, y, target, self.confidence, cut=False)
        taken = search.taken + slide(f, x, search.nearest, self.slides)
        return search.nearest.images, taken, {"c": search.c}


class TanhAdam:
    """Adam on w, where x' = (tanh w + 1) / 2 cannot leave the box (Carlini and Wagner 2017, section V.B).

    It starts from the images `start` (N, C, H, W), and `lr` is the size of a step in w. `images` and `point` are both the
    current x'. w starts at 0.999 of the box; the authors' code has 0.999999, where saturated pixels have almost no gradient.
    """

    def __init__(self, start: Tensor, lr: float):
        self._lr, self._steps = lr, 0
        self._w = torch.atanh((2 * start - 1) * 0.999)
        self._mean, self._square = torch.zeros_like(start), torch.zeros_like(start)
        self.images = self.point = (self._w.tanh() + 1) / 2

    def step(self, gradient: Tensor) -> None:
        """One step of Adam; `gradient` (N, C, H, W) is that of the loss with respect to x'."""
        tanh = 2 * self.images - 1
        gradient = gradient * (1 - tanh * tanh) / 2  # d x' / d w
        self._steps += 1
        self._mean.lerp_(gradient, 0.1)
        self._square.lerp_(gradient * gradient, 0.001)
        mean, square = self._mean / (1 - 0.9**self._steps), self._square / (1 - 0.999**self._steps)
        self._w -= (self._lr * mean).div_(square.sqrt_().add_(1e-8))
        self.images = self.point = self._w.tanh().add_(1).div_(2)

    def keep(self, on: Tensor) -> None:
        """Go on with the images where `on` (N,) is True."""
        self._w, self._mean, self._square = self._w[on], self._mean[on], self._square[on]
        self.images = self.point = self.images[on]
