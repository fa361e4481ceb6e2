"""Cameras and sign nets, as recipes: what the lab's functions are given. All that a camera draws follows from whole numbers."""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advcourse import models
from advcourse.labs.victims import Victim

SHARP = 15.0  # metres: a sign that is farther away has fewer pixels in the photograph than in its picture
DEPTH = (
    0.25  # half a plate's side, in units of its distance, as far as perspective goes: the crop keeps its size
)


class Draws:
    """Random numbers from a seed, for `n` images like `x`: the same on every device, and in every type up to rounding."""

    def __init__(self, seed: int, n: int, x: Tensor):
        self._generator, self._n, self._x = torch.Generator().manual_seed(int(seed)), n, x

    def between(self, low: float, high: float, *shape: int) -> Tensor:
        """Numbers from `low` to `high`, (n, *shape)."""
        share = torch.rand((self._n, *shape), generator=self._generator, dtype=torch.float64)
        return (low + share * (high - low)).to(self._x)

    def normal(self, *shape: int) -> Tensor:
        """Normal numbers, (n, *shape)."""
        drawn = torch.randn((self._n, *shape), generator=self._generator, dtype=torch.float64)
        return drawn.to(self._x)


def matrices(rows: Sequence[Sequence[Tensor | float]]) -> Tensor:
    """The matrices (n, 3, 3) of rows whose entries are numbers or have the shape (n,)."""
    like = next(entry for row in rows for entry in row if isinstance(entry, Tensor))
    entries = [e if isinstance(e, Tensor) else torch.full_like(like, e) for row in rows for e in row]
    return torch.stack(entries, 1).view(-1, 3, 3)


def turned(turn: Tensor, size: Tensor, shift: Tensor) -> Tensor:
    """The matrices that turn by `turn` (n,), stretch by `size` (n,) and shift by `shift` (n, 2)."""
    cos, sin = size * turn.cos(), size * turn.sin()
    return matrices([[cos, -sin, shift[:, 0]], [sin, cos, shift[:, 1]], [0.0, 0.0, 1.0]])


def warped(x: Tensor, matrix: Tensor, padding: str) -> Tensor:
    """Images (N, C, H, W) seen through matrices (N or 1, 3, 3), which say where in the image each point of the result lies.

    Points are (x, y), from -1 to 1 across the image.
    """
    height, width = x.shape[2:]
    down, across = ((torch.arange(k).to(x) + 0.5) / k * 2 - 1 for k in (height, width))
    points = torch.stack(torch.broadcast_tensors(across, down[:, None], torch.ones_like(down[:, None])), -1)
    places = points.reshape(1, -1, 3) @ matrix.mT
    grid = (places[..., :2] / places[..., 2:]).reshape(-1, height, width, 2)
    grid = grid.expand(len(x), -1, -1, -1)
    return F.grid_sample(x, grid, padding_mode=padding, align_corners=False)


def blurred(x: Tensor, sigma: Tensor) -> Tensor:
    """Images after a lens that spreads each point, with standard deviations `sigma` (N,) or (1,) in pixels."""
    down, across = (_spread(sigma, k) for k in x.shape[2:])
    return down @ x @ across.mT


def _spread(sigma, size):
    places = torch.arange(size).to(sigma)
    weights = torch.exp(-0.5 * ((places[:, None] - places) / sigma[:, None, None]) ** 2)
    return (weights / weights.sum(2, keepdim=True))[:, None]


class Phone(nn.Module):
    """A phone in somebody's hand: `camera(x, seed)` photographs a batch; another whole number gives other photographs.

    Each image has draws of its own: shift, turn and size, light and its colour, blur and noise. It has a gradient.
    """

    def forward(self, x: Tensor, seed: int) -> Tensor:
        draws, channels = Draws(seed, len(x), x), x.shape[1]
        pose = turned(draws.between(-0.1, 0.1), draws.between(0.93, 1.07), draws.between(-0.12, 0.12, 2))
        light = draws.between(0.75, 1.25, 1, 1, 1) * draws.between(0.9, 1.1, channels, 1, 1)
        seen = blurred(warped(x, pose, "border"), draws.between(0.4, 0.9)) * light
        return (seen + 0.02 * draws.normal(*x.shape[1:])).clamp(0, 1)


class StrictPhone(Phone):
    """A phone that refuses a seed for which it was asked before, and more than `most` photographs of a batch in all.

    Photographs without a gradient do not count.
    """

    AGAIN = "was asked for before, so these photographs are not new"
    TOO_MANY = "photographs with a gradient, and allowed are"

    def __init__(self, most: int):
        super().__init__()
        self.most, self.met = int(most), []

    def forward(self, x: Tensor, seed: int) -> Tensor:
        if torch.is_grad_enabled() and x.requires_grad:
            if int(seed) in self.met:
                raise RuntimeError(f"seed {int(seed)} {self.AGAIN}")
            self.met.append(int(seed))
            if len(self.met) > self.most:
                raise RuntimeError(f"{len(self.met)} {self.TOO_MANY} {self.most}")
        return super().forward(x, seed)


@cache
def _loaded(name):
    return models.load(name)


@dataclass(frozen=True)
class Net(Victim):
    """A victim, or a net that reads signs, which ships with the library: kind "signs-cnn" or "signs-phone"."""

    def build(self, dtype: torch.dtype = torch.float32, device: str | torch.device = "cpu") -> nn.Module:
        if not self.kind.startswith("signs-"):
            return super().build(dtype, device)
        return copy.deepcopy(_loaded(self.kind)).to(device=device, dtype=dtype).train(self.training)


@dataclass(frozen=True)
class Photographed(Net):
    """A net behind a phone: its model is `nn.Sequential(camera, f)`. `most`: of a strict phone, see there; 0 for no limit."""

    most: int = 0

    def build(self, dtype: torch.dtype = torch.float32, device: str | torch.device = "cpu") -> nn.Sequential:
        camera = StrictPhone(self.most) if self.most else Phone()
        return nn.Sequential(camera, super().build(dtype, device)).train(self.training)


class Wavering(nn.Module):
    """Two logits, m and -m, of photographs; m changes fast in bright ones, which are few, and slowly the other way in others.

    m is the mean of the photograph times a pattern, which has as much plus as minus, so that brightness alone does not move it.
    """

    BRIGHT, STEEP = (
        0.55,
        6.0,
    )  # the mean pixel of a bright photograph of a grey image; slope there, in units of that of others

    def __init__(self, seed: int, shape: tuple[int, int, int]):
        super().__init__()
        coarse = torch.randn((1, 1, 3, 3), generator=torch.Generator().manual_seed(seed))
        pattern = F.interpolate(coarse, shape[1:], mode="bilinear", align_corners=True)[0, 0]
        pattern = pattern - pattern.mean()
        self.pattern = nn.Parameter(10 * pattern / pattern.abs().mean())

    def forward(self, x: Tensor) -> Tensor:
        bright = x.detach().mean((1, 2, 3)) > self.BRIGHT
        m = (x * self.pattern).mean((1, 2, 3)) * torch.where(bright, self.STEEP, -1.0).to(x)
        return torch.stack([m, -m], 1)


@dataclass(frozen=True)
class Unsure(Photographed):
    """A `Wavering` net behind a phone."""

    def build(self, dtype: torch.dtype = torch.float32, device: str | torch.device = "cpu") -> nn.Sequential:
        net = Wavering(self.seed, self.shape).to(device=device, dtype=dtype)
        return nn.Sequential(Phone(), net).train(self.training)


class Street(nn.Module):
    """Photographs plates from one place, in front of one street: see `View`."""

    def __init__(self, seed: int, distance: float, angle: float, aside: float = 0.0):
        super().__init__()
        self.seed, self.distance, self.angle, self.aside = seed, distance, math.radians(angle), aside

    def forward(self, x: Tensor) -> Tensor:
        draws = Draws(self.seed, 1, x)
        colours, alpha = (x[:, :3], x[:, 3:]) if x.shape[1] == 4 else (x, torch.ones_like(x[:, :1]))
        plate = warped(torch.cat([colours * alpha, alpha], 1), self._pose(draws), "zeros")
        street = draws.between(0.1, 0.9, colours.shape[1], 3, 3)
        street = F.interpolate(street, x.shape[2:], mode="bilinear", align_corners=True)
        light = draws.between(0.7, 1.2, 1, 1, 1) * draws.between(0.9, 1.1, colours.shape[1], 1, 1)
        scene = blurred((plate[:, :-1] + (1 - plate[:, -1:]) * street) * light, draws.between(0.3, 0.7))
        return self._sampled(scene).clamp(0, 1)

    def _pose(self, draws):
        """Turned a little, and seen from the side: one end of the plate is nearer than the other."""
        turn, size = draws.between(-0.09, 0.09), draws.between(1.1, 1.25)
        side = matrices([[size / math.cos(self.angle), 0.0, 0.0], [0.0, size, 0.0], [0.0, 0.0, 1.0]])
        side[:, 2, 0] = DEPTH * math.tan(self.angle)
        shift = draws.between(-0.06, 0.06, 2) + self.aside
        return side @ turned(turn, torch.ones_like(turn), shift)

    def _sampled(self, scene):
        """With as few pixels as a sign at this distance has."""
        if self.distance <= SHARP:
            return scene
        size = scene.shape[2:]
        few = [max(2, round(side * SHARP / self.distance)) for side in size]
        return F.interpolate(
            F.interpolate(scene, few, mode="area"), size, mode="bilinear", align_corners=False
        )


@dataclass(frozen=True)
class View(Victim):
    """A place at the road: a function of plates that gives photographs (N, C, H, W), the same each time; with a gradient.

    Plates are (N, C, H, W), or (N, 4, H, W) with alpha, 1 on the sign and 0 beside it. `distance` in metres; `angle` in degrees,
    0 from the front. `aside`: how far the camera points beside the plate, in halves of its side. Street and light follow from
    `seed`.
    """

    distance: float = 10.0
    angle: float = 0.0
    aside: float = 0.0

    def build(self, dtype: torch.dtype = torch.float32, device: str | torch.device = "cpu") -> nn.Module:
        return Street(self.seed, self.distance, self.angle, self.aside).eval()
