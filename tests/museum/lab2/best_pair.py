"""Answers to best_pair(gradients, target, free)."""

import torch

from museum import Room
from museum.lab2 import given

room = Room("best_pair")


@room.right
def one_table(gradients, target, free):
    return given.best_pair(gradients, target, free)


@room.right
def image_by_image(gradients, target, free):
    pairs = []
    for g, t, f in zip(gradients, target, free):
        g, f = g.reshape(len(g), -1), f.reshape(-1).nonzero()[:, 0]
        alpha = g[t][f]
        beta = g[:, f].sum(0) - alpha
        p, q = torch.triu_indices(len(f), len(f), offset=1, device=g.device)
        a, b = alpha[p] + alpha[q], beta[p] + beta[q]
        good = ((a > 0) & (b < 0)).nonzero()[:, 0]
        if len(good) == 0:
            pairs.append(torch.tensor([-1, -1], device=g.device))
            continue
        best = good[(a[good] * b[good]).argmin()]
        pairs.append(torch.stack([f[q[best]], f[p[best]]]))  # the larger place first
    return torch.stack(pairs)


def tables(gradients, target, free):
    flat = gradients.flatten(2)
    alpha = flat[torch.arange(len(flat)), target]
    beta = flat.sum(1) - alpha
    free = free.flatten(1)
    allowed = free[:, :, None] & free[:, None, :] & ~torch.eye(flat.shape[2], dtype=torch.bool)
    return pairwise(alpha), pairwise(beta), allowed


def pairwise(v):
    return v[:, :, None] + v[:, None, :]


def chosen(score, allowed):
    d = score.shape[1]
    best, place = score.masked_fill(~allowed, -torch.inf).flatten(1).max(1)
    return torch.where(best.isinf()[:, None], -1, torch.stack([place // d, place % d], 1))


@room.wrong("no conditions")
def product_alone(gradients, target, free):
    a, b, allowed = tables(gradients, target, free)
    return chosen(-a * b, allowed)


@room.wrong("target among the others")
def sum_over_all(gradients, target, free):
    flat = gradients.flatten(2)
    a, b = pairwise(flat[torch.arange(len(flat)), target]), pairwise(flat.sum(1))
    allowed = tables(gradients, target, free)[2]
    return chosen(-a * b, allowed & (a > 0) & (b < 0))


@room.wrong("reversed")
def conditions_turned_round(gradients, target, free):
    a, b, allowed = tables(gradients, target, free)
    return chosen(-a * b, allowed & (a < 0) & (b > 0))


@room.wrong("each pixel alone")
def each_meets_the_conditions(gradients, target, free):
    a, b, allowed = tables(gradients, target, free)
    good = (a.diagonal(dim1=1, dim2=2) > 0) & (b.diagonal(dim1=1, dim2=2) < 0)
    return chosen(-a * b, allowed & good[:, :, None] & good[:, None, :])


@room.wrong("two single pixels")
def best_two_alone(gradients, target, free):
    flat = gradients.flatten(2)
    alpha = flat[torch.arange(len(flat)), target]
    beta = flat.sum(1) - alpha
    good = (alpha > 0) & (beta < 0) & free.flatten(1)
    return (-alpha * beta).masked_fill(~good, -torch.inf).topk(2).indices


@room.wrong("paired with itself")
def diagonal_kept(gradients, target, free):
    a, b, allowed = tables(gradients, target, free)
    free = free.flatten(1)
    return chosen(-a * b, free[:, :, None] & free[:, None, :] & (a > 0) & (b < 0))


@room.wrong("search set unused")
def everywhere(gradients, target, free):
    return given.best_pair(gradients, target, torch.ones_like(free))


@room.wrong("target's gradient alone")
def others_do_not_count(gradients, target, free):
    a, b, allowed = tables(gradients, target, free)
    return chosen(a, allowed & (a > 0) & (b < 0))


@room.wrong("sum, not product")
def sum_of_both(gradients, target, free):
    a, b, allowed = tables(gradients, target, free)
    return chosen(a - b, allowed & (a > 0) & (b < 0))


@room.wrong("a pair where there is none")
def first_place_of_an_empty_table(gradients, target, free):
    a, b, allowed = tables(gradients, target, free)
    score = torch.where(allowed & (a > 0) & (b < 0), -a * b, 0)
    place, d = score.flatten(1).argmax(1), score.shape[1]
    return torch.stack([place // d, place % d], 1)


@room.wrong("formula")
def lowest_score(gradients, target, free):
    a, b, allowed = tables(gradients, target, free)
    return chosen(a * b, allowed & (a > 0) & (b < 0))


@room.wrong("shape")
def one_number_for_the_pair(gradients, target, free):
    a, b, allowed = tables(gradients, target, free)
    return (-a * b).masked_fill(~(allowed & (a > 0) & (b < 0)), -torch.inf).flatten(1).argmax(1)


@room.wrong("zero counts")
def at_least_zero(gradients, target, free):
    a, b, allowed = tables(gradients, target, free)
    return chosen(-a * b, allowed & (a >= 0) & (b <= 0))


@room.wrong("zero counts")
def the_target_may_stand_still(gradients, target, free):
    a, b, allowed = tables(gradients, target, free)
    return chosen(-a * b, allowed & (a >= 0) & (b < 0))


@room.wrong("zero counts")
def the_others_may_stand_still(gradients, target, free):
    a, b, allowed = tables(gradients, target, free)
    return chosen(-a * b, allowed & (a > 0) & (b <= 0))
