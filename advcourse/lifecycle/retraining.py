"""Training again without what a filter found: the repair, and the test that tells poison from a clean class's smaller half."""

import torch
from torch import Tensor, nn

from advcourse.core.inputs import InputError, check_range, check_seed, predict
from advcourse.data import ImageSet
from advcourse.lifecycle.poisoned import Train, check_data, check_flags, check_function, train_victim

_TRAIN = "a function (data, seed) -> network"


def retrain_without(data: ImageSet, flags: Tensor, seed: int = 0, train: Train = train_victim) -> nn.Module:
    """Train a fresh network on the images that are not flagged: the repair that the papers of the filters propose.

    Args:
        data: the training set, as it was given.
        flags: (N,) bool, the images to leave out.
        seed: handed to `train` (default 0).
        train: `(data, seed) -> network` (default `train_victim`).

    Raises:
        InputError: `flags` does not fit the data, or leaves no image.
    """
    check_flags(flags, len(check_data(data)))
    check_function(train, "train", _TRAIN)
    if flags.all():
        raise InputError("flags: got all images flagged; allowed is at least one that is not")
    return train(data.subset(~flags.cpu()), check_seed(seed))


def exclusionary_test(
    data: ImageSet, suspicious: Tensor, least: float = 1.0, seed: int = 0, train: Train = train_victim
) -> Tensor:
    """Return the score l / p of each class's suspicious images, as a network trained WITHOUT them reads them: (K,).

    l of them are read as they are labelled, p as the most frequent other class. A score below 1 condemns: a clean cluster belongs
    to its class, also for a network that never saw it; poison is read as what it shows, the class that it was taken from. Source:
    the exclusionary reclassification of Chen et al. 2018, section 5.2 (arXiv 1811.03728).

    The paper trains one network for each class. Here the first one is trained without the suspicious images of all classes, and
    acquits most of them; a class that it does not acquit gets a network of its own, trained without that class's suspicious
    images alone, whose score counts.

    On the digits poison scored up to 0.1 where the clustering had all of it, and clean clusters 1 and more; but a clean class
    that was split in halves scored 0.9 and 1.1 with two seeds.

    What breaks it: a clustering that misses a part of the poison. What is left teaches the trigger again, and the poison that was
    taken out is read as labelled.

    Args:
        data: the whole set, as it was given.
        suspicious: (N,) bool, of `filters.activation_clustering`.
        least: score that acquits a class, at least 0 (default 1, the paper's).
        seed, train: as for `retrain_without`.

    Returns:
        the scores, float64, infinite for p = 0, NaN for a class without suspicious images.

    Raises:
        InputError: `suspicious` does not fit the data, or an argument is out of range.
    """
    check_flags(suspicious, len(check_data(data)), "suspicious")
    check_function(train, "train", _TRAIN)
    suspicious, labels = suspicious.cpu(), data.labels.cpu()
    least = check_range(least, "least", 0)
    scores = torch.full((len(data.classes),), torch.nan, dtype=torch.float64)
    if not suspicious.any():
        return scores
    joint = retrain_without(data, suspicious, seed, train)
    for label in labels[suspicious].unique().tolist():
        own = suspicious & (labels == label)
        scores[label] = _score(joint, data, own, label)
        if scores[label] < least and not own.equal(suspicious):
            scores[label] = _score(retrain_without(data, own, seed, train), data, own, label)
    return scores


def condemned(data: ImageSet, suspicious: Tensor, scores: Tensor, least: float = 1.0) -> Tensor:
    """Return which suspicious images fail the exclusionary test: those of the classes whose score is below `least`, (N,) bool.

    Args:
        data: the whole set, as it was given.
        suspicious: (N,) bool, as for `exclusionary_test`.
        scores: (K,), what that returned; NaN condemns nothing.
        least: at least 0 (default 1).

    Raises:
        InputError: an argument does not fit the data, or is out of range.
    """
    check_flags(suspicious, len(check_data(data)), "suspicious")
    fits = isinstance(scores, Tensor) and scores.is_floating_point()
    if not fits or scores.shape != (len(data.classes),):
        raise InputError(
            f"scores: got something else; allowed is a floating-point tensor ({len(data.classes)},)"
        )
    failed = scores < check_range(least, "least", 0)
    return suspicious & failed.to(suspicious.device)[data.labels.to(suspicious.device)]


def _score(model, data, which, label):
    """l / p of the images `which`, all of them labelled `label`."""
    read = predict(model, data.images[which]).argmax(1).bincount(minlength=len(data.classes)).double()
    own = read[label].item()
    read[label] = 0
    return own / read.max().item() if read.any() else torch.inf
