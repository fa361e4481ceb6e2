"""Homographies: how a plane in space is seen by a camera."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from advcourse.core.inputs import InputError


def homography(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the homographies that map points in a plane to where they are seen, by the direct linear transform.

    Each pair of points gives two linear equations in the eight unknown entries; four pairs determine them, and more are fitted
    by least squares. Both sets of points are first shifted and scaled to mean 0 and mean distance sqrt(2), without which the
    equations are badly conditioned (Hartley 1997, "In Defense of the Eight-Point Algorithm").

    Args:
        source: points (x, y), shape (..., K, 2), K >= 4, not all but one of them on a line.
        target: where they are seen, shape (..., K, 2).

    Returns:
        matrices H, shape (..., 3, 3), float64, with (x', y', w) = H (x, y, 1) seen at (x' / w, y' / w).

    Raises:
        InputError: the shapes differ, or there are fewer than four pairs, or the points do not determine a homography.
    """
    source, target = np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if source.shape != target.shape or source.ndim < 2 or source.shape[-1] != 2 or source.shape[-2] < 4:
        raise InputError(
            f"source, target: got shapes {source.shape} and {target.shape}; "
            "allowed are two equal ones (..., K, 2), with at least four pairs of points"
        )
    if not (np.isfinite(source).all() and np.isfinite(target).all()):
        raise InputError("source, target: got NaN or infinite coordinates; allowed are finite ones")
    before, after = _normalisation(source), _normalisation(target)
    fitted = _fitted(transformed(before, source), transformed(after, target))
    found = np.linalg.inv(after) @ fitted @ before
    return found / found[..., 2:, 2:]


def transformed(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return where homographies (..., 3, 3) map the points (..., K, 2)."""
    mapped = points @ np.swapaxes(matrix[..., :2], -1, -2) + matrix[..., None, :, 2]
    return mapped[..., :2] / mapped[..., 2:]


def askew(off: Tensor, height: int, width: int, block: int = 1) -> Callable[[slice], Tensor]:
    """Return which points of an image a cut-out shows whose corners are a little out of place.

    Args:
        off: how far each corner is off, in pixels (x, y), shape (N, 4, 2): upper left, upper right, lower left, lower right.
        height, width: pixels of the image.
        block: points along each side of a pixel (default 1).

    Returns:
        a function that takes a slice of the cut-out's `block` * `height` rows and gives their points for `grid_sample`, from -1
        to 1, shape (N, rows, `block` * `width`, 2), in the type and on the device of `off`.
    """
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], dtype=np.float64)
    matrix = homography(np.broadcast_to(corners, off.shape), corners + off.cpu().double().numpy())
    matrix[:, 0] = 2 / width * matrix[:, 0] - matrix[:, 2]  # from pixels to -1 and 1
    matrix[:, 1] = 2 / height * matrix[:, 1] - matrix[:, 2]
    y, x = ((torch.arange(block * side).double() + 0.5) / block for side in (height, width))
    entries = torch.from_numpy(matrix)[:, :, None, None]  # (N, 3, 1, 1, 3)
    across, down = entries[..., 0] * x, entries[..., 1] * y[:, None] + entries[..., 2]

    def points(rows):
        u, v, w = (down[:, :, rows] + across).unbind(1)
        return torch.stack([u.div_(w), v.div_(w)], -1).to(off)

    return points


def _normalisation(points):
    """Return the matrices (..., 3, 3) that shift and scale the points to mean 0 and mean distance sqrt(2)."""
    mean = points.mean(-2)
    spread = np.linalg.norm(points - mean[..., None, :], axis=-1).mean(-1)
    if not (spread > 0).all():
        raise InputError("source, target: got points that coincide; allowed are at least four different ones")
    matrix = np.zeros((*points.shape[:-2], 3, 3))
    scale = np.sqrt(2) / spread
    matrix[..., 0, 0] = matrix[..., 1, 1] = scale
    matrix[..., :2, 2] = -scale[..., None] * mean
    matrix[..., 2, 2] = 1
    return matrix


def _fitted(source, target):
    """Return the homographies (..., 3, 3) with last entry 1 that fit best, by QR decomposition of the linear equations."""
    x, y, (u, v) = source[..., 0], source[..., 1], np.moveaxis(target, -1, 0)
    one, zero = np.ones_like(x), np.zeros_like(x)
    for_u = np.stack([x, y, one, zero, zero, zero, -u * x, -u * y], axis=-1)
    for_v = np.stack([zero, zero, zero, x, y, one, -v * x, -v * y], axis=-1)
    q, r = np.linalg.qr(np.concatenate([for_u, for_v], axis=-2))
    sizes = np.abs(np.diagonal(r, axis1=-2, axis2=-1))
    if not (sizes.min(-1) > 1e-9 * sizes.max(-1)).all():
        raise InputError(
            "source, target: got points on a line; allowed are four of which no three are on one line"
        )
    entries = np.linalg.solve(r, np.swapaxes(q, -1, -2) @ np.concatenate([u, v], axis=-1)[..., None])[..., 0]
    last = np.ones((*entries.shape[:-1], 1))
    return np.concatenate([entries, last], axis=-1).reshape(*entries.shape[:-1], 3, 3)
