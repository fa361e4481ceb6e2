"""Where a sticker goes: rectangles of a plate's cells, and the search for those where a small change counts most.

A plate is divided into cells, each printed in one colour. A map of the cells has row 0 at the top.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from advcourse.core.inputs import InputError, check_range

LEAST_SIDE = 2  # cells; a narrower strip is hardly a sticker
LONGEST = 4.0  # ratio of a rectangle's sides


@dataclass(frozen=True)
class Rectangle:
    """A rectangle of cells: its first row and column, counted from 0 at the top left, and its height and width."""

    top: int
    left: int
    height: int
    width: int

    def __post_init__(self):
        for name, least in (("top", 0), ("left", 0), ("height", 1), ("width", 1)):
            value = check_range(getattr(self, name), name, least, integer=True)
            object.__setattr__(self, name, value)

    @property
    def cells(self) -> int:
        """How many cells it covers."""
        return self.height * self.width


def box_sums(values: Tensor, height: int, width: int) -> Tensor:
    """Return the sum of `values` in every box of `height` x `width`, from one table of running sums.

    Source: Crow, "Summed-area tables for texture mapping", SIGGRAPH 1984.

    Args:
        values: (H, W).
        height, width: of the box, at most H and W.

    Returns:
        (H - height + 1, W - width + 1), float64; entry (i, j) is the box whose top left value is (i, j).

    Raises:
        InputError: not a matrix, or a box that is empty or larger than it.
    """
    if values.dim() != 2:
        raise InputError(f"values: got shape {tuple(values.shape)}; allowed is a matrix (H, W)")
    height = check_range(height, "height", 1, values.shape[0], integer=True)
    width = check_range(width, "width", 1, values.shape[1], integer=True)
    total = F.pad(values.double().cumsum(0).cumsum(1), (1, 0, 1, 0))
    below, above = total[height:], total[: total.shape[0] - height]
    right, left = slice(width, None), slice(0, total.shape[1] - width)
    return below[:, right] - above[:, right] - below[:, left] + above[:, left]


def best_rectangles(change: Tensor, on_plate: Tensor, area: float, number: int = 2) -> list[Rectangle]:
    """Return the rectangles of a given area under which most of a change lies, the best one first.

    The area is shared equally. Each rectangle in turn is the one, of all shapes and places, with the largest sum of `change`
    that lies wholly on the plate and overlaps no earlier one.

    Args:
        change: (H, W), how much each cell was changed, >= 0: the |delta| of an attack on the whole plate.
        on_plate: (H, W) bool, the cells that lie on the plate.
        area: share of the plate that the rectangles cover together at most, above 0 and at most 1.
        number: of rectangles (default 2).

    Raises:
        InputError: an argument is out of range, or the plate has no room for the rectangles.
    """
    area = check_range(area, "area", 0, 1, exclusive_low=True)
    number = check_range(number, "number", 1, integer=True)
    if change.dim() != 2 or change.shape != on_plate.shape or on_plate.dtype != torch.bool:
        raise InputError(
            f"on_plate: got shape {tuple(on_plate.shape)} and type {on_plate.dtype}; allowed is a mask of bools of the shape "
            f"of change, {tuple(change.shape)}"
        )
    most = area * int(on_plate.sum()) / number
    free, found = on_plate.clone(), []
    for _ in range(number):
        best = max(_candidates(change, free, most), key=lambda pair: pair[0], default=None)
        if best is None:
            raise InputError(
                f"area: got {area:g} for {number} rectangles, but the plate has no room for one of {most:.1f} cells; allowed is "
                f"another area, or fewer rectangles"
            )
        found.append(best[1])
        free &= ~covered([best[1]], free.shape[0], free.device)
    return found


def _candidates(change, free, most):
    """Yield (sum, rectangle) of the best place of every shape with at most `most` cells that could not be wider."""
    rows, columns = change.shape
    for height in range(LEAST_SIDE, rows + 1):
        width = min(columns, math.floor(most / height))
        if width < LEAST_SIDE or max(height / width, width / height) > LONGEST:
            continue
        fits = box_sums(free, height, width) == height * width
        if fits.any():
            sums = box_sums(change, height, width).masked_fill(~fits, -math.inf)
            top, left = divmod(int(sums.argmax()), sums.shape[1])
            yield float(sums[top, left]), Rectangle(top, left, height, width)


def covered(rectangles: Iterable[Rectangle], cells: int, device: torch.device | str = "cpu") -> Tensor:
    """Return the map (cells, cells) of bools that is True inside any of the rectangles.

    Raises:
        InputError: a rectangle reaches beyond the map.
    """
    mask = torch.zeros(cells, cells, dtype=torch.bool, device=device)
    for one in rectangles:
        rows, columns = one.top + one.height, one.left + one.width
        if max(rows, columns) > cells:
            raise InputError(f"rectangles: got {one}; allowed are those inside {cells} x {cells} cells")
        mask[one.top : rows, one.left : columns] = True
    return mask


def enlarged(cells: Tensor, size: int) -> Tensor:
    """Return a map of cells (..., h, w) at `size` x `size` pixels, every cell a block of one value. Bools remain bools."""
    flat = cells.reshape(1, -1, *cells.shape[-2:])
    values = flat.to(torch.uint8) if cells.dtype == torch.bool else flat
    return (
        F.interpolate(values, (size, size), mode="nearest")
        .reshape(*cells.shape[:-2], size, size)
        .to(cells.dtype)
    )
