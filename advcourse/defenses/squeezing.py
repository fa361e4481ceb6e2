"""Feature squeezing: an image is suspicious if its class changes when the image is made coarser."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from advcourse.attacks import BPDA
from advcourse.core.inputs import InputError, ask, check_field
from advcourse.defenses.detection import Detector


@dataclass(frozen=True)
class BitDepth:
    """Round to the 2^bits levels 0, 1 / (2^bits - 1), ..., 1; halves round to the even level, so one bit rounds 0.5 to 0.

    Called on images (N, C, H, W) in [0, 1]. The backward pass is the identity: rounding itself has gradient 0.

    Args:
        bits: 1 to 8 (default 1, the paper's for MNIST; it uses 5 for colour).
    """

    bits: int = 1

    def __post_init__(self):
        check_field(self, "bits", 1, 8, integer=True)

    def __call__(self, x: Tensor) -> Tensor:
        return BPDA(self._rounded)(x)

    def _rounded(self, x):
        steps = 2**self.bits - 1
        return (x * steps).round() / steps


@dataclass(frozen=True)
class MedianFilter:
    """The median of a `size` x `size` window around each pixel, in each channel: `scipy.ndimage.median_filter`, differentiable.

    A window with an even number of pixels has two middle values, of which the upper one is taken. A window of even size reaches
    one pixel farther up and left than down and right. The border is mirrored with the edge pixel repeated (d c b a | a b c d).

    Args:
        size: side of the window in pixels (default 2).
    """

    size: int = 2

    def __post_init__(self):
        check_field(self, "size", 1, integer=True)

    def __call__(self, x: Tensor) -> Tensor:
        rows, columns = (self._mirrored(side, x.device) for side in x.shape[2:])
        windows = x[:, :, rows][:, :, :, columns].unfold(2, self.size, 1).unfold(3, self.size, 1).flatten(4)
        return windows.sort(-1).values[..., self.size**2 // 2]

    def _mirrored(self, side, device):
        """Return the positions 0 ... side - 1, padded on both sides with as many mirrored ones as the window needs."""
        before = self.size // 2
        places = torch.arange(-before, side + self.size - 1 - before, device=device).remainder(2 * side)
        return torch.minimum(places, 2 * side - 1 - places)


@dataclass(frozen=True)
class NonLocalMeans:
    """Non-local means: each pixel becomes the mean of pixels with similar surroundings, computed by scikit-image on the CPU.

    The paper uses OpenCV's variant for colour; here patch distances are taken over all three channels at once. The backward
    pass is the identity.

    Args:
        search: side of the search window, odd, in pixels (default 13, the paper's for CIFAR-10).
        patch: side of the compared patches, odd, in pixels (default 3).
        strength: how different patches may be, in 8-bit levels (default 2).
    """

    search: int = 13
    patch: int = 3
    strength: float = 2.0

    def __post_init__(self):
        for name in ("search", "patch"):
            check_field(self, name, 1, integer=True)
            if getattr(self, name) % 2 == 0:
                raise InputError(f"{name}: got {getattr(self, name)}; allowed is an odd number of pixels")
        check_field(self, "strength", 0, exclusive_low=True)

    def __call__(self, x: Tensor) -> Tensor:
        return BPDA(self._smooth)(x)

    def _smooth(self, x):
        from skimage.restoration import denoise_nl_means  # slow to import

        images = x.detach().double().cpu().numpy()
        settings = {"patch_size": self.patch, "patch_distance": self.search // 2, "h": self.strength / 255}
        smooth = [denoise_nl_means(image, channel_axis=0, fast_mode=True, **settings) for image in images]
        smooth = torch.from_numpy(np.stack(smooth)) if smooth else torch.from_numpy(images)
        return smooth.to(x).clamp(0, 1)


DIGITS = (BitDepth(1), MedianFilter(2))
COLOUR = (BitDepth(5), MedianFilter(2), NonLocalMeans())


class FeatureSqueezing(Detector):
    """Score: max_j || p(x) - p(squeeze_j(x)) ||_1 over the squeezers, p the model's softmax. In [0, 2].

    Paper: Xu, Evans and Qi 2018, "Feature Squeezing: Detecting Adversarial Examples in Deep Neural Networks"
    (arXiv 1704.01155). Nothing is fitted. The authors calibrate at a false positive rate of 5 %; the thresholds that they publish
    belong to their networks and differ between their documents, so calibrate your own.

    What breaks it: an attack that changes the squeezed images' answers as well. He et al. 2017, "Adversarial Example Defenses:
    Ensembles of Weak Defenses are not Strong" (arXiv 1706.04701), add the distances to the loss; `every_view` gives an attack
    what it needs. High-confidence attacks succeed without knowing about the detector: Sharma and Chen 2018, "Bypassing Feature
    Squeezing by Increasing Adversary Strength" (arXiv 1803.09868), with EAD.

    Args:
        model: images (N, C, H, W) in [0, 1] to logits (N, K).
        squeezers: functions from images to images of the same shape (default `DIGITS`: one bit, and a 2 x 2 median, the paper's
            for MNIST). `COLOUR` is the paper's joint detector for CIFAR-10.

    Example:
        >>> detector = FeatureSqueezing(model).calibrate(x_validation, fpr=0.05)
        >>> flagged = detector.flag(x)

    Raises:
        InputError: `squeezers` is empty or contains something that is not a function.
    """

    def __init__(self, model: nn.Module, squeezers: Sequence[Callable[[Tensor], Tensor]] = DIGITS):
        super().__init__(model)
        self.squeezers = tuple(squeezers)
        if not self.squeezers or not all(callable(squeezer) for squeezer in self.squeezers):
            raise InputError(f"squeezers: got {squeezers!r}; allowed are one or more functions of images")

    def distances(self, x: Tensor) -> Tensor:
        """Return the L1 distance for each squeezer, (N, number of squeezers), float64, differentiable."""
        answer = self._probabilities(x)
        squeezed = [self._probabilities(squeeze(x)) for squeeze in self.squeezers]
        return torch.stack([(answer - other).abs().sum(1) for other in squeezed], 1)

    def suspicion(self, x: Tensor) -> Tensor:
        return self.distances(x).amax(1)

    def every_view(self) -> "EveryView":
        """Return the network for an attack that targets all squeezed images as well."""
        return EveryView(self)

    def _probabilities(self, x):
        # In float64, in which confident answers still differ: in float32 most clean scores would be tied.
        return ask(self.model, x).double().softmax(1)


class EveryView(nn.Module):
    """The mean of a model's logits over an image and its squeezed images: fool it by a large margin, and all of them agree.

    The distances themselves are a poor loss: if the model is sure of one class for an image and of another for its squeezed
    image, their distance is 2 with gradient 0, because both softmaxes are saturated. Logits are not.

    Args:
        detector: a `FeatureSqueezing`. Its threshold is not needed; the attack's confidence takes its place.
    """

    def __init__(self, detector: FeatureSqueezing):
        super().__init__()
        self.detector = detector

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean logits (N, K) for the images `x` (N, C, H, W)."""
        views = [x, *(squeeze(x) for squeeze in self.detector.squeezers)]
        return torch.stack([ask(self.detector.model, view) for view in views]).mean(0)
