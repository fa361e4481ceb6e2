"""The life cycle's shipped results, and how they were made: shadow nets, what leaks from which training, and the scorecards.

`advcourse train NAME` makes one of them again and compares its `figure` with the shipped one's. Rounding leads training elsewhere
on another processor, so that the two agree within `Artefact.within` and not to the last digit.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from advcourse import data, models
from advcourse.attacks import PGD
from advcourse.core.files import make_folder, replacing
from advcourse.data.base import ImageSet
from advcourse.defenses import PAT
from advcourse.lifecycle import (
    BackdoorRate,
    CleanAccuracy,
    ConfidenceThreshold,
    EvasionRate,
    ExtractionRate,
    Fitted,
    FittedPrivately,
    Inversion,
    InversionRate,
    LiRA,
    MembershipRate,
    PoisoningRate,
    PrivateTraining,
    Pruned,
    RightOrWrong,
    ShadowSet,
    Subject,
    leave_one_out,
    load_scorecard,
    load_shadows,
    measure_scorecard,
    train_shadows,
)
from advcourse.lifecycle.learners import pruned
from advcourse.lifecycle.scorecard import Column
from advcourse.lifecycle.shadows import SHIPPED, Learner, save_shadows

_FOLDER = SHIPPED.parent
POOL = 500  # digits, of which each shadow net learns half
NETS = 16  # for whatever needs more than one pool; the shipped set has twice as many


@dataclass(frozen=True)
class Training:
    """A way of training whose leaks are measured.

    Args:
        learner: how a net is trained.
        points: how many digits it learns from (default 250).
        seeds: of the sets of shadow nets that are measured (default (0, 1, 2)).
    """

    learner: Learner
    points: int = POOL // 2
    seeds: tuple[int, ...] = (0, 1, 2)

    def shadows(self, seed: int = 0, nets: int = NETS, votes: bool = False) -> ShadowSet:
        """Train shadow nets on halves of the first digits, training and test digits together."""
        x, y = pool(2 * self.points)
        return train_shadows((x, y), self.learner, nets, seed, votes=votes)


TRAININGS = {
    "plain": Training(Fitted()),
    "1000 digits": Training(Fitted(), 1000),
    "2500 digits": Training(Fitted(), 2500),
    "5 epochs": Training(Fitted(epochs=5)),
    "weight decay": Training(Fitted(weight_decay=10.0)),
    "private": Training(FittedPrivately(training=PrivateTraining(noise=1.1, rate=0.2, steps=60))),
    "PGD": Training(
        Fitted(epochs=30, lr=5e-3, objective=partial(PAT, 0.3, steps=5, ramp=1 / 3)), seeds=(0, 1)
    ),
    "pruned": Training(Pruned(share=0.6)),
}
ATTACKS = {
    "right or wrong": RightOrWrong(),
    "threshold": ConfidenceThreshold(),
    "LiRA online": LiRA(),
    "LiRA offline": LiRA(online=False),
}


def pool(points: int) -> tuple[Tensor, Tensor]:
    """Return the first `points` digits of "mnist-5k", training digits first: images (points, 1, 28, 28) and labels (points,)."""
    train, test = (data.load("mnist-5k", split) for split in ("train", "test"))
    x, y = torch.cat([train.images, test.images]), torch.cat([train.labels, test.labels])
    return x[:points], y[:points]


def leaks(shadows: ShadowSet) -> dict[str, float | dict[str, float]]:
    """Return what shadow nets give away, rounded to four decimals.

    Returns:
        "inside" and "outside", the accuracy on the points that a net learned from, and on the others; and for each of `ATTACKS`
        a dictionary of "auc", "balanced_accuracy" and "tpr_at_1".
    """
    right, members = shadows.right.double(), shadows.members
    found = {"inside": right[members].mean().item(), "outside": right[~members].mean().item()}
    found = {side: round(share, 4) for side, share in found.items()}
    for name, attack in ATTACKS.items():
        guesses = leave_one_out(attack, shadows)
        rates = {
            "auc": guesses.auc,
            "balanced_accuracy": guesses.balanced_accuracy,
            "tpr_at_1": guesses.tpr_at(0.01),
        }
        found[name] = {key: round(rate, 4) for key, rate in rates.items()}
    return found


def load_leaks(path: str | os.PathLike = _FOLDER / "leaks.json") -> dict[str, list[dict]]:
    """Read what leaks from each of `TRAININGS`: name -> what `leaks` returned for each seed."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def digit_subjects() -> list[Subject]:
    """Return the scorecard's digit models, trained on 4 000 digits, with shadow nets that learned 250 each in the same way."""
    train = data.load("mnist-5k", "train")
    x, y, small = train.images, train.labels, models.load("mnist-small")
    early = Fitted(epochs=3)
    private = FittedPrivately(training=PrivateTraining(noise=0.92, rate=0.051, steps=400))
    return [
        Subject("plain", small, Fitted(), load_shadows()),
        Subject("early-stopped", early(x, y, 0), early, TRAININGS["5 epochs"].shadows()),
        Subject(
            "PGD-trained", models.load("mnist-pat"), TRAININGS["PGD"].learner, TRAININGS["PGD"].shadows()
        ),
        Subject("private", private(x, y, 0), private, TRAININGS["private"].shadows()),
        Subject(
            "pruned",
            pruned(models.load("mnist-small"), 0.6),
            Pruned(share=0.6),
            TRAININGS["pruned"].shadows(),
        ),
    ]


def digit_columns() -> dict[str, Column]:
    """Return the scorecard's columns for digits, in the order of a model's life."""
    train, test = data.load("mnist-5k", "train"), data.load("mnist-5k")
    return {
        "clean accuracy": CleanAccuracy(test),
        "poisoning": PoisoningRate(train, test),
        "backdoor": _backdoor(train, test),
        "evasion": EvasionRate(test),
        "inversion": InversionRate(
            train, models.load("mnist-mlp"), models.build("mnist-small", 0), Inversion(tv=0.0)
        ),
        "membership": MembershipRate(),
        "extraction": ExtractionRate(train, test, models.build("mnist-small", 100)),
    }


def _backdoor(train: ImageSet, test: ImageSet) -> BackdoorRate:
    """Return the column for victims of the first 1000 images, whose defender trusts the next 1000, or as many as there are."""
    victims = range(1000)
    trusted = range(1000, min(2000, len(train)))
    return BackdoorRate(train.subset(victims), train.subset(trusted), test)


def sign_subjects() -> list[Subject]:
    """Return the scorecard's sign models; only the plain one has shadow nets, of 250 signs each."""
    train = data.load("signs", "train")
    learner = Fitted("signs-cnn")
    shadows = train_shadows(train.first(POOL), learner, NETS)
    return [
        Subject("plain", models.load("signs-cnn"), learner, shadows),
        Subject("PGD-trained", models.load("signs-pat")),
    ]


def sign_columns() -> dict[str, Column]:
    """Return the scorecard's columns for road signs; inversion is judged by a net that learned from photographs of prints."""
    train, test = data.load("signs", "train"), data.load("signs")
    fresh = models.build("signs-cnn", 100)
    return {
        "clean accuracy": CleanAccuracy(test),
        "poisoning": PoisoningRate(train, test),
        "backdoor": _backdoor(train, test),
        "evasion": EvasionRate(test, PGD(4 / 255, steps=20)),
        "inversion": InversionRate(train, models.load("signs-phone"), fresh, Inversion(tv=0.0)),
        "membership": MembershipRate(),
        "extraction": ExtractionRate(train, test, fresh),
    }


@dataclass(frozen=True)
class Artefact:
    """A shipped result of the life cycle.

    Args:
        file: its name in the folder of the shipped ones.
        figure: what tells two of them apart, in words.
        make: writes it anew to a path.
        read: reads the figure from a path.
        within: how far the figure of another processor may lie from the shipped one.
    """

    file: str
    figure: str
    make: Callable[[Path], None]
    read: Callable[[Path], float]
    within: float

    def again(self, out: str | os.PathLike) -> tuple[float, float]:
        """Make it anew in the folder `out`, which is made if need be; return the shipped figure and the new one."""
        path = make_folder(out, "out") / self.file
        self.make(path)
        return self.read(_FOLDER / self.file), self.read(path)


def _make_shadows(path):
    save_shadows(train_shadows(pool(POOL), Fitted(), 32, votes=True), path)


def _make_leaks(path):
    found = {
        name: [leaks(training.shadows(seed)) for seed in training.seeds]
        for name, training in TRAININGS.items()
    }
    with replacing(path) as unfinished:
        unfinished.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _make_card(subjects, columns, path):
    measure_scorecard(subjects(), columns()).save(path)


def _lira(path):
    return leave_one_out(LiRA(), load_shadows(path)).auc


def _mean_lira(path):
    seeds = load_leaks(path)["plain"]
    return sum(found["LiRA online"]["auc"] for found in seeds) / len(seeds)


def _evasion(path):
    return load_scorecard(path).cell("plain", "evasion").result.value.value


ARTEFACTS = {
    "shadows-mnist-small": Artefact(SHIPPED.name, "lira_auc", _make_shadows, _lira, 0.02),
    "leaks": Artefact("leaks.json", "lira_auc", _make_leaks, _mean_lira, 0.02),
    "scorecard-digits": Artefact(
        "scorecard-digits.json",
        "pgd_success",
        partial(_make_card, digit_subjects, digit_columns),
        _evasion,
        0.02,
    ),
    "scorecard-signs": Artefact(
        "scorecard-signs.json",
        "pgd_success",
        partial(_make_card, sign_subjects, sign_columns),
        _evasion,
        0.03,
    ),
}
