"""Square markers that a program finds in a photograph: four of the ArUco dictionary of 4 x 4 bits, drawn and found.

Source: Garrido-Jurado et al. 2014, "Automatic generation and detection of highly reliable fiducial markers under occlusion";
the bits are those of the dictionary DICT_4X4_50, as other programs know them. A marker is a black square of 6 x 6 modules, the
inner 4 x 4 of which are its bits, 1 for white.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

from advcourse.cases.geometry import homography, transformed

MODULES = 6
_BYTES = ((181, 50), (15, 154), (51, 45), (153, 70))  # of the markers 0 to 3: their 16 bits, row by row
BITS = np.array([np.unpackbits(np.array(pair, dtype=np.uint8)).reshape(4, 4) for pair in _BYTES])
SQUARE = np.array(
    [[0, 0], [1, 0], [1, 1], [0, 1]], dtype=float
)  # the corners' order: clockwise from the top left

_WINDOWS = (1 / 48, 1 / 24, 1 / 12)  # of the local mean, in sides of the photograph
_DARK = 0.8  # what is darker than this share of the local mean is black
_LEAST, _MOST = 14, 0.4  # size of a marker: pixels, and share of the photograph's side
_TRIED = (
    500  # dark regions that are looked at; a photograph of a sheet has about 150, a checkerboard thousands
)
_FILLED = 0.3  # least share of its convex hull that is dark: of a marker, more than half
_QUADRILATERAL = 0.85  # least share of its convex hull that a marker's quadrilateral covers


@dataclass(frozen=True)
class Marker:
    """A marker in a photograph.

    number: 0 to 3. corners: (4, 2), x and y in pixels, clockwise from the marker's own top left; the photograph's top left
    corner is (0, 0), the centre of its first pixel (0.5, 0.5). blur: standard deviation of the edges' blur, in modules.
    """

    number: int
    corners: np.ndarray
    blur: float


def pattern(number: int) -> np.ndarray:
    """Return the modules of a marker, (6, 6) of 0 for black and 1 for white."""
    return np.pad(BITS[number], 1)


def find(grey: np.ndarray) -> list[Marker]:
    """Return the markers in a photograph, each one once; a marker that is there twice is returned twice.

    Args:
        grey: brightness, shape (H, W), in [0, 1].
    """
    grey = np.asarray(grey, dtype=np.float32)
    markers: list[Marker] = []
    for share in _WINDOWS:
        mean = ndimage.uniform_filter(grey, max(5, round(share * max(grey.shape))))
        for quadrilateral in _quadrilaterals(grey < _DARK * mean):
            marker = _decoded(grey, quadrilateral)
            if marker and all(_apart(marker, other) for other in markers):
                markers.append(marker)
    return markers


def _apart(one, other):
    """Whether two markers are at different places."""
    distance = np.linalg.norm(one.corners.mean(0) - other.corners.mean(0))
    return distance > 0.5 * np.linalg.norm(other.corners[0] - other.corners[1])


def _quadrilaterals(dark):
    """Yield the corners (4, 2), clockwise, of the connected dark regions that are quadrilaterals, the largest first."""
    regions, _ = ndimage.label(dark)
    boxes = []
    for number, box in enumerate(ndimage.find_objects(regions), start=1):
        low, high = sorted(part.stop - part.start for part in box)
        if low >= _LEAST and high <= _MOST * max(dark.shape):
            boxes.append((low, number, box))
    for _, number, box in sorted(boxes, key=lambda each: -each[0])[:_TRIED]:
        corners = _corners(regions[box] == number)
        if corners is not None:
            yield corners + (box[1].start, box[0].start)


def _corners(region):
    """Return the corners (4, 2), clockwise, of a region (H, W) of True, or None if it is no quadrilateral."""
    rows = np.flatnonzero(region.any(1))
    left, right = region.argmax(1)[rows], region.shape[1] - region[:, ::-1].argmax(1)[rows]
    ends = [np.stack([x, y], 1) for x in (left, right) for y in (rows, rows + 1)]
    points = np.concatenate(ends).astype(float)
    try:
        hull = ConvexHull(points)
    except QhullError:
        return None
    if region.sum() < _FILLED * hull.volume:
        return None
    outline = points[hull.vertices]
    outline = outline[:: -(-len(outline) // 48)]
    corners = _largest(outline)
    return corners if _area(corners) >= _QUADRILATERAL * hull.volume else None


def _largest(outline):
    """Return four points of a convex polygon (K, 2), along the polygon, whose quadrilateral is (nearly) the largest."""
    (x, y), n = outline.T, len(outline)
    across_x, across_y = x[None] - x[:, None], y[None] - y[:, None]
    # height[i, j, k]: twice the area of the triangle of the points i, j and k, positive on one side of the line from i to j.
    height = across_x[:, :, None] * across_y[:, None, :] - across_y[:, :, None] * across_x[:, None, :]
    i, j = np.unravel_index(np.argmax(height.max(2) - height.min(2)), (n, n))
    chosen = sorted({i, j, height[i, j].argmax(), height[i, j].argmin()})
    corners = outline[chosen] if len(chosen) == 4 else outline[[i, i, j, j]]
    return corners if signed_area(corners) > 0 else corners[::-1]


def signed_area(corners: np.ndarray) -> float:
    """Return the area of a polygon (K, 2), positive if it runs clockwise (y runs down)."""
    x, y = corners.T
    return 0.5 * float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))


def _area(corners):
    return abs(signed_area(corners))


def _decoded(grey, corners):
    """Return the marker whose outline is `corners`, or None if there is none."""
    if min(np.linalg.norm(corners - np.roll(corners, 1, 0), axis=1)) < _LEAST / 2:
        return None
    places = (np.arange(MODULES)[:, None] + (0.3, 0.5, 0.7)).ravel() / MODULES
    points = np.stack(np.meshgrid(places, places), -1).reshape(-1, 2)
    light = _sample(grey, transformed(homography(SQUARE, corners), points))
    light = light.reshape(MODULES, 3, MODULES, 3).mean((1, 3))
    if light.max() < 1.5 * light.min() + 0.02:
        return None
    white = light > (light.min() + light.max()) / 2
    if white.sum() - white[1:-1, 1:-1].sum() > 1:
        return None
    for turn in range(4):
        errors = (np.rot90(white[1:-1, 1:-1], turn) != BITS.astype(bool)).sum((1, 2))
        if errors.min() <= 1:
            turned = np.roll(corners, -turn, axis=0)
            return Marker(int(errors.argmin()), *_refined(grey, turned))
    return None


def _refined(grey, corners):
    """Return the corners to a fraction of a pixel, as the lines through the edges' steepest points, and the edges' blur."""
    for _ in range(2):
        lines, blurs = zip(*(_edge(grey, corners[k], corners[(k + 1) % 4]) for k in range(4)))
        moved = np.stack([_crossing(lines[k - 1], lines[k]) for k in range(4)])
        side = np.sqrt(_area(corners))
        if not np.isfinite(moved).all() or np.abs(moved - corners).max() > 0.25 * side:
            break
        corners = moved
    return corners, float(np.median(blurs))


def _edge(grey, start, end):
    """Return the line (point, direction) along the edge from `start` to `end`, outside of which it is white, and its blur."""
    along = end - start
    module = np.linalg.norm(along) / MODULES
    along = along / np.linalg.norm(along)
    outwards = np.array([along[1], -along[0]])
    steps = np.linspace(-0.6, 0.6, 41) * module
    middles = start + np.linspace(0.08, 0.92, 25)[:, None] * (end - start)
    light = _sample(grey, middles[:, None] + steps[:, None] * outwards)
    slope = (
        np.clip(np.diff(light, axis=1), 0, None) ** 2
    )  # squared, so that noise beside the edge counts little
    offsets = (steps[1:] + steps[:-1]) / 2
    weight = slope.sum(1) + 1e-12
    place = (slope * offsets).sum(1) / weight
    width = np.sqrt((slope * (offsets - place[:, None]) ** 2).sum(1) / weight)
    near = np.abs(place - np.median(place)) <= 2 * np.median(np.abs(place - np.median(place))) + 0.05
    points = middles[near] + place[near, None] * outwards
    mean = points.mean(0)
    direction = np.linalg.svd(points - mean)[2][0]
    return (mean, direction), np.median(width) * np.sqrt(
        2
    ) / module  # squaring a Gaussian narrows it by sqrt(2)


def _crossing(first, second):
    """Return the point where two lines (point, direction) cross, or NaN."""
    (p, d), (q, e) = first, second
    determinant = d[0] * e[1] - d[1] * e[0]
    if abs(determinant) < 1e-9:
        return np.full(2, np.nan)
    return p + d * ((q[0] - p[0]) * e[1] - (q[1] - p[1]) * e[0]) / determinant


def _sample(grey, points):
    """Return the brightness at points (..., 2), x and y in pixels, bilinearly."""
    return ndimage.map_coordinates(
        grey, [points[..., 1] - 0.5, points[..., 0] - 0.5], order=1, mode="nearest"
    )
