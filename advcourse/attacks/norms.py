"""Lengths of changes (N, C, H, W) in the four norms, and the projection onto balls with a radius for each image."""

import torch
from torch import Tensor

_ORDER = {"L1": 1, "L2": 2, "Linf": torch.inf}
DUAL = {"L0": "Linf", "L1": "Linf", "L2": "L2", "Linf": "L1"}  # L0: the pixel that promises most


def length(change: Tensor, norm: str) -> Tensor:
    """Return the length (N,) of each change in "L0" (pixels, whatever their channels), "L1", "L2" or "Linf"."""
    if norm == "L0":
        return (change != 0).any(1).flatten(1).sum(1).to(change.dtype)
    return torch.linalg.vector_norm(change, _ORDER[norm], dim=(1, 2, 3))


def into_ball(change: Tensor, radius: Tensor, norm: str) -> Tensor:
    """Return the nearest changes, by Euclidean distance, whose lengths are at most `radius`.

    "L0" keeps the pixels with the largest changes; "L1" shrinks all values by one threshold (Duchi et al. 2008, figure 1);
    "L2" scales; "Linf" clips.

    Args:
        change: (N, C, H, W).
        radius: (N,), at least 0; whole numbers for "L0".
        norm: "L0", "L1", "L2" or "Linf".
    """
    r = radius.view(-1, 1, 1, 1)
    if norm == "Linf":
        return change.clamp(-r, r)
    if norm == "L2":
        tiny = torch.finfo(change.dtype).tiny
        return change * (r / length(change, norm).clamp_min(tiny).view(-1, 1, 1, 1)).clamp_max(1)
    if norm == "L1":
        threshold = _threshold(change.flatten(1).abs(), radius).view(-1, 1, 1, 1)
        return change - change.clamp(-threshold, threshold)
    sizes = torch.linalg.vector_norm(change, dim=1).flatten(1)
    rank = sizes.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    kept = (rank < radius.unsqueeze(1)).view(len(change), 1, *change.shape[2:])
    return change * kept


def _threshold(sizes, radius):
    """Return by how much to shrink `sizes` (N, D) so that their sums are at most `radius` (N,): (N,), at least 0."""
    ordered = sizes.sort(1, descending=True).values
    surplus = ordered.cumsum(1) - radius.unsqueeze(1)
    count = torch.arange(1, sizes.shape[1] + 1, device=sizes.device)
    last = (ordered * count > surplus).sum(1).clamp_min(1)
    at_last = surplus.gather(1, (last - 1).unsqueeze(1)).squeeze(1) / last
    return at_last.clamp_min(0)
