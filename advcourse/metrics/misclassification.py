"""Misclassification (the survey's section 3): does the attack do what it wants, and how sure is the model of the wrong answer?

Shapes: `logits` (N, K) of the attacked images, `y` (N,) true labels, `target` (N,) the labels that a targeted attack wants.
"""

import torch
from torch import Tensor

from advcourse.core.inputs import InputError, are_integers, check_classes, check_flag, check_labels
from advcourse.core.intervals import Interval, counted
from advcourse.metrics.arguments import Values, check_flags, check_outputs, share


def _checked(logits, labels, name):
    labels = check_labels(labels, check_outputs(logits), name)
    check_classes(labels, logits.shape[1], name)
    return labels


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Z_label - max_{i != label} Z_i, shape (N,): negative where another class wins (Carlini and Wagner 2017, f6).

    The excluded logit is set to -inf. Multiplying it by zero instead would be wrong where all others are negative.
    Values are trusted here, for this runs in the inner loop of attacks, where a look at them would stall a GPU; shapes and types
    are not: `gather` would take fewer labels than images, and read the memory of another device.
    """
    fit = isinstance(logits, torch.Tensor) and isinstance(labels, torch.Tensor)
    if not fit or logits.dim() != 2 or labels.shape != logits.shape[:1] or labels.device != logits.device:
        raise InputError(
            "logits and labels: got other than tensors (N, K) and (N,) on one device; allowed are these"
        )
    if not logits.is_floating_point() or not are_integers(labels):
        raise InputError(
            f"logits and labels: got {logits.dtype} and {labels.dtype}; allowed are floating-point logits and class numbers"
        )
    labels = labels.long().unsqueeze(1)
    return logits.gather(1, labels).squeeze(1) - logits.scatter(1, labels, -torch.inf).amax(1)


def succeeded(logits: Tensor, y: Tensor, target: Tensor | None = None, abstains: bool = False) -> Tensor:
    """Which attacks got what they wanted, shape (N,) bool: any label but `y`, or exactly `target` where it is given.

    With `abstains=True` the last class says "flagged", and is no success: an attacker wins where the model is wrong and nothing
    is flagged (see `attacker_win_rate`).
    """
    y, abstains = _checked(logits, y, "y"), check_flag(abstains, "abstains")
    prediction = logits.argmax(1)
    if target is not None:
        return prediction == _checked(logits, target, "target")
    wrong = prediction != y
    return wrong & (prediction != logits.shape[1] - 1) if abstains else wrong


def misclassification_rate(
    logits: Tensor, y: Tensor, target: Tensor | None = None, abstains: bool = False
) -> float:
    """MR: the share of the N attacked images that fool the model as intended, in [0, 1]; NaN for N = 0.

    Source: DEEPSEC (Ling et al. 2019), section 3. For a targeted attack this is the share that hits `target`; call it without
    `target` for the share that is merely wrong. `abstains`: as for `succeeded`.
    """
    return share(succeeded(logits, y, target, abstains))


def share_with_interval(flags: Values) -> Interval:
    """The share of `flags` (N,) bool that are True, such as an attack's successes, with Wilson's 95 % interval."""
    flags = check_flags(flags, "flags")
    return counted(int(flags.sum()), len(flags))


def confidences(logits: Tensor, labels: Tensor) -> Tensor:
    """Softmax probability of each image's label in `labels` (N,), shape (N,), float64, in [0, 1].

    Source: DEEPSEC (Ling et al. 2019): ACAC is its mean for the wrong label that is given, ACTC for the true one.
    """
    labels = _checked(logits, labels, "labels")
    return logits.detach().double().softmax(1).gather(1, labels.unsqueeze(1)).squeeze(1)


def wrong_confidence(logits: Tensor, y: Tensor, target: Tensor | None = None) -> float:
    """ACAC: mean softmax probability of the wrong label that is given, over the successes, in [0, 1]; NaN without any.

    Source: DEEPSEC (Ling et al. 2019), average confidence of the adversarial class.
    """
    success = succeeded(logits, y, target)
    return confidences(logits, logits.argmax(1))[success].mean().item()


def true_confidence(logits: Tensor, y: Tensor, target: Tensor | None = None) -> float:
    """ACTC: mean softmax probability that is left to the true label, over the successes, in [0, 1]; NaN without any.

    Source: DEEPSEC (Ling et al. 2019), average confidence of the true class.
    """
    success = succeeded(logits, y, target)
    return confidences(logits, y)[success].mean().item()
