"""Photographs of the people of `face_shapes`: pose, light, background, lens and sensor; a batch at a time, without a mesh.

Picture coordinates: x to the right, y down, in face units, so that a head seen from the front has its crown at y = -1 and its
chin at y = 1. Light is Lambert's: the brightness of a surface is the cosine between its normal and the direction of the light.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from advcourse.data.face_hair import behind, inside_hairline, texture
from advcourse.data.face_paint import SKIN, edge, face, from_palette, over
from advcourse.data.face_shapes import (
    DEPTH,
    SIDE,
    Traits,
    dome,
    look_up,
    normals,
    outline,
    plane,
    relief,
    smooth,
    unit,
    unproject,
)
from advcourse.data.sign_scenes import Draws

HALF = 0.93  # half the side of the picture in face units
MIDDLE = 0.11  # y of its middle
PIVOT = 0.34  # height of the axes about which a head turns
OVERSAMPLING = 2

# Walls, curtains, a sky, foliage out of focus: none of them colourful.
WALLS = torch.tensor(
    [
        [0.72, 0.70, 0.66],
        [0.56, 0.60, 0.63],
        [0.46, 0.50, 0.55],
        [0.62, 0.56, 0.50],
        [0.38, 0.42, 0.40],
        [0.78, 0.78, 0.78],
        [0.50, 0.46, 0.44],
        [0.30, 0.33, 0.38],
    ]
)
SHIRTS = torch.tensor(
    [
        [0.20, 0.25, 0.36],
        [0.80, 0.80, 0.79],
        [0.30, 0.31, 0.32],
        [0.45, 0.20, 0.20],
        [0.24, 0.36, 0.30],
        [0.55, 0.60, 0.66],
        [0.60, 0.50, 0.36],
        [0.12, 0.12, 0.13],
    ]
)

# What makes a photograph: lowest and highest value, uniform between them.
ANGLES = ("yaw", "pitch", "roll", "light_across", "light_up")  # in degrees here
CIRCUMSTANCES: dict[str, tuple[float, float]] = {
    "yaw": (-25, 25),
    "pitch": (-12, 12),
    "roll": (-7, 7),
    "zoom": (0.90, 1.10),
    "dx": (-0.08, 0.08),
    "dy": (-0.08, 0.08),
    "smile": (0.0, 1.0),
    "opening": (-0.8, 1.0),  # of the mouth, which is shut below 0
    "brows": (-1.0, 1.0),
    "lids": (0.78, 1.1),
    "look_across": (-0.7, 0.7),
    "look_down": (-0.4, 0.4),
    "light_across": (-60, 60),
    "light_up": (0, 50),
    "ambient": (0.34, 0.62),
    "direct": (0.55, 0.95),
    "exposure": (0.80, 1.15),
    "slope_across": (-0.12, 0.12),
    "slope_down": (-0.12, 0.12),
    "shape_turn": (0.0, 6.28),
    "shape_place": (-0.6, 0.6),
    "shape": (0.0, 0.8),
    "blur": (0.30, 0.80),
    "noise": (0.004, 0.016),
    "tone": (0.85, 1.15),
}


def coordinates(size: int, view: Traits) -> tuple[Tensor, Tensor]:
    """Return x and y, (N, size, size), of the pixels' centres, with the head's roll, place and size in the picture undone."""
    centres = ((torch.arange(size) + 0.5) / size * 2 - 1) * HALF
    x, y = centres[None, None, :] - view["dx"], centres[None, :, None] + MIDDLE - view["dy"]
    cos, sin = view["roll"].cos() / view["zoom"], view["roll"].sin() / view["zoom"]
    return cos * x + sin * y, cos * y - sin * x


def head_maps(person: Traits, view: Traits) -> tuple[Tensor, Tensor]:
    """Return the height of face and hair over the face plane, (N, side, side), and their normals with the hollows' shade.

    The second is (N, 4, side, side): the normals, and how much of the sky each place sees, from 0 to 1.
    """
    u, v = plane(SIDE)
    level = outline(u, v, person)
    bare = dome(level) + smooth(1.0, 0.75, level) * relief(u, v, person, view["smile"], view["opening"])
    thick = person["hair_volume"]
    shell = dome(outline(u, v, person, thick), DEPTH + 0.9 * thick)
    shell = shell + thick * 0.10 * texture(u, v, person)
    hair = smooth(-0.02, 0.10, inside_hairline(u, v, person))
    height, seen = (
        low + hair * (high - low) for low, high in ((bare.clamp(min=0), shell.clamp(min=0)), (bare, shell))
    )
    around = F.avg_pool2d(F.pad(height[:, None], [5] * 4, mode="replicate"), 11, 1)[:, 0]
    open_sky = (1 - 7.5 * (around - height)).clamp(0.45, 1.06)
    return height, torch.cat([normals(seen), open_sky[:, None]], 1)


def turned(normal: Tensor, view: Traits) -> Tensor:
    """Turn normals (N, 3, H, W) of the face plane as the head is turned; the roll is left out."""
    (x, y, z), yaw, pitch = normal.unbind(1), view["yaw"], view["pitch"]
    x, z = x * yaw.cos() + z * yaw.sin(), z * yaw.cos() - x * yaw.sin()
    return torch.stack([x, y * pitch.cos() + z * pitch.sin(), z * pitch.cos() - y * pitch.sin()], 1)


def direction(view: Traits) -> Tensor:
    """Return the unit vector (N, 3, 1, 1) towards the light, in the picture's axes with the roll undone."""
    across, up, roll = view["light_across"], view["light_up"], view["roll"]
    x, y = across.sin() * up.cos(), -up.sin()
    x, y = roll.cos() * x + roll.sin() * y, roll.cos() * y - roll.sin() * x
    return torch.stack([x, y, across.cos() * up.cos()], 1)


def lambert(normal: Tensor, view: Traits, sky: Tensor | float = 1.0) -> Tensor:
    """Return how bright surfaces with the turned normals (N, 3, H, W) are in each colour: (N, 3, H, W).

    The lamp's light follows Lambert's law, softened a little as skin does it; the sky's comes from above, as far as each place
    sees it (`sky`, 1 for all of it), and is tinted the other way.
    """
    facing = (normal * direction(view)).sum(1, keepdim=True)
    lamp = view["direct"][:, None] * ((facing + 0.18) / 1.18).clamp(min=0) * (0.6 + 0.4 * sky)
    soft = view["ambient"][:, None] * (0.86 - 0.14 * normal[:, 1:2]) * sky
    return soft * (2 - view["cast"]) + lamp * view["cast"]


def flat_light(view: Traits) -> Tensor:
    """Return the light (N, 3, 1, 1) on a plate that is parallel to the face plane."""
    ahead = torch.zeros(len(view["yaw"]), 3, 1, 1)
    ahead[:, 2] = 1
    return lambert(turned(ahead, view), view)


def background(x: Tensor, y: Tensor, view: Traits) -> Tensor:
    """Return a calm wall out of focus, (N, 3, H, W): two related tones, a slope of light, and a broad soft shape."""
    turn = view["shape_turn"]
    shape = view["shape"] * smooth(-0.5, 0.5, x * turn.cos() + y * turn.sin() - view["shape_place"])
    slope = 1 + (view["slope_across"] * x + view["slope_down"] * y)[:, None]
    wall = over(view["wall"], view["wall_other"], shape) * slope
    return wall.clamp(0, 1) * (0.35 + 0.65 * view["exposure"][:, None])


def body(colours: Tensor, x: Tensor, y: Tensor, person: Traits, view: Traits, pixel: Tensor) -> Tensor:
    """Paint hair behind the head, neck and shirt over the background; they lie behind the axes, so a turn moves them back."""
    depth = PIVOT + 0.30
    x, y = x + depth * view["yaw"].sin(), y + 0.5 * depth * view["pitch"].sin()
    strands = 1 + 0.20 * texture(x, 0.3 * y, person)
    shade = (0.50 + 0.22 * smooth(-0.6, 0.9, y)) * strands * (view["ambient"] + 0.8 * view["direct"])
    colours = over(colours, person["hair"] * shade[:, None], edge((1 - behind(x, y, person)) * 0.3, pixel))
    half = 0.56 * person["width"] + 0.10 * smooth(0.9, 1.4, y)
    round_ = (x / half).clamp(-1, 1)
    under = 0.42 + 0.5 * smooth(0.82, 1.30, y)  # the chin's shadow
    neck = from_palette(SKIN, person["skin"]) * lambert(
        _facing(round_, 0 * x, (1.05 - round_**2).sqrt()), view
    )
    colours = over(colours, neck * under[:, None], edge(half - x.abs(), pixel) * smooth(0.3, 0.5, y))
    neckline = (
        1.15
        + 0.10 * (x / 0.55) ** 2
        + 0.11 * torch.exp(-((x / 0.62) ** 6))
        - 0.30 * smooth(0.4, 1.5, x.abs())
    )
    cloth = view["shirt"] * lambert(_facing(0.7 * x, -0.5 + 0 * x, 1 + 0 * x), view)
    return over(colours, cloth, edge(y - neckline, pixel))


def back_of_head(
    colours: Tensor, x: Tensor, y: Tensor, person: Traits, view: Traits, pixel: Tensor
) -> Tensor:
    """Paint the skull behind the face plane, which a turn brings into view."""
    across, down = x + PIVOT * view["yaw"].sin(), y + PIVOT * view["pitch"].sin()
    grow = 0.7 * person["hair_volume"] * person["hair_cover"]
    level = outline(across / (1 + 0.02 * view["yaw"].abs()), down, person, grow)
    light = lambert(_facing(across, 0.7 * down, (1.02 - level).clamp(min=0.02).sqrt()), view, 0.85)
    hairy = person["hair_cover"] * (1 - smooth(-0.1, 0.3, down - person["hair_side"]))
    strands = person["hair"] * (1 + 0.2 * texture(x, y, person))[:, None]
    colour = over(0.92 * from_palette(SKIN, person["skin"]), strands, hairy)
    return over(colours, colour * light, edge((1 - level) * 0.35, pixel) * (1 - smooth(0.10, 0.32, down)))


def ears(colours: Tensor, x: Tensor, y: Tensor, person: Traits, view: Traits, pixel: Tensor) -> Tensor:
    """Paint the ears, a little behind the face plane, unless hair covers them."""
    depth = PIVOT + 0.06
    u = (x + depth * view["yaw"].sin()) / view["yaw"].cos()
    v = y + depth * view["pitch"].sin() - 0.10 - person["eye_height"]
    out = u.abs() - person["width"] * 0.985 - 0.02 + 0.12 * v
    size = ((out / 0.085) ** 2 + ((v - 0.30 * out) / 0.185) ** 2 + 1e-6).sqrt()
    hollow = torch.exp(-0.5 * (((out - 0.010) / 0.026) ** 2 + ((v + 0.01) / 0.085) ** 2))
    shade = 0.90 - 0.34 * hollow - 0.12 * torch.exp(-(((size - 0.72) / 0.10) ** 2))
    light = lambert(_facing(0.9 * u.sign() * (out / 0.085), v * 2.0, 0.9 + 0 * u), view, 0.9)
    tone = from_palette(SKIN, person["skin"]) * colours.new_tensor([1.0, 0.90, 0.88])[:, None, None]
    bare = 1 - smooth(0.12, 0.30, person["hair_side"])
    return over(colours, tone * shade[:, None] * light, edge((1 - size) * 0.085, pixel) * bare)


def _facing(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Return vectors (x, y, z) scaled to length 1, (N, 3, H, W)."""
    return unit(torch.stack([x, y, z], 1))


def head(colours: Tensor, x: Tensor, y: Tensor, person: Traits, view: Traits, pixel: Tensor) -> Tensor:
    """Paint face and hair, turned and lit, over what lies behind them."""
    height, maps = head_maps(person, view)
    u, v = unproject(x, y, height, view["yaw"], view["pitch"], PIVOT)
    seen = look_up(maps, u, v)
    normal = turned(unit(seen[:, :3]), view)
    light = lambert(normal, view, seen[:, 3:])
    between = unit(direction(view) + light.new_tensor([0.0, 0.0, 1.0])[:, None, None])
    gleam = (normal * between).sum(1).clamp(min=0)  # Blinn's highlight, before its power
    gaze = view["look_across"] - 1.2 * view["yaw"], view["look_down"] - 1.2 * view["pitch"]
    shine = (view["direct"] * (0.085 * gleam**14))[:, None]
    paint = face(u, v, person, view, gaze, pixel) * light * _glow(light) + shine
    level = outline(u, v, person)
    colours = over(colours, paint, edge((1 - level) * 0.30, pixel))
    line = inside_hairline(u, v, person)
    shadow = (
        0.24 * person["hair_cover"] * smooth(-0.10, 0.0, line) * (level < 1)
    )  # of the hair on the forehead
    return _hair(colours * (1 - shadow[:, None]), u, v, person, view, light, gleam, line, pixel)


def _glow(light: Tensor) -> Tensor:
    """Return the warmer tint of skin in the shade, (N, 3, H, W): light that has passed through it."""
    dark = 1 - light.clamp(max=1.0)
    return 1 + dark * light.new_tensor([0.10, -0.02, -0.06])[:, None, None]


def _hair(colours, u, v, person, view, light, gleam, line, pixel):
    """Paint the hair on the skull, with its strands and their highlight."""
    strands = texture(u, v, person)
    band = view["direct"] * 1.3 * (0.10 + 0.06 * strands) * gleam**6
    tint = 0.6 * person["hair"] + 0.12
    hair = person["hair"] * (1 + 0.26 * strands)[:, None] * light + tint * band[:, None]
    level = outline(u, v, person, person["hair_volume"]) * (1 + 0.05 * person["hair_curl"] * strands)
    cover = edge((1 - level) * 0.35, pixel) * edge(line + 0.008 * strands, 2.5 * pixel)
    return over(colours, hair, cover * person["hair_cover"])


def scene(person: Traits, view: Traits, size: int) -> Tensor:
    """Return what stands before the camera, sharp and without noise, (N, 3, size, size); brightness may exceed 1."""
    x, y = coordinates(size, view)
    pixel = 2 * HALF / size / view["zoom"]
    colours = background(x, y, view).expand(len(x), 3, size, size)
    colours = body(colours, x, y, person, view, pixel)
    colours = back_of_head(colours, x, y, person, view, pixel)
    colours = ears(colours, x, y, person, view, pixel)
    return head(colours, x, y, person, view, pixel)


def views(draws: Draws) -> Traits:
    """Draw the circumstances of photographs, (N, 1, 1) each, colours (N, 3, 1, 1); angles in radians."""
    view = {name: draws.between(low, high)[:, 0] for name, (low, high) in CIRCUMSTANCES.items()}
    view |= {name: view[name] * math.pi / 180 for name in ANGLES}
    view["opening"] = view["opening"].clamp(min=0)
    view["cast"] = torch.cat([draws.between(1 - s, 1 + s) for s in (0.08, 0.03, 0.08)], 1)
    for name in ("ambient", "direct"):
        view[name] = view[name] * view["exposure"]
    colours = {"wall": WALLS, "wall_other": WALLS, "shirt": SHIRTS}
    return view | {name: draws.colour(palette) for name, palette in colours.items()}


def photograph(person: Traits, view: Traits, noise: Tensor, size: int = 64) -> Tensor:
    """Photograph people, (N, 3, size, size) in [0, 1]: averaged onto the sensor, blurred, with noise and a tone curve."""
    sharp = F.avg_pool2d(scene(person, view, size * OVERSAMPLING), OVERSAMPLING)
    seen = blurred(sharp, view["blur"]) + view["noise"][:, None] * noise
    return toned(seen, view)


def toned(seen: Tensor, view: Traits) -> Tensor:
    """Apply the camera's tone curve, a power between 0.85 and 1.15, to brightness (N, 3, H, W)."""
    return seen.clamp(1e-4, 1) ** view["tone"][:, None]


def blurred(images: Tensor, sigma: Tensor) -> Tensor:
    """Blur each image (N, C, H, W) by its own Gaussian, sigma (N, 1, 1) in pixels of a picture of 64; edges repeat."""
    sigma = sigma[:, 0] * images.shape[-1] / 64
    reach = max(1, math.ceil(2.6 * float(sigma.max())))
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    weights = (weights / weights.sum(1, keepdim=True)).repeat_interleave(images.shape[1], 0)[:, None]
    flat = F.pad(images, [reach] * 4, mode="replicate").flatten(0, 1)[None]
    flat = F.conv2d(flat, weights[:, :, None], groups=len(weights))
    return F.conv2d(flat, weights[:, :, :, None], groups=len(weights)).reshape(images.shape)
