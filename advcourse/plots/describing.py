"""Alternative text made from what a figure shows, so that it can't be wrong."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from advcourse.core.inputs import InputError
from advcourse.core.rounding import number, percent


def describe(figure: Figure) -> str:
    """Return a text that says the numbers of a figure: ends and extremes of curves, lengths of bars, titles of images.

    A curve is told by its ends, by where it is half-way between them, and by what lies above or below both; a model's mind by the
    classes in its bars. The text says what
    is to be seen, so it also gives the answer away: before a guess, write one yourself.

    Args:
        figure: one of this package's charts, a figure of `minds`, or one with images that have titles.

    Raises:
        InputError: the figure has none of these.
    """
    charts = [axes for axes in figure.axes if axes.axison]
    sentences = [sentence for axes in charts for sentence in (*_of_bars(axes), *_of_curves(axes))]
    titles = [
        axes.get_title().replace("\n", ", ") for axes in figure.axes if axes.images and axes.get_title()
    ]
    beliefs = list(_of_minds(figure))
    if beliefs:
        sentences += beliefs
    elif titles:
        sentences.append(f"{len(titles)} images: {'; '.join(titles)}.")
    if not sentences:
        raise InputError(
            "figure: got one without named curves, bars or titled images; write the text yourself"
        )
    return " ".join(sentences)


def _of_curves(axes: Axes):
    """Yield what the axes show, then a sentence for each named curve."""
    curves = [line for line in axes.lines if not line.get_label().startswith("_")]
    if curves:
        yield f"{axes.get_ylabel()} against {axes.get_xlabel()}."
    for line in curves:
        x, y = np.asarray(line.get_xdata(), dtype=float), np.asarray(line.get_ydata(), dtype=float)
        x, y = x[np.isfinite(y)], y[np.isfinite(y)]
        if not len(y):
            yield f"{line.get_label().strip()}: no values."
            continue
        ends = [_said(axes.yaxis, y[0]), _said(axes.yaxis, y[-1])]
        text = f"{line.get_label().strip()}: {ends[0]} at {x[0]:.4g}"
        if len(y) > 1:
            text += f", {ends[1]} at {x[-1]:.4g}"
        if len(y) > 2 and ends[0] != ends[1]:
            text += f", half-way at {number(_half_way(x, y, axes.xaxis.get_transform()))}"
        for word, at in (("lowest", y.argmin()), ("highest", y.argmax())):
            if _said(axes.yaxis, y[at]) not in ends:
                text += f", {word} {_said(axes.yaxis, y[at])} at {x[at]:.4g}"
        yield text + "."


def _half_way(x, y, scale):
    """Where a curve first reaches the middle between its ends, on the straight line that is drawn between two of its points."""
    x = scale.transform(x)
    rise = (y - y[0]) / (y[-1] - y[0])
    i = int((rise >= 0.5).argmax())
    way = (0.5 - rise[i - 1]) / (rise[i] - rise[i - 1])
    return float(scale.inverted().transform(x[i - 1] + way * (x[i] - x[i - 1])))


def _of_bars(axes: Axes):
    """Yield a sentence for each series of horizontal bars that `bars` has drawn; a bar's text says its number."""
    series = [
        part
        for part in axes.containers
        if isinstance(part, BarContainer) and part.orientation == "horizontal"
    ]
    names = [text.get_text() for text in axes.get_yticklabels()]
    if series and any(names):
        yield f"{axes.get_xlabel()}, as bars."
        numbers = iter(axes.texts)
        for bars in series:
            told = ", ".join(
                f"{name} {next(numbers).get_text()}" for name, _ in zip(names, bars, strict=True)
            )
            label = bars.get_label().strip()
            yield f"{told}." if not label or label.startswith("_") else f"{label}: {told}."


def _of_minds(figure):
    """Yield a sentence for each image that `minds` has drawn: its title, and the classes in the bars below it."""
    drawn = zip(figure.axes[:-1], figure.axes[1:], strict=True)
    for image, bars in ((image, bars) for image, bars in drawn if image.images and not bars.axison):
        words = [text.get_text() for text in bars.texts]  # class and share, in turns
        told = ", ".join(f"{name} {share}" for name, share in zip(words[::2], words[1::2], strict=True))
        yield f"{image.get_title()}: {told}." if image.get_title() else f"{told}."


def _said(axis, value):
    return percent(value) if isinstance(axis.get_major_formatter(), PercentFormatter) else number(value)
