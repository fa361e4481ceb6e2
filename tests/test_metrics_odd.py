"""Metrics of odd tensors and arrays: a sentence, or the number that the same values have in an ordinary tensor."""

import numpy as np
import pytest
import torch

from advcourse import metrics
from advcourse.core.inputs import InputError

LOGITS, Y = torch.tensor([[2.0, 1.0, 0.0], [0.0, 3.0, 1.0], [1.0, 0.0, 2.0]]), torch.tensor([0, 1, 2])
CLEAN, OTHERS = torch.tensor([0.1, 0.4, 0.2, 0.3]), torch.tensor([0.35, 0.5, 0.15])
FOOLED = torch.tensor([True, False, True])

OF_LOGITS = [
    metrics.succeeded,
    metrics.misclassification_rate,
    metrics.confidences,
    metrics.true_confidence,
    metrics.wrong_confidence,
]
NO_LOGITS = {
    "flags": LOGITS > 1,
    "complex": LOGITS + 1j,
    "sparse": LOGITS.to_sparse(),
    "meta": LOGITS.to("meta"),
}


@pytest.mark.parametrize("kind", NO_LOGITS)
@pytest.mark.parametrize("metric", OF_LOGITS, ids=lambda metric: metric.__name__)
def test_what_is_no_logits_is_told(metric, kind):
    """Checks the sentence; the imaginary part would be dropped, and the others are torch's own errors."""
    with pytest.raises(InputError, match="^logits: got .*; allowed are"):
        metric(NO_LOGITS[kind], Y)


OF_SCORES = {
    "auc": lambda scores: metrics.auc(scores, OTHERS),
    "auc of others": lambda scores: metrics.auc(CLEAN, scores),
    "roc": lambda scores: metrics.roc(scores, OTHERS)[1].sum(),
    "threshold": lambda scores: metrics.threshold_at(scores, 0.25),
    "false positives": lambda scores: metrics.false_positive_rate(scores, 0.25),
    "true positives": lambda scores: metrics.true_positive_rate(scores, 0.25),
    "mean": lambda scores: metrics.mean_over_successes(scores, CLEAN > 0.1),
    "median": lambda scores: metrics.median_with_failures(scores, CLEAN > 0.1),
}
NO_SCORES = {
    "complex": CLEAN + 1j,
    "complex array": CLEAN.numpy() + 1j,
    "texts": np.array(["a", "b", "c", "d"]),
    "objects": np.array([None, 1.0, 2.0, 3.0]),
    "meta": CLEAN.to("meta"),
    "sparse": CLEAN.to_sparse(),
}
SCORES = {
    "backwards": CLEAN.flip(0).numpy()[::-1],
    "of another byte order": CLEAN.numpy().astype(">f8"),
    "longer": CLEAN.numpy().astype(np.longdouble),
    "with a gradient": CLEAN.clone().requires_grad_(),
}


@pytest.mark.parametrize("kind", NO_SCORES)
@pytest.mark.parametrize("metric", OF_SCORES)
def test_what_is_no_scores_is_told(metric, kind):
    """Checks the sentence; the imaginary part would be dropped, and the others are torch's own errors."""
    with pytest.raises(InputError, match="; allowed are real numbers"):
        OF_SCORES[metric](NO_SCORES[kind])


@pytest.mark.parametrize("kind", SCORES)
@pytest.mark.parametrize("metric", OF_SCORES)
def test_scores_however_they_are_held(metric, kind):
    """Checks against the same numbers in an ordinary tensor of float64."""
    expected = torch.as_tensor(CLEAN).double()
    assert OF_SCORES[metric](SCORES[kind]) == pytest.approx(OF_SCORES[metric](expected), abs=1e-6)


@pytest.mark.parametrize(
    "threshold", [None, "0.1", [0.1], CLEAN, CLEAN.numpy(), CLEAN[:0], True, float("nan")]
)
def test_a_threshold_is_one_number(threshold):
    """Checks the sentence of each metric with a threshold, and single numbers of torch and numpy, which are numbers."""
    for metric in (
        lambda at: metrics.false_positive_rate(CLEAN, at),
        lambda at: metrics.true_positive_rate(OTHERS, at),
        lambda at: metrics.attacker_win_rate(OTHERS, FOOLED, at),
    ):
        with pytest.raises(InputError, match="^threshold: got .*; allowed is a single number"):
            metric(threshold)
        assert metric(torch.tensor(0.25)) == metric(np.float32(0.25)) == metric(0.25)


BAD_MARGINS = {
    "fewer labels": (LOGITS, Y[:1]),
    "labels of another device": (LOGITS, Y.to("meta")),
    "labels in a list": (LOGITS, [0, 1, 2]),
    "one image": (LOGITS[0], Y[:1]),
    "float labels": (LOGITS, Y.float()),
    "one-hot labels": (LOGITS, torch.eye(3)),
    "flags": (LOGITS > 1, Y),
}


@pytest.mark.parametrize("kind", BAD_MARGINS)
def test_a_margin_of_other_shapes_is_told(kind):
    """Checks the sentence: `gather` takes fewer labels than images, and labels on another device, and gives some number."""
    with pytest.raises(InputError, match="^logits and labels: got .*; allowed are"):
        metrics.margin(*BAD_MARGINS[kind])
    assert metrics.margin(LOGITS, Y.byte()).tolist() == [1, 2, 1]


def test_a_word_is_no_flag():
    """Checks that "no", which is true, is refused, where a model abstains or not."""
    with pytest.raises(InputError, match="^abstains: got 'no'; allowed are True and False"):
        metrics.succeeded(LOGITS, Y, abstains="no")
    with pytest.raises(InputError, match="^rounded: got 'no'"):
        metrics.l0(torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2), rounded="no")
