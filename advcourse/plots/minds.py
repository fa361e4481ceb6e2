"""What a model makes of images: each image above bars of the classes that it thinks of first."""

from collections.abc import Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from advcourse.core.inputs import check_range
from advcourse.core.rounding import percent
from advcourse.plots.images import answers
from advcourse.plots.style import COLOURS, STYLE, Numbers, as_numbers, frame, rgb_pictures, same_length
from advcourse.plots.texts import PlainFigure, fitting_size, inches

_SIDE, _BAR, _GAP, _ABOVE = 2.3, 0.24, 0.14, 0.3  # inches
_DPI = 100  # a photograph of 224 pixels is then drawn pixel by pixel


def minds(
    images: Numbers,
    logits: Numbers,
    classes: Sequence[str],
    titles: Sequence[str] | None = None,
    top: int = 3,
    framed: Sequence[bool] | None = None,
) -> Figure:
    """Draw images side by side, each above bars of the classes that the model finds most probable.

    Args:
        images: (N, 1 or 3, H, W), float in [0, 1].
        logits: (N, K), the model's answers.
        classes: names of the K classes.
        titles: N texts above the images (default None: none).
        top: bars below each image, 1 to 10 (default 3).
        framed: N flags: which images get the frame of an image that fools the model (default None: none).

    Returns:
        the figure.

    Raises:
        InputError: the images, the number of logits, names or titles do not fit.
    """
    pictures, n = rgb_pictures(images, "images"), len(as_numbers(images, "images"))
    labels, _ = answers(logits, classes)
    same_length(labels, pictures, "logits", "images")
    check_range(top, "top", 1, 10, integer=True)
    titles = [""] * n if titles is None else [str(title) for title in titles]
    framed = [False] * n if framed is None else list(framed)
    same_length(titles, pictures, "titles", "images")
    same_length(framed, pictures, "framed", "images")
    shares = _softmax(as_numbers(logits, "logits").astype(float))
    width, below = n * (_SIDE + _GAP), top * _BAR + _GAP
    height = _ABOVE + _SIDE + below
    with rc_context(STYLE):
        figure = PlainFigure(figsize=(width, height), dpi=_DPI)
        for i, (picture, share) in enumerate(zip(pictures, shares, strict=True)):
            left = (i * (_SIDE + _GAP) + _GAP / 2) / width
            axis = figure.add_axes(
                (left, below / height, _SIDE / width, _SIDE / height), xticks=[], yticks=[]
            )
            axis.imshow(picture, interpolation="nearest")
            axis.set_title(titles[i], y=1)
            frame(axis, bool(framed[i]))
            bars = figure.add_axes((left, 0, _SIDE / width, (below - _GAP / 2) / height))
            _draw_bars(bars, share, classes, top)
    return figure


def _softmax(logits):
    odds = np.exp(logits - logits.max(1, keepdims=True))
    return odds / odds.sum(1, keepdims=True)


def _draw_bars(axis, share, classes, top):
    first = np.argsort(-share, kind="stable")[:top]
    axis.axis("off")
    axis.set(xlim=(0, 1), ylim=(len(first) - 0.5, -0.5))
    axis.barh(range(len(first)), [1] * len(first), height=0.82, color="0.93")
    axis.barh(range(len(first)), share[first], height=0.82, color=COLOURS[5], edgecolor="0.4", linewidth=0.5)
    for y, label in enumerate(first):
        name, words = str(classes[label]), percent(share[label])
        free = 0.965 * _SIDE - inches(words, 8)[0] - 0.08
        axis.text(0.02, y, name, va="center", fontsize=fitting_size(name, free, 8))
        axis.text(0.985, y, words, va="center", ha="right", fontsize=8)
