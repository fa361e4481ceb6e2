"""TRADES: a loss with one term for accuracy on clean images and one for answers that stay the same nearby."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from advcourse.attacks import PGD
from advcourse.core.inputs import ask, check_classes, check_field, check_images, check_labels, evaluating
from advcourse.defenses.ramp import Ramped, take_checked

_SPREAD = 0.001  # of the random start: at x itself the divergence has its minimum, with gradient 0


@dataclass(frozen=True)
class TRADES(Ramped):
    """TRADES: L = J(x, y) + beta * max_{||delta||_inf <= eps} KL(p(x) || p(x + delta)), the means over the batch.

    Paper: Zhang et al. 2019, "Theoretically Principled Trade-off between Robustness and Accuracy", equation 5
    (arXiv 1901.08573). The maximum is approximated by `steps` projected sign steps of `alpha`, from x + 0.001 N(0, I), in eval
    mode as in the authors' code, without the labels. Both terms of the loss are computed in the model's current mode, and the
    gradient goes through p(x) as well. A call makes `steps` + 3 forward passes. The starts are drawn from the global random
    state, which `fit` sets from its seed.

    What breaks it: whatever breaks `PAT`, because it is robust only in one ball. Within the ball it is less robust than reported:
    Croce and Hein 2020, "Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse Parameter-free Attacks"
    (arXiv 2003.01690), lower the accuracy on CIFAR-10 from the reported 56.4 % to 53.1 %.

    Args:
        eps: budget in L-infinity, in units of the pixel range [0, 1] (default 0.3, the paper's for MNIST).
        alpha: step size at the full budget (default 0.01).
        steps: steps of the attack (default 40).
        beta: the weight of the second term, 1 / lambda in the paper (default 1.0, the authors' for MNIST; 6.0 for CIFAR-10).
        ramp: share of training over which budget and step grow from 0 (default 0: the full budget throughout, as in the
            paper); see `Ramped`.

    Raises:
        InputError: an argument is out of range, or the loss is computed with a ramp but without the schedule's progress.
    """

    eps: float = 0.3
    alpha: float = 0.01
    steps: int = 40
    beta: float = 1.0
    ramp: float = 0.0

    def __post_init__(self):
        take_checked(self, PGD(self.eps, steps=self.steps), "eps", "steps")
        check_field(self, "alpha", 0)
        check_field(self, "beta", 0)
        check_field(self, "ramp", 0, 1)

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """Return the loss for the images x (N, C, H, W) in [0, 1] with labels y (N,): a scalar in nats."""
        y = check_labels(y, check_images(x))
        attacked = self._furthest(model, x, self._growth())
        logits = ask(model, x)
        check_classes(y, logits.shape[1])
        return F.cross_entropy(logits, y) + self.beta * divergence(logits, ask(model, attacked)).mean()

    def _furthest(self, model, x, growth):
        """Return the images in the ball, at this share of the budget, whose answers are furthest from those for x."""
        x = x.detach()
        low, high = (x - growth * self.eps).clamp_min(0), (x + growth * self.eps).clamp_max(1)
        with evaluating(model):
            with torch.no_grad():
                clean = ask(model, x)
            x_i = (x + _SPREAD * torch.randn(x.shape).to(x)).clamp(low, high)
            for _ in range(self.steps):
                x_i.requires_grad_()
                (gradient,) = torch.autograd.grad(divergence(clean, ask(model, x_i)).sum(), x_i)
                x_i = (x_i.detach() + growth * self.alpha * gradient.sign()).clamp(low, high)
        return x_i


def divergence(logits: Tensor, others: Tensor) -> Tensor:
    """Return KL(p || q), (N,) in nats, where p is the softmax of `logits` (N, K) and q that of `others` (N, K)."""
    return F.kl_div(others.log_softmax(1), logits.log_softmax(1), reduction="none", log_target=True).sum(1)
