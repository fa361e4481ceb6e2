"""What an attack keeps for each image: the nearest successful or the strongest point so far, and its state."""

from collections.abc import Callable

import torch
from torch import Tensor

Distance = Callable[[Tensor, Tensor], Tensor]  # (clean, images), both (N, C, H, W) -> distances (N,)


class Nearest:
    """The nearest successful point so far for each image.

    Until an image has one, its point is the clean image, at an infinite distance.

    Args:
        x: the clean images (N, C, H, W).
        measure: `measure(clean, images)` returns the distances (N,) by which points are compared.

    Attributes:
        images: the points (N, C, H, W).
        distance: their distances (N,).
    """

    def __init__(self, x: Tensor, measure: Distance):
        self._clean, self._measure = x, measure
        self.images = x.clone()
        self.distance = x.new_full((len(x),), torch.inf)

    @property
    def found(self) -> Tensor:
        """Whether a successful point is known for each image, shape (N,) bool."""
        return self.distance.isfinite()

    def offer(self, index: Tensor, images: Tensor, success: Tensor) -> None:
        """Keep each of the offered points that succeeds and is nearer than the best so far.

        Args:
            index: which images the points belong to, (n,) int64.
            images: the points (n, C, H, W).
            success: whether each point succeeds, (n,) bool.
        """
        distance = self._measure(self._clean[index], images)
        nearer = (success & (distance < self.distance[index])).nonzero().squeeze(1)
        if len(nearer):
            place = index[nearer]
            self.images[place] = images[nearer]
            self.distance[place] = distance[nearer]


class Strongest:
    """The strongest point so far for each image: the one with the lowest margin, which is negative once the model is fooled.

    Until a point is offered, it is the clean image, with a margin of infinity.

    Args:
        x: the clean images (N, C, H, W).

    Attributes:
        images: the points (N, C, H, W).
        margin: their margins (N,), in logits.
        steps: (N,) int64, the number of steps taken, which the attack counts.
    """

    def __init__(self, x: Tensor):
        self.images = x.clone()
        self.margin = x.new_full((len(x),), torch.inf)
        self.steps = torch.zeros(len(x), dtype=torch.long, device=x.device)

    def offer(self, index: Tensor, images: Tensor, margin: Tensor) -> None:
        """Keep each of the points `images` (n, C, H, W) of the images `index` (n,) whose `margin` (n,) is lower than the best."""
        better = margin < self.margin[index]
        self.images[index] = torch.where(better.view(-1, 1, 1, 1), images, self.images[index])
        self.margin[index] = torch.where(better, margin, self.margin[index])


class PerImage:
    """Base class for the state of an attack; all attributes are tensors whose first dimension is the image."""

    def keep(self, on: Tensor) -> None:
        """Keep only the images where `on` (N,) is True."""
        if on.all():
            return
        for name, values in vars(self).items():
            setattr(self, name, values[on])
