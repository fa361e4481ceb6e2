"""Detection against scikit-learn, the Mann-Whitney statistic, counting, and cases worked out by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import mannwhitneyu
from sklearn.metrics import roc_auc_score, roc_curve

from advcourse import metrics
from advcourse.core.inputs import InputError


def scores(n_clean=60, n_adversarial=40, ties=True):
    """Clean and adversarial scores that overlap, rounded to tenths where they are to have ties."""
    g = np.random.default_rng(2)
    clean, adversarial = g.normal(0, 1, n_clean), g.normal(1, 1, n_adversarial)
    return (clean.round(1), adversarial.round(1)) if ties else (clean, adversarial)


def test_rates_by_hand():
    """A score that equals the threshold is not flagged: two of four adversarial, one of four clean."""
    assert metrics.true_positive_rate(torch.tensor([0.2, 0.5, 0.6, 0.9]), 0.5) == 0.5
    assert metrics.false_positive_rate(np.array([0.1, 0.5, 0.5, 0.7]), 0.5) == 0.25
    assert math.isnan(metrics.false_positive_rate(torch.zeros(0), 0.5))


def test_true_positive_rate_over_all_attempts_or_over_the_fooling_ones():
    """By hand: of four attempts two are flagged, of the three that fool one."""
    adversarial, fooled = torch.tensor([0.2, 0.5, 0.6, 0.9]), torch.tensor([True, True, False, True])
    assert metrics.true_positive_rate(adversarial, 0.5) == 1 / 2
    assert metrics.true_positive_rate(adversarial, 0.5, fooled) == pytest.approx(1 / 3)
    assert math.isnan(metrics.true_positive_rate(adversarial, 0.5, torch.zeros(4, dtype=torch.bool)))


@pytest.mark.parametrize("ties", [True, False])
def test_roc_against_scikit_learn_and_against_counting(ties):
    """scikit-learn's rates; and each point is what counting gives with score > its threshold."""
    clean, adversarial = scores(ties=ties)
    fpr, tpr, thresholds = metrics.roc(clean, torch.from_numpy(adversarial))
    truth = roc_curve(
        np.repeat([0, 1], [60, 40]), np.concatenate([clean, adversarial]), drop_intermediate=False
    )
    np.testing.assert_array_equal(fpr, truth[0])
    np.testing.assert_array_equal(tpr, truth[1])
    for i, threshold in enumerate(thresholds):
        assert metrics.false_positive_rate(clean, threshold) == fpr[i]
        assert metrics.true_positive_rate(adversarial, threshold) == tpr[i]
    assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)


@pytest.mark.parametrize("ties", [True, False])
def test_auc_against_scikit_learn_and_mann_whitney(ties):
    """scikit-learn's area; and U / (n m), the share of pairs in the right order, ties half."""
    clean, adversarial = scores(ties=ties)
    auc = metrics.auc(clean, adversarial)
    assert auc == roc_auc_score(np.repeat([0, 1], [60, 40]), np.concatenate([clean, adversarial]))
    assert auc == pytest.approx(mannwhitneyu(adversarial, clean).statistic / (60 * 40), abs=1e-12)
    assert metrics.auc(adversarial, clean) == pytest.approx(1 - auc, abs=1e-12)


@given(arrays(np.float64, st.integers(1, 40), elements=st.integers(-3, 3)), st.floats(0, 1))
def test_the_measured_false_positive_rate_is_at_most_the_one_asked_for_with_ties(clean, fpr):
    """Counting: at the threshold no more than fpr are flagged; with the next lower score as threshold there would be more."""
    threshold = metrics.threshold_at(clean, fpr)
    assert (clean > threshold).mean() <= fpr
    if threshold > -math.inf:
        lower = np.max(clean[clean < threshold], initial=-math.inf)
        assert (clean > lower).mean() > fpr


@given(st.integers(1, 300), st.data())
def test_the_threshold_uses_all_of_a_rate_that_n_images_can_show(n, data):
    """Without ties, k of n asked for are k of n flagged: k / n * n is not always k in floating point (29 / 100 is one)."""
    k = data.draw(st.integers(0, n))
    clean = np.random.default_rng(n).permutation(n).astype(float)
    assert metrics.false_positive_rate(clean, metrics.threshold_at(clean, k / n)) == k / n


def test_29_of_100_false_alarms_are_29():
    """0.29 * 100 is 28.999999999999996, and 29 / 100 is 0.29: 29 images may be flagged."""
    clean = np.arange(100.0)
    assert metrics.false_positive_rate(clean, metrics.threshold_at(clean, 0.29)) == 0.29


def test_magnets_index_minus_zero_does_not_reject_everything():
    """500 validation images at 0.1 %: MagNet's sorted[-int(500 * 0.001)] is sorted[-0], the lowest; ours flags none of them."""
    clean = np.sort(np.random.default_rng(0).normal(size=500))
    theirs = clean[-int(500 * 0.001)]
    assert metrics.false_positive_rate(clean, theirs) == 499 / 500
    assert metrics.threshold_at(clean, 0.001) == clean.max()
    assert metrics.false_positive_rate(clean, metrics.threshold_at(clean, 0.001)) == 0
    assert metrics.threshold_at(clean, 0) == clean.max() and metrics.threshold_at(clean, 1) == -math.inf


def test_the_threshold_of_float32_scores_is_exact():
    """Rounding between float32 and float64 must not flag the score that the threshold is."""
    clean = torch.rand(1000, generator=torch.Generator().manual_seed(0))
    assert metrics.false_positive_rate(clean, metrics.threshold_at(clean, 0.05)) == 0.05


def test_the_attacker_wins_iff_the_model_is_fooled_and_the_image_is_not_flagged():
    """By hand: of fooled or not times flagged or not, one case of four is a win."""
    case = torch.tensor([0.9, 0.1, 0.9, 0.1]), torch.tensor([True, True, False, False])
    assert metrics.attacker_win_rate(*case, 0.5) == 0.25
    assert metrics.attacker_win_rate(*case, -math.inf) == 0
    assert metrics.attacker_win_rate(*case, 1) == 0.5
    assert math.isnan(metrics.attacker_win_rate(torch.zeros(0), torch.zeros(0, dtype=torch.bool), 0.5))


def test_auc_hides_the_corner_of_few_false_alarms():
    """By hand: 90 of 100 attacks score above 95 of 100 clean images: AUC 0.855, and at 1 % not one of them is seen."""
    clean = torch.cat([torch.zeros(95), torch.full((5,), 3.0)])
    adversarial = torch.cat([torch.full((90,), 2.0), torch.full((10,), -1.0)])
    assert metrics.auc(clean, adversarial) == pytest.approx(0.9 * 0.95)
    wins = [
        metrics.attacker_win_rate(
            adversarial, torch.ones(100, dtype=torch.bool), metrics.threshold_at(clean, fpr)
        )
        for fpr in (0.01, 0.05)
    ]
    assert wins == pytest.approx([1, 0.1])


ONES, NAN = torch.ones(2), torch.tensor([0.5, math.nan])
BAD = {
    "NaN score": (
        lambda: metrics.attacker_win_rate(NAN, ONES > 0, 0.5),
        r"scores: got NaN or infinite values",
    ),
    "NaN clean score": (lambda: metrics.threshold_at(NAN, 0.05), r"clean_scores: got NaN or infinite values"),
    "NaN in a curve": (lambda: metrics.roc(ONES, NAN), r"adversarial_scores: got NaN or infinite values"),
    "infinite score": (lambda: metrics.auc(ONES / 0, ONES), r"clean_scores: got NaN or infinite values"),
    "NaN threshold": (
        lambda: metrics.true_positive_rate(ONES, math.nan),
        r"threshold: got nan; allowed is a single number",
    ),
    "rate in percent": (
        lambda: metrics.threshold_at(ONES, 5),
        r"fpr: got 5; allowed is a number >= 0 and <= 1",
    ),
    "no clean images": (lambda: metrics.threshold_at(ONES[:0], 0.05), r"clean_scores: got none"),
    "a curve of no attacks": (lambda: metrics.roc(ONES, ONES[:0]), r"adversarial_scores: got none"),
    "fooled of another length": (
        lambda: metrics.attacker_win_rate(ONES, torch.ones(3) > 0, 0.5),
        r"fooled: got 3 values; allowed are 2",
    ),
    "a table of scores": (
        lambda: metrics.auc(torch.ones(2, 2), ONES),
        r"clean_scores: got \(2, 2\); allowed is",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_refused_by_name(kind):
    """The expected sentence is written out by hand for each kind."""
    call, message = BAD[kind]
    with pytest.raises(InputError, match=message):
        call()
