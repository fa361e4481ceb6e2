"""What a network reads on a plate as a car drives by: a table by distance and angle, controls beside it, single views."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from advcourse.cases.camera import Road
from advcourse.cases.masks import enlarged
from advcourse.cases.signs import MOST_VIEWS, check_mask, check_plate, class_number, own_colours, paste
from advcourse.core.inputs import InputError, check_model, check_range, check_seed, predict
from advcourse.core.intervals import Interval, counted
from advcourse.data import signs

DISTANCES = (4.0, 10.0, 20.0, 40.0)  # metres
ANGLES = (0.0, 20.0, 40.0, 60.0)  # degrees from the front, to both sides
_HELD_OUT = MOST_VIEWS  # the first view that no attack optimises for, whatever its pool


@dataclass(frozen=True)
class RoadTable:
    """How many photographs of a plate were read as one class, by distance and angle.

    Attributes:
        distances: D of them, in metres.
        angles: A of them, in degrees.
        hits: (D, A), int64, photographs that were read so.
        views: photographs behind each entry of `hits`.
    """

    distances: tuple[float, ...]
    angles: tuple[float, ...]
    hits: Tensor
    views: int

    @property
    def rows(self) -> tuple[Interval, ...]:
        """The share at each distance, over all angles."""
        return tuple(counted(int(row.sum()), len(row) * self.views) for row in self.hits)

    @property
    def columns(self) -> tuple[Interval, ...]:
        """The share at each angle, over all distances."""
        return tuple(counted(int(column.sum()), len(column) * self.views) for column in self.hits.T)

    @property
    def cells(self) -> tuple[tuple[Interval, ...], ...]:
        """The share at each distance and angle, a row for each distance."""
        return tuple(tuple(counted(int(hits), self.views) for hits in row) for row in self.hits)

    @property
    def total(self) -> Interval:
        """The share of all photographs."""
        return counted(int(self.hits.sum()), self.hits.numel() * self.views)


def road_tables(
    model: nn.Module,
    plates: Mapping[str, Tensor],
    label: str | int,
    road: Road | None = None,
    distances: Sequence[float] = DISTANCES,
    angles: Sequence[float] = ANGLES,
    views: int = 24,
    seed: int = 0,
) -> dict[str, RoadTable]:
    """Photograph plates from many places, and count how often each is read as one class.

    All plates are photographed from the same places in the same light; each photograph has surroundings and light of its own,
    and no attack has seen it. Half of those at an angle are from the left.

    Args:
        model: a module from photographs (N, 3, 32, 32) to logits (N, 16).
        plates: name -> plate (4, S, S), such as `controls` and the attack beside them.
        label: the class that is counted, in words or by number.
        road: the camera; its own distance and angle are not used (default `Road()`).
        distances: in metres (default 4, 10, 20, 40).
        angles: in degrees, 0 or more (default 0, 20, 40, 60).
        views: photographs of each plate at each distance and angle (default 24).
        seed: of the photographs (default 0).

    Returns:
        name -> `RoadTable`.

    Raises:
        InputError: an argument breaks its contract.
    """
    label, views = class_number(label, "label"), check_range(views, "views", 1, integer=True)
    if not isinstance(road, Road | None):
        raise InputError(f"road: got {road!r}; allowed is a Road, or None")
    road = replace(Road() if road is None else road, seed=check_seed(seed))
    if not len(plates) or not len(distances) or not len(angles):
        raise InputError("plates, distances, angles: got none; allowed is at least one of each")
    distances = tuple(check_range(distance, "distances", 1, 200) for distance in distances)
    angles = tuple(check_range(angle, "angles", 0, 80) for angle in angles)
    tables = {}
    for name, plate in plates.items():
        check_model(model, check_plate(plate))
        hits = torch.zeros(len(distances), len(angles), dtype=torch.long)
        for i, (row, column) in enumerate(product(range(len(distances)), range(len(angles)))):
            places = range(_HELD_OUT + i * views, _HELD_OUT + (i + 1) * views)
            here = replace(road, distance=distances[row])
            hits[row, column] = _hits(model, plate, label, here, angles[column], places)
        tables[name] = RoadTable(distances, angles, hits, views)
    return tables


def _hits(model, plate, label, road, angle, places):
    """Count the photographs that are read as `label`; every other one is from the left."""
    hits = 0
    for side, first in ((1, 0), (-1, 1)):
        with torch.no_grad():
            photographs = replace(road, angle=side * angle).photograph(plate[None], places[first::2])
        hits += int((predict(model, photographs).argmax(1) == label).sum())
    return hits


def controls(plate: Tensor, mask: Tensor, cells: int = 32, seed: int = 0) -> dict[str, Tensor]:
    """Return the plates that tell an attack from mere covering: other patterns printed and pasted over the same mask.

    Args:
        plate: (4, S, S).
        mask: (S, S) bool.
        cells: of the patterns (default 32).
        seed: of the random colours (default 0).

    Returns:
        "random" (each cell in a random colour), "black", "white", and "own colours": the sign's own, printed.

    Raises:
        InputError: plate or mask break their contract.
    """
    check_mask(mask, check_plate(plate))
    cells = check_range(cells, "cells", 1, 256, integer=True)
    generator = torch.Generator().manual_seed(check_seed(seed))
    blank = torch.zeros(3, cells, cells).to(plate)
    patterns = {
        "random": torch.rand(3, cells, cells, generator=generator, dtype=torch.float64).to(plate),
        "black": blank,
        "white": blank + 1,
        "own colours": own_colours(plate, cells),
    }
    return {name: paste(plate, mask, pattern) for name, pattern in patterns.items()}


@dataclass(frozen=True)
class Glimpse:
    """One photograph from the road, and what the network reads on it.

    Attributes:
        crop: what the network sees, enlarged, (3, H, W).
        labels: the most likely classes, in words, the first one first.
        probabilities: of these classes.
    """

    crop: Tensor
    labels: tuple[str, ...]
    probabilities: tuple[float, ...]


def drive_by(
    model: nn.Module,
    plate: Tensor,
    distance: float = 10.0,
    angle: float = 0.0,
    seed: int = 0,
    enlarge: int = 8,
    top: int = 3,
) -> Glimpse:
    """Photograph a plate from one place.

    With the same seed the surroundings, the light and the camera stay the same as distance and angle change.

    Args:
        model: a module from photographs (N, 3, 32, 32) to logits (N, 16).
        plate: (4, S, S).
        distance: in metres (default 10).
        angle: in degrees, positive from the right (default 0).
        seed: of the scene (default 0).
        enlarge: pixels of the crop per pixel that the network sees (default 8).
        top: how many classes are told (default 3).

    Raises:
        InputError: an argument breaks its contract.
    """
    check_model(model, check_plate(plate))
    enlarge = check_range(enlarge, "enlarge", 1, 64, integer=True)
    top = check_range(top, "top", 1, len(signs.CLASSES), integer=True)
    with torch.no_grad():
        photograph = Road(distance, angle, seed=seed).photograph(plate[None], (_HELD_OUT,))
    shares, classes = F.softmax(predict(model, photograph)[0], dim=0).topk(top)
    labels = tuple(signs.CLASSES[number] for number in classes.tolist())
    return Glimpse(enlarged(photograph[0], enlarge * photograph.shape[-1]), labels, tuple(shares.tolist()))
