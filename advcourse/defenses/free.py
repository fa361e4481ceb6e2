"""Free adversarial training: one backward pass updates both the weights and the attack."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from advcourse.attacks import FGSM
from advcourse.core.inputs import ask, check_classes, check_field, check_images, check_labels
from advcourse.defenses.ramp import Ramped, take_checked


@dataclass(frozen=True)
class FreeAT(Ramped):
    """Free adversarial training: each batch is replayed, and each backward pass updates the weights and the perturbation.

        repeat m times:  g_theta, g_x = gradients of J(x + delta, y);  theta <- theta - lr * g_theta;
                         delta <- clip(delta + eps * sign(g_x), -eps, eps).

    delta starts at 0 and is carried over to the next batch: there is one perturbation per position in the batch, and each image
    starts with what the previous image at its position left.

    Paper: Shafahi et al. 2019, "Adversarial Training for Free!", algorithm 1 (arXiv 1904.12843). As in the authors' code,
    x + delta is clipped to [0, 1]; here delta moves by the gradient at the clipped image, while in theirs it does not move at
    clipped pixels, and on MNIST most pixels are 0. One pass serves both purposes, so unlike in `PAT` the attack is made in
    training mode. A step costs as much as a step of ordinary training; an epoch has `replays` times as many steps, so train for
    that many times fewer epochs.

    `training.fit` makes the replays, because this objective is `training.Replaying`, and keeps delta in its checkpoints. In a
    loop of your own, delta moves whenever the loss's `backward()` is called.

    What breaks it: whatever breaks `PAT`. Under the same attacks it is slightly less robust: 41.5 % instead of 44.0 % on CIFAR-10
    under AutoAttack (Croce and Hein 2020, arXiv 2003.01690).

    Args:
        eps: budget in L-infinity, in units of the pixel range [0, 1] (default 0.3), and the size of delta's steps.
        replays: m, steps on each batch (default 8).
        ramp: share of training over which budget and step grow from 0 (default 0: the full budget throughout, as in the
            paper); see `Ramped`.

    Raises:
        InputError: an argument is out of range, or the loss is computed with a ramp but without the schedule's progress.
    """

    eps: float = 0.3
    replays: int = 8
    ramp: float = 0.0
    _carried: dict[str, Tensor] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self):
        take_checked(self, FGSM(self.eps), "eps")
        check_field(self, "replays", 1, integer=True)
        check_field(self, "ramp", 0, 1)

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """Return the loss for the images x (N, C, H, W) in [0, 1] with labels y (N,): a scalar in nats."""
        y = check_labels(y, check_images(x))
        eps = self._growth() * self.eps
        delta = self._delta(x)
        attacked = (x.detach() + delta[: len(x)]).clamp(0, 1).requires_grad_()

        def move(gradient):
            delta[: len(x)] = (delta[: len(x)] + eps * gradient.sign()).clamp(-eps, eps)

        attacked.register_hook(move)
        logits = ask(model, attacked)
        check_classes(y, logits.shape[1])
        return F.cross_entropy(logits, y)

    def _delta(self, x):
        """Return the perturbation so far, with at least one row per image; new rows are 0."""
        delta = self._carried.get("delta", x.new_zeros(0, *x.shape[1:])).to(x)
        if delta.shape[1:] != x.shape[1:]:
            delta = x.new_zeros(0, *x.shape[1:])
        new = x.new_zeros(max(0, len(x) - len(delta)), *x.shape[1:])
        self._carried["delta"] = torch.cat([delta, new])
        return self._carried["delta"]

    def state_dict(self) -> dict[str, Tensor]:
        """Return the state: "delta" (N, C, H, W), with N the size of the largest batch so far. {} before the first batch."""
        return {name: tensor.clone() for name, tensor in self._carried.items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Continue from a state that `state_dict()` returned; {} starts afresh."""
        self._carried.clear()
        self._carried.update(state)
