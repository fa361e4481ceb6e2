"""Learners: `(images, labels, seed) -> net`, each a way of training that may leak more or less than the ordinary one."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from advcourse import models
from advcourse.core.inputs import (
    InputError,
    check_choice,
    check_field,
    check_images,
    check_labels,
    check_range,
    check_seed,
)
from advcourse.lifecycle.poisoned import check_function
from advcourse.lifecycle.private import PrivateTraining
from advcourse.lifecycle.shadows import Learner
from advcourse.training import Objective, cross_entropy, fit
from advcourse.training.augmentation import Augmentation


@dataclass(frozen=True)
class Fitted:
    """Ordinary training with `training.fit`, on the CPU.

    Args:
        architecture: a key of `models.ARCHITECTURES`.
        epochs, batch_size, lr: as for `fit` (default 20, 64 and 3e-3). Few epochs stand for early stopping;
            the schedule of the rate is shortened with them.
        weight_decay: of AdamW (default 0).
        objective: a function that makes the loss, called for each net (default: the cross-entropy).
        augment: as for `fit` (default None).
    """

    architecture: str = "mnist-small"
    epochs: int = 20
    batch_size: int = 64
    lr: float = 3e-3
    weight_decay: float = 0.0
    objective: Callable[[], Objective] = field(default=lambda: cross_entropy, repr=False)
    augment: Augmentation | None = None

    def __post_init__(self):
        check_choice(self.architecture, "architecture", tuple(models.ARCHITECTURES))
        for name in ("epochs", "batch_size"):
            check_field(self, name, 1, integer=True)
        check_field(self, "lr", 0, exclusive_low=True)
        check_field(self, "weight_decay", 0)
        check_function(self.objective, "objective", "a function that makes a loss")
        if self.augment is not None:
            check_function(self.augment, "augment", "a function (images, generator) -> images, or None")

    def __call__(self, x: Tensor, y: Tensor, seed: int) -> nn.Module:
        """Return the trained net, in eval mode."""
        y = check_labels(y, check_images(x))
        model = models.build(self.architecture, check_seed(seed))
        settings = {"epochs": self.epochs, "batch_size": min(self.batch_size, len(x)), "lr": self.lr}
        adam = partial(torch.optim.AdamW, weight_decay=self.weight_decay)
        settings |= {"optimizer": adam, "augment": self.augment, "device": "cpu", "progress": False}
        objective = self.objective()
        if hasattr(objective, "following"):  # its strength grows as training goes on
            settings["schedule"] = objective.following("one-cycle")
        fit(model, (x, y), objective, seed=seed, **settings)
        return model.eval()


@dataclass(frozen=True)
class FittedPrivately:
    """DP-SGD, see `PrivateTraining`, on the CPU.

    Args:
        architecture: a key of `models.ARCHITECTURES` (default "mnist-small").
        training: the settings of DP-SGD.
    """

    architecture: str = "mnist-small"
    training: PrivateTraining = PrivateTraining()

    def __post_init__(self):
        check_choice(self.architecture, "architecture", tuple(models.ARCHITECTURES))
        if not isinstance(self.training, PrivateTraining):
            raise InputError(f"training: got {self.training!r}; allowed is a PrivateTraining")

    def __call__(self, x: Tensor, y: Tensor, seed: int) -> nn.Module:
        """Return the trained net, in eval mode."""
        model = models.build(self.architecture, check_seed(seed))
        self.training.fit(model, (x, y), seed=seed, device="cpu")
        return model.eval()


@dataclass(frozen=True)
class Pruned:
    """A net whose smallest weights are set to 0 after training, in each layer the same share of them.

    Args:
        learner: how it is trained.
        share: of the weights, in [0, 1] (default 0.8).

    Source: Han, Pool, Tran and Dally 2015, "Learning both Weights and Connections" (arXiv 1506.02626), without training again.
    """

    learner: Learner = Fitted()
    share: float = 0.8

    def __post_init__(self):
        check_function(self.learner, "learner", "a function (images, labels, seed) -> net")
        check_field(self, "share", 0, 1)

    def __call__(self, x: Tensor, y: Tensor, seed: int) -> nn.Module:
        """Return the pruned net, in eval mode."""
        y = check_labels(y, check_images(x))
        return pruned(self.learner(x, y, check_seed(seed)), self.share)


def pruned(model: nn.Module, share: float) -> nn.Module:
    """Set the share of the smallest weights of each convolution and linear layer to 0, in place; return the model."""
    share = check_range(share, "share", 0, 1)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            prune.l1_unstructured(module, "weight", amount=float(share))
            prune.remove(module, "weight")
    return model
