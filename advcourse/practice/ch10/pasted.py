"""Chapter 10: a printed pattern on a part of a sign."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from advcourse.labs.exercises import Draw
from advcourse.practice.asking import ALL, rounded
from advcourse.practice.tasks import small_exercise


@dataclass(frozen=True)
class Ink:
    """A printer whose black is not quite black and whose white is not quite white; it shows itself as its formula."""

    black: float = 0.1
    white: float = 0.9

    def __call__(self, colours: Tensor) -> Tensor:
        return self.black + (self.white - self.black) * colours

    def __repr__(self):
        return f"{self.black:g} + {self.white - self.black:.4g} * colours"


def drawn_sticker(draw: Draw) -> dict[str, Any]:
    """Six pixels of a sign and of a pattern, no two of them alike, and a mask of three of them in any order."""
    mask = torch.arange(6) < 3
    pattern = rounded(0.3 * draw.uniform((6,)))
    return {
        "sign": rounded(0.4 + 0.2 * draw.uniform((6,))),
        "mask": mask[draw.uniform((6,)).argsort()],
        "pattern": torch.where(draw.uniform((6,)) < 0.5, pattern, 1 - pattern),
        "printed": Ink(draw.number(0.08, 0.15), draw.number(0.85, 0.95)),
    }


Printer = Callable[[Tensor], Tensor]


@small_exercise(
    "A printed sticker on a sign",
    5,
    "medium",
    by_hand=(
        {
            "sign": torch.tensor([0.8, 0.3, 0.5, 0.6]),
            "mask": torch.tensor([False, True, True, False]),
            "pattern": torch.tensor([0.2, 1.0, 0.0, 0.9]),
            "printed": Ink(),
        },
    ),
    drawn=drawn_sticker,
    hints=(
        "Where the mask is True one sees the paper, everywhere else the sign as it was. And only one of the two has been through "
        "the printer.",
        "torch.where(mask, a, b) takes a where the mask is True and b elsewhere. Here a is printed(pattern), and b is the sign.",
    ),
    shape=lambda case: tuple(case["sign"].shape),
    praise="In symbols: (1 − M) s + M P(c). The sign itself was never printed.",
)
def pasted(sign, mask, pattern, printed):
    return torch.where(mask, printed(pattern), sign)


@pasted.slip(
    "no printer",
    "Your sticker has the colours of the screen. What is on the sign came out of a printer: use printed(pattern).",
)
def as_on_screen(sign, mask, pattern, printed):
    return torch.where(mask, pattern, sign)


@pasted.slip(
    "whole sign printed",
    "You print the sign as well. Only the paper goes through the printer; the metal beside it keeps its colours.",
)
def all_printed(sign, mask, pattern, printed):
    return printed(torch.where(mask, pattern, sign))


@pasted.slip(
    "wrong side",
    "You paste where the mask is False, and leave the sign bare where it is True. It is the other way round.",
)
def beside_the_mask(sign, mask, pattern, printed):
    return torch.where(mask, sign, printed(pattern))


@pasted.slip(
    "added",
    "You add the sticker to what lies under it, as light would. Paper is opaque: it hides the sign, so replace the pixels.",
)
def added(sign, mask, pattern, printed):
    return sign + mask * printed(pattern)


@pasted.slip("added")
def added_and_clipped(sign, mask, pattern, printed):
    return (sign + mask * printed(pattern)).clamp(0, 1)


@pasted.slip(
    "no sign left",
    "Beside the sticker your sign is black. There the old pixels must stay: add (1 - M) s, or use torch.where.",
)
def sticker_alone(sign, mask, pattern, printed):
    return mask * printed(pattern)


@pasted.slip(
    "mask ignored",
    "You cover the whole sign, as a poster does. Here only the pixels of the mask are pasted over.",
)
def as_a_poster(sign, mask, pattern, printed):
    return printed(pattern)


@pasted.right
def as_in_the_paper(sign, mask, pattern, printed):
    m = mask.to(sign)
    return (1 - m) * sign + m * printed(pattern)


@pasted.right
def into_a_copy(sign, mask, pattern, printed):
    copy = sign.clone()
    copy[mask] = printed(pattern[mask])
    return copy


@pasted.wrong("shape")
def the_mask_alone(sign, mask, pattern, printed):
    return printed(pattern)[mask]


@pasted.wrong("formula")
def twice_printed(sign, mask, pattern, printed):
    return torch.where(mask, printed(printed(pattern)), sign)


pasted.checks(*ALL)
