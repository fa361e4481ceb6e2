"""What plain glasses do to a network that learned its people from photographs without any."""

import hashlib
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from advcourse import models
from advcourse.cases.faces import plain_frame
from advcourse.cases.printer import printed
from advcourse.core.inputs import check_range, predict
from advcourse.core.intervals import Interval, counted
from advcourse.course.results.sources import code_of
from advcourse.data import faces, glasses
from advcourse.zoo.recipes import Recipe

RECIPE = Recipe("faces-cnn", "faces", epochs=12, degrees=8.0, pixels=3.0)


@dataclass(frozen=True, kw_only=True)
class Untaught:
    """Which held-out photographs are misread by a network, or by one that is like it and never saw glasses.

    Args:
        name: what it is called in its chapter.
        colour: of plain glasses, see `plain_frame`; None for none.
        taught: whether the network is the shipped one, which has seen glasses (default False: it is trained anew, in 25 seconds).
    """

    name: str
    colour: str | None
    taught: bool = False

    def measure(self, n: int | None = None) -> Tensor:
        """Return which of the first n photographs are misread (default: all), (n,) bool."""
        shown = faces.load("test")
        n = len(shown) if n is None else check_range(n, "n", 1, len(shown), integer=True)
        x = shown.images
        if self.colour is not None:
            moved = glasses.slips(len(x), torch.Generator().manual_seed(0))
            x = glasses.wear(x, glasses.fit_split("test", moved=moved), printed(plain_frame(self.colour)))
        return predict(_network(self.taught), x[:n]).argmax(1) != shown.labels[:n]

    def estimate(self, values: Tensor) -> Interval:
        """Return the share that is misread with Wilson's interval."""
        return counted(int(values.sum()), len(values))

    @property
    def unit(self) -> str:
        """Per cent."""
        return "%"

    def identity(self) -> dict[str, str]:
        """Return the short keys of what decides the numbers: "code", "settings", "weights" and "images"."""
        modules = ["advcourse.models.nets", "advcourse.training.fitting", glasses.__name__]
        key = f"{self!r} {RECIPE.settings()}"
        return {
            "code": code_of(modules, alone=[__name__])[:16],
            "settings": hashlib.sha256(key.encode()).hexdigest()[:16],
            "weights": "faces-cnn" if self.taught else "trained anew",
            "images": faces.CHECKSUMS["test"][:16],
        }


@cache
def _network(taught):
    return models.load("faces-cnn") if taught else RECIPE.train(progress=False)
