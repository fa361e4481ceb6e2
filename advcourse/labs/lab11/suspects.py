"""Lab 11: activation clustering, which finds poison among the training images of a class."""

import torch

from advcourse.labs.exercises import exercise
from advcourse.labs.lab11.clustering import a_class, finds_the_poison, says_which
from advcourse.labs.lab11.given import two_means
from advcourse.labs.lab11.sets import PlainTask
from advcourse.labs.properties import answers, keeps_what_it_gets, leaves_nothing_behind, other_device


@exercise(
    "Suspects",
    4,
    a_class,
    (
        "Three steps: reduce h to 10 components of variance 1, split by two_means, and return the cluster with fewer points. "
        "Another 2-means needs a hundred starts as well, KMeans(2, n_init=100): from ten it often stops at worse clusters.",
        "sklearn.decomposition.FastICA(10, whiten='unit-variance', random_state=0).fit_transform(h.numpy()) does the first. "
        "Without "
        "scikit-learn: U from torch.linalg.svd(h - h.mean(0), full_matrices=False), of which the first ten columns.",
        "second = two_means(z); return second if second.sum() < len(h) / 2 else ~second.",
    ),
    shape=lambda case: (len(case["h"]),),
    numbers="whole",
    kind=PlainTask,
)
def suspects(h):
    return smaller(two_means(by_svd(h, 10)))


def by_svd(h, components):
    u, _, _ = torch.linalg.svd(h - h.mean(0), full_matrices=False)
    return u[:, :components] * len(h) ** 0.5


def principal(h, components):
    u, s, _ = torch.linalg.svd(h - h.mean(0), full_matrices=False)
    return (u * s)[:, :components]


def smaller(second):
    return second if second.sum() < len(second) / 2 else ~second


@suspects.right
def by_independent_components(h):
    from sklearn.cluster import KMeans
    from sklearn.decomposition import FastICA

    z = FastICA(10, whiten="unit-variance", random_state=0).fit_transform(h.cpu().numpy())
    label = KMeans(2, n_init=100, random_state=0).fit_predict(z)
    small = 1 if 2 * label.sum() < len(label) else 0
    return torch.from_numpy(label == small).to(h.device)


@suspects.right
def by_whitening_the_covariance(h):
    centred = (h - h.mean(0)).double()
    variances, directions = torch.linalg.eigh(centred.T @ centred / (len(h) - 1))
    z = centred @ directions[:, -10:] / variances[-10:].sqrt()
    second = two_means(z, seed=1)
    sizes = torch.stack([(~second).sum(), second.sum()])
    return (second.long() == sizes.argmin()).long()


@suspects.wrong("not whitened")
def on_the_activations(h):
    return smaller(two_means(h))


@suspects.wrong("not whitened")
def on_principal_components(h):
    return smaller(two_means(principal(h, 10)))


@suspects.wrong("larger cluster")
def the_larger_one(h):
    return ~suspects(h)


@suspects.wrong("whole class")
def everything(h):
    return torch.ones(len(h), dtype=torch.bool)


@suspects.wrong("whole class")
def both_clusters(h):
    second = two_means(by_svd(h, 10))
    return second | ~second


@suspects.wrong("nothing flagged")
def a_cluster_of_a_tenth(h):
    found = suspects(h)
    return found & (found.double().mean() < 0.1)


@suspects.wrong("whichever")
def the_second_cluster(h):
    return two_means(by_svd(h, 10))


@suspects.wrong("whichever")
def the_first_cluster(h):
    return ~two_means(by_svd(h, 10))


@suspects.wrong("no clusters")
def the_farthest(h):
    apart = (h - h.mean(0)).norm(dim=1)
    return apart >= apart.quantile(0.75)


@suspects.wrong("no clusters")
def along_one_direction(h):
    along = principal(h, 1)[:, 0].abs()
    return along >= along.quantile(0.75)


@suspects.wrong("no clusters")
def half_of_them(h):
    return torch.arange(len(h)) < len(h) / 2


@suspects.wrong("part of it")
def the_middle_of_the_cluster(h):
    found, z = suspects(h), by_svd(h, 10)
    apart = (z - z[found].mean(0)).norm(dim=1)
    return found & (apart <= apart[found].quantile(0.6))


@suspects.wrong("type")
def places(h):
    return suspects(h).nonzero()[:, 0].tolist()


@suspects.wrong("shape")
def indices(h):
    return suspects(h).nonzero()[:, 0]


@suspects.wrong("shape")
def both_distances(h):
    return by_svd(h, 2)


@suspects.wrong("input")
def centres_in_place(h):
    h -= h.mean(0)
    return suspects(h)


@suspects.wrong("yes or no")
def a_score(h):
    z = by_svd(h, 10)
    return z.norm(dim=1)


suspects.checks(
    answers,
    keeps_what_it_gets,
    says_which,
    finds_the_poison,
    other_device,
    leaves_nothing_behind,
)
