"""Charts: curves, bars and histograms."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from advcourse.core.inputs import InputError, check_flag
from advcourse.core.intervals import wilson
from advcourse.core.rounding import number, percent
from advcourse.plots.labels import clear_legend
from advcourse.plots.style import (
    COLOURS,
    DASHES,
    HATCHES,
    MARKERS,
    Numbers,
    as_numbers,
    check_mapping,
    new_chart,
    same_length,
)
from advcourse.plots.texts import legend_name

Curve = tuple[Numbers, Numbers]  # x and y

_MOST_BARS = 41  # the most bars of a histogram


def lines(
    curves: Mapping[str, Curve],
    xlabel: str,
    ylabel: str,
    *,
    samples: int | None = None,
    percentages: bool = False,
    chance: float | None = None,
) -> Figure:
    """Draw curves over a common axis; each has its own colour, marker and dash.

    Args:
        curves: name -> (x, y), two sequences of the same length; NaN leaves a gap.
        xlabel, ylabel: what the axes show, with the unit.
        samples: if y is a share of this many images, its 95 % band is drawn (Wilson's interval; default None: no band).
        percentages: y is a share, shown as 0 to 100 % (default False).
        chance: draw a dotted line at this y, the share that guessing reaches (default None).

    Returns:
        the figure.

    Raises:
        InputError: there are no curves, or x and y of a curve have different lengths.
    """
    check_mapping(curves, "curves")
    figure, axis = new_chart(5.6, 3.4)
    for i, (name, pair) in enumerate(curves.items()):
        if len(pair) != 2:
            raise InputError(f"curves: got {len(pair)} sequences for {name!r}; allowed are two, (x, y)")
        x, y = (as_numbers(values, f"curves[{name!r}]").ravel() for values in pair)
        same_length(y, x, f"curves[{name!r}] y", "its x")
        colour, marker, dash = (cycle[i % len(cycle)] for cycle in (COLOURS, MARKERS, DASHES))
        axis.plot(x, y, color=colour, marker=marker, linestyle=dash, markersize=5, label=legend_name(name))
        if samples is not None:
            band = wilson(y, samples)
            axis.fill_between(x, band.low, band.high, color=colour, alpha=0.15, linewidth=0)
    if chance is not None:
        axis.axhline(chance, color="0.4", linestyle=":", linewidth=1)
        axis.text(1.01, chance, "chance", transform=axis.get_yaxis_transform(), va="center", color="0.3")
    axis.set(xlabel=xlabel, ylabel=ylabel)
    if check_flag(percentages, "percentages"):
        axis.set_ylim(-0.03, 1.03)
        axis.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    axis.grid(alpha=0.3)
    axis.legend(frameon=False, fontsize=8)
    clear_legend(axis)
    return figure


def accuracy_against_eps(
    curves: Mapping[str, Curve],
    *,
    norm: str = "L∞",
    samples: int | None = None,
    chance: float | None = None,
) -> Figure:
    """Draw accuracy under attack against the budget eps, as `lines` with fitting labels.

    Args:
        curves: name -> (eps, accuracy), eps in units of the pixel range [0, 1], accuracy in [0, 1].
        norm: the norm of the budget, for the label (default "L∞").
        samples: number of images measured; if given, the 95 % band is drawn (default None).
        chance: accuracy of guessing, 1 / K (default None).

    Returns:
        the figure.
    """
    xlabel = f"eps, {norm} (pixels range from 0 to 1)"
    return lines(curves, xlabel, "accuracy", samples=samples, percentages=True, chance=chance)


def bars(
    values: Mapping[str, float | Mapping[str, float]], xlabel: str, *, percentages: bool = False
) -> Figure:
    """Draw horizontal bars, each with its number; NaN is shown as "n/a".

    Args:
        values: name -> number, or name -> {series -> number}.
        xlabel: what is measured, with the unit.
        percentages: the numbers are shares, shown as percentages (default False).

    Returns:
        the figure.

    Raises:
        InputError: there are no numbers.
    """
    check_mapping(values, "values")
    table = {name: row if isinstance(row, Mapping) else {"": row} for name, row in values.items()}
    percentages = check_flag(percentages, "percentages")
    series = list(dict.fromkeys(key for row in table.values() for key in row))
    if not series:
        raise InputError("values: got no numbers; allowed is at least one")
    figure, axis = new_chart(5.6, 0.7 + 0.28 * len(table) * len(series) + 0.1 * len(table))
    height = 0.8 / len(series)
    for i, key in enumerate(series):
        at = np.arange(len(table)) + (i - (len(series) - 1) / 2) * height
        lengths = np.array([float(row.get(key, np.nan)) for row in table.values()])
        style = {"color": COLOURS[i % len(COLOURS)], "hatch": HATCHES[i % len(HATCHES)], "edgecolor": "white"}
        drawn = axis.barh(
            at, np.nan_to_num(lengths), 0.9 * height, label=legend_name(key), linewidth=0, **style
        )
        texts = [percent(length) if percentages else number(length) for length in lengths]
        axis.bar_label(drawn, texts, padding=3, fontsize=8)
    axis.set_yticks(np.arange(len(table)), list(table))
    axis.invert_yaxis()
    axis.margins(x=0.12)
    axis.set_xlabel(xlabel)
    if percentages:
        axis.set_xlim(0, 1.25)  # room for the number beside a bar of 100 %
        axis.set_xticks(np.linspace(0, 1, 5))  # few, for names may leave the bars little room
        axis.xaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    if len(series) > 1:
        axis.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def histogram(values: Numbers, highest: int, xlabel: str, ylabel: str) -> tuple[Figure, dict[str, int]]:
    """Draw how many of the values are 0, 1, ... `highest`; above 40, several numbers share a bar.

    Args:
        values: whole numbers in [0, highest].
        highest: the last number on the axis.
        xlabel, ylabel: what the numbers are, and what is counted.

    Returns:
        the figure, and what it shows: "3", or "2 to 3" -> count.

    Raises:
        InputError: a value is not a whole number from 0 to `highest`, or there are no values.
    """
    values = as_numbers(values, "values").ravel()
    if not len(values) or values.min() < 0 or values.max() > highest or (values % 1).any():
        raise InputError(f"values: got {values!r}; allowed are whole numbers from 0 to {highest}")
    width = -(-(highest + 1) // _MOST_BARS)
    starts = np.arange(0, highest + 1, width)
    counts = np.bincount((values // width).astype(int), minlength=len(starts))
    figure, axis = new_chart(5.6, 2.8)
    axis.bar(starts + (width - 1) / 2, counts, 0.9 * width, color=COLOURS[0], linewidth=0)
    axis.set(xlabel=xlabel, ylabel=ylabel, xlim=(-0.6, starts[-1] + width - 0.4))
    for place in (axis.xaxis, axis.yaxis):
        place.set_major_locator(MaxNLocator(integer=True))
    names = [str(s) if width == 1 else f"{s} to {min(s + width - 1, highest)}" for s in starts]
    return figure, dict(zip(names, counts.tolist(), strict=True))
