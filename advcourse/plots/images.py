"""Figures that consist of images."""

from collections.abc import Iterable, Mapping, Sequence
from textwrap import fill

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from advcourse.core.inputs import InputError, check_range
from advcourse.core.rounding import percent
from advcourse.plots.style import DPI, STYLE, Numbers, as_numbers, frame, rgb_pictures, same_length
from advcourse.plots.texts import PlainFigure

_ROW, _CHIP = 0.19, 0.12  # inches: a row of a key, and a square of colour in it


def grid(
    images: Numbers,
    titles: Iterable[object] | None = None,
    columns: int = 8,
    rows: Sequence[str] | None = None,
) -> Figure:
    """Draw images in rows, each with its title above.

    Args:
        images: (N, 1 or 3, H, W), float in [0, 1].
        titles: N texts (default None: no titles).
        columns: images in a row, 1 to 40 (default 8).
        rows: the names of the rows, written on their left (default None: no names).

    Returns:
        the figure.

    Raises:
        InputError: the images, or the number of titles or of names are wrong.
    """
    pictures = rgb_pictures(images, "images")
    check_range(columns, "columns", 1, 40, integer=True)
    titles = [""] * len(pictures) if titles is None else [str(title) for title in titles]
    same_length(titles, pictures, "titles", "images")
    columns = min(columns, len(pictures))
    titles += [""] * (-len(titles) % columns)
    above = [titles[i : i + columns] for i in range(0, len(titles), columns)]
    if rows is not None:
        same_length(rows, above, "rows", "the rows of images")
    figure, axes = image_axes(above, left=0.05 if rows is None else 0.3)
    for axis, picture in zip(axes.flat, pictures, strict=False):
        axis.imshow(picture, interpolation="nearest")
    for axis, name in zip(axes[:, 0], rows or (), strict=False):
        axis.set_ylabel(name)
    for axis in axes.flat[len(pictures) :]:
        axis.set_visible(False)
    return figure


def adversarial(
    clean: Numbers,
    images: Numbers,
    before: Numbers,
    after: Numbers,
    *,
    classes: Sequence[str] | None = None,
    success: Numbers | None = None,
    magnify: float | None = None,
) -> Figure:
    """Draw three rows: clean images, the change, adversarial images; above the images the model's label and its confidence.

    The change keeps its sign and is magnified by one factor for the whole figure, which is shown beside its row. Zero is
    mid-grey; pixels that became darker are dark, and pixels that became lighter are bright. Grey images use the colour map
    cividis (blue to yellow); in colour images each channel is shown as 0.5 + 0.5 * factor * change. A key under the rows says
    what the colours mean.

    Args:
        clean, images: (N, 1 or 3, H, W), float in [0, 1], before and after the attack.
        before, after: the model's logits (N, K) for these images.
        classes: names of the K classes (default None: their numbers).
        success: (N,) bool, which images get a frame (default None: those whose label changed).
        magnify: the factor (default None: the largest of 1, 2, 3, ... 10, 20, ... with which no pixel is clipped).

    Returns:
        the figure.

    Raises:
        InputError: the shapes do not fit, pixels are out of range, or `magnify` is not above 0.
    """
    shown, changed = rgb_pictures(clean, "clean"), rgb_pictures(images, "images")
    same_length(changed, shown, "images", "clean")
    same_length(before, shown, "before", "clean")
    same_length(after, shown, "after", "clean")
    (labels, titles), (new_labels, new_titles) = answers(before, classes), answers(after, classes)
    success = labels != new_labels if success is None else as_numbers(success, "success")
    same_length(success, shown, "success", "clean")
    change = as_numbers(images, "images") - as_numbers(clean, "clean")
    if magnify is None:
        magnify = magnification(change)
    check_range(magnify, "magnify", 0, exclusive_low=True)
    middle = [change_picture(part, magnify) for part in change]
    key = _key_of_changes(change.shape[1])
    figure, axes = image_axes([titles, [""] * len(shown), new_titles], left=0.3, key=key)
    rows = (("clean", shown), (f"change × {magnify:g}", middle), ("adversarial", changed))
    for row, (name, pictures) in zip(axes, rows, strict=True):
        row[0].set_ylabel(name)
        for axis, picture in zip(row, pictures, strict=True):
            axis.imshow(picture, interpolation="nearest")
    for axis, framed in zip(axes[2], success, strict=True):
        frame(axis, bool(framed))
    return figure


def _key_of_changes(channels):
    """Return what the colours of a change mean: text -> colour."""
    signs = {"darker": -1.0, "unchanged": 0.0, "lighter": 1.0}
    greys = {text: change_picture(np.full((channels, 1, 1), sign), 1)[0, 0] for text, sign in signs.items()}
    if channels == 1:
        return greys
    tints = {
        f"{word} {name}": change_picture(sign * 0.8 * np.eye(3)[i].reshape(3, 1, 1), 1)[0, 0]
        for word, sign in (("more", 1), ("less", -1))
        for i, name in enumerate(("red", "green", "blue"))
    }
    return greys | tints


def magnification(change: Numbers) -> float:
    """Return the largest factor with one significant digit, at least 1, that keeps a change in [-1, 1] within [-1, 1]."""
    largest = float(np.abs(as_numbers(change, "change")).max(initial=0))
    if not 0 < largest < 1:
        return 1
    power = 10.0 ** np.floor(np.log10(1 / largest) + 1e-6)
    factor = np.floor(1 / largest / power + 1e-6) * power
    return int(factor) if factor < 1e6 else factor


def change_picture(change: Numbers, factor: float) -> np.ndarray:
    """Return a signed change (1 or 3, H, W) times `factor` as an RGB picture (H, W, 3): see `adversarial`."""
    scaled = np.clip(0.5 + 0.5 * factor * as_numbers(change, "change"), 0, 1)
    return colormaps["cividis"](scaled[0])[..., :3] if len(scaled) == 1 else np.moveaxis(scaled, 0, -1)


def image_axes(
    titles: Sequence[Sequence[str]], left: float = 0.05, key: Mapping[str, Numbers] | None = None
) -> tuple[Figure, np.ndarray]:
    """Make a figure with an axis without ticks for each title, row by row.

    Args:
        titles: lists of the same length, with a text for each image, which is wrapped to fit; a row of empty texts takes no
            space.
        left: space for the names of the rows, left of the images, in inches (default 0.05).
        key: what colours mean, text -> colour, written under the images (default None).

    Returns:
        the figure, and its axes (rows, columns).
    """
    columns = len(titles[0])
    cell, gap = min(1.5, 9 / columns), 0.12
    characters = max(6, int(cell * 13))
    titles = [
        ["\n".join(fill(line, characters) for line in title.split("\n")) for title in row] for row in titles
    ]
    above = [0.12 + 0.16 * max(t.count("\n") + 1 for t in row) if any(row) else gap for row in titles]
    width = left + columns * (cell + gap)
    entries = _in_rows(key or {}, width - left)
    height = len(titles) * cell + sum(above) + gap / 2 + _ROW * len(entries)
    top = height
    axes = np.empty((len(titles), columns), dtype=object)
    with rc_context(STYLE):
        figure = PlainFigure(figsize=(width, height), dpi=DPI)
        for r, row in enumerate(titles):
            top -= above[r] + cell
            for c, title in enumerate(row):
                box = ((left + c * (cell + gap) + gap / 2) / width, top / height, cell / width, cell / height)
                axes[r, c] = figure.add_axes(box, xticks=[], yticks=[])
                axes[r, c].set_title(title, y=1)  # fixed: matplotlib's search for a place is slow
                axes[r, c].xaxis.set_visible(False)
                frame(axes[r, c], False)
    for r, row in enumerate(entries):
        for x, text, colour in row:
            at, y = (left + x) / width, (_ROW * (len(entries) - r) - 0.16) / height
            patch = Rectangle(
                (at, y), _CHIP / width, _CHIP / height, transform=figure.transFigure, linewidth=0.6
            )
            patch.set(facecolor=colour, edgecolor="0.3")
            figure.add_artist(patch)
            figure.text(at + (_CHIP + 0.05) / width, y + _CHIP / 2 / height, text, va="center", fontsize=8)
    return figure, axes


def _in_rows(key, width):
    """Return rows of (x in inches, text, colour) that fit into the width; at least one entry a row."""
    rows, x = [], 0.0
    for text, colour in key.items():
        wide = _CHIP + 0.15 + 0.068 * len(text)
        if not rows or x + wide > width:
            rows.append([])
            x = 0.06
        rows[-1].append((x, text, colour))
        x += wide
    return rows


def answers(logits: Numbers, classes: Sequence[str] | None = None) -> tuple[np.ndarray, list[str]]:
    """Return the labels (N,) for logits (N, K), and the model's answers as text, "name\\n98 %"."""
    logits = as_numbers(logits, "logits").astype(float)
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
