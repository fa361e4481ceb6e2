"""Figures of attacks against models: heat maps, panels of bars, the share of images fooled up to a size, tables of images."""

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import TypeVar

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter
from matplotlib.transforms import ScaledTranslation

from advcourse.core.inputs import InputError, check_flag
from advcourse.core.intervals import Interval, wilson
from advcourse.core.rounding import number, percent
from advcourse.plots.style import (
    COLOURS,
    DASHES,
    DPI,
    FOOLED,
    MARKERS,
    STYLE,
    Numbers,
    as_numbers,
    check_mapping,
    new_chart,
    same_length,
)
from advcourse.plots.texts import PlainFigure, legend_name, letters_across

Value = TypeVar("Value")
Blocks = Mapping[str, Mapping[str, Mapping[str, Value]]]  # heading -> row -> column -> value

_LINE, _CHARACTER = 0.16, 0.078  # height of a line and width of a character of 8-point text, in inches
_COLUMN = 1.05  # width of a column of a heat map, in inches
_PANEL = 1.5  # width of a panel of bars, in inches
# Largest width of an image in a table of images, in screen pixels. The width is a whole multiple, so that pixels look equal.
_IMAGE = 84
_ASIDE = 1.5  # distance between markers at the same place, in points; small, to keep the place readable
# A white background, because a heading covers the lines of all panels.
_OVER = {"bbox": {"facecolor": "white", "linewidth": 0, "pad": 1.5}}


def heat_map(
    blocks: Blocks[float], label: str, *, notes: Blocks[str] | None = None, percentages: bool = False
) -> Figure:
    """Draw a table as colours and numbers, with dark colours for low numbers. Its rows are in separate blocks.

    Args:
        blocks: heading -> {row -> {column -> number}}; NaN, or a column that a row lacks, is shown as "n/a". The heading ""
            takes no space.
        label: what the numbers are, with the unit.
        notes: heading -> {row -> {column -> text}}, written after the number (default None).
        percentages: the numbers are shares, shown as percentages, and the colours go from 0 to 1 (default False: from the
            lowest number to the highest).

    Returns:
        the figure.

    Raises:
        InputError: there are no numbers.
    """
    columns = _keys(blocks, "blocks")
    names = _wrapped(columns, 13)
    rows = _Rows(blocks, label, _COLUMN * len(columns), above=_LINE * _most_lines(names))
    values = {
        heading: np.array([[float(row.get(c, np.nan)) for c in columns] for row in block.values()])
        for heading, block in blocks.items()
    }
    percentages = check_flag(percentages, "percentages")
    flags = all(np.isin(block, (0, 1)).all() for block in values.values())
    shade = Normalize(0, 1) if percentages else _span(values)
    axis = rows.axis(0, _COLUMN * len(columns))
    for heading, block in values.items():
        edges, block_notes = rows.edges[heading], (notes or {}).get(heading, {})
        style = {"cmap": colormaps["cividis"].with_extremes(bad="0.88"), "norm": shade, "edgecolors": "white"}
        axis.pcolormesh(np.arange(len(columns) + 1), edges, np.ma.masked_invalid(block), **style)
        for row, line, y in zip(blocks[heading], block, _middles(edges), strict=True):
            for i, (column, value) in enumerate(zip(columns, line, strict=True)):
                text = percent(value) if percentages else f"{value:.0f}" if flags else number(value)
                text = f"{text} {block_notes.get(row, {}).get(column, '')}".strip()
                ink = "white" if np.isfinite(value) and shade(value) < 0.45 else "black"
                axis.text(i + 0.5, y, text, ha="center", va="center", fontsize=8, color=ink)
    axis.set(xlim=(0, len(columns)))
    axis.set_xticks(np.arange(len(columns)) + 0.5, names)
    axis.tick_params(length=0, labelsize=8, labeltop=True, labelbottom=False)
    axis.spines[:].set_visible(False)
    return rows.figure


def bar_panels(
    blocks: Blocks[float | Interval], label: str, *, references: Mapping[str, float] | None = None
) -> Figure:
    """Draw shares as horizontal bars, each with its number: a panel for each column, and rows in blocks as in `heat_map`.

    Args:
        blocks: heading -> {row -> {panel -> share, or `Interval`}}; an interval is drawn as a whisker, NaN as "n/a".
        label: what the shares are.
        references: panel -> share, drawn as a dotted line to compare with, with its number above the panel (default None).

    Returns:
        the figure.

    Raises:
        InputError: there are no shares, or a value is neither a share nor an `Interval`.
    """
    panels, references = _keys(blocks, "blocks"), references or {}
    titles = [
        f"{name}\ndotted: {percent(references[panel])}" if panel in references else name
        for panel, name in zip(panels, _wrapped(panels, 18), strict=True)
    ]
    rows = _Rows(blocks, label, _PANEL * len(panels), above=_LINE * _most_lines(titles) + 0.05, below=0.25)
    for i, (panel, title) in enumerate(zip(panels, titles, strict=True)):
        axis = rows.axis(_PANEL * i, _PANEL - 0.5)
        for heading, block in blocks.items():
            for row, y in zip(block.values(), _middles(rows.edges[heading]), strict=True):
                _bar(axis, y, row.get(panel, np.nan), COLOURS[i % len(COLOURS)])
        if panel in references:
            axis.axvline(references[panel], color="black", linestyle=":", linewidth=1.2)
        axis.set(xlim=(0, 1))
        axis.set_title(title, fontsize=8, y=1)
        axis.set_xticks([0, 0.5, 1])
        axis.xaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
        axis.tick_params(labelsize=7)
    return rows.figure


def _bar(axis, y, value, colour):
    share = value.value if isinstance(value, Interval) else as_numbers(value, "blocks")
    if np.size(share) != 1:
        raise InputError(f"blocks: got {value!r}; allowed is a share, or an Interval")
    axis.barh(y, np.nan_to_num(share), 0.7, color=colour, linewidth=0)
    if isinstance(value, Interval) and np.isfinite(share):
        axis.plot([value.low, value.high], [y, y], color="0.25", linewidth=1, marker="|", markersize=5)
    axis.text(1.05, y, percent(share), va="center", fontsize=8, clip_on=False)


def distributions(
    sizes: Mapping[str, Numbers],
    xlabel: str,
    *,
    budgets: Mapping[str, tuple[Numbers, Numbers, int]] | None = None,
) -> Figure:
    """Draw the share of images that are fooled by a change of at most a size: step curves, each with Wilson's 95 % band.

    A failure has the size +inf, so a curve ends at the success rate, and crosses one half at the median over all images.

    Args:
        sizes: name -> (N,) numbers, the size of each image's change; may be empty if there are `budgets`.
        xlabel: what the size measures, with the unit.
        budgets: name -> (eps, share, images), two sequences of the same length and a number, for attacks with budgets, which
            are drawn as points (default None). Points with the same budget are drawn slightly apart.

    Returns:
        the figure.

    Raises:
        InputError: there is nothing to draw, a name occurs twice, or a size is negative or NaN.
    """
    budgets = budgets or {}
    check_mapping({**sizes, **budgets}, "sizes and budgets")
    if sizes.keys() & budgets.keys():
        raise InputError(
            f"budgets: got the names {[*sizes.keys() & budgets.keys()]} twice; allowed are names that sizes does not use"
        )
    sizes = {name: _checked_sizes(name, values) for name, values in sizes.items()}
    finite = [values[np.isfinite(values)] for values in sizes.values()]
    budgets = {name: _points(name, triple) for name, triple in budgets.items()}
    finite += [eps for eps, _, _ in budgets.values()]
    right = 1.05 * max((values.max(initial=0) for values in finite), default=0) or 1
    names = _wrapped([*sizes, *budgets], 50)
    columns = 2 if max(map(len, names)) < 20 else 1
    lines = sum(name.count("\n") + 1 for name in names)
    figure, axis = new_chart(5.6, 2.9 + 0.2 * -(-lines // columns))
    for i, values in enumerate(sizes.values()):
        _steps(axis, i, names[i], values, right)
    for i, points in enumerate(budgets.values(), len(sizes)):
        aside = (i - len(sizes) - (len(budgets) - 1) / 2) * _ASIDE / 72
        shift = ScaledTranslation(aside, 0, figure.dpi_scale_trans)
        _whiskers(axis, i, i - len(sizes), names[i], points, shift)
    axis.axhline(0.5, color="0.4", linestyle=":", linewidth=1)
    axis.set(xlim=(0, right), ylim=(-0.03, 1.03), ylabel="images fooled")
    axis.set_xlabel(*_wrapped([xlabel], 64))
    axis.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    axis.grid(alpha=0.3)
    figure.legend(loc="outside lower left", frameon=False, fontsize=8, ncols=columns)
    return figure


def _checked_sizes(name, values):
    values = as_numbers(values, f"sizes[{name!r}]").astype(float)
    if values.ndim != 1 or np.isnan(values).any() or (values < 0).any():
        raise InputError(
            f"sizes[{name!r}]: got {values}; allowed are numbers (N,) from 0 on, +inf where an attack failed"
        )
    return values


def _points(name, triple):
    if len(triple) != 3:
        raise InputError(f"budgets: got {len(triple)} values for {name!r}; allowed are (eps, share, images)")
    eps, share = (as_numbers(values, f"budgets[{name!r}]").astype(float).ravel() for values in triple[:2])
    same_length(share, eps, f"budgets[{name!r}] share", "its eps")
    order = eps.argsort(kind="stable")
    return eps[order], share[order], triple[2]


def _look(i):
    return {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)], "markersize": 5}


def _steps(axis, i, name, values, right):
    if not len(values):
        axis.plot([], [], label=legend_name(f"{name}: no images"), **_look(i))
        return
    places = np.sort(values[np.isfinite(values)])
    share = np.arange(len(places) + 1) / len(values)
    x, y = np.append(np.insert(places, 0, 0), right), np.append(share, share[-1])
    median = "∞" if np.isinf(np.median(values)) else number(np.median(values))
    style = {"linestyle": DASHES[i % len(DASHES)], "markevery": (0.03, 0.2), **_look(i)}
    axis.plot(x, y, drawstyle="steps-post", label=legend_name(f"{name}: median {median}"), **style)
    band, colour = wilson(y, len(values)), COLOURS[i % len(COLOURS)]
    axis.fill_between(x, band.low, band.high, step="post", color=colour, alpha=0.12, linewidth=0)


def _whiskers(axis, i, place, name, points, aside):
    eps, share, images = points
    band = wilson(share, images)
    style = {
        "linestyle": DASHES[i % len(DASHES)],
        "linewidth": 1.3,
        "elinewidth": 1,
        "capsize": 2,
        "markeredgecolor": "white",
        "markeredgewidth": 0.4,
        **_look(i),
        "markersize": max(5, 9 - 0.8 * place),  # so that markers at the same place do not hide each other
    }
    spread = [share - band.low, band.high - share]
    axis.errorbar(eps, share, spread, label=legend_name(name), transform=axis.transData + aside, **style)


def image_table(
    rows: Mapping[str, Numbers],
    *,
    titles: Mapping[str, Sequence[str]] | None = None,
    framed: Mapping[str, Sequence[bool] | np.ndarray] | None = None,
    columns: int | None = None,
) -> Figure:
    """Draw rows of images below each other. All are in a single axis, so that a hundred images are drawn quickly.

    Args:
        rows: name -> images (k, H, W, 3) or (k, H, W), float in [0, 1]; k is the same in all rows.
        titles: name -> k texts of one or more lines, shown above the images of this row (default None).
        framed: name -> (k,) bool, which images get the frame of those that fool the model (default None).
        columns: number of images that the figure has room for, so that several figures have the same scale (default None: k).

    Returns:
        the figure.

    Raises:
        InputError: there are no images, or the lengths of the rows differ.
    """
    check_mapping(rows, "rows")
    rows = {name: as_numbers(images, f"rows[{name!r}]") for name, images in rows.items()}
    first, titles, framed = next(iter(rows.values())), titles or {}, framed or {}
    if first.ndim not in (3, 4) or not len(first):
        raise InputError(
            f"rows: got images of shape {first.shape}; allowed is (k, H, W, 3) or (k, H, W), k >= 1"
        )
    for name in rows:
        same_length(rows[name], first, f"rows[{name!r}]", "the first row")
        same_length(titles.get(name, first), first, f"titles[{name!r}]", "the images")
        same_length(framed.get(name, first), first, f"framed[{name!r}]", "the images")
    height, width = first.shape[1:3]
    scale = _IMAGE // width or _IMAGE / width
    height, width = round(height * scale), round(width * scale)
    tops, y = {}, 0
    for name in rows:
        above = round(_LINE * DPI * _most_lines(titles[name])) if name in titles else 0
        tops[name] = y + above + 6
        y = tops[name] + height
    size = np.array([22 + (width + 6) * max(columns or 0, len(first)), y + 4])
    with rc_context(STYLE):
        figure = PlainFigure(figsize=size / DPI, dpi=DPI)
        axis = figure.add_axes((0, 0, 1, 1))
    for name, images in rows.items():
        axis.text(11, tops[name] + height / 2, name, rotation=90, ha="center", va="center", fontsize=8)
        for i, image in enumerate(images):
            box = 22 + (width + 6) * i, tops[name], width, height
            title = titles[name][i] if name in titles else ""
            _image(axis, image, box, title, name in framed and framed[name][i])
    axis.set(xlim=(0, size[0]), ylim=(size[1], 0), aspect="auto")
    axis.set_axis_off()
    return figure


def _image(axis, image, box, title, framed):
    left, top, width, height = box
    how = {"interpolation": "nearest" if image.shape[1] <= width else "antialiased", "cmap": "gray"}
    axis.imshow(image, extent=(left, left + width, top + height, top), vmin=0, vmax=1, **how)
    axis.text(left + width / 2, top - 3, title, ha="center", va="bottom", fontsize=8)
    if framed:
        border = Rectangle((left, top), width, height, edgecolor=FOOLED, linewidth=2.5, fill=False)
        axis.add_patch(border)


# Rows in blocks below headings. The layout is computed here, in inches, because matplotlib's own has no headings.


class _Rows:
    """A figure whose rows have their names on the left. In its axes, y counts lines of text from the top down.

    `edges` maps each heading to the borders (n + 1,) of its n rows.
    """

    def __init__(self, blocks, label, width, above, below=0.05):
        names = _wrapped([row for block in blocks.values() for row in block], 24)
        self._left = 0.15 + _CHARACTER * max(
            letters_across(line) for name in names for line in name.split("\n")
        )
        width = max(self._left + width + 0.15, 5.0)
        (label,) = _wrapped([label], int(width / _CHARACTER))
        self._below, above = below, above + _LINE * (label.count("\n") + 1.5)
        texts, self.edges, self._lines = [], {}, 0.0
        names = iter(names)
        for heading, block in blocks.items():
            (title,) = _wrapped([heading], int(width / _CHARACTER * 0.92))
            if heading:
                self._lines += title.count("\n") + 1.6
                texts.append(
                    (0.08, self._lines - 0.15, title, {"va": "bottom", "fontweight": "bold", **_OVER})
                )
            edges = [self._lines]
            for _, name in zip(block, names):
                edges.append(edges[-1] + name.count("\n") + 1.4)
                texts.append((self._left - 0.08, sum(edges[-2:]) / 2, name, {"va": "center", "ha": "right"}))
            self.edges[heading], self._lines = np.array(edges), edges[-1]
        self._size = width, above + self._lines * _LINE + below
        with rc_context(STYLE):
            self.figure = PlainFigure(figsize=self._size, dpi=DPI)
        for x, y, text, style in texts:
            y = 1 - (above + y * _LINE) / self._size[1]
            self.figure.text(x / width, y, text, fontsize=8, **style)
        self.figure.text(0.08 / width, 1 - 0.4 * _LINE / self._size[1], label, va="top", fontsize=8)

    def axis(self, left, width):
        """Add an axis over all rows, `left` inches to the right of the names, with the given width."""
        across, down = self._size
        box = (self._left + left) / across, self._below / down, width / across, self._lines * _LINE / down
        with rc_context(STYLE):
            return self.figure.add_axes(box, ylim=(self._lines, 0), yticks=[])


def _keys(blocks, name):
    """Return the columns of all rows, in the order in which they first occur."""
    check_mapping(blocks, name)
    rows = [row for block in blocks.values() if isinstance(block, Mapping) for row in block.values()]
    keys = list(dict.fromkeys(key for row in rows if isinstance(row, Mapping) for key in row))
    if not keys:
        raise InputError(f"{name}: got no numbers; allowed is heading -> row -> column -> number")
    return keys


def _span(values):
    """Return a scale of colours from the lowest number to the highest."""
    known = np.concatenate([block.ravel() for block in values.values()])
    known = known[np.isfinite(known)]
    low, high = (known.min(), known.max()) if len(known) else (0, 1)
    return Normalize(low, high if high > low else low + 1)


def _middles(edges):
    return (edges[:-1] + edges[1:]) / 2


def _wrapped(names, characters):
    return ["\n".join(wrap(str(name), characters)) for name in names]


def _most_lines(names):
    return max(name.count("\n") for name in names) + 1
