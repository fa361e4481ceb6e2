"""What is measured on people who wear printed frames: who each of their photographs is read as."""

import hashlib
from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args

import torch
from torch import Tensor

from advcourse import models
from advcourse.cases import faces as case
from advcourse.core.identity import digest
from advcourse.core.inputs import check_choice, check_range, predict
from advcourse.core.intervals import Interval, counted
from advcourse.course.results.sources import code_of
from advcourse.data import faces

Wearing = Literal["bare", "plain", "random cells", "black", "dodging", "impersonation"]
EACH = 12  # held-out photographs of each person
_MODEL = "faces-cnn"


@dataclass(frozen=True, kw_only=True)
class Readings:
    """Who the held-out photographs of some people are read as when they wear one kind of glasses.

    Args:
        name: what it is called in its chapter.
        pairs: (person, whom the impersonation aims at), by name. Frames are found on the person's training photographs.
        wearing: the glasses. "plain" is the one-coloured frame that the attack on this person begins with.
        attack: how the frames are found.
    """

    name: str
    pairs: tuple[tuple[str, str], ...]
    wearing: Wearing
    attack: case.FrameAttack

    def __post_init__(self):
        check_choice(self.wearing, "wearing", get_args(Wearing))

    def measure(self, n: int | None = None) -> Tensor:
        """Return the index in `faces.CLASSES` that each of the first n photographs is read as (default: all), (n,) float64."""
        n = (
            EACH * len(self.pairs)
            if n is None
            else check_range(n, "n", 1, EACH * len(self.pairs), integer=True)
        )
        return torch.cat([self._read(*pair) for pair in self.pairs[: -(-n // EACH)]])[:n].double()

    def _read(self, person, target):
        unseen, model = case.album(person, "test"), models.load(_MODEL)
        frame = _found(self.attack, person, target if self.wearing == "impersonation" else None)
        controls = case.controls(frame)
        controls["plain"] = controls.pop(f"plain {frame.start}")
        return predict(model, case.worn(unseen, controls.get(self.wearing, frame.colours))).argmax(1)

    def estimate(self, values: Tensor) -> Interval:
        """Return the share that is read as the target where that is the goal, else as anybody but the person."""
        hit = self.reached(values) if self.wearing == "impersonation" else ~self.right(values)
        return counted(int(hit.sum()), len(values))

    def right(self, values: Tensor) -> Tensor:
        """Return which photographs are read as the person who is on them, (n,) bool."""
        return values == self._index(0)[: len(values)]

    def reached(self, values: Tensor) -> Tensor:
        """Return which photographs are read as the person whom the impersonation aims at, (n,) bool."""
        return values == self._index(1)[: len(values)]

    def _index(self, place):
        names = [faces.CLASSES.index(pair[place]) for pair in self.pairs]
        return torch.tensor(names, dtype=torch.float64).repeat_interleave(EACH)

    @property
    def unit(self) -> str:
        """Per cent."""
        return "%"

    def identity(self) -> dict[str, str]:
        """Return the short keys of what decides the numbers: "code", "settings", "weights" and "images"."""
        net = models.load(_MODEL)
        return {
            "code": code_of([case.__name__, type(net).__module__], alone=[__name__])[:16],
            "settings": hashlib.sha256(repr(self).encode()).hexdigest()[:16],
            "weights": digest(net.state_dict().values())[:16],
            "images": faces.CHECKSUMS["test"][:16],
        }


@cache
def _found(attack, person, target):
    return attack.run(models.load(_MODEL), case.album(person), target)
