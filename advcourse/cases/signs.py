"""Road signs that a network misreads: a poster over the whole plate, or stickers on a part of it (Eykholt et al. 2018).

A *plate* is a sign seen face on, (4, S, S): its colours, and alpha, which is 0 outside. A *mask* (S, S) says which of its
pixels are pasted over. Signs are named by their class, in words or by number. Nothing here belongs on a real sign.
"""

import time
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from advcourse.attacks.hyperparameters import allowed, number
from advcourse.cases.camera import Road, palette, printed
from advcourse.cases.masks import best_rectangles, covered, enlarged
from advcourse.cases.printability import log_nps, total_variation
from advcourse.core.inputs import (
    LARGEST_SEED,
    InputError,
    ask,
    check_classes,
    check_images,
    check_logits,
    check_model,
    evaluating,
)
from advcourse.core.randomness import seeded
from advcourse.data import signs

_START = 0.3  # deviation of the noise on the first pattern, in logits
# Adam's memory of the gradients' squares is short: they fall a thousandfold once the target is read, and with the usual 0.999
# the steps, and with them the penalty's effect, would end there.
_BETAS = (0.9, 0.9)
MOST_VIEWS = 10**6  # of an attack's pool; the views behind them are for measurements


def plate_of(sign: str | int, size: int = 64) -> Tensor:
    """Return the plate of a class, (4, size, size), float32: its colours, and alpha.

    Args:
        sign: a class of the set `signs`, in words or by number.
        size: pixels per side, 8 to 1024 (default 64, twice what the network sees).

    Raises:
        InputError: the class is unknown, or the size is out of range.
    """
    colours, alpha = signs.template(class_number(sign, "sign"), size)
    return torch.cat([colours, alpha[None]])


def class_number(sign: str | int, name: str = "sign") -> int:
    """Return the number of a class that is given in words or by number.

    Raises:
        InputError: there is no such class; the message calls the argument `name`.
    """
    if isinstance(sign, str) and sign in signs.CLASSES:
        return signs.CLASSES.index(sign)
    if isinstance(sign, int) and not isinstance(sign, bool) and 0 <= sign < len(signs.CLASSES):
        return sign
    known = ", ".join(signs.CLASSES)
    raise InputError(
        f"{name}: got {sign!r}; allowed are {known}, or their numbers 0 to {len(signs.CLASSES) - 1}"
    )


def paste(plate: Tensor, mask: Tensor, colours: Tensor, ink: bool = True) -> Tensor:
    """Return the plate with a pattern pasted over its mask: (1 - M) s + M P(c). Every other pixel keeps its bits.

    Args:
        plate: s, (4, S, S).
        mask: M, (S, S) bool.
        colours: c, the pattern's cells (3, h, w) in [0, 1], spread over the whole plate, each cell one block of colour.
        ink: print the pattern first (default True); False pastes c as a screen would show it.

    Returns:
        the plate (4, S, S), differentiable with respect to `colours`.
    """
    pattern = enlarged(printed(colours) if ink else colours, plate.shape[-1])
    return torch.cat([torch.where(mask, pattern, plate[:3]), plate[3:]])


def own_colours(plate: Tensor, cells: int = 32) -> Tensor:
    """Return the mean colour of the plate in each cell, (3, cells, cells); what lies outside the plate does not count."""
    rgb, alpha = plate[:3], plate[3:]
    weighted, weight = (F.adaptive_avg_pool2d(each, cells) for each in (rgb * alpha, alpha))
    return (weighted / weight.clamp_min(1e-6)).clamp(0, 1)


def share_of_plate(plate: Tensor, mask: Tensor) -> float:
    """Return the share of the plate's area that the mask covers, in [0, 1]."""
    return float((plate[3] * mask).double().sum() / plate[3].double().sum())


@dataclass(frozen=True)
class RP2Result:
    """What `RP2` made of one plate.

    Attributes:
        attack: the attack, with which the run can be repeated.
        clean: the plate before, (4, S, S).
        mask: what is pasted over, (S, S) bool.
        colours: the pattern that is sent to the printer, (3, cells, cells) in [0, 1].
        label, target: the number of the plate's class, and of the class that it is to be read as.
        losses: the loss of each step, (steps,), over the views of that step.
        seconds: of the whole run.
    """

    attack: "RP2"
    clean: Tensor
    mask: Tensor
    colours: Tensor
    label: int
    target: int
    losses: Tensor
    seconds: float

    @property
    def printed(self) -> Tensor:
        """The plate with the printed pattern on it, (4, S, S)."""
        return paste(self.clean, self.mask, self.colours)

    @property
    def on_screen(self) -> Tensor:
        """The plate with the pattern in the colours that were sent to the printer, (4, S, S)."""
        return paste(self.clean, self.mask, self.colours, ink=False)

    @property
    def area(self) -> float:
        """The share of the plate that is pasted over."""
        return share_of_plate(self.clean, self.mask)

    @property
    def rms(self) -> float:
        """The root mean square of the pattern's difference to what it covers, in units of the pixel range."""
        return rms(self.on_screen[:3] - self.clean[:3], self.mask).item()


def _fine(values):
    """Return values in a type whose numbers are fine enough for small gradients: float32 at least."""
    return values.float() if values.dtype.itemsize < 4 else values


def rms(change: Tensor, mask: Tensor) -> Tensor:
    """Return the root mean square of `change` (C, H, W) over the channels and the pixels of `mask` (H, W) bool: a scalar."""
    return change[:, mask].square().mean().clamp_min(1e-12).sqrt()


@dataclass(frozen=True)
class RP2:
    """Robust physical perturbations: a pattern that makes a road sign read as `target` from near and far and from the side.

        min_w mean_i J(f(camera_i((1 - M) s + M P(sigmoid(w)))), t) + penalty * rms(M (sigmoid(w) - s))
              + l1 * mean|M (sigmoid(w) - s)| + tv * TV(sigmoid(w)) + nps * NPS(sigmoid(w))

    by Adam, over random views camera_i of the plate s. P is the printer, M the mask, and w one logit for each channel of each
    cell. The root mean square stands for the paper's L2 norm, and the mean for its L1 norm; neither depends on the number of
    pixels. NPS is the root of degree |palette| of the non-printability score, so it has the scale of a colour difference.

    Paper: Eykholt, Evtimov, Fernandes, Li, Rahmati, Xiao, Prakash, Kohno and Song 2018, "Robust Physical-World Attacks on Deep
    Learning Visual Classification", equation 3 (arXiv 1707.08945). Poster: M is the whole plate, and the penalty keeps the
    pattern close to the sign. Stickers: as in the paper, an L1 term with the whole plate as the mask first shows where a small
    change counts most; rectangles are laid there, and the attack begins anew inside them. The paper's views are photographs of
    the real sign, and synthetic changes of them; here all are simulated. Its answer to the printer is the term NPS; here the
    printer stands inside the loop, which makes that term superfluous. `printer=False` leaves it out.

    What limits it: the network reads signs that were cut out for it. A detector, which also has to find them, is another target:
    Lu, Sibai, Fabry and Forsyth 2017, "Standard detectors aren't (currently) fooled by physical adversarial stop signs" (arXiv
    1710.03337).

    Args:
        surface: "stickers" (default) or "poster".
        area: the most that the stickers cover together, as a share of the plate (default 0.2). Without effect on a poster.
        rectangles: the number of stickers (default 2).
        printer: whether the attacker knows what the printer does to colours, and optimises through it (default True).
        road: from where the sign is photographed (default: 4 to 40 m, up to 70 degrees to both sides, ten beyond what is
            measured, since at the end of the range too few views are as oblique). Its JPEG is left out of the loop.
        pool: the number of different views (default 200); 1 optimises for a single photograph.
        batch: views in a step, drawn from the pool (default 16, or the whole pool if that is smaller).
        steps: of Adam (default None: 60, and 100 for a poster, which needs no search).
        lr: Adam's learning rate, in logits (default 0.2).
        penalty: weight of the root mean square, lambda (default None: 6 for a poster, 0 for stickers).
        l1, tv, nps: weights of the other terms (default 0).
        cells: the pattern has cells x cells colours (default 32).
        search_l1, search_steps: weight of L1 and steps of the search for the stickers' place (defaults 8 and 40).
        seed: of the start, the views and their order (default 0).

    Raises:
        InputError: a field has a value that it does not allow.

    Example:
        >>> result = RP2().run(models.load("signs-cnn"), plate_of("stop"), "stop", "no entry")
        >>> result.printed  # (4, 64, 64)
    """

    surface: Literal["stickers", "poster"] = "stickers"
    area: float = number(0.2, low=0, high=1, exclusive_low=True)
    rectangles: int = number(2, low=1)
    printer: bool = True
    road: Road = Road(angle=(-70.0, 70.0))
    pool: int = number(200, low=1, high=MOST_VIEWS)
    batch: int = number(16, low=1)
    steps: int | None = number(None, low=1)
    lr: float = number(0.2, low=0, exclusive_low=True)
    penalty: float | None = number(None, low=0)
    l1: float = number(0.0, low=0)
    tv: float = number(0.0, low=0)
    nps: float = number(0.0, low=0)
    cells: int = number(32, low=4, high=256)
    search_l1: float = number(8.0, low=0)
    search_steps: int = number(40, low=1)
    seed: int = number(0, low=0, high=LARGEST_SEED)

    def __post_init__(self):
        for name, rule in allowed(type(self)).items():
            object.__setattr__(self, name, rule.check(getattr(self, name), name))
        if not isinstance(self.road, Road):
            raise InputError(f"road: got {self.road!r}; allowed is a Road, such as Road(distance=(4, 40))")

    def __call__(
        self, model: nn.Module, plate: Tensor, y: str | int, target: str | int, mask: Tensor | None = None
    ) -> Tensor:
        """Return the plate (4, S, S) with the printed pattern on it. Arguments as for `run`."""
        return self.run(model, plate, y, target, mask).printed

    def run(
        self, model: nn.Module, plate: Tensor, y: str | int, target: str | int, mask: Tensor | None = None
    ) -> RP2Result:
        """Make a pattern for one plate.

        Args:
            model: a module from photographs (N, 3, 32, 32) in [0, 1] to logits (N, 16).
            plate: the sign, (4, S, S) in [0, 1]; `plate_of("stop")` makes one.
            y: its class, in words or by number.
            target: the class that it is to be read as.
            mask: where stickers go, (S, S) bool, instead of a search (default None); a poster takes none.

        Returns:
            an `RP2Result`.

        Raises:
            InputError: an argument breaks its contract, or the target is the sign's own class.
        """
        began = time.perf_counter()
        y, target = self._checked(model, plate, y, target)
        if mask is not None and self.surface == "poster":
            raise InputError("mask: got one for a poster, which covers the whole plate; allowed is None")
        if mask is None:
            mask = self._mask(model, plate, y, target)
        check_mask(mask, plate)
        colours, losses = self._optimise(model, plate.detach(), mask, target)
        seconds = time.perf_counter() - began
        return RP2Result(self, plate.detach().clone(), mask.clone(), colours, y, target, losses, seconds)

    def change(self, model: nn.Module, plate: Tensor, y: str | int, target: str | int) -> Tensor:
        """Return where a small change of the whole plate counts most: the mean |delta| of each cell, (cells, cells).

        It is what the L1 term leaves of a pattern over the whole plate. Arguments as for `run`.
        """
        y, target = self._checked(model, plate, y, target)
        sparse = replace(self, l1=self.search_l1, steps=self.search_steps, penalty=0.0, tv=0.0, nps=0.0)
        colours, _ = sparse._optimise(model, plate.detach(), plate[3] > 0, target)
        return (colours - own_colours(plate, self.cells)).abs().mean(0)

    def _mask(self, model, plate, y, target):
        if self.surface == "poster":
            return plate[3] > 0
        plate = plate.detach()
        change = self.change(model, plate, y, target)
        on_plate = F.adaptive_avg_pool2d(_fine(plate[3:]), self.cells)[0] > 0.999
        rectangles = best_rectangles(change, on_plate, self.area, self.rectangles)
        return enlarged(covered(rectangles, self.cells, plate.device), plate.shape[-1])

    def _optimise(self, model, plate, mask, target):
        """Return the pattern (3, cells, cells) and the losses (steps,)."""
        generator, losses = torch.Generator().manual_seed(self.seed), []
        with (
            evaluating(model),
            seeded(plate.device, self.seed),
            torch.inference_mode(False),
            torch.enable_grad(),
        ):
            plate, mask = plate.clone(), mask.clone()  # tensors of inference mode cannot be differentiated
            start = (0.9 * own_colours(_fine(plate), self.cells) + 0.05).logit()
            noise = torch.randn(start.shape, generator=generator, dtype=torch.float64)
            w = (start + _START * noise.to(start)).requires_grad_()
            optimiser = torch.optim.Adam([w], self.lr, _BETAS)
            for places in self._places(generator):
                loss = self.loss(model, plate, mask, w, target, places)
                (w.grad,) = torch.autograd.grad(loss, w)
                optimiser.step()
                losses.append(loss.detach())
        return w.detach().sigmoid().to(plate), torch.stack(losses)

    def _places(self, generator):
        """Return the views of each step, a list of tuples of indices into the pool, which is shuffled whenever it is used up."""
        batch = min(self.batch, self.pool)
        steps = self.steps if self.steps is not None else {"stickers": 60, "poster": 100}[self.surface]
        rounds = -(-steps * batch // self.pool)
        order = torch.cat([torch.randperm(self.pool, generator=generator) for _ in range(rounds)])
        return [tuple(step.tolist()) for step in order[: steps * batch].split(batch)]

    def loss(
        self, model: nn.Module, plate: Tensor, mask: Tensor, w: Tensor, target: int, places: tuple[int, ...]
    ) -> Tensor:
        """Return the objective, differentiable with respect to the logits `w` (3, cells, cells) of the pattern.

        Args:
            model, plate, mask, target: as for `run`.
            places: the views, as indices into the pool.

        The model is asked in the plate's type; all else is computed in that of `w`, which may be finer.
        """
        colours, kind, plate = w.sigmoid(), plate.dtype, plate.to(w)
        road = replace(self.road, jpeg=False)
        pasted = paste(plate, mask, colours, self.printer)[None]
        logits = check_logits(ask(model, road.photograph(pasted, places, self.seed).to(kind)))
        check_classes(torch.tensor([target]), logits.shape[1], "target")
        goal = torch.full((len(places),), target, device=logits.device)
        return F.cross_entropy(logits.to(w), goal) + self._regularised(colours, plate, mask)

    def _regularised(self, colours, plate, mask):
        """Return the sum of the objective's other terms."""
        penalty = self.penalty if self.penalty is not None else 6.0 * (self.surface == "poster")
        change = enlarged(colours, plate.shape[-1]) - plate[:3]
        inside = F.adaptive_max_pool2d(mask[None].to(plate), self.cells)[0] > 0
        total = penalty * rms(change, mask) if penalty else colours.new_zeros(())
        if self.l1:
            total = total + self.l1 * change[:, mask].abs().mean()
        if self.tv:
            total = total + self.tv * total_variation(colours, inside)
        if self.nps:
            inks = palette()
            total = total + self.nps * (log_nps(colours, inks, inside) / len(inks)).exp()
        return total

    def _checked(self, model, plate, y, target):
        """Return the numbers of the two classes."""
        check_plate(plate, self.cells)
        check_model(model, plate)
        y, target = class_number(y, "y"), class_number(target, "target")
        if y == target:
            raise InputError(f"target: got {signs.CLASSES[y]!r}, the sign's own class; allowed is any other")
        return y, target


def check_plate(plate: Tensor, least: int = 8) -> Tensor:
    """Raise `InputError` unless `plate` is a square plate (4, S, S) in [0, 1], S >= `least`, that is not wholly transparent."""
    if (
        not isinstance(plate, Tensor)
        or plate.dim() != 3
        or len(plate) != 4
        or plate.shape[1] != plate.shape[2]
    ):
        given = f"shape {tuple(plate.shape)}" if isinstance(plate, Tensor) else type(plate).__name__
        raise InputError(f'plate: got {given}; allowed is a tensor (4, S, S), such as signs.plate_of("stop")')
    check_images(plate[None], "plate")
    if plate.shape[1] < least or not (plate[3] > 0).any():
        given = f"{plate.shape[1]} pixels per side, of which {int((plate[3] > 0).sum())} belong to the plate"
        raise InputError(f"plate: got {given}; allowed is a plate of {least} pixels per side or more (cells)")
    return plate


def check_mask(mask: Tensor, plate: Tensor) -> Tensor:
    """Raise `InputError` unless `mask` (S, S) bool covers something of `plate`, and nothing outside it."""
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.shape != plate.shape[1:]:
        given = (
            f"shape {tuple(mask.shape)} and type {mask.dtype}"
            if isinstance(mask, Tensor)
            else type(mask).__name__
        )
        raise InputError(f"mask: got {given}; allowed is a tensor of bools of shape {tuple(plate.shape[1:])}")
    if mask.device != plate.device:
        raise InputError(
            f"mask: got one on {mask.device}; allowed is the device of the plate, {plate.device}"
        )
    outside = int((mask & (plate[3] == 0)).sum())
    if outside or not mask.any():
        given = f"{outside} pixels outside the plate" if outside else "no pixel"
        raise InputError(f"mask: got {given}; allowed are pixels of the plate, at least one")
    return mask
