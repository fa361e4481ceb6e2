"""Free adversarial training: one backward pass moves the weights and the attack."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from advcourse.attacks import FGSM
from advcourse.core.inputs import ask, check_classes, check_field, check_images, check_labels
from advcourse.defenses.ramp import Ramped, take_checked


@dataclass(frozen=True)
class FreeAT(Ramped):
    """Free adversarial training: each batch is replayed, and each backward pass moves the weights and the perturbation.

        repeat m times:  g_theta, g_x = gradients of J(x + delta, y);  theta <- theta - lr * g_theta;
                         delta <- clip(delta + eps * sign(g_x), -eps, eps).

    delta starts at 0 and is carried on to the next batch: there is one perturbation for each place in the batch, and the image
    that comes to a place next starts with what the last one left there.

    Paper: Shafahi et al. 2019, "Adversarial Training for Free!", algorithm 1 (arXiv 1904.12843). As in the authors' code,
    x + delta is clipped to [0, 1]; here delta moves by the gradient at the clipped image, while there a pixel that is clipped
    stays where it is, and on MNIST most pixels are 0. One pass serves both, so the attack is made in the mode in which the
    model learns, other than in `PAT`. A step costs what a step of ordinary training does; an epoch costs `replays` of them,
    so take that many times fewer epochs.

    `training.fit` takes the steps, for this objective is `training.Replaying`, and keeps delta in its checkpoints. In a
    loop of your own, delta moves whenever the loss's `backward()` is called.

    What breaks it: what breaks `PAT`. Under the same attacks it holds a little less: 41.5 % instead of 44.0 % of CIFAR-10 under
    AutoAttack (Croce and Hein 2020, arXiv 2003.01690).

    Args:
        eps: budget in L-infinity, in units of the pixel range [0, 1] (default 0.3). A step of delta is as long.
        replays: m, steps on each batch (default 8).
        ramp: share of training over which budget and step grow from 0 (default 0: the full budget throughout, as in the
            paper); see `Ramped`.

    Raises:
        InputError: an argument out of its range; a loss asked for with a ramp that was not told how far training is.
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
        """The loss of the images x (N, C, H, W) in [0, 1] with labels y (N,): a scalar in nats."""
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
        """The perturbation carried so far, with a row for each image at least; a new row is 0."""
        delta = self._carried.get("delta", x.new_zeros(0, *x.shape[1:])).to(x)
        if delta.shape[1:] != x.shape[1:]:
            delta = x.new_zeros(0, *x.shape[1:])
        new = x.new_zeros(max(0, len(x) - len(delta)), *x.shape[1:])
        self._carried["delta"] = torch.cat([delta, new])
        return self._carried["delta"]

    def state_dict(self) -> dict[str, Tensor]:
        """What is carried on: "delta" (N, C, H, W), N the size of the largest batch so far. {} before the first."""
        return {name: tensor.clone() for name, tensor in self._carried.items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from what `state_dict()` gave; {} starts afresh."""
        self._carried.clear()
        self._carried.update(state)
