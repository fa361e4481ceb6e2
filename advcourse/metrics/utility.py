"""What a defense costs on clean images. Source: DEEPSEC (Ling et al. 2019), section "defense utility".

`raw_logits` and `defended_logits` are the answers of the model without and with its defense to the same N clean test
images: logits (N, K), or labels (N,) int64 from a defense that only votes and has no softmax. `y` (N,) are the true
labels. For N = 0 all measures are NaN.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from advcourse.core.inputs import InputError, check_labels
from advcourse.metrics.arguments import check_outputs, share


@dataclass(frozen=True)
class Utility:
    """The five measures: floats, with cav = crr - csr. Each has a function, which says what it is."""

    cav: float
    crr: float
    csr: float
    ccv: float
    cos: float


def utility(raw_logits: Tensor, defended_logits: Tensor, y: Tensor) -> Utility:
    """All five measures of two answers, (N, K) or (N,) each, against the labels `y` (N,), as a `Utility`."""
    return Utility(
        classification_accuracy_variance(raw_logits, defended_logits, y),
        classification_rectify_ratio(raw_logits, defended_logits, y),
        classification_sacrifice_ratio(raw_logits, defended_logits, y),
        classification_confidence_variance(raw_logits, defended_logits, y),
        classification_output_stability(raw_logits, defended_logits, y),
    )


def classification_accuracy_variance(raw_logits: Tensor, defended_logits: Tensor, y: Tensor) -> float:
    """CAV: accuracy with the defense less accuracy without it, in [-1, 1]; negative where the defense costs accuracy."""
    before, after = _right(raw_logits, defended_logits, y)
    return share(after) - share(before)


def classification_rectify_ratio(raw_logits: Tensor, defended_logits: Tensor, y: Tensor) -> float:
    """CRR: share of all images that were wrong and are right with the defense, in [0, 1]."""
    before, after = _right(raw_logits, defended_logits, y)
    return share(~before & after)


def classification_sacrifice_ratio(raw_logits: Tensor, defended_logits: Tensor, y: Tensor) -> float:
    """CSR: share of all images that were right and are wrong with the defense, in [0, 1]."""
    before, after = _right(raw_logits, defended_logits, y)
    return share(before & ~after)


def classification_confidence_variance(raw_logits: Tensor, defended_logits: Tensor, y: Tensor) -> float:
    """CCV: mean |change of the top softmax probability| over the images that both get right, in [0, 1].

    NaN where there are none, and for labels: DEEPSEC writes 0 for a defense that only votes, which would read as the
    best.
    """
    pair = _log_softmax_of_both_right(raw_logits, defended_logits, y)
    if pair is None:
        return math.nan
    before, after = (values.exp().amax(1) for values in pair)
    return (after - before).abs().mean().item()


def classification_output_stability(raw_logits: Tensor, defended_logits: Tensor, y: Tensor) -> float:
    """COS: mean Jensen-Shannon divergence of the two softmaxes over the images that both get right, in [0, ln 2].

    With natural logarithms, and not its square root. Despite its name, less is more stable. NaN as in
    `classification_confidence_variance`.
    """
    pair = _log_softmax_of_both_right(raw_logits, defended_logits, y)
    if pair is None:
        return math.nan
    middle = torch.logaddexp(*pair) - math.log(2)
    halves = [(values.exp() * (values - middle)).sum(1) / 2 for values in pair]
    # A sum of rounded terms may leave the interval by a last digit.
    return sum(halves).clamp(0, math.log(2)).mean().item()


def _answers(outputs, name):
    if isinstance(outputs, torch.Tensor) and outputs.dim() == 1:
        return check_labels(outputs, outputs, name)
    return check_outputs(outputs, name).argmax(1)


def _right(raw_logits, defended_logits, y):
    """Which images each model gets right: two of shape (N,) bool."""
    raw, defended = _answers(raw_logits, "raw_logits"), _answers(defended_logits, "defended_logits")
    y = check_labels(y, raw)
    check_labels(defended, raw, "defended_logits")
    if raw_logits.dim() == defended_logits.dim() == 2 and raw_logits.shape != defended_logits.shape:
        raise InputError(
            f"defended_logits: got shape {tuple(defended_logits.shape)}; "
            f"allowed is the shape of raw_logits, {tuple(raw_logits.shape)}"
        )
    return raw == y, defended == y


def _log_softmax_of_both_right(raw_logits, defended_logits, y):
    """The logarithms of both softmaxes (M, K) of the M images that both get right; None where one gives labels alone."""
    before, after = _right(raw_logits, defended_logits, y)
    if raw_logits.dim() == 1 or defended_logits.dim() == 1:
        return None
    both = before & after
    return [logits.detach()[both].double().log_softmax(1) for logits in (raw_logits, defended_logits)]
