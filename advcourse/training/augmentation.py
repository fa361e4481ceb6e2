"""Random changes to training images: functions `(x, generator) -> x` for the argument `augment` of `training.fit`.

Images (N, C, H, W) in, the same shape out. Each image gets its own random change, drawn from `generator`, which is on
the CPU so that every device sees the same draws. Pixels that move into view repeat the edge.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from advcourse.core.inputs import check_range

Augmentation = Callable[[Tensor, torch.Generator], Tensor]


def shifts(pixels: int) -> Augmentation:
    """Shift each image by a whole number of pixels, up to `pixels` along each axis; pixel values do not change."""
    return partial(_shift, pixels=check_range(pixels, "pixels", 0, integer=True))


def warps(degrees: float = 10.0, scale: float = 0.1, pixels: float = 2.0) -> Augmentation:
    """Rotate each image by up to `degrees`, resize it by up to the share `scale`, and shift it by up to `pixels`.

    All three go in both directions, drawn uniformly, about the centre, with bilinear interpolation.
    """
    return partial(
        _warp,
        degrees=check_range(degrees, "degrees", 0, 180),
        scale=check_range(scale, "scale", 0, 0.9),
        pixels=check_range(pixels, "pixels", 0),
    )


def _shift(x: Tensor, generator: torch.Generator, pixels: int) -> Tensor:
    offsets = torch.randint(-pixels, pixels + 1, (2, len(x), 1), generator=generator).to(x.device)
    height, width = x.shape[2:]
    rows = (torch.arange(height, device=x.device) + offsets[0]).clamp_(0, height - 1)
    columns = (torch.arange(width, device=x.device) + offsets[1]).clamp_(0, width - 1)
    moved = x.gather(2, rows[:, None, :, None].expand_as(x))
    return moved.gather(3, columns[:, None, None, :].expand_as(x))


def _warp(x: Tensor, generator: torch.Generator, degrees: float, scale: float, pixels: float) -> Tensor:
    draws = (2 * torch.rand(4, len(x), generator=generator) - 1).to(x)
    angle, size = draws[0] * math.radians(degrees), 1 + draws[1] * scale
    across, down = draws[2] * pixels, draws[3] * pixels
    height, width = x.shape[2:]
    cos, sin = angle.cos() / size, angle.sin() / size
    # Where each pixel of the result comes from: the shift undone, then rotation and resizing about the centre.
    # Coordinates span -1 to 1 over the image, along each axis.
    columns = torch.stack([cos, sin * height / width, -(cos * across + sin * down) * 2 / width], 1)
    rows = torch.stack([-sin * width / height, cos, (sin * across - cos * down) * 2 / height], 1)
    grid = F.affine_grid(torch.stack([columns, rows], 1), list(x.shape), align_corners=False)
    warped = F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return warped.clamp_(0, 1)  # interpolation may overshoot by a rounding error
