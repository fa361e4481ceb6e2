"""Input transformations: the model sees a coarser, smoothed or cropped image, in the hope that the perturbation is lost."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from advcourse.core.inputs import InputError, ask, check_field
from advcourse.data import transformations
from advcourse.defenses.draws import check_seed, generator

_BALANCE = 3  # of the values tried from 1 to 30, the one that came nearest in 100 iterations


class InputTransformation:
    """Base class of functions from images (N, C, H, W), clipped to [0, 1] first, to images of the same shape in [0, 1].

    Most have gradient 0, as rounding does; `attacks.BPDA(transformation)` replaces it by the identity's.
    `draws`: how many times an ensemble applies it, to average the model's answers.
    """

    draws: int = 1

    def __call__(self, x: Tensor) -> Tensor:
        changed = self._change(x.detach().clamp(0, 1)) if len(x) else x.detach()
        return changed + 0 * x if x.requires_grad else changed

    def _change(self, x):
        """Return the images `x` (N, C, H, W), N >= 1, transformed; subclasses override it."""
        raise NotImplementedError


@dataclass(frozen=True)
class CropRescale(InputTransformation):
    """Crop a random square of `size` pixels and enlarge it to the image's size (bilinear). Differentiable: use EOT, not BPDA.

    Guo et al. 2018 average the answers over 30 crops of 90 of 224 pixels, which an ensemble does; one call makes one crop, at
    its own position for each image.

    Args:
        size: side of the crop in pixels, at most the image's (default 26, DEEPSEC's for 28; it uses 30 of 32).
        draws: crops over which an ensemble averages the answers (default 30).
        seed: None (default) for new positions in each call; a number for the same ones in every call.
    """

    size: int = 26
    draws: int = 30
    seed: int | None = None

    def __post_init__(self):
        check_field(self, "size", 1, integer=True)
        check_field(self, "draws", 1, integer=True)
        object.__setattr__(self, "seed", check_seed(self.seed))

    def __call__(self, x: Tensor) -> Tensor:
        if self.size > min(x.shape[2:]):
            raise InputError(
                f"size: got {self.size}; allowed is at most the images' {x.shape[2]} x {x.shape[3]}"
            )
        g = generator(self.seed)
        rows, columns = (_places(len(x), side, self.size, g).to(x.device) for side in x.shape[2:])
        crop = x.gather(2, rows[:, None, :, None].expand(-1, x.shape[1], -1, x.shape[3]))
        crop = crop.gather(3, columns[:, None, None].expand(-1, x.shape[1], self.size, -1))
        return F.interpolate(crop, size=x.shape[2:], mode="bilinear", align_corners=False)


def _places(n, side, size, g):
    """Return the rows or columns (n, size) of a window at a random position in each of `n` images."""
    return torch.randint(side - size + 1, (n, 1), generator=g) + torch.arange(size)


@dataclass(frozen=True)
class BitDepthReduction(InputTransformation):
    """Round to the 2^bits levels 0, 1 / (2^bits - 1), ..., 1.

    Three quantisers go by this name. Guo et al.'s code rounds to 2^bits steps, which makes 2^bits + 1 levels. Athalye et al.'s
    break drops the lower of the 8 bits, which darkens the image: white becomes 1 - 2^-bits. This is the one of feature squeezing
    and DEEPSEC: 2^bits levels, including black and white.

    Args:
        bits: 1 to 8 (default 3, the paper's; DEEPSEC uses 4).
    """

    bits: int = 3

    def __post_init__(self):
        check_field(self, "bits", 1, 8, integer=True)

    def _change(self, x):
        steps = 2**self.bits - 1
        return (steps * x).round() / steps


@dataclass(frozen=True)
class JPEGCompression(InputTransformation):
    """`transformations.JPEG`, for images of 1 or 3 channels.

    Args:
        quality: 1 to 100 (default 75, the paper's; DEEPSEC uses 85).
    """

    quality: int = 75

    def __post_init__(self):
        object.__setattr__(self, "quality", transformations.JPEG(self.quality).quality)

    def _change(self, x):
        return transformations.JPEG(self.quality)(x)


@dataclass(frozen=True)
class TotalVariation(InputTransformation):
    """Drop random pixels and reconstruct the image with low total variation: min_z |X (z - x)|^2 / 2 + weight * TV(z).

    X keeps each pixel, all channels together, with probability `keep`. TV is isotropic, channel by channel. The paper
    writes the norm without the square; its code and the break's solve the squared problem by split Bregman, the break's with
    weight 0.03 / 4 in these units and an anisotropic TV. Here it is solved by the primal-dual method of Chambolle and Pock 2011,
    for the whole batch at once, because scikit-image's solvers do not support a mask.

    Args:
        keep: share of the pixels that are kept, in (0, 1] (default 0.5).
        weight: lambda_TV (default 0.03).
        iterations: iterations of the solver, which starts from the kept pixels only (default 100).
        seed: None (default) for a new mask in each call; a number for the same one in every call.
    """

    keep: float = 0.5
    weight: float = 0.03
    iterations: int = 100
    seed: int | None = None

    def __post_init__(self):
        check_field(self, "keep", 0, 1, exclusive_low=True)
        check_field(self, "weight", 0)
        check_field(self, "iterations", 1, integer=True)
        object.__setattr__(self, "seed", check_seed(self.seed))

    def _change(self, x):
        drawn = torch.rand(len(x), 1, *x.shape[2:], generator=generator(self.seed))
        mask = (drawn < self.keep).to(x)
        return smoothest(x, mask, self.weight, self.iterations).clamp(0, 1)


def smoothest(x: Tensor, mask: Tensor, weight: float, iterations: int) -> Tensor:
    """Return the z (N, C, H, W) that minimises |mask (z - x)|^2 / 2 + weight * TV(z), per channel; `mask` (N, 1, H, W) is 0 or 1.

    Uses the primal-dual method (Chambolle and Pock 2011, algorithm 1), from the masked image. The product of its two step sizes
    is 1 / 8, because 8 bounds the squared norm of the gradient operator. Images change by up to 1 and the dual by up to `weight`,
    so the image's step is larger.
    """
    tau, sigma = _BALANCE / math.sqrt(8), 1 / (_BALANCE * math.sqrt(8))
    z = ahead = mask * x
    p, q = torch.zeros_like(x), torch.zeros_like(x)
    for _ in range(iterations):
        p[:, :, :-1] += sigma * (ahead[:, :, 1:] - ahead[:, :, :-1])
        q[..., :-1] += sigma * (ahead[..., 1:] - ahead[..., :-1])
        shrink = weight / (p.square() + q.square()).sqrt().clamp_min(weight).clamp_min(1e-12)
        p, q = p * shrink, q * shrink
        divergence = p + q
        divergence[:, :, 1:] -= p[:, :, :-1]
        divergence[..., 1:] -= q[..., :-1]
        new = (z + tau * (divergence + mask * x)) / (1 + tau * mask)
        z, ahead = new, 2 * new - z
    return z


class EnsembleInputTransformation(nn.Module):
    """The mean of a model's answers to several transformations of the image: Z(x) = log mean_j softmax(f(g_j(x))).

    Paper: Guo et al. 2018, "Countering Adversarial Images using Input Transformations" (arXiv 1711.00117): crops,
    bit depth, JPEG, total variation, quilting. The answer is a log-probability, that is, a logit up to a constant that is the
    same for all classes. The paper trains the model on transformed images, which is left to the caller; a model trained only on
    untransformed images loses accuracy on the coarser ones.

    What breaks it: Athalye, Carlini and Wagner 2018, "Obfuscated Gradients Give a False Sense of Security", section 5 (arXiv
    1802.00420): BPDA with the identity for all but the crops, EOT for the random ones.

    Args:
        model: images (N, C, H, W) in [0, 1] to logits (N, K).
        transformations: functions from images to images of the same shape (default: crops, bit depth, JPEG and total variation;
            `Quilting` needs patches, so add it yourself). One with an attribute `draws` is called that many times, and its mean
            answer counts once.

    Example:
        >>> defense = EnsembleInputTransformation(model, [BitDepthReduction(), JPEGCompression()])
        >>> broken = EnsembleInputTransformation(model, [BPDA(g) for g in defense.transformations])
        >>> x_adv = PGD()(EOT(broken, 10), x, y)   # EOT if any of them is random

    Raises:
        InputError: the model is not an `nn.Module`, or `transformations` is empty or contains something that is not a function.
    """

    DEFAULT: ClassVar = (CropRescale(), BitDepthReduction(), JPEGCompression(), TotalVariation())

    def __init__(self, model: nn.Module, transformations: Sequence[Callable[[Tensor], Tensor]] = DEFAULT):
        super().__init__()
        if not isinstance(model, nn.Module):
            raise InputError(f"model: got {model!r}; allowed is a torch.nn.Module")
        if not len(transformations) or not all(callable(g) for g in transformations):
            raise InputError(
                f"transformations: got {transformations!r}; allowed are one or more functions of images"
            )
        self.model, self.transformations = model, tuple(transformations)

    def forward(self, x: Tensor) -> Tensor:
        # In the log domain, because a probability that underflows has no logarithm and no gradient.
        return _log_mean([self._answer(g, x) for g in self.transformations])

    def _answer(self, g, x):
        return _log_mean([ask(self.model, g(x)).log_softmax(1) for _ in range(getattr(g, "draws", 1))])


def _log_mean(log_probabilities):
    return torch.stack(log_probabilities).logsumexp(0) - math.log(len(log_probabilities))
