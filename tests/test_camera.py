"""The printer and the camera against hand-computed cases, finite differences, Pillow, scikit-image and the laws of optics."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from skimage.transform import ProjectiveTransform
from torch import nn

from advcourse import data, models
from advcourse.attacks import PGD
from advcourse.attacks.adaptive import EOT
from advcourse.cases import optics
from advcourse.cases.camera import CORNERS, Phone, Photographed, Road, palette, printed
from advcourse.cases.geometry import homography, transformed
from advcourse.core.inputs import InputError, accuracy, predict
from advcourse.data import signs
from advcourse.data.transformations import JPEG
from advcourse.metrics import survival


def plates(classes, size=64):
    """Signs with alpha, (N, 4, size, size)."""
    return torch.stack([torch.cat([rgb, a[None]]) for rgb, a in (signs.template(c, size) for c in classes)])


SIGNS = data.load("signs").images[:12]
DIGITS = data.load("mnist-5k").images[:12]
PLATES = plates(range(12))
CASES = {"phone": (Phone(), SIGNS), "grey phone": (Phone(), DIGITS), "road": (Road(), PLATES)}
each = pytest.mark.parametrize("camera, x", CASES.values(), ids=CASES)


# The printer


def test_corners_are_printed_exactly():
    """The eight corners of the cube against the table, red slowest and blue fastest."""
    cube = torch.tensor([[r, g, b] for r in (0, 1) for g in (0, 1) for b in (0, 1)], dtype=torch.float64)
    assert torch.equal(printed(cube.T[:, :, None])[..., 0].T, CORNERS)
    assert CORNERS[4].tolist() == [0.80, 0.13, 0.16] and CORNERS[1].tolist() == [
        0.20,
        0.18,
        0.42,
    ]  # red, blue


def test_colours_mix_trilinearly():
    """By hand: half of red and blue is the mean of four corners; the formula, written as a sum, at random colours."""
    purple = printed(torch.tensor([0.5, 0.0, 0.5], dtype=torch.float64)[:, None, None]).flatten()
    assert torch.allclose(purple, CORNERS[[0, 1, 4, 5]].mean(0))
    x = torch.rand(5, 3, 4, 2, dtype=torch.float64)
    total = torch.zeros_like(x)
    for row, (r, g, b) in enumerate(np.ndindex(2, 2, 2)):
        weight = torch.ones_like(x[:, 0])
        for channel, bit in enumerate((r, g, b)):
            weight = weight * (x[:, channel] if bit else 1 - x[:, channel])
        total += weight[:, None] * CORNERS[row][:, None, None]
    assert torch.allclose(printed(x), total)


def test_palette_is_the_printed_grid():
    """By hand: 27 colours, the first black, the last the paper, the middle one the mean of all corners."""
    colours = palette()
    assert colours.shape == (27, 3)
    assert torch.allclose(colours[[0, 13, 26]], torch.stack([CORNERS[0], CORNERS.mean(0), CORNERS[7]]))
    assert torch.allclose(palette(2), CORNERS)


# Lens, sensor and file


@pytest.mark.parametrize("source, target", [(64, 22), (22, 32), (64, 32), (37, 32), (5, 5), (3, 7), (64, 2)])
def test_matrices_leave_grey_as_it_is(source, target):
    """Rows of weights that sum to 1, none of them negative."""
    area, resize = optics.area_matrix(source, target), optics.resize_matrix(source, target)
    blur = optics.blur_matrices(torch.tensor([0.0, 0.4, 2.0], dtype=torch.float64), target)
    for matrix in (area, resize, *blur):
        assert torch.allclose(matrix.sum(1), torch.ones(target, dtype=torch.float64)) and (matrix >= 0).all()
    assert torch.allclose(blur[0], torch.eye(target, dtype=torch.float64))


def test_area_averages_by_hand():
    """Five pixels on two: each covers two and a half. Two on four, and four on four: copies."""
    assert torch.allclose(
        optics.area_matrix(5, 2), torch.tensor([[0.4, 0.4, 0.2, 0, 0], [0, 0, 0.2, 0.4, 0.4]]).double()
    )
    assert torch.equal(optics.area_matrix(2, 4).argmax(1), torch.tensor([0, 0, 1, 1]))
    assert torch.equal(optics.area_matrix(4, 4), torch.eye(4, dtype=torch.float64))


def test_resizing_is_torchs():
    """Bilinear and area interpolation of torch, which are separable as well."""
    x = torch.rand(1, 1, 24, 24, dtype=torch.float64)
    for size, mode in ((32, "bilinear"), (12, "area"), (8, "area")):
        matrix = optics.resize_matrix(24, size)
        assert torch.allclose(matrix @ x @ matrix.T, nn.functional.interpolate(x, (size, size), mode=mode))


def test_file_is_pillows():
    """JPEG's pixels against those of the transformation that is tested against Pillow; each image has its own quality."""
    x = SIGNS[:2].double()
    stored = optics.jpeg(x, [80, 95])
    assert torch.equal(stored[:1], JPEG(80)(x[:1])) and torch.equal(stored[1:], JPEG(95)(x[1:]))
    toned = optics.developed(x, torch.full((2, 1, 1, 1), 1.2), [80, 95])
    assert torch.allclose(toned, optics.jpeg(x.clamp_min(1e-4) ** 1.2, [80, 95]))


def test_file_counts_as_the_identity_in_the_backward_pass():
    """The tone curve's own slope, by hand: gamma x^(gamma - 1), with and without JPEG, finite at black."""
    x = torch.tensor([[0.0, 0.25], [0.5, 0.81]], dtype=torch.float64).expand(1, 3, 2, 2).clone()
    for qualities in (None, [80]):
        x.requires_grad_().grad = None
        optics.developed(x, torch.full((1, 1, 1, 1), 0.5, dtype=torch.float64), qualities).sum().backward()
        slopes = torch.tensor([[0.0, 1.0], [0.5**0.5, 0.5 / 0.9]], dtype=torch.float64)
        assert torch.allclose(x.grad, slopes.expand(1, 3, 2, 2))


# Geometry


def test_homography_is_scikit_images():
    """Random views of a sheet, a batch at a time: `ProjectiveTransform` maps the corners with it, and back."""
    rng = np.random.default_rng(0)
    source = np.array([[0, 0], [210, 0], [210, 297], [0, 297]], dtype=float)
    targets = source * 3 + rng.uniform(-60, 60, (5, 4, 2)) + 200
    found = homography(np.broadcast_to(source, targets.shape), targets)
    for matrix, target in zip(found, targets):
        theirs = ProjectiveTransform(matrix=matrix)
        assert np.allclose(transformed(matrix, source), target, atol=1e-8)
        assert np.allclose(theirs(source), target, atol=1e-8) and np.allclose(theirs.inverse(target), source)


def test_homography_of_many_points_averages_their_errors():
    """A known view, sixteen points with noise of 0.3 pixels: unseen points are found to a pixel, without noise exactly."""
    rng = np.random.default_rng(1)
    true = np.array([[2.9, 0.4, 150], [-0.3, 3.1, 80], [1e-4, -5e-4, 1]])
    points, unseen = rng.uniform(0, 300, (16, 2)), rng.uniform(0, 300, (50, 2))
    seen = transformed(true, points)
    assert np.abs(transformed(homography(points, seen), unseen) - transformed(true, unseen)).max() < 1e-6
    noisy = homography(points, seen + rng.normal(0, 0.3, seen.shape))
    assert np.abs(transformed(noisy, unseen) - transformed(true, unseen)).max() < 1.5


@pytest.mark.parametrize(
    "source, target, words",
    [
        (np.zeros((3, 2)), np.zeros((3, 2)), ["at least four"]),
        (np.zeros((4, 2)), np.zeros((5, 2)), ["two equal ones"]),
        (np.zeros((4, 2)), np.zeros((4, 2)), ["coincide"]),
        (np.arange(8.0).reshape(4, 2), np.arange(8.0).reshape(4, 2), ["line"]),
        (np.full((4, 2), np.nan), np.zeros((4, 2)), ["NaN"]),
    ],
)
def test_points_without_a_homography(source, target, words):
    """Too few points, equal ones, and points on a line, which determine no homography."""
    with pytest.raises(InputError) as error:
        homography(source, target)
    assert all(word in str(error.value) for word in words)


# Both cameras


def test_strength_zero_is_the_identity():
    """The images themselves, bit for bit."""
    assert torch.equal(Phone(0)(SIGNS), SIGNS) and torch.equal(Phone(0).photograph(DIGITS), DIGITS)


def test_strength_grows_smoothly():
    """The distance from the images grows with the strength, from that of 8 bit alone."""
    sizes = [(Phone(s, jpeg=False)(SIGNS) - SIGNS).abs().mean().item() for s in (0.001, 0.25, 0.5, 1, 2)]
    assert sizes == sorted(sizes) and sizes[0] < 2 / 255


@each
def test_what_all_cameras_keep(camera, x):
    """The contract: type and unit interval, the caller's images and the random state; same seed, same photographs."""
    before, kept = torch.get_rng_state(), x.clone()
    seen = camera(x.clone().requires_grad_())
    assert seen.shape == (SIGNS.shape if x is PLATES else x.shape)
    assert seen.min() >= 0 and seen.max() <= 1 and seen.dtype == x.dtype and not seen.requires_grad
    assert torch.equal(seen, camera(x)) and torch.equal(x, kept)
    assert torch.equal(torch.get_rng_state(), before)
    others = replace(camera, seed=1)(x)
    assert ((others - seen).abs().flatten(1).mean(1) > 0.01).all()
    assert camera(x[:0]).shape == seen[:0].shape
    for dtype in (torch.float16, torch.float64):
        again = camera.photograph(x.to(dtype))
        assert again.dtype == dtype and ((again - seen).abs() < 0.02).double().mean() > 0.99


@each
def test_a_batch_is_its_images_one_by_one(camera, x):
    """Each image alone at its place, in float64: what differs is a rounding to 8 bit here and there, and JPEG after it."""
    together = camera(x.double())
    alone = torch.cat([camera(x[i : i + 1].double(), first=i) for i in range(len(x))])
    assert ((together - alone).abs() < 1e-9).double().mean() > 0.999


@each
def test_one_image_at_many_places(camera, x):
    """The same image repeated, at the same places; each place has its own draws."""
    places = [5, 0, 7]
    seen = camera.photograph(x[:1].double(), places)
    repeated = camera.photograph(x[:1].double().expand(3, -1, -1, -1), places)
    assert ((seen - repeated).abs() < 1e-9).double().mean() > 0.999
    assert (seen[0] - seen[1]).abs().mean() > 0.01
    assert ((camera(x[:1].double(), first=7) - seen[2:]).abs() < 1e-9).double().mean() > 0.999


@pytest.mark.parametrize(
    "camera, shape",
    [
        (Phone(jpeg=False), (2, 3, 4, 5)),
        (Phone(jpeg=False), (2, 1, 5, 3)),
        (Road(size=8, jpeg=False), (1, 4, 8, 8)),
    ],
)
def test_gradient_is_that_of_finite_differences(camera, shape, monkeypatch):
    """torch's `gradcheck` in float64, with the rounding to 8 bit taken out: a staircase has no differences to compare."""
    monkeypatch.setattr(optics, "eight_bit", lambda x: x.clone())
    x = 0.2 + 0.4 * torch.rand(shape, dtype=torch.float64)
    assert torch.autograd.gradcheck(camera.photograph, (x.requires_grad_(),), eps=1e-6, atol=1e-6)


@each
def test_jpeg_and_rounding_do_not_change_the_gradient(camera, x):
    """The straight-through estimator: the gradient of the sum is that without JPEG."""
    slopes = []
    for jpeg in (True, False):
        z = x.double().requires_grad_()
        replace(camera, jpeg=jpeg).photograph(z).sum().backward()
        slopes.append(z.grad)
    assert torch.allclose(*slopes) and slopes[0].abs().sum() > 0


def test_any_size():
    """Sides that differ, one pixel, and a large image."""
    for shape in ((1, 3, 20, 31), (2, 1, 1, 1), (1, 3, 96, 64)):
        assert Phone().photograph(torch.rand(shape)).shape == shape
    assert Road(size=48).photograph(torch.rand(2, 3, 30, 30)).shape == (2, 3, 48, 48)


# The phone and the road


def test_a_white_image_is_photographed_as_paper():
    """White and its margin print alike, so no edge is seen: without light, noise and blur one grey is left."""
    seen = Phone(jpeg=False, seed=2)(torch.ones(20, 3, 16, 16, dtype=torch.float64))
    rough = (seen - nn.functional.avg_pool2d(seen, 3, 1, 1, count_include_pad=False)).abs().mean()
    assert rough < 0.03  # the noise of 0.02 that the phone adds


def test_far_signs_have_fewer_pixels():
    """The sampling theorem: at 150 m six pixels are left, so fine stripes turn grey, which at 5 m are seen."""
    stripes = (torch.arange(64) // 4 % 2).float().expand(1, 3, 64, 64)
    near, far = (
        Road(metres, 0.0, jpeg=False).photograph(stripes, range(8))[:, :, 10:22, 10:22]
        for metres in (5.0, 150.0)
    )
    contrast = [seen.diff(dim=3).abs().mean().item() for seen in (near, far)]
    assert contrast[0] > 3 * contrast[1]


def test_turned_signs_are_narrower():
    """A plate turned by 60 degrees covers about half of the width; at a wide margin, perspective and pitch included."""
    white, black = torch.ones(1, 3, 64, 64), torch.zeros(1, 3, 64, 64)
    covered = []
    for angle in (0.0, 60.0, -60.0):
        road = Road(10.0, angle, jpeg=False)
        difference = road.photograph(white, range(10)) - road.photograph(black, range(10))
        covered.append((difference.mean(1) > 0.2).double().mean().item())
    assert covered[1] / covered[0] == pytest.approx(0.5, abs=0.08)
    assert covered[2] / covered[0] == pytest.approx(0.5, abs=0.08)


def test_ranges_are_drawn_per_image():
    """A number is a range of one; a range mixes distances, and a place has the same surroundings at every distance."""
    sign = PLATES[:1].double()
    fixed, pair = (
        Road(12.0, 20.0).photograph(sign, range(4)),
        Road((12, 12), (20, 20)).photograph(sign, range(4)),
    )
    assert torch.equal(fixed, pair)
    further = Road(30.0, 20.0).photograph(sign, range(4))
    corners = (slice(None), slice(None), slice(0, 2), slice(0, 2))
    assert (
        (further[corners] - fixed[corners]).abs().mean()
        < 0.05
        < (further - further[[1, 2, 3, 0]]).abs().mean()
    )


def test_signs_cnn_reads_signs_at_the_road():
    """16 signs x 8 views: 97 to 100 % were measured up to 40 m and 60 degrees, over 768 views in each of three rows."""
    net = models.load("signs-cnn")
    for distance in ((4, 15), (15, 40)):
        views = torch.cat(
            [Road(distance).photograph(plates([c]), range(8 * c, 8 * c + 8)) for c in range(16)]
        )
        assert accuracy(net, views, torch.arange(16).repeat_interleave(8)) > 0.94


def test_phone_leaves_most_signs_readable():
    """120 clean signs: the network reads about 0.98, 0.95 and 0.89 of them at strengths 0.5, 0.75 and 1."""
    net, held_out = models.load("signs-cnn"), data.load("signs")
    right = [accuracy(net, Phone(s)(held_out.images[:120]), held_out.labels[:120]) for s in (0.5, 0.75, 1)]
    assert right[0] > 0.93 and right[1] > 0.88 and right[2] > 0.78
    assert right[2] < right[0]


# Attacks, metrics, training


def test_a_photographed_model_draws_anew():
    """Passes differ without a seed and agree with one; torch's global seed decides them."""
    net = models.load("signs-cnn")
    moving, still = Photographed(net, Phone()), Photographed(net, Phone(), seed=3)
    torch.manual_seed(0)
    first, second = moving(SIGNS), moving(SIGNS)
    torch.manual_seed(0)
    assert not torch.allclose(first, second) and torch.equal(first, moving(SIGNS))
    assert torch.equal(still(SIGNS), still(SIGNS)) and torch.allclose(
        still(SIGNS), predict(net, Phone(seed=3)(SIGNS)), atol=0.5
    )


def test_plates_are_attacked_with_a_fixed_outline():
    """A road's model takes three channels and puts alpha behind them; the gradient is 0 outside the plate."""
    alpha = PLATES[0, 3]
    seen = Photographed(models.load("signs-cnn"), Road(), alpha=alpha, seed=0)
    x = PLATES[:2, :3].clone().requires_grad_()
    seen(x)[:, 0].sum().backward()
    assert x.grad[:, :, alpha == 0].abs().max() == 0 < x.grad.abs().max()


def test_eot_expects_the_phone():
    """The attack through the phone keeps its budget, and its successes survive on held-out draws, counted by `survival`."""
    net, held_out = models.load("signs-cnn"), data.load("signs")
    x, y = held_out.images[:8], held_out.labels[:8]
    attack = PGD(eps=16 / 255, alpha=4 / 255, steps=6)
    x_adv = attack(EOT(Photographed(net, Phone(jpeg=False)), draws=2), x, y)
    assert (x_adv - x).abs().max() <= 16 / 255 + 1e-6
    fooled, still = (predict(net, images).argmax(1) != y for images in (x_adv, Phone(seed=1)(x_adv)))
    assert survival(fooled, still) > 0.4


def test_augmentation_follows_from_its_generator():
    """The same state of the generator gives the same photographs, the next ones differ."""
    generator = torch.Generator().manual_seed(4)
    first, second = (Phone().augment(SIGNS, generator) for _ in range(2))
    assert torch.equal(first, Phone().augment(SIGNS, torch.Generator().manual_seed(4)))
    assert (first - second).abs().mean() > 0.01


@pytest.mark.gpu
@each
def test_a_gpu_photographs_as_the_cpu(camera, x):
    """The CPU's photographs, but for a few pixels on an edge, which rounding may move."""
    seen = camera.photograph(x.cuda())
    assert seen.is_cuda and ((seen.cpu() - camera.photograph(x)).abs() < 0.02).double().mean() > 0.98


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: Phone(-0.1), ["strength", "-0.1", ">= 0"]),
        (lambda: Phone(jpeg="no"), ["jpeg", "no", "True"]),
        (lambda: Phone(seed=-1), ["seed", "-1"]),
        (lambda: Phone()(torch.rand(1, 2, 4, 4)), ["x", "2 channels", "1 or 3"]),
        (lambda: Phone().photograph(2 * SIGNS), ["x", "[0, 1]"]),
        (lambda: Phone().photograph(SIGNS[:3], [1, 2]), ["places", "2 for 3 images"]),
        (lambda: Phone().photograph(SIGNS[:1], [-1]), ["places", "-1"]),
        (lambda: Phone().photograph(SIGNS[:1], [0.5]), ["places", "0.5"]),
        (lambda: Phone().photograph(SIGNS[:1], "four"), ["places", "four"]),
        (lambda: Road(0.5), ["distance", "0.5", ">= 1"]),
        (lambda: Road((40, 4)), ["distance", "(40, 4)", "(low, high)"]),
        (lambda: Road(angle=(0, 90)), ["angle", "90", "<= 80"]),
        (lambda: Road(size=4), ["size", "4", ">= 8"]),
        (lambda: Road()(torch.rand(1, 3, 20, 30)), ["x", "(1, 3, 20, 30)", "S, S"]),
        (lambda: printed(torch.rand(1, 5, 5)), ["x", "(1, 5, 5)", "3"]),
        (lambda: printed(SIGNS, CORNERS[:4]), ["corners", "(4, 3)", "(8, 3)"]),
        (lambda: palette(1), ["steps", "1", ">= 2"]),
        (lambda: Photographed(Phone(), Phone()), ["model", "Module"]),
        (lambda: Photographed(nn.Identity(), JPEG()), ["camera", "Phone", "Road"]),
    ],
)
def test_bad_input(call, words):
    """Checks that the message names the argument, what was given and what is allowed."""
    with pytest.raises(InputError) as error:
        call()
    assert all(word in str(error.value) for word in words)
