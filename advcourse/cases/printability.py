"""How well a pattern can be printed: terms for the loss of an attack that ends up on paper."""

import torch
from torch import Tensor

from advcourse.core.inputs import InputError

_NEAREST = 1e-6  # where the logarithm of a distance between colours ends


def log_nps(x: Tensor, palette: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return the logarithm of the non-printability score: of the mean over the pixels of prod_p ||x - p||_2.

    The product runs over the colours p that the printer can make, so it is 0 for a printable pixel. It is formed from
    logarithms, because thirty factors below 1 soon leave the range of float32.

    Paper: Sharif, Bhagavatula, Bauer and Reiter 2016, "Accessorize to a Crime" (doi 10.1145/2976749.2978392). There
    the pixels are added up; the mean does not depend on the size of the pattern.

    Args:
        x: colours (3, H, W) in [0, 1].
        palette: the printable colours (P, 3).
        mask: (H, W) bool, the pixels that count (default None: all).

    Returns:
        a scalar, differentiable; at least P * log(1e-6), which stands for "all printable".

    Raises:
        InputError: shapes that do not fit, or an empty mask.
    """
    if x.dim() != 3 or len(x) != 3 or palette.dim() != 2 or palette.shape[1] != 3:
        given = f"{tuple(x.shape)} and {tuple(palette.shape)}"
        raise InputError(f"x, palette: got shapes {given}; allowed are (3, H, W) and (P, 3)")
    pixels = x.flatten(1).T if mask is None else x[:, _checked(mask, x)].T
    distances = (pixels[:, None] - palette.to(x)).square().sum(2)
    logs = distances.clamp_min(_NEAREST**2).log().sum(1) / 2
    return logs.logsumexp(0) - torch.tensor(float(len(pixels))).log()


def total_variation(x: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return the mean absolute difference of neighbouring pixels, in units of the pixel range.

    Source: Rudin, Osher and Fatemi, "Nonlinear total variation based noise removal algorithms", Physica D 60, 1992, in its
    anisotropic form.

    Args:
        x: an image (C, H, W).
        mask: (H, W) bool; only neighbours that both lie in it count (default None: all).

    Returns:
        a scalar, differentiable; 0 if no two pixels of the mask are neighbours.

    Raises:
        InputError: shapes that do not fit, or an empty mask.
    """
    if x.dim() != 3:
        raise InputError(f"x: got shape {tuple(x.shape)}; allowed is one image (C, H, W)")
    mask = torch.ones_like(x[0], dtype=torch.bool) if mask is None else _checked(mask, x)
    across = (x[:, :, 1:] - x[:, :, :-1]).abs()[:, mask[:, 1:] & mask[:, :-1]]
    down = (x[:, 1:] - x[:, :-1]).abs()[:, mask[1:] & mask[:-1]]
    return (across.sum() + down.sum()) / max(1, across.numel() + down.numel())


def _checked(mask, x):
    if mask.dtype != torch.bool or mask.shape != x.shape[1:] or not mask.any():
        raise InputError(
            f"mask: got shape {tuple(mask.shape)}, type {mask.dtype} and {int(mask.sum())} pixels; allowed is a mask of bools of "
            f"shape {tuple(x.shape[1:])} with at least one pixel"
        )
    return mask
