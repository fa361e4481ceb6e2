"""Answers to win_rate(clean_scores, scores, fooled, fpr)."""

import math

import numpy as np
import torch

from museum import Room

room = Room("win_rate")


def cut(values, fpr):
    return values.sort(descending=True).values[int(fpr * len(values))]


def won(fooled, silent):
    return (fooled & silent).double().mean(1)


@room.right
def with_sort(clean_scores, scores, fooled, fpr):
    return won(fooled, scores <= cut(clean_scores, fpr))


@room.right
def tries_every_threshold(clean_scores, scores, fooled, fpr):
    allowed = [t for t in clean_scores.tolist() if float((clean_scores > t).double().mean()) <= fpr]
    threshold, rates = min(allowed), []
    for row, hits in zip(scores.tolist(), fooled.tolist()):
        rates.append(sum(hit and not score > threshold for score, hit in zip(row, hits)) / len(row))
    return torch.tensor(rates, device=scores.device)


@room.right
def with_topk(clean_scores, scores, fooled, fpr):
    threshold = clean_scores.topk(math.floor(fpr * len(clean_scores)) + 1).values[-1]
    return (fooled & ~(scores > threshold)).sum(1) / scores.shape[1]


@room.wrong("tuned on each attack")
def one_for_each_attack(clean_scores, scores, fooled, fpr):
    return won(fooled, scores <= torch.stack([cut(row, fpr) for row in scores])[:, None])


@room.wrong("best cut")
def youden(clean_scores, scores, fooled, fpr):
    rates = []
    for row, hits in zip(scores, fooled):
        every = torch.cat([clean_scores, scores.flatten()]).sort().values
        gain = [(row > t).double().mean() - (clean_scores > t).double().mean() for t in every]
        rates.append((hits & (row <= every[int(torch.stack(gain).argmax())])).double().mean())
    return torch.stack(rates)


@room.wrong("pooled")
def all_scores_together(clean_scores, scores, fooled, fpr):
    return won(fooled, scores <= cut(torch.cat([clean_scores, scores.flatten()]), fpr))


@room.wrong("wrong end")
def sorted_upwards(clean_scores, scores, fooled, fpr):
    return won(fooled, scores <= clean_scores.sort().values[int(fpr * len(clean_scores))])


@room.wrong("low scores flagged")
def flagged_below(clean_scores, scores, fooled, fpr):
    return won(fooled, scores >= clean_scores.sort().values[int(fpr * len(clean_scores))])


@room.wrong("wins when flagged")
def not_forgotten(clean_scores, scores, fooled, fpr):
    return won(fooled, scores > cut(clean_scores, fpr))


@room.wrong("no need to fool")
def fooled_unused(clean_scores, scores, fooled, fpr):
    return (scores <= cut(clean_scores, fpr)).double().mean(1)


@room.wrong("either will do")
def or_instead_of_and(clean_scores, scores, fooled, fpr):
    return (fooled | (scores <= cut(clean_scores, fpr))).double().mean(1)


@room.wrong("among the fooled")
def over_the_fooled(clean_scores, scores, fooled, fpr):
    silent = scores <= cut(clean_scores, fpr)
    return (fooled & silent).sum(1) / fooled.sum(1)


@room.wrong("no detector")
def success_rate(clean_scores, scores, fooled, fpr):
    return fooled.double().mean(1)


@room.wrong("detection rate")
def true_positives(clean_scores, scores, fooled, fpr):
    return (scores > cut(clean_scores, fpr)).double().mean(1)


@room.wrong("defender's view")
def what_is_left(clean_scores, scores, fooled, fpr):
    return 1 - with_sort(clean_scores, scores, fooled, fpr)


@room.wrong("percentage")
def out_of_a_hundred(clean_scores, scores, fooled, fpr):
    return with_sort(clean_scores, scores, fooled, fpr / 100)


@room.wrong("fixed cut")
def one_half(clean_scores, scores, fooled, fpr):
    return won(fooled, scores <= 0.5)


@room.wrong("everything flagged")
def counted_from_the_end(clean_scores, scores, fooled, fpr):
    return won(fooled, scores <= clean_scores.sort().values[-int(fpr * len(clean_scores))])


@room.wrong("one too few")
def largest_k(clean_scores, scores, fooled, fpr):
    k = max(int(fpr * len(clean_scores)), 1)
    return won(fooled, scores <= clean_scores.topk(k).values[-1])


@room.wrong("promise broken")
def torch_quantile(clean_scores, scores, fooled, fpr):
    return won(fooled, scores <= clean_scores.quantile(1 - fpr))


@room.wrong("flagged at the threshold")
def ties_flagged(clean_scores, scores, fooled, fpr):
    return won(fooled, scores < cut(clean_scores, fpr))


@room.wrong("formula")
def mean_plus_two_deviations(clean_scores, scores, fooled, fpr):
    return won(fooled, scores <= clean_scores.mean() + 2 * clean_scores.std())


@room.wrong("shape")
def one_number(clean_scores, scores, fooled, fpr):
    return with_sort(clean_scores, scores, fooled, fpr).mean()


@room.wrong("type")
def a_list_of_rates(clean_scores, scores, fooled, fpr):
    return with_sort(clean_scores, scores, fooled, fpr).tolist()


@room.wrong("input")
def sorted_in_place(clean_scores, scores, fooled, fpr):
    clean_scores[:] = clean_scores.sort(descending=True).values
    return won(fooled, scores <= clean_scores[int(fpr * len(clean_scores))])


@room.wrong("crash")
def share_for_an_index(clean_scores, scores, fooled, fpr):
    return won(fooled, scores <= clean_scores.sort(descending=True).values[fpr * len(clean_scores)])


@room.wrong("one image less")
def place_among_n_minus_1(clean_scores, scores, fooled, fpr):
    return won(
        fooled, scores <= clean_scores.sort(descending=True).values[int(fpr * (len(clean_scores) - 1))]
    )


@room.wrong("less than fpr")
def strictly_below(clean_scores, scores, fooled, fpr):
    allowed = [t for t in clean_scores if (clean_scores > t).double().mean() < fpr]
    return won(fooled, scores <= min(allowed))


@room.wrong("one image less")
def with_numpys_higher_quantile(clean_scores, scores, fooled, fpr):
    threshold = np.quantile(clean_scores.cpu().numpy(), 1 - fpr, method="higher")
    return won(fooled, scores <= float(threshold))


@room.wrong("other amount")
def four_attacks(clean_scores, scores, fooled, fpr):
    threshold = cut(clean_scores, fpr)
    return torch.stack([(fooled[a] & (scores[a] <= threshold)).double().mean() for a in range(4)])


@room.wrong("a large number")
def failures_at_999(clean_scores, scores, fooled, fpr):
    return (torch.where(fooled, scores, 999.0) <= cut(clean_scores, fpr)).double().mean(1)


@room.wrong("a large number")
def failures_at_a_billion(clean_scores, scores, fooled, fpr):
    return (torch.where(fooled, scores, 1e9) <= cut(clean_scores, fpr)).double().mean(1)


@room.right
def failures_at_infinity(clean_scores, scores, fooled, fpr):
    return (torch.where(fooled, scores, torch.inf) <= cut(clean_scores, fpr)).double().mean(1)
