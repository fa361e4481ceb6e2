"""What the lab's notebook gives: a training set as one tensor, and two clusters of points."""

import torch
from torch import Tensor


def packed(images: Tensor, labels: Tensor) -> Tensor:
    """A training set as one tensor (N, C * H * W + 1), in the type of the images: a row has an image, and then its label.

    Args:
        images: (N, C, H, W).
        labels: (N,), whole numbers.
    """
    return torch.cat([images.flatten(1), labels.to(images)[:, None]], 1)


def two_means(z: Tensor, seed: int = 0, starts: int = 100) -> Tensor:
    """2-means: which of the points z (n, D) lie in the second of two clusters, (n,) bool. The first has the first point.

    The best of so many random `starts` counts: that with the smallest sum of squared distances to the clusters' means.
    """
    generator = torch.Generator().manual_seed(seed)
    first = torch.randint(len(z), (starts,), generator=generator).to(z.device)
    far = torch.cdist(
        z[first].double(), z.double()
    ).square()  # a second centre is drawn as far away as its chance is high
    second = torch.multinomial(far.cpu() + 1e-12, 1, generator=generator)[:, 0].to(z.device)
    points, centres = z.double(), torch.stack([z[first], z[second]], 1).double()
    for _ in range(50):
        inside = _nearer_to_second(points, centres).double()
        moved = torch.stack([_means(points, 1 - inside), _means(points, inside)], 1)
        if torch.equal(moved, centres):
            break
        centres = moved
    squares = torch.stack([(points - centres[:, side, None]).square().sum(2) for side in (0, 1)])
    best = int(squares.amin(0).sum(1).argmin())
    inside = squares[1, best] < squares[0, best]
    return inside != inside[0]


def _nearer_to_second(points, centres):
    """For each start, which points lie nearer to its second centre: (starts, n) bool."""
    middle, across = centres.mean(1), centres[:, 1] - centres[:, 0]
    return across @ points.T > (across * middle).sum(1, keepdim=True)


def _means(points, inside):
    """For each start, the mean of the points inside: (starts, D)."""
    return inside @ points / inside.sum(1, keepdim=True).clamp_min(1)
