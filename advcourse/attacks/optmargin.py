"""OptMargin: find a point whose whole neighbourhood is misclassified, against defenses that vote over a region."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from advcourse.attacks.base import Attack
from advcourse.attacks.cw_l2 import TanhAdam
from advcourse.attacks.hyperparameters import number
from advcourse.attacks.search import Search, squared_l2
from advcourse.core.inputs import LARGEST_SEED, InputError

_AT_ONCE = 400  # images of 32 x 32 that go through the model together


@dataclass(frozen=True)
class OptMargin(Attack):
    """OptMargin: minimise |x' - x|_2^2 + c * mean_i max(Z_y - max_{j != y} Z_j, -confidence), with the logits Z at x' + v_i.

    Paper: He, Li and Song 2018, "Decision Boundary Analysis of Adversarial Examples", section 3 (OpenReview BkpiPMbA-). Norm:
    L2, minimised; untargeted. The v_i are orthogonal directions whose pixels have the root mean square `radius`, so |v_i|_2 =
    radius * sqrt(d) for each of them. The last v_i is 0 and stands for the image itself. As in the authors' code, x' + v_i is
    not clipped. Another implementation scales by the largest pixel, which makes the neighbourhood several times smaller. The
    paper sums over i; with the mean, c does not depend on the number of copies.

    An image counts as a success only if all copies are misclassified. An image on which the attack fails comes back clean.

    Args:
        copies: n, the number of points that must all be misclassified, including the image itself (default 20).
        radius: root mean square of v_i's pixels, in units of the pixel range [0, 1] (default 0.3; the paper's for CIFAR-10 is
            8/255).
        confidence: margin in logits by which a wrong class must lead at each point (default 0).
        lr: Adam's step size in w, where x' = (tanh w + 1) / 2 (default 0.4).
        steps: steps of Adam for each c (default 5).
        binary_search_steps: number of constants c tried (default 4).
        initial_const: the first c (default None: estimated for each image).
        doublings: for images without a success so far, how many more runs are made, each with twice as many steps as the last
            (default 3; 0 for none). It costs nothing if the runs before succeed; models with flat gradients need it.
        seed: seed of the directions (default 0).

    Details:
        c: (N,), the last constant of the search.

    Raises:
        InputError: when the attack runs, if `copies` is above C * H * W + 1.

    Example:
        >>> x_adv = OptMargin(radius=0.3)(model, x, y)
    """

    copies: int = number(20, low=1)
    radius: float = number(0.3, low=0, high=1)
    confidence: float = number(0.0, low=0)
    lr: float = number(0.4, low=1e-6)
    steps: int = number(5, low=1)
    binary_search_steps: int = number(4, low=1)
    initial_const: float | None = number(None, low=1e-12)
    doublings: int = number(3, low=0)
    seed: int = number(0, low=0, high=LARGEST_SEED)
    kind: ClassVar[str] = "minimum-norm"
    norm: ClassVar[str] = "L2"

    def _aim(self):
        return f"{super()._aim()} with its neighbourhood of radius {self.radius:g}"

    def _perturb(self, victim, x, y, target, noise):
        directions = neighbourhood(x[0], self.copies, self.radius, self.seed)
        search = Search(x, _MeanHinge(victim, y, directions, self.confidence), squared_l2, self.initial_const)
        for run in search.runs(self.steps, self.binary_search_steps, self.doublings):  # each tries another c
            adam = TanhAdam(run.start, self.lr)
            for c, gradient in run.gradients(adam):  # of mean_i max(f(x' + v_i), 0)
                adam.step(2 * (adam.images - run.x) + c * gradient)
        return search.nearest.images, search.taken, {"c": search.c}


class _MeanHinge:
    """The `f` of `Search`: the distance to success of the worst copy x' + v_i, and the gradient of mean_i max(f(x' + v_i), 0)."""

    def __init__(self, victim, y, directions, confidence):
        self._victim, self._y, self._directions, self._confidence = victim, y, directions, confidence

    def __call__(self, index, images, differentiate):
        pixels = images.shape[2] * images.shape[3]
        together = max(1, _AT_ONCE * 1024 // pixels // max(1, len(images)))
        worst, total = [], torch.zeros_like(images)
        for v in self._directions.split(together):
            points = (images.detach().unsqueeze(0) + v.unsqueeze(1)).flatten(0, 1)
            logits = self._victim(points.requires_grad_(differentiate))
            label = self._y[index].repeat(len(v))
            f = self._victim.distance_to_success(logits, label, 1) + self._confidence
            if differentiate:
                gradient = self._victim.gradient(f.clamp_min(0), points)
                total += gradient.view(len(v), *images.shape).sum(0)
            worst.append(f.detach().view(len(v), -1).amax(0))
        return torch.stack(worst).amax(0), total / len(self._directions) if differentiate else None


def neighbourhood(image: Tensor, copies: int, radius: float, seed: int = 0) -> Tensor:
    """Return OptMargin's directions v_i: orthogonal, all of the same length, and the last one 0.

    Args:
        image: (C, H, W), whose shape, device and type the directions get.
        copies: n, at most C * H * W + 1.
        radius: root mean square of a direction's pixels, in units of the pixel range [0, 1].
        seed: seed of the directions (default 0).

    Returns:
        (copies, C, H, W).

    Raises:
        InputError: `copies` is too large.
    """
    generator = torch.Generator().manual_seed(seed)
    size = image.numel()
    if copies > size + 1:
        raise InputError(
            f"copies: got {copies}; allowed are at most {size + 1} for images of {size} values, because the directions "
            "are orthogonal"
        )
    basis = torch.linalg.qr(torch.randn(size, copies - 1, generator=generator, dtype=torch.float64)).Q
    directions = radius * size**0.5 * basis.T
    directions = torch.cat([directions, directions.new_zeros(1, size)])
    return directions.to(image).view(copies, *image.shape)
