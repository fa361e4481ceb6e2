"""Drawing from a set of two labels, as many of one as of the other."""

import torch
from torch import Tensor

from advcourse.core.inputs import check_range, check_seed


def draw_balanced(labels: Tensor, n: int, seed: int = 0) -> Tensor:
    """Draw n places without replacement, half of them of label 1 (the odd one of 0), as far as there are so many.

    Args:
        labels: (N,), zeros and ones.
        n: how many, 0 to N.
        seed: of the draw (default 0).

    Returns:
        (n,) int64, the places, the two labels in turn.

    Raises:
        InputError: n or seed out of range.
    """
    check_range(n, "n", 0, len(labels), integer=True)
    shuffled = torch.randperm(len(labels), generator=torch.Generator().manual_seed(check_seed(seed)))
    drawn = labels[shuffled]
    turn = torch.where(drawn == 1, (drawn == 1).cumsum(0) * 2 + 1, (drawn == 0).cumsum(0) * 2)
    return shuffled[turn.argsort(stable=True)[:n]]
