"""A defense's utility against cases worked out by hand, its identities, and scipy's Jensen-Shannon distance."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import jensenshannon
from scipy.special import softmax

from advcourse import metrics
from advcourse.core.inputs import InputError


def odds(*rows):
    """Logits of which the softmax is in the ratio of each row's numbers."""
    return torch.tensor(rows, dtype=torch.float64).log()


# Five images, two classes, all of class 0: both right, both right, spoilt, mended, both wrong.
RAW = odds((9, 1), (6, 4), (8, 2), (3, 7), (1, 9))
DEFENDED = odds((7, 3), (8, 2), (1, 9), (9, 1), (2, 8))
Y = torch.zeros(5, dtype=torch.long)


def test_utility_by_hand():
    """Three of five right before and after; one mended, one spoilt; top confidence moves by 0.2 on both that stay right."""
    utility = metrics.utility(RAW, DEFENDED, Y)
    assert (utility.cav, utility.crr, utility.csr) == (0, 0.2, 0.2)
    assert utility.ccv == pytest.approx(0.2, abs=1e-12)
    assert utility.cos == metrics.classification_output_stability(RAW, DEFENDED, Y)
    better = metrics.utility(RAW, odds((9, 1)).expand(5, 2), Y)
    assert better.cav == pytest.approx(0.4) and better.crr == 0.4 and better.csr == 0


def test_ccv_and_cos_look_only_at_images_that_both_get_right():
    """By hand: what happens on images that one of the two gets wrong changes neither."""
    other_raw, other_defended = RAW.clone(), DEFENDED.clone()
    other_raw[2:] = odds((99, 1), (1, 99), (1, 99))
    other_defended[2:] = odds((1, 99), (99, 1), (1, 99))
    changed, kept = (
        metrics.utility(other_raw, other_defended, Y),
        metrics.utility(RAW[:2], DEFENDED[:2], Y[:2]),
    )
    assert (changed.ccv, changed.cos) == (kept.ccv, kept.cos)


LOGITS = arrays(np.float64, (8, 4), elements=st.floats(-700, 700))
LABELS = arrays(np.int64, 8, elements=st.integers(0, 3))


@given(LOGITS, LOGITS, LABELS)
def test_cav_is_crr_less_csr(raw, defended, y):
    """The identity: accuracy grows by what is mended less what is spoilt."""
    utility = metrics.utility(*map(torch.from_numpy, (raw, defended, y)))
    assert utility.cav == pytest.approx(utility.crr - utility.csr, abs=1e-12)
    assert 0 <= utility.crr <= 1 and 0 <= utility.csr <= 1


@given(LOGITS, LOGITS)
def test_cos_lies_between_0_and_ln_2(raw, defended):
    """The range of the Jensen-Shannon divergence with natural logarithms, wherever it is defined; the same of CCV in [0, 1]."""
    defended[np.arange(8), raw.argmax(1)] = 700  # both give this answer
    y = torch.from_numpy(raw).argmax(1)
    utility = metrics.utility(torch.from_numpy(raw), torch.from_numpy(defended), y)
    both = (torch.from_numpy(defended).argmax(1) == y).any()
    assert (0 <= utility.cos <= math.log(2) and 0 <= utility.ccv <= 1) if both else math.isnan(utility.cos)


@given(
    arrays(np.float64, (6, 5), elements=st.floats(-20, 20)),
    arrays(np.float64, (6, 5), elements=st.floats(-20, 20)),
)
def test_cos_equals_scipys_squared_distance(raw, defended):
    """scipy's jensenshannon is the square root of the divergence; mean over the images that both get right."""
    y = torch.from_numpy(raw).argmax(1)
    both = defended.argmax(1) == y.numpy()
    ours = metrics.classification_output_stability(torch.from_numpy(raw), torch.from_numpy(defended), y)
    distances = jensenshannon(softmax(raw[both], 1), softmax(defended[both], 1), axis=1)
    # scipy takes the root of what rounding left, so equal softmaxes may give it NaN or 1e-8 instead of 0.
    truth = np.nan_to_num(distances**2).mean() if both.any() else math.nan
    assert ours == pytest.approx(truth, abs=1e-12, nan_ok=True)


def test_the_same_answers_cost_nothing():
    """By hand: a defense that changes no answer has all five measures 0, exactly."""
    assert metrics.utility(RAW, RAW, Y) == metrics.Utility(0, 0, 0, 0, 0)


def test_cos_survives_large_logits():
    """By hand: both softmaxes are 1 and 0. Computed carelessly, 0 * log 0 is NaN."""
    logits = torch.tensor([[1e4, 0.0, -1e4]])
    assert metrics.classification_output_stability(logits, 2 * logits, Y[:1]) == 0


def test_a_defense_that_only_votes_has_no_confidence():
    """By hand: accuracy is known, and CCV and COS are NaN. DEEPSEC writes 0, which would read as perfectly stable."""
    utility = metrics.utility(RAW, DEFENDED.argmax(1), Y)
    assert (utility.cav, utility.crr, utility.csr) == (0, 0.2, 0.2)
    assert math.isnan(utility.ccv) and math.isnan(utility.cos)


def test_nan_where_nothing_is_right_in_both_and_for_no_images():
    """By hand: the last three images; none at all."""
    utility = metrics.utility(RAW[2:], DEFENDED[2:], Y[2:])
    assert utility.crr == utility.csr == pytest.approx(1 / 3)
    assert math.isnan(utility.ccv) and math.isnan(utility.cos)
    nothing = metrics.utility(RAW[:0], DEFENDED[:0], Y[:0])
    assert all(math.isnan(value) for value in vars(nothing).values())


BAD = {
    "other lengths": (
        lambda: metrics.utility(RAW, DEFENDED[:3], Y),
        r"defended_logits: got .*allowed is shape \(5,\)",
    ),
    "other classes": (
        lambda: metrics.utility(RAW, torch.ones(5, 3), Y),
        r"defended_logits: got shape \(5, 3\); allowed is the shape of raw_logits, \(5, 2\)",
    ),
    "labels of another length": (lambda: metrics.utility(RAW, DEFENDED, Y[:3]), r"y: got .*\(3,\)"),
    "votes as floats": (lambda: metrics.utility(RAW, torch.ones(5), Y), r"defended_logits: got .*int64"),
    "NaN logits": (lambda: metrics.utility(math.nan * RAW, DEFENDED, Y), r"raw_logits: got NaN or infinite"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_refused_by_name(kind):
    """The expected sentence is written out by hand for each kind."""
    call, message = BAD[kind]
    with pytest.raises(InputError, match=message):
        call()
