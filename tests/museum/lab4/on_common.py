"""Answers to on_common(size, success)."""

import math

import torch

from museum import Room

room = Room("on_common")


@room.right
def with_columns(size, success):
    return size[:, success.all(0)].mean(1)


@room.right
def image_by_image(size, success):
    total, n = [0.0] * len(size), 0
    for i in range(size.shape[1]):
        if bool(success[:, i].all()):
            n += 1
            total = [t + float(s) for t, s in zip(total, size[:, i])]
    return size.new_tensor([t / n if n else math.nan for t in total])


@room.right
def with_nanmean(size, success):
    common = success.sum(0) == len(success)
    return torch.where(common, size, torch.nan).nanmean(1)


@room.wrong("own successes")
def each_by_itself(size, success):
    return (size * success).sum(1) / success.sum(1)


@room.wrong("any attack")
def any_instead_of_all(size, success):
    return size[:, success.any(0)].mean(1)


@room.wrong("all images")
def success_unused(size, success):
    return size.mean(1)


@room.wrong("majority")
def most_attacks(size, success):
    return size[:, success.float().mean(0) > 0.5].mean(1)


@room.wrong("first attack decides")
def first_row(size, success):
    return size[:, success[0]].mean(1)


@room.wrong("common failures")
def negated(size, success):
    return size[:, (~success).all(0)].mean(1)


@room.wrong("sum")
def added_up(size, success):
    return size[:, success.all(0)].sum(1)


@room.wrong("divided by all")
def over_n(size, success):
    return (size * success.all(0)).mean(1)


@room.wrong("median")
def middle_one(size, success):
    return size[:, success.all(0)].quantile(0.5, dim=1)


@room.wrong("attacks mixed")
def one_for_all(size, success):
    return size[:, success.all(0)].mean().repeat(len(size))


@room.wrong("0 for none")
def nothing_is_zero(size, success):
    return with_columns(size, success).nan_to_num(0.0)


@room.wrong("infinity for none")
def nothing_is_infinite(size, success):
    return torch.where(success.all(0).any(), with_columns(size, success), torch.inf)


@room.wrong("infinity times 0")
def with_a_factor(size, success):
    common = success.all(0).float()
    return (size * common).sum(1) / common.sum()


@room.wrong("formula")
def successes_of_all_but_one(size, success):
    return size[:, success[1:].all(0)].mean(1)


@room.wrong("shape")
def mean_of_each_image(size, success):
    return size[:, success.all(0)].mean(0)


@room.wrong("type")
def a_list_of_floats(size, success):
    return with_columns(size, success).tolist()


@room.wrong("input")
def failures_marked(size, success):
    size[~success] = torch.nan
    return size[:, success.all(0)].mean(1)


@room.wrong("crash")
def along_the_wrong_dimension(size, success):
    return size[:, success.all(1)].mean(1)


@room.wrong("NaN times 0")
def without_the_infinite_ones(size, success):
    common = success.all(0)
    return (size.masked_fill(size.isinf(), 0) * common).sum(1) / common.sum()


@room.wrong("formula")
def of_four_attacks(size, success):
    return size[:, success.sum(0) == 4].mean(1)


@room.wrong("other amount")
def four_rows(size, success):
    first, second, third, fourth = success
    return size[:, first & second & third & fourth].mean(1)
