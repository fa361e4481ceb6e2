"""The scorecard's columns on finished models: clean accuracy, evasion, inversion, membership, extraction."""

import copy
from dataclasses import dataclass, field

import torch
from torch import nn

from advcourse.attacks.base import Attack
from advcourse.attacks.gradient_sign import PGD
from advcourse.core.inputs import check_range, predict
from advcourse.core.intervals import counted
from advcourse.data import ImageSet
from advcourse.lifecycle.extraction import AsTheyAre, QueryStrategy, agreement, steal
from advcourse.lifecycle.inversion import Inversion, judge_prototypes
from advcourse.lifecycle.membership import LiRA, MembershipAttack, leave_one_out
from advcourse.lifecycle.oracle import AnswerKind, Oracle
from advcourse.lifecycle.scorecard import NotApplicable, StageResult, Subject
from advcourse.metrics.detection import threshold_at
from advcourse.training import fit


@dataclass(frozen=True)
class CleanAccuracy:
    """How many held-out images are read rightly. It is no attack, and is never marked.

    Args:
        held_out: images that the model has not seen.
    """

    held_out: ImageSet

    def __call__(self, subject: Subject) -> StageResult:
        """Return the share."""
        right = predict(subject.model, self.held_out.images).argmax(1) == self.held_out.labels
        return StageResult(counted(int(right.sum()), len(right)), None, "nothing")


@dataclass(frozen=True)
class EvasionRate:
    """How many images are misread after an attack. The control is noise: each pixel moved by the budget, up or down at random.

    Args:
        held_out: images that the model has not seen.
        attack: untargeted, with a budget `eps` in L-infinity (default: PGD at 0.3 with 40 steps).
        images: how many of them are attacked (default 200).
    """

    held_out: ImageSet
    attack: Attack = PGD(0.3, steps=40)
    images: int = 200

    def __call__(self, subject: Subject) -> StageResult:
        """Return the share."""
        x, y = self.held_out.first(self.images)
        signs = torch.randint(2, x.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
        noisy = (x + self.attack.eps * signs.to(x)).clamp(0, 1)
        lost, control = (
            int((predict(subject.model, images).argmax(1) != y).sum())
            for images in (self.attack(subject.model, x, y), noisy)
        )
        cost = f"the weights, {self.attack.steps} gradients an image, {self.attack.eps:.3g} a pixel"
        return StageResult(counted(lost, len(y)), counted(control, len(y)), cost)


@dataclass(frozen=True)
class InversionRate:
    """How many classes' prototypes a net of another architecture reads as their class. The control inverts an untrained net.

    Args:
        data: real images, for the shape and the classes.
        other: the net that judges.
        untrained: the model's architecture with fresh weights.
        inversion: the attack.
    """

    data: ImageSet
    other: nn.Module = field(repr=False)
    untrained: nn.Module = field(repr=False)
    inversion: Inversion = Inversion()

    def __call__(self, subject: Subject) -> StageResult:
        """Return the share."""
        y = torch.arange(len(self.data.classes))
        start = torch.zeros(len(y), *self.data.images.shape[1:])
        value, control = (
            judge_prototypes(self.inversion(model, start, y), y, self.other, self.data).readable
            for model in (subject.model, self.untrained)
        )
        return StageResult(value, control, f"the weights, {self.inversion.steps} gradients")


@dataclass(frozen=True)
class MembershipRate:
    """How many members are found with 1 % false alarms, by shadow nets that were trained as the model was.

    The control is 1 %, which guessing reaches.

    Args:
        attack: on the shadow nets, each of which is the target in turn (default: LiRA online).
        fpr: the false positive rate (default 0.01).
    """

    attack: MembershipAttack = LiRA()
    fpr: float = 0.01

    def __post_init__(self):
        object.__setattr__(self, "fpr", check_range(self.fpr, "fpr", 0, 1, exclusive_low=True))

    def __call__(self, subject: Subject) -> StageResult:
        """Return the share.

        Raises:
            NotApplicable: the subject has no shadow nets.
        """
        if subject.shadows is None:
            raise NotApplicable(
                f"subject: got {subject.name!r} without shadows; allowed is one with shadow nets"
            )
        guesses = leave_one_out(self.attack, subject.shadows)
        guesses.tpr_at(self.fpr)  # refuses too few non-members
        threshold = threshold_at(guesses.of_others, self.fpr)
        found, accused = (
            counted(int((scores > threshold).sum()), len(scores))
            for scores in (guesses.of_members, guesses.of_others)
        )
        nets, points = subject.shadows.members.shape
        return StageResult(
            found, accused, f"{nets - 1} nets trained on {points // 2} points each, one query a point"
        )


@dataclass(frozen=True)
class ExtractionRate:
    """On how many held-out images a stolen copy agrees with the model.

    The control is the same student, trained on as many of the thief's own labelled images as the thief began with: what somebody
    reaches who asks nothing.

    Args:
        own: the thief's labelled images.
        held_out: images that neither net has seen.
        student: the copy's architecture, untrained.
        strategy: what is asked (default None: the thief's images, which is the ceiling if they are of the victim's kind).
        queries: how many (default 1000).
        first: how many labelled images the control has (default 100).
        answers: what the oracle tells (default "label").
    """

    own: ImageSet
    held_out: ImageSet
    student: nn.Module = field(repr=False)
    strategy: QueryStrategy | None = None
    queries: int = 1000
    first: int = 100
    answers: AnswerKind = "label"

    def __call__(self, subject: Subject) -> StageResult:
        """Return the share of agreement."""
        strategy = self.strategy or AsTheyAre(self.own.images)
        oracle = Oracle(subject.model, self.queries, self.answers)
        stolen = steal(oracle, self.student, strategy, (self.queries,)).student
        x, y = self.own.first(self.first)
        honest = copy.deepcopy(self.student)
        fit(honest, (x, y), epochs=20, batch_size=32, lr=3e-3, device=x.device, progress=False)
        held_out = self.held_out.images
        value, control = (
            round(agreement(net, subject.model, held_out) * len(held_out)) for net in (stolen, honest)
        )
        n = len(held_out)
        return StageResult(
            counted(value, n), counted(control, n), f"{self.queries} queries, answered by {self.answers}"
        )
