"""What answers of lab 12 about moments share: how much a moment matters, and the rule that spends k attacks on a game."""

import torch


def gap(logits):
    """How much more probable the best action is than the worst, of logits (..., K)."""
    p = logits.softmax(-1)
    return p.amax(-1) - p.amin(-1)


def spend(worth, threshold, k, keep=True):
    """Attack where `worth` (T, N) reaches the threshold, at most k times a game; with `keep` the last moments take the rest."""
    chosen = torch.zeros_like(worth, dtype=torch.bool)
    for t in range(len(worth)):
        left = k - chosen.sum(0)
        last = left >= len(worth) - t if keep else torch.zeros_like(left, dtype=torch.bool)
        chosen[t] = (left > 0) & ((worth[t] >= threshold) | last)
    return chosen


def usual(worth, share):
    """The number that a `share` of all that is in `worth` is above."""
    return worth.flatten().quantile(1 - share)
