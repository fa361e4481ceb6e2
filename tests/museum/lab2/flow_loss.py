"""Answers to flow_loss(flow)."""

import torch
from torch.nn.functional import pad

from museum import Room

room = Room("flow_loss")


def size(d):
    return (d.square().sum(1) + 1e-8).sqrt().flatten(1).sum(1)


def right(flow):
    return flow[:, :, :, 1:] - flow[:, :, :, :-1]


def below(flow):
    return flow[:, :, 1:] - flow[:, :, :-1]


@room.right
def twice_two_ways(flow):
    return 2 * (size(right(flow)) + size(below(flow)))


@room.right
def four_ways_with_a_mask(flow):
    n, _, height, width = flow.shape
    wide = pad(flow, (1, 1, 1, 1))
    inside = pad(torch.ones_like(flow[:, 0]), (1, 1, 1, 1))
    total = torch.zeros_like(flow[:, 0])
    for i, j in ((0, 1), (2, 1), (1, 0), (1, 2)):
        there = slice(i, i + height), slice(j, j + width)
        du, dv = (flow - wide[:, :, *there]).unbind(1)
        total += inside[:, *there] * torch.sqrt(du**2 + dv**2 + 1e-8)
    return total.sum((1, 2))


@room.wrong("diagonal neighbours")
def corners(flow):
    falling = flow[:, :, 1:, 1:] - flow[:, :, :-1, :-1]
    rising = flow[:, :, 1:, :-1] - flow[:, :, :-1, 1:]
    return 2 * (size(falling) + size(rising))


@room.wrong("eight neighbours")
def all_around(flow):
    return twice_two_ways(flow) + corners(flow)


@room.wrong("each pair once")
def one_way(flow):
    return size(right(flow)) + size(below(flow))


@room.wrong("no root")
def squares(flow):
    return 2 * (right(flow).square().flatten(1).sum(1) + below(flow).square().flatten(1).sum(1))


@room.wrong("absolute values")
def total_variation(flow):
    return 2 * (right(flow).abs().flatten(1).sum(1) + below(flow).abs().flatten(1).sum(1))


@room.wrong("one root for all")
def norm_of_everything(flow):
    return (squares(flow) + 1e-8).sqrt()


@room.wrong("wraps around")
def rolled(flow):
    ways = ((1, 2), (-1, 2), (1, 3), (-1, 3))
    return sum(size(flow - torch.roll(flow, *way)) for way in ways)


@room.wrong("mean")
def mean_over_pairs(flow):
    height, width = flow.shape[2:]
    return twice_two_ways(flow) / (2 * (height * (width - 1) + width * (height - 1)))


@room.wrong("mean over pixels")
def mean_over_the_image(flow):
    return twice_two_ways(flow) / flow[0, 0].numel()


@room.wrong("bare root")
def nothing_under_the_root(flow):
    def bare(d):
        return d.square().sum(1).sqrt().flatten(1).sum(1)

    return 2 * (bare(right(flow)) + bare(below(flow)))


@room.wrong("shape")
def one_number_for_the_batch(flow):
    return twice_two_ways(flow).sum()


@room.wrong("formula")
def rows_alone(flow):
    return 2 * size(right(flow))
