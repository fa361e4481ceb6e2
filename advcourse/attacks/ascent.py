"""The one loop behind the gradient-sign family, and the settings that tell its members apart."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from advcourse.attacks.base import Victim
from advcourse.attacks.noise import Noise
from advcourse.metrics import margin

Keep = Literal["best", "last", "first"]  # which iterate is returned: see `Schedule`


@dataclass(frozen=True)
class Schedule:
    """What tells the nine apart.

    eps: the budget; alpha: one step's size; steps; norm: "Linf" or "L2"; decay: of the momentum, 0 for none;
    start: "image", "uniform" in the ball, or "sign", a random corner of the cube of half-side `start_size` around the image;
    restarts: runs from fresh random starts, each over the images not fooled yet;
    target: "none", "given" by the caller, or "least likely" class of the clean image;
    keep: "best", the iterate of lowest margin; "last"; or "first", where an image leaves the batch at its first success.
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
    """log of the odds that the label is not `labels`, shape (N,): logsumexp_{i != label} Z_i - Z_label.

    The cross-entropy is softplus of it, so both have the same gradient but for a positive factor, p(not label), for each image.
    That factor underflows where logits are large, and the gradient with it. These attacks use the gradient's direction
    alone, so they climb the log-odds: the same steps in exact arithmetic, and no flat places in float32.
    """
    labels = labels.unsqueeze(1)
    others = logits.scatter(1, labels, -torch.inf)
    return others.logsumexp(1) - logits.gather(1, labels).squeeze(1)


def ascend(
    s: Schedule, victim: Victim, x: Tensor, y: Tensor, target: Tensor | None, noise: Noise
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Run the loop with settings `s` on images `x` (N, C, H, W), labels `y` (N,); `target` (N,) or None for untargeted.

    Returns the strongest images found, (N, C, H, W), the steps taken for each, (N,), and nothing more to tell.
    """
    label, away = (y, 1) if target is None else (target, -1)
    strongest = _Strongest(x)
    left = torch.arange(len(x), device=x.device)
    for restart in range(s.restarts):
        start = _start(s, x, noise, restart)[left]
        _climb(s, victim, x[left], start, label[left], away, strongest, left)
        if restart + 1 < s.restarts:
            left = left[strongest.margin[left] >= 0]
            if not len(left):
                break
    return strongest.images, strongest.steps, {}


class _Strongest:
    """The strongest point seen so far for each image: lowest margin, negative once the model is fooled."""

    def __init__(self, x):
        self.images = x.clone()
        self.margin = x.new_full((len(x),), torch.inf)
        self.steps = torch.zeros(len(x), dtype=torch.long, device=x.device)

    def offer(self, index, images, lead):
        better = lead < self.margin[index]
        self.images[index] = torch.where(better.view(-1, 1, 1, 1), images, self.images[index])
        self.margin[index] = torch.where(better, lead, self.margin[index])


def _climb(s, victim, x, x_i, label, away, strongest, index):
    """One run of the loop from `x_i`; leaves what it finds in `strongest`. `away` is 1 to leave `label`, -1 to reach it."""
    g, box = torch.zeros_like(x), _box(s, x)
    for _ in range(s.steps):
        x_i.requires_grad_()
        logits = victim(x_i)
        if s.keep != "last":
            lead = away * margin(logits.detach(), label)
            strongest.offer(index, x_i.detach(), lead)
            if s.keep == "first" and (lead < 0).all():
                return
        gradient = away * victim.gradient(log_odds(logits, label), x_i)
        x_i = x_i.detach()
        if s.keep == "first" and (lead < 0).any():
            on = lead >= 0
            x, x_i, g, gradient, label, index = x[on], x_i[on], g[on], gradient[on], label[on], index[on]
            box = _box(s, x)
        if s.decay:
            gradient = g = s.decay * g + gradient / _per_image(gradient.abs().flatten(1).sum(1))
        x_i = _project(s, x_i + s.alpha * _direction(s, gradient), x, box)
        strongest.steps[index] += 1
    if s.keep == "last" and s.restarts == 1:  # one candidate: nothing to compare it with
        strongest.images[index] = x_i
        return
    with torch.no_grad():
        strongest.offer(index, x_i, away * margin(victim(x_i), label))


def _per_image(values):
    # Shaped to divide (N, C, H, W), and never 0: an image without a gradient then takes no step instead of one to NaN.
    return values.clamp_min(torch.finfo(values.dtype).tiny).view(-1, 1, 1, 1)


def _direction(s, gradient):
    return gradient.sign() if s.norm == "Linf" else gradient / _per_image(gradient.flatten(1).norm(dim=1))


def _box(s, x):
    """The lowest and highest images in the L-infinity ball around `x` and in [0, 1]: made once for all steps."""
    return (x - s.eps).clamp_min(0), (x + s.eps).clamp_max(1)


def _project(s, x_i, x, box):
    """The point of the ball around `x`, and of [0, 1], that replaces `x_i`; in L-infinity the ball is `box`."""
    if s.norm == "Linf":
        return torch.clamp(x_i, *box)
    delta = x_i - x
    # The box holds x, so clipping to it only brings the point nearer to x: the norm stays within the budget.
    return (x + delta * (s.eps / _per_image(delta.flatten(1).norm(dim=1))).clamp_max(1)).clamp(0, 1)


def _start(s, x, noise, restart):
    if s.start == "image":
        return x
    if s.start == "sign":
        return (x + s.start_size * noise.normal(x, restart).sign()).clamp(0, 1)
    if s.norm == "Linf":
        return _project(s, x + s.eps * (2 * noise.uniform(x, restart) - 1), x, _box(s, x))
    # Uniform in the L2 ball: a normal vector has a uniform direction, and u^(1/d) is the radius of a uniform point.
    direction = noise.normal(x, 2 * restart)
    radius = noise.uniform(x[:, :1, :1, :1], 2 * restart + 1) ** (1 / x[0].numel())
    return _project(s, x + s.eps * radius * direction / _per_image(direction.flatten(1).norm(dim=1)), x, None)
