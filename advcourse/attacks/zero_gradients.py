"""Whether a model gives gradients at all: without them it looks robust to every attack that follows them."""

import torch
from torch import Tensor

from advcourse.core.errors import ZeroGradientWarning, warn

_SHARE = 0.01  # of the images, beyond which a failure is not to be believed


class ZeroGradients:
    """Counts the images that get no gradient, exactly, though one came to their logits: at the first backward pass of each chunk.

    It goes by what passes the model's two ends, so an attack's own loss, which may be flat, plays no part. The counts
    stay on the device until `report`.
    """

    def __init__(self):
        self._counts, self._handles, self._open = [], [], False

    def begin(self) -> None:
        """A new chunk: its first backward pass will be counted."""
        self._open = True

    def follow(self, x: Tensor, logits: Tensor) -> None:
        """A forward pass from `x` (N, C, H, W) to `logits` (N, K), of which a backward pass may come."""
        if not (self._open and x.requires_grad and logits.requires_grad):
            return
        self._drop()
        asked = None

        def at_the_logits(gradient):
            nonlocal asked
            asked = (gradient != 0).any(1)

        def at_the_images(gradient):
            if gradient is None:  # of a part without a backward pass, such as a quantised layer
                return
            self._counts.append(torch.stack([asked, asked & (gradient == 0).flatten(1).all(1)]).sum(1))
            self._drop()
            self._open = False

        self._handles = [logits.register_hook(at_the_logits), x.register_hook(at_the_images)]

    def missed(self) -> bool:
        """True if a backward pass has come since, but never to the images: no graph leads there."""
        return bool(self._handles)

    def report(self) -> None:
        """Warn if more than 1 % of the images counted had no gradient."""
        self._drop()
        asked, zero = torch.stack(self._counts).sum(0).tolist() if self._counts else (0, 0)
        if zero > _SHARE * asked:
            warn(
                "model: its gradient is exactly zero for more than 1 % of the images. Attacks that follow it are blind there, "
                "and that they fail does not make the model robust. If a part of it has no useful gradient, such as rounding, "
                "put attacks.BPDA in its place; if it ends in a softmax, drop that.",
                ZeroGradientWarning,
            )

    def _drop(self):
        for handle in self._handles:
            handle.remove()
        self._handles = []
