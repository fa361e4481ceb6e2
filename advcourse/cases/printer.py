"""A printer: which colours come out on paper for the colours of an image."""

from itertools import product

import torch
from torch import Tensor

from advcourse.core.inputs import InputError, check_range

CORNERS = torch.tensor(
    [
        [0.11, 0.11, 0.12],  # black
        [0.20, 0.18, 0.42],  # blue
        [0.03, 0.50, 0.26],  # green
        [0.02, 0.53, 0.76],  # cyan
        [0.80, 0.13, 0.16],  # red
        [0.76, 0.12, 0.44],  # magenta
        [0.95, 0.88, 0.14],  # yellow
        [0.95, 0.95, 0.93],  # white: the paper
    ],
    dtype=torch.float64,
)
"""The printed colours of the cube's corners, (8, 3): row 4 r + 2 g + b is that of the colour (r, g, b), each 0 or 1."""


def printed(x: Tensor, corners: Tensor = CORNERS) -> Tensor:
    """Return the colours that a printer makes of the colours `x`: the trilinear interpolation of eight printed corners.

        P(x) = sum over b in {0, 1}^3 of p_b prod_c (b_c x_c + (1 - b_c) (1 - x_c)).

    x_c is the share of the paper where channel c is not absorbed by its ink (Neugebauer's model, with inks that overlap at
    random), so it is the average over the dots of ink. Differentiable.

    Args:
        x: images in [0, 1], shape (..., 3, H, W).
        corners: the printed colours p_b, shape (8, 3), row 4 r + 2 g + b (default `CORNERS`).

    Returns:
        images of the same shape, type and device.

    Raises:
        InputError: the images do not have three channels, or the corners have another shape.
    """
    if x.dim() < 3 or x.shape[-3] != 3:
        raise InputError(f"x: got shape {tuple(x.shape)}; allowed is (..., 3, H, W), images in colour")
    if not x.is_floating_point():
        raise InputError(f"x: got type {x.dtype}; allowed are floating-point colours in [0, 1]")
    if tuple(corners.shape) != (8, 3):
        raise InputError(
            f"corners: got shape {tuple(corners.shape)}; allowed is (8, 3), a colour for each corner"
        )
    colours = corners.to(x)[:, :, None, None]
    for channel in x.unsqueeze(-4).unbind(-3):  # interpolates along red, then green, then blue
        share = channel.unsqueeze(-3)
        dark, bright = colours.split(colours.shape[-4] // 2, dim=-4)
        colours = (1 - share) * dark + share * bright
    return colours.squeeze(-4)


def palette(steps: int = 3) -> Tensor:
    """Return the printed colours of a grid of `steps` values per channel, for the non-printability score.

    Args:
        steps: values per channel, from 0 to 1, at least 2 (default 3).

    Returns:
        colours, shape (steps**3, 3), float64.
    """
    levels = torch.linspace(0, 1, check_range(steps, "steps", 2, integer=True), dtype=torch.float64)
    grid = torch.tensor(list(product(levels.tolist(), repeat=3)), dtype=torch.float64)
    return printed(grid.T[:, :, None]).squeeze(-1).T
