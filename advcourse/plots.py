"""The course's figures. Each function takes arrays or tensors and returns a `matplotlib.figure.Figure`.

No pyplot: no state is left behind and no figure is shown by itself; `show(figure, alt)` displays one, with alternative
text. All figures can be read in grey: lines differ by marker and dash, areas bear their names, bars are hatched, and
the map of a change runs from dark (less light) to bright (more light). Colours are those of Okabe and Ito (2008) and the
map cividis (Nunez, Anderton and Renslow, PLOS ONE 13(7), 2018), which colour-blind readers can tell apart.
"""

import base64
import html
from collections.abc import Mapping
from io import BytesIO
from textwrap import fill

import numpy as np
import torch
from matplotlib import colormaps, rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import PercentFormatter
from PIL import Image

from advcourse.inputs import InputError, check_images, check_range
from advcourse.rounding import number, percent

DPI = 80
COLOURS = "#0072B2 #D55E00 #009E73 #CC79A7 #E69F00 #56B4E9 #000000 #7F7F7F #8C6D31 #5E3C99".split()
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))
HATCHES = ("", "//", "..", "xx", "\\\\", "oo", "++", "--")
FOOLED = "#D55E00"  # the frame of an image that fools the model
OUTLINED = {"color": "white", "path_effects": [withStroke(linewidth=2, foreground="black")]}
STYLE = {"font.size": 9, "axes.titlesize": 9, "axes.spines.top": False, "axes.spines.right": False}


def grid(images, titles=None, columns=8):
    """Images in rows of `columns`, each under its title.

    Args:
        images: (N, 1 or 3, H, W), float in [0, 1].
        titles: N texts (default none).
        columns: images in a row (default 8).
    """
    pictures = _pictures(images, "images")
    check_range(columns, "columns", 1, 40, integer=True)
    titles = [""] * len(pictures) if titles is None else [str(title) for title in titles]
    _same_length(titles, pictures, "titles", "images")
    columns = min(columns, len(pictures))
    titles += [""] * (-len(titles) % columns)
    figure, axes = image_axes([titles[i : i + columns] for i in range(0, len(titles), columns)])
    for axis, picture in zip(axes.flat, pictures, strict=False):
        axis.imshow(picture, interpolation="nearest")
    for axis in axes.flat[len(pictures) :]:
        axis.set_visible(False)
    return figure


def adversarial(clean, images, before, after, *, classes=None, success=None, magnify=None):
    """Three rows: clean images, the change, adversarial images; over the images the model's label and its confidence.

    The change keeps its sign and is magnified by one factor for the whole figure, which its row states. Zero is mid-grey,
    what grew darker is dark, what grew lighter is bright: for grey images on the map cividis (blue to yellow), for
    colour images each channel for itself, as 0.5 + 0.5 * factor * change.

    Args:
        clean, images: (N, 1 or 3, H, W), float in [0, 1], before and after the attack.
        before, after: the model's logits (N, K) for them.
        classes: names of the K classes (default their numbers).
        success: (N,) bool, which images get a frame (default: those whose label changed).
        magnify: the factor (default: the largest of 1, 2, 3, ... 10, 20, ... that clips nothing).
    """
    shown, changed = _pictures(clean, "clean"), _pictures(images, "images")
    _same_length(changed, shown, "images", "clean")
    _same_length(before, shown, "before", "clean")
    _same_length(after, shown, "after", "clean")
    (labels, titles), (new_labels, new_titles) = answers(before, classes), answers(after, classes)
    success = labels != new_labels if success is None else _numbers(success, "success")
    _same_length(success, shown, "success", "clean")
    change = _numbers(images, "images") - _numbers(clean, "clean")
    if magnify is None:
        magnify = magnification(change)
    check_range(magnify, "magnify", 0, exclusive_low=True)
    middle = [change_picture(one, magnify) for one in change]
    figure, axes = image_axes([titles, [""] * len(shown), new_titles], left=0.3)
    rows = (("clean", shown), (f"change × {magnify:g}", middle), ("adversarial", changed))
    for row, (name, pictures) in zip(axes, rows, strict=True):
        row[0].set_ylabel(name)
        for axis, picture in zip(row, pictures, strict=True):
            axis.imshow(picture, interpolation="nearest")
    for axis, framed in zip(axes[2], success, strict=True):
        frame(axis, bool(framed))
    return figure


def magnification(change):
    """The largest factor of one significant digit, at least 1, by which a change within [-1, 1] stays within [-1, 1]."""
    largest = float(np.abs(_numbers(change, "change")).max(initial=0))
    if not 0 < largest < 1:
        return 1
    power = 10.0 ** np.floor(np.log10(1 / largest) + 1e-6)
    factor = np.floor(1 / largest / power + 1e-6) * power
    return int(factor) if factor < 1e6 else factor


def change_picture(change, factor):
    """A signed change (1 or 3, H, W) times `factor` as RGB (H, W, 3): see `adversarial`."""
    scaled = np.clip(0.5 + 0.5 * factor * _numbers(change, "change"), 0, 1)
    return colormaps["cividis"](scaled[0])[..., :3] if len(scaled) == 1 else np.moveaxis(scaled, 0, -1)


def frame(axis, shown):
    """Draw or remove the thick frame of an image that fools the model."""
    for spine in axis.spines.values():
        spine.set(visible=shown, color=FOOLED, linewidth=3)


def lines(curves, xlabel, ylabel, *, samples=None, percentages=False, chance=None):
    """Curves over a common axis; each has its own colour, marker and dash.

    Args:
        curves: name -> (x, y), two sequences of one length; NaN leaves a gap.
        xlabel, ylabel: what the axes measure, with the unit.
        samples: where y is a share of this many images: draws the 95 % band of it (Wilson's interval).
        percentages: y is a share, shown as 0 to 100 % (default False).
        chance: a dotted line at this y, the share that guessing reaches.
    """
    _check_mapping(curves, "curves")
    figure, axis = _chart(5.6, 3.4)
    for i, (name, pair) in enumerate(curves.items()):
        if len(pair) != 2:
            raise InputError(f"curves: got {len(pair)} sequences for {name!r}; allowed are two, (x, y)")
        x, y = (_numbers(values, f"curves[{name!r}]").ravel() for values in pair)
        _same_length(y, x, f"curves[{name!r}] y", "its x")
        colour, marker, dash = (cycle[i % len(cycle)] for cycle in (COLOURS, MARKERS, DASHES))
        axis.plot(x, y, color=colour, marker=marker, linestyle=dash, markersize=5, label=name)
        if samples is not None:
            axis.fill_between(x, *wilson(y, samples), color=colour, alpha=0.15, linewidth=0)
    if chance is not None:
        axis.axhline(chance, color="0.4", linestyle=":", linewidth=1)
        axis.text(
            1, chance, "chance", transform=axis.get_yaxis_transform(), ha="right", va="bottom", color="0.3"
        )
    axis.set(xlabel=xlabel, ylabel=ylabel)
    if percentages:
        axis.set_ylim(-0.03, 1.03)
        axis.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    axis.grid(alpha=0.3)
    axis.legend(frameon=False, fontsize=8)
    return figure


def accuracy_against_eps(curves, *, norm="L∞", samples=None, chance=None):
    """Accuracy under attack against the budget eps: `lines` with its labels.

    Args:
        curves: name -> (eps, accuracy), eps in units of the pixel range [0, 1], accuracy in [0, 1].
        norm: of the budget, for the label (default "L∞").
        samples: images measured; draws the 95 % band.
        chance: accuracy of guessing, 1 / K.
    """
    xlabel = f"eps, {norm} (pixels range from 0 to 1)"
    return lines(curves, xlabel, "accuracy", samples=samples, percentages=True, chance=chance)


def wilson(share, samples, z=1.959964):
    """Wilson's interval (low, high) for a share of `samples` images; z = 1.96 gives 95 %. Source: Wilson, JASA 22, 1927."""
    check_range(samples, "samples", 1, integer=True)
    share = _numbers(share, "share")
    if (share < 0).any() or (share > 1).any():
        raise InputError(
            f"share: got {share[(share < 0) | (share > 1)][0]:g}; allowed are shares in [0, 1] (and NaN)"
        )
    centre = (share + z**2 / (2 * samples)) / (1 + z**2 / samples)
    half = z / (1 + z**2 / samples) * np.sqrt(share * (1 - share) / samples + z**2 / (4 * samples**2))
    return centre - half, centre + half


def bars(values, xlabel, *, percentages=False):
    """Horizontal bars, each with its number; NaN shows as "n/a".

    Args:
        values: name -> number, or name -> {series -> number}.
        xlabel: what is measured, with the unit.
        percentages: the numbers are shares, shown as percentages (default False).
    """
    _check_mapping(values, "values")
    table = {name: row if isinstance(row, Mapping) else {"": row} for name, row in values.items()}
    series = list(dict.fromkeys(key for row in table.values() for key in row))
    if not series:
        raise InputError("values: got no numbers; allowed is at least one")
    figure, axis = _chart(5.6, 0.7 + 0.28 * len(table) * len(series) + 0.1 * len(table))
    height = 0.8 / len(series)
    for i, key in enumerate(series):
        at = np.arange(len(table)) + (i - (len(series) - 1) / 2) * height
        lengths = np.array([float(row.get(key, np.nan)) for row in table.values()])
        style = {"color": COLOURS[i % len(COLOURS)], "hatch": HATCHES[i % len(HATCHES)], "edgecolor": "white"}
        drawn = axis.barh(at, np.nan_to_num(lengths), 0.9 * height, label=key, linewidth=0, **style)
        texts = [percent(length) if percentages else number(length) for length in lengths]
        axis.bar_label(drawn, texts, padding=3, fontsize=8)
    axis.set_yticks(np.arange(len(table)), list(table))
    axis.invert_yaxis()
    axis.margins(x=0.12)
    axis.set_xlabel(xlabel)
    if percentages:
        axis.set_xlim(0, 1.12)
        axis.xaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    if len(series) > 1:
        axis.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def slice2d(predictions, radius, *, classes=None, xlabel=None, ylabel=None, points=None):
    """A plane through the input space: the model's label as areas, the image that it passes through as a cross.

    Args:
        predictions: labels (n, n); row i, column j is the model's answer for x + a_j d1 + a_i d2, with a from -radius to
            radius. Row 0 is drawn at the bottom.
        radius: length of the steps at the edge, in the unit of d1 and d2.
        classes: names of the classes (default their numbers).
        xlabel, ylabel: of the directions (default "along direction 1 (L2)", and 2 where they have length 1).
        points: name -> (a1, a2), marked and named in the picture.
    """
    labels = _numbers(predictions, "predictions").astype(int)
    if labels.ndim != 2 or min(labels.shape) < 2:
        raise InputError(f"predictions: got shape {labels.shape}; allowed is (n, n), n >= 2")
    check_range(radius, "radius", 0, exclusive_low=True)
    figure, axis = _chart(4.4, 3.9)
    extent = (-radius, radius, -radius, radius)
    colours = np.array([to_rgb(colour) for colour in COLOURS])[labels % len(COLOURS)]
    axis.imshow(colours, extent=extent, origin="lower", interpolation="nearest")
    for label in np.unique(labels):
        area = labels == label
        if not area.all():
            axis.contour(area.astype(float), [0.5], colors="white", linewidths=1.2, extent=extent)
        if area.mean() > 0.004:  # below that there is no room for the name
            at = (2 * (_deepest(area) + 0.5) / labels.shape[::-1] - 1) * radius
            name = str(label if classes is None else classes[label])
            axis.text(*at, name, ha="center", va="center", fontsize=9, fontweight="bold", **OUTLINED)
    for i, (name, at) in enumerate({"x": (0, 0), **(points or {})}.items()):
        marker = "X" if i == 0 else MARKERS[i % len(MARKERS)]
        axis.plot(*at, marker, color="white", markeredgecolor="black", markersize=8)
        axis.annotate(name, at, (6, 5), textcoords="offset points", fontsize=8, **OUTLINED)
    axis.set(xlim=extent[:2], ylim=extent[2:])
    axis.set_xlabel(xlabel or "along direction 1 (L2)")
    axis.set_ylabel(ylabel or "along direction 2 (L2)")
    return figure


class Picture:
    """A figure as PNG with its alternative text, for a notebook: `show` makes it.

    JupyterLab and nbconvert drop the alternative text of a plain image/png, so the output also holds an HTML <img>,
    which both prefer and whose `alt` they keep; its plain text is the alternative text itself.
    """

    def __init__(self, png: bytes, alt: str):
        self.png, self.alt = png, alt

    def __repr__(self):
        return self.alt

    def _repr_mimebundle_(self, include=None, exclude=None):
        data = base64.b64encode(self.png).decode()
        tag = f'<img alt="{html.escape(self.alt)}" src="data:image/png;base64,{data}">'
        return {"text/html": tag, "image/png": data, "text/plain": self.alt}, {"image/png": {"alt": self.alt}}


def show(figure, alt):
    """The figure for display as a cell's last line, or with IPython's `display`: a `Picture`.

    Args:
        figure: a matplotlib figure.
        alt: what the figure shows, for those who cannot see it; at least a few words.
    """
    if not isinstance(alt, str) or len(alt.split()) < 3:
        raise InputError(f"alt: got {alt!r}; allowed is a text that says what the figure shows")
    return Picture(png(figure), alt)


def png(figure, optimize=True):
    """The figure as the bytes of an RGB PNG. `optimize=False` is faster, the file larger."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    file = BytesIO()
    picture = Image.fromarray(np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3]))
    picture.save(file, "PNG", **({"optimize": True} if optimize else {"compress_level": 1}))
    return file.getvalue()


def image_axes(titles, left=0.05):
    """A figure with an axis without ticks for each title, row by row; and the axes (rows, columns).

    Args:
        titles: lists of one length, a text (wrapped to fit) for each image; a row of empty ones takes no room.
        left: inches beside the images, for the names of the rows.
    """
    columns = len(titles[0])
    cell, gap = min(1.5, 9 / columns), 0.12
    characters = max(6, int(cell * 13))
    titles = [
        ["\n".join(fill(line, characters) for line in title.split("\n")) for title in row] for row in titles
    ]
    above = [0.12 + 0.16 * max(t.count("\n") + 1 for t in row) if any(row) else gap for row in titles]
    width, height = left + columns * (cell + gap), len(titles) * cell + sum(above) + gap / 2
    top = height
    axes = np.empty((len(titles), columns), dtype=object)
    with rc_context(STYLE):
        figure = Figure(figsize=(width, height), dpi=DPI)
        for r, row in enumerate(titles):
            top -= above[r] + cell
            for c, title in enumerate(row):
                box = ((left + c * (cell + gap) + gap / 2) / width, top / height, cell / width, cell / height)
                axes[r, c] = figure.add_axes(box, xticks=[], yticks=[])
                axes[r, c].set_title(title, y=1)  # a place of its own: matplotlib's search for one is slow
                axes[r, c].xaxis.set_visible(False)
                frame(axes[r, c], False)
    return figure, axes


def answers(logits, classes=None):
    """The model's answers in words, "name\\n98 %", for logits (N, K); and the labels (N,)."""
    logits = _numbers(logits, "logits").astype(float)
    if logits.ndim != 2:
        raise InputError(f"logits: got shape {logits.shape}; allowed is (N, K)")
    if classes is not None and len(classes) < logits.shape[1]:
        raise InputError(
            f"classes: got {len(classes)} names; allowed is one for each of {logits.shape[1]} classes"
        )
    labels = logits.argmax(1)
    odds = np.exp(logits - logits.max(1, keepdims=True))
    confidence = odds.max(1) / odds.sum(1)
    names = [str(label if classes is None else classes[label]) for label in labels]
    return labels, [f"{name}\n{percent(sure)}" for name, sure in zip(names, confidence, strict=True)]


def _chart(width, height):
    with rc_context(STYLE):
        figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
        axis = figure.add_subplot()
    axis.tick_params(labelsize=8)
    return figure, axis


def _deepest(area):
    """[column, row] of the point of `area` (n, n) that lies farthest from its edge."""
    from scipy.ndimage import distance_transform_edt  # slow to import, and needed here only

    depth = distance_transform_edt(np.pad(area, 1))[1:-1, 1:-1]
    return np.array(np.unravel_index(depth.argmax(), area.shape))[::-1]


def _numbers(values, name):
    if isinstance(values, torch.Tensor):
        return values.detach().cpu().numpy()
    try:
        return np.asarray(values, dtype=None if isinstance(values, np.ndarray) else float)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: got {type(values).__name__}; allowed are numbers ({error})") from None


def _pictures(images, name):
    """RGB pictures (N, H, W, 3), float in [0, 1], of a checked batch (N, 1 or 3, H, W)."""
    batch = check_images(
        images if isinstance(images, torch.Tensor) else torch.as_tensor(_numbers(images, name)), name
    )
    if batch.shape[1] not in (1, 3) or not len(batch):
        raise InputError(
            f"{name}: got shape {tuple(batch.shape)}; allowed are 1 or more images of 1 or 3 channels"
        )
    return batch.detach().cpu().float().expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy()


def _same_length(values, others, name, other_name):
    if len(values) != len(others):
        raise InputError(f"{name}: got {len(values)}; allowed are {len(others)}, as many as {other_name}")


def _check_mapping(values, name):
    if not isinstance(values, Mapping) or not values:
        raise InputError(f"{name}: got {values!r}; allowed is a dictionary with at least one entry")
