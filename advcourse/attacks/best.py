"""What a minimum-norm attack keeps for each image: the nearest point so far that does what the attack wants, and its state."""

from collections.abc import Callable

import torch
from torch import Tensor

Distance = Callable[[Tensor, Tensor], Tensor]  # of images from the clean ones, both (N, C, H, W): (N,)


class Nearest:
    """The best point so far for each of the images `x` (N, C, H, W); until there is one, the clean image, at distance infinity.

    `measure(clean, images)` gives the distances, shape (N,), by which points are compared.
    """

    def __init__(self, x: Tensor, measure: Distance):
        self._clean, self._measure = x, measure
        self.images = x.clone()
        self.distance = x.new_full((len(x),), torch.inf)

    @property
    def found(self) -> Tensor:
        """For which images a point is known that succeeds, shape (N,) bool."""
        return self.distance.isfinite()

    def offer(self, index: Tensor, images: Tensor, success: Tensor) -> None:
        """Take those of `images`, the points of the images number `index`, that succeed nearer by than any before."""
        distance = self._measure(self._clean[index], images)
        nearer = (success & (distance < self.distance[index])).nonzero().squeeze(1)
        if len(nearer):
            place = index[nearer]
            self.images[place] = images[nearer]
            self.distance[place] = distance[nearer]


class PerImage:
    """State of an attack whose attributes are tensors with the images first."""

    def keep(self, on: Tensor) -> None:
        """Go on with the images where `on` (N,) is True."""
        if on.all():
            return
        for name, values in vars(self).items():
            setattr(self, name, values[on])
