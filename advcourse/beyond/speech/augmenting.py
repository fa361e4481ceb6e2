"""Sounds at random places and of random loudness, for the training of nets that hear."""

import torch
from torch import Tensor

from advcourse.beyond.speech.rooms import check_sounds
from advcourse.core.inputs import InputError, check_range


def shaken(x: Tensor, generator: torch.Generator, reach: int = 1000, loudest_noise: float = 0.01) -> Tensor:
    """Return sounds (N, 1, 1, L) moved in time, softer or louder, and with a little noise: an augmentation for `training.fit`.

    Args:
        x: the sounds, in [0, 1].
        generator: of the draws, on the CPU.
        reach: how far a sound moves at most, in samples; what leaves at one end comes back at the other (default 1000).
        loudest_noise: the largest deviation of the noise, in waves in [-1, 1] (default 0.01).

    Raises:
        InputError: `x` are no sounds, or an argument is out of range.
    """
    check_sounds(x)
    if not isinstance(generator, torch.Generator):
        raise InputError(f"generator: got {generator!r}; allowed is a torch.Generator on the CPU")
    reach = check_range(reach, "reach", 0, integer=True)
    loudest_noise = check_range(loudest_noise, "loudest_noise", 0)
    n, length = len(x), x.shape[-1]
    moves = torch.randint(-reach, reach + 1, (n, 1), generator=generator)
    gain = 0.4 + 0.8 * torch.rand(n, 1, generator=generator)
    noise = (
        torch.randn(n, length, generator=generator) * loudest_noise * torch.rand(n, 1, generator=generator)
    )
    wave = (x.flatten(1) * 2 - 1).gather(1, (torch.arange(length) - moves).remainder(length).to(x.device))
    wave = wave * gain.to(x) + noise.to(x)
    return ((wave + 1) / 2).clamp(0, 1).view_as(x)
