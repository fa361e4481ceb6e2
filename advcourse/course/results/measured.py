"""What is measured on all held-out images: a rate of one attack, or the smallest budget at which it succeeds."""

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from advcourse import data, models
from advcourse.attacks.base import Attack
from advcourse.core.identity import digest
from advcourse.core.inputs import InputError, check_choice, check_range, predict
from advcourse.core.intervals import Interval, bootstrap, wilson
from advcourse.course.results.sources import code_of

Counted = Literal["errors", "targets"]
_METRIC = "advcourse.metrics.misclassification"


@dataclass(frozen=True, kw_only=True)
class Measurement(ABC):
    """One number for each held-out image that a shipped network reads rightly, and one estimate from all of them.

    Args:
        name: what it is called in its chapter.
        model: a shipped network's name (default "mnist-cnn").
        images: a shipped data set's name (default "mnist-5k"), of whose split "test" all images are taken.
    """

    name: str
    model: str = "mnist-cnn"
    images: str = "mnist-5k"

    def __post_init__(self):
        check_choice(self.images, "images", ("mnist-5k", "signs", "photos"))

    @abstractmethod
    def measure(self, n: int | None = None) -> Tensor:
        """Attack the first n of the images (default: all) on the CPU; return a number for each, (n,)."""

    @abstractmethod
    def estimate(self, values: Tensor) -> Interval:
        """Sum up the numbers of `measure`, (n,)."""

    @property
    @abstractmethod
    def unit(self) -> str:
        """The unit of the estimate, as `intervals.printed` takes it."""

    @abstractmethod
    def attacks(self) -> tuple[Attack, ...]:
        """The attacks that are used."""

    def subjects(self, n: int | None = None) -> tuple[nn.Module, Tensor, Tensor]:
        """Return the network, and the first n images (n, C, H, W) and labels (n,) that it reads rightly (default: all)."""
        model, x, y = _subjects(self.model, self.images)
        n = len(x) if n is None else check_range(n, "n", 1, len(x), integer=True)
        return model, x[:n].clone(), y[:n].clone()

    def identity(self) -> dict[str, str]:
        """Return the short keys of what decides the numbers: "code", "settings", "weights" and "images"."""
        weights, checksum, architecture = _checksums(self.model, self.images)
        followed = [type(attack).__module__ for attack in self.attacks()]
        return {
            "code": code_of([*followed, architecture, _METRIC], alone=[__name__])[:16],
            "settings": _short(repr(self)),
            "weights": weights[:16],
            "images": checksum[:16],
        }


@dataclass(frozen=True, kw_only=True)
class Rate(Measurement):
    """The share of the images on which an attack succeeds.

    Args:
        attack: the attack.
        counted: "errors" (default) counts every image that is misread afterwards, "targets" those that are read as the attack
            wanted; the two are the same for an untargeted attack.
    """

    attack: Attack
    counted: Counted = "errors"

    def __post_init__(self):
        super().__post_init__()
        check_choice(self.counted, "counted", get_args(Counted))

    def measure(self, n: int | None = None) -> Tensor:
        """Return whether the attack succeeds on each of the first n images, (n,) bool."""
        model, x, y = self.subjects(n)
        run = self.attack.run(model, x, y)
        return run.success if self.counted == "targets" else run.logits.argmax(1) != y

    def estimate(self, values: Tensor) -> Interval:
        """Return the share of successes with Wilson's interval."""
        return wilson(values.double().mean().item(), len(values))

    @property
    def unit(self) -> str:
        """Per cent."""
        return "%"

    def attacks(self) -> tuple[Attack, ...]:
        """The one attack."""
        return (self.attack,)


@dataclass(frozen=True, kw_only=True)
class SmallestEps(Measurement):
    """The smallest budget of a grid at which an attack makes the network misread an image; summed up by the median.

    Args:
        kind: the attack as a function of its budget, such as `FGSM`, or `functools.partial(BIM, steps=10)`.
        grid: the budgets, rising.
    """

    kind: Callable[[float], Attack]
    grid: tuple[float, ...] = field(default=tuple(round(0.01 * i, 2) for i in range(1, 41)))

    def __post_init__(self):
        super().__post_init__()
        if list(self.grid) != sorted(set(self.grid)) or not self.grid:
            raise InputError(f"grid: got {self.grid!r}; allowed are budgets that rise from one to the next")

    def measure(self, n: int | None = None) -> Tensor:
        """Return the budget for each of the first n images, (n,) float64; infinity where no budget of the grid is enough."""
        model, x, y = self.subjects(n)
        smallest = torch.full((len(x),), math.inf, dtype=torch.float64)
        for eps in self.grid:
            standing = smallest.isinf().nonzero()[:, 0]
            if len(standing):
                attacked = self.kind(eps)(model, x[standing], y[standing])
                fooled = predict(model, attacked).argmax(1) != y[standing]
                smallest[standing[fooled]] = eps
        return smallest

    def estimate(self, values: Tensor) -> Interval:
        """Return the median with its bootstrap interval."""
        return bootstrap(values.numpy(), np.median)

    @property
    def unit(self) -> str:
        """None: a budget is a share of the range of a pixel."""
        return ""

    def attacks(self) -> tuple[Attack, ...]:
        """The attack at the smallest budget; at the others it has the same code."""
        return (self.kind(self.grid[0]),)


@cache
def _subjects(model, images):
    net, held_out = models.load(model), data.load(images)
    with torch.no_grad():
        right = torch.cat([net(part).argmax(1) for part in held_out.images.split(250)]) == held_out.labels
    return net, held_out.images[right], held_out.labels[right]


@cache
def _checksums(model, images):
    """The checksum of a network's weights, that of the images, and the module that holds the network's class."""
    net = models.load(model)
    return digest(net.state_dict().values()), data.load(images).checksum, type(net).__module__


def _short(text):
    return hashlib.sha256(text.encode()).hexdigest()[:16]
