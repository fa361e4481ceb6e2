"""Stickers on road signs as an attack that can be measured beside others, and the set of plates that it is made for.

`signs.RP2` makes one pattern for one plate, and `driveby` judges it by many photographs. Here it is many plates with one
photograph each, so that the success rate is that over signs, targets and places at once.
"""

from dataclasses import dataclass, replace
from functools import cache
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from advcourse.attacks import Attack, AttackResult
from advcourse.attacks.hyperparameters import number
from advcourse.cases.camera import Road
from advcourse.cases.driveby import controls
from advcourse.cases.signs import MOST_VIEWS, RP2, plate_of
from advcourse.core.inputs import LARGEST_SEED, InputError, check_choice
from advcourse.data import signs
from advcourse.data.base import ImageSet

NAME = "plates"
SIZE = 32  # pixels per side, of which each is a cell of the pattern
_COPIES = 10  # of each plate in the set
_BESIDE = 0.5  # grey beside the plate, in the set's images; the photographs show a street there


@cache
def _shipped() -> Tensor:
    """The plates of all classes, (16, 4, SIZE, SIZE)."""
    return torch.stack([plate_of(number_of, SIZE) for number_of in range(len(signs.CLASSES))])


def load(split: str = "test") -> ImageSet:
    """Return 160 plates of the 16 classes, ten of each, (160, 3, 32, 32): the sign seen face on, on grey.

    The ten of a class are equal; an attack makes a sticker of its own for each, with a target and a photograph of its own.

    Raises:
        InputError: the split is not "test".
    """
    check_choice(split, "split", ("test",))
    plates = _shipped()
    images = plates[:, :3] * plates[:, 3:] + _BESIDE * (1 - plates[:, 3:])
    labels = torch.arange(len(images)).repeat(_COPIES)
    return ImageSet(
        images.repeat(_COPIES, 1, 1, 1),
        labels,
        signs.CLASSES,
        name=NAME,
        split=split,
        licence=signs.LICENCE,
    )


@dataclass(frozen=True)
class RoadStickers(Attack):
    """Printed stickers on road signs, judged on photographs from the road: `RP2` for each plate of the set "plates".

    Paper: Eykholt et al. 2018, "Robust Physical-World Attacks on Deep Learning Visual Classification" (arXiv 1707.08945); the
    objective is that of `RP2`. Norm: the share of the plate that is pasted over. The pattern itself is not bounded.

    Its threat model is "physical": the record's logits, and so its predictions and its success, are those of one photograph of
    each plate, from 4 to 40 m and up to 60 degrees to both sides, from a place that no attack has seen. The sizes, and the
    pictures, are those of the plate. Covering a part of a sign may do harm without any attack: measure the controls beside it.

    Args:
        area: budget, the most that the stickers cover together, as a share of the plate (default 0.2).
        pattern: what is printed on them: "attack" (default), or a control over the same mask: "random" cells, "black", "white";
            "none" leaves the plate as it is.
        rectangles: the number of stickers on a plate (default 2).
        steps: of Adam, for each plate (default 60).
        search_steps: of the search for the stickers' place (default 40).
        seed: of starts and views (default 0); each plate has draws of its own.

    Images are those of `load`, which `y` must name rightly, since the plate's outline follows from its class. A sticker takes
    two to three seconds of a quiet core.

    Example:
        >>> x, y = plates.load().pick(16)
        >>> RoadStickers().run(model, x, y, choose_target(model, x, y)).success_rate  # in photographs
    """

    kind: ClassVar[str] = "budgeted"
    norm: ClassVar[str] = "area"
    targeted: ClassVar[bool] = True
    channel: ClassVar[str] = "physical"
    only_on: ClassVar[str] = NAME
    area: float = number(0.2, low=0, high=1, exclusive_low=True)
    pattern: Literal["attack", "random", "black", "white", "none"] = "attack"
    rectangles: int = number(2, low=1)
    steps: int = number(60, low=1)
    search_steps: int = number(40, low=1)
    seed: int = number(0, low=0, high=LARGEST_SEED)

    def size(self, result: AttackResult) -> Tensor:
        """Return the share of each plate (N,) that is changed."""
        changed = (result.images != result.clean).any(1)
        plates = _shipped().to(result.images)[result.labels]
        return (plates[:, 3] * changed).double().sum((1, 2)) / plates[:, 3].double().sum((1, 2))

    def as_read(self, images: Tensor, first: int = 0) -> Tensor:
        """Return one held-out photograph of each plate (N, 3, 32, 32), cut out along the outline of what it was made from.

        That is the plate of the set from which it differs in the fewest pixels, since stickers change none beside their plate;
        of several, which there are only if all of it is pasted over, the largest.
        """
        if not len(images):
            return images
        plain, plates = load().images[: len(signs.CLASSES)].to(images), _shipped().to(images)
        changed = (images[:, None] != plain).any(2).sum((2, 3)).double()
        made_from = (changed - plates[:, 3].double().mean((1, 2)) / 2).argmin(1)
        plates = torch.cat([images, plates[made_from, 3:]], 1)
        with torch.no_grad():
            return Road()(plates, MOST_VIEWS + first)  # no attack's pool reaches as far

    def _budget(self):
        return self.area

    def _checked(self, model, x, y, target):
        y, target = super()._checked(model, x, y, target)
        plain = load().images[: len(signs.CLASSES)].to(x)
        known = x.shape[1:] == plain.shape[1:] and (not len(y) or int(y.max()) < len(plain))
        if not known or not torch.equal(x, plain[y]):
            raise InputError(
                f"x, y: got images {tuple(x.shape)} other than the plates of their labels; allowed are those of the set "
                f"{NAME!r}, cases.plates.load()"
            )
        return y, target

    def _perturb(self, victim, x, y, target, noise):
        model, images = _Counted(victim), []
        for i in range(len(x)):
            plate = torch.cat([x[i], _shipped().to(x)[y[i]][3:]])
            images.append(self._pasted(model, plate, int(y[i]), int(target[i]), noise.first + i))
        return torch.stack(images), torch.full_like(y, self.steps), {}

    def _pasted(self, model, plate, y, target, place):
        """Return the plate's colours (3, S, S) with its stickers on it."""
        if self.pattern == "none":
            return plate[:3]
        seed = int(np.random.SeedSequence((self.seed, place)).generate_state(1, np.uint64)[0] >> np.uint64(1))
        attack = RP2(
            area=self.area,
            rectangles=self.rectangles,
            steps=self.steps,
            search_steps=self.search_steps,
            seed=seed,
        )
        if self.pattern == "attack":
            return attack(model, plate, y, target)[:3]
        mask = replace(attack, steps=1).run(model, plate, y, target).mask
        return controls(plate, mask, seed=seed)[self.pattern][:3]


class _Counted(nn.Module):
    """An `AttackedModel` as a module, which counts the backward pass that `RP2` makes after each forward pass."""

    def __init__(self, victim):
        super().__init__()
        self._victim = victim

    def forward(self, x):
        self._victim.backward_passes += len(x) * (torch.is_grad_enabled() and x.requires_grad)
        return self._victim(x)
