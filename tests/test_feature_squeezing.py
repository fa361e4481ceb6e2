"""Feature squeezing: the squeezers against other libraries, the score by hand, what it sees, and what gets past it."""

import numpy as np
import pytest
import torch
from nets import Function, images, linear
from scipy import ndimage
from skimage.restoration import denoise_nl_means

from advcourse import data, models
from advcourse.attacks import CWL2, EAD, FGSM, PGD
from advcourse.core.inputs import InputError, predict
from advcourse.defenses import FeatureSqueezing
from advcourse.defenses.squeezing import COLOUR, DIGITS, BitDepth, MedianFilter, NonLocalMeans
from advcourse.metrics import attacker_win_rate

# ---- squeezers ----


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("shape", [(1, 9, 7), (3, 6, 6)])
def test_the_median_is_that_of_scipy(size, shape):
    """Against `scipy.ndimage.median_filter`, mode "reflect", bit for bit: odd and even windows, the border too."""
    x = images(4, shape, seed=size)
    expected = np.stack([[ndimage.median_filter(c, size, mode="reflect") for c in one] for one in x.numpy()])
    assert np.array_equal(MedianFilter(size)(x).numpy(), expected)


def test_the_tie_rule_of_an_even_window_is_the_upper_middle():
    """By hand: of 1, 2, 3, 4 tenths the third; a window reaches up and left, so that the corner sees itself four times."""
    x = torch.tensor([[0.1, 0.2], [0.3, 0.4]]).view(1, 1, 2, 2)
    assert MedianFilter(2)(x).flatten().tolist() == pytest.approx([0.1, 0.2, 0.3, 0.3])


def test_bits_round_to_their_levels():
    """By hand: one bit rounds at 0.5, and 0.5 itself to 0; two bits have the levels 0, 1/3, 2/3, 1; eight keep 8-bit images."""
    x = torch.tensor([0.0, 0.1, 0.499, 0.5, 0.501, 0.84, 1.0]).view(1, 1, 1, 7)
    assert BitDepth(1)(x).flatten().tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert (3 * BitDepth(2)(x)).flatten().tolist() == pytest.approx([0, 0, 1, 2, 2, 3, 3])
    eight = torch.arange(256).view(1, 1, 16, 16) / 255
    assert torch.equal(BitDepth(8)(eight), eight)


def test_non_local_means_are_those_of_scikit_image():
    """Against a direct call, image by image, with its exact sums; a strength in 8-bit levels. Beside it the noise shrinks."""
    flat = torch.full((2, 3, 16, 16), 0.5) + 0.004 * torch.randn(
        2, 3, 16, 16, generator=torch.Generator().manual_seed(0)
    )
    smooth = NonLocalMeans(13, 3, 2)(flat)
    for one, found in zip(flat.double().numpy(), smooth):
        exact = denoise_nl_means(one, 3, 6, 2 / 255, channel_axis=0, fast_mode=False)
        assert np.abs(found.numpy() - exact).max() < 2e-3
    assert smooth.std() < 0.7 * flat.std() and smooth.dtype == flat.dtype
    assert NonLocalMeans()(flat[:0]).shape == (0, 3, 16, 16)


@pytest.mark.parametrize("squeeze", [BitDepth(1), BitDepth(5), NonLocalMeans()], ids=repr)
def test_what_has_no_gradient_lets_it_through(squeeze):
    """Against the identity: the gradient of <squeeze(x), v> is v, and the values are those without a graph."""
    x, v = images(2, (3, 16, 16)), images(2, (3, 16, 16), seed=1)
    plain = squeeze(x)
    (gradient,) = torch.autograd.grad((squeeze(x.requires_grad_()) * v).sum(), x)
    assert torch.equal(gradient, v) and torch.equal(squeeze(x).detach(), plain)


def test_the_gradient_of_the_median_is_exact():
    """Against finite differences in float64 (`gradcheck`), where no two pixels are equal."""
    x = images(1, (1, 4, 4), dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(MedianFilter(2), x)


# ---- the score ----


def test_the_score_is_the_largest_distance_of_the_answers():
    """By numpy, from the definition: max over the squeezers of the L1 distance of the softmaxes."""
    x, model = images(8), linear(4, (1, 8, 8), dtype=torch.float32)
    softmax = lambda z: np.exp(z) / np.exp(z).sum(1, keepdims=True)  # noqa: E731
    weight = model.weight.detach().numpy().astype(np.float64)
    answer = lambda pixels: softmax(pixels.reshape(8, -1).astype(np.float64) @ weight.T)  # noqa: E731
    pixels = x.numpy()
    squeezed = [np.rint(pixels), ndimage.median_filter(pixels, (1, 1, 2, 2), mode="reflect")]
    expected = [np.abs(answer(pixels) - answer(other)).sum(1) for other in squeezed]
    detector = FeatureSqueezing(model)
    assert detector.distances(x).detach().numpy() == pytest.approx(np.stack(expected, 1), abs=1e-5)
    assert detector.score(x).numpy() == pytest.approx(np.maximum(*expected), abs=1e-5)
    assert np.argmax(expected, 0).min() == 0 and np.argmax(expected, 0).max() == 1


def test_an_image_that_no_squeezer_changes_scores_0():
    """Against 0: black and white images, whose median 2 x 2 is themselves, are their own squeezed images."""
    x = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 8, 8)
    detector = FeatureSqueezing(linear(4, (1, 8, 8), dtype=torch.float32))
    assert detector.score(x).tolist() == [0, 0]
    assert detector.calibrate(x).threshold == 0 and not detector.flag(x).any()


def test_colour_images_take_three_squeezers():
    """Against the shape, and 0 <= score <= 2, as an L1 distance of two distributions is."""
    x = images(3, (3, 16, 16))
    detector = FeatureSqueezing(linear(4, (3, 16, 16), dtype=torch.float32), COLOUR)
    assert detector.distances(x).shape == (3, 3)
    assert (detector.score(x) > 0).all() and (detector.score(x) <= 2).all()


def test_bad_squeezers_are_named():
    """Against one bad argument at a time; the error names it."""
    model = Function(lambda x: x.flatten(1))
    for squeezers in ((), ("median",)):
        with pytest.raises(InputError, match="squeezers: got .*allowed are one or more functions"):
            FeatureSqueezing(model, squeezers)
    for squeezer, settings, message in (
        (BitDepth, {"bits": 0}, "bits: got 0"),
        (BitDepth, {"bits": 9}, "bits: got 9"),
        (MedianFilter, {"size": 0}, "size: got 0"),
        (NonLocalMeans, {"search": 12}, "search: got 12; allowed is an odd number"),
        (NonLocalMeans, {"patch": 2}, "patch: got 2"),
        (NonLocalMeans, {"strength": 0}, "strength: got 0"),
    ):
        with pytest.raises(InputError, match=message):
            squeezer(**settings)
    assert FeatureSqueezing(model).squeezers == DIGITS


# ---- what it sees, and what gets past it ----


def test_every_view_is_the_mean_of_the_answers():
    """By hand: a third of the logits of the image, of its one bit and of its median; their gradients reach the image."""
    x, model = images(4).requires_grad_(), linear(4, (1, 8, 8), dtype=torch.float32)
    found = FeatureSqueezing(model).every_view()(x)
    assert torch.allclose(found, (model(x) + model(x.round()) + model(MedianFilter(2)(x))) / 3, atol=1e-5)
    (gradient,) = torch.autograd.grad(found[:, 0].sum(), x)
    assert (gradient != 0).float().mean() > 0.9


@pytest.fixture(scope="module")
def guarded_digits():
    """The detector of the digit model at a false positive rate of 5 %, and 30 other digits with their labels."""
    x, y = data.load("mnist-5k").pick(330)
    return FeatureSqueezing(models.load("mnist-cnn")).calibrate(x[30:], 0.05), x[:30], y[:30]


def wins(detector, x_adv, y):
    return attacker_win_rate(
        detector.score(x_adv), predict(detector, x_adv).argmax(1) != y, detector.threshold
    )


def test_it_sees_the_attack_that_it_was_built_for(guarded_digits):
    """Against the paper's claim, 98 % of the digits' attacks detected: C&W that stops at the boundary never wins (0 in 90)."""
    detector, x, y = guarded_digits
    x_adv = CWL2()(detector, x, y)
    assert (predict(detector, x_adv).argmax(1) != y).all() and wins(detector, x_adv, y) == 0
    assert wins(detector, x, y) <= 0.05 and detector.flag(x).float().mean() <= 0.2


def test_confident_attacks_get_past_it_unseen(guarded_digits):
    """Against Sharma and Chen 2018: EAD by 20 logits knows nothing of the detector and mostly wins (78, 90, 85 % on 3 seeds)."""
    detector, x, y = guarded_digits
    assert wins(detector, EAD(confidence=20.0)(detector, x, y), y) >= 0.6


def test_an_attack_on_every_view_breaks_it(guarded_digits):
    """Against He et al. 2017: nearly all win (97, 93, 90 % on 3 seeds), with no larger a change than a confident attack's."""
    detector, x, y = guarded_digits
    adaptive = CWL2(confidence=15.0)(detector.every_view(), x, y)
    unaware = CWL2(confidence=20.0)(detector, x, y)
    sizes = [(x_adv - x).flatten(1).norm(dim=1).mean() for x_adv in (adaptive, unaware)]
    assert wins(detector, adaptive, y) >= 0.8 and wins(detector, adaptive, y) > wins(detector, unaware, y)
    assert sizes[0] < sizes[1] < 3.5


def test_black_and_white_digits_hardly_move_within_a_small_ball(guarded_digits):
    """Against arithmetic: a pixel of 0 or 1 that moves by 0.3 rounds back, so one bit undoes most of FGSM, and it is flagged."""
    detector, x, y = guarded_digits
    x_adv = FGSM(0.3)(detector, x, y)
    assert (BitDepth(1)(x_adv) == BitDepth(1)(x)).float().mean() > 0.9
    assert wins(detector, x_adv, y) <= 0.3
    assert wins(detector, PGD(4.0, steps=30, norm="L2")(detector.every_view(), x, y), y) >= 0.7
