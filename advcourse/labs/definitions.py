"""The formulas of the gradient-sign family as the judge computes them: float64, apart from the library's attacks.

On linear models the gradient is written out by hand, so that there no automatic differentiation is involved.
"""

from functools import lru_cache

import torch
from torch.nn.functional import cross_entropy, one_hot


@lru_cache(maxsize=4)
def _built(victim):
    return victim.build(torch.float64)


def model_of(case):
    """The judge's own copy of the case's model, in float64."""
    return _built(case.victim)


def slope(case, x, label):
    """Gradient (N, C, H, W) of each image's cross-entropy J(x, label) on the victim of `case`."""
    model = model_of(case)
    if case.victim.kind == "linear":
        logits = model(x).detach()
        residual = logits.softmax(1) - one_hot(label, logits.shape[1])
        return (residual @ model[1].weight.detach()).view_as(x)  # dJ/dx = (p - e_label) W
    x = x.detach().clone().requires_grad_()
    return torch.autograd.grad(cross_entropy(model(x), label, reduction="sum"), x)[0]


def logits(case, x):
    with torch.no_grad():
        return model_of(case)(x)


def least_likely(case):
    return logits(case, clean(case)).argmin(1)


def most_likely(case):
    return logits(case, clean(case)).argmax(1)


def clean(case):
    return case["x"].double()


def nearest(x_i, x, eps):
    """The point of the L-infinity ball around x, and of the box, that is nearest to x_i."""
    return torch.clamp(x_i, (x - eps).clamp_min(0), (x + eps).clamp_max(1))


def nearest_l2(x_i, x, eps):
    """x_i drawn back to the L2 ball around x, then clipped to the box."""
    delta = x_i - x
    length = delta.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    return (x + delta * torch.where(length > eps, eps / length, 1.0)).clamp(0, 1)


def one_step(case, label, away, size=None, start=None, direction=torch.sign):
    """clip(x + away * size * sign(gradient at x)); `size` is eps by default."""
    x = clean(case) if start is None else start
    return (x + away * (case["eps"] if size is None else size) * direction(slope(case, x, label))).clamp(0, 1)


def unit(gradient):
    return gradient / gradient.flatten(1).norm(dim=1).view(-1, 1, 1, 1)


def climb(
    case, label, away=1, *, alpha, steps, decay=0.0, memory="normalised", at="here", project="each step"
):
    """The iteration of BIM (decay 0), PGD and MI-FGSM from x, and, by `memory`, `at` and `project`, some ways to get it wrong.

    memory: what is summed up, "normalised" gradients (by their L1 norm), "raw" ones, or their "signs"; at: the gradient's place,
    "here" or at the clean image ("start"); project: onto ball and box, after "each step", or at the "end" and onto the box alone
    in between.
    """
    x = clean(case)
    x_i, g = x, torch.zeros_like(x)
    for _ in range(steps):
        gradient = away * slope(case, x_i if at == "here" else x, label)
        scaled = gradient / gradient.flatten(1).abs().sum(1).view(-1, 1, 1, 1)
        g = {
            "normalised": decay * g + scaled,
            "raw": decay * g + gradient,
            "signs": decay * g + gradient.sign(),
        }[memory]
        x_i = x_i + alpha * g.sign()
        x_i = nearest(x_i, x, case["eps"]) if project == "each step" else x_i.clamp(0, 1)
    return nearest(x_i, x, case["eps"])
