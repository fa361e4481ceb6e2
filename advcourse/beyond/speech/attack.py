"""Targeted attacks on nets that hear: as quiet as can be (`CWAudio`), or of a given loudness and through rooms (`RoomEOT`)."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from advcourse.attacks import Attack, AttackResult
from advcourse.attacks.hyperparameters import number
from advcourse.attacks.noise import Noise
from advcourse.beyond.speech.rooms import Room, decibels
from advcourse.core.inputs import LARGEST_SEED, InputError

_FRESH = 2**31  # number of the draw by which success in a room is judged, which no step uses


class _Adam:
    """Adam's direction for each sample of the sounds (Kingma and Ba, arXiv 1412.6980), to be scaled by each sound's own step."""

    def __init__(self, like):
        self.mean, self.square, self.count = torch.zeros_like(like), torch.zeros_like(like), 0

    def direction(self, gradient):
        self.count += 1
        self.mean = 0.9 * self.mean + 0.1 * gradient
        self.square = 0.999 * self.square + 0.001 * gradient.square()
        root = (self.square / (1 - 0.999**self.count)).sqrt()
        return self.mean / (1 - 0.9**self.count) / root.clamp_min(torch.finfo(root.dtype).tiny ** 0.5)


def _bound(x, level):
    """Return the bound of each sound, (N, 1, 1, 1) in units of the image, that is `level` dB beside its peak."""
    if x.shape[1:3] != (1, 1):
        raise InputError(f"x: got images of shape {tuple(x.shape[1:])}; allowed are sounds (N, 1, 1, L)")
    peak = (x - 0.5).abs().amax((1, 2, 3), keepdim=True)  # half of the wave's, as every distance in the image
    return peak * 10 ** (level / 20)


class _Targeted(Attack):
    """Base class: targeted attacks on sounds, measured in dB_x."""

    norm: ClassVar[str] = "dB"
    targeted: ClassVar[bool] = True

    def size(self, result: AttackResult) -> Tensor:
        """Return how loud each change is beside its sound, dB_x, (N,)."""
        return decibels(result.clean, result.images)


@dataclass(frozen=True)
class CWAudio(_Targeted):
    """Carlini and Wagner's attack on sound: reach the target inside a bound, and lower the bound after each success.

        minimise Z_best other - Z_target over |delta| <= tau;  after a success tau <- decrease * min(tau, max |delta|)

    Paper: Carlini and Wagner 2018, "Audio Adversarial Examples: Targeted Attacks on Speech-to-Text" (arXiv 1801.01944), section
    III.B. Their loss is that of a transcript, CTC; here it is the margin of a class. Norm: dB_x, minimised; each sound has its
    own tau. The last success is returned; a sound on which the attack fails comes back clean and is flagged, and so does
    silence, beside which nothing is quiet: no change has -inf dB.

    Args:
        start: the first bound, in dB beside the sound's peak (default -20).
        steps: of Adam (default 100).
        lr: length of a step, as a share of tau (default 0.1).
        decrease: of tau after a success, from 0.01 to 0.99 (default 0.8).

    Example:
        >>> result = CWAudio().run(model, x, y, target)
        >>> result.size.median()  # dB
    """

    start: float = number(-20.0, high=0)
    steps: int = number(100, low=1)
    lr: float = number(0.1, low=1e-6)
    decrease: float = number(0.8, low=0.01, high=0.99)
    kind: ClassVar[str] = "minimum-norm"

    def _perturb(self, victim, x, y, target, noise):
        tau, change, adam = _bound(x, self.start), torch.zeros_like(x), _Adam(x)
        best = x.clone()
        for step in range(self.steps + 1):
            images = (x + change).clamp(0, 1).requires_grad_()
            lead = victim.distance_to_success(victim(images), target, -1)
            won = (lead < 0).view(-1, 1, 1, 1)
            best = torch.where(won, images.detach(), best)
            if step == self.steps:
                break
            largest = change.abs().amax((1, 2, 3), keepdim=True)
            tau = torch.where(won, self.decrease * torch.minimum(tau, largest), tau)
            change = change - self.lr * tau * adam.direction(victim.gradient(lead, images))
            change = change.clamp(-tau, tau)
        return best, torch.full_like(y, self.steps), {"tau": tau.flatten()}


@dataclass(frozen=True)
class RoomEOT(_Targeted):
    """A targeted change of a given loudness that is heard through rooms: expectation over transformation, for sound.

        minimise E_room [Z_best other - Z_target] over |delta| <= tau, where tau is `level` dB beside the sound's peak

    Papers: Athalye, Engstrom, Ilyas and Kwok 2018 (arXiv 1707.07397) for the expectation; Qin et al. 2019, "Imperceptible, Robust
    and Targeted Adversarial Examples for Automatic Speech Recognition" (arXiv 1903.10346), section 5, for rooms. Each step takes
    the mean over `draws` rooms. The change with the lowest running mean of the loss is returned: one step can be low because its
    rooms happened to be kind. Success is judged in one fresh room for each sound.

    Args:
        level: loudness of the change, in dB beside the sound's peak (default -28).
        steps: of Adam (default 60).
        lr: length of a step, as a share of tau (default 0.1).
        room: the rooms (default `Room()`); None makes the change without any, and judges it in `Room()`.
        draws: rooms at each step (default 6).
        seed: of the rooms (default 0).

    Details:
        running: (N,), the running mean of the loss of the change that is returned, in logits: below 0 it mostly succeeds.

    Example:
        >>> result = RoomEOT(level=-28).run(model, x, y, target)
        >>> share_heard(model, result.images, target, Room(), seed=1).mean()
    """

    level: float = number(-28.0, high=0)
    steps: int = number(60, low=1)
    lr: float = number(0.1, low=1e-6)
    room: Room | None = field(default_factory=Room)
    draws: int = number(6, low=1)
    seed: int = number(0, low=0, high=LARGEST_SEED)
    kind: ClassVar[str] = "budgeted"
    channel: ClassVar[str] = "physical"

    def __post_init__(self):
        super().__post_init__()
        if self.room is not None and not isinstance(self.room, Room):
            raise InputError(f"room: got {self.room!r}; allowed is a Room, or None")

    def _budget(self):
        return self.level

    def as_read(self, images: Tensor, first: int = 0) -> Tensor:
        """Return the sounds as they are heard in a fresh room each."""
        return (self.room or Room()).heard(images, Noise(self.seed, first), _FRESH)

    def _perturb(self, victim, x, y, target, noise):
        tau, change, adam = _bound(x, self.level), torch.zeros_like(x), _Adam(x)
        best, running, lowest = x.clone(), None, x.new_full((len(x),), torch.inf)
        for step in range(self.steps + 1):
            images = (x + change).clamp(0, 1).requires_grad_()
            lead, gradient = self._expected(victim, images, target, noise, step)
            running = lead if running is None else 0.8 * running + 0.2 * lead
            lower = running < lowest
            best = torch.where(lower.view(-1, 1, 1, 1), images.detach(), best)
            lowest = torch.where(lower, running, lowest)
            change = (change - self.lr * tau * adam.direction(gradient)).clamp(-tau, tau)
        return best, torch.full_like(y, self.steps), {"running": lowest}

    def _expected(self, victim, images, target, noise, step):
        """Return the loss (N,) and its gradient (N, 1, 1, L), means over the rooms of one step."""
        draws = self.draws if self.room is not None else 1
        leads, gradients = [], []
        for i in range(draws):
            heard = images if self.room is None else self.room.heard(images, noise, step * draws + i)
            lead = victim.distance_to_success(victim(heard), target, -1)
            gradients.append(victim.gradient(lead, images))
            leads.append(lead.detach())
        return torch.stack(leads).mean(0), torch.stack(gradients).mean(0)
