"""Input transformations against scikit-image, exact constructions and the laws of their draws; then under attack."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from nets import Function, images, linear
from skimage.restoration import denoise_tv_chambolle

from advcourse import data, models
from advcourse.attacks import BPDA
from advcourse.core.inputs import InputError, accuracy, predict
from advcourse.core.randomness import seeded
from advcourse.data import transformations
from advcourse.defenses import (
    BitDepthReduction,
    CropRescale,
    EnsembleInputTransformation,
    JPEGCompression,
    Quilting,
    TotalVariation,
)
from advcourse.defenses.input_transformation import smoothest
from advcourse.defenses.quilting import cheapest_path, join

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def clean():
    return data.load("mnist-5k", split="train").images[:1000]


def all_of_them(clean):
    return [
        CropRescale(20),
        BitDepthReduction(),
        JPEGCompression(),
        TotalVariation(),
        Quilting(clean[:50], patches=500),
    ]


# ---- what all keep ----


@pytest.mark.parametrize("which", range(5))
def test_what_all_transformations_keep(which, clean, digits):
    """The contract: shape, type and [0, 1] stay, also from outside and for no images; the caller's stay; the gradient is 0."""
    g, x = all_of_them(clean)[which], digits[0][:4]
    before = x.clone()
    changed = g(x)
    assert changed.shape == x.shape and changed.dtype == x.dtype and not changed.requires_grad
    assert changed.min() >= 0 and changed.max() <= 1 and not torch.equal(changed, x)
    assert torch.equal(x, before) and g(x[:0]).shape == x[:0].shape
    if which:
        outside = g(2 * x - 0.5)
        assert outside.min() >= 0 and outside.max() <= 1
        asked = x.clone().requires_grad_()
        assert torch.autograd.grad(g(asked).sum(), asked)[0].eq(0).all()


@pytest.mark.parametrize("which", [0, 3, 4])
def test_draws_are_fresh_follow_from_the_global_state_and_can_be_fixed(which, clean, digits):
    """Against second calls: two calls differ, a seeded pair repeats, and a seed of its own gives the same images every time."""
    g, x = all_of_them(clean)[which], digits[0][:4]
    assert not torch.equal(g(x), g(x))
    assert not torch.equal(g(x[:1].repeat(2, 1, 1, 1))[0], g(x[:1].repeat(2, 1, 1, 1))[1])
    pairs = []
    for _ in range(2):
        with seeded(CPU, 3):
            pairs.append((g(x), g(x)))
    assert all(torch.equal(a, b) for a, b in zip(*pairs)) and not torch.equal(*pairs[0])
    fixed = [CropRescale(20, seed=1), 0, 0, TotalVariation(seed=1), Quilting(clean, seed=1)][which]
    state = torch.get_rng_state()
    assert torch.equal(fixed(x), fixed(x)) and torch.equal(torch.get_rng_state(), state)


# ---- one by one ----


def test_crops_are_uniform_over_the_places():
    """Against the law: of a 3 x 3 image whose pixels are their numbers, crops of 1 pixel are each of the 9 equally often."""
    x = torch.arange(9.0).view(1, 1, 3, 3).repeat(9000, 1, 1, 1) / 8
    torch.manual_seed(0)
    crops = CropRescale(1)(x)
    assert torch.allclose(crops, crops[:, :, :1, :1].expand_as(crops))
    counts = (8 * crops[:, 0, 0, 0]).round().long().bincount(minlength=9)
    assert (counts - 1000).square().sum() / 1000 < 26.1  # chi squared, 8 degrees of freedom, p = 0.001


def test_a_crop_is_a_window_and_the_whole_is_the_image():
    """Against torch's interpolation of each of the four windows of 3 of 4 pixels; and a crop of all is the image itself."""
    x = images(1, (2, 4, 4)).repeat(20, 1, 1, 1)
    windows = [x[:1, :, i : i + 3, j : j + 3] for i, j in product(range(2), range(2))]
    windows = [torch.nn.functional.interpolate(w, size=(4, 4), mode="bilinear") for w in windows]
    torch.manual_seed(0)
    seen = [[torch.allclose(crop, w[0]) for w in windows].index(True) for crop in CropRescale(3)(x)]
    assert set(seen) == {0, 1, 2, 3} and torch.allclose(CropRescale(4)(x), x)


def test_the_crops_gradient_is_its_own():
    """Against finite differences in float64, the places fixed."""
    x = images(2, (1, 4, 4), dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(CropRescale(3, seed=2), x)


@pytest.mark.parametrize("bits", range(1, 9))
def test_trap_three_quantisers_disagree(bits):
    """Against all three, by hand: ours has 2^bits levels with black and white, the authors' one more, the break's no white."""
    x = torch.linspace(0, 1, 2**10 + 1, dtype=torch.float64).view(1, 1, 1, -1)
    ours = BitDepthReduction(bits)(x)
    authors = (2**bits * x).round() / 2**bits
    cut = (x * 255).floor().div(2 ** (8 - bits)).floor() * 2 ** (8 - bits) / 255
    levels = torch.arange(2**bits, dtype=torch.float64) / (2**bits - 1)
    assert torch.equal(ours.unique(), levels)
    assert len(authors.unique()) == 2**bits + 1 and len(cut.unique()) == 2**bits
    assert (ours - x).abs().max() <= 0.5 / (2**bits - 1) + 1e-12
    assert not torch.equal(ours, authors)
    assert (cut.max() < 1 and (cut <= x + 1e-12).all()) or bits == 8


def test_jpeg_is_that_of_the_common_transformations(digits):
    """Against `transformations.JPEG`, which is tested against Pillow, at the paper's quality of 75."""
    assert torch.equal(JPEGCompression()(digits[0]), transformations.JPEG(75)(digits[0]))


@pytest.mark.parametrize("weight", [0.01, 0.03, 0.2])
def test_total_variation_without_dropped_pixels_is_scikit_images(weight, digits):
    """Against scikit-image's solver of the same problem, Chambolle's of 2004, run until nothing changes."""
    x = digits[0][:5].double()
    found = smoothest(x, torch.ones_like(x), weight, 5000)
    for ours, image in zip(found, x):
        expected = denoise_tv_chambolle(image[0].numpy(), weight=weight, eps=1e-9, max_num_iter=5000)
        assert np.abs(ours[0].numpy() - expected).max() < 2e-3


def objective(z, x, mask, weight):
    rows, columns = torch.zeros_like(z), torch.zeros_like(z)
    rows[:, :, :-1], columns[..., :-1] = z.diff(dim=2), z.diff(dim=3)
    return (mask * (z - x)).square().sum() / 2 + weight * (rows**2 + columns**2).sqrt().sum()


def test_total_variation_with_dropped_pixels_is_minimal(digits):
    """Against the objective itself: 100 iterations come within three thousandths of 5000, and no image near those is lower."""
    x = digits[0][:1].double()
    mask = (torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) < 0.5).double()
    best = smoothest(x, mask, 0.03, 5000)
    lowest = objective(best, x, mask, 0.03)
    assert (
        objective(smoothest(x, mask, 0.03, 100), x, mask, 0.03) < 1.003 * lowest < objective(x, x, mask, 0.03)
    )
    for seed, size in product(range(5), (1e-1, 1e-2, 1e-3)):
        other = best + size * torch.randn(x.shape, generator=torch.Generator().manual_seed(seed)).double()
        assert objective(other, x, mask, 0.03) > lowest


def test_trap_dropped_pixels_leave_no_trace():
    """Against an image that differs in the dropped pixels alone: the same answer; half of the pixels are dropped."""
    x = images(20, (3, 10, 10))
    black, white = (TotalVariation(seed=0)(torch.full_like(x, value)) for value in (0.0, 1.0))
    assert black.eq(0).all() and torch.allclose(white, torch.ones_like(white), atol=0.01)
    mask = (torch.rand(20, 1, 10, 10, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    other = mask * x + (1 - mask) * images(20, (3, 10, 10), seed=9)
    assert torch.equal(TotalVariation(seed=0)(x), TotalVariation(seed=0)(other))
    assert abs(mask.mean() - 0.5) < 4 * 0.5 / math.sqrt(mask.numel())


# ---- quilting ----


def test_seams_are_the_cheapest_of_all():
    """Against every path of 5 rows through 3 columns, tried one by one."""
    costs = torch.rand(30, 5, 3, generator=torch.Generator().manual_seed(0))
    paths = [p for p in product(range(3), repeat=5) if max(abs(a - b) for a, b in zip(p, p[1:])) <= 1]
    for cost, found in zip(costs, cheapest_path(costs)):
        sums = [sum(cost[row, column] for row, column in enumerate(path)) for path in paths]
        assert tuple(found.tolist()) == paths[int(np.argmin(sums))]


def test_patches_meet_where_they_agree():
    """By hand: old and new agree in column 1 of the first row and column 0 of the others, so the seam runs there."""
    old, new = torch.zeros(1, 1, 3, 3), torch.ones(1, 1, 3, 3)
    old[0, 0, 0, 1] = 1
    old[0, 0, 1:, 0] = 1
    joined = join(old, new, 0, 2)
    assert torch.equal(joined[0, 0], torch.tensor([[0.0, 1, 1], [1, 1, 1], [1, 1, 1]]))
    assert torch.equal(join(old, new, 0, 0), new)
    assert torch.equal(join(old.transpose(2, 3), new, 2, 0), joined.transpose(2, 3))


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 11)])
def test_an_image_is_its_own_quilt(shape):
    """Against the image itself: where its own patches are in the database and the nearest is taken, nothing changes."""
    x = images(1, shape)
    places = (shape[1] - 4) * (shape[2] - 4)
    assert torch.allclose(Quilting(x, patches=places, nearest=1)(x), x)


def test_a_quilt_has_clean_pixels_alone(clean):
    """Against the database: each pixel of a quilt of noise stands in a clean image; K draws among the K nearest, evenly."""
    two_levels = clean[:50].round()
    assert set(Quilting(two_levels, patches=500)(images(3, (1, 28, 28))).unique().tolist()) <= {0.0, 1.0}
    flat = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 1, 5, 5) / 5
    torch.manual_seed(0)
    quilts = Quilting(flat, patches=6, nearest=3)(torch.zeros(300, 1, 5, 5))[:, 0, 0, 0]
    values, counts = quilts.unique(return_counts=True)
    assert torch.allclose(values, torch.tensor([0.0, 0.2, 0.4])) and counts.min() > 65


def test_the_blend_by_hand():
    """Against two flat patches, of 0 and 1, and an image of 0.25: 2 apart in squared distance, so weighed as 1 to exp(-2 / T).

    Candidates beyond the patches that there are change nothing, and with the nearest alone the blend is that one.
    """
    flat = torch.arange(2.0).view(2, 1, 1, 1).expand(2, 1, 2, 2)
    quilting, x = Quilting(flat, patches=2, size=2, overlap=1, nearest=1), torch.full((1, 1, 3, 5), 0.25)
    for temperature in (0.5, 2.0):
        share = 1 / (1 + math.exp(2 / temperature))
        torch.testing.assert_close(quilting.blend(x, temperature), torch.full_like(x, share))
    assert quilting.blend(x, candidates=1).equal(torch.zeros_like(x))


def test_the_blend_is_smooth_and_cools_to_the_quilt():
    """Against finite differences, and, where patches do not overlap, against the quilt itself."""
    quilting = Quilting(images(3, (2, 8, 8)).double(), patches=30, size=4, overlap=0, nearest=1)
    x = images(2, (2, 8, 8), seed=1).double()
    torch.testing.assert_close(quilting.blend(x, 1e-4), quilting(x), rtol=0, atol=1e-12)
    assert torch.autograd.gradcheck(quilting.blend, x[:1, :, :4, :4].clone().requires_grad_())


# ---- the ensemble ----


def test_the_ensemble_is_the_mean_of_the_softmaxes():
    """Against probabilities averaged by hand in float64: first over a transformation's draws, then over transformations."""
    model, x = linear(3, (1, 6, 6)), images(5, (1, 6, 6), dtype=torch.float64)

    class Shifts:
        draws = 3

        def __init__(self):
            self.calls = 0

        def __call__(self, x):
            self.calls += 1
            return x.roll(self.calls, 3)

    found = EnsembleInputTransformation(model, [BitDepthReduction(2), Shifts()])(x)
    shifted = sum(model(x.roll(k, 3)).softmax(1) for k in (1, 2, 3)) / 3
    expected = (model((3 * x).round() / 3).softmax(1) + shifted) / 2
    assert torch.allclose(found.exp(), expected, rtol=1e-10)


def test_sure_answers_keep_their_gradients():
    """Against the log-softmax: logits of thousands, whose probabilities underflow, stay finite, and so does their gradient."""
    model, x = linear(3), images(4, (1, 6, 6), dtype=torch.float64).requires_grad_()
    defense = EnsembleInputTransformation(
        Function(lambda x: 1e4 * model(x)), [BPDA(BitDepthReduction(8))] * 2
    )
    logits = defense(x)
    gradient = torch.autograd.grad((logits[:, 0] - logits[:, 1]).sum(), x)[0]
    assert logits.isfinite().all() and torch.allclose(
        gradient, (1e4 * (model.weight[0] - model.weight[1])).view(1, 1, 6, 6).expand_as(x)
    )


def test_the_default_is_the_papers_four_and_serves_images_as_the_model_does(digits):
    """Against the paper's settings, and the bar of a digit model: at most two of 30 digits more are wrong."""
    x, y = digits
    model = models.load("mnist-cnn")
    defense = EnsembleInputTransformation(model)
    assert defense.transformations == (
        CropRescale(26, 30),
        BitDepthReduction(3),
        JPEGCompression(75),
        TotalVariation(0.5, 0.03),
    )
    torch.manual_seed(0)
    assert accuracy(defense, x, y) >= accuracy(model, x, y) - 2 / 30
    assert torch.allclose(predict(defense, x).exp().sum(1), torch.ones(30), atol=1e-5)


# ---- arguments ----


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: CropRescale(0), "size: got 0"),
        (lambda: CropRescale(draws=0), "draws: got 0"),
        (lambda: CropRescale(seed=-1), "seed: got -1"),
        (lambda: CropRescale(7)(images(1, (1, 6, 6))), "size: got 7; allowed is at most the images' 6 x 6"),
        (lambda: BitDepthReduction(0), "bits: got 0; allowed is an integer >= 1 and <= 8"),
        (lambda: BitDepthReduction(9), "bits: got 9"),
        (lambda: JPEGCompression(0), "quality: got 0"),
        (lambda: TotalVariation(keep=0), "keep: got 0; allowed is a number > 0 and <= 1"),
        (lambda: TotalVariation(weight=-1), "weight: got -1"),
        (lambda: TotalVariation(iterations=0), "iterations: got 0"),
        (lambda: Quilting(images(2) * 255), "images: got values"),
        (lambda: Quilting(images(2)[:0]), "images: got none"),
        (lambda: Quilting(images(2, (1, 4, 4))), "images: got images of 4 x 4 pixels"),
        (lambda: Quilting(images(2), size=5, overlap=5), "overlap: got 5"),
        (lambda: Quilting(images(2), patches=33), "patches: got 33; allowed is an integer >= 1 and <= 32"),
        (lambda: Quilting(images(2), patches=9, nearest=10), "nearest: got 10"),
        (lambda: Quilting(images(2), patches=9, nearest=1).blend(images(1), 0), "temperature: got 0; allowed is"),
        (lambda: Quilting(images(2), patches=9, nearest=1).blend(images(1), 1, 0), "candidates: got 0"),
        (lambda: Quilting(images(2), patches=9, nearest=1)(images(1, (3, 8, 8))), "x: got images of 3 channels"),
        (lambda: Quilting(images(2), patches=9, nearest=1)(images(1, (1, 4, 8))), "x: got images of 4 x 8 pixels"),
        (lambda: EnsembleInputTransformation(abs), "model: got .*allowed is a torch.nn.Module"),
        (lambda: EnsembleInputTransformation(linear(), []), "transformations: got .*one or more"),
        (lambda: EnsembleInputTransformation(linear(), ["JPEG"]), "transformations: got .*functions of images"),
    ],
)  # fmt: skip
def test_bad_arguments_are_named(make, message):
    """Against one bad argument at a time; the error names it."""
    with pytest.raises(InputError, match=message):
        make()
