"""Random resizing and padding: each forward pass sees the image at another size and position."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from advcourse.core.inputs import InputError, check_flag, check_range
from advcourse.defenses.draws import check_seed, generator


class RandomTransformation(nn.Module):
    """Enlarge to a random size r x r by nearest neighbour, and pad with grey, at a random position, to a fixed size.

    Paper: Xie et al. 2018, "Mitigating Adversarial Effects Through Randomization" (arXiv 1711.01991): 299 to r in
    [310, 331), padded to 331. For digits 28 to [28, 31), padded to 31 (DEEPSEC). Nothing is trained. Size and position are drawn
    per image; the authors draw one of each for a whole batch.

    The authors' network takes the larger image directly. Most networks here have a fully connected layer that fits one size, so
    by default the padded image is resized back to the input size (bilinear); with `restore=False` the model gets it directly.

    What breaks it: Athalye, Carlini and Wagner 2018, "Obfuscated Gradients Give a False Sense of Security", section 5 (arXiv
    1802.00420): PGD on the mean over 30 draws, here `PGD()(EOT(defense, 30), x, y)`.

    Args:
        model: images (N, C, H, W) in [0, 1] to logits (N, K).
        low, high: r is drawn from low, ..., high - 1 (default 28 and 31); images are square and no larger than `low`.
        padded: the size after padding, at least high - 1 (default 31).
        fill: grey of the padding (default 0.5: 0 in the authors' range [-1, 1]).
        restore: resize the image back to its own size (default True).
        seed: None (default) for new draws in each forward pass, from the global random state; a number for the same ones in
            every pass, in which case an attack must succeed.

    Raises:
        InputError: an argument is out of range, or images are not square or larger than `low`.
    """

    def __init__(
        self,
        model: nn.Module,
        low: int = 28,
        high: int = 31,
        padded: int = 31,
        fill: float = 0.5,
        restore: bool = True,
        seed: int | None = None,
    ):
        super().__init__()
        if not isinstance(model, nn.Module):
            raise InputError(f"model: got {model!r}; allowed is a torch.nn.Module")
        self.model, self.restore, self.seed = model, check_flag(restore, "restore"), check_seed(seed)
        self.low = check_range(low, "low", 1, integer=True)
        self.high = check_range(high, "high", low + 1, integer=True)
        self.padded = check_range(padded, "padded", high - 1, integer=True)
        self.fill = check_range(fill, "fill", 0, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(self.transform(x))

    def transform(self, x: Tensor) -> Tensor:
        """Return what the model sees: (N, C, H, W), or (N, C, padded, padded) with `restore=False`. Differentiable."""
        side = x.shape[2]
        if x.shape[3] != side or side > self.low:
            given, allowed = f"{x.shape[2]} x {x.shape[3]}", f"squares of at most {self.low}"
            raise InputError(f"x: got images of {given} pixels; allowed are {allowed}")
        g = generator(self.seed)
        size = torch.randint(self.low, self.high, (len(x), 1), generator=g)
        rows, columns = (self._sources(side, size, g).to(x.device) for _ in range(2))
        inside = ((rows >= 0)[:, :, None] & (columns >= 0)[:, None, :])[:, None]
        picked = x.gather(2, rows.clamp_min(0)[:, None, :, None].expand(-1, x.shape[1], -1, side))
        picked = picked.gather(3, columns.clamp_min(0)[:, None, None].expand(-1, x.shape[1], self.padded, -1))
        padded = torch.where(inside, picked, torch.as_tensor(self.fill).to(x))
        return F.interpolate(padded, size=(side, side), mode="bilinear") if self.restore else padded

    def _sources(self, side, size, g):
        """Return which row or column of the image each one of the padded image shows, (N, padded); -1 for padding."""
        room = self.padded - size + 1
        before = (torch.rand(len(size), 1, generator=g, dtype=torch.float64) * room).long()
        place = torch.arange(self.padded) - before
        return torch.where((place >= 0) & (place < size), place * side // size, -1)
