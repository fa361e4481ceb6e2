"""The checks that the metrics share. What they return is detached."""

import numpy as np
import torch

from advcourse.inputs import InputError


def check_outputs(logits, name="logits"):
    """Raise `InputError` unless `logits` is a tensor (N, K) of finite numbers, K >= 2 where N > 0.

    A NaN would be no class, and so would count as a misclassification.
    """
    if not isinstance(logits, torch.Tensor) or logits.dim() != 2:
        shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise InputError(f"{name}: got {shape}; allowed is a tensor of shape (N, K)")
    if len(logits) and logits.shape[1] < 2:
        raise InputError(f"{name}: got shape {tuple(logits.shape)}; allowed is (N, K) with K >= 2 classes")
    if not torch.isfinite(logits).all():
        raise InputError(f"{name}: got NaN or infinite values; allowed are finite logits")
    return logits.detach()


def check_values(values, name, like=None):
    """Raise `InputError` unless `values` is a tensor or array (N,) of numbers, as long as `like`. Returns a float64 tensor."""
    return _vector(values, name, like).double()


def check_flags(values, name, like=None):
    """Raise `InputError` unless `values` is a tensor or array (N,) of bool, as long as `like`. Returns a tensor."""
    values = _vector(values, name, like)
    if values.dtype != torch.bool:
        raise InputError(f"{name}: got {values.dtype}; allowed is bool")
    return values


def share(flags):
    """The share of `flags` (N,) bool that are True: a float in [0, 1], NaN for N = 0."""
    return flags.double().mean().item()


def _vector(values, name, like):
    if not isinstance(values, torch.Tensor | np.ndarray) or values.ndim != 1:
        given = tuple(values.shape) if hasattr(values, "shape") else type(values).__name__
        raise InputError(f"{name}: got {given}; allowed is a tensor or array of shape (N,)")
    if like is not None and len(values) != len(like):
        raise InputError(f"{name}: got {len(values)} values; allowed are {len(like)}, one for each image")
    values = torch.as_tensor(values).detach()
    return values if like is None else values.to(like.device)
