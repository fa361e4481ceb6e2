"""How well a pattern can be printed: terms for the loss of an attack that ends up on paper."""

import torch
from torch import Tensor

from advcourse.cases import printer
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


def mean_log_nps(colours: Tensor, cells: Tensor, printable: Tensor | None = None) -> Tensor:
    """Return the non-printability score with the logarithm inside the mean: the mean over the cells of sum_p log ||c - p||_2.

    `log_nps` is ruled by the least printable cells, since it takes the logarithm of their mean; here each cell counts alike.
    Same paper as there. The lower, the nearer the colours are to printable ones. Distances below 1e-3 count as that.

    Args:
        colours: (3, H, W) in [0, 1].
        cells: (H, W) bool, the cells that count.
        printable: (P, 3), the printable colours (default None: `printer.palette()`).

    Returns:
        a scalar, differentiable.
    """
    printable = (printer.palette() if printable is None else printable).to(colours)
    distances = (colours[:, cells].T[:, None] - printable).square().sum(2)
    return 0.5 * (distances + 1e-6).log().sum(1).mean()


def isotropic_variation(colours: Tensor, cells: Tensor) -> Tensor:
    """Return how rough a pattern is: the mean over its cells of sqrt(d_across^2 + d_down^2), summed over channels.

    The form that Sharif et al. 2016, section 5.2.1, take; `total_variation` adds the absolute differences instead.

    Args:
        colours: (3, H, W) in [0, 1].
        cells: (H, W) bool, the cells that count; only neighbours that both do are compared.

    Returns:
        a scalar, differentiable; 0 for a plain pattern.
    """
    across = (colours[:, :-1, :-1] - colours[:, :-1, 1:]) * (cells[:-1, :-1] & cells[:-1, 1:])
    down = (colours[:, :-1, :-1] - colours[:, 1:, :-1]) * (cells[:-1, :-1] & cells[1:, :-1])
    return ((across**2 + down**2 + 1e-8).sqrt() - 1e-4).sum() / cells.sum()


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
