"""The cost of a defense on clean images. Source: DEEPSEC (Ling et al. 2019), section "defense utility".

In all functions `raw_logits` and `defended_logits` are the answers of the model without and with its defense to the same N
clean test images: logits (N, K), or labels (N,) int64 from a defense that only votes and has no softmax. `y` (N,) are the true
labels. For N = 0 all measures are NaN. Arguments of another form raise `InputError`.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from advcourse.core.inputs import InputError, check_labels
from advcourse.metrics.arguments import check_outputs, share


@dataclass(frozen=True)
class Utility:
    """The five measures of a defense's utility: floats, with cav = crr - csr. The functions below define them."""

    cav: float
    crr: float
    csr: float
    ccv: float
    cos: float


def utility(raw_logits: Tensor, defended_logits: Tensor, y: Tensor) -> Utility:
    """Return all five measures of a defense's utility.

    Args:
        raw_logits, defended_logits: the answers without and with the defense, logits (N, K) or labels (N,) int64.
        y: true labels (N,).

    Returns:
        the measures; NaN for N = 0.

    Raises:
        InputError: an argument has another form.
    """
    return Utility(
        classification_accuracy_variance(raw_logits, defended_logits, y),
        classification_rectify_ratio(raw_logits, defended_logits, y),
        classification_sacrifice_ratio(raw_logits, defended_logits, y),
        classification_confidence_variance(raw_logits, defended_logits, y),
        classification_output_stability(raw_logits, defended_logits, y),
    )


def classification_accuracy_variance(raw_logits: Tensor, defended_logits: Tensor, y: Tensor) -> float:
    """CAV: accuracy with the defense minus accuracy without, in [-1, 1]; negative if the defense costs accuracy."""
    before, after = _right(raw_logits, defended_logits, y)
    return share(after) - share(before)


def classification_rectify_ratio(raw_logits: Tensor, defended_logits: Tensor, y: Tensor) -> float:
    """CRR: share of all images that are wrong without the defense and right with it, in [0, 1]."""
    before, after = _right(raw_logits, defended_logits, y)
    return share(~before & after)


def classification_sacrifice_ratio(raw_logits: Tensor, defended_logits: Tensor, y: Tensor) -> float:
    """CSR: share of all images that are right without the defense and wrong with it, in [0, 1]."""
    before, after = _right(raw_logits, defended_logits, y)
    return share(before & ~after)


def classification_confidence_variance(raw_logits: Tensor, defended_logits: Tensor, y: Tensor) -> float:
    """CCV: mean |change of the top softmax probability| over the images that are right both times, in [0, 1].

    It is NaN if there are no such images, and for labels. For a defense that only votes DEEPSEC writes 0, which would look
    like the best value.
    """
    pair = _log_softmax_of_both_right(raw_logits, defended_logits, y)
    if pair is None:
        return math.nan
    before, after = (values.exp().amax(1) for values in pair)
    return (after - before).abs().mean().item()


def classification_output_stability(raw_logits: Tensor, defended_logits: Tensor, y: Tensor) -> float:
    """COS: mean Jensen-Shannon divergence between the two softmaxes, over the images that are right both times, in [0, ln 2].

    It uses natural logarithms, and the divergence itself, not its square root. Despite the name, a smaller value means a more
    stable output. It is NaN in the same cases as `classification_confidence_variance`.
    """
    pair = _log_softmax_of_both_right(raw_logits, defended_logits, y)
    if pair is None:
        return math.nan
    middle = torch.logaddexp(*pair) - math.log(2)
    halves = [(values.exp() * (values - middle)).sum(1) / 2 for values in pair]
    # Rounding may move the sum out of the interval by its last digit.
    return sum(halves).clamp(0, math.log(2)).mean().item()


def _answers(outputs, name):
    if isinstance(outputs, torch.Tensor) and outputs.dim() == 1:
        return check_labels(outputs, outputs, name)
    return check_outputs(outputs, name).argmax(1)


def _right(raw_logits, defended_logits, y):
    """Return which images each model classifies correctly: two tensors (N,) of bool."""
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
    """Return the log-softmaxes (M, K) of the M images that both classify correctly; None if either answer is only labels."""
    before, after = _right(raw_logits, defended_logits, y)
    if raw_logits.dim() == 1 or defended_logits.dim() == 1:
        return None
    both = before & after
    return [logits.detach()[both].double().log_softmax(1) for logits in (raw_logits, defended_logits)]
