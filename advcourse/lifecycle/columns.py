"""The scorecard's columns: clean accuracy, poisoning, backdoors, evasion, inversion, membership, extraction."""

import copy
from dataclasses import dataclass, field
from typing import get_args

import torch
from torch import nn

from advcourse.attacks.base import Attack
from advcourse.attacks.gradient_sign import PGD
from advcourse.core.inputs import InputError, check_choice, check_field, check_seed, predict
from advcourse.core.intervals import counted
from advcourse.data import ImageSet
from advcourse.lifecycle.backdoor import backdoor_success, poison
from advcourse.lifecycle.collision import FeatureCollision, collision_trials
from advcourse.lifecycle.extraction import AsTheyAre, QueryStrategy, agreement, steal
from advcourse.lifecycle.features import activations
from advcourse.lifecycle.filters import highest, trusted_distance
from advcourse.lifecycle.inversion import Inversion, judge_prototypes
from advcourse.lifecycle.membership import LiRA, MembershipAttack, leave_one_out
from advcourse.lifecycle.oracle import AnswerKind, Oracle
from advcourse.lifecycle.poisoned import check_class, check_data, check_function
from advcourse.lifecycle.scorecard import NotApplicable, StageResult, Subject, check_type
from advcourse.lifecycle.triggers import Trigger
from advcourse.metrics.detection import threshold_at
from advcourse.training import fit


@dataclass(frozen=True)
class CleanAccuracy:
    """How many held-out images are read rightly. It is no attack, and is never marked.

    Args:
        held_out: images that the model has not seen.
    """

    held_out: ImageSet

    def __post_init__(self):
        check_data(self.held_out, "held_out")

    def __call__(self, subject: Subject) -> StageResult:
        """Return the share."""
        check_type(subject, Subject, "subject")
        right = predict(subject.model, self.held_out.images).argmax(1) == self.held_out.labels
        return StageResult(counted(int(right.sum()), len(right)), None, "nothing")


@dataclass(frozen=True)
class PoisoningRate:
    """How many targets feature collision wins from victims who keep the model's body and train a new head.

    See `collision_trials`. The control leaves the bases as they were.

    Args:
        data: the images that the heads learn from.
        held_out: images that the model has not seen, among which the targets are.
        attack: the collision (default None: `FeatureCollision()`).
        trials: targets (default 40).
        poisons: images that are replaced for each target (default 1).
        images: that a head learns from (default 300).
    """

    data: ImageSet
    held_out: ImageSet
    attack: FeatureCollision | None = None
    trials: int = 40
    poisons: int = 1
    images: int = 300

    def __post_init__(self):
        check_data(self.data)
        check_data(self.held_out, "held_out")
        if self.attack is not None:
            check_type(self.attack, FeatureCollision, "attack")
        for name in ("trials", "poisons", "images"):
            check_field(self, name, 1, integer=True)

    def __call__(self, subject: Subject) -> StageResult:
        """Return the share of the trials that are won."""
        model = check_type(subject, Subject, "subject").model
        settings = {"trials": self.trials, "poisons": self.poisons, "images": self.images}
        trials = collision_trials(model, self.data, self.held_out, self.attack, **settings)
        cost = (
            f"the weights, {self.poisons} of {self.images} images of a new head's training set, a target each"
        )
        return StageResult(trials.wins, trials.control, cost)


@dataclass(frozen=True)
class BackdoorRate:
    """How many stamped images are read as the target after a clean-up: the defender drops what lies far from trusted images.

    A share of the training set is stamped and labelled as the target, and a net is trained on it as the model was. The defender,
    who vouches for some clean images of each class, drops the images of each class whose activations lie farthest from these
    (`trusted_distance`), one and a half times as many as there is poison, and trains anew. The control stamps the images that
    the model itself reads, which has seen no poison.

    Args:
        data: the training set.
        trusted: clean images that the defender vouches for, at least two of each class.
        held_out: images that are stamped to measure the success.
        trigger: default: a white square of three pixels.
        target: the class that stamped images are to be read as (default 0).
        share: of the training set (default 0.03).
        seed: of the poison and of both trainings (default 0).
    """

    data: ImageSet
    trusted: ImageSet
    held_out: ImageSet
    trigger: Trigger = Trigger()
    target: int = 0
    share: float = 0.03
    seed: int = 0

    def __post_init__(self):
        for name in ("data", "trusted", "held_out"):
            check_data(getattr(self, name), name)
        check_type(self.trigger, Trigger, "trigger")
        check_class(self.target, self.data)
        check_field(self, "share", 0, 1)
        check_seed(self.seed)

    def __call__(self, subject: Subject) -> StageResult:
        """Return the share.

        Raises:
            NotApplicable: the subject has no learner.
        """
        learner = check_type(subject, Subject, "subject").learner
        if learner is None:
            raise NotApplicable(
                f"subject: got {subject.name!r} without a learner; allowed is one that can be trained anew"
            )
        given, touched = poison(self.data, self.trigger, self.target, self.share, self.seed)
        first = learner(given.images, given.labels, self.seed)
        h, trusted = (activations(first, images) for images in (given.images, self.trusted.images))
        far = trusted_distance(h, given.labels, trusted, self.trusted.labels)
        kept = ~highest(far, given.labels, round(1.5 * len(touched)))
        second = learner(given.images[kept], given.labels[kept], self.seed)
        value, control = (
            backdoor_success(model, self.trigger, self.held_out.images, self.held_out.labels, self.target)
            for model in (second, subject.model)
        )
        cost = f"{len(touched)} of {len(given)} training images, with their labels"
        return StageResult(value, control, cost)


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

    def __post_init__(self):
        check_data(self.held_out, "held_out")
        if not hasattr(check_type(self.attack, Attack, "attack"), "eps") or self.attack.targeted:
            raise InputError(f"attack: got {self.attack!r}; allowed is an untargeted one with a budget `eps`")
        check_field(self, "images", 1, integer=True)

    def __call__(self, subject: Subject) -> StageResult:
        """Return the share."""
        check_type(subject, Subject, "subject")
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

    def __post_init__(self):
        check_data(self.data)
        check_type(self.other, nn.Module, "other")
        check_type(self.untrained, nn.Module, "untrained")
        check_type(self.inversion, Inversion, "inversion")

    def __call__(self, subject: Subject) -> StageResult:
        """Return the share."""
        check_type(subject, Subject, "subject")
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
        check_function(self.attack, "attack", "an attack on membership, such as LiRA()")
        check_field(self, "fpr", 0, 1, exclusive_low=True)

    def __call__(self, subject: Subject) -> StageResult:
        """Return the share.

        Raises:
            NotApplicable: the subject has no shadow nets.
        """
        if check_type(subject, Subject, "subject").shadows is None:
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

    def __post_init__(self):
        check_data(self.own, "own")
        check_data(self.held_out, "held_out")
        check_type(self.student, nn.Module, "student")
        if self.strategy is not None:
            check_function(self.strategy, "strategy", "one such as AsTheyAre(images), or None")
        check_field(self, "queries", 1, integer=True)
        check_field(self, "first", 1, integer=True)
        check_choice(self.answers, "answers", get_args(AnswerKind))

    def __call__(self, subject: Subject) -> StageResult:
        """Return the share of agreement."""
        check_type(subject, Subject, "subject")
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
