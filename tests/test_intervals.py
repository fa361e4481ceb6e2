"""Estimates against Wilson's formula worked out by hand, scipy, and how often they hold the truth; and how they are printed."""

import math
import re
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from advcourse.core.inputs import InputError
from advcourse.core.intervals import Interval, bootstrap, counted, halves, margin_of_error, printed, wilson


def test_wilson_by_hand():
    """50 of 100 at z = 1.96: centre 1/2, half 1.96 / 1.038416 * sqrt(0.0025 + 0.00009604) = 0.096170."""
    half = wilson(0.5, 100, z=1.96)
    assert (half.value, half.n) == (0.5, 100)
    assert (half.low, half.high) == pytest.approx((0.5 - 0.096170, 0.5 + 0.096170), abs=1e-6)


@pytest.mark.parametrize(
    "k, n, low, high",
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_counts_against_newcombes_table(k, n, low, high):
    """Newcombe, Statistics in Medicine 17, 1998, Table I, method 3 (the score interval), to its four digits."""
    estimate = counted(k, n)
    assert (estimate.value, estimate.n) == (k / n, n)
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=5.1e-5)


def test_counts_and_the_share_are_one_estimate():
    """By hand: 1/2 of 10 is 5 of 10. Of one share everything is Python's own number, and nothing can be changed."""
    estimate = counted(np.int64(5), 10)
    assert estimate == wilson(torch.tensor(0.5), 10)
    assert [type(part) for part in vars(estimate).values()] == [float, float, float, int]
    with pytest.raises(FrozenInstanceError):
        estimate.low = 0


@pytest.mark.parametrize("n", [1, 7, 100, 10_000])
def test_wilson_equals_scipy_for_every_share(n):
    """scipy.stats.binomtest's interval, for 0, 1, half, nearly all and all of n images."""
    for k in sorted({0, 1, n // 2, n - 1, n}):
        truth = stats.binomtest(k, n).proportion_ci(0.95, method="wilson")
        estimate = counted(k, n)
        assert (estimate.low, estimate.high) == pytest.approx((truth.low, truth.high), abs=1e-12)


@pytest.mark.parametrize("n", [1, 7, 95, 1000])
def test_the_margin_of_error_holds_for_every_share(n):
    """Against SciPy's intervals: no end lies farther from its share than the margin says, and some end nearly as far."""
    said = float(margin_of_error(n).split()[1])
    ends = [stats.binomtest(k, n).proportion_ci(0.95, method="wilson") for k in range(n + 1)]
    farthest = max(abs(end - k / n) for k, pair in enumerate(ends) for end in pair)
    assert said - 1 < 100 * farthest <= said and margin_of_error(n) == f"± {said:.0f} points"


def test_wilson_stays_in_the_unit_interval_and_hands_nan_on():
    """At 0 and n the formula gives 0 and 1 exactly; a share of nothing has no interval."""
    for n in range(1, 60):
        ends = wilson(torch.tensor([0.0, 1.0]), n)
        assert ends.low[0] == 0 and ends.high[1] == 1
    some = wilson([0.5, math.nan], 10)
    assert some.low[0] < 0.5 < some.high[0] and math.isnan(some.low[1]) and math.isnan(some.high[1])
    for nothing in (counted(0, 0), wilson(0.5, 0)):
        assert all(map(math.isnan, (nothing.value, nothing.low, nothing.high))) and nothing.n == 0


@given(st.data())
def test_the_share_lies_between_the_ends(data):
    """By algebra: Wilson's interval holds the share that it was made from; and more images of the same share narrow it."""
    n = data.draw(st.integers(1, 10**6))
    k = data.draw(st.integers(0, n))
    estimate, wider = counted(k, n), counted(2 * k, 2 * n)
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
    assert estimate.low <= wider.low + 1e-12 and wider.high <= estimate.high + 1e-12
    other = counted(n - k, n)
    assert (1 - other.high, 1 - other.low) == pytest.approx((estimate.low, estimate.high), abs=1e-12)


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
    assert ours.value == statistic(values) and ours.n == 40
    for end, truth, place in zip((ours.low, ours.high), theirs.confidence_interval, (0.05 * 998, 0.95 * 998)):
        below, above = ordered[math.floor(place)], ordered[math.ceil(place)]
        assert below <= truth <= above and end in (below, above)


def test_bootstrap_holds_the_true_mean_as_often_as_it_says():
    """400 samples of 50 normal numbers: 95 % of the intervals hold 0; four standard errors are 4.4 points."""
    g = np.random.default_rng(0)
    drawn = [bootstrap(g.normal(size=50), np.mean, seed=i, draws=300) for i in range(400)]
    held = [estimate.low <= 0 <= estimate.high for estimate in drawn]
    assert abs(np.mean(held) - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 400)


def test_bootstrap_holds_the_true_median_with_failures_at_infinity():
    """Exponential sizes, of which 30 % are infinite: the median is where the finite ones reach 0.5 / 0.7."""
    truth = stats.expon.ppf(0.5 / 0.7)
    g = np.random.default_rng(1)
    held = []
    for i in range(400):
        sizes = np.where(g.random(60) < 0.3, np.inf, g.exponential(size=60))
        estimate = bootstrap(sizes, np.median, seed=i, draws=300)
        held.append(estimate.low <= truth <= estimate.high)
    assert abs(np.mean(held) - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 400)


def test_bootstrap_with_infinities_and_with_nothing():
    """By hand: all failed is infinite at both ends, half failed at the upper one; no values and NaN have no interval."""
    assert bootstrap(np.full(9, np.inf), np.median) == Interval(np.inf, np.inf, np.inf, 9)
    half = bootstrap(torch.tensor([1.0] * 11 + [math.inf] * 10), np.median)
    assert half == Interval(1, 1, math.inf, 21)
    assert bootstrap([2.0], np.mean) == Interval(2, 2, 2, 1)
    for values in ([], [1.0, math.nan]):
        nothing = bootstrap(values, np.mean)
        assert all(map(math.isnan, (nothing.value, nothing.low, nothing.high))) and nothing.n == len(values)
    with np.errstate(invalid="ignore"):  # where a sample's two middle values are -inf and inf
        assert printed(bootstrap([-math.inf, 1.0, 1.0, math.inf], np.median), "") == "1.0 (n = 4)"


def test_bootstrap_follows_from_its_seed():
    """The same seed gives the same interval, another seed another one, and numpy's global state stays."""
    values, before = np.random.default_rng(0).normal(size=30), np.random.get_state()[1].copy()
    assert bootstrap(values, np.mean, seed=1) == bootstrap(values, np.mean, seed=1)
    assert bootstrap(values, np.mean, seed=1) != bootstrap(values, np.mean, seed=2)
    assert (np.random.get_state()[1] == before).all()


PRINTED = {
    "34 % (21 of 62; 23 to 46 %)": (counted(21, 62), "%"),
    "0 % (0 of 62; 0 to 6 %)": (counted(0, 62), "%"),
    "100 % (62 of 62; 94 to 100 %)": (counted(62, 62), "%"),
    "n/a (none measured)": (counted(0, 0), "%"),
    "33 % (1 of 3; 6 to 79 %)": (wilson(torch.tensor(1 / 3), 3), "%"),
    "34 % (n = 10; 13 to 64 %)": (wilson(0.34, 10), "%"),
    "23 pixels (n = 62; 16 to 30 pixels)": (Interval(23, 16, 30, 62), "pixels"),
    "1.6 (n = 9; 1.5 to ∞)": (Interval(1.6, 1.5, math.inf, 9), ""),
    "∞ (n = 9; ∞ to ∞)": (Interval(*[math.inf] * 3, 9), ""),
    "n/a (n = 9)": (Interval(*[math.nan] * 3, 9), "pixels"),
    "2.0 pixels (n = 9)": (Interval(2, math.nan, math.nan, 9), "pixels"),
}


@pytest.mark.parametrize("sentence", PRINTED)
def test_what_is_printed(sentence):
    """The sentences are written out by hand, of scipy's ends; the two halves are the same words."""
    estimate, unit = PRINTED[sentence]
    assert printed(estimate, unit) == sentence == " ".join(halves(estimate, unit))


@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_printed_shares_are_in_order(counts):
    """Read back from the text: the counts are those given, and low <= value <= high holds of the rounded numbers."""
    value, k, n, low, high = map(int, re.findall(r"\d+", printed(counted(*counts))))
    assert (k, n) == counts and 0 <= low <= value <= high <= 100


@given(st.lists(st.floats(1e-3, 1e5), min_size=3, max_size=3).map(sorted))
def test_printed_numbers_are_in_order(numbers):
    """Read back from the text, after rounding to two digits."""
    low, value, high = numbers
    value, _, low, high = map(float, re.findall(r"[\d.]+", printed(Interval(value, low, high, 7), "seconds")))
    assert low <= value <= high


BAD = {
    "share above 1": (lambda: wilson(1.5, 5), r"share: got 1.5; allowed are shares in \[0, 1\]"),
    "share is a word": (lambda: wilson("half", 5), r"share: got str; allowed are numbers"),
    "z of 0": (lambda: wilson(0.5, 5, z=0), r"z: got 0; allowed is a number > 0 and <= 100"),
    "z is a word": (lambda: wilson(0.5, 5, z="1.96"), r"z: got '1.96'"),
    "n below 0": (lambda: wilson(0.5, -1), r"n: got -1; allowed is an integer >= 0"),
    "a share for a count": (
        lambda: counted(0.34, 62),
        r"successes: got 0.34; allowed is an integer >= 0 and <= 62",
    ),
    "more than all": (lambda: counted(6, 5), r"successes: got 6; allowed is an integer >= 0 and <= 5"),
    "a margin for nothing": (lambda: margin_of_error(0), r"n: got 0; allowed is an integer >= 1"),
    "several are printed": (lambda: printed(wilson([0.1, 0.2], 10)), r"rate: got array"),
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
