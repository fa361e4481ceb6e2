"""Model extraction: a thief trains a copy of a model from its answers. What should the thief ask?

A strategy proposes images; `steal` asks the oracle about them and trains the copy, which is called the student.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from advcourse.attacks.base import Attack
from advcourse.attacks.substitute import augment
from advcourse.core.inputs import (
    InputError,
    accuracy,
    ask,
    check_images,
    check_labels,
    check_range,
    check_seed,
    predict,
)
from advcourse.data import ImageSet
from advcourse.lifecycle.oracle import Oracle, check_shape
from advcourse.lifecycle.poisoned import check_data
from advcourse.training import fit
from advcourse.training.augmentation import Augmentation, warps


class QueryStrategy(Protocol):
    """What to ask next: `(count, student, images, labels, generator) -> images (count, C, H, W)`.

    student: the copy so far, untrained at first. images, labels: what has been asked, and the oracle's labels. generator: the
    source of all randomness, on the CPU. A strategy that has a method `check_sizes(sizes)` is asked, before the first query,
    to refuse rounds that it cannot fill.
    """

    def __call__(
        self, count: int, student: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> Tensor: ...


@dataclass(frozen=True)
class AsTheyAre:
    """Ask about images that the thief has, one after the other.

    With images of the victim's own kind this is the ceiling. With images of another kind, such as `grey_signs()` for a reader of
    digits, it is the attack of Orekondy, Schiele and Fritz 2019, "Knockoff Nets", with random choice (arXiv 1812.02766).

    Args:
        pool: (P, C, H, W) in [0, 1].
    """

    pool: Tensor = field(repr=False)

    def __post_init__(self):
        check_images(self.pool, "pool")

    def check_sizes(self, sizes: tuple[int, ...]) -> None:
        """Raise `InputError` if the pool is smaller than the last size."""
        _next(self.pool, 0, sizes[-1])

    def __call__(
        self, count: int, student: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Return the next `count` images of the pool."""
        return _next(self.pool, len(images), count)


@dataclass(frozen=True)
class NoiseQueries:
    """Ask about pixels drawn uniformly from [0, 1]: what a thief can do who knows nothing but the size of an image.

    Args:
        shape: (C, H, W).
    """

    shape: tuple[int, int, int]

    def __post_init__(self):
        object.__setattr__(self, "shape", check_shape(self.shape))

    def __call__(
        self, count: int, student: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Return `count` new images."""
        return torch.rand(count, *self.shape, generator=generator).to(images.device)


@dataclass(frozen=True)
class Warps:
    """Ask about the thief's own images first, and then about random warps of them.

    Args:
        own: (P, C, H, W) in [0, 1].
        augmentation: the warp (default: turned by up to 15 degrees, resized by up to 15 %, moved by up to two pixels).
    """

    own: Tensor = field(repr=False)
    augmentation: Augmentation = field(default=warps(15, 0.15, 2.0), repr=False)

    def __post_init__(self):
        _check_own(self.own)
        if not callable(self.augmentation):
            raise InputError(
                f"augmentation: got {self.augmentation!r}; allowed is a function (images, generator) -> images"
            )

    def __call__(
        self, count: int, student: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Return own images that were not asked yet, then warps of own images drawn at random."""
        first = self.own[len(images) : len(images) + count]
        if len(first) == count:
            return first
        drawn = torch.randint(len(self.own), (count - len(first),), generator=generator).to(self.own.device)
        return torch.cat([first, self.augmentation(self.own[drawn], generator)])


@dataclass(frozen=True)
class JacobianSteps:
    """Ask about the thief's own images first, and then about what has been asked, moved to where the student changes most.

    Source: Papernot et al. 2017 (arXiv 1602.02697), see `attacks.substitute.augment`. Each round moves the latest images first.

    Args:
        own: (P, C, H, W) in [0, 1].
        step: lambda, the size of the move (default 0.1).
    """

    own: Tensor = field(repr=False)
    step: float = 0.1

    def __post_init__(self):
        _check_own(self.own)
        object.__setattr__(self, "step", check_range(self.step, "step", 0))

    def check_sizes(self, sizes: tuple[int, ...]) -> None:
        """Raise `InputError` if a round needs more moved copies than there are images to move."""
        for before, size in zip((0, *sizes), sizes):
            self._moved(before, size)

    def _moved(self, before, size):
        """Return how many of the queries from `before` to `size` are moved copies."""
        moved = max(0, size - max(before, len(self.own)))
        if moved > before:
            raise InputError(
                f"sizes: got a step from {before} to {size}; allowed is at most twice as many as before, after the "
                f"{len(self.own)} own images, since each image is moved once a round"
            )
        return moved

    def __call__(
        self, count: int, student: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Return own images that were not asked yet, then moved copies."""
        first = self.own[len(images) : len(images) + count]
        rest = self._moved(len(images), len(images) + count)
        if not rest:
            return first
        return torch.cat([first, augment(student, images[-rest:], labels[-rest:], self.step)])


@dataclass(frozen=True)
class KCentre:
    """Ask about those images of a pool that lie farthest from all that was asked, in what the student answers for them.

    Greedy k-centre: again and again the image whose nearest asked image is farthest, by the distance of probabilities.

    Source: Pal et al. 2020, "ActiveThief", section 4.3 (AAAI 34), after Sener and Savarese 2018 (arXiv 1708.00489).

    Args:
        pool: (P, C, H, W) in [0, 1], larger than the budget. Looking at it costs no query.
    """

    pool: Tensor = field(repr=False)

    def __post_init__(self):
        check_images(self.pool, "pool")

    def check_sizes(self, sizes: tuple[int, ...]) -> None:
        """Raise `InputError` if the pool is smaller than the last size."""
        _next(self.pool, 0, sizes[-1])

    def __call__(
        self, count: int, student: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Return `count` images of the pool; the first ones, when nothing was asked yet, as they stand there."""
        if not len(images):
            return _next(self.pool, 0, count)
        if count > len(self.pool):
            raise InputError(
                f"pool: got {len(self.pool)} images; allowed are at least {count}, the next queries"
            )
        outputs, known = (predict(student, x).softmax(1) for x in (self.pool, images))
        nearest = _distances(outputs, known)
        nearest[_distances(self.pool.flatten(1), images.flatten(1)) == 0] = -1  # asked before
        chosen = []
        for _ in range(count):
            place = int(nearest.argmax())
            chosen.append(place)
            nearest = torch.minimum(nearest, (outputs - outputs[place]).norm(dim=1))
            nearest[place] = -2
        return self.pool[chosen]


@dataclass(frozen=True)
class Theft:
    """The record of `steal`.

    Attributes:
        students: the copy after each round, in eval mode.
        sizes: the number of queries spent by then.
        images: all images that were asked, (Q, C, H, W), in that order.
        answers: the oracle's, (Q, K).
    """

    students: tuple[nn.Module, ...]
    sizes: tuple[int, ...]
    images: Tensor
    answers: Tensor

    @property
    def student(self) -> nn.Module:
        """The last copy."""
        return self.students[-1]


def steal(
    oracle: Oracle,
    student: nn.Module,
    strategy: QueryStrategy,
    sizes: tuple[int, ...] = (100, 200, 400),
    *,
    epochs: int = 20,
    batch_size: int = 32,
    lr: float = 3e-3,
    seed: int = 0,
) -> Theft:
    """Train copies of a model from its answers, after more and more queries.

    In each round the strategy proposes images, the oracle answers, and a fresh copy of `student` learns all answers so far, by
    the cross-entropy with the distributions that were told.

    Args:
        oracle: what can be asked of the victim.
        student: a net of the thief's choice, with the victim's classes. It is copied, and not changed.
        strategy: what is asked, such as `JacobianSteps(own)`.
        sizes: the number of queries after each round, rising (default (100, 200, 400)).
        epochs, batch_size, lr: as for `training.fit` (default 20, 32 and 3e-3).
        seed: of the strategy's draws and the training (default 0).

    Returns:
        a `Theft`.

    Raises:
        InputError: an argument is out of range; the student has no weights to train, other classes than the oracle's answers,
            or does not take the strategy's images; or the strategy cannot propose so many. Nothing has been asked then.
        QueryBudgetError: the last size is more than the oracle's budget allows; then nothing is asked.
    """
    sizes = _checked_sizes(sizes, oracle)
    epochs, batch_size, lr = _checked_training(student, epochs, batch_size, lr)
    if not callable(strategy) or isinstance(strategy, type):
        raise InputError(f"strategy: got {strategy!r}; allowed is one such as AsTheyAre(images)")
    if hasattr(strategy, "check_sizes"):
        strategy.check_sizes(sizes)
    generator = torch.Generator().manual_seed(check_seed(seed))
    images = answers = None
    students, model = [], copy.deepcopy(student).eval()
    settings = {"epochs": epochs, "batch_size": batch_size, "lr": lr, "seed": seed, "progress": False}
    device = next(student.parameters()).device
    for size in sizes:
        asked = torch.empty(0, device=device) if images is None else images
        labels = asked.long() if answers is None else answers.argmax(1)
        new = check_images(strategy(size - len(asked), model, asked, labels, generator), "strategy's images")
        if len(new) != size - len(asked):
            raise InputError(
                f"strategy: gave {len(new)} images; allowed are the {size - len(asked)} asked for"
            )
        if images is None:
            _check_student(student, oracle, new)
        told = oracle(new)
        images = new if images is None else torch.cat([images, new])
        answers = told if answers is None else torch.cat([answers, told])
        model = copy.deepcopy(student)
        fit(model, (images, answers.to(images.dtype)), soft_cross_entropy, device=device, **settings)
        students.append(model.eval())
    return Theft(tuple(students), sizes, images, answers)


def soft_cross_entropy(model: nn.Module, x: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross-entropy of the model's answers with distributions `targets` (N, K): a scalar in nats."""
    logits = ask(model, x)
    if logits.shape != targets.shape:
        raise InputError(
            f"student: got {logits.shape[1]} classes; allowed are the victim's, {targets.shape[1]}"
        )
    return F.cross_entropy(logits, targets)


def agreement(student: nn.Module, victim: nn.Module, x: Tensor) -> float:
    """Return the share of the images (N, C, H, W) on which student and victim give the same label; NaN for no images.

    Use images that neither of them has seen; these are the evaluator's questions, and cost the thief nothing.
    """
    return accuracy(student, x, predict(victim, x).argmax(1))


def transferred(student: nn.Module, victim: nn.Module, x: Tensor, y: Tensor, attack: Attack) -> float:
    """Return the share of the images that the victim reads rightly, and misreads after `attack` on the student.

    It depends on the victim more than on the copy. With 100 and 400 digits, BIM at 0.2 on a copy fools 49 and 70 % of the digits
    that an ordinarily trained victim reads, and 16 and 25 % on the shipped "mnist-small", which learnt from warped digits; and
    the copies agree with their victim on 77 and 90 % of the digits.

    Args:
        student: the net that is attacked.
        victim: the net that reads the result.
        x: images (N, C, H, W) in [0, 1].
        y: labels (N,).
        attack: untargeted, such as `BIM(0.2)`.

    Returns:
        a float; NaN if the victim reads none rightly.

    Raises:
        InputError: model, images or labels break their contract, or `attack` is not an untargeted attack.
    """
    y = check_labels(y, check_images(x))
    if not isinstance(attack, Attack) or (attack.targeted and not attack.chooses_target):
        raise InputError(f"attack: got {attack!r}; allowed is an untargeted attack, such as BIM(0.2)")
    right = predict(victim, x).argmax(1) == y
    x, y = x[right], y[right]
    return 1 - accuracy(victim, attack(student, x, y), y) if len(x) else float("nan")


def grey_signs(data: ImageSet, side: int = 28) -> Tensor:
    """Return colour images in grey and in the size of digits, (N, 1, side, side): images of another kind for the thief."""
    if check_data(data).images.shape[1] != 3:
        raise InputError(f"data: got {data.images.shape[1]} channels; allowed are 3: red, green and blue")
    grey = (data.images * data.images.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    size = (check_range(side, "side", 1, integer=True),) * 2
    return F.interpolate(grey, size, mode="bilinear", align_corners=False, antialias=True).clamp(0, 1)


def _distances(points, others):
    """The distance of each point (P, D) to the nearest of the others, (P,): exactly 0 for a copy, unlike by matrix products."""
    return torch.cdist(points, others, compute_mode="donot_use_mm_for_euclid_dist").amin(1)


def _next(pool, done, count):
    check_images(pool, "pool")
    if done + count > len(pool):
        raise InputError(
            f"pool: got {len(pool)} images; allowed are at least {done + count}, one for each query"
        )
    return pool[done : done + count]


def _check_own(own):
    if not len(check_images(own, "own")):
        raise InputError("own: got no images; allowed is one or more")


def _checked_training(student, epochs, batch_size, lr):
    """Check what `training.fit` would refuse after the first answers."""
    if not isinstance(student, nn.Module):
        raise InputError(f"student: got {type(student).__name__}; allowed is a torch.nn.Module")
    if not any(parameter.requires_grad for parameter in student.parameters()):
        raise InputError("student: got no weights to train; allowed is a net whose parameters need gradients")
    return (
        check_range(epochs, "epochs", 1, integer=True),
        check_range(batch_size, "batch_size", 1, integer=True),
        check_range(lr, "lr", 0, exclusive_low=True),
    )


def _check_student(student, oracle, x):
    """Raise `InputError` unless the student takes the images `x`, and has the classes of the oracle's answers to them."""
    own, classes = predict(student, x[:1], name="strategy's images").shape[1], oracle.classes(x)
    if own != classes:
        raise InputError(f"student: got {own} classes; allowed are the victim's, {classes}")


def _checked_sizes(sizes, oracle):
    if not isinstance(oracle, Oracle):
        raise InputError(
            f"oracle: got {type(oracle).__name__}; allowed is an Oracle, such as Oracle(model, budget=400)"
        )
    if not isinstance(sizes, Sequence) or isinstance(sizes, str):
        raise InputError(f"sizes: got {sizes!r}; allowed is a tuple, such as (100, 200, 400)")
    sizes = tuple(check_range(size, "sizes", 1, integer=True) for size in sizes)
    if not sizes or list(sizes) != sorted(set(sizes)):
        raise InputError(f"sizes: got {sizes}; allowed are numbers of queries that rise from round to round")
    oracle.check_left(sizes[-1])
    return sizes
