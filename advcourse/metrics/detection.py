"""Detection: does a detector see adversarial images, and who wins in the end?

A detector gives each image a score, the higher the more suspicious, and flags it where score > threshold. `scores`
are (N,) numbers, tensors or arrays; NaN and infinity are errors, for a NaN would never be flagged. The threshold is
fixed ONCE, on clean validation images (`threshold_at`), and not anew for each attack.
"""

import numbers
import reprlib

import numpy as np
import torch

from advcourse.core.inputs import InputError, check_range
from advcourse.metrics.arguments import Values, check_flags, check_values, share


def true_positive_rate(scores: Values, threshold: float, fooled: Values | None = None) -> float:
    """TPR: share of the adversarial images that are flagged, in [0, 1]; NaN for none.

    Args:
        scores: (N,) of the adversarial images.
        threshold: number.
        fooled: (N,) bool, to count only the images that fool the model (default None: all attempts count). Say which.
    """
    flagged = _flagged(scores, threshold)
    return share(flagged if fooled is None else flagged[check_flags(fooled, "fooled", flagged)])


def false_positive_rate(clean_scores: Values, threshold: float) -> float:
    """FPR: share of the clean images, scores (N,), that are flagged, in [0, 1]; NaN for none."""
    return share(_flagged(clean_scores, threshold, "clean_scores"))


def roc(clean_scores: Values, adversarial_scores: Values) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The ROC curve (fpr, tpr, thresholds), three arrays of one length, from nothing flagged to everything flagged.

    scikit-learn makes it. Its thresholds flag a score that equals them; they are taken to the next number below, so that
    here too an image is flagged iff score > threshold. Empty sets raise `InputError`.
    """
    from sklearn.metrics import roc_curve  # takes 0.6 s to import

    fpr, tpr, thresholds = roc_curve(*_labelled(clean_scores, adversarial_scores), drop_intermediate=False)
    return fpr, tpr, np.nextafter(thresholds, -np.inf)


def auc(clean_scores: Values, adversarial_scores: Values) -> float:
    """Area under the ROC curve, in [0, 1]: the chance that an adversarial image scores above a clean one, ties counting half.

    It hides the corner of few false alarms, the only one in which a detector can be run: show `attacker_win_rate`
    beside it. scikit-learn computes it. Empty sets raise `InputError`.
    """
    from sklearn.metrics import roc_auc_score  # takes 0.6 s to import

    return float(roc_auc_score(*_labelled(clean_scores, adversarial_scores)))


def threshold_at(clean_scores: Values, fpr: float) -> float:
    """The lowest threshold, a float, that flags at most the share `fpr` of the clean scores (N,), N >= 1.

    Ties are flagged together or not at all, so the measured rate may be well below `fpr`, and is never above it.
    Where N * fpr < 1 it is the highest clean score, and no clean image is flagged. MagNet's code (Meng and Chen 2017)
    counts floor(N * fpr) places from the end of the sorted scores, which is place -0, the lowest score, in this case:
    it then flags nearly everything.

    Args:
        clean_scores: of clean validation images, which are not those that the detector is judged on.
        fpr: in [0, 1]. At 1 the threshold is -inf.
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
    """Share of the N attacked images that fool the model AND are not flagged, in [0, 1]; NaN for N = 0.

    The number that counts for security: report it at a clean false positive rate of 1 % and of 5 % (`threshold_at`).
    A flagged adversarial image counts as defended, as in MagNet (Meng and Chen 2017) and its break (Carlini and
    Wagner 2017, 1711.08478); a flagged clean image is an error, which the false positive rate tells.

    Args:
        scores: (N,) of the attacked images.
        fooled: (N,) bool, as `succeeded` gives it.
        threshold: number.
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
            f"threshold: got {reprlib.repr(threshold)}; allowed is one number, as threshold_at gives it"
        )
    return _scores(scores, name) > threshold


def _labelled(clean_scores, adversarial_scores):
    """(labels, scores) for scikit-learn: 0 is clean, 1 adversarial."""
    parts = _scores(clean_scores, "clean_scores"), _scores(adversarial_scores, "adversarial_scores")
    for name, scores in zip(("clean_scores", "adversarial_scores"), parts):
        if not len(scores):
            raise InputError(f"{name}: got none; allowed is at least one")
    return np.repeat([0, 1], [len(scores) for scores in parts]), torch.cat([s.cpu() for s in parts]).numpy()
