"""Measures of an attack, a file for each property of the survey's section 3; and of a defense: its utility, its detection."""

from advcourse.metrics.detection import (
    attacker_win_rate,
    auc,
    false_positive_rate,
    roc,
    threshold_at,
    true_positive_rate,
)
from advcourse.metrics.efficiency import Efficiency, PeakMemory, efficiency, slowdown
from advcourse.metrics.imperceptibility import (
    l0,
    l1,
    l2,
    linf,
    mean_over_successes,
    median_with_failures,
    psd,
    ssim,
)
from advcourse.metrics.misclassification import (
    confidences,
    margin,
    misclassification_rate,
    succeeded,
    true_confidence,
    wrong_confidence,
)
from advcourse.metrics.robustness import destruction_rate, noise_tolerance, survival
from advcourse.metrics.utility import (
    Utility,
    classification_accuracy_variance,
    classification_confidence_variance,
    classification_output_stability,
    classification_rectify_ratio,
    classification_sacrifice_ratio,
    utility,
)

__all__ = [
    "Efficiency",
    "PeakMemory",
    "Utility",
    "attacker_win_rate",
    "auc",
    "classification_accuracy_variance",
    "classification_confidence_variance",
    "classification_output_stability",
    "classification_rectify_ratio",
    "classification_sacrifice_ratio",
    "confidences",
    "destruction_rate",
    "efficiency",
    "false_positive_rate",
    "l0",
    "l1",
    "l2",
    "linf",
    "margin",
    "mean_over_successes",
    "median_with_failures",
    "misclassification_rate",
    "noise_tolerance",
    "psd",
    "roc",
    "slowdown",
    "ssim",
    "succeeded",
    "survival",
    "threshold_at",
    "true_confidence",
    "true_positive_rate",
    "utility",
    "wrong_confidence",
]
