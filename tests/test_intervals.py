"""Intervals against Wilson's formula worked out by hand, scipy, and how often they hold the truth."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from advcourse.core.inputs import InputError
from advcourse.core.intervals import bootstrap, wilson


def test_wilson_by_hand():
    """50 of 100 at z = 1.96: centre 1/2, half 1.96 / 1.038416 * sqrt(0.0025 + 0.00009604) = 0.096170."""
    low, high = wilson(0.5, 100, z=1.96)
    assert low == pytest.approx(0.5 - 0.096170, abs=1e-6) and high == pytest.approx(0.5 + 0.096170, abs=1e-6)


@pytest.mark.parametrize("n", [1, 7, 100, 10_000])
def test_wilson_equals_scipy_for_every_share(n):
    """scipy.stats.binomtest's interval, for 0, 1, half, nearly all and all of n images."""
    for k in sorted({0, 1, n // 2, n - 1, n}):
        truth = stats.binomtest(k, n).proportion_ci(0.95, method="wilson")
        assert wilson(k / n, n) == pytest.approx((truth.low, truth.high), abs=1e-12)


def test_wilson_stays_in_the_unit_interval_and_hands_nan_on():
    """At 0 and n the formula gives 0 and 1 exactly; a share of nothing has no interval."""
    for n in range(1, 60):
        low, high = wilson(torch.tensor([0.0, 1.0]), n)
        assert low[0] == pytest.approx(0, abs=1e-15) and low[0] >= 0
        assert high[1] == pytest.approx(1, abs=1e-15) and high[1] <= 1
    low, high = wilson([0.5, math.nan], 10)
    assert low[0] < 0.5 < high[0] and math.isnan(low[1]) and math.isnan(high[1])
    assert all(math.isnan(end) for end in wilson(math.nan, 0))


@pytest.mark.parametrize("statistic", [np.mean, np.median, np.ptp])
def test_bootstrap_against_scipy(statistic):
    """scipy.stats.bootstrap (percentile) with the same generator draws the same samples.

    scipy's end lies between two of the ordered statistics, ours is one of these two: so that infinities can be had.
    """
    values = np.random.default_rng(5).exponential(size=40)
    ours = bootstrap(values, statistic, seed=3, draws=999, level=0.9)
    generator = np.random.default_rng(3)
    theirs = stats.bootstrap(
        (values,), statistic, n_resamples=999, confidence_level=0.9, method="percentile", rng=generator
    )
    ordered = np.sort(theirs.bootstrap_distribution)
    for end, truth, place in zip(ours, theirs.confidence_interval, (0.05 * 998, 0.95 * 998)):
        below, above = ordered[math.floor(place)], ordered[math.ceil(place)]
        assert below <= truth <= above and end in (below, above)


def test_bootstrap_holds_the_true_mean_as_often_as_it_says():
    """400 samples of 50 normal numbers: 95 % of the intervals hold 0; four standard errors are 4.4 points."""
    g = np.random.default_rng(0)
    held = [
        low <= 0 <= high
        for low, high in (bootstrap(g.normal(size=50), np.mean, seed=i, draws=300) for i in range(400))
    ]
    assert abs(np.mean(held) - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 400)


def test_bootstrap_holds_the_true_median_with_failures_at_infinity():
    """Exponential sizes, of which 30 % are infinite: the median is where the finite ones reach 0.5 / 0.7."""
    truth = stats.expon.ppf(0.5 / 0.7)
    g = np.random.default_rng(1)
    held = []
    for i in range(400):
        sizes = np.where(g.random(60) < 0.3, np.inf, g.exponential(size=60))
        low, high = bootstrap(sizes, np.median, seed=i, draws=300)
        held.append(low <= truth <= high)
    assert abs(np.mean(held) - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 400)


def test_bootstrap_with_infinities_and_with_nothing():
    """By hand: all failed is infinite at both ends, half failed at the upper one; no values and NaN have no interval."""
    assert bootstrap(np.full(9, np.inf), np.median) == (np.inf, np.inf)
    low, high = bootstrap(torch.tensor([1.0] * 10 + [math.inf] * 10), np.median)
    assert low == 1 and high == math.inf
    assert bootstrap([2.0], np.mean) == (2, 2)
    assert all(math.isnan(end) for end in bootstrap([], np.mean))
    assert all(math.isnan(end) for end in bootstrap([1.0, math.nan], np.mean))


def test_bootstrap_follows_from_its_seed():
    """The same seed gives the same interval, another seed another one, and numpy's global state stays."""
    values, before = np.random.default_rng(0).normal(size=30), np.random.get_state()[1].copy()
    assert bootstrap(values, np.mean, seed=1) == bootstrap(values, np.mean, seed=1)
    assert bootstrap(values, np.mean, seed=1) != bootstrap(values, np.mean, seed=2)
    assert (np.random.get_state()[1] == before).all()


BAD = {
    "share above 1": (lambda: wilson(1.5, 5), r"share: got 1.5; allowed are shares in \[0, 1\]"),
    "share is a word": (lambda: wilson("half", 5), r"share: got str; allowed are numbers"),
    "samples below 0": (lambda: wilson(0.5, -1), r"samples: got -1; allowed is an integer >= 0"),
    "a table": (
        lambda: bootstrap(np.ones((2, 2)), np.mean),
        r"values: got shape \(2, 2\); allowed is \(N,\)",
    ),
    "no draws": (lambda: bootstrap([1.0], np.mean, draws=0), r"draws: got 0; allowed is an integer >= 1"),
    "level in percent": (
        lambda: bootstrap([1.0], np.mean, level=95),
        r"level: got 95; allowed is a number > 0",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_refused_by_name(kind):
    """The expected sentence is written out by hand for each kind."""
    call, message = BAD[kind]
    with pytest.raises(InputError, match=message):
        call()
