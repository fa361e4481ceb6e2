"""Detecting models without a useful gradient, zero or not a number, which look robust to every attack that follows it."""

import torch
from torch import Tensor

from advcourse.core.errors import NonFiniteGradientWarning, ZeroGradientWarning, warn

_SHARE = 0.01  # of the images; above it, a failed attack says nothing about the model


class GradientWatch:
    """Counts the images whose gradient is exactly zero although the gradient at their logits is not, or is no finite number.

    It counts in the first backward pass of each chunk. Because it looks only at the model's input and output, a flat loss of
    the attack itself does not count. What was seen stays on the device until `report`.
    """

    def __init__(self):
        self._seen, self._handles, self._open = [], [], False

    def begin(self) -> None:
        """Start a new chunk, whose first backward pass will be counted."""
        self._open = True

    def follow(self, x: Tensor, logits: Tensor) -> None:
        """Watch a forward pass from `x` (N, C, H, W) to `logits` (N, K), in case a backward pass follows."""
        if not (self._open and x.requires_grad and logits.requires_grad):
            return
        self._drop()
        reached = None

        def at_the_logits(gradient):
            nonlocal reached
            reached = gradient

        def at_the_images(gradient):
            if gradient is None:  # behind a part without a backward pass, such as a quantised layer
                return
            self._seen.append((reached, gradient.abs().flatten(1).amax(1)))
            self._drop()
            self._open = False

        self._handles = [logits.register_hook(at_the_logits), x.register_hook(at_the_images)]

    def missed(self) -> bool:
        """Return True if a backward pass has reached the logits but not the images, because no graph leads there."""
        return bool(self._handles)

    def report(self) -> None:
        """Warn if more than 1 % of the counted images had no gradient, or one that is NaN or infinite."""
        self._drop()
        asked, zero, odd = self._counts()
        if odd > _SHARE * asked:
            warn(
                "model: its gradient is NaN or infinite for more than 1 % of the images, and is taken for 0 there. Attacks that "
                "follow it are weaker for that, so their failure does not show that the model is robust. Look for a root, a "
                "power, a logarithm or a division in the model, and keep what it is taken of away from 0.",
                NonFiniteGradientWarning,
            )
        if zero > _SHARE * asked:
            warn(
                "model: its gradient is exactly zero for more than 1 % of the images. Attacks that follow it can't work there, "
                "so their failure does not show that the model is robust. If a part of the model has no useful gradient, "
                "such as rounding, replace it by attacks.BPDA; if the model ends in a softmax, remove that.",
                ZeroGradientWarning,
            )

    def _counts(self):
        """Return the numbers of images that a gradient was asked for, whose gradient was zero, and whose was no finite number."""
        largest = torch.cat([sizes for _, sizes in self._seen]) if self._seen else torch.ones(0)
        if ((largest > 0) & (largest < torch.inf)).all():  # and NaN is neither
            return len(largest), 0, 0
        reached = torch.cat([(gradient != 0).any(1) for gradient, _ in self._seen])
        odd = ~torch.isfinite(largest)
        return torch.stack([reached | odd, reached & (largest == 0), odd]).sum(1).tolist()

    def _drop(self):
        for handle in self._handles:
            handle.remove()
        self._handles = []
