"""Names in a drawing, put where they cover nothing."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from advcourse.plots.texts import prepare

HALO = [withStroke(linewidth=2.5, foreground="white")]

FAINT = "faint"  # the `gid` of lines that a name may cover, such as level lines

_AROUND = ((1, 1), (-1, 1), (1, -1), (-1, -1), (0, 1), (0, -1), (1, 0), (-1, 0))
_FAR = (5, 10, 16, 24, 34)  # points between a name and the place that it names


@dataclass(frozen=True)
class Label:
    """A name, the places (x, y) in the data of which it may stand beside any, and how it is written."""

    text: str
    places: tuple[tuple[float, float], ...]
    colour: str = "black"
    bold: bool = False


def place(axis: Axes, labels: Iterable[Label], size: float = 10) -> None:
    """Write each name near its place, where it covers no line, no marker and no other name, and stays in the axes.

    Args:
        axis: the axes, with all else drawn.
        labels: the names, the most important one first.
        size: size of the letters, in points (default 10).
    """
    prepare(axis.texts)
    dots, boxes = ink(axis), [text.get_window_extent() for text in axis.texts]
    for label in labels:
        weight = "bold" if label.bold else "normal"
        style = {"fontsize": size, "color": label.colour, "fontweight": weight, "path_effects": HALO}
        text = axis.annotate(label.text, label.places[0], (0, 0), textcoords="offset points", **style)
        prepare([text])
        boxes.append(_settle(text, label.places, dots, boxes))


def clear_legend(axes: Axes) -> None:
    """Move the legend beside its axes if a curve runs through it."""
    legend = axes.get_legend()
    if legend is None:
        return
    axes.figure.draw_without_rendering()  # the legend's place is known only after drawing
    box = legend.get_window_extent().padded(3)
    drawn = (line.get_path().transformed(line.get_transform()) for line in axes.lines)
    if any(path.intersects_bbox(box, filled=False) for path in drawn):
        legend.set_loc("upper left")
        legend.set_bbox_to_anchor((1, 1), axes.transAxes)


def tidy(figure: Figure) -> None:
    """Move legends that a curve crosses beside their axes, and names that cover something to a free place nearby.

    A name is moved if it lies on a line, a marker or another name, or crosses the edge of its axes, and stands beside a point:
    it is an annotation without an arrow, whose place is given in "offset points".
    """
    for axes in figure.axes:
        clear_legend(axes)
    named = {axes: [text for text in axes.texts if _stands_beside(text)] for axes in figure.axes}
    if not any(named.values()):
        return
    figure.draw_without_rendering()  # places the axes and the legends
    for axes, texts in named.items():
        dots, legend = ink(axes), axes.get_legend()
        boxes = {text: text.get_window_extent() for text in axes.texts if text.get_text()}
        fixed = [legend.get_window_extent()] if legend else []
        for text in texts:
            others = fixed + [box for other, box in boxes.items() if other is not text]
            if _covered(boxes[text].padded(1), dots, others, axes.bbox):
                boxes[text] = _settle(text, [text.xy], dots, others)


def _stands_beside(text):
    return (
        isinstance(text, Annotation)
        and text.arrow_patch is None
        and text.anncoords == "offset points"
        and text.xycoords == "data"
        and text.get_visible()
        and bool(text.get_text())
    )


def _settle(text, places, dots, boxes):
    """Move an annotation to the best place beside one of `places`, and return its box there."""
    axes, point, own = text.axes, text.figure.dpi / 72, text.get_window_extent()
    candidates = [
        (_covered(box, dots, boxes, axes.bbox) + 1.5 * far, far, i, side, box)
        for i, at in enumerate(axes.transData.transform(places))
        for far in _FAR
        for side in _AROUND
        for box in [_beside(at, side, far * point, own.width, own.height).padded(1.5 * point)]
    ]
    _, far, i, (right, up), box = min(candidates, key=lambda candidate: candidate[:2])
    text.set(ha=("right", "center", "left")[right + 1], va=("top", "center", "bottom")[up + 1])
    text.set(position=(far * right, far * up))
    text.xy = tuple(places[i])
    return box


def _beside(at, side, far, width, height):
    """Return the box of a text that stands beside a place."""
    x, y = (at[i] + far * side[i] + (side[i] - 1) / 2 * size for i, size in enumerate((width, height)))
    return Bbox.from_bounds(x, y, width, height)


def _covered(box, dots, boxes, axes_box):
    """How bad a place is: dots of ink under it, and much more for other names and for leaving the axes."""
    inside = ((dots > (box.x0, box.y0)) & (dots < (box.x1, box.y1))).all(1).sum()
    overlaps = sum(box.overlaps(other) for other in boxes)
    return 5 * inside + 1000 * overlaps + 3000 * outside(box, axes_box, 0)


def ink(axis: Axes) -> np.ndarray:
    """Return points (M, 2) on the screen along all lines, outlines and markers of the axes, at most 2 pixels apart.

    Areas count with their outline only; faint lines, texts, pictures, ticks and grid lines don't count.
    """
    points = [dots for line in axis.lines if _counts(line) for dots in _along_line(line)]
    for patch in filter(_counts, axis.patches):
        points += _dense(patch.get_path().transformed(patch.get_transform()))
    for collection in filter(_counts, axis.collections):
        if not (np.asarray(collection.get_linewidth()) > 0).any():
            continue
        shift = collection.get_offset_transform().transform(collection.get_offsets())
        if isinstance(collection, PathCollection):
            points += [_disc(at, 4 * axis.figure.dpi / 72) for at in shift]
        else:
            paths = (path.transformed(collection.get_transform()) for path in collection.get_paths())
            points += [part for path in paths for part in _dense(path)]
    return np.concatenate(points) if points else np.empty((0, 2))


def _counts(artist):
    return artist.get_visible() and artist.get_gid() != FAINT


def _along_line(line: Line2D):
    path = line.get_path().transformed(line.get_transform())
    if line.get_linestyle() not in ("None", "none", " ", "") and line.get_linewidth() > 0:
        yield from _dense(path)
    if line.get_marker() not in ("None", "none", " ", "", None):
        radius = line.get_markersize() / 2 * line.figure.dpi / 72
        for at in path.vertices[np.isfinite(path.vertices).all(1)]:
            yield _disc(at, radius)


def _dense(path):
    """Yield, for each piece of a path, points along it."""
    for corners in path.to_polygons(closed_only=False):
        corners = corners[np.isfinite(corners).all(1)]
        steps = np.linalg.norm(np.diff(corners, axis=0), axis=1)
        if len(corners) < 2:
            continue
        way = np.concatenate([[0], np.cumsum(steps)])
        at = np.linspace(0, way[-1], int(way[-1] // 2) + 2)
        yield np.stack([np.interp(at, way, corners[:, 0]), np.interp(at, way, corners[:, 1])], 1)


def _disc(at, radius):
    """Return points that fill a disc."""
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    ring = np.stack([np.cos(angles), np.sin(angles)], 1)
    return np.concatenate([np.asarray(at) + ring * radius * part for part in (0.5, 1)])


def outside(box: Bbox, frame: Bbox, slack: float = 1) -> bool:
    """Return True if a box sticks out of a frame by more than `slack` pixels."""
    return (
        box.x0 < frame.x0 - slack
        or box.y0 < frame.y0 - slack
        or box.x1 > frame.x1 + slack
        or box.y1 > frame.y1 + slack
    )
