"""Imperceptibility (the survey's section 3): how large is the change? Pixels are in [0, 1], so L-infinity is too.

In all functions `x` and `x_adv` are floating-point images of the same shape (N, C, H, W) with finite values; anything else
raises `InputError`. Distances are in the unit of the pixels, and can also be computed for images that were not clipped. SSIM,
PSD and the comparison after rounding to 8 bits are meaningless if pixels are out of range, so they raise `InputError` then.
Each measure has shape (N,) and type float64, because sums of float32 pixels lose digits.
"""

from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from advcourse.core.inputs import InputError, check_choice, check_flag, check_range
from advcourse.core.intervals import Interval, bootstrap
from advcourse.metrics.arguments import Values, check_flags, check_pair, check_values

_WINDOW = 7  # pixels, the side of SSIM's window


def _difference(x, x_adv, high=None):
    check_pair(x, x_adv, high)
    return (x_adv.detach().double() - x.detach().double()).abs()


def l0(x: Tensor, x_adv: Tensor, per: Literal["pixel", "channel"] = "pixel", rounded: bool = False) -> Tensor:
    """L0: the number of pixels that differ.

    Source: DEEPSEC (Ling et al. 2019), whose code uses `per="channel"` on rounded images, and divides by the number of values.

    Args:
        x, x_adv: images (N, C, H, W).
        per: "pixel" (default) counts a pixel once, "channel" counts each of its channel values.
        rounded: compare the images after rounding to 8 bits, as in a file, where small changes are lost (default False).

    Returns:
        (N,), float64.

    Raises:
        InputError: the images have different shapes, values that are not finite or, with `rounded`, out of [0, 1].
    """
    check_choice(per, "per", ("pixel", "channel"))
    rounded = check_flag(rounded, "rounded")
    changed = _difference(x, x_adv, 1 if rounded else None) > 0
    if rounded:
        changed = (255 * x.detach().double()).round() != (255 * x_adv.detach().double()).round()
    if per == "pixel":
        changed = changed.any(1)
    return changed.flatten(1).sum(1).double()


def l1(x: Tensor, x_adv: Tensor) -> Tensor:
    """L1 distance of images (N, C, H, W): the sum of the absolute changes over pixels and channels, (N,) float64."""
    return _difference(x, x_adv).flatten(1).sum(1)


def l2(x: Tensor, x_adv: Tensor) -> Tensor:
    """L2 distance of images (N, C, H, W): the Euclidean length of the change, not squared, (N,) float64."""
    return _difference(x, x_adv).flatten(1).square().sum(1).sqrt()


def linf(x: Tensor, x_adv: Tensor) -> Tensor:
    """L-infinity distance of images (N, C, H, W): the largest change of any pixel and channel, (N,) float64."""
    return _difference(x, x_adv).flatten(1).amax(1)


def ssim(x: Tensor, x_adv: Tensor, data_range: float = 1.0) -> Tensor:
    """Structural similarity: a similarity, not a distance.

    Source: Wang, Bovik, Sheikh and Simoncelli 2004, in the form of ASS of DEEPSEC (Ling et al. 2019): a uniform window of 7 x
    7 pixels, C1 = (0.01 R)^2, C2 = (0.03 R)^2, computed for each channel, then averaged over channels and windows. Variances
    are divided by 49, as in the paper; scikit-image divides by 48 by default. Only windows that lie completely inside the
    image count, so no border is invented.

    Args:
        x, x_adv: images (N, C, H, W), H and W at least 7.
        data_range: R, the difference between the largest and the smallest value that pixels can take, not the range of these
            images (default 1.0, for images in [0, 1]). It is never guessed: a wrong one shifts all scores, most of all if
            images are flat.

    Returns:
        (N,), float64, in [-1, 1]; 1 for equal images.

    Raises:
        InputError: the images have different shapes, are smaller than the window, or have pixels outside [0, R]; or R is not
            above 0.
    """
    check_range(data_range, "data_range", 0, exclusive_low=True)
    remedy = "divide pixels of 0..255 by 255, or state their range, such as data_range=255"
    check_pair(x, x_adv, data_range, _WINDOW, remedy)
    return _by_chunks(lambda a, b: _ssim(a, b, data_range), x, x_adv)


def _ssim(x, x_adv, data_range):
    # Means over windows are a pooling. torchmetrics computes the same map by a convolution, which is many times slower in
    # float64, and its versions disagree on whether the mirrored border counts.
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    n = len(x)
    means = F.avg_pool2d(torch.cat([x, x_adv, x * x, x_adv * x_adv, x * x_adv]), _WINDOW, stride=1)
    mean, mean_adv, square, square_adv, product = means.split(n)
    covariance = product - mean * mean_adv
    variances = square - mean**2 + square_adv - mean_adv**2
    luminance = (2 * mean * mean_adv + c1) / (mean**2 + mean_adv**2 + c1)
    return (luminance * (2 * covariance + c2) / (variances + c2)).flatten(1).mean(1)


def psd(x: Tensor, x_adv: Tensor, sensitivity: Literal["bounded", "inverse"] = "bounded") -> Tensor:
    """Perturbation sensitivity distance: the sum of |change| * Sen over pixels and channels; 0 without a change.

    A change is visible where the image is flat, and hidden where it has texture. s is the standard deviation of the nine
    values (divided by nine) in the 3 x 3 neighbourhood of the CLEAN image, computed for each channel and mirrored at the edge.

    Source: Luo et al. 2018, as used by DEEPSEC (Ling et al. 2019). DEEPSEC's paper and code disagree on Sen.

    Args:
        x, x_adv: images (N, C, H, W) in [0, 1], H and W at least 2; `x` is the clean one.
        sensitivity: "bounded" (default) is Sen = 1 - s, as in DEEPSEC's code: between 0.5 and 1. "inverse" is Sen = 1 / s, as
            in the papers: the result is +inf if a flat neighbourhood was changed, such as the black background of a digit.

    Returns:
        (N,), float64.

    Raises:
        InputError: the images have different shapes, are smaller than 2 x 2, or have pixels outside [0, 1].
    """
    check_choice(sensitivity, "sensitivity", ("bounded", "inverse"))
    check_pair(x, x_adv, 1, 2)
    return _by_chunks(lambda a, b: _psd(a, b, sensitivity), x, x_adv)


def _psd(x, x_adv, sensitivity):
    height, width = x.shape[2:]
    padded = F.pad(x, (1, 1, 1, 1), mode="reflect")
    neighbours = [padded[..., i : i + height, j : j + width] for i in range(3) for j in range(3)]
    s = torch.stack(neighbours).std(0, unbiased=False)
    change = (x_adv - x).abs()
    # An unchanged pixel counts as 0, even in a flat place, where 0 / 0 would be NaN.
    terms = change * (1 - s) if sensitivity == "bounded" else torch.where(change > 0, change / s, 0)
    return terms.flatten(1).sum(1)


def _by_chunks(measure, x, x_adv):
    """Apply `measure`, images (n, C, H, W) x 2 -> (n,), in float64 to a few images at a time, so that the copies stay small."""
    # Allocated first: small results between large copies would keep the memory of these from being returned to the system.
    results = x.new_empty(len(x), dtype=torch.float64)
    if len(x):
        size = max(1, 2 ** (20 if x.is_cuda else 16) // max(1, x[0].numel()))
        for result, *pair in zip(*(values.detach().split(size) for values in (results, x, x_adv))):
            result.copy_(measure(*(images.double() for images in pair)))
    return results


def mean_over_successes(values: Values, success: Values) -> float:
    """Mean of `values` over the images on which the attack succeeded.

    An average over successes flatters an attack that succeeds only on easy images, so show the misclassification rate beside
    it.

    Args:
        values: (N,) numbers.
        success: (N,) bool.

    Returns:
        a float; NaN if nothing succeeded.

    Raises:
        InputError: an argument has another form, or a success has the value NaN.
    """
    values, success = _values_and_success(values, success)
    return values[success].mean().item()


def median_with_failures(values: Values, success: Values) -> float:
    """Median of `values` over ALL images, in which failures count as +inf.

    It is infinite unless more than half of the attacks succeeded, so it can't flatter an attack that succeeds only on easy
    images. Minimum-norm attacks should be compared in this way (Carlini et al. 2019).

    Args:
        values: (N,) numbers.
        success: (N,) bool.

    Returns:
        a float; NaN for N = 0.

    Raises:
        InputError: an argument has another form, or a success has the value NaN.
    """
    values = _with_failures(values, success)
    return float(np.median(values)) if len(values) else float("nan")


def median_with_interval(values: Values, success: Values) -> Interval:
    """`median_with_failures` with its 95 % bootstrap interval, whose ends may be infinite. Arguments and errors are the same."""
    return bootstrap(_with_failures(values, success), np.median)


def _with_failures(values, success):
    values, success = _values_and_success(values, success)
    return values.masked_fill(~success, torch.inf).cpu().numpy()


def _values_and_success(values, success):
    """Return both (N,), checked. A success with the value NaN is refused, since it would look as if nothing had succeeded."""
    values = check_values(values, "values")
    success = check_flags(success, "success", values)
    if values[success].isnan().any():
        raise InputError(
            f"values: got NaN for {int(values[success].isnan().sum())} successes; allowed are numbers"
        )
    return values, success
