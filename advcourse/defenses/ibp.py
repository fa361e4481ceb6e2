"""IBP training: the loss of the worst logits that intervals allow, so that the intervals stay narrow."""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from advcourse.core.inputs import ask, check_classes, check_field, check_images, check_labels
from advcourse.defenses.bounds import ball, interval_margins
from advcourse.defenses.ramp import Ramped


@dataclass(frozen=True)
class IBP(Ramped):
    """Interval bound propagation: L = k * J(Z(x), y) + (1 - k) * J(Z_worst, y), the means over the batch.

    Z_worst has for each class the largest lead over y that the intervals of `bounds.interval_margins` allow somewhere in the
    ball, and 0 for y. Over the ramp the radius grows from 0 to eps, and k falls from 1 to `kappa`.

    Batch normalisation enters the intervals as in eval mode, with its running statistics; without it they are narrower.

    Paper: Gowal et al. 2018, "On the Effectiveness of Interval Bound Propagation for Training Verifiably Robust Models",
    equation 11 (arXiv 1810.12715). Without a ramp the net collapses to a constant answer, which is as robust as it is useless.

    What breaks it: nothing inside the proven ball. It pays with clean accuracy, and proves nothing in another norm.

    Args:
        eps: radius in L-infinity, in units of the pixel range [0, 1] (default 0.3).
        kappa: the weight of the clean loss at the end (default 0.5).
        ramp: share of training over which the radius grows (default 0: the full radius throughout); see `Ramped`.

    Raises:
        InputError: an argument is out of range, the model has a layer that intervals do not know, or the loss is computed with
            a ramp but without the schedule's progress.

    Example:
        >>> objective = IBP(0.3, ramp=0.6)
        >>> fit(model, data, objective, schedule=objective.following("one-cycle"))
    """

    eps: float = 0.3
    kappa: float = 0.5
    ramp: float = 0.0

    def __post_init__(self):
        check_field(self, "eps", 0)
        check_field(self, "kappa", 0, 1)
        check_field(self, "ramp", 0, 1)

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """Return the loss for the images x (N, C, H, W) in [0, 1] with labels y (N,): a scalar in nats."""
        y = check_labels(y, check_images(x))
        growth = self._growth()
        logits = ask(model, x)
        check_classes(y, logits.shape[1])
        worst = -interval_margins(model, *ball(x, growth * self.eps), y)
        kappa = 1 - growth * (1 - self.kappa)
        return kappa * F.cross_entropy(logits, y) + (1 - kappa) * F.cross_entropy(worst, y)
