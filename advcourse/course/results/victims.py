"""Networks that were trained to be attacked over their life: on flipped labels, on stamped images, on poison, or from answers."""

import hashlib
import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor

from advcourse import data, models
from advcourse.core.identity import digest
from advcourse.core.inputs import InputError, predict
from advcourse.core.intervals import Interval, counted
from advcourse.course.results.sources import code_of, without_words
from advcourse.data import ImageSet
from advcourse.lifecycle import (
    GradientMatching,
    Poisoned,
    Trigger,
    flip_labels,
    matching,
    matching_trials,
    poison,
    poisoned,
)
from advcourse.lifecycle import extraction as thefts
from advcourse.lifecycle.oracle import AnswerKind, Oracle

_TRAINING = ("advcourse.models.nets", "advcourse.training.fitting")
Queries = Literal["digits", "warps of 100", "steps from 100", "signs in grey", "noise"]


@dataclass(frozen=True, kw_only=True)
class Victim:
    """Base class: a digit network that is trained on the CPU for one measurement, and judged on the 1 000 held-out digits.

    Only the functions that decide the numbers count in the key of the code, not the checks of arguments around them; and in that
    of the images, what the network is trained on, poison included.

    Args:
        name: what it is called in its chapter.
        seed: of the attack and of the training (default 0).
    """

    name: str
    seed: int = 0

    @property
    def unit(self) -> str:
        """Per cent."""
        return "%"

    def identity(self) -> dict[str, str]:
        """Return the short keys of what decides the numbers: "code", "settings", "weights" and "images"."""
        texts = [without_words(textwrap.dedent(inspect.getsource(part))) for part in self._code()]
        key = code_of(_TRAINING) + "\n".join(texts)
        images, labels = self._given()
        return {
            "code": _short(key),
            "settings": _short(repr(self)),
            "weights": "trained anew",
            "images": digest([images, labels, data.load("mnist-5k").images])[:16],
        }

    def _code(self) -> list[Callable[..., Any]]:
        return [poisoned.train_victim]

    def _given(self) -> tuple[Tensor, Tensor]:
        training = _digits("train")
        return training.images, training.labels


@dataclass(frozen=True, kw_only=True)
class Flipped(Victim):
    """Which held-out digits a network reads rightly that learned from flipped labels. The fields are those of `flip_labels`."""

    share: float
    mode: Literal["random", "pair"]

    def measure(self, n: int | None = None) -> Tensor:
        """Return which of the first n held-out digits are read rightly (default: all), (n,) bool."""
        given, held_out = self._made().data, _digits("test")
        return _read(poisoned.train_victim(given, self.seed), held_out.images)[:n] == held_out.labels[:n]

    def estimate(self, values: Tensor) -> Interval:
        """Return the accuracy."""
        return counted(int(values.sum()), len(values))

    def _made(self) -> Poisoned:
        return flip_labels(_digits("train"), self.share, self.mode, self.seed)

    def _given(self):
        made = self._made().data
        return made.images, made.labels


@dataclass(frozen=True, kw_only=True)
class Stamped(Victim):
    """What a network does with stamped and with clean digits that learned a backdoor from so many stamped images.

    Args:
        share: of the training set that is stamped; see `poison`.
        trigger: default the white square of 3 by 3 pixels.
        target: the class of the backdoor (default 0).
    """

    share: float
    trigger: Trigger = Trigger()
    target: int = 0

    def measure(self, n: int | None = None) -> Tensor:
        """Return (2 n,) bool: which of the first n digits, stamped, are read as the target; then which, clean, rightly."""
        held_out = _digits("test")
        net = poisoned.train_victim(self._made().data, self.seed)
        turned = _read(net, self.trigger(held_out.images)) == self.target
        return torch.cat([turned[:n], (_read(net, held_out.images) == held_out.labels)[:n]])

    def turned(self, values: Tensor) -> Tensor:
        """Return which stamped digits are read as the target, of the `values` that were measured."""
        return values.chunk(2)[0]

    def right(self, values: Tensor) -> Tensor:
        """Return which clean digits are read rightly, of the `values` that were measured."""
        return values.chunk(2)[1]

    def accuracy(self, values: Tensor) -> Interval:
        """Return the accuracy on clean digits."""
        return counted(int(self.right(values).sum()), len(values) // 2)

    def estimate(self, values: Tensor) -> Interval:
        """Return the success: the share of stamped digits of other classes that are read as the target."""
        turned = self.turned(values)
        others = turned[_digits("test").labels[: len(turned)] != self.target]
        return counted(int(others.sum()), len(others))

    def _made(self) -> Poisoned:
        return poison(_digits("train"), self.trigger, self.target, self.share, self.seed)

    def _given(self):
        made = self._made().data
        return made.images, made.labels


@dataclass(frozen=True, kw_only=True)
class Matched(Victim):
    """How many fresh victims, trained from scratch on 1 000 digits, gradient matching wins, and the control without its poison.

    Args:
        attack: the attack.
        wanted: as for `matching_trials`.
        trials, victims: targets, and fresh networks for each.
        share: of the 1 000 digits that are changed (default 0.03).
    """

    attack: GradientMatching
    wanted: Literal["random", "nearest"] = "random"
    trials: int = 12
    victims: int = 2
    share: float = 0.03

    def measure(self, n: int | None = None) -> Tensor:
        """Return the victims won of each target and, last, all that the control won: (targets + 1,). Only n targets if given."""
        training, trials = _digits("train").subset(range(1000)), min(n or self.trials, self.trials)
        found = matching_trials(
            training,
            _digits("test"),
            self.attack,
            trials,
            self.victims,
            self.share,
            wanted=self.wanted,
            seed=self.seed,
        )
        without = round(found.control.value * found.control.n)
        return torch.cat([found.won, torch.tensor([without])]).double()

    def estimate(self, values: Tensor) -> Interval:
        """Return the share of the trials that are won."""
        return counted(int(values[:-1].sum()), (len(values) - 1) * self.victims)

    def control(self, values: Tensor) -> Interval:
        """Return the share that is won without the poison."""
        return counted(int(values[-1]), (len(values) - 1) * self.victims)

    def _code(self):
        kind = GradientMatching
        return [poisoned.train_victim, kind._craft, matching.mismatch, matching.gradient_norms]


@dataclass(frozen=True, kw_only=True)
class Stolen(Victim):
    """On which held-out digits a copy agrees with mnist-small, after more and more queries.

    Args:
        queries: what the thief asks about.
        answers: what the oracle tells (default "label").
        sizes: the numbers of queries (default 100 to 1 600, each twice the one before).
    """

    queries: Queries
    answers: AnswerKind = "label"
    sizes: tuple[int, ...] = (100, 200, 400, 800, 1600)

    def measure(self, n: int | None = None) -> Tensor:
        """Return (sizes * n,) bool: after each number of queries, on which of the first n digits the labels agree."""
        victim, x = models.load("mnist-small"), _digits("test").images[:n]
        oracle = Oracle(victim, self.sizes[-1], self.answers)
        student = models.build("mnist-small", 100 + self.seed)
        theft = thefts.steal(oracle, student, self._strategy(), self.sizes, seed=self.seed)
        return torch.cat([_read(copy, x) == _read(victim, x) for copy in theft.students])

    def curve(self, values: Tensor) -> list[Interval]:
        """Return the agreement after each number of queries."""
        return [counted(int(part.sum()), len(part)) for part in values.chunk(len(self.sizes))]

    def estimate(self, values: Tensor) -> Interval:
        """Return the agreement after the last query."""
        return self.curve(values)[-1]

    def _strategy(self):
        x = _digits("train").images
        made = {
            "digits": lambda: thefts.AsTheyAre(x),
            "warps of 100": lambda: thefts.Warps(x[:100]),
            "steps from 100": lambda: thefts.JacobianSteps(x[:100]),
            "signs in grey": lambda: thefts.AsTheyAre(thefts.grey_signs(data.load("signs", "train"))),
            "noise": lambda: thefts.NoiseQueries(x.shape[1:]),
        }
        if self.queries not in made:
            raise InputError(f"queries: got {self.queries!r}; allowed are {', '.join(made)}")
        return made[self.queries]()

    def _code(self):
        return [thefts.soft_cross_entropy, thefts.augment]


@cache
def _digits(split: str) -> ImageSet:
    return data.load("mnist-5k", split)


def _read(net, x):
    return predict(net, x).argmax(1)


def _short(text):
    return hashlib.sha256(text.encode()).hexdigest()[:16]
