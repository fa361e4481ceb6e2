import numpy as np
import pytest
import torch

from advcourse.core.inputs import InputError
from advcourse.training.augmentation import shifts, warps


def test_shifts_move_each_image_by_its_own_whole_pixels():
    """Against numpy: every result is a window of the image padded by its edges, and all windows come up."""
    x = torch.rand(400, 2, 5, 7)
    moved = shifts(2)(x, torch.Generator().manual_seed(0)).numpy()
    padded = np.pad(x.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)), mode="edge")
    hits = np.zeros((5, 5), int)
    for image, source in zip(moved, padded):
        windows = [
            (i, j)
            for i in range(5)
            for j in range(5)
            if np.array_equal(image, source[:, i : i + 5, j : j + 7])
        ]
        assert len(windows) == 1
        hits[windows[0]] += 1
    assert hits.min() >= 3


def test_shifts_by_nothing_and_repeated():
    """Against the image itself for 0 pixels, and against a second draw from an equal generator."""
    x = torch.rand(8, 1, 5, 5)
    assert torch.equal(shifts(0)(x, torch.Generator()), x)
    first, second = (shifts(2)(x, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first, second) and not torch.equal(first, x)
    with pytest.raises(InputError, match="pixels: got -1"):
        shifts(-1)


def test_warps_turn_resize_and_move_like_torchvision():
    """Against torchvision's affine, fed the draws of an equal generator, away from the edges."""
    from torchvision.transforms import InterpolationMode, functional

    x = torch.rand(6, 2, 24, 32, generator=torch.Generator().manual_seed(1))
    moved = warps(degrees=20, scale=0.2, pixels=3)(x, torch.Generator().manual_seed(0))
    draws = 2 * torch.rand(4, 6, generator=torch.Generator().manual_seed(0)) - 1
    assert draws.abs().max() > 0.9
    for image, result, (angle, size, across, down) in zip(x, moved, draws.T.tolist()):
        expected = functional.affine(
            image, 20 * angle, [3 * across, 3 * down], 1 + 0.2 * size, [0.0, 0.0], InterpolationMode.BILINEAR
        )
        assert torch.allclose(result[:, 9:15, 9:23], expected[:, 9:15, 9:23], atol=1e-4)
    assert torch.allclose(warps(0, 0, 0)(x, torch.Generator()), x, atol=1e-5)
    assert warps(20, 0.2, 3)(torch.ones(50, 1, 28, 28), torch.Generator().manual_seed(0)).max() <= 1
