"""The standard ensemble: four attacks in a row, each on the images that the ones before it have left."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal
from unittest import mock

import pandas as pd
import torch
from torch import Tensor, nn

from advcourse.attacks import APGD, EOT, FAB, Attack, Square, Transfer
from advcourse.core.errors import DoubtfulResultWarning
from advcourse.core.inputs import (
    check_choice,
    check_classes,
    check_flag,
    check_images,
    check_labels,
    check_model,
    check_range,
    check_seed,
    predict,
)
from advcourse.core.intervals import Interval, counted, printed
from advcourse.core.randomness import seeded

DRAWS = 20  # of a random model, in each pass
_AHEAD = 0.002  # the share of the images by which Square may be ahead of the gradient's attacks


@dataclass(frozen=True)
class Stage:
    """One attack of the ensemble.

    Attributes:
        name: such as "APGD-T".
        attack: the attack.
        attacked: the number of images that it was run on.
        left: how many of all images are still read rightly after it.
        forward_passes, backward_passes: how many times an image went through the model.
    """

    name: str
    attack: Attack
    attacked: int
    left: int
    forward_passes: int
    backward_passes: int


@dataclass(frozen=True)
class Standard:
    """What the standard ensemble found.

    Attributes:
        version: "standard", "quick" or "random".
        norm, eps: the ball.
        images: (N, C, H, W); for an image that was fooled the adversarial one, otherwise the clean one.
        labels: (N,).
        clean: (N,) bool, whether the model reads the clean image rightly.
        robust: (N,) bool, whether it also reads all attacked images rightly.
        stages: the attacks, in order.
        flags: a sentence for everything that casts doubt on the result; () if nothing does.
    """

    version: str
    norm: str
    eps: float
    images: Tensor
    labels: Tensor
    clean: Tensor
    robust: Tensor
    stages: tuple[Stage, ...]
    flags: tuple[str, ...]

    @property
    def clean_accuracy(self) -> Interval:
        """The share of the N images that the model reads rightly."""
        return counted(int(self.clean.sum()), len(self.clean))

    @property
    def robust_accuracy(self) -> Interval:
        """The share of the N images that the model reads rightly, whatever the ensemble does."""
        return counted(int(self.robust.sum()), len(self.robust))

    @property
    def forward_passes(self) -> int:
        """How many times an image went through the model in all attacks."""
        return sum(stage.forward_passes for stage in self.stages)

    @property
    def backward_passes(self) -> int:
        """How many times a gradient came back to an image in all attacks."""
        return sum(stage.backward_passes for stage in self.stages)

    def as_frame(self) -> pd.DataFrame:
        """Return a row for the clean images and one for each stage: what was left, as a share of all images, and passes."""
        n = len(self.clean)
        rows = {"clean": {"right": printed(self.clean_accuracy), "attacked": n}}
        for stage in self.stages:
            passes = {"forward passes": stage.forward_passes, "backward passes": stage.backward_passes}
            rows[stage.name] = {
                "right": printed(counted(stage.left, n)),
                "attacked": stage.attacked,
            } | passes
        return pd.DataFrame.from_dict(rows, orient="index").fillna(0)


def standard(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    eps: float,
    norm: Literal["Linf", "L2"] = "Linf",
    version: Literal["standard", "quick", "random"] = "standard",
    seed: int = 0,
) -> Standard:
    """Attack a model with the standard ensemble, so that its robust accuracy can be compared with that of others.

    "standard" has the published attacks with the published budgets: APGD on the cross-entropy, APGD-T on the targeted DLR
    loss and FAB-T, each of 100 steps, the latter two with nine targets, and Square with 5000 queries. "quick" leaves out what
    hardly ever finds more: after 20 steps only each image's three best targets go on; FAB has three targets and 50 steps; and
    Square gives an image up if after 500 queries it has more than 40 % of its margin left. "random" is for models that draw
    random numbers: APGD on both losses, with 20 draws in each pass.

    Paper: Croce and Hein 2020, "Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse Parameter-free
    Attacks" (arXiv 2003.01690).

    The ensemble knows nothing of the defense. It judges networks with a gradient well; against a detector, a random or a
    non-differentiable defense it is only a first look, and the flags say so where they can.

    Args:
        model: images (N, C, H, W) in [0, 1] to logits (N, K).
        x, y: clean images and true labels (N,).
        eps: the budget, above 0, in the unit of `norm`.
        norm: "Linf" (default) or "L2".
        version: "standard" (default), "quick" or "random".
        seed: seed of all draws (default 0).

    Returns:
        what each image became, what each stage left, and flags.

    Raises:
        InputError: an argument breaks its contract, or the model has no gradient.

    Example:
        >>> result = standard(models.load("mnist-trades"), x, y, eps=0.3, version="quick")
        >>> printed(result.robust_accuracy), result.flags
    """
    check_model(model, check_images(x))
    y = check_labels(y, x)
    eps = check_range(eps, "eps", 0, exclusive_low=True)
    check_choice(norm, "norm", ("Linf", "L2"))
    check_choice(version, "version", ("standard", "quick", "random"))
    stages = _stages(eps, norm, version, check_seed(seed))
    abstains = check_flag(getattr(model, "abstains", False), "model.abstains")
    with _noting() as notes, seeded(x.device, seed):
        logits = predict(model, x)
        check_classes(y, logits.shape[1])
        clean = logits.argmax(1) == y
        images, left, run = x.detach().clone(), clean.clone(), []
        for name, attack in stages:
            run.append(_stage(name, attack, model, (images, y, left), eps))
        notes += _flags(model, x, logits, clean, run, version, abstains)
    notes = tuple(dict.fromkeys(notes))
    return Standard(version, norm, eps, images, y.clone(), clean, left, tuple(run), notes)


def _stages(eps, norm, version, seed):
    ball = {"eps": eps, "norm": norm, "seed": seed}
    ce = APGD(**ball)
    if version == "random":
        attacks = (("APGD-CE", ce), ("APGD-DLR", APGD(loss="dlr", **ball)))
        return [(name, Transfer(attack, partial(EOT, draws=DRAWS))) for name, attack in attacks]
    quick = version == "quick"
    targeted = APGD(loss="dlr", targets=9, finalists=3 if quick else 0, **ball)
    fab = FAB(targets=3 if quick else 9, steps=50 if quick else 100, norm=norm)
    square = Square(give_up=0.4 if quick else None, **ball)
    return [("APGD-CE", ce), ("APGD-T", targeted), ("FAB-T", fab), ("Square", square)]


def _stage(name, attack, model, state, eps):
    """Run one stage on the images that are left; what it fools is entered into images and left, of `state`."""
    images, y, left = state
    index = left.nonzero().squeeze(1)
    if not len(index):
        return Stage(name, attack, 0, 0, 0, 0)
    result = attack.run(model, images[index], y[index])
    won = result.success
    if attack.kind == "minimum-norm":
        won &= result.size <= eps
    images[index[won]] = result.images[won]
    left[index[won]] = False
    draws = DRAWS if isinstance(attack, Transfer) else 1
    passes = draws * result.forward_passes, draws * result.backward_passes
    return Stage(name, attack, len(index), int(left.sum()), *passes)


@contextmanager
def _noting() -> Iterator[list[str]]:
    """Collect what the library warns of inside the block as sentences; other warnings are passed on."""
    notes = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield notes
    for warning in caught:
        if issubclass(warning.category, DoubtfulResultWarning):
            notes.append(str(warning.message))
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


def _flags(model, x, logits, clean, stages, version, abstains):
    """Return what casts doubt on the result, beside what the attacks warned of."""
    flags, n = [], len(x)
    if n and not clean.any():
        flags.append("No image is read rightly even without an attack: look at the labels and at the model.")
    if n and version != "random" and not torch.equal(predict(model, x), logits):
        flags.append(
            "The model answers the same images differently when it is asked again. If it draws random numbers, use "
            'version="random", which attacks the mean over draws.'
        )
    if n and _differentiates(model, x[:1]):
        flags.append(
            "The model takes gradients inside its forward pass. Attacks can't see through such an optimisation; write one that "
            "does, or attack the network inside."
        )
    if logits.shape[1] < 4:
        flags.append(
            f"The model has {logits.shape[1]} classes; the targeted DLR loss needs four. The difference of two logits took its "
            "place."
        )
    if abstains:
        flags.append(
            "The model abstains on images that it flags, and none of these attacks tries to pass its detector. Use an adaptive "
            "attack."
        )
    gained = {stage.name: stage.attacked - stage.left for stage in stages}.get("Square", 0)
    if gained > _AHEAD * n:
        flags.append(
            f"Square, which sees no gradient, fooled {gained} images that all attacks with gradients had left, more than "
            f"{_AHEAD:.1%} of all. The gradient leads astray there: look for an attack that is adapted to the defense."
        )
    return flags


def _differentiates(model, x):
    """Return whether the model calls autograd by itself."""
    names = ("grad", "backward")
    with mock.patch.multiple(
        torch.autograd, **{name: mock.Mock(wraps=getattr(torch.autograd, name)) for name in names}
    ):
        predict(model, x)
        return any(getattr(torch.autograd, name).called for name in names)
