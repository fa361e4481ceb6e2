"""Random numbers that depend on the seed and on an image's place in the batch, and on nothing else."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_BLOCK = 16  # images that share one generator


@dataclass(frozen=True)
class Noise:
    """Draws for the images from place `first` on: the same however the batch is cut into chunks, and on every device.

    `stream` tells independent draws apart, for example the restarts of an attack.
    """

    seed: int
    first: int = 0

    def uniform(self, x: Tensor, stream: int = 0) -> Tensor:
        """Uniform on [0, 1), shaped like `x` (N, ...), on its device and of its type."""
        return self._draw(torch.rand, x, stream)

    def normal(self, x: Tensor, stream: int = 0) -> Tensor:
        """Standard normal, shaped like `x` (N, ...), on its device and of its type."""
        return self._draw(torch.randn, x, stream)

    def _draw(self, distribution, x, stream):
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
