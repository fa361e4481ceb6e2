"""Whether the texts of a figure can be read: none collides with another, leaves the figure, crosses an edge, or lies on a line.

It looks at the drawing itself: each text and each line is drawn alone, and the pixels are compared.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from advcourse.plots.labels import FAINT, outside

_SLACK = 1.0  # pixels by which boxes may overlap or stick out
_STRUCK = 3  # pixels of a line under a text; fewer only touch it


@dataclass(frozen=True)
class _Name:
    """A text as it is drawn: its axes if any, its box in pixels, and which pixels of the box are its own."""

    text: Text
    axes: Axes | None
    box: Bbox
    ink: np.ndarray
    inside: bool  # among the data, as opposed to a title or a number at a tick

    def __str__(self):
        return repr(self.text.get_text())


def collisions(figure: Figure) -> list[str]:
    """Return a sentence for each text that can't be read as it should; an empty list for a good figure.

    Found are: two texts that overlap; a text that sticks out of the figure; one among the data that crosses the edge of its axes;
    one that lies on a line, a marker or another axes' picture; and a legend that a line runs through. Filled areas, such as bars
    and heat maps, may carry text, and so may lines whose `gid` is "faint".

    Args:
        figure: any matplotlib figure; it is drawn, but not changed.
    """
    FigureCanvasAgg(figure).draw()
    names = list(_names(figure))
    lines = [(axis, mask) for axis in figure.axes if axis.get_visible() for mask in _lines(axis)]
    return [
        *(f"{a} and {b} overlap" for a, b in combinations(names, 2) if _overlap(a, b)),
        *(f"{name} leaves the figure" for name in names if outside(name.box, figure.bbox, _SLACK)),
        *(f"{name} crosses the edge of its axes" for name in names if name.inside and _crosses(name)),
        *(
            f"{name} lies on a line or a marker"
            for name in names
            if any(_struck(name, mask) for _, mask in lines)
        ),
        *(f"{name} lies on another picture" for name in names for axis in figure.axes if _covers(name, axis)),
        *_crossed_legends(figure, lines),
    ]


def _names(figure: Figure) -> Iterator[_Name]:
    """Yield all texts that are drawn."""
    for text in (*figure.texts, *(text for legend in figure.legends for text in legend.get_texts())):
        yield from _as_drawn(text, None, False)
    for axes in filter(Axes.get_visible, figure.axes):
        for text in axes.texts:
            yield from _as_drawn(text, axes, True)
        for legend in filter(None, [axes.get_legend(), *(a for a in axes.artists if isinstance(a, Legend))]):
            for text in (*legend.get_texts(), legend.get_title()):
                yield from _as_drawn(text, axes, False)
        around = [axes.title, axes._left_title, axes._right_title]
        if axes.axison:
            for axis in filter(Axis.get_visible, (axes.xaxis, axes.yaxis)):
                around += [axis.label, axis.get_offset_text(), *_ticks(axis)]
        for text in around:
            yield from _as_drawn(text, axes, False)


def _ticks(axis):
    """Return the texts at the ticks that lie in view; matplotlib keeps others, and does not draw them."""
    low, high = sorted(axis.get_view_interval())
    reach = 1e-6 * (high - low)
    ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
    seen = [tick for tick in ticks if tick.get_visible() and low - reach <= tick.get_loc() <= high + reach]
    return [text for tick in seen for text in (tick.label1, tick.label2)]


def _as_drawn(text, axes, inside) -> Iterator[_Name]:
    if not text.get_visible() or not text.get_text().strip():
        return
    effects = text.get_path_effects()
    text.set_path_effects([])  # without a halo, which may lie on anything
    try:
        ink = _pixels(text)
    finally:
        text.set_path_effects(effects)
    rows, columns = np.nonzero(ink)
    full = text.get_window_extent()
    if not len(rows):  # beyond the figure
        yield _Name(text, axes, full, np.zeros((0, 0), dtype=bool), inside)
        return
    height = len(ink)
    box = Bbox([[columns.min(), height - 1 - rows.max()], [columns.max() + 1, height - rows.min()]])
    if min(rows.min(), columns.min()) == 0 or rows.max() == height - 1 or columns.max() == ink.shape[1] - 1:
        box = box.padded(2 * _SLACK)  # cut off at the figure's edge
    elif text.get_rotation() % 90 == 0:
        ink = ink.copy()
        ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = True
    yield _Name(text, axes, box, ink, inside)


def _pixels(artist: Artist) -> np.ndarray:
    """Return which pixels (rows from the top) an artist colours when it is drawn alone."""
    figure = artist.get_figure(root=True)
    renderer = RendererAgg(*map(int, figure.bbox.size), figure.dpi)
    artist.draw(renderer)
    return np.asarray(renderer.buffer_rgba())[..., 3] > 60


def _lines(axes: Axes) -> Iterator[np.ndarray]:
    """Yield the pixels of each line, with its markers, and of each set of points."""
    for artist in (*axes.lines, *axes.collections):
        thin = (
            artist in axes.lines or isinstance(artist, LineCollection | PathCollection) or _is_contour(artist)
        )
        if thin and artist.get_visible() and artist.get_gid() != FAINT:
            yield _pixels(artist)


def _is_contour(artist):
    return type(artist).__name__ == "QuadContourSet" and not artist.filled


def _overlap(a, b):
    if not (a.ink.size and b.ink.size):
        return False
    apart = Bbox.intersection(a.box, b.box)
    if apart is None or min(apart.width, apart.height) <= _SLACK:
        return False
    return (a.ink & b.ink).sum() > 2


def _crosses(name):
    """Whether a text lies partly inside its axes, and partly outside."""
    frame = name.axes.bbox
    return name.axes.axison and name.box.overlaps(frame.padded(-_SLACK)) and outside(name.box, frame, _SLACK)


def _struck(name, line):
    return bool(name.ink.size) and (name.ink & line).sum() >= _STRUCK


def _covers(name, axes):
    """Whether a text lies on the picture of axes that it does not belong to."""
    if name.axes is axes or not axes.images or not axes.get_visible():
        return False
    shared = Bbox.intersection(name.box, axes.bbox)
    return shared is not None and min(shared.width, shared.height) > 1 + _SLACK and name.axes is not None


def _crossed_legends(figure, lines):
    for axes in filter(Axes.get_visible, figure.axes):
        legend = axes.get_legend()
        if legend is not None and legend.get_visible():
            box = legend.get_window_extent().padded(-2)
            height = int(figure.bbox.height)
            rows = slice(max(0, int(height - box.y1)), max(0, int(height - box.y0)))
            columns = slice(max(0, int(box.x0)), max(0, int(box.x1)))
            if any(mask[rows, columns].sum() >= _STRUCK for _, mask in lines):
                yield "a line runs through the legend"
