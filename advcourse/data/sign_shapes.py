"""The faces of the road signs, as vector shapes.

A sign is a list of (colour, path), painted in this order. Coordinates: x to the right, y up, with the plate inside
[-1, 1]^2. The signs follow the shapes and colours of the Vienna Convention on Road Signs and Signals (1968); the
drawings are our own. Text uses the outlines of DejaVu Sans, which ships with matplotlib, so that a sign looks the same
everywhere.
"""

from functools import cache
from pathlib import Path as FilePath

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D
from numpy.typing import ArrayLike

Point = tuple[float, float]

RED, BLUE, YELLOW = (0.78, 0.06, 0.10), (0.02, 0.29, 0.66), (0.98, 0.76, 0.05)
WHITE, BLACK = (0.96, 0.96, 0.95), (0.06, 0.06, 0.07)


def disc(radius: float, centre: Point = (0.0, 0.0)) -> Path:
    return Path.circle(centre, radius)


def polygon(points: ArrayLike, rounding: float = 0.0) -> Path:
    """Return a closed polygon; each corner is cut off at distance `rounding` and replaced by a quadratic curve."""
    points = np.asarray(points, dtype=float)
    if not rounding:
        return Path(np.vstack([points, points[:1]]), closed=True)
    vertices, codes = [], []
    for before, corner, after in zip(
        np.roll(points, 1, axis=0), points, np.roll(points, -1, axis=0), strict=True
    ):
        start = corner + rounding * (before - corner) / np.linalg.norm(before - corner)
        end = corner + rounding * (after - corner) / np.linalg.norm(after - corner)
        vertices += [start, corner, end]
        codes += [Path.LINETO, Path.CURVE3, Path.CURVE3]
    codes[0] = Path.MOVETO
    return Path([*vertices, vertices[0]], [*codes, Path.CLOSEPOLY])


def regular(
    sides: int, radius: float, turn_degrees: float = 0.0, centre: Point = (0.0, 0.0), rounding: float = 0.0
) -> Path:
    """Return a regular polygon with one corner at `turn_degrees` (0 is right, 90 is up)."""
    angles = np.radians(turn_degrees + 360.0 * np.arange(sides) / sides)
    return polygon(np.stack([np.cos(angles), np.sin(angles)], axis=1) * radius + np.asarray(centre), rounding)


def rectangle(left: float, bottom: float, right: float, top: float, rounding: float = 0.0) -> Path:
    return polygon([(left, bottom), (right, bottom), (right, top), (left, top)], rounding)


def stroke(start: Point, end: Point, width: float) -> Path:
    """Return a thick line with round ends."""
    start, end = np.asarray(start, dtype=float), np.asarray(end, dtype=float)
    angle = np.degrees(np.arctan2(*(end - start)[::-1]))
    half = np.linspace(-90, 90, 13)
    outline = [
        point + width / 2 * np.array([np.cos(np.radians(a)), np.sin(np.radians(a))])
        for point, turn in ((end, angle), (start, angle + 180))
        for a in half + turn
    ]
    return polygon(outline)


def text(string: str, width: float, height: float, centre: Point = (0.0, 0.0)) -> Path:
    """Return the outline of `string` in DejaVu Sans Bold, stretched to fill a box of `width` x `height`."""
    font = FilePath(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans-Bold.ttf"
    path = TextPath((0, 0), string, size=1, prop=FontProperties(fname=str(font)))
    box = path.get_extents()
    middle = (-(box.x0 + box.x1) / 2, -(box.y0 + box.y1) / 2)
    fit = Affine2D().translate(*middle).scale(width / box.width, height / box.height).translate(*centre)
    return path.transformed(fit)


def mirrored(path: Path) -> Path:
    return path.transformed(Affine2D().scale(-1, 1))


def _round_sign(rim, face, width=0.23):
    """White edge, coloured ring, face."""
    return [(WHITE, disc(0.98)), (rim, disc(0.94)), (face, disc(0.94 - width))]


def _blue_disc(*symbols):
    return [(WHITE, disc(0.98)), (BLUE, disc(0.92)), *((WHITE, symbol) for symbol in symbols)]


def _speed_limit(number):
    return [*_round_sign(RED, WHITE), (BLACK, text(number, 0.96 if len(number) == 2 else 1.2, 0.74))]


def _warning(*symbols):
    triangle = {"sides": 3, "turn_degrees": 90, "centre": (0, -0.24)}
    return [
        (WHITE, regular(radius=1.24, rounding=0.24, **triangle)),
        (RED, regular(radius=1.18, rounding=0.22, **triangle)),
        (WHITE, regular(radius=0.78, rounding=0.08, **triangle)),
        *((BLACK, symbol) for symbol in symbols),
    ]


def _stop():
    return [
        (WHITE, regular(8, 1.05, 22.5)),
        (RED, regular(8, 0.98, 22.5)),
        (WHITE, text("STOP", 1.52, 0.66)),
    ]


def _yield():
    triangle = {"sides": 3, "turn_degrees": -90, "centre": (0, 0.24)}
    return [
        (WHITE, regular(radius=1.24, rounding=0.24, **triangle)),
        (RED, regular(radius=1.18, rounding=0.22, **triangle)),
        (WHITE, regular(radius=0.70, rounding=0.08, **triangle)),
    ]


def _car(colour, x):
    """A car seen from behind: body, roof with a window, two wheels."""
    roof = polygon([(x - 0.24, 0.03), (x - 0.16, 0.36), (x + 0.16, 0.36), (x + 0.24, 0.03)])
    window = polygon([(x - 0.16, 0.08), (x - 0.11, 0.28), (x + 0.11, 0.28), (x + 0.16, 0.08)])
    wheels = [rectangle(side - 0.07, -0.40, side + 0.07, -0.20) for side in (x - 0.21, x + 0.21)]
    body = rectangle(x - 0.31, -0.26, x + 0.31, 0.08, 0.05)
    return [(colour, roof), (colour, body), (WHITE, window), *((colour, wheel) for wheel in wheels)]


def _bent_arrow():
    """An arrow from the bottom up and then to the right."""
    return [
        rectangle(-0.40, -0.62, -0.14, 0.30),
        rectangle(-0.40, 0.10, 0.24, 0.36),
        polygon([(0.20, -0.16), (0.66, 0.23), (0.20, 0.62)]),
    ]


def _roundabout_arrow(start_degrees):
    """One of three arrows along a circle, anticlockwise, as in right-hand traffic."""
    angles = np.radians(np.linspace(start_degrees, start_degrees + 62, 16))
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    shaft = polygon(np.vstack([0.60 * circle, 0.40 * circle[::-1]]))
    end, tip = np.radians(start_degrees + 58), np.radians(start_degrees + 102)
    head = [
        0.78 * np.array([np.cos(end), np.sin(end)]),
        0.52 * np.array([np.cos(tip), np.sin(tip)]),
        0.22 * np.array([np.cos(end), np.sin(end)]),
    ]
    return [shaft, polygon(head)]


def _pedestrian():
    """A walking figure (head, body, legs, arms) and the stripes of the crossing."""
    limbs = [
        ((0.02, 0.26), (0.00, -0.08), 0.19),
        ((0.00, -0.08), (-0.16, -0.42), 0.11),
        ((0.02, -0.08), (0.20, -0.42), 0.11),
        ((0.02, 0.27), (-0.19, 0.04), 0.09),
        ((0.02, 0.27), (0.21, 0.06), 0.09),
    ]
    stripes = [rectangle(x, -0.66, x + 0.13, -0.52) for x in (-0.56, -0.31, -0.06, 0.19, 0.44)]
    return [disc(0.12, (0.03, 0.47)), *(stroke(*limb) for limb in limbs), *stripes]


def _pedestrian_crossing():
    triangle = regular(3, 1.04, 90, centre=(0, -0.20))
    return [
        (WHITE, rectangle(-0.95, -0.95, 0.95, 0.95, 0.1)),
        (BLUE, rectangle(-0.89, -0.89, 0.89, 0.89, 0.08)),
        (WHITE, triangle),
        *((BLACK, symbol) for symbol in _pedestrian()),
    ]


def _priority_road():
    return [
        (BLACK, regular(4, 1.0, 0, rounding=0.12)),
        (WHITE, regular(4, 0.95, 0, rounding=0.10)),
        (YELLOW, regular(4, 0.68, 0, rounding=0.05)),
    ]


def _exclamation_mark():
    return [polygon([(-0.11, 0.30), (0.11, 0.30), (0.07, -0.22), (-0.07, -0.22)]), disc(0.105, (0, -0.40))]


SHAPES = {
    "stop": _stop(),
    "yield": _yield(),
    "no entry": [(WHITE, disc(0.98)), (RED, disc(0.93)), (WHITE, rectangle(-0.70, -0.18, 0.70, 0.18))],
    "speed limit 30": _speed_limit("30"),
    "speed limit 50": _speed_limit("50"),
    "speed limit 80": _speed_limit("80"),
    "speed limit 120": _speed_limit("120"),
    "no overtaking": [*_round_sign(RED, WHITE, 0.19), *_car(RED, -0.35), *_car(BLACK, 0.35)],
    "no parking": [*_round_sign(RED, BLUE, 0.19), (RED, stroke((-0.58, 0.58), (0.58, -0.58), 0.21))],
    "priority road": _priority_road(),
    "turn left": _blue_disc(*(mirrored(part) for part in _bent_arrow())),
    "turn right": _blue_disc(*_bent_arrow()),
    "straight ahead": _blue_disc(
        rectangle(-0.14, -0.66, 0.14, 0.2), polygon([(-0.42, 0.14), (0.42, 0.14), (0.0, 0.68)])
    ),
    "roundabout": _blue_disc(*(part for start in (-30, 90, 210) for part in _roundabout_arrow(start))),
    "pedestrian crossing": _pedestrian_crossing(),
    "warning": _warning(*_exclamation_mark()),
}


@cache
def draw(name: str, size: int) -> np.ndarray:
    """Draw the sign `name` as uint8 RGBA, (size, size, 4), with row 0 at the top; alpha is not premultiplied."""
    figure = Figure(figsize=(size / 100, size / 100), dpi=100)
    figure.patch.set_alpha(0)
    axes = figure.add_axes([0, 0, 1, 1])
    axes.set(xlim=(-1, 1), ylim=(-1, 1))
    axes.axis("off")
    for colour, path in SHAPES[name]:
        axes.add_patch(PathPatch(path, facecolor=colour, linewidth=0, clip_on=False))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = np.asarray(canvas.buffer_rgba()).copy()
    picture.flags.writeable = False  # it stays in the cache
    return picture
