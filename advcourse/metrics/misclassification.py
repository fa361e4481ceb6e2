"""Misclassification (the survey's section 3): does the attack succeed, and how certain is the model of the wrong answer?

In all functions `logits` (N, K) are the model's answers to the attacked images, `y` (N,) the true labels, and `target` (N,)
the labels that a targeted attack wants. Values that break these shapes, and logits that are not finite, raise `InputError`.
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
    """Margin of a label: Z_label - max_{i != label} Z_i, negative if another class wins.

    Source: f6 of Carlini and Wagner 2017, "Towards Evaluating the Robustness of Neural Networks" (arXiv 1608.04644). The
    excluded logit is set to -inf; multiplying it by zero would be wrong if all others are negative.

    The values are not checked, because this function runs in the inner loop of attacks, where looking at values would stall a
    GPU. Shapes and types are checked: `gather` would accept fewer labels than images, and would read the memory of another
    device.

    Args:
        logits: (N, K), floating-point.
        labels: (N,) integers in 0 to K - 1.

    Returns:
        (N,), in logits.

    Raises:
        InputError: the shapes, types or devices do not fit.
    """
    fit = isinstance(logits, torch.Tensor) and isinstance(labels, torch.Tensor)
    if not fit or logits.dim() != 2 or labels.shape != logits.shape[:1] or labels.device != logits.device:
        raise InputError(
            "logits and labels: got other shapes, types or devices; allowed are tensors (N, K) and (N,) on one device"
        )
    if not logits.is_floating_point() or not are_integers(labels):
        raise InputError(
            f"logits and labels: got {logits.dtype} and {labels.dtype}; allowed are floating-point logits and class numbers"
        )
    labels = labels.long().unsqueeze(1)
    return logits.gather(1, labels).squeeze(1) - logits.scatter(1, labels, -torch.inf).amax(1)


def succeeded(logits: Tensor, y: Tensor, target: Tensor | None = None, abstains: bool = False) -> Tensor:
    """Decide which attacks succeeded: untargeted with any label but `y`, targeted with exactly `target`.

    Args:
        logits: (N, K).
        y: (N,).
        target: (N,), or None if the attack is untargeted (default None).
        abstains: True if the last class means "flagged as adversarial", which never counts as success: the attacker wins if
            the model is wrong and the image is not flagged, see `attacker_win_rate` (default False).

    Returns:
        (N,) bool.
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
    """MR: the share of the N attacked images on which the attack succeeded.

    Source: DEEPSEC (Ling et al. 2019), section 3. With `target` this is the share that is classified as the target; without
    it, the share that is merely wrong. Arguments as for `succeeded`.

    Returns:
        a float in [0, 1]; NaN for N = 0.
    """
    return share(succeeded(logits, y, target, abstains))


def share_with_interval(flags: Values) -> Interval:
    """Return the share of `flags` (N,) bool that are True, such as an attack's successes, with Wilson's 95 % interval."""
    flags = check_flags(flags, "flags")
    return counted(int(flags.sum()), len(flags))


def confidences(logits: Tensor, labels: Tensor) -> Tensor:
    """Softmax probability of each image's label.

    Source: DEEPSEC (Ling et al. 2019): ACAC is its mean for the wrong label that the model gives, ACTC its mean for the true
    label.

    Args:
        logits: (N, K).
        labels: (N,), whose probabilities are wanted.

    Returns:
        (N,), float64, in [0, 1].
    """
    labels = _checked(logits, labels, "labels")
    return logits.detach().double().softmax(1).gather(1, labels.unsqueeze(1)).squeeze(1)


def wrong_confidence(logits: Tensor, y: Tensor, target: Tensor | None = None) -> float:
    """ACAC: mean softmax probability of the wrong label that the model gives, over the successes.

    Source: DEEPSEC (Ling et al. 2019), average confidence of adversarial class. Arguments as for `succeeded`.

    Returns:
        a float in [0, 1]; NaN without a success.
    """
    success = succeeded(logits, y, target)
    return confidences(logits, logits.argmax(1))[success].mean().item()


def true_confidence(logits: Tensor, y: Tensor, target: Tensor | None = None) -> float:
    """ACTC: mean softmax probability of the true label, over the successes.

    Source: DEEPSEC (Ling et al. 2019), average confidence of true class. Arguments as for `succeeded`.

    Returns:
        a float in [0, 1]; NaN without a success.
    """
    success = succeeded(logits, y, target)
    return confidences(logits, y)[success].mean().item()
