"""The shape of a head that belongs to nobody: the numbers that make a person, and a height map over the face plane.

The face plane has coordinates (u, v), u to the right and v down, in units of half the head's height: the crown is at v = -1,
the chin at v = 1, the eyes near v = 0. The height h is the distance from the plane towards the viewer. All functions take
arrays of any shape (N, H, W) and traits of shape (N, 1, 1), so a whole batch is drawn at once.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

Traits = dict[str, Tensor]  # name -> shape (N, 1, 1)

SIDE, EXTENT = 96, 1.5  # cells of the height map, which covers [-EXTENT, EXTENT] along both axes
DEPTH = 0.74  # height of the bare half-ellipsoid at its middle
RIM = 0.12  # how far the rim's infinite slope is softened

# Lowest and highest value of each number that makes a person. Lengths are in units of half the head's height.
TRAITS: dict[str, tuple[float, float]] = {
    "width": (0.66, 0.76),
    "taper": (0.22, 0.46),  # how much narrower the jaw is than the temples
    "square": (2.0, 2.9),  # exponent of the jaw's outline: 2 is an ellipse
    "chin": (0.02, 0.09),
    "cheekbone": (0.01, 0.06),
    "cheek_fat": (-0.03, 0.05),
    "brow_ridge": (0.01, 0.06),
    "socket": (0.03, 0.08),
    "nose_length": (0.36, 0.47),  # v of its base
    "nose_height": (0.15, 0.27),
    "nose_width": (0.085, 0.145),
    "nose_bridge": (0.040, 0.066),
    "nose_tip": (0.01, 0.06),
    "eye_distance": (0.265, 0.325),
    "eye_height": (-0.03, 0.05),  # v
    "eye_width": (0.118, 0.152),
    "eye_opening": (0.044, 0.078),
    "eye_tilt": (-0.10, 0.16),
    "brow_height": (0.150, 0.225),  # above the eye
    "brow_arch": (0.010, 0.060),
    "brow_tilt": (-0.14, 0.14),
    "brow_thickness": (0.018, 0.046),
    "mouth_height": (0.585, 0.665),  # v
    "mouth_width": (0.185, 0.275),
    "upper_lip": (0.024, 0.056),
    "lower_lip": (0.034, 0.074),
    "lip_colour": (0.0, 1.0),  # pale to deep red
    "iris": (0.0, 1.0),  # place in the palette of eye colours
    "freckles": (-1.2, 1.0),  # nobody has fewer than none: two thirds of the people have hardly any
    "age": (0.0, 1.0),
    "skin": (0.0, 1.0),  # place in the palette of skin tones
    "ruddy": (0.0, 1.0),
}


def smooth(low: float | Tensor, high: float | Tensor, x: Tensor) -> Tensor:
    """Return the cubic step that is 0 below `low` and 1 above `high`."""
    t = ((x - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def bump(x: Tensor, y: Tensor, width: float | Tensor, height: float | Tensor) -> Tensor:
    """Return the Gaussian exp(-((x / width)**2 + (y / height)**2) / 2)."""
    return torch.exp(-0.5 * ((x / width) ** 2 + (y / height) ** 2))


def spread(n: int, random: np.random.RandomState) -> Traits:
    """Draw n people whose values of each trait are spread evenly over its range: a Latin hypercube, traits (n, 1, 1)."""
    traits = {}
    for name, (low, high) in TRAITS.items():
        share = (random.permutation(n) + random.random_sample(n)) / n
        traits[name] = torch.from_numpy(low + (high - low) * share).float()[:, None, None]
    return traits


def plane(side: int = SIDE) -> tuple[Tensor, Tensor]:
    """Return u and v of the cells of a map over the face plane, each (1, side, side)."""
    centres = ((torch.arange(side) + 0.5) / side * 2 - 1) * EXTENT
    return centres[None, None, :].expand(1, side, side), centres[None, :, None].expand(1, side, side)


def outline(u: Tensor, v: Tensor, person: Traits, grow: float | Tensor = 0.0) -> Tensor:
    """Return 0 at the head's middle, 1 on its outline, more outside; `grow` makes the head larger all round.

    An ellipse above the eyes; below them the width shrinks with v by the trait "taper", but never to 0, so that no spike stands
    at chin or crown.
    """
    width = (person["width"] + grow) * (1 - person["taper"] * smooth(0.0, 1.5, v) * 1.35)
    power = 2.0 + (person["square"] - 2.0) * smooth(0.0, 0.5, v)
    across = ((u / width).abs() + 1e-4) ** power
    return across + ((v / (1 + grow)).abs() + 1e-4) ** (power + 0.2)


def dome(level: Tensor, depth: float | Tensor = DEPTH) -> Tensor:
    """Return the height of a half-ellipsoid, 0 where its outline's level is 1; outside it falls on as steeply as at the rim."""
    inside = (1 - level).clamp(min=0)
    beyond = (level - 1).clamp(0, 0.2)
    return depth * ((inside + RIM**2).sqrt() - RIM - beyond / (2 * RIM))


def relief(u: Tensor, v: Tensor, person: Traits, smile: Tensor, opening: Tensor) -> Tensor:
    """Return what nose, brows, sockets, cheeks, lips and chin add to the height of the bare head."""
    p, a = person, u.abs()
    eye = v - p["eye_height"]
    total = _nose(u, v, p)
    total = total + p["brow_ridge"] * bump(a - 0.27, eye + 0.15, 0.17, 0.055)
    total = total - p["socket"] * bump(a - p["eye_distance"] + 0.02, eye + 0.01, 0.15, 0.095)
    total = total + 0.035 * bump(a - p["eye_distance"], eye, 0.075, 0.055)  # the eyeball
    total = total + p["cheekbone"] * bump(a - 0.44, v - 0.22, 0.13, 0.10)
    apple = p["cheek_fat"] + 0.05 * smile
    total = total + apple * bump(a - 0.36, v - 0.40 + 0.04 * smile, 0.13, 0.13)
    crease = a - 0.20 - 0.42 * (v - 0.42) - 0.02 * smile  # from the nose's wing to the mouth's corner
    along = smooth(0.38, 0.46, v) * (1 - smooth(0.58, 0.72, v))
    total = total - (0.008 + 0.012 * p["age"] + 0.022 * smile) * along * torch.exp(
        -0.5 * (crease / 0.028) ** 2
    )
    return total + _mouth(u, v, p, smile, opening)


def _nose(u: Tensor, v: Tensor, p: Traits) -> Tensor:
    base = p["nose_length"]
    down = smooth(-0.16, base - 0.02, v)
    end = 1 - smooth(base - 0.01, base + 0.075, v)
    width = p["nose_bridge"] + 0.035 * down
    ridge = p["nose_height"] * (0.25 + 0.75 * down) * smooth(-0.24, -0.02, v) * end
    nose = ridge * torch.exp(-0.5 * (u / width) ** 2)
    nose = nose + p["nose_tip"] * bump(u, v - base + 0.05, 0.065, 0.05)
    return nose + 0.075 * bump(u.abs() - p["nose_width"], v - base + 0.025, 0.036, 0.042)


def _mouth(u: Tensor, v: Tensor, p: Traits, smile: Tensor, opening: Tensor) -> Tensor:
    middle, half = p["mouth_height"], p["mouth_width"] * (1 + 0.18 * smile)
    inside = torch.exp(-0.5 * (u / (0.62 * half)) ** 4)
    upper = 0.045 * inside * torch.exp(-0.5 * ((v - middle + 0.030) / 0.030) ** 2)
    lower = 0.055 * inside * torch.exp(-0.5 * ((v - middle - 0.040 - 0.06 * opening) / 0.034) ** 2)
    seam = -0.020 * inside * torch.exp(-0.5 * ((v - middle) / 0.014) ** 2)
    hollow = -0.022 * bump(u, v - middle - 0.135, 0.16, 0.035)
    groove = -0.010 * bump(u, v - middle + 0.095, 0.022, 0.05)
    muzzle = 0.05 * bump(u, v - middle + 0.01, 0.22, 0.14)
    return upper + lower + seam + hollow + groove + muzzle + p["chin"] * bump(u, v - 0.86, 0.15, 0.09)


def slopes(height: Tensor) -> tuple[Tensor, Tensor]:
    """Return the slopes of height maps (N, side, side) along u and along v, by central differences; edges repeat."""
    padded = F.pad(height[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    step = 2 * (2 * EXTENT / height.shape[-1])
    across = (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) / step
    return across, (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) / step


def normals(height: Tensor) -> Tensor:
    """Return the unit normals (N, 3, side, side), pointing out of the plane, of height maps (N, side, side)."""
    across, down = slopes(height)
    return unit(torch.stack([-across, -down, torch.ones_like(height)], 1))


def unit(vectors: Tensor) -> Tensor:
    """Return vectors (N, 3, H, W), none of them zero, scaled to length 1; four times as fast here as torch's `normalize`."""
    return vectors * (vectors * vectors).sum(1, keepdim=True).rsqrt()


def look_up(maps: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Read maps (N, C, side, side) of the face plane at the points u, v (N, H, W): (N, C, H, W), edges repeat."""
    grid = torch.stack([u, v], -1) / EXTENT
    return F.grid_sample(maps, grid, padding_mode="border", align_corners=False)


def unproject(
    x: Tensor, y: Tensor, height: Tensor, yaw: Tensor, pitch: Tensor, pivot: float = 0.0, rounds: int = 6
) -> tuple[Tensor, Tensor]:
    """Find the point of the face plane that is seen at (x, y) when the head is turned.

    A point of height h is seen at x = u cos(yaw) + (h - pivot) sin(yaw), and y alike with the pitch. Solved for (u, v) by the
    fixed point u <- u / 2 + (x - (h(u, v) - pivot) sin(yaw)) / cos(yaw) / 2, which needs no mesh; it finds the visible point
    where several are projected onto one. Without a turn the answer is (x, y) itself.

    Args:
        x, y: where to look, (N, H, W).
        height: maps (N, side, side) of the face plane.
        yaw, pitch: angles in radians, (N, 1, 1); positive turns the face to the right, and down.
        pivot: height of the axes of rotation above the plane (default 0).
        rounds: steps of the fixed point (default 6).
    """
    u, v, maps = x, y, height[:, None]
    for _ in range(rounds):
        lift = look_up(maps, u, v)[:, 0] - pivot
        u = 0.5 * u + 0.5 * (x - lift * yaw.sin()) / yaw.cos()
        v = 0.5 * v + 0.5 * (y - lift * pitch.sin()) / pitch.cos()
    return u, v
