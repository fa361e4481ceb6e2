"""stAdv: an attack that moves pixels instead of changing their values."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from advcourse.attacks.base import Attack, AttackResult
from advcourse.attacks.best import Nearest
from advcourse.attacks.hyperparameters import number
from advcourse.core.inputs import LARGEST_SEED

# L_adv is scaled to this value on the clean image. It is about the value that digits' logits have, in the paper and here.
_CLEAN_LOSS = 16.0
_RISE, _FALL = 1.2, 1.1  # tau is multiplied by the first after a success, and divided by the second otherwise
# The share of tau that is used until the first success. Adam remembers the size of gradients: if the flow loss were large
# early on, its steps would stay short long after tau has fallen, too short for the distances that hard targets need.
_UNTIL_FOOLED = 0.1
_START = 0.01  # standard deviation of the flow at the start, in pixels


@dataclass(frozen=True)
class StAdv(Attack):
    """Spatially transformed adversarial examples: each pixel is taken from a place nearby, and these places are optimised.

        x'(u, v) = x(u + du, v + dv), bilinear, with one flow (du, dv) for all channels of a pixel.

    It minimises L_adv + tau * L_flow. L_adv = max(max_{i != t} Z_i - Z_t, -confidence), or untargeted max(Z_y - max_{i != y}
    Z_i, -confidence). L_flow is the sum over the pixels p and their four neighbours q of sqrt(|du_p - du_q|^2 + |dv_p -
    dv_q|^2 + 1e-8). For each image it returns the successful iterate with the smallest L_flow, and the clean image if there is
    none.

    Paper: Xiao et al. 2018, "Spatially Transformed Adversarial Examples", equations 1 to 4 (arXiv 1801.02612). Norm: none,
    because an L_p norm of the change does not say how visible it is. The new values are averages of pixels, so they lie in [0,
    1]; a clamp removes the excess due to rounding, which is below 1e-6 in float32.

    Different from the paper: the optimiser is Adam, with a step size that falls to 0 along a cosine, because L-BFGS would make
    the images of a batch depend on each other. L_adv is divided by its value on the clean image and multiplied by 16, so that
    the scale of the model's logits does not matter. tau is adapted for each image: a step at which the image fools the model
    multiplies it by 1.2, any other step divides it by 1.1, and until the first success a tenth of it is used.

    Args:
        tau: weight of the flow loss, or its first value if it adapts (default 0.05, the paper's).
        steps: steps of Adam (default 100).
        lr: size of the first step, in pixels (default 0.2).
        confidence: margin in logits by which the wanted class must lead (default 0).
        adapt: adapt tau for each image (default True); False keeps it fixed.
        targeted: reach `target` instead of leaving `y` (default False).
        seed: seed of the start, a flow drawn from a normal distribution with standard deviation 0.01 pixels (default 0).

    Details:
        flow: (N, 2, H, W), in pixels: du to the right, dv down; 0 without a success.
        flow_loss: (N,), its L_flow.
        shift: (N,), the length of the longest displacement, in pixels.
        tau: (N,), its last value.

    Example:
        >>> x_adv = StAdv(targeted=True)(model, x, y, target=choose_target(model, x, y))
    """

    tau: float = number(0.05, low=0)
    steps: int = number(100, low=1)
    lr: float = number(0.2, low=1e-6)
    confidence: float = number(0.0, low=0)
    adapt: bool = True
    targeted: bool = False
    seed: int = number(0, low=0, high=LARGEST_SEED)
    kind: ClassVar[str] = "minimum-norm"
    norm: ClassVar[str] = "flow"

    def size(self, result: AttackResult) -> Tensor:
        """Return the flow loss (N,) of each image in `result`."""
        return result.details["flow_loss"]

    def _perturb(self, victim, x, y, target, noise):
        label, sign = (y, 1) if target is None else (target, -1)
        still = x.new_zeros(len(x), 2, *x.shape[2:])
        with torch.no_grad():
            logits = victim(x)
            clean = victim.distance_to_success(logits, label, sign) + self.confidence
        best, tau = Nearest(still, lambda still, flow: flow_loss(flow)), x.new_full((len(x),), self.tau)
        best.offer(torch.arange(len(x), device=x.device), still, clean < 0)
        on = (clean >= 0).nonzero().squeeze(1)
        if len(on):
            # Bounded below, relative to the logits, so that it is not 0 for an image right at the boundary.
            unit = (
                clean.maximum(1e-3 * logits.abs().amax(1)).clamp_min(torch.finfo(x.dtype).tiny) / _CLEAN_LOSS
            )
            start = _START * noise.normal(still)[on]
            tau[on] = self._descend(victim, x[on], label[on], sign, start, unit[on], best, on)
        flow = best.images
        images = torch.where(best.found.view(-1, 1, 1, 1), warp(x, flow).clamp(0, 1), x)
        shift = flow.square().sum(1).sqrt().flatten(1).amax(1)
        details = {"flow": flow, "flow_loss": flow_loss(flow), "shift": shift, "tau": tau}
        return images, self.steps * (clean >= 0).long(), details

    def _descend(self, victim, x, label, sign, flow, unit, best, index):
        """Run Adam from `flow`, offer its iterates to `best`, return tau (n,). `unit` (n,) is the clean images' L_adv / 16."""
        mean, square = torch.zeros_like(flow), torch.zeros_like(flow)
        tau = weight = x.new_full((len(x),), self.tau)
        for step in range(self.steps + 1):
            last = step == self.steps
            with torch.set_grad_enabled(not last):
                flow.requires_grad_(not last)
                to_success = (
                    victim.distance_to_success(victim(warp(x, flow).clamp(0, 1)), label, sign)
                    + self.confidence
                )
            fooled = to_success.detach() < 0
            best.offer(index, flow.detach(), fooled)
            if last:
                return tau
            if self.adapt:
                tau = torch.where(fooled, tau * _RISE, tau / _FALL)
                weight = torch.where(best.found[index], tau, tau * _UNTIL_FOOLED)
            gradient = victim.gradient(to_success.clamp_min(0) / unit + weight * flow_loss(flow), flow)
            mean.lerp_(gradient, 0.1)
            square.lerp_(gradient.square_(), 0.001)
            lr = self.lr * (1 + math.cos(math.pi * step / self.steps)) / 2
            spread = (square / (1 - 0.999 ** (step + 1))).sqrt_().add_(1e-8)
            flow = flow.detach().addcdiv(mean, spread, value=-lr / (1 - 0.9 ** (step + 1)))


def warp(x: Tensor, flow: Tensor) -> Tensor:
    """Take each pixel of the images from the place that the flow points to, by bilinear interpolation.

    Outside the image, the value at the edge is used. A flow of (1, 0) moves the picture one pixel to the left.

    Args:
        x: images (N, C, H, W).
        flow: (N, 2, H, W), in pixels: flow[:, 0] to the right, flow[:, 1] down.

    Returns:
        (N, C, H, W).
    """
    height, width = x.shape[2:]
    # With align_corners=True, -1 and 1 are the centres of the outermost pixels: the picture is (W - 1) pixels wide.
    across, down = (torch.linspace(-1, 1, size, dtype=x.dtype, device=x.device) for size in (width, height))
    u = across + flow[:, 0] * (2 / max(width - 1, 1))
    v = down.unsqueeze(1) + flow[:, 1] * (2 / max(height - 1, 1))
    return F.grid_sample(x, torch.stack([u, v], 3), "bilinear", "border", align_corners=True)


def flow_loss(flow: Tensor) -> Tensor:
    """Return L_flow: how much the displacements of neighbouring pixels differ (Xiao et al. 2018, equation 4).

    Each pair of neighbours counts twice, once for each of them. Adding 1e-8 under the root keeps the gradient finite if two
    displacements are equal.

    Args:
        flow: (N, 2, H, W), in pixels.

    Returns:
        (N,), in pixels.
    """
    across, down = flow.diff(dim=3), flow.diff(dim=2)
    lengths = ((d.square().sum(1) + 1e-8).sqrt().flatten(1).sum(1) for d in (across, down))
    return 2 * sum(lengths)
