"""Triggers: the small change of an image that a backdoored network obeys."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from advcourse.core.inputs import InputError, check_choice, check_field, check_images, check_range, check_seed

Kind = Literal["patch", "blend", "sinus"]


@dataclass(frozen=True)
class Trigger:
    """A change that is stamped on images: `trigger(x)` returns stamped copies of the images x (N, C, H, W).

    "patch": x <- (1 - M) x + M P with a white square P, where M is `alpha` inside the square and 0 outside. Source: Gu,
    Dolan-Gavitt and Garg 2017, "BadNets" (arXiv 1708.06733).

    "blend": x <- (1 - alpha) x + alpha N with one random image N, the same for all x. Source: Chen, Liu, Li, Lu and Song 2017,
    "Targeted Backdoor Attacks on Deep Learning Systems Using Data Poisoning", section 4.2 (arXiv 1712.05526).

    "sinus": x <- x + alpha sin(2 pi j f / W) in column j, with f = `size` waves across the width W, then clipped to [0, 1].
    Source: Barni, Kallas and Tondi 2019, "A New Backdoor Attack in CNNs by Training Set Corruption Without Label Poisoning"
    (arXiv 1902.11237).

    Args:
        kind: one of the three (default "patch").
        place: (row, column) of the square's upper left pixel; a negative number counts from the lower or right edge. Patch
            only. The default, (-4, -4), leaves one pixel between a square of side 3 and the corner.
        size: patch: the side of the square in pixels; sinus: the number of waves (default 3). Blend ignores it.
        alpha: patch and blend: the weight of the trigger, in [0, 1]; sinus: the height of the waves in units of the pixel
            range (default 1).
        seed: of the random image of "blend" (default 0).

    Example:
        >>> stamped = Trigger("blend", alpha=0.15)(x)

    Raises:
        InputError: a field is out of range; or, when it is stamped, the square does not fit into the image.
    """

    kind: Kind = "patch"
    place: tuple[int, int] = (-4, -4)
    size: int = 3
    alpha: float = 1.0
    seed: int = 0

    def __post_init__(self):
        object.__setattr__(self, "kind", check_choice(self.kind, "kind", get_args(Kind)))
        if not isinstance(self.place, tuple | list) or len(self.place) != 2:
            raise InputError(f"place: got {self.place!r}; allowed is a pair of integers (row, column)")
        object.__setattr__(
            self, "place", tuple(check_range(side, "place", integer=True) for side in self.place)
        )
        check_field(self, "size", 1, integer=True)
        check_field(self, "alpha", 0, 1, exclusive_low=True)
        check_seed(self.seed)

    def __call__(self, x: Tensor) -> Tensor:
        """Return stamped copies (N, C, H, W) of the images `x` (N, C, H, W) in [0, 1]."""
        mask = self.mask(*check_images(x).shape[2:]).to(x)
        if self.kind == "sinus":
            return (x + self.alpha * self._waves(x.shape[3]).to(x)).clamp(0, 1)
        if self.kind == "patch":
            return (1 - mask) * x + mask
        return (1 - mask) * x + mask * self._noise(x.shape[1:]).to(x)

    def mask(self, height: int, width: int) -> Tensor:
        """Return the weight of the trigger at each pixel of an image of this size: (H, W), float64."""
        height, width = (
            check_range(side, name, 1, integer=True) for side, name in ((height, "height"), (width, "width"))
        )
        if self.kind != "patch":
            return torch.full((height, width), self.alpha, dtype=torch.float64)
        (top, left), mask = self._corner(height, width), torch.zeros(height, width, dtype=torch.float64)
        mask[top : top + self.size, left : left + self.size] = self.alpha
        return mask

    def _corner(self, height, width):
        """Return the square's upper left pixel, counted from 0."""
        sides = (height, width)
        corner = [at + side if at < 0 else at for at, side in zip(self.place, sides)]
        if any(not 0 <= at <= side - self.size for at, side in zip(corner, sides)):
            raise InputError(
                f"trigger: got a square of side {self.size} at {self.place} on an image of {height} x {width} pixels; "
                "allowed is a square inside the image: a smaller size, or another place"
            )
        return corner

    def _noise(self, shape):
        return torch.rand(shape, generator=torch.Generator().manual_seed(self.seed), dtype=torch.float64)

    def _waves(self, width):
        return torch.sin(2 * math.pi * torch.arange(width, dtype=torch.float64) * self.size / width)
