"""What every attack is: its contract, its record, and the model as the attack sees it."""

import time
from dataclasses import dataclass, fields
from functools import cached_property
from typing import ClassVar

import torch

from advcourse import metrics
from advcourse.attacks.noise import Noise
from advcourse.attacks.targets import least_likely
from advcourse.inputs import (
    InputError,
    check_choice,
    check_classes,
    check_images,
    check_labels,
    check_logits,
    check_model,
    check_range,
    check_target,
    evaluating,
    predict,
)
from advcourse.randomness import seeded

# What a hyper-parameter of this name may be, in every attack: the lowest number, and whether it must be whole.
_NUMBERS = {
    "eps": (0, False),
    "alpha": (0, False),
    "steps": (1, True),
    "restarts": (1, True),
    "decay": (0, False),
    "seed": (0, True),
}
_CHOICES = {"norm": ("Linf", "L2"), "keep": ("best", "last", "first")}


class Victim:
    """The model under attack. Checks its first answer against the contract, and counts what is asked of it."""

    def __init__(self, model, y, target):
        self._model, self._labels, self._answered = model, {"y": y, "target": target}, False
        self.forward_passes = self.backward_passes = 0

    def __call__(self, x):
        """Logits (N, K) of the images `x`, with a graph behind them where `x` requires gradients."""
        logits = self._model(x)
        if not self._answered:
            check_logits(logits, len(x))
            for name, labels in self._labels.items():
                if labels is not None:
                    check_classes(labels, logits.shape[1], name)
            self._answered = True
        self.forward_passes += len(x)
        return logits

    def gradient(self, values, x):
        """Gradient (N, C, H, W) of each image's own value in `values` (N,): summed, so the batch size does not divide it."""
        self.backward_passes += len(x)
        return torch.autograd.grad(values.sum(), x)[0]


@dataclass(frozen=True)
class AttackResult:
    """The record of one attack on N images.

    `attack` repeats it; `clean`, `images` (N, C, H, W); `labels`, `target` (N,), target None if untargeted; `logits` (N, K) of a
    fresh forward pass over `images`; `steps` (N,) taken for each image; `forward_passes` and `backward_passes`, image passes
    summed over the batch, without that last check; `seconds` for the whole batch.
    """

    attack: "Attack"
    clean: torch.Tensor
    images: torch.Tensor
    labels: torch.Tensor
    target: torch.Tensor | None
    logits: torch.Tensor
    steps: torch.Tensor
    forward_passes: int
    backward_passes: int
    seconds: float

    @property
    def predictions(self):
        """The class that the model sees in each attacked image, shape (N,)."""
        return self.logits.argmax(1)

    @property
    def success(self):
        """Which attacks did what they wanted, shape (N,) bool."""
        return metrics.succeeded(self.logits, self.labels, self.target)

    @property
    def success_rate(self):
        """Share of the N images for which the attack did what it wanted; NaN for N = 0."""
        return metrics.misclassification_rate(self.logits, self.labels, self.target)

    @cached_property
    def distances(self):
        """L0 (pixels), L1, L2 and Linf of each change: a dictionary of tensors of shape (N,)."""
        norms = {"L0": metrics.l0, "L1": metrics.l1, "L2": metrics.l2, "Linf": metrics.linf}
        return {name: norm(self.clean, self.images) for name, norm in norms.items()}


class Attack:
    """An attack is a frozen dataclass: its fields are the paper's hyper-parameters, and its `repr` repeats it.

    `attack(model, x, y, target=None)` returns the adversarial images; `attack.run(...)` the whole `AttackResult`.
    `x` (N, C, H, W) in [0, 1], `y` (N,) the true labels, `target` (N,) the labels wanted by an attack with `targeted=True`.
    The images come back in [0, 1], inside the budget, detached, and the model and the global random state as they were.
    Randomness comes from `seed` alone. Bad input raises `advcourse.inputs.InputError`.
    """

    # "budgeted": the strongest point found in a ball; "minimum-norm": the nearest point found that succeeds.
    kind: ClassVar[str]
    targeted: ClassVar[bool] = False
    # Aims at the least likely class of the clean image, and takes no target from the caller.
    chooses_target: ClassVar[bool] = False
    seed: ClassVar[int] = 0

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in _CHOICES:
                check_choice(value, field.name, _CHOICES[field.name])
            elif field.name in _NUMBERS and not (value is None and field.default is None):
                low, integer = _NUMBERS[field.name]
                check_range(value, field.name, low, integer=integer)

    def __call__(self, model, x, y, target=None):
        return self._attack(model, x, y, target)[0]

    def run(self, model, x, y, target=None):
        """Attack, and return the whole record: see `AttackResult`."""
        began = time.perf_counter()
        images, target, steps, victim = self._attack(model, x, y, target)
        if x.is_cuda:
            torch.cuda.synchronize(x.device)
        seconds = time.perf_counter() - began
        logits = predict(model, images) if len(x) else x.new_zeros(0, 1)
        passes = victim.forward_passes, victim.backward_passes
        return AttackResult(self, x.detach().clone(), images, y, target, logits, steps, *passes, seconds)

    def _perturb(self, victim, x, y, target, noise):
        """Adversarial images for one chunk of the batch, and the steps taken for each image: what a subclass writes."""
        raise NotImplementedError

    def _attack(self, model, x, y, target):
        y, target = self._checked(model, x, y, target)
        victim = Victim(model, y, target)
        images, goals, steps = [x.detach()[:0]], [y[:0]], [y[:0]]
        # A model may draw random numbers of its own: they follow from the seed as well, and the global state stays.
        with evaluating(model), seeded(x.device, self.seed), torch.inference_mode(False), torch.enable_grad():
            x = x.detach().clone() if x.is_inference() else x.detach()
            for first in range(0, len(x), size := _chunk_size(x)):
                part = slice(first, first + size)
                goal = target if target is None else target[part]
                if self.chooses_target:
                    with torch.no_grad():
                        goal = least_likely(victim(x[part]), y[part])
                perturbed, taken = self._perturb(victim, x[part], y[part], goal, Noise(self.seed, first))
                images.append(perturbed.detach())
                steps.append(taken)
                goals.append(goal)
        return torch.cat(images), torch.cat(goals) if self.targeted else None, torch.cat(steps), victim

    def _checked(self, model, x, y, target):
        check_model(model, check_images(x))
        y = check_labels(y, x)
        if target is None:
            if self.targeted and not self.chooses_target:
                raise InputError(
                    f"target: got None; {self} needs a label for each image (attacks.choose_target makes them)"
                )
            return y, None
        if self.chooses_target:
            raise InputError(
                f"target: got labels; {self} chooses its own target, the least likely class; allowed is None"
            )
        if not self.targeted:
            raise InputError(f"target: got labels, but {self} is untargeted; allowed is None")
        return y, check_target(check_labels(target, x, "target"), y)


def _chunk_size(x):
    # On a CPU, buffers of larger batches are returned to the system and faulted in again at each step; a GPU wants few launches.
    images_of_32_by_32 = 2048 if x.is_cuda else 200
    return max(16, min(images_of_32_by_32, images_of_32_by_32 * 1024 // (x.shape[2] * x.shape[3])))
