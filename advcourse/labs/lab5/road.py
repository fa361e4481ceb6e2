"""Lab 5: plates, stickers on them, and the places from which they are photographed; and what is asked of a sticker."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from advcourse.labs.checks import Student
from advcourse.labs.exercises import Case, Draw, Task
from advcourse.labs.lab5.cameras import Net, View
from advcourse.labs.lab5.printed import SCREEN, inks, printed
from advcourse.labs.verdicts import Finding, Picture

SMALL = 14  # pixels of a side of the plates that are no signs
APART = 1e-3  # colours nearer than this are the same
DISTANCES, ANGLES = (5.0, 10.0, 20.0), (0.0, 20.0, 40.0)  # of the bins


class StickerTask(Task):
    """A task about a plate: a coloured disc in small, or a stop sign."""

    def case(self, draw: Draw, kind: str = "plain", classes: int = 6, side: int = SMALL, **how: Any) -> Case:
        """As `Task.case`."""
        case = super().case(draw, kind, 1, classes=classes, shape=(3, side, side), **how)
        return case.but(Net(**vars(case.victim)))


def a_disc(draw: Draw, x: Tensor | None) -> dict[str, Any]:
    """A disc in three colours, a strip across it, and three places."""
    across = (torch.arange(SMALL) + 0.5) / SMALL * 2 - 1
    alpha = (across**2 + across[:, None] ** 2 < 0.9).float()
    colours = draw.uniform((3, 2, 1)).repeat_interleave(SMALL // 2, 1).expand(3, SMALL, SMALL)
    mask = (across[:, None].abs() < 0.5) & (across.abs() < 0.6)
    return {
        "plate": torch.cat([colours * alpha, alpha[None]]),
        "mask": mask,
        "target": 1 + draw.integer() % 5,
        "views": tuple(
            View("view", draw.integer(), distance=d, angle=a) for d, a in ((5, 0), (20, 30), (10, -30))
        ),
        "corners": inks(draw),
        "steps": 4,
    }


def pasted(plate: Tensor, mask: Tensor, colours: Tensor) -> Tensor:
    """The plate with colours on the mask; alpha, and what is beside the mask, keep their bits."""
    return torch.cat([torch.where(mask, colours, plate[:3]), plate[3:]])


def print_of(colours: Tensor, corners: Tensor) -> Tensor:
    """What the printer makes of one picture (3, H, W)."""
    return printed(colours[None], corners)[0]


def photographs(surface: Tensor, views: Sequence[Callable[[Tensor], Tensor]]) -> Tensor:
    """One photograph of the surface from each view."""
    return torch.cat([view(surface[None]) for view in views])


def bins(draw: Draw, number: int) -> tuple[View, ...]:
    """So many places in each bin of distance and angle, all from one bin in a row."""
    return tuple(
        View("view", draw.integer(), distance=d, angle=a if draw.integer() % 2 else -a)
        for d in DISTANCES
        for a in ANGLES
        for _ in range(number)
    )


def read_as_target(case: Case, surface: Tensor, views: tuple[View, ...]) -> Tensor:
    """Where photographs of the surface are read as the target, (V,)."""
    with torch.no_grad():
        seen = photographs(surface, [view.build() for view in views])
        return case.victim.build()(seen).argmax(1) == case["target"]


def paper(case: Case, found: Tensor) -> Picture:
    """The picture of the sign before, and with the sticker as it was sent to the printer."""
    return Picture(case["plate"][:3], found[:3])


def covers_the_mask_alone(student: Student, draw: Draw) -> None:
    """Colours in [0, 1] on the mask, and all other bits of the plate as they were."""
    case = student.task.case(draw)
    found, plate, mask = student(case), case["plate"].double(), case["mask"]
    beside = (found[:3] != plate[:3]).any(0) & ~mask
    if beside.any():
        ink = (found[:3] - print_of(plate[:3], case["corners"].double())).abs().amax(0)
        if (ink[~mask] < 1e-4).all():
            told = "The sign beside the sticker has been through the printer. Only the paper is printed: torch.where(mask, ...)."
            raise Finding("sign printed", told, paper(case, found))
        told = (
            f"{int(beside.sum())} pixels outside the mask are not what they were, to the last bit. torch.where(mask, colours, "
            "plate[:3]) leaves them alone; a product with the mask may round."
        )
        raise Finding("outside the mask", told, paper(case, found))
    if not torch.equal(found[3], plate[3]):
        told = (
            "The fourth channel is changed. It is alpha, which says where the sign is, and no colour: paint the first three, and "
            "put plate[3:] behind them."
        )
        raise Finding("alpha painted", told)
    low, high = found[:3].min().item(), found[:3].max().item()
    if low < -1e-6 or high > 1 + 1e-6:
        told = f"Colours reach from {low:.2f} to {high:.2f}, and a printer takes 0 to 1. Return w.sigmoid(), not w, or clamp."
        raise Finding("box", told, paper(case, found))
    if torch.equal(found, plate):
        told = "The plate comes back as it was. Paste the colours that you have found over the mask, and return that."
        raise Finding("unchanged", told)


def sends_what_is_to_be_printed(student: Student, draw: Draw) -> None:
    """With a printer whose colours are all nearly grey, the colours that are sent are others."""
    case = student.task.case(draw)
    case = case.but(corners=0.5 + 0.01 * SCREEN)
    found = student(case)[:3, case["mask"]]
    if (found > 0.5 - 1e-4).all() and (found < 0.51 + 1e-4).all():
        told = (
            "You return colours as they come out of the printer. Return those that go in: the sticker is printed after you have "
            "handed it in, so that yours would be printed twice."
        )
        raise Finding("printed already", told)


def leaves_the_sign_unprinted(student: Student, draw: Draw) -> None:
    """By a printer without blue, another blue on the sign beside the sticker still gives another sticker."""
    case = student.task.case(draw)
    plate, beside = case["plate"], ~case["mask"] & (case["plate"][3] > 0)
    case = case.but(corners=case["corners"][::2].repeat_interleave(2, 0))
    found = []
    for blue in (0.0, 1.0):
        sign = plate.clone()
        sign[2, beside] = blue
        found.append(student(case.but(plate=sign))[:2, case["mask"]])  # of blue the printer takes no notice
    if (found[0] - found[1]).abs().max() > APART:
        return
    told = (
        "This printer has no blue: two signs that differ in their blue alone would be printed alike. But the sign is not "
        "printed, so that the photographs show the difference, and your sticker is the same on both. In your steps the sign "
        "beside the sticker goes through the printer as well, or is covered. Print the colours first, then paste: "
        "torch.where(mask, printed(colours), plate[:3])."
    )
    raise Finding("sign printed in the steps", told)


def pastes_before_the_camera(student: Student, draw: Draw) -> None:
    """Where no view shows the plate, the target makes no difference to what is on it."""
    case = student.task.case(draw)
    case = case.but(views=tuple(View("view", draw.integer(), aside=8.0) for _ in range(2)))
    found, other = (student(case.but(target=target)) for target in (1, 2))
    if (found - other).abs().max() < 1e-6:
        return
    told = (
        "Here the cameras point beside the sign, so that no sticker on it can matter, and yours depends on the target all the "
        "same: you paste it over the photograph. On the road it is on the sign, and is turned, shrunk and blurred with it: "
        "paste first, then photograph."
    )
    raise Finding("photograph pasted over", told, paper(case, found))
