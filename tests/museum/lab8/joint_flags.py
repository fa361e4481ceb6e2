"""Answers to joint_flags(clean_scores, scores, fpr)."""

import math

import numpy as np
import torch

from museum import Room

room = Room("joint_flags")


def cut(clean, share):
    """(D, 1): above it lies at most the share of each row."""
    k = int(share * clean.shape[1])
    return clean.sort(dim=1, descending=True).values[:, k : k + 1]


@room.right
def with_sort(clean_scores, scores, fpr):
    return (scores > cut(clean_scores, fpr / len(clean_scores))).any(0)


@room.right
def with_topk(clean_scores, scores, fpr):
    d, m = clean_scores.shape
    threshold = clean_scores.topk(math.floor(fpr / d * m) + 1, dim=1).values[:, -1:]
    return (scores - threshold > 0).sum(0).clamp(max=1)


@room.right
def with_numpys_higher_quantile(clean_scores, scores, fpr):
    flagged = torch.zeros(scores.shape[1], device=scores.device)
    for clean, row in zip(clean_scores, scores):
        share = fpr / len(clean_scores)
        threshold = np.quantile(clean.cpu().numpy(), 1 - share, method="higher")
        flagged = torch.maximum(flagged, (row > float(threshold)).float())
    return flagged


@room.right
def tries_every_threshold(clean_scores, scores, fpr):
    rows = []
    for clean, row in zip(clean_scores, scores):
        above = (clean[:, None] > clean).double().mean(0)
        rows.append(row > clean[above <= fpr / len(clean_scores)].min())
    return torch.stack(rows).any(0)


@room.wrong("budget spent by each")
def each_the_whole(clean_scores, scores, fpr):
    return (scores > cut(clean_scores, fpr)).any(0)


@room.wrong("all must agree")
def every_one(clean_scores, scores, fpr):
    return (scores > cut(clean_scores, fpr / len(clean_scores))).all(0)


@room.wrong("one scale for all")
def pooled(clean_scores, scores, fpr):
    return (scores > cut(clean_scores.reshape(1, -1), fpr / len(clean_scores))).any(0)


@room.wrong("wrong end")
def sorted_upwards(clean_scores, scores, fpr):
    k = int(fpr / len(clean_scores) * clean_scores.shape[1])
    return (scores > clean_scores.sort(dim=1).values[:, k : k + 1]).any(0)


@room.wrong("everything flagged")
def magnets_index(clean_scores, scores, fpr):
    k = int(fpr / len(clean_scores) * clean_scores.shape[1])
    return (scores > clean_scores.sort(dim=1).values[:, -k][:, None]).any(0)


@room.wrong("one too few")
def kth_largest(clean_scores, scores, fpr):
    k = max(int(fpr / len(clean_scores) * clean_scores.shape[1]), 1)
    return (scores > clean_scores.topk(k, dim=1).values[:, -1:]).any(0)


@room.wrong("promise broken")
def torch_quantile(clean_scores, scores, fpr):
    threshold = clean_scores.quantile(1 - fpr / len(clean_scores), dim=1, keepdim=True)
    return (scores > threshold).any(0)


@room.wrong("tuned on the attack")
def from_the_attack(clean_scores, scores, fpr):
    return (scores > cut(scores, fpr / len(scores))).any(0)


@room.wrong("passed")
def not_flagged(clean_scores, scores, fpr):
    return (scores <= cut(clean_scores, fpr / len(clean_scores))).all(0)


@room.wrong("percentage")
def out_of_a_hundred(clean_scores, scores, fpr):
    return with_sort(clean_scores, scores, fpr / 100)


@room.wrong("first detector alone")
def first_row(clean_scores, scores, fpr):
    return scores[0] > cut(clean_scores[:1], fpr / len(clean_scores))[0]


@room.wrong("majority")
def most_of_them(clean_scores, scores, fpr):
    return (scores > cut(clean_scores, fpr / len(clean_scores))).double().mean(0) > 0.5


@room.wrong("flagged at the threshold")
def ties_flagged(clean_scores, scores, fpr):
    return (scores >= cut(clean_scores, fpr / len(clean_scores))).any(0)


@room.wrong("formula")
def mean_plus_two_deviations(clean_scores, scores, fpr):
    return (scores > (clean_scores.mean(1) + 2 * clean_scores.std(1))[:, None]).any(0)


@room.wrong("shape")
def of_each_detector(clean_scores, scores, fpr):
    return scores > cut(clean_scores, fpr / len(clean_scores))


@room.wrong("type")
def a_list(clean_scores, scores, fpr):
    return with_sort(clean_scores, scores, fpr).tolist()


@room.wrong("input")
def sorted_in_place(clean_scores, scores, fpr):
    clean_scores[:] = clean_scores.sort(dim=1, descending=True).values
    k = int(fpr / len(clean_scores) * clean_scores.shape[1])
    return (scores > clean_scores[:, k : k + 1]).any(0)


@room.wrong("crash")
def share_for_an_index(clean_scores, scores, fpr):
    k = fpr / len(clean_scores) * clean_scores.shape[1]
    return (scores > clean_scores.sort(dim=1).values[:, k]).any(0)


@room.wrong("as if independent")
def sidaks_share(clean_scores, scores, fpr):
    return (scores > cut(clean_scores, 1 - (1 - fpr) ** (1 / len(clean_scores)))).any(0)


@room.wrong("always three")
def a_third_of_the_promise(clean_scores, scores, fpr):
    return (scores > cut(clean_scores, fpr / 3)).any(0)


@room.wrong("other amount")
def three_detectors(clean_scores, scores, fpr):
    above = scores > cut(clean_scores, fpr / 3)
    return above[0] | above[1] | above[2]


@room.wrong("promise broken")
def rounded_up(clean_scores, scores, fpr):
    k = math.ceil(fpr / len(clean_scores) * clean_scores.shape[1])
    return (scores > clean_scores.sort(dim=1, descending=True).values[:, k : k + 1]).any(0)
