"""Random numbers that depend only on the seed and on an image's index in the batch."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_BLOCK = 16  # images that share one generator


@dataclass(frozen=True)
class Noise:
    """Random numbers for the images from index `first` on: the same on every device, and however the batch is split.

    Args:
        seed: the attack's seed.
        first: index of the first image in the whole batch (default 0).
    """

    seed: int
    first: int = 0

    def uniform(self, x: Tensor, stream: int = 0) -> Tensor:
        """Draw uniformly from [0, 1).

        Args:
            x: (N, ...), whose shape, device and type the result gets.
            stream: number of the stream (default 0). Different streams are independent, for example the restarts of an attack.

        Returns:
            a tensor like `x`.
        """
        return self._draw(torch.rand, x, stream)

    def normal(self, x: Tensor, stream: int = 0) -> Tensor:
        """Draw from the standard normal distribution. Arguments and result as for `uniform`."""
        return self._draw(torch.randn, x, stream)

    def _draw(self, distribution, x, stream):
        if not len(x):
            return torch.zeros_like(x)
        first_block, last_block = self.first // _BLOCK, (self.first + len(x) - 1) // _BLOCK
        blocks = [
            self._block(distribution, x.shape[1:], stream, block)
            for block in range(first_block, last_block + 1)
        ]
        offset = self.first - first_block * _BLOCK
        return torch.cat(blocks)[offset : offset + len(x)].to(x)

    def _block(self, distribution, shape, stream, block):
        seed = np.random.SeedSequence((self.seed, stream, block)).generate_state(1, np.uint64)[0]
        return distribution(_BLOCK, *shape, generator=torch.Generator().manual_seed(int(seed)))
