"""Universal adversarial perturbations: a single change that fools a model on most images, including new ones."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from advcourse.attacks.base import Attack
from advcourse.attacks.deepfool import walk
from advcourse.attacks.hyperparameters import number
from advcourse.core.inputs import LARGEST_SEED, InputError, check_images, predict
from advcourse.metrics import margin

# Largest number of images in a step. With "deepfool" it is also at most a tenth of all images, because the steps are added up.
_AT_ONCE = {"deepfool": 25, "minibatch": 50}
_FORWARD_BATCH = 256
_SHARPNESS = 10  # slope of the smoothed fooling rate, per mean margin of the clean images


@dataclass(frozen=True)
class UAP(Attack):
    """Universal adversarial perturbation: one v, ||v|| <= eps, that changes the model's answer on most images clip(x + v).

    `method="deepfool"` is the paper's: for each image that v does not fool yet, v <- project(v + DeepFool(x_j + v)), in
    several passes over the shuffled images. Paper: Moosavi-Dezfooli, Fawzi, Fawzi and Frossard 2017, "Universal adversarial
    perturbations", algorithm 1 (arXiv 1610.08401). DeepFool always minimises L2, whatever the norm of v, as in the authors'
    code. There are three differences to the paper: the steps for the images of a small batch are computed together, from the
    same v, and added (`batch=1` is the paper's order, and not stronger); x + v is clipped to [0, 1], as in the images that the
    attack returns; and v is the best one of all passes.

    `method="minibatch"` is projected ascent of v over mini-batches, along the gradient's sign (in L2 along the gradient).
    Paper: Shafahi, Najibi, Xu, Dickerson, Davis and Goldstein 2018, "Universal Adversarial Training", algorithm 2 (arXiv
    1811.11304). That paper clips the cross-entropy, so that no single image dominates. Here v climbs a smoothed fooling rate
    instead: the mean of sigmoid(-10 * margin / mean margin of the clean images), where the margin is the lead of the predicted
    class. It does not depend on the scale of the logits. The step size falls linearly from 2 * eps to 0. This method is
    stronger and faster than the other.

    Both methods compare with the prediction on the clean image: an image is fooled if the prediction changes, so labels are
    not used. Both stop after the first pass that fools the share `goal`. `perturbation` returns v, to add to other images.

    Args:
        eps: budget, in the unit of `norm`: pixel range for "Linf" (default 0.2, because at 0.3 random signs already fool a
            fifth of the digits or more), Euclidean length for "L2".
        norm: the norm of v, "Linf" (default) or "L2".
        method: "deepfool" (default) or "minibatch".
        passes: the most passes over the images (default 10).
        goal: the share of fooled images that is enough, 1 - delta in the paper (default 0.8).
        overshoot: DeepFool's, for one image (default 0.02).
        steps: the most steps of DeepFool for one image (default 10). An image that is not fooled by then adds nothing to v.
        batch: number of images in a step (default None: for "deepfool" a tenth of them, at most 25; for "minibatch" at most
            50).
        seed: seed of the order of the images (default 0).

    Details:
        perturbation: (N, C, H, W), v repeated for each image.
        fooled: (N,) bool, whether the prediction changed.

    Example:
        >>> v = UAP(eps=0.3, method="minibatch", goal=1.0).perturbation(model, x)
        >>> others_adv = (others + v).clamp(0, 1)
    """

    eps: float = number(0.2, low=0)
    norm: Literal["Linf", "L2"] = "Linf"
    method: Literal["deepfool", "minibatch"] = "deepfool"
    passes: int = number(10, low=1)
    goal: float = number(0.8, low=0, high=1)
    overshoot: float = number(0.02, low=0)
    steps: int = number(10, low=1)
    batch: int | None = number(None, low=1)
    seed: int = number(0, low=0, high=LARGEST_SEED)
    kind: ClassVar[str] = "budgeted"
    universal: ClassVar[bool] = True

    def perturbation(self, model: nn.Module, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Make a single perturbation; add it to any images, and clip the result to [0, 1].

        Args:
            model: a module from images to logits (N, K).
            x: the images that it is made from, (N, C, H, W) in [0, 1], N >= 1.
            y: labels (N,), which are only checked (default None).

        Returns:
            v (C, H, W).

        Raises:
            InputError: `x` is empty, or an argument breaks its contract.
        """
        if not len(check_images(x)):
            raise InputError("x: got no images; allowed is at least one to make a perturbation from")
        y = predict(model, x).argmax(1) if y is None else y
        return self.run(model, x, y).details["perturbation"][0].clone()

    def _perturb(self, victim, x, y, target, noise):
        with torch.no_grad():
            clean = _logits(victim, x)
        said = clean.argmax(1)
        update = self._deepfool if self.method == "deepfool" else self._ascent(margin(clean, said))
        v = best = torch.zeros_like(x[0])
        fooled = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        steps = torch.zeros_like(said)
        most = len(x) // 10 if self.method == "deepfool" else len(x)
        size = self.batch or max(1, min(_AT_ONCE[self.method], most))
        for turn in range(self.passes):
            order = noise.uniform(x[:, :1, :1, :1], turn).flatten().argsort()
            batches = order.split(size)
            for i, part in enumerate(batches):
                done = (turn + i / len(batches)) / self.passes
                v, taken = update(victim, x[part], said[part], v, done)
                steps[part] += taken
            with torch.no_grad():
                now = _logits(victim, (x + v).clamp(0, 1)).argmax(1) != said
            if now.sum() >= fooled.sum():
                best, fooled = v, now
            if fooled.sum() >= self.goal * len(x):
                break
        details = {"perturbation": best.expand_as(x), "fooled": fooled}
        return (x + best).clamp(0, 1), steps, details

    def _deepfool(self, victim, x, said, v, done):
        """Return v after the DeepFool steps of those images that it does not fool yet, and the number of steps of each image."""
        x_v = (x + v).clamp(0, 1)
        over = walk(victim, x_v, said, (self.steps, self.overshoot, "L2"))
        changes = (over.images - x_v) * over.crossed.view(-1, 1, 1, 1)
        return self._project(v + changes.sum(0)), over.steps

    def _ascent(self, margins):
        """Return the update of projected ascent on the smoothed fooling rate; clean `margins` (N,) set how smooth it is."""
        sharpness = _SHARPNESS / margins.mean().clamp_min(torch.finfo(margins.dtype).tiny)

        def step(victim, x, said, v, done):
            x_v = (x + v).clamp(0, 1).requires_grad_()
            rate = torch.sigmoid(-sharpness * margin(victim(x_v), said))
            # Where x + v is clipped, it does not depend on v.
            inside = (x + v >= 0) & (x + v <= 1)
            gradient = (victim.gradient(rate, x_v) * inside).sum(0)
            length = gradient.norm().clamp_min(torch.finfo(x.dtype).tiny)
            direction = gradient.sign() if self.norm == "Linf" else gradient / length
            return self._project(v + 2 * self.eps * (1 - done) * direction), 1

        return step

    def _project(self, v):
        if self.norm == "Linf":
            return v.clamp(-self.eps, self.eps)
        return v * (self.eps / v.norm().clamp_min(torch.finfo(v.dtype).tiny)).clamp_max(1)


def _logits(victim, x):
    return torch.cat([victim(part) for part in x.split(_FORWARD_BATCH)])
