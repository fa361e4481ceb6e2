"""Measures of an image's change against scikit-image, scipy and cases worked out by hand."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.metrics import structural_similarity
from torchmetrics.functional.image import structural_similarity_index_measure

from advcourse import data, metrics
from advcourse.core.inputs import InputError
from advcourse.core.intervals import counted


def pair(channels=3, n=4, size=(13, 9), seed=0):
    """Smooth random images with noise on them, (n, channels, *size), float32 in [0, 1]."""
    g = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, channels, 4, 4, generator=g)
    x = torch.nn.functional.interpolate(coarse, size, mode="bicubic").clamp(0, 1)
    return x, (x + 0.1 * torch.randn(x.shape, generator=g)).clamp(0, 1)


def by_scikit_image(x, x_adv, data_range):
    """scikit-image's SSIM with the same window, and variances divided by their number; it leaves out the border."""
    settings = {"win_size": 7, "gaussian_weights": False, "use_sample_covariance": False, "channel_axis": 0}
    pairs = zip(x.double().numpy(), x_adv.double().numpy())
    return [structural_similarity(a, b, data_range=data_range, **settings) for a, b in pairs]


def test_ssim_equals_torchmetrics_inside_the_border():
    """torchmetrics' map with the same window, less the three pixels at each edge where it mirrors the image."""
    x, x_adv = (images.double() for images in pair())
    settings = {"gaussian_kernel": False, "kernel_size": 7, "data_range": 1.0, "return_full_image": True}
    _, windows = structural_similarity_index_measure(x_adv, x, **settings)
    truth = windows[..., 3:-3, 3:-3].flatten(1).mean(1)
    assert metrics.ssim(x, x_adv).tolist() == pytest.approx(truth.tolist(), abs=1e-10)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("data_range", [1.0, 2.0])
def test_ssim_equals_scikit_images(channels, data_range):
    """scikit-image on float64 images; both sum 49 products in some order."""
    x, x_adv = pair(channels)
    truth = by_scikit_image(x, x_adv, data_range)
    assert metrics.ssim(x, x_adv, data_range).tolist() == pytest.approx(truth, abs=1e-10)


def test_ssim_on_digits_equals_scikit_images():
    """scikit-image again: large flat grounds, where both variances are 0, and more images than one chunk."""
    x = data.load("mnist-5k", split="test").images[:400]
    x_adv = (x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
    assert metrics.ssim(x, x_adv).tolist() == pytest.approx(by_scikit_image(x, x_adv, 1.0), abs=1e-10)


def test_ssim_of_one_window_by_hand():
    """An image of 7 x 7 has one window: Wang et al.'s formula with numpy's means, variances and covariance."""
    x, x_adv = pair(1, n=1, size=(7, 7))
    a, b = x.double().numpy().ravel(), x_adv.double().numpy().ravel()
    c1, c2 = 0.01**2, 0.03**2
    covariance = ((a - a.mean()) * (b - b.mean())).mean()
    truth = (2 * a.mean() * b.mean() + c1) * (2 * covariance + c2)
    truth /= (a.mean() ** 2 + b.mean() ** 2 + c1) * (a.var() + b.var() + c2)
    assert metrics.ssim(x, x_adv).item() == pytest.approx(truth, abs=1e-12)


def test_ssim_takes_the_stated_range_and_not_the_images_own():
    """By hand on flat images: (2ab + c1) / (a^2 + b^2 + c1), c1 = 0.0001, though the pixels span only 0.1."""
    x, x_adv = (torch.full((1, 1, 9, 9), level, dtype=torch.float64) for level in (0.4, 0.5))
    assert metrics.ssim(x, x_adv).item() == pytest.approx(0.4001 / 0.4101, abs=1e-12)


def test_ssim_with_the_range_of_another_scale_is_biased_down():
    """DEEPSEC's slip: pixels to 255 with R = 2, as old scikit-image took floats; scikit-image shows what it costs, and here it is
    refused. With R = 255 the scale makes no difference."""
    flat = torch.full((1, 1, 9, 9), 0.5)
    noisy = flat + 0.02 * torch.randn(flat.shape, generator=torch.Generator().manual_seed(0))
    right = metrics.ssim(flat, noisy).item()
    assert metrics.ssim(255 * flat, 255 * noisy, data_range=255).item() == pytest.approx(right, abs=1e-6)
    assert by_scikit_image(255 * flat, 255 * noisy, 2.0)[0] < 0.01 < 0.5 < right
    with pytest.raises(
        InputError, match=r"x: got values in \[127.5, 127.5\]; allowed is \[0, 2\]: .*data_range=255"
    ):
        metrics.ssim(255 * flat, 255 * noisy, data_range=2)


def test_ssim_makes_up_no_border():
    """By hand: a corner pixel lies in one window of the 3 x 3 that fit into 9 x 9; mirrored borders would show it to 16."""
    x = torch.full((1, 1, 9, 9), 0.5).double()
    x_adv = x.clone()
    x_adv[..., 0, 0] = 1
    corner = metrics.ssim(x[..., :7, :7], x_adv[..., :7, :7]).item()
    assert metrics.ssim(x, x_adv).item() == pytest.approx((8 + corner) / 9, abs=1e-12)


# s by hand: mirrored, the neighbourhood of a pixel of 2 x 2 has the other column twice and its own once in each row,
# so the first channel has six of one value and three of the other, p = 1/3, s = sqrt(2) / 3; the second is flat, s = 0.
CLEAN = torch.tensor([[[[0.0, 1.0], [0.0, 1.0]], [[0.5, 0.5], [0.5, 0.5]]]], dtype=torch.float64)
BUSY = torch.tensor([[[[0.3, 1.0], [0.0, 0.8]], [[0.5, 0.5], [0.5, 0.5]]]], dtype=torch.float64)
FLAT = torch.tensor([[[[0.3, 1.0], [0.0, 0.8]], [[0.5, 0.6], [0.5, 0.5]]]], dtype=torch.float64)


def test_psd_by_hand_bounded():
    """0.3 and 0.2 in the busy channel count 1 - sqrt(2) / 3 each, 0.1 in the flat one counts whole."""
    busy = 0.5 * (1 - math.sqrt(2) / 3)
    assert metrics.psd(CLEAN, BUSY).item() == pytest.approx(busy, abs=1e-12)
    assert metrics.psd(CLEAN, FLAT).item() == pytest.approx(busy + 0.1, abs=1e-12)


def test_psd_by_hand_inverse():
    """0.5 times 3 / sqrt(2); what is unchanged counts nothing although 1 / s is infinite; a changed flat place is infinite."""
    assert metrics.psd(CLEAN, BUSY, "inverse").item() == pytest.approx(1.5 / math.sqrt(2), abs=1e-12)
    assert metrics.psd(CLEAN, FLAT, "inverse").item() == math.inf
    assert metrics.psd(CLEAN, CLEAN, "inverse").item() == 0


def test_psd_of_flat_grey_is_infinite_for_every_level():
    """Deviations of nine equal numbers are 0, not what rounding leaves of them: 1 / s is inf, not 1e8."""
    level = torch.linspace(0, 1, 256).view(-1, 1, 1, 1).expand(-1, 1, 4, 4)
    assert metrics.psd(level, level.flip(0), "inverse").isinf().all()
    assert torch.equal(metrics.psd(level, level.flip(0)), metrics.l1(level, level.flip(0)))


@pytest.mark.parametrize("channels", [1, 3])
def test_psd_takes_the_deviations_of_the_clean_image_by_channel(channels):
    """scipy's generic filter with numpy.std over 3 x 3, mirrored, on each channel of the clean image."""
    x, x_adv = pair(channels)
    clean, change = x.double().numpy(), np.abs(x_adv.double().numpy() - x.double().numpy())
    s = np.array(
        [[ndimage.generic_filter(c, np.std, size=3, mode="mirror") for c in image] for image in clean]
    )
    np.testing.assert_allclose(metrics.psd(x, x_adv), (change * (1 - s)).sum((1, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(metrics.psd(x, x_adv, "inverse"), (change / s).sum((1, 2, 3)), rtol=1e-9)


def test_l0_on_rounded_images_leaves_out_what_a_file_loses():
    """By hand: one pixel moves by 0.4 of a level, one by 0.6 in two channels, one by three levels in one."""
    x = torch.full((1, 3, 2, 2), 100 / 255, dtype=torch.float64)
    x_adv = x.clone()
    x_adv[0, 0, 0, 0] += 0.4 / 255
    x_adv[0, :2, 0, 1] -= 0.6 / 255
    x_adv[0, 2, 1, 0] += 3 / 255
    assert metrics.l0(x, x_adv).item() == 3 and metrics.l0(x, x_adv, per="channel").item() == 4
    assert metrics.l0(x, x_adv, rounded=True).item() == 2
    assert metrics.l0(x, x_adv, per="channel", rounded=True).item() == 3


def test_median_with_failures_does_not_flatter_a_weak_attack():
    """By hand: the weak attack's mean over successes is the smallest, and its median with failures infinite."""
    weak, strong = torch.tensor([0.1, 9, 9, 9, 9]), torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5])
    few, all_of_them = torch.tensor([True, False, False, False, False]), torch.ones(5, dtype=torch.bool)
    assert metrics.mean_over_successes(weak, few) < metrics.mean_over_successes(strong, all_of_them)
    assert metrics.median_with_failures(weak, few) == math.inf
    assert metrics.median_with_failures(strong, all_of_them) == pytest.approx(0.3)


def test_estimates_by_hand():
    """Two of three flags are 2 of 3. Failures are infinite, so of three sizes and two failures the third is the median."""
    flags = [True, False, True]
    for given in (torch.tensor(flags), np.array(flags)):
        assert metrics.share_with_interval(given) == counted(2, 3)
    success = torch.tensor([True, True, True, False, False])
    median = metrics.median_with_interval(torch.tensor([3.0, 1.0, 2.0, 0.0, 0.0]), success)
    assert (median.value, median.low, median.high, median.n) == (3, 1, math.inf, 5)
    for nothing in (
        metrics.share_with_interval(success[:0]),
        metrics.median_with_interval(torch.zeros(0), success[:0]),
    ):
        assert math.isnan(nothing.value) and nothing.n == 0
    with pytest.raises(InputError, match="flags: got torch.int64; allowed is bool"):
        metrics.share_with_interval(torch.tensor([1, 0]))


def test_median_with_failures_by_hand():
    """Three of five succeed: the third smallest; two of four: half-way to infinity is infinity; of none: NaN."""
    yes = torch.tensor([True, True, False, True, False])
    assert metrics.median_with_failures(torch.tensor([3.0, 1.0, 0.0, 2.0, 0.0]), yes) == 3
    assert metrics.median_with_failures(torch.arange(4.0), yes[1:]) == math.inf
    assert metrics.median_with_failures(np.arange(4.0), np.ones(4, dtype=bool)) == 1.5
    assert math.isnan(metrics.median_with_failures(torch.zeros(0), yes[:0]))


@pytest.mark.parametrize("measure", [metrics.ssim, metrics.psd])
def test_memory_stays_within_a_few_times_the_batch(measure):
    """2000 digits are 12 MiB in float64; what SSIM and PSD make of all at once is 15 to 20 times that."""
    x = torch.rand(2000, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    measure(x[:20], x[:20])  # what is imported and set up once is not counted
    with metrics.PeakMemory() as memory:
        measure(x, 1 - x)
    assert memory.mib < 4 * x.numel() * 8 / 2**20


DISTANCES = (metrics.l0, metrics.l1, metrics.l2, metrics.linf)
IN_RANGE = (metrics.ssim, metrics.psd, partial(metrics.l0, rounded=True))


@pytest.mark.parametrize("measure", [*DISTANCES, *IN_RANGE])
def test_no_images_give_no_values(measure):
    """The contract for N = 0: shape (0,), float64."""
    x = torch.zeros(0, 3, 9, 9)
    assert measure(x, x).shape == (0,) and measure(x, x).dtype == torch.float64


@pytest.mark.parametrize("measure", [*DISTANCES, *IN_RANGE])
@pytest.mark.parametrize("first", [True, False], ids=["x", "x_adv"])
def test_what_is_no_image_is_refused_by_every_measure(measure, first):
    """Sentences written out by hand. Unchecked, a NaN pixel counted as unchanged in L0, and 0..255 gave a PSD of -86524."""
    x, name = torch.full((1, 1, 9, 9), 0.5), "x" if first else "x_adv"
    lost, wild = x.clone(), x.clone()
    lost[0, 0, 3, 3], wild[0, 0, 3, 3] = math.nan, -math.inf
    bad = {
        f"{name}: got NaN or infinite values; allowed are finite numbers": (lost, wild),
        f"{name}: got .*type torch.uint8; allowed are floating-point images .divide 0..255": (
            (255 * x).byte(),
        ),
        f"{name}: got a tensor of shape .1, 9, 9. .*; for one image use x.unsqueeze.0.": (x[0],),
        f"{name}: got .*ndarray.*; allowed is a torch.Tensor": (x.numpy(),),
    }
    if measure in IN_RANGE:
        bad[f"{name}: got values in .*; allowed is .0, 1.: divide pixels of 0..255"] = (
            255 * x,
            x - 0.6,
            x + 0.5001,
        )
    for sentence, images in bad.items():
        for image in images:
            with pytest.raises(InputError, match=sentence):
                measure(*((image, x) if first else (x, image)))


@pytest.mark.parametrize("measure", DISTANCES)
def test_a_distance_is_also_that_of_images_that_were_not_clipped(measure):
    """By hand: one of 81 pixels leaves the range, from 0.5 to 1.75; all numbers are exact in binary."""
    x = torch.full((1, 1, 9, 9), 0.5)
    far = x.clone()
    far[0, 0, 3, 3] = 1.75
    assert measure(x, far).item() == (1 if measure is metrics.l0 else 1.25)


@pytest.mark.parametrize("measure", [*DISTANCES, *IN_RANGE])
def test_half_precision_is_measured_in_float64(measure):
    """The same pixels in float64, which holds every bfloat16 number."""
    x, x_adv = (images.bfloat16() for images in pair())
    assert torch.equal(measure(x, x_adv), measure(x.double(), x_adv.double()))


X = torch.zeros(2, 1, 6, 6)
BAD = {
    "smaller than the window": (
        lambda: metrics.ssim(X, X),
        r"x: got shape \(2, 1, 6, 6\).* H and W at least 7",
    ),
    "no range": (
        lambda: metrics.ssim(X, X, data_range=None),
        r"data_range: got None; allowed is a number > 0",
    ),
    "other shapes": (lambda: metrics.psd(X, X[:1]), r"x_adv: got shape \(1, 1, 6, 6\)"),
    "one image": (
        lambda: metrics.psd(X[0], X[0]),
        r"x: got a tensor of shape \(1, 6, 6\) .*allowed is shape \(N, C, H, W\)",
    ),
    "unknown sensitivity": (
        lambda: metrics.psd(X, X, "paper"),
        r"sensitivity: got 'paper'; allowed are 'bounded', 'inverse'",
    ),
    "a success without a value": (
        lambda: metrics.mean_over_successes(torch.tensor([math.nan, 1]), torch.tensor([True, True])),
        r"values: got NaN for 1 successes; allowed are numbers",
    ),
    "a median over NaN": (
        lambda: metrics.median_with_failures(torch.tensor([math.nan, 1]), torch.tensor([True, True])),
        r"values: got NaN for 1 successes; allowed are numbers",
    ),
    "success of another length": (
        lambda: metrics.median_with_failures(torch.ones(3), torch.ones(2, dtype=torch.bool)),
        r"success: got 2 values; allowed are 3",
    ),
    "success as numbers": (
        lambda: metrics.mean_over_successes(torch.ones(3), torch.ones(3)),
        r"success: got torch.float32; allowed is bool",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_refused_by_name(kind):
    """The expected sentence is written out by hand for each kind."""
    call, message = BAD[kind]
    with pytest.raises(InputError, match=message):
        call()
