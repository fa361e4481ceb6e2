"""The structural similarity of two images as the judge computes it, window by window, and the slips known by their results."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from advcourse.labs.checks import Case, Draw, Task
from advcourse.labs.numbers import gives

WINDOW = 7
CLOSE = 1e-6


def pairs(draw: Draw, x: Tensor) -> dict[str, Tensor]:
    """Images and noisy copies of them, the noise being of another strength in each; the left third has none."""
    strength = 0.02 + 0.2 * draw.uniform((len(x), 1, 1, 1))
    noise = strength * draw.normal(x.shape)
    noise[..., : x.shape[3] // 3] = 0
    return {"x_adv": (x + noise).clamp(0, 1)}


def digits_and_faint_ones(task: Task, draw: Draw) -> list[Case]:
    """Digits; images of little contrast, where the constants and the 49 count; and digits beside their negatives.

    All are float64: the small difference of two large numbers, as which a variance is reckoned, would lose digits in float32.
    """
    faint = task.case(draw, grey=True)
    x, x_adv = (0.5 + 0.2 * (faint[name] - 0.5) for name in ("x", "x_adv"))
    digits = task.case(draw)
    negatives = digits.but(x_adv=1 - digits["x_adv"])
    return [case.to(torch.float64) for case in (digits, faint.but(x=x, x_adv=x_adv), negatives)]


def in_colour(task: Task, draw: Draw) -> list[Case]:
    return [task.case(draw, shape=(3, 20, 24)).to(torch.float64) for _ in range(2)]


def _windows(images, size, stride, padded):
    """All windows of the images, (N, C, windows, size * size)."""
    images = pad(images, 4 * [size // 2]) if padded else images
    cut = images.unfold(2, size, stride).unfold(3, size, stride)
    return cut.reshape(*images.shape[:2], -1, size * size)


def ssim(
    case: Case,
    size: int = WINDOW,
    stride: int = 1,
    padded: bool = False,
    weights: Tensor | None = None,
    lost: int = 0,
    **changed: Any,
) -> Tensor:
    """SSIM (N,). The arguments after `case` serve the slips; weights (size * size,) sum up to 1."""
    x, y = (case[name].double() for name in ("x", "x_adv"))
    if changed.get("grey first"):
        x, y = (images.mean(1, keepdim=True) for images in (x, y))
    x, y = (_windows(images, size, stride, padded) for images in (x, y))
    count = size * size
    weights = torch.full((count,), 1 / count, dtype=torch.float64) if weights is None else weights
    mean_x, mean_y = (x * weights).sum(-1), (y * weights).sum(-1)
    share = count / (count - lost)
    dx, dy = (x - mean_x[..., None], y - mean_y[..., None]) if not changed.get("raw") else (x, y)
    var_x, var_y, cov = (share * (weights * product).sum(-1) for product in (dx * dx, dy * dy, dx * dy))
    if changed.get("deviations"):
        cov = (var_x * var_y).sqrt()
    cov = changed.get("covariance", lambda cov: cov)(cov)
    c1, c2 = changed.get("constants", _constants(1))
    brightness = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * cov + c2) / (var_x + var_y + c2)
    factors = {"both": brightness * structure, "brightness": brightness, "structure": structure}
    return factors[changed.get("factor", "both")].flatten(1).mean(1)


def _whole(case, lost):
    """One window as large as the image, by the moments of all pixels; each channel for itself."""
    x, y = (case[name].double().flatten(2) for name in ("x", "x_adv"))
    mean_x, mean_y = x.mean(2), y.mean(2)
    cov = ((x - mean_x[..., None]) * (y - mean_y[..., None])).sum(2) / (x.shape[2] - lost)
    variances = x.var(2, correction=lost) + y.var(2, correction=lost)
    top = (2 * mean_x * mean_y + 0.01**2) * (2 * cov + 0.03**2)
    return (top / (mean_x**2 + mean_y**2 + 0.01**2) / (variances + 0.03**2)).mean(1)


def _bell(size=11, sigma=1.5):
    along = torch.exp(-((torch.arange(size, dtype=torch.float64) - size // 2) ** 2) / (2 * sigma**2))
    return torch.outer(along, along).flatten() / along.sum() ** 2


def _constants(high):
    """C1 and C2 for pixels with a range of `high`."""
    return (0.01 * high) ** 2, (0.03 * high) ** 2


def _found(case, both):
    """The range of the pixels of x, or of `both` batches."""
    values = torch.cat([case["x"], case["x_adv"]]) if both else case["x"]
    return (values.max() - values.min()).double()


def _changed_to(**how):
    return lambda case: ssim(case, **how)


_SLIPS = (
    (
        "a distance",
        "This is 1 - SSIM. SSIM is a similarity: 1 for equal images. Return it as it is.",
        lambda case: 1 - ssim(case),
    ),
    (
        "windows side by side",
        "Your windows do not overlap: avg_pool2d moves by the size of its window, unless told otherwise. Every position counts: "
        "stride=1.",
        _changed_to(stride=WINDOW),
    ),
    (
        "padded",
        "Your windows reach beyond the image, where there are zeros. Only windows count that lie within it: no padding.",
        _changed_to(padded=True),
    ),
    *(
        (
            "one window",
            "The means and variances are those of the whole image. Take them in each window of 7 x 7 pixels, and average at "
            "the end.",
            lambda case, lost=lost: _whole(case, lost),
        )
        for lost in (0, 1)
    ),
    *(
        (
            f"range of {high}",
            f"The constants are those of pixels with a range of {high}. Here they range from 0 to 1, so that C1 = 0.01² and C2 = "
            "0.03². With a wrong range all similarities are wrong, and nothing tells.",
            _changed_to(constants=_constants(high)),
        )
        for high in (255, 2)
    ),
    *(
        (
            "range of the images",
            "The constants follow the darkest and the brightest pixel that happen to be there. R is what pixels may be, 1, "
            "whatever these are; else the same change gets another value in another company.",
            lambda case, both=both: ssim(case, constants=_constants(_found(case, both))),
        )
        for both in (False, True)
    ),
    (
        "constants not squared",
        "C1 is 0.01 and C2 is 0.03. They are squares: 0.01² and 0.03².",
        _changed_to(constants=(0.01, 0.03)),
    ),
    (
        "constants swapped",
        "C1 and C2 are swapped. C1 = 0.01² stands with the means, C2 = 0.03² with the variances.",
        _changed_to(constants=_constants(1)[::-1]),
    ),
    (
        "deviations",
        "Where the covariance belongs stands the product of the standard deviations. That is the same for an image and its "
        "negative: which pixels go together is lost.",
        _changed_to(deviations=True),
    ),
    *(
        (
            "opposites alike",
            "Windows that are each other's negative count as alike: the sign of the covariance is lost. It is negative where one "
            "image is bright and the other dark.",
            _changed_to(covariance=how),
        )
        for how in (torch.abs, lambda cov: cov.clamp_min(0))
    ),
    (
        "raw moments",
        "The squares of the means are not subtracted: the variance is the mean of the squares minus the square of the mean.",
        _changed_to(raw=True),
    ),
    (
        "brightness alone",
        "Only the first factor is there, that of the means.",
        _changed_to(factor="brightness"),
    ),
    (
        "structure alone",
        "Only the second factor is there. The first compares the means.",
        _changed_to(factor="structure"),
    ),
    (
        "48, not 49",
        "Variances and covariances are divided by 48, as scikit-image does. Here, as in the paper, it is 49, the pixels of a "
        "window.",
        _changed_to(lost=1),
    ),
    (
        "bell-shaped window",
        "The pixels of a window have weights like a bell, as in the paper. Here the window has 7 x 7 pixels, all of one weight.",
        _changed_to(size=11, weights=_bell()),
    ),
    *(
        (
            f"window of {size}",
            f"Your windows have {size} x {size} pixels. Take 7 x 7.",
            _changed_to(size=size),
        )
        for size in (8, 11, 5, 3)
    ),
)

_COLOUR_SLIPS = (
    (
        "grey first",
        "The channels are averaged before they are compared: then a red that becomes a green of the same light has not changed. "
        "Take SSIM of each channel, and average at the end.",
        _changed_to(**{"grey first": True}),
    ),
    (
        "first channel",
        "Only the first channel is compared. Take SSIM of each channel, and average at the end.",
        lambda case: ssim(case.but(x=case["x"][:, :1], x_adv=case["x_adv"][:, :1])),
    ),
)

SIMILARITY = (
    gives(ssim, _SLIPS, least=CLOSE, cases=digits_and_faint_ones),
    gives(ssim, _COLOUR_SLIPS, least=CLOSE, cases=in_colour),
)
