"""The single loop behind the nine attacks of the gradient-sign family, and the settings in which they differ."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from advcourse.attacks.ball import box, direction, per_image, project
from advcourse.attacks.base import AttackedModel
from advcourse.attacks.best import Strongest
from advcourse.attacks.noise import Noise
from advcourse.metrics import margin

Keep = Literal["best", "last", "first"]  # which iterate is returned: see `Schedule`


@dataclass(frozen=True)
class Schedule:
    """The settings in which the nine attacks of the family differ.

    Args:
        eps: the budget, in the unit of `norm`: pixel range [0, 1] for "Linf", Euclidean length for "L2".
        alpha: size of a step, in the same unit.
        steps: number of steps (default 1).
        norm: "Linf" (default) or "L2".
        decay: weight of the earlier gradients in the momentum (default 0: no momentum).
        start: "image" (default); "uniform", a random point of the ball; or "sign", a random corner of the cube around the
            image whose half-side is `start_size`.
        start_size: see `start`, in units of the pixel range (default 0).
        restarts: number of runs, each from a new random start and only for the images that are not fooled yet (default 1).
        target: "none" (default), "given" by the caller, or "least likely", the least likely class of the clean image.
        keep: the iterate that is returned: "last" (default); "best", the one with the lowest margin; or "first", where an
            image leaves the batch at its first success.
    """

    eps: float
    alpha: float
    steps: int = 1
    norm: str = "Linf"
    decay: float = 0.0
    start: str = "image"
    start_size: float = 0.0
    restarts: int = 1
    target: str = "none"
    keep: Keep = "last"


def log_odds(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the logarithm of the odds against the label: logsumexp_{i != label} Z_i - Z_label.

    The cross-entropy is softplus of these log-odds, so for each image both gradients have the same direction and differ only
    by the positive factor p(not label). In float32 this factor underflows if the logits are large, and the gradient becomes 0.
    These attacks use only the gradient's direction, so they climb the log-odds: in exact arithmetic the steps are the same,
    and in float32 there are no flat places.

    Args:
        logits: (N, K).
        labels: (N,).

    Returns:
        the log-odds (N,), in nats.
    """
    labels = labels.unsqueeze(1)
    return logits.scatter(1, labels, -torch.inf).logsumexp(1) - logits.gather(1, labels).squeeze(1)


def log_odds_slope(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the gradient (N, K) of `log_odds` by the logits: the softmax over the other classes, and -1 at the label.

    It costs a fraction of a graph through `log_odds`. `logits` (N, K) have no graph; labels: (N,).
    """
    labels = labels.unsqueeze(1)
    return logits.scatter(1, labels, -torch.inf).softmax(1).scatter_(1, labels, -1)


def ascend(
    s: Schedule, victim: AttackedModel, x: Tensor, y: Tensor, target: Tensor | None, noise: Noise
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Run the loop with the settings `s`.

    Args:
        s: the settings.
        victim: the attacked model.
        x: images (N, C, H, W) in [0, 1].
        y: true labels (N,).
        target: wanted labels (N,); None for an untargeted attack.
        noise: the source of the random starts.

    Returns:
        the strongest images found, (N, C, H, W); the number of steps taken for each, (N,); and an empty dictionary, since
            these attacks have no details to record.
    """
    label, sign = (y, 1) if target is None else (target, -1)
    strongest = Strongest(x)
    left = torch.arange(len(x), device=x.device)
    for restart in range(s.restarts):
        start = _start(s, x, noise, restart)[left]
        _climb(s, victim, x[left], start, label[left], sign, strongest, left)
        if restart + 1 < s.restarts:
            left = left[strongest.margin[left] >= 0]
            if not len(left):
                break
    return strongest.images, strongest.steps, {}


def _climb(s, victim, x, x_i, label, sign, strongest, index):
    """Run the loop once from `x_i` and offer its iterates to `strongest`. `sign` is 1 to leave `label`, -1 to reach it."""
    g, bounds = torch.zeros_like(x), box(x, s.eps)
    for _ in range(s.steps):
        x_i.requires_grad_()
        logits = victim(x_i)
        if s.keep != "last":
            lead = sign * margin(logits.detach(), label)
            strongest.offer(index, x_i.detach(), lead)
            if s.keep == "first" and (lead < 0).all():
                return
        gradient = sign * victim.gradient(logits, x_i, log_odds_slope(logits.detach(), label))
        x_i = x_i.detach()
        if s.keep == "first" and (lead < 0).any():
            on = lead >= 0
            x, x_i, g, gradient, label, index = x[on], x_i[on], g[on], gradient[on], label[on], index[on]
            bounds = box(x, s.eps)
        if s.decay:
            gradient = g = s.decay * g + gradient / per_image(gradient.abs().flatten(1).sum(1))
        x_i = project(x_i + s.alpha * direction(gradient, s.norm), x, s.eps, s.norm, bounds)
        strongest.steps[index] += 1
    if s.keep == "last" and s.restarts == 1:  # a single candidate needs no comparison
        strongest.images[index] = x_i
        return
    with torch.no_grad():
        strongest.offer(index, x_i, sign * margin(victim(x_i), label))


def _start(s, x, noise, restart):
    if s.start == "image":
        return x
    if s.start == "sign":
        return (x + s.start_size * noise.normal(x, restart).sign()).clamp(0, 1)
    if s.norm == "Linf":
        return project(x + s.eps * (2 * noise.uniform(x, restart) - 1), x, s.eps, s.norm, box(x, s.eps))
    # Uniform in the L2 ball: a normal vector has a uniform direction, and u^(1/d) is the radius of a uniform point.
    towards = noise.normal(x, 2 * restart)
    radius = noise.uniform(x[:, :1, :1, :1], 2 * restart + 1) ** (1 / x[0].numel())
    return project(x + s.eps * radius * direction(towards, "L2"), x, s.eps, s.norm, box(x, s.eps))
