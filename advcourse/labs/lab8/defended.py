"""Models behind a defense, and squeezers, as recipes: what the lab's functions are given. The defenses are the lab's own."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, pad

from advcourse.labs.victims import Victim


class Levels(nn.Module):
    """Each pixel goes to the nearest of 2^bits grey levels. Its gradient is 0, as that of every step."""

    def __init__(self, bits: int):
        super().__init__()
        self.bits = int(bits)

    def forward(self, x: Tensor) -> Tensor:
        return nearest_level(x, self.bits) + 0 * x


def nearest_level(x: Tensor, bits: int) -> Tensor:
    """Found by its distance to each level, one by one; of two that are equally near it is the darker."""
    last = 2**bits - 1
    best, distance = torch.zeros_like(x), torch.full_like(x, torch.inf)
    for level in range(last + 1):
        away = (x.detach() - level / last).abs()
        best = torch.where(away < distance, torch.full_like(x, level / last), best)
        distance = distance.minimum(away)
    return best


class Shift(nn.Module):
    """Moves the whole batch by up to `reach` pixels each way, around the edge; a new draw in each pass. Differentiable."""

    def __init__(self, reach: int, seed: int):
        super().__init__()
        self.reach, self.seed, self.passes = int(reach), seed, 0

    def forward(self, x: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed + 7919 * self.passes)
        self.passes += 1
        return x.roll(self._draw(generator), (2, 3))

    def _draw(self, generator):
        return tuple(torch.randint(-self.reach, self.reach + 1, (2,), generator=generator).tolist())

    @property
    def moves(self) -> list[tuple[int, int]]:
        """All that it may draw."""
        reach = range(-self.reach, self.reach + 1)
        return [(down, right) for down in reach for right in reach]


class Counted(Shift):
    """A shift by up to a pixel that refuses more than `most` passes with a gradient."""

    TOLD = "draws with a gradient, and allowed are"

    def __init__(self, most: int, seed: int):
        super().__init__(1, seed)
        self.most, self.asked = int(most), 0

    def forward(self, x: Tensor) -> Tensor:
        self.asked += torch.is_grad_enabled() and x.requires_grad
        if self.asked > self.most:
            raise RuntimeError(f"{self.asked} {self.TOLD} {self.most}")
        return super().forward(x)


class AtMost(nn.Module):
    """The images as they are; more than `most` at once are refused."""

    TOLD = "images at once, and there is memory for"

    def __init__(self, most: int):
        super().__init__()
        self.most = int(most)

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > self.most:
            raise RuntimeError(f"{len(x)} {self.TOLD} {self.most}")
        return x


class Median(nn.Module):
    """The median of 3 x 3 pixels, black beyond the edge."""

    def forward(self, x: Tensor) -> Tensor:
        return pad(x, (1, 1, 1, 1)).unfold(2, 3, 1).unfold(3, 3, 1).flatten(4).median(-1).values


class Blur(nn.Module):
    """The mean of 3 x 3 pixels, black beyond the edge."""

    def forward(self, x: Tensor) -> Tensor:
        return avg_pool2d(x, 3, stride=1, padding=1)


@dataclass(frozen=True)
class Defended(Victim):
    """A victim behind a row of parts: its model is `nn.Sequential(*parts, f)`.

    `parts`: rows of (kind, number): ("levels", bits), ("shift", reach), ("counted", draws), ("at most", images). `drawn`: the
    seed of a shift.
    """

    parts: tuple[tuple[str, int], ...] = ()
    drawn: int = 0

    def build(self, dtype: torch.dtype = torch.float32, device: str | torch.device = "cpu") -> nn.Sequential:
        parts = [self._part(kind, number) for kind, number in self.parts]
        return nn.Sequential(*parts, super().build(dtype, device)).train(self.training)

    def _part(self, kind, number):
        if kind in ("shift", "counted"):
            return {"shift": Shift, "counted": Counted}[kind](number, self.drawn)
        return {"levels": Levels, "at most": AtMost}[kind](number)


@dataclass(frozen=True)
class Squeezer(Victim):
    """A function of images that gives images: kind "levels", with `bits`, "median" or "blur"."""

    bits: int = 1

    def build(self, dtype: torch.dtype = torch.float32, device: str | torch.device = "cpu") -> nn.Module:
        return {"levels": lambda: Levels(self.bits), "median": Median, "blur": Blur}[self.kind]().eval()
