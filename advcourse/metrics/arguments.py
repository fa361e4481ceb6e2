"""The checks of arguments that the metrics share. The tensors that they return are detached."""

import math

import numpy as np
import torch
from torch import Tensor

from advcourse.core.inputs import InputError, check_batch

Values = Tensor | np.ndarray  # (N,), one for each image

_REMEDY = "divide pixels of 0..255 by 255, undo a normalisation, or clip what left the range"


def check_pair(
    x: Tensor, x_adv: Tensor, high: float | None = None, least: int = 1, remedy: str = _REMEDY
) -> None:
    """Check that two batches of images are floating-point, finite, and of the same shape (N, C, H, W) on the same device.

    Args:
        x, x_adv: the batches.
        high: upper limit of the pixels, for measures that depend on their range: all must be in [0, high] (default None: no
            limit, because a distance can also be computed for images that were not clipped).
        least: smallest height and width, in pixels (default 1).
        remedy: the advice that the message gives if pixels are out of range.

    Raises:
        InputError: the batches break one of these conditions.
    """
    for name, images in (("x", x), ("x_adv", x_adv)):
        check_batch(images, name)
        ends = torch.aminmax(images.detach()) if images.numel() else ()
        low, top = (end.item() for end in ends) if ends else (0, 0)
        if not (math.isfinite(low) and math.isfinite(top)):
            raise InputError(f"{name}: got NaN or infinite values; allowed are finite numbers")
        if high is not None and not 0 <= low <= top <= high:
            raise InputError(
                f"{name}: got values in [{low:.8g}, {top:.8g}]; allowed is [0, {high:g}]: {remedy}"
            )
    if x.shape != x_adv.shape:
        raise InputError(
            f"x_adv: got shape {tuple(x_adv.shape)}; allowed is the shape of x, {tuple(x.shape)}"
        )
    if x.device != x_adv.device:
        raise InputError(f"x_adv: got images on {x_adv.device}; allowed is the device of x, {x.device}")
    if min(x.shape[2:]) < least:
        raise InputError(
            f"x: got shape {tuple(x.shape)}; allowed is (N, C, H, W) with H and W at least {least}"
        )


def check_outputs(logits: Tensor, name: str = "logits") -> Tensor:
    """Check that `logits` is a tensor (N, K) of finite numbers, with K >= 2 if N > 0.

    NaN must be refused: it belongs to no class, so it would count as a misclassification.

    Returns:
        the logits, detached.

    Raises:
        InputError: they are not.
    """
    if not isinstance(logits, torch.Tensor) or logits.dim() != 2:
        shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise InputError(f"{name}: got {shape}; allowed is a tensor of shape (N, K)")
    if len(logits) and logits.shape[1] < 2:
        raise InputError(f"{name}: got shape {tuple(logits.shape)}; allowed is (N, K) with K >= 2 classes")
    _check_real(logits, name)
    if logits.dtype == torch.bool:
        raise InputError(f"{name}: got torch.bool; allowed are logits, which are numbers")
    if not torch.isfinite(logits).all():
        raise InputError(f"{name}: got NaN or infinite values; allowed are finite logits")
    return logits.detach()


def check_values(values: Values, name: str, like: Tensor | None = None) -> Tensor:
    """Check that `values` is a tensor or array (N,) of numbers, as long as `like` if that is given.

    Returns:
        a float64 tensor (N,), on the device of `like`.

    Raises:
        InputError: it is not.
    """
    return _vector(values, name, like).double()


def check_flags(values: Values, name: str, like: Tensor | None = None) -> Tensor:
    """Check that `values` is a tensor or array (N,) of bool, as long as `like` if that is given.

    Returns:
        a tensor (N,) of bool, on the device of `like`.

    Raises:
        InputError: it is not.
    """
    values = _vector(values, name, like)
    if values.dtype != torch.bool:
        raise InputError(f"{name}: got {values.dtype}; allowed is bool")
    return values


def _check_real(values, name):
    """Raise `InputError` unless a tensor or array is dense and holds real numbers or flags."""
    if isinstance(values, np.ndarray):
        real = values.dtype.kind in "biuf"
    else:
        dense = values.layout == torch.strided and not (values.is_quantized or values.is_meta)
        real = dense and not values.is_complex()
    if not real:
        kind = "meta" if isinstance(values, torch.Tensor) and values.is_meta else values.dtype
        layout = f" ({values.layout})" if isinstance(values, torch.Tensor) else ""
        raise InputError(
            f"{name}: got {kind}{layout}; allowed are real numbers, in a dense tensor or an array"
        )


def share(flags: Tensor) -> float:
    """Return the share of `flags` (N,) bool that are True: a float in [0, 1], NaN for N = 0."""
    return flags.double().mean().item()


def _vector(values, name, like):
    if not isinstance(values, torch.Tensor | np.ndarray) or values.ndim != 1:
        given = tuple(values.shape) if hasattr(values, "shape") else type(values).__name__
        raise InputError(f"{name}: got {given}; allowed is a tensor or array of shape (N,)")
    if like is not None and len(values) != len(like):
        raise InputError(f"{name}: got {len(values)} values; allowed are {len(like)}, one for each image")
    _check_real(values, name)
    if isinstance(values, np.ndarray):  # a byte order and a type that torch accepts
        values = values.astype(np.float64 if values.dtype.kind == "f" else values.dtype.newbyteorder("="))
    values = torch.as_tensor(values).detach()
    return values if like is None else values.to(like.device)
