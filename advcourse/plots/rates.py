"""ROC curves on logarithmic axes, where the few false alarms are that an attacker or a guard can afford."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from advcourse.core.inputs import InputError, check_range
from advcourse.plots.charts import Curve
from advcourse.plots.labels import clear_legend
from advcourse.plots.style import COLOURS, DASHES, as_numbers, check_mapping, new_chart, same_length
from advcourse.plots.texts import legend_name


def roc_curves(
    curves: Mapping[str, Curve],
    xlabel: str = "false positive rate",
    ylabel: str = "true positive rate",
    *,
    least: float = 1e-3,
) -> Figure:
    """Draw ROC curves with both axes logarithmic; the dotted line is guessing.

    On linear axes the rates below 1 % are a hundredth of the picture, so that a curve which finds a tenth of the members without
    any false alarm looks like one that finds none.

    Args:
        curves: name -> (false positive rates, true positive rates), both rising, in [0, 1].
        xlabel, ylabel: what the axes show.
        least: the lowest rate on both axes, above 0 and at most 0.1 (default 0.001). Rates below it, and 0, are left out.

    Returns:
        the figure.

    Raises:
        InputError: there are no curves, they have different lengths, or a rate is outside [0, 1].

    Source: Carlini et al. 2022, figure 1 (arXiv 2112.03570).
    """
    check_mapping(curves, "curves")
    least = check_range(least, "least", 0, 0.1, exclusive_low=True)
    figure, axis = new_chart(4.6, 4.0)
    for i, (name, pair) in enumerate(curves.items()):
        if len(pair) != 2:
            raise InputError(f"curves: got {len(pair)} sequences for {name!r}; allowed are two, (fpr, tpr)")
        x, y = (as_numbers(values, f"curves[{name!r}]").ravel() for values in pair)
        same_length(y, x, f"curves[{name!r}] tpr", "its fpr")
        if not ((x >= 0) & (x <= 1) & (y >= 0) & (y <= 1)).all():
            raise InputError(f"curves[{name!r}]: got rates outside [0, 1]; allowed are shares")
        x = np.where(x > 0, x, least / 10)  # what is found without any false alarm comes in from the left
        style = {"color": COLOURS[i % len(COLOURS)], "linestyle": DASHES[i % len(DASHES)]}
        axis.step(x, np.where(y > 0, y, np.nan), where="post", label=legend_name(name), **style)
    axis.plot([least, 1], [least, 1], color="0.4", linestyle=":", linewidth=1, label="guessing")
    axis.set(xscale="log", yscale="log", xlim=(least, 1), ylim=(least, 1), xlabel=xlabel, ylabel=ylabel)
    for place in (axis.xaxis, axis.yaxis):
        place.set_major_formatter(FuncFormatter(lambda rate, _: f"{100 * rate:g} %"))
        place.set_minor_formatter(NullFormatter())
    axis.grid(alpha=0.3)
    axis.legend(frameon=False, fontsize=8, loc="lower right")
    clear_legend(axis)
    return figure
