"""What answers of lab 12 about moments share: how much a moment matters, and the rule that spends k attacks on a game."""

import torch
from torch import Tensor


def gap(logits: Tensor) -> Tensor:
    """How much more probable the best action is than the worst, of logits (..., K)."""
    p = logits.softmax(-1)
    return p.amax(-1) - p.amin(-1)


def spend(worth: Tensor, threshold: Tensor, k: int, keep: bool = True) -> Tensor:
    """1 where to attack, else 0: `worth` (T, N) reaches the threshold; k times a game; `keep`: the last take the rest."""
    left, rows = torch.full_like(worth[0], k), []
    for t, now in enumerate(worth):
        attack = (left > 0) & (now >= threshold)
        if keep:
            attack = attack | ((left > 0) & (left >= len(worth) - t))
        left = left - attack.to(left)
        rows.append(attack.to(left))
    return torch.stack(rows)


def usual(worth: Tensor, share: float) -> Tensor:
    """The number that a `share` of all that is in `worth` is above."""
    ordered = worth.flatten().sort().values
    return ordered[round((1 - share) * (len(ordered) - 1))]
