"""Which label a targeted attack aims at."""

from typing import Literal

import torch
from torch import Tensor, nn

from advcourse.core.inputs import check_choice, check_classes, check_images, check_labels, check_seed, predict


def least_likely(logits: Tensor, y: Tensor) -> Tensor:
    """The least likely class, shape (N,), of `logits` (N, K) of the clean images (Kurakin et al. 2017, equation 4).

    The true label `y` (N,) is left out: an attack towards it would be none.
    """
    return logits.scatter(1, y.unsqueeze(1), torch.inf).argmin(1)


def choose_target(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    how: Literal["random", "least_likely", "next"] = "random",
    seed: int = 0,
) -> Tensor:
    """A wrong label for each image, shape (N,): what a targeted attack needs beside the true labels `y` (N,).

    `how`: `"random"`, uniform over the wrong classes, from `seed`; `"least_likely"`, of the clean image; `"next"`, (y + 1) mod K.
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
