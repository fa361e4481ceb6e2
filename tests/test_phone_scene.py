"""A phone's scene in bands of rows, and its blur in blocks: against the formulas written out, and against the whole at once."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from advcourse import data
from advcourse.cases import camera, optics
from advcourse.cases.camera import Phone
from advcourse.cases.geometry import askew, homography, transformed
from advcourse.cases.lighting import draw_light
from advcourse.data.sign_scenes import Draws

ALL = slice(None)
NUMBERS = np.random.default_rng(3).random((2, 16))
LIKE = torch.zeros(0, dtype=torch.float64)


@pytest.mark.parametrize("moire", [0.0, 0.03])
def test_light_is_its_formula_at_each_point(moire):
    """Sine of the sum, point by point, in float64: slope and stripes along their directions, times exposure and cast."""
    height, width, block, s = 12, 20, 4, 1.5
    lit = draw_light(Draws(NUMBERS, LIKE), height, width, s, moire, block)
    assert torch.equal(lit(slice(4, 8)), lit(ALL)[:, :, 4:8]) and lit(ALL).shape == (2, 3, height, width)
    for n, r in enumerate(NUMBERS):
        angle, slope, exposure, cast = (
            2 * math.pi * r[0],
            0.25 * r[1],
            0.5 * r[2] - 0.25,
            0.24 * r[3:6] - 0.12,
        )
        direction, period, phase = math.pi * r[6], 2.5 + 5.5 * r[7], 2 * math.pi * r[8]
        for i, j in ((0, 0), (3, 17), (11, 19)):
            y, x = (2 * i + 1) / height - 1, (2 * j + 1) / width - 1
            side = 1 + s * slope * (x * math.cos(angle) + y * math.sin(angle)) / math.sqrt(2)
            way = (
                (x * width * math.cos(direction) + y * height * math.sin(direction))
                * math.pi
                / (block * period)
            )
            stripes = 1 + s * moire * r[9] * math.sin(way + phase)
            told = side * stripes * (1 + s * exposure) * (1 + s * cast)
            assert np.allclose(lit(ALL)[n, :, i, j], told, rtol=0, atol=1e-12)


def test_no_strength_leaves_the_light_white():
    """A factor of one everywhere."""
    assert torch.equal(
        draw_light(Draws(NUMBERS, LIKE), 3, 5, 0.0, 0.03, 4)(ALL), torch.ones(2, 3, 3, 5, dtype=torch.float64)
    )


def test_points_of_a_cut_out_are_those_of_the_homography():
    """The homography applied to the centre of each point, and by hand where all corners are off by the same pixel."""
    off = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (2, 4, 2)))
    points = askew(off, 6, 9, 2)
    corners = np.array([[0, 0], [9, 0], [0, 6], [9, 6]], float)
    y, x = np.meshgrid((np.arange(12) + 0.5) / 2, (np.arange(18) + 0.5) / 2, indexing="ij")
    for n in range(2):
        matrix = homography(corners, corners + off[n].numpy())
        there = transformed(matrix, np.stack([x, y], -1).reshape(-1, 2)).reshape(12, 18, 2)
        assert np.allclose(points(ALL)[n], 2 * there / (9, 6) - 1, atol=1e-12)
        assert torch.equal(points(slice(5, 7))[n], points(ALL)[n, 5:7])
    moved = askew(torch.full((1, 4, 2), 1.0), 6, 9)(ALL)[0, 0, 0]
    assert torch.allclose(moved, torch.tensor([2 * 1.5 / 9 - 1, 2 * 1.5 / 6 - 1]))


def test_blur_in_blocks_is_the_blur(monkeypatch):
    """The whole matrices, in float64; and scipy's filter away from the edges. A sigma of 0 leaves an image as it is."""
    x, sigmas = (
        torch.rand(3, 2, 70, 41, dtype=torch.float64),
        torch.tensor([0.0, 0.6, 1.8], dtype=torch.float64),
    )
    rows, columns = (optics.blur_matrices(sigmas, k) for k in (70, 41))
    whole = optics.sampled(x, rows, columns)
    monkeypatch.setattr(optics, "BLURRED", 16)
    assert torch.allclose(optics.blurred(x, sigmas), whole, rtol=0, atol=1e-13)
    assert torch.equal(whole[0], x[0])
    theirs = gaussian_filter(x[2].numpy(), (0, 1.8, 1.8), truncate=9)
    assert np.allclose(whole[2, :, 17:-17, 17:-17], theirs[:, 17:-17, 17:-17], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["signs", "mnist-5k"])
def test_bands_make_the_same_photograph(name, monkeypatch):
    """One band against many, and against the stations of a single image, without JPEG, which would enlarge a rounding."""
    x, phone = data.load(name).images[:3].double(), Phone(jpeg=False, seed=4)
    monkeypatch.setattr(optics, "eight_bit", lambda pixels: pixels.clone())
    whole = phone.photograph(x)
    monkeypatch.setattr(camera, "BAND", 3000)
    assert torch.allclose(phone.photograph(x), whole, rtol=0, atol=1e-12)
    assert torch.allclose(phone.stages(x[1:2], place=1)["file"], whole[1:2], rtol=0, atol=1e-12)


def test_slopes_pass_through_the_bands(monkeypatch):
    """The gradient of a sum with one band and with many."""
    slopes = []
    for band in (2**18, 2000):
        monkeypatch.setattr(camera, "BAND", band)
        x = data.load("signs").images[:2].double().requires_grad_()
        Phone(jpeg=False).photograph(x).square().sum().backward()
        slopes.append(x.grad)
    assert torch.allclose(*slopes, rtol=0, atol=1e-9) and slopes[0].abs().sum() > 0


def test_a_large_image_is_drawn_in_small_parts(monkeypatch):
    """However large an image is, no more than `BAND` points of its scene are lit at once, unless a single row has more."""
    lit, sizes = camera.draw_light, []

    def watched(*arguments):
        light = lit(*arguments)

        def part(rows):
            sizes.append(light(rows)[:, :1].numel())
            return light(rows)

        return part

    monkeypatch.setattr(camera, "draw_light", watched)
    x = torch.rand(1, 3, 200, 220)
    assert replace(Phone(), jpeg=False)(x).shape == x.shape
    assert sum(sizes) == 16 * 200 * 220 and max(sizes) <= camera.BAND < sum(sizes)
