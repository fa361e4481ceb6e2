"""Label flips, the vote of neighbours that finds them, and the record of trials on single targets."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from advcourse.core.inputs import check_choice, check_range, check_seed
from advcourse.core.intervals import Interval
from advcourse.data import ImageSet
from advcourse.lifecycle.features import check_features
from advcourse.lifecycle.poisoned import Poisoned, changed, check_count, check_data, draw

_ROWS = 1000  # distances of so many images are held at once


@dataclass(frozen=True)
class Trials:
    """What poisoning with a single target achieved, over many targets. One target shows nothing: many never work.

    Attributes:
        wins: the share of trials in which a victim reads the target as the wanted class. A rate of trials, not of test images.
        control: the same with the bases left as they were: what the choice of target, class and victim does by itself.
        accuracy, control_accuracy: mean accuracy of the victims on the held-out images, with and without the poison.
        targets: (T,) the index of each target among the held-out images. wanted: (T,) the class that it was to be read as.
        won: (T,) how many of the target's victims were won.
    """

    wins: Interval
    control: Interval
    accuracy: float
    control_accuracy: float
    targets: Tensor
    wanted: Tensor
    won: Tensor


def flip_labels(
    data: ImageSet, share: float, mode: Literal["random", "pair"] = "random", seed: int = 0
) -> Poisoned:
    """Give a share of the images a wrong label: poisoning against availability.

    "random" draws one of the K - 1 wrong labels, "pair" gives y + 1 (after the last class comes the first). Random flips of half
    of the labels leave the right one the most frequent by far, while pair flips of half tie it with one other. Source of the two
    kinds: Han et al. 2018, "Co-teaching", section 4 (arXiv 1804.06872).

    Args:
        data: the training set.
        share: of the whole set, in [0, 1]: exactly round(share * N) labels are flipped.
        mode: "random" (default) or "pair".
        seed: of the choice of the images and of the wrong labels (default 0).

    Returns:
        a `Poisoned`, the pixels of whose data are those of `data`.

    Raises:
        InputError: an argument is out of range.
    """
    count, classes = check_count(share, check_data(data)), len(data.classes)
    check_choice(mode, "mode", ("random", "pair"))
    touched = draw(torch.arange(len(data)), count, check_seed(seed), "the set")
    shift = torch.ones(count, dtype=torch.int64)
    if mode == "random":
        shift = torch.randint(1, classes, (count,), generator=torch.Generator().manual_seed(seed))
    labels = data.labels.clone()
    labels[touched] = (labels[touched] + shift.to(labels.device)) % classes
    return Poisoned(changed(data, data.images.clone(), labels), touched)


def label_vote(h: Tensor, labels: Tensor, k: int = 20) -> Tensor:
    """Return which images are outvoted: their label is not the most frequent one among their k nearest neighbours, (N,) bool.

    Source: Peri et al. 2019, "Deep k-NN Defense against Clean-label Data Poisoning Attacks" (arXiv 1909.13374). A poison that
    collides with its target lies among images of the target's class. A clean image near a boundary is outvoted, too: read the
    cost, `filters.caught(...).cost`, beside the recall. In a tie the image keeps its place.

    What breaks it: as many poisons as clean neighbours, such as pair flips of half of a class.

    Args:
        h: features (N, D), of a network that the defender trusts, or flattened images.
        labels: the given labels (N,).
        k: neighbours (default 20), the image itself not among them; fewer than N. The paper advises more than the number of
            poisons for one target.

    Raises:
        InputError: not such tensors, or `k` is out of range.
    """
    h, labels = check_features(h, labels)
    k = check_range(k, "k", 1, len(h) - 1, integer=True)
    outvoted = []
    for rows in torch.arange(len(h)).split(_ROWS):
        distances = torch.cdist(h[rows], h, compute_mode="donot_use_mm_for_euclid_dist")
        distances[torch.arange(len(rows)), rows] = torch.inf
        near = labels[distances.topk(k, largest=False).indices]
        votes = torch.zeros(len(rows), int(labels.max()) + 1, dtype=torch.int64)
        votes.scatter_add_(1, near, torch.ones_like(near))
        outvoted.append(votes.gather(1, labels[rows, None])[:, 0] < votes.amax(1))
    return torch.cat(outvoted)
