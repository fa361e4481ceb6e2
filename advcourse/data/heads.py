"""A head to turn: one of the people of `faces`, drawn anew from any side, in any light, with or without glasses."""

import math

import torch
from torch import Tensor

from advcourse.core.inputs import InputError, check_choice, check_range
from advcourse.data import faces, glasses
from advcourse.data.face_scenes import scene, toned
from advcourse.data.face_shapes import Traits

CALM = {
    "zoom": 0.84,
    "dy": 0.04,
    "lids": 1.0,
    "light_up": 0.45,
    "ambient": 0.50,
    "direct": 0.78,
    "exposure": 1.0,
}
WALL, SHIRT = (0.62, 0.65, 0.67), (0.22, 0.27, 0.36)


def posed(yaw: float, pitch: float, light: float, smile: float) -> Traits:
    """Return the circumstances of a calm picture, traits of shape (1, 1, 1); see `render_head`. Broad smiles show teeth."""
    given = {"yaw": yaw, "pitch": pitch, "light_across": light}
    numbers = dict.fromkeys(
        ("roll", "dx", "brows", "look_across", "look_down", "shape", "shape_turn", "shape_place"), 0.0
    )
    numbers |= {
        "slope_across": 0.0,
        "slope_down": -0.08,
        "tone": 1.0,
        "smile": smile,
        "opening": max(0.0, 1.5 * smile - 0.7),
    }
    numbers |= CALM | {name: math.radians(angle) for name, angle in given.items()}
    view = {name: torch.full((1, 1, 1), float(value)) for name, value in numbers.items()}
    view["cast"] = torch.ones(1, 3, 1, 1)
    wall, shirt = (torch.tensor(colour)[None, :, None, None] for colour in (WALL, SHIRT))
    return view | {"wall": wall, "wall_other": wall, "shirt": shirt, "blur": torch.full((1, 1, 1), 0.25)}


def render_head(
    person: int | str,
    yaw: float = 0.0,
    pitch: float = 0.0,
    light: float = 0.0,
    smile: float = 0.0,
    frame: Tensor | None = None,
    size: int = 128,
) -> Tensor:
    """Draw one head without lens and noise, (3, size, size) in [0, 1]; a picture of 128 pixels takes some 20 ms.

    Args:
        person: name or index in `faces.CLASSES`.
        yaw: degrees to the picture's right, -35 to 35 (default 0).
        pitch: degrees downwards, -20 to 20 (default 0).
        light: degrees by which the light stands to the right of the camera, -90 to 90 (default 0).
        smile: 0 (default) to 1.
        frame: colours of the glasses' sheet, (3, 16, 88) in [0, 1]; None (default) for no glasses.
        size: pixels per side, 16 to 512 (default 128).

    Raises:
        InputError: an unknown person, or a number out of range.
    """
    number = index_of(person)
    check_range(yaw, "yaw", -35, 35)
    check_range(pitch, "pitch", -20, 20)
    check_range(light, "light", -90, 90)
    check_range(smile, "smile", 0, 1)
    check_range(size, "size", 16, 512, integer=True)
    who, view = faces.chosen(faces.people(), torch.tensor([number])), posed(yaw, pitch, light, smile)
    picture = toned(scene(who, view, size), view)
    if frame is not None:
        picture = glasses.wear(picture, glasses.fit_glasses(who, view, size), frame)
    return picture[0]


def index_of(person: int | str, name: str = "person") -> int:
    """Return a person's number in `faces.CLASSES`; `InputError`, about the argument `name`, if there is nobody of this name."""
    if isinstance(person, str):
        if person not in faces.CLASSES:
            raise InputError(f"{name}: got {person!r}; allowed are {', '.join(faces.CLASSES)}")
        return faces.CLASSES.index(person)
    return int(check_choice(person, name, range(len(faces.CLASSES))))
