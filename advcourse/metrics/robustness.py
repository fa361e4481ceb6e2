"""Robustness (the survey's section 3): do adversarial examples outlive what happens to images on their way to a model?

`advcourse.data.transformations` has the transformations. Beside each of these shares belongs the model's own accuracy on
clean images under the same transformation: one that ruins clean images as well says nothing of attacks.
"""

from torch import Tensor

from advcourse.metrics.arguments import Values, check_flags, check_outputs, share


def noise_tolerance(logits: Tensor) -> Tensor:
    """The first less the second softmax probability of each image, shape (N,), float64, in [0, 1]; `logits` (N, K).

    Its mean over the successes is NTE, noise tolerance estimation, of DEEPSEC (Ling et al. 2019): how much another
    class must gain before the answer changes. It never exceeds ACAC (`wrong_confidence`).
    """
    logits = check_outputs(logits).double()
    top = logits.softmax(1).topk(min(2, logits.shape[1]), 1).values
    return top[:, 0] - top[:, -1]


def survival(success: Values, success_after: Values) -> float:
    """Share of the successes that succeed still after a transformation, in [0, 1]; NaN where nothing succeeded.

    RGB (Gaussian blur) and RIC (image compression) of DEEPSEC (Ling et al. 2019). The survey divides by all attacked
    images; DEEPSEC's code, as here, by the successes.

    Args:
        success: (N,) bool, before the transformation, as `succeeded` gives it.
        success_after: (N,) bool, of the transformed adversarial images, towards the same label or target.
    """
    success = check_flags(success, "success")
    return share(check_flags(success_after, "success_after", success)[success])


def destruction_rate(clean_right: Values, adv_right: Values, transformed_right: Values) -> float:
    """Share of the attacks that work which the transformation undoes, in [0, 1]; NaN where none works.

    d = sum C(x) (1 - C(x')) C(T(x')) / sum C(x) (1 - C(x')), where C is 1 for an image that is classified rightly.
    Source: Kurakin, Goodfellow and Bengio 2017 ("in the physical world"), equation 1.

    Args:
        clean_right: (N,) bool, whether the model gives the clean image x its true label.
        adv_right: the same of the adversarial image x'.
        transformed_right: the same of the transformed adversarial image T(x').
    """
    clean_right = check_flags(clean_right, "clean_right")
    fooled = clean_right & ~check_flags(adv_right, "adv_right", clean_right)
    return share(check_flags(transformed_right, "transformed_right", clean_right)[fooled])
