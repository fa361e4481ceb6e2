"""Robustness (the survey's section 3): do adversarial examples survive what happens to images on their way to a model?

The transformations are in `advcourse.data.transformations`. Report each of these shares beside the model's accuracy on clean
images under the same transformation: if a transformation ruins clean images as well, it says nothing about attacks.
"""

from torch import Tensor

from advcourse.metrics.arguments import Values, check_flags, check_outputs, share


def noise_tolerance(logits: Tensor) -> Tensor:
    """Difference between the largest and the second-largest softmax probability of each image.

    Its mean over the successes is NTE, noise tolerance estimation, of DEEPSEC (Ling et al. 2019): how much another class must
    gain before the answer changes. It never exceeds ACAC (`wrong_confidence`).

    Args:
        logits: (N, K), finite.

    Returns:
        (N,), float64, in [0, 1].

    Raises:
        InputError: the logits have another form.
    """
    logits = check_outputs(logits).double()
    top = logits.softmax(1).topk(min(2, logits.shape[1]), 1).values
    return top[:, 0] - top[:, -1]


def survival(success: Values, success_after: Values) -> float:
    """Share of the successes that still succeed after a transformation.

    Source: RGB (robustness to Gaussian blur) and RIC (robustness to image compression) of DEEPSEC (Ling et al. 2019). The
    survey divides by all attacked images; DEEPSEC's code divides by the successes, and so does this function.

    Args:
        success: (N,) bool, before the transformation, from `succeeded`.
        success_after: (N,) bool, for the transformed adversarial images and the same label or target.

    Returns:
        a float in [0, 1]; NaN if nothing succeeded.

    Raises:
        InputError: an argument has another form.
    """
    success = check_flags(success, "success")
    return share(check_flags(success_after, "success_after", success)[success])


def destruction_rate(clean_right: Values, adv_right: Values, transformed_right: Values) -> float:
    """Share of the successful attacks that the transformation T undoes.

        d = sum C(x) (1 - C(x')) C(T(x')) / sum C(x) (1 - C(x')), where C is 1 for an image that is classified correctly, else
            0.

    Source: Kurakin, Goodfellow and Bengio 2017, "Adversarial Examples in the Physical World", equation 1 (arXiv 1607.02533).

    Args:
        clean_right: (N,) bool, whether the model classifies the clean image x correctly.
        adv_right: (N,) bool, the same for the adversarial image x'.
        transformed_right: (N,) bool, the same for the transformed adversarial image T(x').

    Returns:
        a float in [0, 1]; NaN if no attack succeeded.

    Raises:
        InputError: an argument has another form.
    """
    clean_right = check_flags(clean_right, "clean_right")
    fooled = clean_right & ~check_flags(adv_right, "adv_right", clean_right)
    return share(check_flags(transformed_right, "transformed_right", clean_right)[fooled])
