"""Hair: a shell over the skull with a hairline, and what hangs behind the head. Many people share few styles and colours."""

from dataclasses import astuple, dataclass, fields

import torch
from torch import Tensor

from advcourse.data.face_shapes import Traits, bump, smooth

# Black, dark brown, brown, chestnut, dark blond, blond, red, grey.
COLOURS = torch.tensor(
    [
        [0.075, 0.065, 0.065],
        [0.170, 0.115, 0.085],
        [0.290, 0.190, 0.120],
        [0.360, 0.190, 0.110],
        [0.500, 0.375, 0.235],
        [0.780, 0.630, 0.400],
        [0.560, 0.245, 0.105],
        [0.600, 0.590, 0.580],
    ]
)


@dataclass(frozen=True)
class Style:
    """A haircut. Lengths in face units; v points down, from the crown at -1 to the chin at 1.

    hairline: v of the edge above the forehead's middle. temple: how far the edge comes down towards the temples. side: v down to
    which hair covers the sides of the face. volume: thickness on the skull. part: u of the parting, from which the edge falls by
    `sweep` to the other side. width, length: half-width of what hangs behind the head, and the v of its end; 0 for none. curl:
    how uneven edge and surface are. cover: opacity.
    """

    hairline: float
    temple: float
    side: float
    volume: float
    part: float = 0.0
    sweep: float = 0.0
    width: float = 0.0
    length: float = 0.0
    curl: float = 0.0
    cover: float = 1.0


STYLES: dict[str, Style] = {
    "crop": Style(-0.60, 0.22, 0.02, 0.06, part=0.25, sweep=0.04),
    "side part": Style(-0.66, 0.20, 0.06, 0.11, part=-0.34, sweep=0.22),
    "fringe": Style(-0.30, 0.06, 0.66, 0.10, part=0.0, sweep=0.03, width=0.86, length=0.80),
    "long": Style(-0.74, 0.46, 1.50, 0.09, part=0.04, sweep=0.0, width=0.88, length=1.9),
    "long parted": Style(-0.68, 0.28, 1.50, 0.10, part=0.36, sweep=0.16, width=0.86, length=1.9),
    "curly": Style(-0.56, 0.18, 0.30, 0.20, width=0.92, length=0.42, curl=1.0),
    "buzz": Style(-0.60, 0.20, -0.04, 0.018, curl=0.25, cover=0.82),
    "tied": Style(-0.66, 0.26, -0.10, 0.045, part=0.0, sweep=0.0),
    "bald": Style(-3.0, 0.0, -3.0, 0.0, cover=0.0),
}


def haircut(names: list[str]) -> Traits:
    """Return the numbers of the named styles as traits of shape (N, 1, 1), each named "hair_" and the field's name."""
    values = torch.tensor([astuple(STYLES[name]) for name in names])
    return {f"hair_{part.name}": values[:, i, None, None] for i, part in enumerate(fields(Style))}


def waves(angle: Tensor, along: Tensor) -> Tensor:
    """Return strands, in about [-1, 1]: stripes across `angle` that wander slowly `along` the hair."""
    bent = angle + 0.03 * torch.sin(5 * along + 3 * angle)
    return 0.4 * torch.sin(23 * bent) + 0.35 * torch.sin(51 * bent + 1.3) + 0.25 * torch.sin(97 * bent + 2.1)


def locks(u: Tensor, v: Tensor) -> Tensor:
    """Return curls, in about [-1, 1]: a pattern of small rings."""
    bent_u, bent_v = u + 0.06 * torch.sin(9 * v + 4 * u), v + 0.06 * torch.sin(11 * u - 3 * v)
    return torch.sin(27 * bent_u + 2 * torch.sin(13 * bent_v)) * torch.sin(
        25 * bent_v + 2 * torch.sin(15 * bent_u)
    )


def texture(u: Tensor, v: Tensor, person: Traits) -> Tensor:
    """Return how light or dark each place of the hair is, in about [-1, 1]: strands that fall from the parting, or curls."""
    down = v + 1.25
    strands = waves(torch.atan2(u - person["hair_part"], down), down)
    return strands + person["hair_curl"] * (locks(u, v) - strands)


def inside_hairline(u: Tensor, v: Tensor, person: Traits) -> Tensor:
    """Return about how far each place lies inside the hair, negative on the bare face, (N, H, W)."""
    p, a = person, u.abs()
    from_part = u - p["hair_part"]
    fall = p["hair_sweep"] * (from_part * torch.where(p["hair_part"] > 0, -1.0, 1.0) + 0.15).clamp(-0.1, 1.0)
    edge = p["hair_hairline"] + fall + p["hair_temple"] * smooth(0.10, 0.62, a) ** 1.3
    rough = 0.006 * torch.sin(29 * u + 2) + 0.05 * p["hair_curl"] * locks(u, 0 * v)
    start, wide = 0.86 * p["width"] - 0.06, 0.12
    fall_at_side, t = (p["hair_side"] - edge).clamp(min=0), ((a - start) / wide).clamp(0, 1)
    steep = fall_at_side * 6 * t * (1 - t) / wide
    above, beside = edge + rough - v, (edge + fall_at_side * smooth(0.0, 1.0, t) - v) / (1 + steep**2).sqrt()
    return torch.maximum(above, beside)


def behind(x: Tensor, y: Tensor, person: Traits) -> Tensor:
    """Return the level of the hair behind the head at (x, y): below 1 inside, (N, H, W). Without any, 9 everywhere."""
    width, end = person["hair_width"].clamp(min=0.05), person["hair_length"]
    half = (end + 1.12) / 2
    middle = half - 1.12
    flare = width * (1 + 0.06 * smooth(0.0, 1.2, y))
    ragged = 1 + 0.06 * person["hair_curl"] * locks(0.8 * x, 0.8 * y)
    level = ((x / flare).abs() + 1e-4) ** 2.8 + (((y - middle) / half).abs() + 1e-4) ** 3.2
    return torch.where(person["hair_width"] > 0, level * ragged, torch.full_like(level, 9.0))


def brows(u: Tensor, v: Tensor, person: Traits, raised: Tensor) -> Tensor:
    """Return how much of each place is eyebrow, in [0, 1]; `raised` in about [-1, 1] lifts them."""
    p = person
    along = (u.abs() - p["eye_distance"]) / (1.25 * p["eye_width"])
    middle = p["eye_height"] - p["brow_height"] - 0.035 * raised - p["brow_arch"] * (1 - along**2)
    middle = middle - p["brow_tilt"] * 0.14 * along - 0.02 * raised * along
    thick = p["brow_thickness"] * (1 - 0.42 * smooth(-0.4, 1.1, along))
    inside = torch.exp(-(((v - middle) / thick) ** 4)) * (1 - smooth(0.86, 1.16, along.abs()))
    return inside * (0.95 + 0.05 * torch.sin(210 * u + 80 * v))


def stubble(u: Tensor, v: Tensor, person: Traits) -> Tensor:
    """Return where a beard grows, in [0, 1]: jaw, chin and upper lip, without the mouth."""
    p, a = person, u.abs()
    mouth = p["mouth_height"]
    jaw = smooth(0.26, 0.62, v + 0.75 * (a - 0.28)) * smooth(0.40, 0.55, v)
    sides = 0.9 * smooth(0.48, 0.60, a) * smooth(0.02, 0.50, v)
    lip = bump(u, v - mouth + 0.085, 0.20, 0.032)
    lips = bump(u / (1.15 * p["mouth_width"]), (v - mouth) / 0.075, 0.62, 0.62)
    return (torch.maximum(torch.maximum(jaw, sides), lip) * (1 - 1.15 * lips)).clamp(0, 1)
