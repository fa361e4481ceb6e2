"""STRIP: a stamped image is read as the target whatever else is added to it, so its answers are too certain."""

from typing import Literal

import torch
from torch import Tensor, nn

from advcourse.core.inputs import InputError, check_choice, check_images, check_range, check_seed, predict

_AT_ONCE = 100  # images whose overlaid copies are held at once


def strip_entropy(
    model: nn.Module,
    x: Tensor,
    overlays: Tensor,
    n: int = 20,
    combine: Literal["add", "mean"] = "add",
    seed: int = 0,
) -> Tensor:
    """Return the mean entropy of the answers to each image with `n` clean images laid over it: (N,), nats; LOW is suspicious.

    Source: Gao, Xu, Wang, Chen, Ranasinghe and Nepal 2019, "STRIP: A Defence Against Trojan Attacks on Deep Neural Networks",
    algorithm 1 (arXiv 1902.06531). The threshold is fixed once, on clean validation images, at a false rejection rate of 1 %:

    >>> threshold = metrics.threshold_at(-strip_entropy(model, x_validation, overlays), 0.01)
    >>> flagged = -strip_entropy(model, x, overlays) > threshold

    How the two are laid over each other matters: on black backgrounds a sum leaves a white trigger white and both digits
    legible, while a mean dims the trigger to half.

    What breaks it: a trigger that works on one class alone, since the overlay hides the class; and a network that learnt the
    trigger from a few images, and obeys it only on clean backgrounds. See `contest`.

    Args:
        model: images to logits (N, K).
        x: the images to judge, (N, C, H, W) in [0, 1].
        overlays: clean images (M, C, H, W), M >= n, none of them among `x`.
        n: overlays for each image (default 20), drawn without replacement.
        combine: "add" (default): sum, clipped to [0, 1]; "mean".
        seed: of the draws (default 0). An image's draws depend on its place in `x`.

    Returns:
        the entropies, float64, between 0 and log K.

    Raises:
        InputError: a setting out of range, too few overlays, or input that breaks the model's contract.
    """
    check_images(x), check_images(overlays, "overlays")
    n = check_range(n, "n", 1, integer=True)
    combine = check_choice(combine, "combine", ("add", "mean"))
    if len(overlays) < n or overlays.shape[1:] != x.shape[1:]:
        raise InputError(
            f"overlays: got {len(overlays)} images of shape {tuple(overlays.shape[1:])}; "
            f"allowed are at least n = {n} of shape {tuple(x.shape[1:])}"
        )
    generator = torch.Generator().manual_seed(check_seed(seed))
    entropies = [x.new_zeros(0, dtype=torch.float64)]
    for part in x.split(_AT_ONCE):
        drawn = torch.rand(len(part), len(overlays), generator=generator).argsort(1)[:, :n]
        both = part[:, None] + overlays[drawn.to(overlays.device)].to(x)
        both = both.clamp(0, 1) if combine == "add" else both / 2
        entropies.append(_entropy(predict(model, both.flatten(0, 1))).view(len(part), n).mean(1))
    return torch.cat(entropies)


def _entropy(logits):
    """Return the entropy (N,), in nats, of softmax(logits)."""
    logs = logits.double().log_softmax(1)
    return -(logs.exp() * logs).sum(1)
