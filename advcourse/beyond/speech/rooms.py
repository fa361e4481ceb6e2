"""What happens to a sound on its way: rooms between loudspeaker and microphone, mu-law, smoothing. And how loud a change is."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from advcourse.attacks.noise import Noise
from advcourse.core.inputs import (
    InputError,
    check_batch,
    check_field,
    check_images,
    check_labels,
    check_range,
    check_seed,
    predict,
)
from advcourse.data.spoken import RATE, as_images, decode, encode, waves_of
from advcourse.data.transformations import Transformation


@dataclass(frozen=True)
class Room:
    """Random rooms that a sound is played in: loudness, delay, echo, and noise of the microphone, drawn for each sound.

    The wave w becomes g (w moved by d samples) * h + n, where h is 1 followed by a random echo that falls by 60 dB within T, and
    n is normal noise. It is differentiable, as expectation over transformation needs: Athalye et al. 2018, arXiv 1707.07397.

    Args:
        quietest: g is uniform from here to 1 (default 0.5).
        delay: d is uniform up to this many milliseconds to either side (default 25).
        shortest, longest: T is uniform between these, in milliseconds (defaults 50 and 200).
        echo: energy of the echo, as a share of the direct sound's (default 0.3).
        noise: how much quieter than the sound the noise is, in dB (default 25).
    """

    quietest: float = 0.5
    delay: float = 25.0
    shortest: float = 50.0
    longest: float = 200.0
    echo: float = 0.3
    noise: float = 25.0

    def __post_init__(self):
        check_field(self, "quietest", 0, 1, exclusive_low=True)
        check_field(self, "delay", 0)
        check_field(self, "shortest", 1)
        check_field(self, "longest", self.shortest)
        check_field(self, "echo", 0)
        check_field(self, "noise")

    def heard(self, x: Tensor, draws: Noise, stream: int = 0) -> Tensor:
        """Return sounds (N, 1, 1, L) in [0, 1] as they are heard, each in a room of its own, with a graph if `x` has one.

        Args:
            x: the sounds.
            draws: where the random numbers come from, such as `Noise(seed)`.
            stream: number of the draw: each gives other rooms (default 0).

        Raises:
            InputError: `x` are no sounds, or `draws` or `stream` is something else.
        """
        if not isinstance(draws, Noise):
            raise InputError(f"draws: got {draws!r}; allowed is a Noise, such as Noise(seed)")
        check_batch(x), check_range(stream, "stream", 0, integer=True)
        if x.shape[1:3] != (1, 1):
            raise InputError(f"x: got shape {tuple(x.shape)}; allowed are sounds (N, 1, 1, L)")
        if not len(x):
            return x.clone()
        if x.dtype.itemsize < 4:  # no Fourier transform on the CPU
            return self.heard(x.float(), draws, stream).to(x.dtype)
        wave, n = waves_of(x), len(x)
        gain, move, decay = draws.uniform(x.new_zeros(n, 3), 3 * stream).unbind(1)
        reach = round(self.delay * RATE / 1000)
        moves = ((2 * move - 1) * reach).round().long()
        places = torch.arange(wave.shape[1], device=x.device) - moves[:, None]
        there = (places >= 0) & (places < wave.shape[1])
        wave = wave.gather(1, places.clamp(0, wave.shape[1] - 1)) * there
        heard = self._echoed(wave, decay, draws.normal(x.new_zeros(n, self._tail), 3 * stream + 1))
        heard = heard * (self.quietest + (1 - self.quietest) * gain)[:, None]
        loudness = heard.detach().square().mean(1, keepdim=True).sqrt() * 10 ** (-self.noise / 20)
        heard = heard + loudness * draws.normal(x.new_zeros(wave.shape), 3 * stream + 2)
        return as_images(heard)

    @property
    def _tail(self):
        """How many samples an echo lasts."""
        return round(self.longest * RATE / 1000)

    def _echoed(self, wave, decay, random):
        """Return the waves with an echo; decay, in [0, 1), says how long it is, `random` (N, tail) how it sounds."""
        seconds = (self.shortest + (self.longest - self.shortest) * decay[:, None]) / 1000
        time = torch.arange(1, self._tail + 1, device=wave.device) / RATE
        tail = random * torch.exp(-6.9078 * time / seconds)  # e^-6.9078 is -60 dB
        tail = tail * (self.echo**0.5 / tail.square().sum(1, keepdim=True).sqrt().clamp_min(1e-12))
        impulse = torch.cat([torch.ones_like(tail[:, :1]), tail], 1)
        size = wave.shape[1] + self._tail
        spectrum = torch.fft.rfft(wave, n=size) * torch.fft.rfft(impulse, n=size)
        return torch.fft.irfft(spectrum, n=size)[:, : wave.shape[1]]


@dataclass(frozen=True)
class Smoothing(Transformation):
    """The mean of each sample and its neighbours: the simplest filter that takes out high frequencies.

    Args:
        taps: how many samples are averaged, an odd number (default 3).
    """

    taps: int = 3
    _words: ClassVar[str] = "mean of {0.taps} samples"

    def __post_init__(self):
        check_field(self, "taps", 1, integer=True)
        if self.taps % 2 == 0:
            raise InputError(f"taps: got {self.taps}; allowed are odd numbers from 1")

    def _change(self, x, first):
        reach = self.taps // 2
        wide = F.pad(x.flatten(1)[:, None], (reach, reach), mode="replicate")
        return F.avg_pool1d(wide, self.taps, stride=1).view_as(x)


@dataclass(frozen=True)
class Telephone(Transformation):
    """8-bit mu-law, as telephones send it and `spoken` is stored: fine for soft samples, coarse for loud ones."""

    _words: ClassVar[str] = "8-bit mu-law"

    def _change(self, x, first):
        return as_images(decode(encode(waves_of(x)))).to(x)


def decibels(clean: Tensor, images: Tensor) -> Tensor:
    """Return how loud a change is beside the sound, dB_x(delta) = 20 log10(max |delta| / max |w|), (N,), float64.

    No change has -inf dB, also beside silence; any change of silence is infinitely louder than that, inf.

    Source: Carlini and Wagner 2018, "Audio Adversarial Examples" (arXiv 1801.01944), section II.D. It compares peaks: -20 is a
    change whose largest sample is a tenth of the sound's.

    Args:
        clean, images: the sounds (N, 1, 1, L) before and after, in [0, 1].
    """
    _check_pair(clean, images)
    change = (waves_of(images).double() - waves_of(clean).double()).abs().amax(1)
    return _in_decibels(20, change, waves_of(clean).double().abs().amax(1))


def signal_to_noise(clean: Tensor, images: Tensor) -> Tensor:
    """Return the energy of the sounds over that of the change, in dB, (N,), float64. Arguments as for `decibels`.

    No change has a ratio of inf, also beside silence; any change of silence one of -inf.
    """
    _check_pair(clean, images)
    wave = waves_of(clean).double()
    change = waves_of(images).double() - wave
    return -_in_decibels(10, change.square().sum(1), wave.square().sum(1))


def _in_decibels(factor, change, sound):
    """Return factor * log10(change / sound), -inf for no change at all: (N,)."""
    return torch.where(change > 0, factor * (change / sound).log10(), -torch.inf)


def equal_noise(clean: Tensor, images: Tensor, seed: int = 0) -> Tensor:
    """Return the clean sounds with normal noise of the same energy as the change from `clean` to `images`: the control.

    Arguments as for `decibels`. A sound's noise depends on the seed (default 0) and its place alone.
    """
    _check_pair(clean, images)
    change = (images - clean).flatten(1)
    noise = Noise(check_seed(seed)).normal(change)
    noise = noise * (change.norm(dim=1) / noise.norm(dim=1).clamp_min(1e-12))[:, None]
    return (clean + noise.view_as(clean)).clamp(0, 1)


def check_sounds(x: Tensor, name: str = "x") -> Tensor:
    """Return `x`; `InputError` unless it is a batch of sounds (N, 1, 1, L) in [0, 1]."""
    if check_images(x, name).shape[1:3] != (1, 1):
        raise InputError(f"{name}: got shape {tuple(x.shape)}; allowed are sounds (N, 1, 1, L)")
    return x


def _check_pair(clean, images):
    check_sounds(clean, "clean")
    if check_images(images, "images").shape != clean.shape:
        raise InputError(
            f"images: got shape {tuple(images.shape)} beside {tuple(clean.shape)}; allowed are two batches of sounds (N, 1, 1, L)"
        )


def share_heard(
    model: nn.Module, x: Tensor, label: Tensor, room: Room, draws: int = 20, seed: int = 0
) -> Tensor:
    """Return in what share of fresh rooms the model reads each sound as `label`, float64 (N,).

    Args:
        model: from sounds (N, 1, 1, L) to logits (N, K).
        x: the sounds.
        label: (N,), the true labels, or an attack's targets.
        room: the rooms.
        draws: how many of them (default 20).
        seed: of the rooms (default 0); take another one than the attack's.

    Raises:
        InputError: `x` are not sounds, `label` is not one for each, `room` is no `Room`, or an argument is out of range.
    """
    label = check_labels(label, check_sounds(x), "label")
    if not isinstance(room, Room):
        raise InputError(f"room: got {room!r}; allowed is a Room, such as Room()")
    draws = check_range(draws, "draws", 1, integer=True)
    noise = Noise(check_seed(seed))
    with torch.no_grad():
        right = [predict(model, room.heard(x, noise, i)).argmax(1) == label for i in range(draws)]
    return torch.stack(right).double().mean(0)
