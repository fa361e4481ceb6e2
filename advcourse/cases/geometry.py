"""Homographies: how a plane in space is seen by a camera."""

import numpy as np

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
