"""The colours of a face that belongs to nobody: skin, eyes, lips and teeth at points (u, v) of the face plane.

Every function takes points (N, H, W) and traits (N, 1, 1); colours are (N, 3, H, W). `pixel` is the size of a pixel on the plane:
edges are blurred over it, so that a face looks alike at every size.
"""

import torch
from torch import Tensor

from advcourse.data.face_hair import brows, stubble
from advcourse.data.face_shapes import Traits, bump, smooth

SKIN = torch.tensor(
    [
        [0.960, 0.800, 0.715],
        [0.940, 0.755, 0.640],
        [0.890, 0.690, 0.550],
        [0.800, 0.580, 0.435],
        [0.660, 0.450, 0.325],
        [0.520, 0.340, 0.240],
        [0.390, 0.250, 0.180],
    ]
)
# Dark brown, brown, hazel, green, grey, blue.
IRIS = torch.tensor(
    [
        [0.13, 0.07, 0.04],
        [0.28, 0.16, 0.08],
        [0.40, 0.29, 0.13],
        [0.33, 0.42, 0.24],
        [0.43, 0.50, 0.54],
        [0.24, 0.42, 0.62],
    ]
)
LIPS = torch.tensor([[0.80, 0.49, 0.45], [0.64, 0.20, 0.22]])
WHITE_OF_EYE, TEETH, MOUTH = (
    torch.tensor(colour) for colour in ([0.90, 0.885, 0.87], [0.93, 0.905, 0.86], [0.22, 0.06, 0.06])
)


def from_palette(palette: Tensor, place: Tensor) -> Tensor:
    """Return the colours (N, 3, 1, 1) at places in [0, 1], (N, 1, 1), along a palette (K, 3), interpolated."""
    position = place[:, 0, 0].clamp(0, 1) * (len(palette) - 1)
    low = position.floor().long().clamp(max=len(palette) - 2)
    share = (position - low)[:, None]
    return ((1 - share) * palette[low] + share * palette[low + 1])[:, :, None, None]


def over(below: Tensor, colour: Tensor, cover: Tensor) -> Tensor:
    """Paint `colour`, (N, 3, H, W) or one that broadcasts to it, with opacity `cover` (N, H, W) over `below` (N, 3, H, W)."""
    return below + cover[:, None] * (colour - below)


def edge(inside: Tensor, pixel: float | Tensor) -> Tensor:
    """Return the cover of a shape from the signed distance to its outline, positive inside: a ramp one pixel wide."""
    return (inside / pixel + 0.5).clamp(0, 1)


def skin(u: Tensor, v: Tensor, person: Traits) -> Tensor:
    """Return the skin's own colours: base tone, redder cheeks, nose, eyelids, beard's shadow, freckles, lines of age."""
    p, a = person, u.abs()
    base = from_palette(SKIN, p["skin"])
    red = 0.55 * bump(a - 0.40, v - 0.33, 0.15, 0.13) + 0.55 * bump(
        u, v - p["nose_length"] + 0.03, 0.11, 0.07
    )
    red = (0.25 + 0.75 * p["ruddy"]) * red + 0.25 * bump(u, v - 0.84, 0.12, 0.08)
    tone = torch.stack([1 + 0.05 * red, 1 - 0.17 * red, 1 - 0.16 * red], 1)
    eye = v - p["eye_height"]
    shadow = bump(a - p["eye_distance"] + 0.03, eye + 0.045, 0.12, 0.055)  # upper lids and inner corners
    rings = (0.3 + 0.7 * p["age"]) * bump(a - p["eye_distance"] + 0.02, eye - 0.105, 0.095, 0.026)
    dark = 0.16 * shadow + 0.13 * rings
    tone = tone * torch.stack([1 - dark, 1 - 1.15 * dark, 1 - 1.1 * dark], 1)
    mottle = torch.sin(17 * u + 3 * torch.sin(13 * v)) * torch.sin(15 * v + 2 * torch.sin(11 * u))
    colours = base * tone * (1 + 0.012 * mottle)[:, None]
    return colours * (1 - (_freckles(u, v, p) + _lines(u, v, p)))[:, None]


def _freckles(u: Tensor, v: Tensor, p: Traits) -> Tensor:
    spots = torch.sin(61 * u + 7 * torch.sin(19 * v)) * torch.sin(53 * v + 6 * torch.sin(23 * u + 1))
    where = bump(u.abs() - 0.28, v - 0.27, 0.22, 0.13) + 0.5 * bump(u, v - 0.2, 0.1, 0.1)
    return 0.34 * p["freckles"].clamp(min=0) * where * smooth(0.45, 0.8, spots)


def _lines(u: Tensor, v: Tensor, p: Traits) -> Tensor:
    a = u.abs()
    fold = a - 0.20 - 0.42 * (v - 0.42)
    folds = torch.exp(-0.5 * (fold / 0.014) ** 2) * smooth(0.40, 0.47, v) * (1 - smooth(0.56, 0.70, v))
    wave = v + 0.03 * torch.cos(3.5 * u) + 0.50
    forehead = sum(torch.exp(-0.5 * ((wave - gap) / 0.010) ** 2) for gap in (0.0, 0.075)) * (
        1 - smooth(0.2, 0.42, a)
    )
    return smooth(0.35, 1.0, p["age"]) * (0.16 * folds + 0.11 * forehead)


def beard(colours: Tensor, u: Tensor, v: Tensor, person: Traits) -> Tensor:
    """Paint the person's stubble or beard, trait "beard" from 0 to 1 in the colour "hair", over the skin (N, 3, H, W)."""
    grain = 0.88 + 0.12 * torch.sin(90 * u + 4 * torch.sin(70 * v)) * torch.sin(85 * v)
    return over(colours, person["hair"] * 0.85, person["beard"] * grain * stubble(u, v, person))


def eyes(
    colours: Tensor,
    u: Tensor,
    v: Tensor,
    person: Traits,
    look: tuple[Tensor, Tensor],
    lids: Tensor,
    pixel: Tensor,
) -> Tensor:
    """Paint both eyes over the skin (N, 3, H, W); `look` is where they look, in [-1, 1] each; `lids` 1 open, 0 closed."""
    p = person
    half, height = p["eye_width"], p["eye_opening"] * lids
    across = (u.abs() - p["eye_distance"]) / half
    y = v - p["eye_height"] + p["eye_tilt"] * 0.5 * half * across
    arc = (1 - across.clamp(-1, 1) ** 2) ** 0.75
    top, bottom = -1.12 * height * arc * (1 - 0.12 * across), 0.72 * height * arc
    inside = torch.minimum(y - top, bottom - y) - 0.002 - (across.abs() - 1).clamp(min=0)
    cover = edge(inside, pixel)
    globe = (
        1
        - 0.30 * smooth(0.35, 1.0, across.abs())
        - 0.42 * torch.exp(-((y - top).clamp(min=0) / (0.32 * p["eye_opening"])))
    )
    ball = _iris(u, y + 0.010 * lids, p, look, pixel, WHITE_OF_EYE[:, None, None] * globe[:, None])
    painted = over(colours, ball, cover)
    lash = torch.exp(-0.5 * ((y - top + 0.004) / (0.010 + 0.006 * arc)) ** 2) * (
        1 - smooth(0.98, 1.12, across.abs())
    )
    rim = torch.exp(-0.5 * ((y - bottom - 0.002) / 0.007) ** 2) * (1 - smooth(0.90, 1.02, across.abs()))
    fold = torch.exp(-0.5 * ((y - top + 0.036) / 0.009) ** 2) * (1 - smooth(0.75, 1.1, across.abs()))
    painted = painted * (1 - 0.26 * fold - 0.28 * rim)[:, None]
    return over(painted, colours.new_tensor([0.09, 0.06, 0.05])[:, None, None], 0.86 * lash)


def _iris(
    u: Tensor, y: Tensor, p: Traits, look: tuple[Tensor, Tensor], pixel: Tensor, white: Tensor
) -> Tensor:
    """Paint iris, pupil and the light's reflection over the eyes' white, (N, 3, H, W)."""
    side = torch.where(u < 0, -1.0, 1.0)
    x = u - side * p["eye_distance"] - 0.045 * look[0]
    y = y - 0.022 * look[1]
    distance, radius = (x * x + y * y + 1e-8).sqrt(), 0.066
    ring = from_palette(IRIS, p["iris"])
    fibres = (
        0.9
        + 0.5 * smooth(0.02, 0.055, distance)
        - 0.75 * smooth(0.048, 0.068, distance)
        + 0.35 * smooth(-0.02, 0.06, y)
    )
    ball = over(white, ring * fibres[:, None], edge(radius - distance, pixel))
    ball = over(ball, ring.new_tensor(0.02), edge(0.027 - distance, pixel))
    glint = edge(0.017 - ((x + 0.022) ** 2 + (y + 0.026) ** 2 + 1e-8).sqrt(), pixel)
    return over(ball, ring.new_tensor(0.98), 0.92 * glint)


def mouth(
    colours: Tensor, u: Tensor, v: Tensor, person: Traits, smile: Tensor, opening: Tensor, pixel: Tensor
) -> Tensor:
    """Paint lips, and what is between them when the mouth opens, over the skin (N, 3, H, W)."""
    p = person
    half = p["mouth_width"] * (1 + 0.20 * smile)
    t = (u / half).clamp(-1.3, 1.3)
    y = (
        v - p["mouth_height"] + 0.055 * smile * t * t - 0.012 * (1 - smile) * t * t
    )  # corners rise with the smile
    arc = (1 - t.clamp(-1, 1) ** 2) ** 0.8
    bow = 1 - 0.28 * torch.exp(-((t / 0.16) ** 2)) + 0.10 * torch.exp(-(((t.abs() - 0.28) / 0.16) ** 2))
    seam_top, seam_bottom = -0.012 * opening * arc, 0.115 * opening * arc
    top = seam_top - p["upper_lip"] * (1 - 0.25 * smile) * arc * bow
    bottom = seam_bottom + p["lower_lip"] * (1 - 0.15 * smile) * arc**0.8
    lips = torch.minimum(y - top, bottom - y) - (t.abs() - 0.98).clamp(min=0)
    tint = from_palette(LIPS, p["lip_colour"])
    tone = 0.62 * tint * (0.45 + 0.55 * from_palette(SKIN, p["skin"]) / 0.86) + 0.38 * from_palette(
        SKIN, p["skin"]
    )
    upper = 1 - 0.16 * (1 - edge(y - 0.5 * (seam_top + seam_bottom), 2 * pixel))
    gloss = 0.13 * bump(u, y - seam_bottom - 0.45 * p["lower_lip"], 0.5 * half, 0.016)
    painted = over(colours, tone * upper[:, None] + gloss[:, None], 0.92 * edge(lips, 2.2 * pixel))
    inside = torch.minimum(y - seam_top, seam_bottom - y)
    gap = edge(inside - 0.006, pixel) * smooth(0.03, 0.15, opening)
    teeth = edge(0.062 - (y - seam_top), 1.5 * pixel) * (1 - 0.5 * smooth(0.55, 0.95, t.abs()))
    cavity = over(MOUTH[:, None, None].expand_as(colours), TEETH[:, None, None] * 0.94, teeth)
    painted = over(painted, cavity, gap)
    line = torch.exp(-0.5 * ((y - seam_top.maximum(-0 * y)) / 0.0085) ** 2) * (
        1 - smooth(0.92, 1.06, t.abs())
    )
    return painted * (1 - 0.60 * line * (1 - smooth(0.1, 0.3, opening)))[:, None]


def nostrils(colours: Tensor, u: Tensor, v: Tensor, person: Traits) -> Tensor:
    """Paint the nostrils, and the shadow under the nose, over the skin (N, 3, H, W)."""
    p = person
    hole = bump(u.abs() - 0.58 * p["nose_width"], v - p["nose_length"] - 0.022, 0.024, 0.0125)
    under = bump(u, v - p["nose_length"] - 0.035, 0.9 * p["nose_width"], 0.022)
    wing = bump(u.abs() - 1.32 * p["nose_width"], v - p["nose_length"] + 0.012, 0.014, 0.035)
    return colours * (1 - (0.62 * hole + 0.20 * under + 0.15 * wing).clamp(max=0.8))[:, None]


def face(
    u: Tensor, v: Tensor, person: Traits, mood: Traits, look: tuple[Tensor, Tensor], pixel: Tensor
) -> Tensor:
    """Return the colours of a face without hair on its skull, (N, 3, H, W).

    mood: "smile" and "opening" of the mouth in [0, 1], "brows" in [-1, 1], "lids" in [0, 1], each (N, 1, 1).
    """
    colours = beard(skin(u, v, person), u, v, person)
    colours = nostrils(colours, u, v, person)
    colours = mouth(colours, u, v, person, mood["smile"], mood["opening"], pixel)
    colours = eyes(colours, u, v, person, look, mood["lids"], pixel)
    return over(colours, person["hair"] * 0.80, person["brow_cover"] * brows(u, v, person, mood["brows"]))
