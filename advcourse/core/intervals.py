"""Estimates: what was measured on a sample of images, with its interval. How they are made, and how they are printed."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from advcourse.core.inputs import InputError, check_range, check_seed
from advcourse.core.rounding import percent, size

_AT_ONCE = 2**20  # numbers
_Z95 = 1.959963984540054  # the normal distribution's 97.5 % point
_WHOLE = 0.01  # how far from a whole number float32 takes a count, at most


@dataclass(frozen=True)
class Interval:
    """An estimate from `n` images: its `value`, between the ends `low` and `high` of its interval. NaN where there is none.

    `counted`, `wilson` and `bootstrap` make it, `printed` prints it. The first three are floats, or arrays of one shape where
    `wilson` was given several shares.
    """

    value: float
    low: float
    high: float
    n: int


def counted(successes: int, n: int) -> Interval:
    """The share of `successes` in `n` images with Wilson's 95 % interval; NaN for n = 0.

    Raises:
        InputError: not whole numbers, or not 0 <= successes <= n.
    """
    n = check_range(n, "n", 0, integer=True)
    successes = check_range(successes, "successes", 0, n, integer=True)
    return wilson(successes / n if n else math.nan, n)


def wilson(share: float, n: int, z: float = _Z95) -> Interval:
    """A share of `n` images with Wilson's interval. Source: Wilson, JASA 22, 1927.

    Args:
        share: k / n in [0, 1], a number, an array or a tensor of any shape; NaN gives NaN.
        n: how many images were measured; 0 gives NaN.
        z: the normal distribution's point, above 0 and at most 100 (default 1.96, which gives 95 %).

    Returns:
        the estimate, whose value and ends have the shape of `share`; 0 <= low <= value <= high <= 1.

    Raises:
        InputError: a share outside [0, 1], `n` not a whole number from 0 on, or `z` out of range.
    """
    n = check_range(n, "n", 0, integer=True)
    check_range(z, "z", 0, 100, exclusive_low=True)
    share = _numbers(share, "share")
    if (share < 0).any() or (share > 1).any():
        raise InputError(
            f"share: got {share[(share < 0) | (share > 1)][0]:g}; allowed are shares in [0, 1] (and NaN)"
        )
    count = n or math.nan
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    # At 0 and at 1 the formula's end is the share itself, which rounding must not pass.
    low, high = np.clip(centre - half, 0, share), np.clip(centre + half, share, 1)
    share = share if n else np.full_like(share, math.nan)  # nothing was measured
    return Interval(*(part if part.ndim else part.item() for part in (share, low, high)), n)


def margin_of_error(n: int) -> str:
    """How far, at most, the ends of Wilson's 95 % interval lie from a share of `n` images: "± 11 points" for n = 95.

    For tables of rates that all rest on the same images, where an interval beside each would hide the rates. Rounded up.
    """
    n = check_range(n, "n", 1, integer=True)
    every = wilson(np.arange(n + 1) / n, n)
    farthest = max((every.high - every.value).max(), (every.value - every.low).max())
    return f"± {math.ceil(100 * farthest)} points"


def bootstrap(
    values: np.ndarray, statistic: Callable, seed: int = 0, draws: int = 2000, level: float = 0.95
) -> Interval:
    """A statistic of per-image values with its percentile bootstrap interval. Source: Efron, Annals of Statistics 7, 1979.

    The images are drawn again with replacement, and the statistic is taken of each such sample. The interval runs between
    two of these numbers, never to a point between two of them: a median with failures at infinity may have an infinite end.

    Args:
        values: (N,) numbers, one for each image, an array or a tensor; infinities are allowed.
        statistic: function of an array and of the `axis` along which the images lie, such as `numpy.median`.
        seed: of the draws (default 0).
        draws: how many samples are drawn (default 2000).
        level: the share of such intervals that are to hold the true value, above 0 and below 1 (default 0.95).

    Returns:
        the estimate; NaN for N = 0, and without an interval where the statistic of any drawn sample is NaN.

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
        return Interval(math.nan, math.nan, math.nan, 0)
    value = float(statistic(values[None], axis=1)[0])
    generator = np.random.default_rng(seed)
    parts = np.diff([*range(0, draws, max(1, _AT_ONCE // n)), draws])  # samples drawn together
    samples = (values[generator.integers(0, n, (part, n))] for part in parts)
    drawn = np.sort(np.concatenate([statistic(sample, axis=1) for sample in samples]))
    if np.isnan(drawn).any():
        return Interval(value, math.nan, math.nan, n)
    last = draws - 1
    place = round((1 - level) / 2 * last)
    return Interval(value, float(drawn[place]), float(drawn[last - place]), n)


def printed(estimate: Interval, unit: str = "%") -> str:
    """The estimate in words: "34 % (21 of 62; 23 to 46 %)" for a share, else "23 pixels (n = 62; 16 to 30 pixels)".

    Args:
        estimate: one number with its interval, of `counted`, `wilson` or `bootstrap`.
        unit: of the numbers; "%" (default) prints shares as percentages, "" prints numbers without a unit.

    Returns:
        the text; "n/a (none measured)" for n = 0. Ends are rounded as the value is, so that they stay on its two sides.

    Raises:
        InputError: several numbers instead of one.
    """
    return " ".join(halves(estimate, unit))


def halves(estimate: Interval, unit: str = "%") -> tuple[str, str]:
    """The two halves of `printed`, for places that put the second below the first: the estimate, and what it rests on."""
    if not estimate.n:
        return "n/a", "(none measured)"
    after = f" {unit}" if unit else ""
    value, low, high = (_digits(x, unit) for x in (estimate.value, estimate.low, estimate.high))
    value, basis = f"{value}{after * (value != 'n/a')}", f"n = {estimate.n}"
    successes = estimate.value * estimate.n
    if unit == "%" and abs(successes - np.round(successes)) < _WHOLE:
        basis = f"{successes:.0f} of {estimate.n}"
    return value, f"({basis})" if "n/a" in (low, high) else f"({basis}; {low} to {high}{after})"


def _digits(number, unit):
    return percent(number).removesuffix(" %") if unit == "%" else size(number)


def _numbers(values, name):
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().double().numpy()
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: got {type(values).__name__}; allowed are numbers ({error})") from None
