"""Square Attack: random search over square patches, with the model's logits alone."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from advcourse.attacks.base import Attack
from advcourse.attacks.best import Strongest
from advcourse.attacks.hyperparameters import number
from advcourse.core.inputs import LARGEST_SEED
from advcourse.metrics import margin

_HALVED_AFTER = (
    10,
    50,
    200,
    500,
    1000,
    2000,
    4000,
    6000,
    8000,
)  # queries, after which the share of pixels is halved
_ASKED = 500  # queries after which an image may be given up
_TILES = 5  # in a row of the first L2 perturbation
_SMALLEST = 3  # side of a window in L2


@dataclass(frozen=True)
class Square(Attack):
    """Square Attack: change a random square patch, and keep the change if the margin Z_y - max_{i != y} Z_i falls.

    In L-infinity it starts from vertical stripes of +eps and -eps; a proposal sets a square, in each channel, to +eps or
    -eps. In L2 it starts from tiles whose change falls off from their centres; a proposal takes the change out of one window
    and moves its size, with what is left of the budget, to another. The side of a square is sqrt(p * H * W), where p is
    halved after 10, 50, 200, 500, 1000, 2000, 4000, 6000 and 8000 queries; where an image is not so high, the patch is as
    much wider. A query asks for the logits of one image; no gradient is taken.

    Paper: Andriushchenko, Croce, Flammarion and Hein 2020, "Square Attack: a Query-Efficient Black-box Adversarial Attack via
    Random Search", algorithms 1 to 3 (arXiv 1912.00049). Two differences to the authors' code: squares can touch the last row and
    column, which theirs never do; and each image has its own squares and signs, where theirs share them.

    Args:
        eps: budget, in the unit of `norm`: pixel range for "Linf" (default 0.3), Euclidean length for "L2".
        queries: the most queries of an image (default 5000, as in the standard ensemble).
        p: the first share of the pixels in a square (default 0.8).
        give_up: after 500 queries an image leaves if its margin is above this share of the clean image's (default None: never).
        norm: "Linf" (default) or "L2".
        seed: seed of all draws (default 0).

    Details:
        queries: (N,), how many queries each image took.

    Example:
        >>> result = Square(eps=0.3, queries=1000).run(model, x, y)
        >>> result.success_rate, result.details["queries"]
    """

    eps: float = number(0.3, low=0)
    queries: int = number(5000, low=1)
    p: float = number(0.8, low=0, high=1, exclusive_low=True)
    give_up: float | None = number(None, low=0, high=1)
    norm: Literal["Linf", "L2"] = "Linf"
    seed: int = number(0, low=0, high=LARGEST_SEED)
    kind: ClassVar[str] = "budgeted"
    black_box: ClassVar[bool] = True

    @torch.no_grad()
    def _perturb(self, victim, x, y, target, noise):
        strongest, queries = Strongest(x), torch.zeros_like(y)
        search = _Squares(x, self.eps) if self.norm == "Linf" else _Windows(x, self.eps)
        index = torch.arange(len(x), device=x.device)
        first = None
        if self.give_up is not None and self.queries > _ASKED:  # otherwise nobody leaves
            first, queries = margin(victim(x), y), queries + 1
        for query in range(self.queries - (first is not None)):
            if query == 0:
                proposed = search.start(noise)
            else:
                size = patch(x, self._share(query))
                proposed = search.propose(index, strongest.images[index], size, noise, query)
            lead = margin(victim(proposed), y[index])
            search.keep(index, lead < strongest.margin[index])
            strongest.offer(index, proposed, lead)
            queries[index] += 1
            on = strongest.margin[index] >= 0
            if first is not None and query + 2 == _ASKED:
                on &= strongest.margin[index] <= self.give_up * first[index]
            index = index[on]
            if not len(index):
                break
        return strongest.images, torch.zeros_like(y), {"queries": queries}

    def _share(self, query):
        """Return the share of the pixels that a square has after so many queries."""
        return self.p / 2 ** sum(query > halved for halved in _HALVED_AFTER)


def patch(x: Tensor, share: float) -> tuple[int, int]:
    """Return rows and columns of a patch with `share` of the pixels of `x` (N, C, H, W): a square where one fits."""
    height, width = x.shape[2:]
    rows = max(1, min(round((share * height * width) ** 0.5), height))
    columns = rows if rows < height else round(share * width)
    return rows, max(1, min(columns, width))


def _inside(corner, side, length):
    """Return which of `length` rows or columns lie in windows of `side` at `corner` (n,): (n, length) bool."""
    at = torch.arange(length, device=corner.device)
    return (at >= corner.unsqueeze(1)) & (at < (corner + side).unsqueeze(1))


def _window(u, size, x):
    """Return windows that lie uniformly in the images, from numbers `u` (n, 2) in [0, 1), as masks (n, 1, H, W)."""
    free = torch.tensor([length - side + 1 for length, side in zip(x.shape[2:], size)], device=u.device)
    corner = (u * free).long().minimum(free - 1)
    rows, columns = (_inside(corner[:, axis], size[axis], x.shape[2 + axis]) for axis in (0, 1))
    return (rows.unsqueeze(2) & columns.unsqueeze(1)).unsqueeze(1)


class _Squares:
    """The search in L-infinity, whose only state is the best image."""

    def __init__(self, x, eps):
        self.x, self.eps = x, eps

    def start(self, noise):
        stripes = noise.uniform(self.x[:, :, :1]).sub(0.5).sign()
        return (self.x + self.eps * stripes).clamp(0, 1)

    def propose(self, index, images, size, noise, query):
        x = self.x[index]
        u = noise.uniform(self.x.new_empty(len(self.x), 2 + x.shape[1]), query)[index]
        square = _window(u[:, :2], size, x)
        changed = x + self.eps * (u[:, 2:] - 0.5).sign().unsqueeze(2).unsqueeze(3)
        return torch.where(square, changed.clamp(0, 1), images)

    def keep(self, index, better):
        pass


class _Windows:
    """The search in L2. It remembers each image's change before it is scaled to eps and clipped to the box."""

    def __init__(self, x, eps):
        self.x, self.eps = x, eps
        self.change, self.proposed = torch.zeros_like(x), None

    def start(self, noise):
        height, width = self.x.shape[2:]
        side = max(1, min(height, width) // _TILES)
        u = noise.uniform(self.x.new_empty(len(self.x), self.x.shape[1], _TILES, _TILES)).sub(0.5).sign()
        tiles = torch.kron(u, _bump(side, side, self.x).view(1, 1, side, side))[:, :, :height, :width]
        top, left = ((length - have) // 2 for length, have in zip((height, width), tiles.shape[2:]))
        self.proposed = torch.zeros_like(self.x)
        self.proposed[:, :, top : top + tiles.shape[2], left : left + tiles.shape[3]] = tiles
        return self._scaled(self.x, self.proposed)

    def propose(self, index, images, size, noise, query):
        x, before = self.x[index], self.change[index]
        size = tuple(
            min(max(side, _SMALLEST) | 1, most) for side, most in zip(size, x.shape[2:])
        )  # odd: with a centre
        u = noise.uniform(self.x.new_empty(len(self.x), 5 + x.shape[1]), query)[index]
        to, away = (_window(u[:, part], size, x) for part in (slice(0, 2), slice(2, 4)))
        clipped = images - x
        spare = (self.eps**2 - _squared(clipped)).clamp_min(0) / x.shape[1]
        spread = (
            spare + _squared(before * (to | away), (2, 3))
        ).sqrt()  # the new change in the window, each channel's
        bump = _bumps(u[:, 4], size, x, to)
        old = before * to
        fresh = bump * (u[:, 5:] - 0.5).sign().unsqueeze(2).unsqueeze(3) + old / _norm(_squared(clipped * to))
        fresh = fresh / _norm(_squared(fresh, (2, 3))) * spread
        self.proposed = torch.where(to, fresh, before * ~away)
        return self._scaled(x, self.proposed)

    def _scaled(self, x, change):
        return (x + change / _norm(_squared(change)) * self.eps).clamp(0, 1)

    def keep(self, index, better):
        self.change[index] = torch.where(better.view(-1, 1, 1, 1), self.proposed, self.change[index])


def _bumps(u, size, x, to):
    """Return two bumps of opposite signs in each window `to`, side by side or, where `u` (n,) is high, one above the other."""
    rows, columns = size
    left = columns // 2
    pair = torch.cat([_bump(rows, left, x), -_bump(rows, columns - left, x)], 1)
    pair = pair / _norm(pair.square().sum())
    if rows == columns:
        pair = torch.where((u < 0.5).view(-1, 1, 1), pair, pair.T)
    # A mask lists its pixels row by row, which is the order of the pattern.
    return x.new_zeros(len(x), 1, *x.shape[2:]).masked_scatter(to, pair.expand(len(x), rows, columns))


def _squared(values, dims=(1, 2, 3)):
    return values.square().sum(dims, keepdim=True)


def _norm(squared):
    return squared.sqrt().clamp_min(1e-12)


def _bump(height, width, x):
    """Return a pattern (height, width) of length 1 that falls off from its centre: nested rectangles, the k-th of 1 / k^2."""
    rows, columns = height // 2 + 1, width // 2 + 1
    pattern = x.new_zeros(height, width)
    for k in range(max(rows, columns)):
        top, left = max(rows - 1 - k, 0), max(columns - 1 - k, 0)
        pattern[top : rows + k, left : columns + k] += 1 / (k + 1) ** 2
    return pattern / _norm(pattern.square().sum())
