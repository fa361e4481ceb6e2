"""Answers to destruction(clean, attacked, clean_after, attacked_after)."""

import math

import torch

from museum import Room

room = Room("destruction")


@room.right
def with_columns(clean, attacked, clean_after, attacked_after):
    fooled = clean & ~attacked
    return torch.stack([attacked_after[:, fooled].double().mean(1), clean_after.double().mean(1)])


@room.right
def with_the_papers_sums(clean, attacked, clean_after, attacked_after):
    c, bar, again = clean.float(), 1 - attacked.float(), attacked_after.float()
    return torch.stack([(c * bar * again).sum(1) / (c * bar).sum(), clean_after.float().mean(1)])


@room.right
def image_by_image(clean, attacked, clean_after, attacked_after):
    rows = [[], []]
    for before, after in zip(clean_after.tolist(), attacked_after.tolist()):
        found = [a for c, b, a in zip(clean.tolist(), attacked.tolist(), after) if c and not b]
        rows[0].append(sum(found) / len(found) if found else math.nan)
        rows[1].append(sum(before) / len(before))
    return torch.tensor(rows, device=clean.device)


def rows(destroyed, accuracy):
    return torch.stack([destroyed, accuracy])


def share(after, among):
    return after[:, among].float().mean(1)


@room.wrong("survival")
def still_fools(clean, attacked, clean_after, attacked_after):
    return rows(share(~attacked_after, clean & ~attacked), clean_after.float().mean(1))


@room.wrong("old mistakes")
def clean_unused(clean, attacked, clean_after, attacked_after):
    return rows(share(attacked_after, ~attacked), clean_after.float().mean(1))


@room.wrong("attacks that failed")
def attacked_unused(clean, attacked, clean_after, attacked_after):
    return rows(share(attacked_after, clean), clean_after.float().mean(1))


@room.wrong("failures above the line")
def bar_forgotten_above(clean, attacked, clean_after, attacked_after):
    destroyed = (clean & attacked_after).sum(1) / (clean & ~attacked).sum()
    return rows(destroyed, clean_after.float().mean(1))


@room.wrong("all images")
def accuracy_of_both(clean, attacked, clean_after, attacked_after):
    return rows(attacked_after.float().mean(1), clean_after.float().mean(1))


@room.wrong("divided by all")
def over_n(clean, attacked, clean_after, attacked_after):
    return rows((clean & ~attacked & attacked_after).float().mean(1), clean_after.float().mean(1))


@room.wrong("right after the transformation")
def other_clean_images(clean, attacked, clean_after, attacked_after):
    fooled = clean_after & ~attacked
    return rows((fooled & attacked_after).sum(1) / fooled.sum(1), clean_after.float().mean(1))


@room.wrong("transformations mixed")
def one_rate_for_all(clean, attacked, clean_after, attacked_after):
    destroyed = attacked_after[:, clean & ~attacked].float().mean()
    return rows(destroyed.repeat(len(clean_after)), clean_after.float().mean(1))


@room.wrong("rows swapped")
def accuracy_first(clean, attacked, clean_after, attacked_after):
    return with_columns(clean, attacked, clean_after, attacked_after).flip(0)


@room.wrong("accuracy before")
def clean_accuracy(clean, attacked, clean_after, attacked_after):
    return rows(share(attacked_after, clean & ~attacked), clean.float().mean().repeat(len(clean_after)))


@room.wrong("accuracy of those that were right")
def kept(clean, attacked, clean_after, attacked_after):
    return rows(share(attacked_after, clean & ~attacked), share(clean_after, clean))


@room.wrong("accuracy of the fooled")
def of_the_same_images(clean, attacked, clean_after, attacked_after):
    return rows(share(attacked_after, clean & ~attacked), share(clean_after, clean & ~attacked))


@room.wrong("loss of accuracy")
def what_it_costs(clean, attacked, clean_after, attacked_after):
    return rows(share(attacked_after, clean & ~attacked), clean.float().mean() - clean_after.float().mean(1))


@room.wrong("0 for none")
def nan_is_zero(clean, attacked, clean_after, attacked_after):
    return with_columns(clean, attacked, clean_after, attacked_after).nan_to_num(0.0)


@room.wrong("1 for none")
def nan_is_one(clean, attacked, clean_after, attacked_after):
    return with_columns(clean, attacked, clean_after, attacked_after).nan_to_num(1.0)


@room.wrong("formula")
def harmed_images_left_out(clean, attacked, clean_after, attacked_after):
    fooled = clean & ~attacked & clean_after
    return rows((fooled & attacked_after).sum(1) / fooled.sum(1), clean_after.float().mean(1))


@room.wrong("shape")
def destruction_alone(clean, attacked, clean_after, attacked_after):
    return share(attacked_after, clean & ~attacked)


@room.wrong("type")
def a_pair(clean, attacked, clean_after, attacked_after):
    return share(attacked_after, clean & ~attacked), clean_after.float().mean(1)


@room.wrong("input")
def negated_in_place(clean, attacked, clean_after, attacked_after):
    return rows(share(attacked_after, clean & attacked.logical_not_()), clean_after.float().mean(1))


@room.wrong("crash")
def minus_of_bools(clean, attacked, clean_after, attacked_after):
    return rows(share(attacked_after, clean * (1 - attacked)), clean_after.float().mean(1))


@room.wrong("other amount")
def three_of_them(clean, attacked, clean_after, attacked_after):
    fooled = clean & ~attacked
    destroyed = torch.stack([attacked_after[t, fooled].double().mean() for t in range(3)])
    return rows(destroyed, torch.stack([clean_after[t].double().mean() for t in range(3)]))
