"""What can happen to an image on its way to a model: noise, blur, compression, rounding to 8 bit.

A transformation is a frozen dataclass that is called on images (N, C, H, W) in [0, 1] and returns images of the same shape,
type and device, in [0, 1], without gradients. The survey's section 3 asks which adversarial examples survive them
(`advcourse.metrics.survival`).
"""

import math
from dataclasses import dataclass
from io import BytesIO
from typing import ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from advcourse.core.inputs import InputError, check_field, check_images, check_range


@dataclass(frozen=True)
class Transformation:
    """Base class of all transformations: `transformation(x)` applies it, and `transformation.name` describes it.

    A caller that splits a batch into chunks passes as `first` the position in the batch where the chunk begins (default 0), so
    that random draws are the same as for the whole batch.

    Raises:
        InputError: the images are invalid.
    """

    _words: ClassVar[str]

    def __call__(self, x: Tensor, first: int = 0) -> Tensor:
        check_images(x)
        check_range(first, "first", 0, integer=True)
        return self._change(x.detach().double(), first).to(x) if len(x) else self._none(x.detach())

    @property
    def name(self) -> str:
        """A description with the setting, such as "Gaussian blur 0.5"."""
        return self._words.format(self)

    def _none(self, x):
        """Return the transformed images of an empty batch `x` (0, C, H, W)."""
        return x.clone()

    def _change(self, x, first):
        """Return the images `x` (N, C, H, W), float64, transformed; subclasses override it. The first is at position `first`."""
        raise NotImplementedError


@dataclass(frozen=True)
class GaussianNoise(Transformation):
    """Independent normal noise on each pixel and channel, clipped to [0, 1].

    Args:
        std: standard deviation, in units of the pixel range [0, 1] (default 0.1).
        seed: seed of the noise (default 0). An image's noise depends only on the seed and its position in the batch, on every
            device.
    """

    std: float = 0.1
    seed: int = 0
    _words: ClassVar[str] = "Gaussian noise {0.std:g}"

    def __post_init__(self):
        check_field(self, "std", 0)
        check_field(self, "seed", 0, 2**63 - 1, integer=True)

    def _change(self, x, first):
        draws = [
            np.random.default_rng((self.seed, place)).standard_normal(x.shape[1:])
            for place in range(first, first + len(x))
        ]
        return (x + self.std * torch.from_numpy(np.stack(draws)).to(x.device)).clamp(0, 1)


@dataclass(frozen=True)
class GaussianBlur(Transformation):
    """Gaussian blur between two roundings to 8 bit, as in DEEPSEC's RGB, robustness to Gaussian blur (Ling et al. 2019).

    DEEPSEC blurs with Pillow, which approximates the Gaussian by box filters and repeats the edge; here the kernel is the
    Gaussian itself, truncated at four standard deviations, and the image is mirrored at its edges.

    Args:
        radius: standard deviation in pixels, as Pillow calls it (default 0.5).
    """

    radius: float = 0.5
    _words: ClassVar[str] = "Gaussian blur {0.radius:g}"

    def __post_init__(self):
        check_field(self, "radius", 0, exclusive_low=True)

    def _change(self, x, first):
        reach = math.ceil(4 * self.radius)
        if reach >= min(x.shape[2:]):
            raise InputError(
                f"radius: got {self.radius:g}, which reaches {reach} pixels far; "
                f"allowed is less than the images' {x.shape[2]} x {x.shape[3]}"
            )
        from torchvision.transforms.v2.functional import gaussian_blur  # slow to import: more than a second

        return _eight_bit(gaussian_blur(_eight_bit(x), [2 * reach + 1] * 2, [self.radius] * 2))


@dataclass(frozen=True)
class JPEG(Transformation):
    """JPEG compression and decompression by Pillow. Images have 1 or 3 channels and are rounded to 8 bit first.

    Replaces DEEPSEC's RIC, robustness to image compression (Ling et al. 2019), which compresses with Guetzli at quality 90.

    Args:
        quality: 1 (smallest file) to 100 (best image) (default 90).
    """

    quality: int = 90
    _words: ClassVar[str] = "JPEG {0.quality}"

    def __post_init__(self):
        check_field(self, "quality", 1, 100, integer=True)

    def _change(self, x, first):
        if x.shape[1] not in (1, 3):
            raise InputError(f"x: got images of {x.shape[1]} channels; JPEG allows 1 or 3")
        pixels = (255 * x).round().to("cpu", torch.uint8).permute(0, 2, 3, 1).numpy()
        return torch.from_numpy(np.stack([through_jpeg(image, self.quality) for image in pixels])).to(x) / 255


def through_jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    """Compress and decompress the pixels of one image, (H, W, 1 or 3), uint8; return them as (C, H, W), uint8."""
    file, grey = BytesIO(), pixels.shape[2] == 1
    Image.fromarray(pixels[..., 0] if grey else pixels).save(file, "JPEG", quality=quality)
    return np.atleast_3d(np.asarray(Image.open(file))).transpose(2, 0, 1)


@dataclass(frozen=True)
class EightBit(Transformation):
    """Rounding to the 256 levels that an image file can hold."""

    _words: ClassVar[str] = "8 bit"

    def _change(self, x, first):
        return _eight_bit(x)


STANDARD = (GaussianNoise(), GaussianBlur(), JPEG())


def _eight_bit(x):
    return (255 * x).round() / 255
