"""Choosing the label that a targeted attack aims at."""

from typing import Literal

import torch
from torch import Tensor, nn

from advcourse.core.inputs import check_choice, check_classes, check_images, check_labels, check_seed, predict


def least_likely(logits: Tensor, y: Tensor) -> Tensor:
    """Return the least likely class of each image, (N,), except for the true label, which an attack must not aim at.

    Source: Kurakin et al. 2017, "Adversarial Machine Learning at Scale", equation 4 (arXiv 1611.01236).

    Args:
        logits: (N, K), of the clean images.
        y: true labels (N,).
    """
    return logits.scatter(1, y.unsqueeze(1), torch.inf).argmin(1)


def other_classes(logits: Tensor, y: Tensor, most: int) -> Tensor:
    """Return the classes with the largest logits except `y`, the largest first: (N, `most`), or (N, K - 1) if that is fewer.

    Args:
        logits: (N, K).
        y: (N,), the class that is left out.
        most: how many classes.
    """
    others = logits.scatter(1, y.unsqueeze(1), -torch.inf)
    return others.topk(min(most, logits.shape[1] - 1)).indices


def choose_target(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    how: Literal["random", "least_likely", "next"] = "random",
    seed: int = 0,
) -> Tensor:
    """Choose a wrong label for each image, as the target of a targeted attack.

    Args:
        model: a module from images to logits (N, K).
        x: the clean images (N, C, H, W) in [0, 1].
        y: true labels (N,).
        how: "random" (default), uniform over the wrong classes; "least_likely", the class with the smallest logit; or "next",
            (y + 1) mod K.
        seed: seed of the random choice (default 0).

    Returns:
        labels (N,), all different from `y`.

    Raises:
        InputError: an argument breaks its contract.
    """
    check_choice(how, "how", ("random", "least_likely", "next"))
    seed = check_seed(seed)
    y = check_labels(y, check_images(x))
    if not len(x):
        return y.clone()
    logits = predict(model, x)
    classes = logits.shape[1]
    check_classes(y, classes)
    if how == "least_likely":
        return least_likely(logits, y)
    step = torch.ones(len(y), dtype=torch.long)
    if how == "random":
        step = torch.randint(1, classes, (len(y),), generator=torch.Generator().manual_seed(seed))
    return (y + step.to(y.device)) % classes
