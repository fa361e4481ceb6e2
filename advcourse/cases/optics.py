"""Lens, sensor and file: what a camera does to the light that reaches it. Resampling is one matrix for each axis.

With M for the rows and M' for the columns, an image x becomes M x M'^T. The rows of every matrix sum to 1, so that a grey
surface stays as it is.
"""

import math
from collections.abc import Sequence
from functools import lru_cache, partial

import numpy as np
import torch
from torch import Tensor

from advcourse.attacks.adaptive import BPDA
from advcourse.data.transformations import through_jpeg

BLURRED = 256  # pixels of a row or column that are blurred at once
DARKEST = 1e-4  # the tone curve's slope at 0 may be infinite
LUMA = (0.299, 0.587, 0.114)  # weights of red, green and blue in grey


@lru_cache(maxsize=256)
def area_matrix(source: int, target: int) -> Tensor:
    """Return the matrix (target, source), float64, that averages `source` pixels over the areas of `target` pixels."""
    edges = np.arange(target + 1) * (source / target)
    first, last = edges[:-1, None], edges[1:, None]
    pixel = np.arange(source)[None]
    overlap = np.clip(np.minimum(last, pixel + 1) - np.maximum(first, pixel), 0, None)
    return torch.from_numpy(overlap / overlap.sum(1, keepdims=True))


@lru_cache(maxsize=256)
def resize_matrix(source: int, target: int) -> Tensor:
    """Return the matrix (target, source), float64, of a resize: bilinear to more pixels, by areas to fewer."""
    if target <= source:
        return area_matrix(source, target)
    centres = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)[:, None]
    return torch.from_numpy(np.clip(1 - np.abs(centres - np.arange(source)[None]), 0, None))


def sensor_matrix(fine: int, pixels: int, size: int) -> Tensor:
    """Return the matrix (size, fine), float64, from a fine rendering to the sensor and from there to the photograph."""
    seen = min(pixels, fine)  # the rendering has no more detail than that
    return resize_matrix(seen, size) @ area_matrix(fine, seen)


def sampled(scene: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return rows x scene x columns^T: scene (N, C, h, w), rows (N, H, h) and columns (N, W, w) give (N, C, H, W)."""
    return rows[:, None] @ scene @ columns[:, None].mT


def blur_matrices(sigmas: Tensor, size: int) -> Tensor:
    """Return the matrices (N, size, size) of Gaussian blurs with standard deviations `sigmas` (N,) in pixels; 0: no blur."""
    return _blur(sigmas, slice(0, size), slice(0, size))


def blurred(x: Tensor, sigmas: Tensor) -> Tensor:
    """Return images (N, C, H, W) blurred by the standard deviations `sigmas` (N,) in pixels, as by `blur_matrices`.

    Farther than twelve of them a weight is nothing beside the others, even in float64, so large images are blurred in blocks.
    """
    reach = math.ceil(12 * sigmas.max().item()) if len(sigmas) else 0
    for axis in (2, 3):
        size, blocks = x.shape[axis], []
        for first in range(0, size, BLURRED):
            target = slice(first, min(size, first + BLURRED))
            source = slice(max(0, first - reach), min(size, target.stop + reach))
            matrix, near = (
                _blur(sigmas, target, source)[:, None],
                x.narrow(axis, source.start, source.stop - source.start),
            )
            blocks.append(matrix @ near if axis == 2 else near @ matrix.mT)
        x = torch.cat(blocks, axis)
    return x


def _blur(sigmas, target, source):
    """Return the weights of the pixels `source` in the blurred pixels `target`, two slices of a row: (N, target, source)."""
    there, here = (torch.arange(part.start, part.stop).to(sigmas) for part in (target, source))
    squares = (there[:, None] - here[None, :]) ** 2
    weights = torch.exp(-0.5 * squares / sigmas.clamp_min(1e-3)[:, None, None] ** 2)
    return weights / weights.sum(2, keepdim=True)


def developed(seen: Tensor, gamma: Tensor, qualities: Sequence[int] | None) -> Tensor:
    """Return the pixels that a camera stores: tone curve, rounding to 8 bit, and JPEG.

    The tone curve is the power `gamma` of the light, from `DARKEST` to 1. The backward pass takes rounding and JPEG for the
    identity (the straight-through estimator).

    Args:
        seen: light on the sensor, shape (N, 1 or 3, H, W).
        gamma: exponents, shape (N, 1, 1, 1).
        qualities: JPEG's quality of each image, 1 to 100; None for no JPEG.

    Returns:
        images in [0, 1] of the same shape.
    """
    return stored(toned(seen, gamma), qualities)


def toned(seen: Tensor, gamma: Tensor) -> Tensor:
    """Return the light `seen` after the tone curve: see `developed`."""
    return seen.clamp(DARKEST, 1) ** gamma


def stored(pixels: Tensor, qualities: Sequence[int] | None) -> Tensor:
    """Return `pixels` as they are read from the camera's file: see `developed`."""
    return BPDA(eight_bit if qualities is None else partial(jpeg, qualities=qualities))(pixels)


def in_channels_of(seen: Tensor, x: Tensor) -> Tensor:
    """Return photographs (N, 3, H, W) with as many channels as the images `x`: as they are, or grey, (N, 1, H, W)."""
    if x.shape[1] == 3:
        return seen
    return (seen * torch.tensor(LUMA).to(x)[:, None, None]).sum(1, keepdim=True)


def eight_bit(x: Tensor) -> Tensor:
    """Return the images `x` with values rounded to multiples of 1/255."""
    return (255 * x).round() / 255


def jpeg(x: Tensor, qualities: Sequence[int]) -> Tensor:
    """Return the images `x` (N, 1 or 3, H, W), rounded to 8 bit and stored as JPEG by Pillow, each with its own quality."""
    pixels = (255 * x).round().to("cpu", torch.uint8).permute(0, 2, 3, 1).numpy()
    stored = [through_jpeg(image, quality) for image, quality in zip(pixels, qualities, strict=True)]
    return torch.from_numpy(np.stack(stored)).to(x) / 255
