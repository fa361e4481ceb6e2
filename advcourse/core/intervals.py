"""Intervals around what was measured on a sample of images: a share, and any other statistic."""

import math

import numpy as np
import torch

from advcourse.core.inputs import InputError, check_range, check_seed

_AT_ONCE = 2**20  # numbers
_Z95 = 1.959963984540054  # the normal distribution's 97.5 % point


def wilson(share, samples, z=_Z95):
    """Wilson's interval (low, high) for a share of `samples` images. Source: Wilson, JASA 22, 1927.

    Args:
        share: k / samples in [0, 1], a number, an array or a tensor of any shape; NaN gives NaN.
        samples: how many images were measured; 0 gives NaN.
        z: the normal distribution's point (default 1.96, which gives 95 %).

    Returns:
        (low, high), each of the shape of `share`, in [0, 1].

    Raises:
        InputError: a share outside [0, 1], or `samples` not a whole number from 0 on.
    """
    check_range(samples, "samples", 0, integer=True)
    share = _numbers(share, "share")
    if (share < 0).any() or (share > 1).any():
        raise InputError(
            f"share: got {share[(share < 0) | (share > 1)][0]:g}; allowed are shares in [0, 1] (and NaN)"
        )
    n = samples or math.nan
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)


def bootstrap(values, statistic, seed=0, draws=2000, level=0.95):
    """Percentile bootstrap interval (low, high) of a statistic of per-image values. Source: Efron, Annals of Statistics 7, 1979.

    The images are drawn again with replacement, and the statistic is taken of each such sample. The interval runs between
    two of these numbers, never to a point between two of them: a median with failures at infinity may have an infinite end.

    Args:
        values: (N,) numbers, one for each image, an array or a tensor; infinities are allowed.
        statistic: function of an array and of the `axis` along which the images lie, such as `numpy.median`.
        seed: of the draws (default 0).
        draws: how many samples are drawn (default 2000).
        level: the share of such intervals that are to hold the true value, above 0 and below 1 (default 0.95).

    Returns:
        (low, high), floats; NaN for N = 0, and where the statistic of any drawn sample is NaN.

    Raises:
        InputError: `values` not of shape (N,), or a setting out of range.
    """
    check_seed(seed)
    check_range(draws, "draws", 1, integer=True)
    check_range(level, "level", 0, 1 - 1e-9, exclusive_low=True)
    values = _numbers(values, "values")
    if values.ndim != 1:
        raise InputError(f"values: got shape {values.shape}; allowed is (N,), a number for each image")
    n = len(values)
    if n == 0:
        return math.nan, math.nan
    generator = np.random.default_rng(seed)
    parts = np.diff([*range(0, draws, max(1, _AT_ONCE // n)), draws])  # samples drawn together
    samples = (values[generator.integers(0, n, (part, n))] for part in parts)
    drawn = np.sort(np.concatenate([statistic(sample, axis=1) for sample in samples]))
    if np.isnan(drawn).any():
        return math.nan, math.nan
    last = draws - 1
    place = round((1 - level) / 2 * last)
    return float(drawn[place]), float(drawn[last - place])


def _numbers(values, name):
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().double().numpy()
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: got {type(values).__name__}; allowed are numbers ({error})") from None
