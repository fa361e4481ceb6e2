"""Robustness (the survey's section 3): do adversarial examples survive what happens to images on their way to a model?

The transformations are in `advcourse.data.transformations`. Report each of these shares beside the model's accuracy on clean
images under the same transformation: if a transformation ruins clean images as well, it says nothing about attacks.
"""

from torch import Tensor

from advcourse.core.inputs import InputError
from advcourse.metrics.arguments import Values, check_flags, check_outputs, check_values, share


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


def optimality(distance: Values, least: Values) -> float:
    """How near the changes that an attack found come to the least that are known: 1 if they are those, 0 if it found none.

        xi = 1 - (A - A*) / (d_max - A*), where A is the area under the accuracy as a function of the distance, cut at d_max =
            max of the least distances; A* is the area for the least distances.

    The area is the mean distance over the images, so no curve has to be drawn. An image that the model misreads when clean
    has distance 0 in both, and says nothing about the attack: leave such images out.

    Source: Cinà et al. 2024, "AttackBench: Evaluating Gradient-based Attacks for Adversarial Examples", equation 4 (arXiv
    2404.19460).

    Args:
        distance: (N,), the distances of the attack's points from the clean images, at least 0; infinity where it failed.
        least: (N,), finite and above 0: the least distance that any attack has found for each image.

    Returns:
        a float in [0, 1]; NaN for N = 0, and if all least distances are the same, because the cut at d_max then hides every
        difference.

    Raises:
        InputError: an argument has another form, or `distance` is below `least` somewhere.
    """
    least = check_values(least, "least")
    distance = check_values(distance, "distance", least)
    if not (least.isfinite().all() and (least > 0).all()):
        raise InputError(
            "least: got a distance that is 0, below 0 or not finite; allowed are finite distances above 0: leave out images that "
            "the model misreads when clean, and those on which every attack failed"
        )
    if distance.isnan().any() or (distance < least).any():
        raise InputError(
            "distance: got NaN or a distance below `least`; allowed are distances of at least that: let `least` be the minimum "
            "over all attacks, this one included"
        )
    if not len(least) or (widest := least.max()) == least.min():
        return float("nan")
    nearest = least.mean()
    return (1 - (distance.clamp_max(widest).mean() - nearest) / (widest - nearest)).item()
