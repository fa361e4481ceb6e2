"""Synthetic photographs of road signs, with random surroundings, view, light, blur and noise; a batch at a time.

Image coordinates: x to the right, y down, both in [-1, 1]. Everything is drawn at `OVERSAMPLING` times the size and
averaged down. All random numbers of an image come from its own row of the draws, so an image does not depend on how
many others are drawn with it. `surroundings` and `with_plate` also serve to put any plate into any view
(`advcourse.cases.camera`).
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

OVERSAMPLING = 2
CHUNK = 100  # images rendered together, which limits the memory
COLUMNS = 256  # random numbers per image: at least as many as `_photograph` draws

SKY = torch.tensor(
    [[0.42, 0.62, 0.90], [0.62, 0.76, 0.93], [0.80, 0.84, 0.88], [0.66, 0.68, 0.72], [0.90, 0.78, 0.66]]
)
GROUND = torch.tensor(
    [[0.32, 0.42, 0.18], [0.45, 0.46, 0.24], [0.42, 0.42, 0.43], [0.30, 0.30, 0.32], [0.52, 0.45, 0.35]]
)
TREES = torch.tensor(
    [[0.12, 0.25, 0.10], [0.20, 0.34, 0.14], [0.10, 0.18, 0.12], [0.40, 0.32, 0.14], [0.26, 0.36, 0.22]]
)
HOUSES = torch.tensor(
    [[0.62, 0.36, 0.28], [0.78, 0.72, 0.60], [0.55, 0.56, 0.60], [0.70, 0.66, 0.64], [0.45, 0.38, 0.34]]
)


class Draws:
    """Uniform random numbers, one row per image, used up from left to right.

    Args:
        rows: numbers in [0, 1), shape (N, columns).
        like: a tensor whose type and device the draws get (default float32 on the CPU).
    """

    def __init__(self, rows: np.ndarray, like: Tensor | None = None):
        self._rows, self._used = torch.from_numpy(rows).to(torch.empty(0) if like is None else like), 0

    def _next(self, columns: int) -> Tensor:
        self._used += columns
        return self._rows[:, self._used - columns : self._used]

    def between(self, low: float, high: float) -> Tensor:
        """Draw numbers uniform in [low, high), shape (N, 1, 1, 1)."""
        return (low + (high - low) * self._next(1))[:, :, None, None]

    def colour(self, palette: Tensor) -> Tensor:
        """Draw colours from the palette, each slightly varied, shape (N, 3, 1, 1)."""
        index = (self._next(1)[:, 0] * len(palette)).long()
        return (palette[index] + 0.08 * (self._next(3) - 0.5))[:, :, None, None]

    def field(self, height: int, width: int) -> Tensor:
        """Draw fields of independent numbers uniform in [-1, 1), shape (N, 1, height, width)."""
        return (2 * self._next(height * width) - 1).reshape(-1, 1, height, width)


def photograph(faces: Tensor, labels: Tensor, seed: int, size: int) -> Tensor:
    """Render one image for each label.

    Args:
        faces: RGB and alpha of every class's sign, shape (K, 4, S, S).
        labels: the classes to draw, shape (n,).
        seed: seed of the random scenes.
        size: pixels per side.

    Returns:
        images, shape (n, 3, size, size).
    """
    layout, grain = frozen_random(seed, 1), frozen_random(seed, 2)
    images = [torch.empty(0, 3, size, size)]
    for chunk in labels.split(CHUNK) if len(labels) else ():
        draws = Draws(layout.random_sample((len(chunk), COLUMNS)))
        noise = torch.from_numpy(grain.standard_normal((len(chunk), 3, size, size))).float()
        images.append(_photograph(faces[chunk], draws, noise, size))
    return torch.cat(images)


def balanced_labels(n: int, classes: list[int], seed: int) -> Tensor:
    """Return n labels (n,) in blocks, each block a random order of all the classes."""
    blocks = frozen_random(seed, 0).random_sample((math.ceil(n / len(classes)), len(classes))).argsort(axis=1)
    return torch.tensor(classes)[torch.from_numpy(blocks).flatten()[:n]]


def frozen_random(seed: int, stream: int) -> np.random.RandomState:
    """Return a generator whose numbers are the same in every version of numpy, which `Generator` does not promise."""
    return np.random.RandomState([seed, stream])


def _photograph(faces: Tensor, draws: Draws, noise: Tensor, size: int) -> Tensor:
    x, y = pixel_centres(size * OVERSAMPLING)
    scene = surroundings(draws, size * OVERSAMPLING)
    scene = _with_sign(scene, _worn(faces, draws), draws)
    scene = F.avg_pool2d(_lit(scene, draws, x, y), OVERSAMPLING)
    scene = _blurred(scene, draws, size)
    return _sensed(scene + draws.between(0.0, 0.005) * noise)


def _sensed(scene: Tensor) -> Tensor:
    """Return what a 7-bit sensor records: even grey levels, 0 to 254. An eighth bit would add a fifth to the file size."""
    return (scene.clamp(0, 1) * 127).round() * 2 / 255


def _smooth(field: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(field, (height, width), mode="bicubic", align_corners=False)


def pixel_centres(side: int) -> tuple[Tensor, Tensor]:
    """Return the coordinates x and y of the pixels' centres, each of shape (1, 1, side, side)."""
    centres = (torch.arange(side) + 0.5) / side * 2 - 1
    return centres[None, :].expand(1, 1, side, side), centres[:, None].expand(1, 1, side, side)


def surroundings(draws: Draws, side: int) -> Tensor:
    """Draw the sky, a skyline of trees or houses, and the ground, shape (N, 3, side, side)."""
    x, y = pixel_centres(side)
    horizon = draws.between(-0.2, 1.0) + draws.between(-0.1, 0.1) * x
    sky = draws.colour(SKY) + 0.12 * (y + 0.5) * draws.between(0.0, 1.0)
    clouds = _smooth(draws.field(4, 4), side, side)
    texture = _smooth(draws.field(10, 10), side, side)
    scene = sky + draws.between(0.0, 0.12) * clouds

    height = draws.between(0.1, 1.3)
    trees = height * (1 + 0.5 * _smooth(draws.field(1, 7), 1, side)) + 0.10 * texture
    leaves = draws.colour(TREES) * (1 + 0.5 * texture + 0.25 * clouds)
    steps = F.interpolate(draws.field(1, 5), (1, side), mode="nearest")
    houses = height * (1 + 0.7 * steps)
    windows = (torch.sin(x * draws.between(9, 16)) > 0.2) & (torch.sin(y * draws.between(9, 16)) > 0.1)
    walls = draws.colour(HOUSES) * (1 + 0.25 * steps) * (1 - draws.between(0.1, 0.5) * windows)

    built = draws.between(0, 1) < 0.4
    skyline = torch.where(built, houses, trees)
    scene = torch.where(y > horizon - skyline, torch.where(built, walls, leaves), scene)
    ground = draws.colour(GROUND) * (1 + 0.3 * (y - horizon)) * (1 + 0.15 * texture)
    return torch.where(y > horizon, ground, scene).clamp(0, 1)


def _worn(faces: Tensor, draws: Draws) -> Tensor:
    """Fade the paint and add dirt; return RGB times alpha, and alpha, shape (N, 4, S, S)."""
    rgb, alpha = faces[:, :3], faces[:, 3:]
    grey = rgb.mean(dim=1, keepdim=True)
    rgb = rgb + draws.between(0.0, 0.35) * (0.15 + 0.7 * grey - rgb)
    dirt = (_smooth(draws.field(5, 5), *faces.shape[2:]) - 0.2).clamp(min=0)
    rgb = rgb * (1 - draws.between(0.0, 0.5) * dirt)
    return torch.cat([rgb * alpha, alpha], dim=1)


def _with_sign(scene: Tensor, faces: Tensor, draws: Draws) -> Tensor:
    yaw, pitch, roll = (draws.between(-a, a).flatten() * math.pi / 180 for a in (40, 22, 11))
    radius = draws.between(0.60, 0.97).flatten()
    shift = torch.stack([draws.between(-0.16, 0.16).flatten(), draws.between(-0.16, 0.16).flatten()], dim=1)
    to_plate = image_to_plate(yaw, pitch, roll, radius, shift)
    return with_plate(scene, faces, to_plate, draws.between(0.05, 0.09), draws.between(0.35, 0.75))


def with_plate(scene: Tensor, plates: Tensor, to_plate: Tensor, width: Tensor, grey: Tensor) -> Tensor:
    """Draw plates and their poles over scenes, in the perspective of a pinhole camera; differentiable in all but the views.

    Args:
        scene: the surroundings, shape (N, 3, side, side).
        plates: RGB times alpha, and alpha, shape (N, 4, S, S).
        to_plate: homographies from the image to the plate, shape (N, 3, 3), from `image_to_plate`.
        width: half the pole's width, where half the plate's is 1, shape (N, 1, 1, 1).
        grey: brightness of the pole, shape (N, 1, 1, 1).

    Returns:
        images, shape (N, 3, side, side).
    """
    n, side = len(scene), scene.shape[-1]
    x, y = pixel_centres(side)
    here = torch.stack([x.flatten(), y.flatten(), torch.ones(side * side)]).to(to_plate)
    there = (to_plate @ here.expand(n, 3, -1)).reshape(n, 3, side, side)
    plate = (there[:, :2] / there[:, 2:]).permute(0, 2, 3, 1)

    u, v = plate[..., 0][:, None], plate[..., 1][:, None]
    pole = ((width - u.abs()) * side / 2).clamp(0, 1) * (v > 0.5)
    metal = grey * (1 - 0.35 * (u / width).clamp(-1, 1) ** 2 - 0.2 * (u / width).clamp(-1, 1))
    scene = scene + pole * (metal - scene)

    warped = F.grid_sample(plates, plate, align_corners=False)
    return warped[:, :3] + (1 - warped[:, 3:]) * scene


def image_to_plate(yaw: Tensor, pitch: Tensor, roll: Tensor, radius: Tensor, shift: Tensor) -> Tensor:
    """Return homographies (N, 3, 3) from the image to the plate, both with coordinates in [-1, 1].

    Args:
        yaw, pitch, roll: angles of the plate, in radians, shape (N,). A plate with yaw 0 and pitch 0 faces the camera.
        radius: half the side of a plate that faces the camera, shape (N,): 1 fills the image.
        shift: where the plate's centre is in the image, shape (N, 2).
    """
    (cy, cp, cr), (sy, sp, sr) = ([f(a) for a in (yaw, pitch, roll)] for f in (torch.cos, torch.sin))
    zero, distance = torch.zeros_like(yaw), 4.0
    right = torch.stack([cy * cr, cp * sr + sp * sy * cr, sp * sr - cp * sy * cr], dim=1)
    down = torch.stack([-cy * sr, cp * cr - sp * sy * sr, sp * cr + cp * sy * sr], dim=1)
    centre = torch.stack([zero, zero, zero + distance], dim=1)
    pinhole = yaw.new_zeros(len(yaw), 3, 3)
    pinhole[:, 0, 0] = pinhole[:, 1, 1] = distance * radius
    pinhole[:, :2, 2], pinhole[:, 2, 2] = shift, 1
    return torch.linalg.inv(pinhole @ torch.stack([right, down, centre], dim=2))


def _lit(scene: Tensor, draws: Draws, x: Tensor, y: Tensor) -> Tensor:
    """Apply exposure, contrast, colour of the light, haze, and the edge of a shadow."""
    angle = draws.between(0, 2 * math.pi)
    across = x * torch.cos(angle) + y * torch.sin(angle) - draws.between(-0.8, 0.8)
    shadow = 1 - draws.between(0.0, 0.55) * torch.sigmoid(across * draws.between(1.5, 12))
    warmth, tint = draws.between(-0.10, 0.10), draws.between(-0.03, 0.03)
    cast = torch.cat([1 + warmth, 1 + tint, 1 - warmth], dim=1)
    light = draws.between(0.55, 1.25) * cast * shadow
    haze = draws.between(0.0, 0.25)
    return (scene * light * (1 - haze) + haze * draws.between(0.3, 0.8)).clamp(0, 1) ** draws.between(
        0.75, 1.2
    )


def _blurred(images: Tensor, draws: Draws, size: int) -> Tensor:
    """Apply Gaussian blur for defocus, wider along the motion. Its widths are in pixels of a 32-pixel image."""
    reach = max(1, round(size * 4 / 32))
    offsets = torch.arange(-reach, reach + 1).float() * 32 / size
    angle = draws.between(0, math.pi)
    focus = draws.between(0.30, 0.75)
    motion = (draws.between(-1.5, 1.0) * 1.3).clamp(min=0)  # in most images the camera stands still
    dx, dy = offsets[None, None, None, :], offsets[None, None, :, None]
    along = dx * torch.cos(angle) + dy * torch.sin(angle)
    across = dy * torch.cos(angle) - dx * torch.sin(angle)
    kernel = torch.exp(-0.5 * (across**2 / focus**2 + along**2 / (focus**2 + motion**2)))
    kernel = (kernel / kernel.sum(dim=(2, 3), keepdim=True)).repeat_interleave(3, dim=0)
    padded = F.pad(images, [reach] * 4, mode="replicate")
    flat = padded.reshape(1, -1, *padded.shape[2:])
    return F.conv2d(flat, kernel, groups=kernel.shape[0]).reshape(images.shape)
