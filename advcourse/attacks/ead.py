"""EAD: C&W's attack with the elastic net, a mixture of L1 and L2, in place of L2."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from advcourse.attacks.base import Attack, AttackResult
from advcourse.attacks.deepfool import nearest_rival
from advcourse.attacks.hyperparameters import number
from advcourse.attacks.search import Hinge, Search, squared_l2
from advcourse.attacks.slide import slide

# The slide's weight of |d|_1 for each rule, in units of beta / lr. A fixed point of steps of size a with shrinking by beta
# minimises |d|_2^2 + beta / a |d|_1, and late in a run a = lr / 2. For the L1 rule the weight is so large that |d|_1 dominates.
_SPARSITY = {"EN": 2, "L1": 30}


def l1(x: Tensor, images: Tensor) -> Tensor:
    """Return the L1 distance, (N,)."""
    return (images - x).flatten(1).abs().sum(1)


@dataclass(frozen=True)
class EAD(Attack):
    """Elastic-net attack: minimise c * max(max_{i != t} Z_i - Z_t, -confidence) + |x' - x|_2^2 + beta |x' - x|_1 in the box.

    Paper: Chen et al. 2018, "EAD: Elastic-Net Attacks to Deep Neural Networks via Adversarial Examples", equations 7 and 8,
    algorithm 1 (arXiv 1709.04114). The minimiser is FISTA, and each image has its own binary search on c. Among all successful
    points, `rule="EN"` keeps the one with the smallest |x' - x|_2^2 + beta |x' - x|_1, and `rule="L1"` the one with the
    smallest |x' - x|_1.

    Beyond the paper: an untargeted search aims at the class behind the nearest linearised boundary. The first c is estimated
    from the model's slope. Each run starts from the best point so far. At the end, that point slides along the boundary
    (`attacks.slide`), in a norm that fits the rule. The paper's own settings are `steps=1000, binary_search_steps=9,
    initial_const=1e-3, slides=0, doublings=0`. With `beta=0` this is C&W L2 with another optimiser.

    An image on which the attack fails comes back clean and is flagged.

    Args:
        beta: weight of the L1 norm (default 0.001). A step shrinks changes by `beta` itself, as in the authors' code.
        rule: "EN" (default) or "L1".
        confidence: margin in logits by which the wanted class must lead (default 0).
        lr: size of the first step of a run; later steps shrink with the square root of the number of steps left (default
            0.01).
        steps: steps of FISTA for each c (default 5).
        binary_search_steps: number of constants c tried (default 5).
        initial_const: the first c (default None: estimated for each image).
        slides: steps along the boundary at the end (default 25; 0 for none).
        doublings: for images without a success so far, how many more runs are made, each with twice as many steps as the last
            (default 6; 0 for none). It costs nothing if the runs before succeed; models with flat gradients need it.
        targeted: reach `target` instead of leaving `y` (default False).

    Details:
        c: (N,), the last constant of the search.

    Example:
        >>> x_adv = EAD(rule="L1")(model, x, y)
    """

    beta: float = number(1e-3, low=0)
    rule: Literal["EN", "L1"] = "EN"
    confidence: float = number(0.0, low=0)
    lr: float = number(0.01, low=1e-6)
    steps: int = number(5, low=1)
    binary_search_steps: int = number(5, low=1)
    initial_const: float | None = number(None, low=1e-12)
    slides: int = number(25, low=0)
    doublings: int = number(6, low=0)
    targeted: bool = False
    kind: ClassVar[str] = "minimum-norm"

    @property
    def norm(self) -> Literal["EN", "L1"]:
        """What the rule minimises: "L1", or "EN" for beta * L1 + L2 squared."""
        return self.rule

    def size(self, result: AttackResult) -> Tensor:
        return self._distance(result.clean.double(), result.images.double())

    def _perturb(self, victim, x, y, target, noise):
        rival = nearest_rival(victim, x, y) if target is None else None
        search = Search(
            x, Hinge(victim, y, target, self.confidence, rival), self._distance, self.initial_const
        )
        for run in search.runs(self.steps, self.binary_search_steps, self.doublings):  # each tries another c
            fista = Fista(run.x, run.start, run.steps, self.beta, self.lr)
            for c, gradient in run.gradients(fista):  # of max(f, 0); `run` keeps the nearest success
                fista.step(c * gradient + 2 * (fista.point - run.x))  # of c * max(f, 0) + |x' - x|_2^2
        sparsity = _SPARSITY[self.rule] * self.beta / self.lr
        f = Hinge(victim, y, target, self.confidence, cut=False)
        taken = search.taken + slide(f, x, search.nearest, self.slides, sparsity)
        return search.nearest.images, taken, {"c": search.c}

    def _distance(self, x, images):
        return l1(x, images) if self.rule == "L1" else squared_l2(x, images) + self.beta * l1(x, images)


class Fista:
    """Gradient steps from an extrapolated point, each followed by shrinking (Chen et al. 2018, algorithm 1).

    Changes are shrunk by `beta` itself, as in the authors' code; textbooks shrink by the step size times beta.

    Args:
        x: the clean images (N, C, H, W).
        start: the images to start from, (N, C, H, W).
        steps: number of steps that will be taken.
        beta: how far each step shrinks the change.
        lr: size of the first step.

    Attributes:
        images: the paper's x^(k), (N, C, H, W).
        point: the paper's y^(k), (N, C, H, W), where the next gradient is computed.
    """

    def __init__(self, x: Tensor, start: Tensor, steps: int, beta: float, lr: float):
        self._x, self._beta, self._lr, self._steps, self._k = x, beta, lr, steps, 0
        self.images = self.point = start

    def step(self, gradient: Tensor) -> None:
        """Take one step; `gradient` (N, C, H, W) is that of the loss without its L1 term, at `point`."""
        size = self._lr * (1 - self._k / self._steps) ** 0.5
        images = shrink(self.point - size * gradient, self._x, self._beta)
        self.point = images + self._k / (self._k + 3) * (images - self.images)
        self.images = images
        self._k += 1

    def keep(self, on: Tensor) -> None:
        """Keep only the images where `on` (N,) is True."""
        apart = self.point is not self.images
        self._x, self.images = self._x[on], self.images[on]
        self.point = self.point[on] if apart else self.images


def shrink(z: Tensor, x: Tensor, beta: float) -> Tensor:
    """S_beta: move `z` towards `x` by `beta` in each pixel, at most as far as `x`, and clip to [0, 1].

    Source: Chen et al. 2018, equation 8. All images are (N, C, H, W).
    """
    change = z - x
    near = change.abs() <= beta
    return torch.where(near, x, (z - beta * change.sign()).clamp(0, 1))
