"""Sounds at random places and of random loudness, for the training of nets that hear."""

import torch
from torch import Tensor


def shaken(x: Tensor, generator: torch.Generator, reach: int = 1000, loudest_noise: float = 0.01) -> Tensor:
    """Return sounds (N, 1, 1, L) moved in time, softer or louder, and with a little noise: an augmentation for `training.fit`.

    Args:
        x: the sounds, in [0, 1].
        generator: of the draws, on the CPU.
        reach: how far a sound moves at most, in samples; what leaves at one end comes back at the other (default 1000).
        loudest_noise: the largest deviation of the noise, in waves in [-1, 1] (default 0.01).
    """
    n, length = len(x), x.shape[-1]
    moves = torch.randint(-reach, reach + 1, (n, 1), generator=generator)
    gain = 0.4 + 0.8 * torch.rand(n, 1, generator=generator)
    noise = (
        torch.randn(n, length, generator=generator) * loudest_noise * torch.rand(n, 1, generator=generator)
    )
    wave = (x.flatten(1) * 2 - 1).gather(1, (torch.arange(length) - moves).remainder(length).to(x.device))
    wave = wave * gain.to(x) + noise.to(x)
    return ((wave + 1) / 2).clamp(0, 1).view_as(x)
