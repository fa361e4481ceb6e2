"""Thermometer encoding: a pixel becomes a row of switches, which has no gradient. A smooth stand-in restores it."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from advcourse.attacks import BPDA
from advcourse.core.inputs import (
    InputError,
    ask,
    check_field,
    check_images,
    check_labels,
    check_range,
    evaluating,
)
from advcourse.defenses.ramp import Ramped


def thermometer(x: Tensor, levels: int = 16) -> Tensor:
    """Encode the images `x` (N, C, H, W) in [0, 1] as (N, C * levels, H, W) of zeros and ones, without a gradient.

    tau(x)_l = 1 if l <= floor(0.99999 * x * levels), l = 0 ... levels - 1 (Buckman et al. 2018). Level l of
    channel c is channel c * levels + l: the ones come first, like rising mercury. Level 0 is always 1. Other implementations
    use the reverse order.
    """
    return (_numbers(x, levels) <= _hottest(x, levels)).to(x.dtype).flatten(1, 2)


def smooth_thermometer(x: Tensor, levels: int = 16, width: float = 1.0) -> Tensor:
    """Return the stand-in for `thermometer` in the backward pass, in its shape: clip((x * levels - (l - 1)) / width, 0, 1).

    Width 1 is that of Athalye, Carlini and Wagner (2018, "Obfuscated Gradients Give a False Sense of Security", arXiv
    1802.00420): a level rises linearly while the pixel crosses the interval below it, and reaches 1 where the code switches. With
    it no level rises in the last interval, so that white pixels have no gradient, and digits have many white pixels. With width 2
    or more, a level keeps rising beyond its switch, and every pixel has a gradient.

    Args:
        x: images (N, C, H, W) in [0, 1].
        levels: levels per pixel (default 16).
        width: width of the rise, in levels (default 1).
    """
    return ((x.unsqueeze(2) * levels - (_numbers(x, levels) - 1)) / width).clamp(0, 1).flatten(1, 2)


def _numbers(x, levels):
    """Return 0 ... levels - 1, shaped to broadcast with images (N, C, 1, H, W)."""
    return torch.arange(levels, device=x.device).view(-1, 1, 1)


def _hottest(x, levels):
    """Return the index of the last level that is on, (N, C, 1, H, W)."""
    return (0.99999 * x.detach() * levels).floor().unsqueeze(2)


class Thermometer(nn.Module):
    """A network on thermometer codes: images (N, C, H, W) in [0, 1] to logits (N, K).

    Paper: Buckman et al. 2018, "Thermometer Encoding: One Hot Way To Resist Adversarial Examples" (ICLR 2018; not on arXiv). The
    network is trained on the codes; an existing one can't be wrapped.

    What breaks it: Athalye, Carlini and Wagner 2018, "Obfuscated Gradients Give a False Sense of Security", section 5 (arXiv
    1802.00420), by BPDA: the code forward, `smooth_thermometer` backward. On CIFAR-10 at 0.031 this leaves an accuracy of 0 %, or
    30 % with `LSPGA` in training, less than PGD adversarial training alone. `attackable()` is the network for such an attack.

    Args:
        network: maps codes (N, C * levels, H, W) to logits (N, K).
        levels: levels per pixel (default 16, the paper's).
        width: None (default) for the gradient of the code itself, which is 0 everywhere, or the width in levels of the stand-in
            that provides the gradient, see `smooth_thermometer`.

    Example:
        >>> defense = Thermometer(network)
        >>> fit(defense, data)
        >>> x_adv = PGD(0.3)(defense.attackable(), x, y)

    Raises:
        InputError: `levels` is below 2, `width` is not above 0, or the network is not an `nn.Module`.
    """

    def __init__(self, network: nn.Module, levels: int = 16, width: float | None = None):
        super().__init__()
        if not isinstance(network, nn.Module):
            raise InputError(f"network: got {type(network).__name__}; allowed is a torch.nn.Module")
        self.network = network
        self.levels = check_range(levels, "levels", 2, integer=True)
        self.width = width if width is None else check_range(width, "width", 0, exclusive_low=True)

    def encode(self, x: Tensor) -> Tensor:
        """Return the code of the images, with the gradient that `width` selects."""
        return BPDA(self._hard, self._soft)(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.network(self.encode(x))

    def attackable(self, width: float = 4.0) -> "Thermometer":
        """Return the same network, with its weights, answers and mode, but the gradient of a stand-in of this width (default 4).

        On digits at 0.3, PGD leaves an accuracy of 2, 10 and 20 % with the paper's width 1 (three networks), 0, 0 and 2 % with 4.
        """
        return Thermometer(self.network, self.levels, width).train(self.training)

    def _hard(self, x):
        return thermometer(x, self.levels)

    def _soft(self, x):
        # Times 0 rather than detached, so that an attack gets a gradient of 0, as from rounding, and not an error.
        if self.width is None:
            return smooth_thermometer(x, self.levels) * 0
        return smooth_thermometer(x, self.levels, self.width)


@dataclass(frozen=True)
class LSPGA(Ramped):
    """Training on the codes found by logit-space projected gradient ascent: an objective for `training.fit`.

    Paper: Buckman et al. 2018, "Thermometer Encoding: One Hot Way To Resist Adversarial Examples" (ICLR 2018). Each pixel has
    logits u over the levels that [x - eps, x + eps] touches. The code of softmax(u / T) is its reverse cumulative sum,
    tau_l = sum_{m >= l} softmax(u / T)_m. u ascends the loss, 1 / T grows in each step, and at the end the likeliest level is
    taken. The model then learns only from those codes, each of which is the code of an image in the ball. The initial u are
    normal, from the global random state, which `fit` seeds.

    From random weights the model can give every image the same answer for many epochs, as with PGD adversarial training: on 1000
    digits at 0.1 and 0.2 the loss stayed at log 10. So train it normally first, then `fit` it with this objective and a ramp.

    What breaks it: BPDA through the code, see `Thermometer`.

    Args:
        eps: budget in L-infinity, in units of the pixel range [0, 1] (default 0.3).
        steps: steps of ascent (default 7, the paper's for CIFAR-10).
        alpha: size of a sign step in u (default 1).
        growth: factor by which 1 / T grows in each step (default 1.2, the paper's).
        ramp: share of training over which the budget grows from 0 (default 0: the full budget throughout, as in the paper);
            see `Ramped`.

    Raises:
        InputError: an argument is out of range, or the loss is computed with a ramp but without the schedule's progress.
    """

    eps: float = 0.3
    steps: int = 7
    alpha: float = 1.0
    growth: float = 1.2
    ramp: float = 0.0

    def __post_init__(self):
        check_field(self, "eps", 0)
        check_field(self, "steps", 1, integer=True)
        check_field(self, "alpha", 0)
        check_field(self, "growth", 1)
        check_field(self, "ramp", 0, 1)

    def __call__(self, model: Thermometer, x: Tensor, y: Tensor) -> Tensor:
        """Return the loss for the images x (N, C, H, W) in [0, 1] with labels y (N,): a scalar in nats."""
        codes = self.codes(model, x, y, self._growth())
        return F.cross_entropy(ask(model.network, codes), y)

    def codes(self, model: Thermometer, x: Tensor, y: Tensor, share: float = 1.0) -> Tensor:
        """Find the adversarial codes (N, C * levels, H, W) of the images within `share` of the budget, in eval mode."""
        if not isinstance(model, Thermometer):
            raise InputError(f"model: got {type(model).__name__}; allowed is a Thermometer")
        y = check_labels(y, check_images(x))
        allowed = self._allowed(x, model.levels, share * self.eps)
        u, inverse = torch.randn(allowed.shape, dtype=x.dtype).to(x.device), 1.0
        with evaluating(model):
            for _ in range(self.steps):
                u.requires_grad_()
                shares = (u * inverse).masked_fill(~allowed, -torch.inf).softmax(2)
                loss = F.cross_entropy(ask(model.network, _rising(shares)), y, reduction="sum")
                u = (u + self.alpha * torch.autograd.grad(loss, u)[0].sign()).detach()
                inverse *= self.growth
        likeliest = u.masked_fill(~allowed, -torch.inf).argmax(2, keepdim=True)
        return (_numbers(x, model.levels) <= likeliest).to(x.dtype).flatten(1, 2)

    @staticmethod
    def _allowed(x, levels, eps):
        """Return which levels can be a pixel's last level within the ball: (N, C, levels, H, W) bool."""
        low, high = (_hottest(edge, levels) for edge in ((x - eps).clamp_min(0), (x + eps).clamp_max(1)))
        numbers = _numbers(x, levels)
        return (low <= numbers) & (numbers <= high)


def _rising(shares):
    """Return the codes (N, C * levels, H, W) of distributions (N, C, levels, H, W): sums from the last level down to each."""
    return shares.flip(2).cumsum(2).flip(2).flatten(1, 2)
