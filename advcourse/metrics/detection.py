"""Detection: does a detector recognise adversarial images, and how often does the attacker win nevertheless?

A detector gives each image a score, which is higher for more suspicious images, and flags the image if score > threshold.
`scores` are (N,) numbers, tensors or arrays. NaN and infinity raise `InputError`, because a NaN would never be flagged. The
threshold must be fixed ONCE, on clean validation images (`threshold_at`), not anew for each attack.
"""

import numbers
import reprlib

import numpy as np
import torch

from advcourse.core.inputs import InputError, check_range
from advcourse.metrics.arguments import Values, check_flags, check_values, share


def true_positive_rate(scores: Values, threshold: float, fooled: Values | None = None) -> float:
    """TPR: the share of the adversarial images that are flagged.

    Args:
        scores: (N,), of the adversarial images.
        threshold: a number.
        fooled: (N,) bool, to count only the images that fool the model (default None: count all attempts). Say which you
            report.

    Returns:
        a float in [0, 1]; NaN if no image counts.

    Raises:
        InputError: an argument has another form, or a score is not finite.
    """
    flagged = _flagged(scores, threshold)
    return share(flagged if fooled is None else flagged[check_flags(fooled, "fooled", flagged)])


def false_positive_rate(clean_scores: Values, threshold: float) -> float:
    """FPR: the share of the clean images that are flagged.

    Args:
        clean_scores: (N,), of the clean images.
        threshold: a number.

    Returns:
        a float in [0, 1]; NaN for N = 0.

    Raises:
        InputError: an argument has another form, or a score is not finite.
    """
    return share(_flagged(clean_scores, threshold, "clean_scores"))


def roc(clean_scores: Values, adversarial_scores: Values) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The ROC curve, from the threshold that flags nothing to the one that flags everything.

    scikit-learn computes it. Its thresholds flag a score equal to them, so each is replaced by the next smaller number; with
    the result, too, an image is flagged if and only if score > threshold.

    Args:
        clean_scores, adversarial_scores: (N,) and (M,), at least one each.

    Returns:
        (fpr, tpr, thresholds), three arrays of the same length.

    Raises:
        InputError: a set is empty, or a score is not finite.
    """
    from sklearn.metrics import roc_curve  # takes 0.6 s to import

    fpr, tpr, thresholds = roc_curve(*_labelled(clean_scores, adversarial_scores), drop_intermediate=False)
    return fpr, tpr, np.nextafter(thresholds, -np.inf)


def auc(clean_scores: Values, adversarial_scores: Values) -> float:
    """Area under the ROC curve: the chance that an adversarial image has a higher score than a clean one; ties count half.

    It hides the part of the curve with few false alarms, the only part in which a detector can be used, so show
    `attacker_win_rate` beside it. scikit-learn computes it.

    Args:
        clean_scores, adversarial_scores: (N,) and (M,), at least one each.

    Returns:
        a float in [0, 1].

    Raises:
        InputError: a set is empty, or a score is not finite.
    """
    from sklearn.metrics import roc_auc_score  # takes 0.6 s to import

    return float(roc_auc_score(*_labelled(clean_scores, adversarial_scores)))


def threshold_at(clean_scores: Values, fpr: float) -> float:
    """Return the lowest threshold that flags at most the share `fpr` of the clean scores.

    Equal scores are flagged together or not at all, so the measured rate may be well below `fpr`, but is never above it. If N
    * fpr < 1, the threshold is the highest clean score, and no clean image is flagged. MagNet's code (Meng and Chen 2017)
    counts floor(N * fpr) places from the end of the sorted scores. In this case that is place -0, the lowest score, and it
    flags nearly everything.

    Args:
        clean_scores: (N,), N >= 1, of clean validation images, which must not be those on which the detector is evaluated.
        fpr: in [0, 1]; 1 gives -inf.

    Returns:
        a float.

    Raises:
        InputError: there are no scores, a score is not finite, or `fpr` is out of range.
    """
    check_range(fpr, "fpr", 0, 1)
    scores = _scores(clean_scores, "clean_scores")
    n = len(scores)
    if n == 0:
        raise InputError("clean_scores: got none; allowed is at least one")
    allowed = int(fpr * n) + 1
    while allowed / n > fpr:  # the product may have been rounded up
        allowed -= 1
    return scores.sort(descending=True).values[allowed].item() if allowed < n else -np.inf


def attacker_win_rate(scores: Values, fooled: Values, threshold: float) -> float:
    """Share of the N attacked images that fool the model AND are not flagged.

    This is the number that matters for security. Report it at a clean false positive rate of 1 % and of 5 % (`threshold_at`).
    A flagged adversarial image counts as defended, as in MagNet (Meng and Chen 2017) and in the attack that broke it (Carlini
    and Wagner 2017, arXiv 1711.08478). A flagged clean image is an error, which the false positive rate measures.

    Args:
        scores: (N,), of the attacked images.
        fooled: (N,) bool, from `succeeded`.
        threshold: a number.

    Returns:
        a float in [0, 1]; NaN for N = 0.

    Raises:
        InputError: an argument has another form, or a score is not finite.
    """
    flagged = _flagged(scores, threshold)
    return share(check_flags(fooled, "fooled", flagged) & ~flagged)


def _scores(scores, name):
    scores = check_values(scores, name)
    if not torch.isfinite(scores).all():
        raise InputError(f"{name}: got NaN or infinite values; allowed are finite scores")
    return scores


def _flagged(scores, threshold, name="scores"):
    single = isinstance(threshold, torch.Tensor | np.ndarray) and threshold.ndim == 0
    threshold = threshold.item() if single else threshold
    if not isinstance(threshold, numbers.Real) or isinstance(threshold, bool) or threshold != threshold:
        raise InputError(
            f"threshold: got {reprlib.repr(threshold)}; allowed is a single number, such as the result of threshold_at"
        )
    return _scores(scores, name) > threshold


def _labelled(clean_scores, adversarial_scores):
    """Return (labels, scores) for scikit-learn: 0 is clean, 1 adversarial."""
    parts = _scores(clean_scores, "clean_scores"), _scores(adversarial_scores, "adversarial_scores")
    for name, scores in zip(("clean_scores", "adversarial_scores"), parts):
        if not len(scores):
            raise InputError(f"{name}: got none; allowed is at least one")
    return np.repeat([0, 1], [len(scores) for scores in parts]), torch.cat([s.cpu() for s in parts]).numpy()
