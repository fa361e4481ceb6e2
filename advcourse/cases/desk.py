"""A simulated photograph of a printed page on a desk, for trying out how sheets are read without paper."""

import math
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch.nn import functional as F

from advcourse.cases.geometry import transformed
from advcourse.cases.printer import printed
from advcourse.core.inputs import check_field

_FOCAL = 1.15  # focal length, in long sides of the photograph


@dataclass(frozen=True)
class Desk:
    """Print a page, put it on a wooden desk, and photograph it with a phone.

    Args:
        tilt: angle between the line of sight and the page's normal, in degrees, 0 to 70 (default 20). It leans to a random side.
        turn: rotation of the page in the photograph, in degrees (default 0).
        lens: radial distortion, the share by which the photograph's corners move, -0.1 to 0.1 (default 0.02).
        blur: standard deviation of the blur, in pixels of the photograph (default 0.8).
        noise: standard deviation of the noise, of 1 (default 0.015).
        quality: JPEG's quality (default 88).
        size: long side of the photograph in pixels (default 1800).
        seed: of the desk, the light, the shadow, the side to which it leans, and the noise (default 0).
    """

    tilt: float = 20.0
    turn: float = 0.0
    lens: float = 0.02
    blur: float = 0.8
    noise: float = 0.015
    quality: int = 88
    size: int = 1800
    seed: int = 0

    def __post_init__(self):
        limits = {"tilt": (0, 70), "turn": (-360, 360), "lens": (-0.1, 0.1), "blur": (0, 50), "noise": (0, 1)}
        for name, (low, high) in limits.items():
            check_field(self, name, low, high)
        for name, low, high in (("quality", 1, 100), ("size", 64, 8000), ("seed", 0, 2**32 - 1)):
            check_field(self, name, low, high, integer=True)

    def photograph(self, page: Image.Image, points: np.ndarray) -> tuple[Image.Image, np.ndarray]:
        """Photograph a page.

        Args:
            page: the page, in colour.
            points: points on it, (..., 2), in shares of its width and height.

        Returns:
            the photograph, and where the points are in it, (..., 2), x and y in pixels.
        """
        rng = np.random.default_rng((self.seed, 7))
        width, height = round(0.75 * self.size), self.size
        view = self._view(page.size[1] / page.size[0], width, height, rng)
        scene = self._scene(page, np.linalg.inv(view), width, height, rng)
        scene = scene.filter(ImageFilter.GaussianBlur(self.blur)) if self.blur else scene
        noise = self.noise * rng.standard_normal((height, width, 3), dtype=np.float32)
        pixels = np.asarray(scene, dtype=np.float32) / 255 + noise
        file = BytesIO()
        rounded = Image.fromarray(np.uint8(np.clip(255 * pixels, 0, 255).round()))
        rounded.save(file, "JPEG", quality=self.quality)
        return Image.open(file), self._distorted(transformed(view, np.asarray(points, float)), width, height)

    def _view(self, aspect, width, height, rng):
        """Return the homography from shares of the page to pixels, such that the page fills most of the photograph."""
        lean, turn, tilt = rng.uniform(0, 2 * math.pi), math.radians(self.turn), math.radians(self.tilt)
        axis = np.array([math.cos(lean), math.sin(lean), 0])
        tilted = math.cos(tilt) * np.eye(3) + (1 - math.cos(tilt)) * np.outer(axis, axis)
        tilted += math.sin(tilt) * np.array([[0, 0, axis[1]], [0, 0, -axis[0]], [-axis[1], axis[0], 0]])
        flat = np.array(
            [[math.cos(turn), -math.sin(turn), 0], [math.sin(turn), math.cos(turn), 0], [0, 0, 1]]
        )
        page = (tilted @ flat)[:, :2] @ np.array([[1 / aspect, 0], [0, 1]])  # of height 1, about its centre
        focal = _FOCAL * height
        for distance in np.arange(0.8, 6, 0.02):  # the first from which all of it is seen
            to_camera = np.column_stack([page, [0, 0, distance]]) @ np.array(
                [[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]]
            )
            view = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]]) @ to_camera
            corners = transformed(view, np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float))
            low, high = corners.min(0), corners.max(0)
            if (high - low <= (0.93 * width, 0.93 * height)).all():
                break
        shift = np.array([width, height]) / 2 - (low + high) / 2
        return np.array([[1, 0, shift[0]], [0, 1, shift[1]], [0, 0, 1]]) @ view

    def _scene(self, page, to_page, width, height, rng):
        """Render the printed page on the desk, in its light, as a picture; each pixel of the page from 2 x 2 points."""
        width_2, size = 2 * width, (width, round(width * page.size[1] / page.size[0]))
        small = page.convert("RGB").resize(size, Image.Resampling.BOX)
        paper = printed(torch.from_numpy(np.array(small)).permute(2, 0, 1)[None].float() / 255)
        there = self._on_page(to_page, width_2, 2 * height)
        seen = F.grid_sample(paper, 2 * there[None] - 1, align_corners=False, padding_mode="border")
        inside = ((there >= 0) & (there <= 1)).all(-1)[None, None].float()
        seen, inside = F.avg_pool2d(seen, 2)[0], F.avg_pool2d(inside, 2)[0]
        scene = inside * seen + (1 - inside) * _wood(there[::2, ::2], rng)
        x, y = torch.arange(width) / width - 0.5, torch.arange(height)[:, None] / height - 0.5
        scene = (scene * _desk_light(x, y, rng)).clamp(0, 1)
        return Image.fromarray((255 * scene).round().byte().permute(1, 2, 0).numpy())

    def _on_page(self, to_page, width, height):
        """Return the points (height, width, 2), in shares of the page, that are seen at the points of a fine grid."""
        half = math.hypot(width, height) / 2
        x = ((torch.arange(width) + 0.5 - width / 2) / half)[None]
        y = ((torch.arange(height) + 0.5 - height / 2) / half)[:, None]
        away = 1 + self.lens * (x**2 + y**2)
        x, y = x * away * half / 2 + width / 4, y * away * half / 2 + height / 4  # pixels, straightened
        h = to_page.tolist()
        w = h[2][0] * x + h[2][1] * y + h[2][2]
        return torch.stack([(row[0] * x + row[1] * y + row[2]) / w for row in h[:2]], -1)

    def _straight(self, points, width, height):
        """Return where points of the photograph would be without the lens's distortion."""
        centre, half = np.array([width, height]) / 2, math.hypot(width, height) / 2
        away = (points - centre) / half
        return centre + half * away * (1 + self.lens * (away**2).sum(-1, keepdims=True))

    def _distorted(self, points, width, height):
        """Return where the lens moves points: the inverse of `_straight`, by fixed-point iteration."""
        moved = points
        for _ in range(20):
            moved = moved + points - self._straight(moved, width, height)
        return moved


def _wood(there, rng):
    """Return the desk's colours at points (H, W, 2) of the page's plane, (3, H, W)."""
    colour = torch.tensor([0.55, 0.40, 0.27]) * float(rng.uniform(0.6, 1.3))
    x, y = there.unbind(-1)
    rings = torch.sin(40 * x + 3 * torch.sin(2.3 * y + float(rng.uniform(0, 6))))
    grain = 1 + 0.12 * rings + 0.06 * torch.sin(310 * x + 5 * torch.sin(9 * y))
    return colour[:, None, None] * grain


def _desk_light(x, y, rng):
    """Return the light on the desk, (3, H, W): brighter to one side, with the soft edge of a shadow and a cast of colour."""
    angle, edge = rng.uniform(0, 2 * math.pi, 2)
    across = x * math.cos(angle) + y * math.sin(angle)
    beside = x * math.cos(edge) + y * math.sin(edge) - rng.uniform(-0.3, 0.3)
    shadow = 1 - rng.uniform(0.0, 0.35) * torch.sigmoid(beside * rng.uniform(15, 60))
    cast = torch.from_numpy(1 + rng.uniform(-0.08, 0.08, 3)).float()[:, None, None]
    return cast * (rng.uniform(0.85, 1.1) * (1 + rng.uniform(0, 0.3) * across) * shadow)
