"""Image transformations against scipy's filter, Pillow's codec and the laws of the noise."""

import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from scipy import ndimage, stats

from advcourse import data
from advcourse.core.inputs import InputError
from advcourse.data.transformations import JPEG, STANDARD, EightBit, GaussianBlur, GaussianNoise

ALL = (*STANDARD, EightBit())
IDS = [transformation.name for transformation in ALL]


@pytest.fixture(scope="module", params=["mnist-5k", "signs"])
def images(request):
    """Twenty images of one channel, and twenty of three."""
    return data.load(request.param, split="test").images[:20]


def levels(x):
    """Pixels as numbers from 0 to 255, (N, C, H, W)."""
    return (255 * x.double()).round().numpy()


def by_pillow(x, change):
    """`change` of each 8-bit image as a Pillow image, as numbers from 0 to 255."""
    changed = []
    for pixels in levels(x).astype(np.uint8).transpose(0, 2, 3, 1):
        array = np.asarray(change(Image.fromarray(pixels.squeeze()))).astype(float)
        changed.append(array.reshape(pixels.shape).transpose(2, 0, 1))
    return np.stack(changed)


def test_names_and_settings():
    """The names and defaults that tables and reports show, written out by hand."""
    assert IDS == ["Gaussian noise 0.1", "Gaussian blur 0.5", "JPEG 90", "8 bit"]
    assert STANDARD == (GaussianNoise(std=0.1, seed=0), GaussianBlur(radius=0.5), JPEG(quality=90))
    assert repr(JPEG(75)) == "JPEG(quality=75)" and JPEG(75).name == "JPEG 75"


@pytest.mark.parametrize("transformation", ALL, ids=IDS)
def test_what_all_transformations_keep(transformation, images):
    """The contract: shape, type and the unit interval stay, the caller's images and the random state too; no graph."""
    x, before = images.clone().requires_grad_(), torch.get_rng_state()
    changed = transformation(x)
    assert changed.shape == x.shape and changed.dtype == x.dtype and not changed.requires_grad
    assert changed.min() >= 0 and changed.max() <= 1
    assert torch.equal(x, images) and torch.equal(torch.get_rng_state(), before)
    assert torch.equal(changed, transformation(images))
    assert transformation(images.half()).dtype == torch.float16
    assert transformation(images[:0]).shape == images[:0].shape


@pytest.mark.parametrize("transformation", ALL, ids=IDS)
def test_a_batch_in_chunks_gives_the_same_images(transformation, images):
    """The same images in chunks of 7, each at its place: equal bit for bit."""
    parts = [transformation(images[i : i + 7], first=i) for i in range(0, 20, 7)]
    assert torch.equal(torch.cat(parts), transformation(images))


def test_noise_is_normal_where_nothing_is_clipped():
    """Kolmogorov-Smirnov against the normal law of the stated deviation, on grey images far from 0 and 1."""
    grey = torch.full((40, 3, 16, 16), 0.5, dtype=torch.float64)
    noise = (GaussianNoise(std=0.05, seed=4)(grey) - grey).flatten().numpy()
    assert stats.kstest(noise, stats.norm(scale=0.05).cdf).pvalue > 0.01
    assert noise.std() == pytest.approx(0.05, rel=4 / math.sqrt(2 * noise.size))  # four standard errors


def test_noise_is_clipped_and_follows_from_seed_and_place():
    """By hand: about half of the noise on black is cut off; another place or seed has other noise."""
    black = torch.zeros(2, 1, 40, 40)
    noise = GaussianNoise(seed=1)(black)
    half = (noise == 0).double().mean().item()
    assert abs(half - 0.5) < 4 * math.sqrt(0.25 / noise.numel())
    assert not torch.equal(noise[0], noise[1])
    assert not torch.equal(noise, GaussianNoise(seed=2)(black))
    assert torch.equal(noise[1:], GaussianNoise(seed=1)(black[1:], first=1))


@pytest.mark.parametrize("radius", [0.5, 1.3])
def test_blur_equals_scipys_gaussian_filter(radius, images):
    """scipy.ndimage.gaussian_filter of the 8-bit image, mirrored at the edge, of images that are not 8 bit themselves."""
    images = 0.7 * images
    reach, sides = math.ceil(4 * radius), (0, 0, 1, 1)
    truth = ndimage.gaussian_filter(
        levels(images),
        [side * radius for side in sides],
        radius=[side * reach for side in sides],
        mode="mirror",
    )
    # No more than rounding away; where the sum lies at a half, either level is right.
    assert np.abs(levels(GaussianBlur(radius)(images)) - truth).max() <= 0.5 + 1e-9


def test_blur_is_as_strong_as_pillows(images):
    """DEEPSEC's blur is Pillow's box approximation: less than a level apart on the mean, of 255."""
    truth = by_pillow(images, lambda image: image.filter(ImageFilter.GaussianBlur(0.5)))
    blurred = levels(GaussianBlur(0.5)(images))
    assert np.abs(blurred - truth).mean() < 1 < np.abs(levels(images) - truth).mean()


@pytest.mark.filterwarnings("ignore")  # newer versions of torchvision say that their codec will go
@pytest.mark.parametrize("quality", [90, 30])
def test_jpeg_equals_torchvisions(quality, images):
    """torchvision's own codec at that quality; another build of libjpeg may round a level differently."""
    io = pytest.importorskip("torchvision.io")
    images = 0.7 * images  # no longer 8 bit: they are rounded, not cut off
    pixels = (255 * images.double()).round().to(torch.uint8)
    truth = np.stack([io.decode_jpeg(io.encode_jpeg(one, quality)).numpy() for one in pixels])
    assert np.abs(levels(JPEG(quality)(images)) - truth).max() <= 1
    assert np.abs(levels(images) - truth).max() > 1


def test_eight_bit_rounds_to_the_nearest_level():
    """By hand: 0.4 of a level is lost, 0.6 is a level; on images that are 8 bit it changes nothing."""
    x = torch.tensor([0.0, 0.4, 0.6, 100.4, 254.6, 255.0], dtype=torch.float64).view(1, 1, 1, 6) / 255
    rounded = EightBit()(x)
    assert (255 * rounded).round().flatten().tolist() == [0, 0, 1, 100, 255, 255]
    assert torch.equal(EightBit()(rounded), rounded)


SMALL = torch.zeros(1, 2, 3, 3)
BAD = {
    "negative noise": (lambda: GaussianNoise(std=-1), r"std: got -1; allowed is a number >= 0"),
    "seed of a half": (lambda: GaussianNoise(seed=0.5), r"seed: got 0.5; allowed is an integer >= 0"),
    "no radius": (lambda: GaussianBlur(0), r"radius: got 0; allowed is a number > 0"),
    "a blur wider than the image": (
        lambda: GaussianBlur(1)(SMALL),
        r"radius: got 1, which reaches 4 .* 3 x 3",
    ),
    "quality in [0, 1]": (lambda: JPEG(0.9), r"quality: got 0.9; allowed is an integer >= 1 and <= 100"),
    "two channels": (lambda: JPEG()(SMALL), r"x: got images of 2 channels; JPEG allows 1 or 3"),
    "pixels to 255": (lambda: EightBit()(SMALL + 255), r"x: got values in \[255, 255\]; allowed is \[0, 1\]"),
    "place below 0": (lambda: EightBit()(SMALL, first=-1), r"first: got -1; allowed is an integer >= 0"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_refused_by_name(kind):
    """The expected sentence is written out by hand for each kind."""
    call, message = BAD[kind]
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.gpu
@pytest.mark.parametrize("transformation", ALL, ids=IDS)
def test_a_gpu_gives_the_cpus_images(transformation, images):
    """The images made on the CPU: at most one of 255 levels apart, where a sum lies at a half."""
    changed = transformation(images.cuda())
    assert changed.is_cuda
    assert (changed.cpu() - transformation(images)).abs().max() <= 1 / 255 + 1e-6
