"""Answers to median_size(size, success)."""

import numpy as np
import torch

from museum import Room

room = Room("median_size")


def filled(size, success, value=torch.inf):
    return torch.where(success, size, value)


def middle(values):
    values, n = values.sort(1).values, values.shape[1]
    return (values[:, (n - 1) // 2] + values[:, n // 2]) / 2


@room.right
def with_sort(size, success):
    return middle(filled(size, success))


@room.right
def with_numpy(size, success):
    values = size.cpu().numpy().copy()
    values[~success.cpu().numpy()] = np.inf
    return torch.from_numpy(np.median(values, axis=1)).to(size)


@room.right
def row_by_row(size, success):
    result = []
    for sizes, fooled in zip(size, success):
        found = sorted(sizes[fooled].tolist())
        n = len(sizes)
        found += [float("inf")] * (n - len(found))
        result.append(found[n // 2] if n % 2 else 0.5 * found[n // 2 - 1] + 0.5 * found[n // 2])
    return size.new_tensor(result)


@room.wrong("failures left out")
def nanmedian(size, success):
    return filled(size, success, torch.nan).nanmedian(dim=1).values


@room.wrong("failures at 0")
def multiplied(size, success):
    return middle(size * success)


@room.wrong("failures as they are")
def success_unused(size, success):
    return size.median(dim=1).values


@room.wrong("turned round")
def where_turned_round(size, success):
    return middle(torch.where(success, torch.inf, size))


@room.wrong("mean of successes")
def what_papers_report(size, success):
    return (size * success).sum(1) / success.sum(1)


@room.wrong("mean")
def mean_with_failures(size, success):
    return filled(size, success).mean(1)


@room.wrong("lower middle")
def torch_median(size, success):
    return filled(size, success).median(dim=1).values


@room.wrong("upper middle")
def column_n_half(size, success):
    return filled(size, success).sort(1).values[:, size.shape[1] // 2]


@room.wrong("infinity minus infinity")
def torch_quantile(size, success):
    return filled(size, success).quantile(0.5, dim=1)


@room.wrong("a large number")
def a_billion(size, success):
    return middle(filled(size, success, 1e9))


@room.wrong("attacks mixed")
def all_in_one(size, success):
    return middle(filled(size, success).view(1, -1)).repeat(len(size))


@room.wrong("formula")
def largest_for_failures(size, success):
    return middle(filled(size, success, size.max()))


@room.wrong("shape")
def along_the_attacks(size, success):
    return middle(filled(size, success).T)


@room.wrong("type")
def value_and_place(size, success):
    return filled(size, success).median(dim=1)


@room.wrong("input")
def in_place(size, success):
    size[~success] = torch.inf
    return middle(size)


@room.wrong("crash")
def picked_out(size, success):
    return size[success].view(len(size), -1).median(dim=1).values


@room.wrong("other amount")
def six_attacks(size, success):
    return torch.cat([middle(filled(size[[a]], success[[a]])) for a in range(6)])
