"""Alternative text from a figure's own numbers."""

import numpy as np
import pytest
import torch

from advcourse import plots
from advcourse.core.inputs import InputError


def test_curves_say_their_ends_and_extremes():
    """Against sentences by hand: ends, the middle between them, a low in between, and a gap that does not count."""
    curves = {"FGSM": ([0, 0.1, 0.2], [1, 0.25, 0.5]), "PGD": ([0, 0.1, 0.2], [0.9, 0.3, np.nan])}
    text = plots.describe(plots.accuracy_against_eps(curves, chance=0.1))
    assert text == (
        "accuracy against eps, L∞ (pixels range from 0 to 1). FGSM: 100 % at 0, 50 % at 0.2, half-way at 0.033, "
        "lowest 25 % at 0.1. PGD: 90 % at 0, 30 % at 0.1."
    )


def test_places_are_not_rounded_and_half_way_is_on_the_drawn_line():
    """Against numbers by hand: from 1 to 100 on a stretched axis, half of the way is at 10, and 784 stays 784. A curve that ends
    as it began, up to what is shown of its numbers, has no middle."""
    figure = plots.lines(
        {"share": ([1, 100, 784], [0, 1, 1]), "flat": ([1, 100, 784], [0.5, 0.499, 0.501])}, "pixels", "rate"
    )
    figure.axes[0].set_xscale("log")
    assert "share: 0 at 1, 1.0 at 784, half-way at 10. flat: 0.50 at 1, 0.50 at 784." in plots.describe(
        figure
    )


def test_bars_say_their_numbers():
    """Against sentences by hand, for one series and for two with a missing number."""
    assert plots.describe(plots.bars({"a": 0.25, "b": 3}, "L2")) == "L2, as bars. a 0.25, b 3.0."
    table = {"FGSM": {"digits": 0.8, "signs": float("nan")}, "PGD": {"digits": 1.0}}
    text = plots.describe(plots.bars(table, "rate", percentages=True))
    assert text == "rate, as bars. digits: FGSM 80 %, PGD 100 %. signs: FGSM n/a, PGD n/a."


def test_images_say_their_titles():
    """Against the titles that were given."""
    figure = plots.grid(torch.rand(2, 1, 4, 4), ["seven\n98 %", "two\n40 %"])
    assert plots.describe(figure) == "2 images: seven, 98 %; two, 40 %."


def test_other_figures_are_refused():
    """Checks that the message names the argument and what to do."""
    with pytest.raises(InputError, match="^figure: .* write the text yourself"):
        plots.describe(plots.grid(torch.rand(1, 1, 4, 4)))


def test_minds_say_the_classes_in_their_bars():
    """Against the softmax of logits by hand: 0 and log 3 are 25 % and 75 %; a title where there is one."""
    logits = torch.tensor([[0.0, np.log(3)], [np.log(3), 0.0]])
    figure = plots.minds(torch.rand(2, 3, 8, 8), logits, ("cat", "dog"), ("before", ""), top=2)
    assert plots.describe(figure) == "before: dog 75 %, cat 25 %. cat 75 %, dog 25 %."
