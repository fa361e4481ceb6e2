"""Eyeglass frames that fool a face recogniser, after Sharif et al. 2016, "Accessorize to a crime" (CCS 2016).

Two goals: dodging (to be read as anybody else) and impersonation (to be read as one chosen person). The frames are printed, sit a
little differently in every photograph, and turn with the head; only their colours are free:

    min_r  1/n sum_i J(f(x_i with P(r)))  +  a TV(r)  +  b NPS(r),       P the printer.

    >>> frame = FrameAttack().run(model, album("Sidney"))
    >>> measure(model, album("Sidney", n=40, seed=11), frame.colours).dodged

All the people are drawn by this package and do not exist.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from advcourse.attacks.hyperparameters import allowed, number
from advcourse.cases.printability import isotropic_variation, mean_log_nps
from advcourse.cases.printer import printed
from advcourse.core.inputs import (
    InputError,
    ask,
    check_images,
    check_model,
    check_range,
    check_seed,
    evaluating,
    predict,
)
from advcourse.core.intervals import Interval, counted
from advcourse.data import faces, glasses
from advcourse.data.face_shapes import Traits
from advcourse.data.heads import index_of

# The five plain frames that an attack may start from.
SOLID = {
    "brown": (0.40, 0.26, 0.13),
    "grey": (0.50, 0.50, 0.50),
    "red": (0.85, 0.15, 0.15),
    "blue": (0.15, 0.30, 0.80),
    "yellow": (0.90, 0.80, 0.20),
}
SHORT = 30  # steps that decide between the people to be impersonated


@dataclass(frozen=True)
class Album:
    """Photographs of one person, without glasses, and how each was taken, so that glasses can be put on.

    person: index in `faces.CLASSES`. images: (N, 3, 64, 64). view: the circumstances, see `face_scenes.CIRCUMSTANCES`.
    """

    person: int
    images: Tensor
    view: Traits

    def __len__(self) -> int:
        return len(self.images)

    def fitted(self, seed: int, times: int = 1) -> glasses.Fitting:
        """Put glasses on in every photograph, `times` times, each time sitting a little differently: (times * N)."""
        rows = torch.arange(len(self)).repeat(times)
        moved = glasses.slips(len(rows), torch.Generator().manual_seed(check_seed(seed)))
        who = faces.chosen(faces.people(), torch.full_like(rows, self.person))
        return glasses.fit_glasses(who, faces.chosen(self.view, rows), moved=moved).to(self.images)


def album(person: int | str, split: str = "train", n: int | None = None, seed: int = 0) -> Album:
    """Return photographs of one person.

    Args:
        person: name or index in `faces.CLASSES`.
        split: whose shipped photographs: "train" (default, 30) or "test" (12); not used if n is given.
        n: draw so many new ones instead, 1 to 100 000 (default None). Half a second for 20.
        seed: of the new ones; those of `faces.SPLITS` give shipped circumstances again, on other people (default 0).

    Raises:
        InputError: an unknown person or split, or n or seed out of range.
    """
    number_of = index_of(person)
    if n is None:
        shipped = faces.load(split)
        rows = (shipped.labels == number_of).nonzero()[:, 0]
        view = faces.chosen(faces.circumstances(*faces.SPLITS[split]), rows)
        return Album(number_of, shipped.images[rows], view)
    check_range(n, "n", 1, 100_000, integer=True)
    images, _ = faces.render(n, seed, number_of)
    return Album(number_of, images, faces.circumstances(n, seed))


class Frame(NamedTuple):
    """What `FrameAttack` found.

    colours: the sheet to be printed, (3, 16, 88). source, target: numbers of the people; target None for dodging. start: name of
    the plain frame it began with. losses: mean loss of each step's photographs. kept: share of the single colour steps that were
    not dropped. tv, nps: see `printability.isotropic_variation` and `printability.mean_log_nps`.
    """

    colours: Tensor
    source: int
    target: int | None
    start: str
    losses: tuple[float, ...]
    kept: float
    tv: float
    nps: float


class Measured(NamedTuple):
    """How photographs with a frame are read: shares read as anybody else, and as the target (None for no target)."""

    dodged: Interval
    impersonated: Interval | None


def gathered(memory: Tensor, slopes: Tensor, momentum: float) -> Tensor:
    """Return momentum * memory + slopes / max |slopes|, image by image: (N, ...); a slope of zero adds nothing."""
    largest = slopes.flatten(1).abs().amax(1).reshape(-1, *[1] * (slopes.dim() - 1))
    return momentum * memory + torch.where(largest > 0, slopes / largest.clamp(min=1e-30), 0.0)


def stepped(colours: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """Return colours - step where that stays in [0, 1], else the colours as they are; and where the step was taken."""
    moved = colours - step
    taken = (moved >= 0) & (moved <= 1)
    return torch.where(taken, moved, colours), taken


def deficit(logits: Tensor, source: int, target: int | None, floor: float) -> Tensor:
    """Return how far each image (N,) is from the goal, in logits: negative once it is reached, never below -floor.

    Dodging: the lead of the source over everybody else. Impersonation: the lead of the strongest other over the target. Without
    the floor, photographs that are won already would be pushed on for ever, at the cost of the others.
    """
    goal = source if target is None else target
    one, others = logits[:, goal], logits.clone()
    others[:, goal] = -torch.inf
    lead = one - others.amax(1)
    return (lead if target is None else -lead).clamp(min=-floor)


@dataclass(frozen=True)
class FrameAttack:
    """Find the colours of an eyeglass frame, see the module's text. `run` returns a `Frame`.

    Every step: `batch` photographs, frames moved and printed; slope of the deficit per image, divided by its largest value,
    gathered with momentum per image, averaged; the slopes of TV and NPS, scaled to a share of its mean size; then one step, of
    which those parts are dropped, not clipped, that would leave [0, 1].

    Args:
        steps: at least 1 (default 200; the released code's 300).
        alpha: step in colour range (default 20 / 255).
        momentum: of each image's slope (default 0.4).
        tv, nps: size of these slopes relative to the attack's (default 1 / 3 each).
        floor: logits beyond which a photograph counts as won (default 3).
        batch: photographs in each step (default 20).
        sittings: how many ways each photograph's glasses sit (default 8).
        seed: of movements and order.

    Raises:
        InputError: a number out of range.
    """

    steps: int = number(200, low=1)
    alpha: float = number(20 / 255, low=0, exclusive_low=True)
    momentum: float = number(0.4, low=0, high=1)
    tv: float = number(1 / 3, low=0)
    nps: float = number(1 / 3, low=0)
    floor: float = number(3.0, low=0)
    batch: int = number(20, low=1)
    sittings: int = number(8, low=1)
    seed: int = number(0, low=0)

    def __post_init__(self):
        for name, field in allowed(type(self)).items():
            object.__setattr__(self, name, field.check(getattr(self, name), name))

    def run(
        self,
        model: nn.Module,
        photographs: Album,
        target: int | str | None = None,
        cells: Tensor | None = None,
    ) -> Frame:
        """Return the frame for the person on `photographs`, to be read as `target`, or as anybody else if it is None.

        Args:
            model: photographs (N, 3, 64, 64) in [0, 1] to logits (N, 40).
            photographs: of one person, to learn from.
            target: name or index of another person; None (default) for dodging.
            cells: which of the sheet's cells may change, (16, 88), True or False (default: those of the frame).

        Raises:
            InputError: an unknown target, or the person themselves; no photograph; no cell.
        """
        check_model(model, _checked_album(photographs).images)
        target = _checked_target(target, photographs)
        cells = _checked_cells(cells)
        with evaluating(model):
            return self._searched(model, photographs, target, cells.to(photographs.images.device))

    def _searched(self, model, photographs, target, cells):
        x = photographs.images.repeat(self.sittings, 1, 1, 1)
        fitting = photographs.fitted(self.seed, self.sittings)
        start, colours = self._start(model, x, fitting, photographs.person, target)
        memory, losses, taken = x.new_zeros(len(x), *colours.shape), [], 0.0
        for rows in self._batches(len(x)):
            slopes, loss = self._slopes(
                model, x[rows], fitting.part(rows), colours, photographs.person, target
            )
            memory[rows] = gathered(memory[rows], slopes, self.momentum)
            step = memory[rows].mean(0)
            step = (
                step
                + _share(isotropic_variation, colours, cells, step, self.tv)
                + _share(mean_log_nps, colours, cells, step, self.nps)
            )
            colours, moved = stepped(colours, self.alpha * step * cells)
            losses.append(loss)
            taken += (moved & cells).sum().item() / (3 * cells.sum().item() * self.steps)
        rough, unprintable = isotropic_variation(colours, cells).item(), mean_log_nps(colours, cells).item()
        return Frame(colours, photographs.person, target, start, tuple(losses), taken, rough, unprintable)

    def _start(self, model, x, fitting, source, target):
        """The plain frame with the smallest mean deficit, and its name."""
        plain = {name: plain_frame(name).to(x) for name in SOLID}
        with torch.no_grad():
            losses = {
                name: deficit(
                    ask(model, glasses.wear(x, fitting, printed(sheet))), source, target, self.floor
                )
                .mean()
                .item()
                for name, sheet in plain.items()
            }
        best = min(losses, key=losses.get)
        return best, plain[best]

    def _batches(self, n):
        """The photographs of each step: a random order of all, then another, without a photograph twice in a step."""
        generator, size = torch.Generator().manual_seed(self.seed), min(self.batch, n)
        for step in range(self.steps):
            place = step % (n // size)
            if place == 0:
                order = torch.randperm(n, generator=generator)
            yield order[place * size : (place + 1) * size]

    def _slopes(self, model, x, fitting, colours, source, target):
        """The deficit's slope with respect to each photograph's own sheet, (n, 3, ROWS, COLUMNS), and the mean deficit."""
        sheets = colours.expand(len(x), -1, -1, -1).clone().requires_grad_()
        worn = glasses.wear(x, fitting, printed(sheets))
        losses = deficit(ask(model, worn), source, target, self.floor)
        (slopes,) = torch.autograd.grad(losses.sum(), sheets)
        return slopes, losses.mean().item()


def _share(score, colours, cells, step, share):
    """The slope of a score of the sheet, scaled so that its mean size is `share` of the attack's step."""
    if not share:
        return 0.0
    given = colours.clone().requires_grad_()
    (slope,) = torch.autograd.grad(score(given, cells), given)
    size = (slope * cells).abs().sum()
    return slope * (share * (step * cells).abs().sum() / size) if size > 0 else 0.0


def _checked_album(photographs):
    """Raise `InputError` unless these are photographs that glasses can be put on."""
    if not isinstance(photographs, Album):
        raise InputError(f"photographs: got {type(photographs).__name__}; allowed is an Album: album('Kim')")
    check_images(photographs.images, "photographs.images")
    index_of(photographs.person, "photographs.person")
    if not len(photographs):
        raise InputError("photographs: got none; allowed is at least one, such as album('Kim')")
    shape, views = tuple(photographs.images.shape[1:]), {len(each) for each in photographs.view.values()}
    if shape != (3, faces.SIZE, faces.SIZE) or views != {len(photographs)}:
        raise InputError(
            f"photographs: got {len(photographs)} images {shape} and circumstances of {sorted(views)}; allowed are images "
            f"(3, {faces.SIZE}, {faces.SIZE}), and the circumstances of each"
        )
    return photographs


def _checked_sheet(sheet):
    shape = 3, glasses.ROWS, glasses.COLUMNS
    if not isinstance(sheet, Tensor) or sheet.shape != shape:
        given = f"shape {tuple(sheet.shape)}" if isinstance(sheet, Tensor) else type(sheet).__name__
        raise InputError(f"sheet: got {given}; allowed are colours {shape}, or None")
    check_images(sheet[None], "sheet")
    return sheet


def _checked_target(target, photographs):
    if target is None:
        return None
    number_of = index_of(target, "target")
    if number_of == photographs.person:
        raise InputError(
            f"target: got {faces.CLASSES[number_of]!r}, who is on the photographs; allowed is anybody else, or None to dodge"
        )
    return number_of


def _checked_cells(cells):
    frame = glasses.cells()
    cells = frame if cells is None else cells
    if not isinstance(cells, torch.Tensor) or cells.dtype != torch.bool or cells.shape != frame.shape:
        raise InputError(
            f"cells: allowed is a bool tensor of shape {tuple(frame.shape)}, as of data.glasses.cells()"
        )
    if not (cells & frame).any():
        raise InputError(
            "cells: got no cell of the frame; allowed is a mask with at least one, as of data.glasses.cells()"
        )
    return cells & frame


def plain_frame(colour: str) -> Tensor:
    """Return a sheet (3, 16, 88) of one of the colours of `SOLID`, or "black"."""
    known = SOLID | {"black": (0.0, 0.0, 0.0)}
    if colour not in known:
        raise InputError(f"colour: got {colour!r}; allowed are {', '.join(map(repr, known))}")
    return torch.tensor(known[colour])[:, None, None].expand(3, glasses.ROWS, glasses.COLUMNS).clone()


def random_frame(seed: int = 0) -> Tensor:
    """Return a sheet (3, 16, 88) of independent, uniformly drawn cells."""
    generator = torch.Generator().manual_seed(check_seed(seed))
    return torch.rand(3, glasses.ROWS, glasses.COLUMNS, generator=generator)


def controls(frame: Frame, seed: int = 0) -> dict[str, Tensor | None]:
    """Return the sheets that a frame must be compared with: none, the plain one it began with, random cells, black."""
    return {
        "bare": None,
        f"plain {frame.start}": plain_frame(frame.start),
        "random cells": random_frame(seed),
        "black": plain_frame("black"),
    }


def worn(photographs: Album, sheet: Tensor | None, seed: int = 0) -> Tensor:
    """Return the photographs with a sheet printed and worn, (N, 3, 64, 64), sitting as `seed` says; None: without glasses."""
    _checked_album(photographs)
    if sheet is None:
        return photographs.images.clone()
    sheet = _checked_sheet(sheet).to(photographs.images)
    return glasses.wear(photographs.images, photographs.fitted(seed), printed(sheet))


def measure(
    model: nn.Module, photographs: Album, sheet: Tensor | None, target: int | str | None = None, seed: int = 0
) -> Measured:
    """Measure how often photographs are read as somebody else, and as `target`, with Wilson's intervals.

    Args:
        model: photographs (N, 3, 64, 64) to logits (N, 40).
        photographs: of one person; those that no attack and no training saw, such as `album("Kim", n=40, seed=11)`.
        sheet: the frame, which is printed, (3, 16, 88); None for no glasses.
        target: name or index; None (default) for dodging alone.
        seed: of how the glasses sit.
    """
    target = _checked_target(target, _checked_album(photographs))
    read = predict(model, worn(photographs, sheet, seed)).argmax(1)
    n = len(photographs)
    return Measured(
        counted(int((read != photographs.person).sum()), n),
        None if target is None else counted(int((read == target).sum()), n),
    )


def nearest(
    model: nn.Module, photographs: Album, attack: FrameAttack | None = None, candidates: int = 3
) -> int:
    """Choose whom to impersonate, on the photographs to learn from alone.

    Among the people with the largest mean logits on them, the one whom a short attack comes closest to.

    Args:
        attack: whose settings the short attacks take (default `FrameAttack()`); they have 30 steps.
        candidates: how many are tried, at least 1 (default 3).
    """
    check_range(candidates, "candidates", 1, len(faces.CLASSES) - 1, integer=True)
    attack = FrameAttack() if attack is None else attack
    mean = predict(model, _checked_album(photographs).images).mean(0)
    mean[photographs.person] = -torch.inf
    short = FrameAttack(**{**vars(attack), "steps": SHORT})
    tried = {
        int(who): short.run(model, photographs, int(who)).losses[-10:]
        for who in mean.topk(candidates).indices
    }
    return min(tried, key=lambda who: sum(tried[who]))


def area(photographs: Album, seed: int = 0) -> float:
    """Return the mean share of the picture that the frame covers, in [0, 1]."""
    return _checked_album(photographs).fitted(seed).cover.mean().item()
