"""Filters of training data: which images does a network's inner layer set apart from the rest of their class?

All take activations (N, D), see `features.activations`, and the labels that the images were GIVEN, and work class by class.
"""

import warnings
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from advcourse.core.inputs import InputError, are_integers, check_choice, check_range, check_seed
from advcourse.core.intervals import Interval, counted
from advcourse.lifecycle.features import check_features, check_given
from advcourse.lifecycle.poisoned import check_flags, form

_FEWEST = 4  # activations of a class that can be split into clusters


@dataclass(frozen=True)
class Clusters:
    """The result of `activation_clustering`.

    suspicious: (N,) bool, the images of the smaller cluster of their class. size: (K,) the share of each class that its smaller
    cluster is, NaN for a class with fewer than four images.
    """

    suspicious: Tensor
    size: Tensor


def activation_clustering(
    h: Tensor, labels: Tensor, reduce: Literal["ica", "pca"] = "ica", components: int = 10, seed: int = 0
) -> Clusters:
    """Split the activations of each class into two clusters; the smaller one is suspicious.

    Source: Chen et al. 2018, "Detecting Backdoor Attacks on Deep Neural Networks by Activation Clustering" (arXiv 1811.03728).
    Poison and clean images of the target class get the same label for different reasons, and so from different activations.

    The reduction decides. PCA keeps each direction as long as it is, and 2-means splits along the longest, which need not lead
    from clean images to poison. Independent component analysis, the paper's choice, gives all directions the same variance.
    That is what helps: 2-means does not notice a rotation, so that whitened PCA gives the same clusters. Published
    implementations often use plain PCA.

    Every class is split, so that a small cluster alone proves nothing: `exclusionary_test` decides.

    What breaks it: a few poisons, too few for a cluster of their own. Ten of them in 4 000 images do lie in the smaller cluster,
    beside a third of the clean class; see `contest`.

    Args:
        h: activations (N, D).
        labels: the given labels (N,).
        reduce: "ica" (default), whitened to unit variance; or "pca", for contrast.
        components: to reduce to (default 10), fewer if the class has fewer images or varies in fewer directions.
        seed: of ICA's and of the clusters' starting points (default 0).

    Raises:
        InputError: not such tensors, or a setting out of range.
    """
    h, labels = check_features(h, labels)
    check_choice(reduce, "reduce", ("ica", "pca"))
    components, seed = check_range(components, "components", 1, integer=True), check_seed(seed) % 2**32
    suspicious = torch.zeros(len(h), dtype=torch.bool)
    size = torch.full((int(labels.max()) + 1,), torch.nan, dtype=torch.float64)
    for label in labels.unique().tolist():
        members = (labels == label).nonzero()[:, 0]
        if len(members) >= _FEWEST:
            small = _smaller_cluster(h[members].numpy(), reduce, components, seed)
            suspicious[members[small]] = True
            size[label] = small.mean()
    return Clusters(suspicious, size)


def spectral_signatures(h: Tensor, labels: Tensor, directions: int = 1) -> Tensor:
    """Return the score s_i = sum_k <h_i - mean, v_k>^2 of each image, by the top right singular vectors v_k of its class: (N,).

    Source: Tran, Li and Madry 2018, "Spectral Signatures in Backdoor Attacks", algorithm 1 (arXiv 1811.00636), which uses one
    direction. One finds poison only if the class varies most along it, and only a minority: two clusters of the same size lie
    equally far from their common mean. On digits the sum over ten directions does better.

    Args:
        h: activations (N, D).
        labels: the given labels (N,).
        directions: how many singular vectors are used (default 1, the paper's), at most D.

    Returns:
        the scores, float64, on the CPU; higher is more suspicious within a class.

    Raises:
        InputError: not such tensors, or a setting out of range.
    """
    h, labels = check_features(h, labels)
    directions = check_range(directions, "directions", 1, h.shape[1], integer=True)
    scores = torch.zeros(len(h), dtype=torch.float64)
    for label in labels.unique():
        members = labels == label
        centred = h[members] - h[members].mean(0)
        vectors = torch.linalg.svd(centred, full_matrices=False).Vh[:directions]
        scores[members] = (centred @ vectors.T).square().sum(1)
    return scores


def trusted_distance(h: Tensor, labels: Tensor, trusted: Tensor, trusted_labels: Tensor) -> Tensor:
    """Return the squared Mahalanobis distance of each image to a trusted sample of its class: (N,), float64, on the CPU.

    A defender who can vouch for a few clean images needs no assumption on how much of the data is poisoned. Source of the
    distance: Lee, Lee, Lee and Shin 2018 (arXiv 1807.03888); of the covariance, which has more entries than the sample has
    images: Ledoit and Wolf 2004, "A well-conditioned estimator for large-dimensional covariance matrices", by scikit-learn.

    Args:
        h: activations (N, D).
        labels: the given labels (N,).
        trusted: activations (M, D) of clean images.
        trusted_labels: their labels (M,), at least two of every class in `labels`.

    Raises:
        InputError: not such tensors, or too few trusted images of a class.
    """
    from sklearn.covariance import LedoitWolf  # takes a second to import

    h, labels = check_features(h, labels)
    trusted, trusted_labels = check_features(trusted, trusted_labels, "trusted", "trusted_labels")
    if trusted.shape[1] != h.shape[1]:
        raise InputError(
            f"trusted: got {trusted.shape[1]} values an image; allowed are {h.shape[1]}, as in h"
        )
    distance = torch.zeros(len(h), dtype=torch.float64)
    for label in labels.unique().tolist():
        sample = trusted[trusted_labels == label]
        if len(sample) < 2:
            raise InputError(f"trusted: got {len(sample)} images of class {label}; allowed are 2 or more")
        estimate = LedoitWolf().fit(sample.numpy())
        members = labels == label
        distance[members] = torch.from_numpy(estimate.mahalanobis(h[members].numpy()))
    return distance


def highest(scores: Tensor, labels: Tensor, count: int) -> Tensor:
    """Return the `count` highest scores of each class: (N,) bool. Spectral signatures removes 1.5 times the expected poison.

    Args:
        scores: (N,), such as `spectral_signatures`.
        labels: the given labels (N,).
        count: at least 0; a class with fewer images is taken as a whole.

    Raises:
        InputError: `scores` and `labels` do not fit, or `count` is out of range.
    """
    count = check_range(count, "count", 0, integer=True)
    real = isinstance(scores, Tensor) and not scores.is_complex() and scores.dim() == 1
    if not real or (isinstance(labels, Tensor) and scores.shape != labels.shape):
        raise InputError(
            "scores: got another shape than the labels; allowed is (N,), one score for each label"
        )
    if scores.isnan().any():
        raise InputError("scores: got NaN; allowed are numbers, since NaN would be the highest of its class")
    labels = check_given(labels, len(scores))
    taken = torch.zeros(len(scores), dtype=torch.bool, device=scores.device)
    for label in labels.unique():
        members = (labels == label).nonzero()[:, 0].to(scores.device)
        taken[members[scores[members].argsort(descending=True, stable=True)[:count]]] = True
    return taken


class Caught(NamedTuple):
    """How good a filter is: the share of the flagged images that are poison, of the poison and of the clean images flagged."""

    precision: Interval
    recall: Interval
    cost: Interval


def caught(flags: Tensor, touched: Tensor) -> Caught:
    """Judge the `flags` (N,) bool of a filter by the indices `touched` (P,) of a `Poisoned`, which no filter may see.

    Raises:
        InputError: `flags` is not bool (N,), or an index is out of range.
    """
    check_flags(flags, len(flags) if isinstance(flags, Tensor) and flags.dim() else 0)
    if not isinstance(touched, Tensor) or touched.dim() != 1 or not are_integers(touched):
        raise InputError(f"touched: got {form(touched)}; allowed are the indices (P,) of a Poisoned")
    if len(touched) and not 0 <= int(touched.min()) <= int(touched.max()) < len(flags):
        raise InputError(
            f"touched: got indices beyond the {len(flags)} images; allowed are 0 to {len(flags) - 1}"
        )
    hits, flagged, n = int(flags.cpu()[touched.cpu()].sum()), int(flags.sum()), len(flags)
    clean = n - len(touched)
    return Caught(counted(hits, flagged), counted(hits, len(touched)), counted(flagged - hits, clean))


def _smaller_cluster(h, reduce, components, seed):
    """Return which rows of `h` (n, D) lie in the smaller of two clusters, (n,) bool; equal sizes: the one with the first row."""
    from sklearn.cluster import KMeans  # takes a second to import
    from sklearn.decomposition import PCA, FastICA
    from sklearn.exceptions import ConvergenceWarning

    components = min(components, np.linalg.matrix_rank(h - h.mean(0)))
    if components:
        kind = {"ica": FastICA, "pca": PCA}[reduce]
        settings = {"whiten": "unit-variance"} if reduce == "ica" else {}
        with warnings.catch_warnings():
            # Its last rotation is as good as any: the clusters do not depend on it.
            warnings.simplefilter("ignore", ConvergenceWarning)
            h = kind(components, random_state=seed, **settings).fit_transform(h)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # identical points form one cluster
        second = KMeans(2, n_init=10, random_state=seed).fit(h).labels_ == 1
    second = second if not second[0] else ~second
    return second if second.sum() < len(h) / 2 else ~second
