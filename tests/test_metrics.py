"""Metrics against cases worked out by hand, numpy's norms and the definitions of DEEPSEC (Ling et al. 2019)."""

import math

import numpy as np
import pytest
import torch

from advcourse import metrics
from advcourse.core.inputs import InputError

# Four attacked images, three classes, true labels 0. Predictions by eye: 0, 1, 2, 1.
LOGITS = torch.tensor([[2.0, 1.0, 0.0], [0.0, math.log(3.0), -40.0], [-3.0, -2.0, -1.0], [1.0, 1.5, 0.0]])
Y = torch.zeros(4, dtype=torch.long)
TARGET = torch.tensor([1, 1, 1, 2])


def test_misclassification_rate_counts_what_the_attacker_wanted():
    """By hand: three of four are wrong, one of four is the target (image 1)."""
    assert metrics.succeeded(LOGITS, Y).tolist() == [False, True, True, True]
    assert metrics.succeeded(LOGITS, Y, TARGET).tolist() == [False, True, False, False]
    assert metrics.misclassification_rate(LOGITS, Y) == 0.75
    assert metrics.misclassification_rate(LOGITS, Y, TARGET) == 0.25


def test_confidences_average_over_the_successes_alone():
    """By hand: image 1 has odds 3 to 1, so the wrong class has 0.75 and the true one 0.25 (the third has nothing)."""
    assert metrics.wrong_confidence(LOGITS, Y, TARGET) == pytest.approx(0.75)
    assert metrics.true_confidence(LOGITS, Y, TARGET) == pytest.approx(0.25)
    e = math.e
    third = e**2 / (1 + e + e**2), 1 / (1 + e + e**2)
    fourth = e**1.5 / (1 + e + e**1.5), e / (1 + e + e**1.5)
    assert metrics.wrong_confidence(LOGITS, Y) == pytest.approx((0.75 + third[0] + fourth[0]) / 3)
    assert metrics.true_confidence(LOGITS, Y) == pytest.approx((0.25 + third[1] + fourth[1]) / 3)


def test_nothing_succeeded_is_nan_and_not_zero():
    """An average over no images has no value; a zero would read as a perfect attack or a perfect defense."""
    right = LOGITS[:1]
    assert metrics.misclassification_rate(right, Y[:1]) == 0
    assert math.isnan(metrics.wrong_confidence(right, Y[:1]))
    assert math.isnan(metrics.true_confidence(right, Y[:1]))
    assert math.isnan(metrics.mean_over_successes(torch.ones(3), torch.zeros(3, dtype=torch.bool)))
    assert math.isnan(metrics.misclassification_rate(LOGITS[:0], Y[:0]))


def test_margin_with_all_other_logits_negative():
    """By hand. Multiplying the excluded logit by 0 would give -1 - 0 = -1 where the margin is -1 - (-2) = 1."""
    logits = torch.tensor([[-1.0, -2.0, -3.0], [-1.0, -2.0, -3.0]])
    assert metrics.margin(logits, torch.tensor([0, 2])).tolist() == [1.0, -2.0]


def test_confidence_survives_large_logits():
    """A softmax of 10 000 against 0 is 1 and 0; computed carelessly it is NaN."""
    logits = torch.tensor([[0.0, 10_000.0]])
    assert metrics.wrong_confidence(logits, Y[:1]) == 1
    assert metrics.true_confidence(logits, Y[:1]) == 0


def test_distances_by_hand():
    """Two pixels of a 2 x 2 colour image change: one in two channels by 0.3 and -0.4, one in one channel by 0.5."""
    x = torch.full((2, 3, 2, 2), 0.5, dtype=torch.float64)
    x_adv = x.clone()
    x_adv[0, 0, 0, 0] += 0.3
    x_adv[0, 1, 0, 0] -= 0.4
    x_adv[0, 2, 1, 1] += 0.5
    assert metrics.l0(x, x_adv).tolist() == [2, 0]
    assert metrics.l0(x, x_adv, per="channel").tolist() == [3, 0]
    assert metrics.l1(x, x_adv).tolist() == pytest.approx([1.2, 0])
    assert metrics.l2(x, x_adv).tolist() == pytest.approx([math.sqrt(0.5), 0])
    assert metrics.linf(x, x_adv).tolist() == pytest.approx([0.5, 0])


def test_distances_equal_numpys_norms():
    """numpy.linalg.norm on random float32 images, in float64."""
    g = torch.Generator().manual_seed(0)
    x, x_adv = torch.rand(5, 3, 9, 7, generator=g), torch.rand(5, 3, 9, 7, generator=g)
    delta = (x_adv.double() - x.double()).flatten(1).numpy()
    for distance, order in ((metrics.l1, 1), (metrics.l2, 2), (metrics.linf, np.inf)):
        np.testing.assert_allclose(
            distance(x, x_adv).numpy(), np.linalg.norm(delta, ord=order, axis=1), rtol=1e-12
        )


def test_mean_over_successes_leaves_failures_out():
    """By hand: (1 + 3) / 2."""
    assert metrics.mean_over_successes(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([True, False, True])) == 2


IMAGES = torch.full((2, 1, 3, 3), 0.5)
BAD = {
    "labels of another length": (
        lambda: metrics.succeeded(LOGITS, Y[:3]),
        r"y: got .*\(3,\).*allowed is shape \(4,\)",
    ),
    "label out of range": (lambda: metrics.succeeded(LOGITS, Y + 3), r"y: got label 3; allowed are 0 to 2"),
    "target out of range": (lambda: metrics.succeeded(LOGITS, Y, Y - 1), r"target: got label -1"),
    "logits of one image": (lambda: metrics.misclassification_rate(LOGITS[0], Y[:1]), r"logits: got \(3,\)"),
    "other shapes": (
        lambda: metrics.l2(IMAGES, IMAGES[:1]),
        r"x_adv: got shape \(1, 1, 3, 3\); allowed is .*\(2, 1, 3, 3\)",
    ),
    "no tensor": (lambda: metrics.linf([0.0], IMAGES), r"x: got .*list.; allowed is a torch.Tensor"),
    "unknown unit": (
        lambda: metrics.l0(IMAGES, IMAGES, per="byte"),
        r"per: got 'byte'; allowed are 'pixel', 'channel'",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_refused_by_name(kind):
    """The expected sentence is written out by hand for each kind."""
    call, message = BAD[kind]
    with pytest.raises(InputError, match=message):
        call()
