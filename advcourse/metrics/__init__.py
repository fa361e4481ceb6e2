"""Measures of an attack, a file for each property of the survey's section 3."""

from advcourse.metrics.imperceptibility import l0, l1, l2, linf, mean_over_successes
from advcourse.metrics.misclassification import (
    margin,
    misclassification_rate,
    succeeded,
    true_confidence,
    wrong_confidence,
)

__all__ = [
    "l0",
    "l1",
    "l2",
    "linf",
    "margin",
    "mean_over_successes",
    "misclassification_rate",
    "succeeded",
    "true_confidence",
    "wrong_confidence",
]
