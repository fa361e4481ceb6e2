"""What the judge computes of a case in float64: logits, classes, and gradients by the images.

On linear models the gradient is written out by hand, so that there no automatic differentiation is involved.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

if TYPE_CHECKING:
    from advcourse.labs.exercises import Case


@lru_cache(maxsize=4)
def _built(victim):
    return victim.build(torch.float64)


def model_of(case: "Case") -> nn.Module:
    """The judge's own copy of the case's model, in float64."""
    return _built(case.victim)


def log_odds(logits: Tensor, label: Tensor) -> Tensor:
    """log of the odds that an image is not of its class `label`, shape (N,). The cross-entropy J is softplus of it."""
    others = logits.scatter(1, label[:, None], -torch.inf)
    return others.logsumexp(1) - logits.gather(1, label[:, None])[:, 0]


def gradient_of(case: "Case", x: Tensor, loss: Callable[[Tensor], Tensor]) -> Tensor:
    """Gradient (N, C, H, W) of the sum of `loss(logits)` on the victim of `case`."""
    x = x.detach().clone().requires_grad_()
    return torch.autograd.grad(loss(model_of(case)(x)).sum(), x)[0]


def rise(case: "Case", x: Tensor, label: Tensor) -> Tensor:
    """Gradient (N, C, H, W) of each image's log-odds against `label`.

    It is the gradient of J(x, label) but for one positive factor for each image, the probability of the other classes, which
    rounds to 0 where a model is sure of `label`. So both have the same sign wherever that of J has one.
    """
    model = model_of(case)
    if case.victim.kind not in ("linear", "loud"):
        return gradient_of(case, x, lambda logits: log_odds(logits, label))
    logits = model(x).detach()
    others = logits.scatter(1, label[:, None], -torch.inf).softmax(1)
    return ((others - one_hot(label, logits.shape[1])) @ model[1].weight.detach()).view_as(x)


def slope(case: "Case", x: Tensor, label: Tensor) -> Tensor:
    """Gradient (N, C, H, W) of each image's cross-entropy J(x, label) on the victim of `case`."""
    p_of_others = log_odds(logits(case, x), label).sigmoid()
    return p_of_others.view(-1, 1, 1, 1) * rise(case, x, label)


def logits(case: "Case", x: Tensor) -> Tensor:
    with torch.no_grad():
        return model_of(case)(x)


def least_likely(case: "Case") -> Tensor:
    return logits(case, clean(case)).argmin(1)


def most_likely(case: "Case") -> Tensor:
    return logits(case, clean(case)).argmax(1)


def clean(case: "Case") -> Tensor:
    return case["x"].double()
