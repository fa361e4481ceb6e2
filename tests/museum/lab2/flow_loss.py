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


def with_size(flow, size):
    return 2 * sum(size(d).flatten(1).sum(1) for d in (right(flow), below(flow)))


def under_the_root(flow, constant):
    return with_size(flow, lambda d: (d.square().sum(1) + constant).sqrt())


@room.wrong("another constant")
def a_millionth(flow):
    return under_the_root(flow, 1e-6)


@room.wrong("another constant")
def ten_times_it(flow):
    return under_the_root(flow, 1e-7)


@room.wrong("another constant")
def the_usual_constant(flow):
    return under_the_root(flow, 1e-10)


@room.wrong("another constant")
def a_tiny_constant(flow):
    return under_the_root(flow, 1e-12)


@room.wrong("another constant")
def one_for_each_part(flow):
    return with_size(flow, lambda d: (d.square() + 1e-8).sum(1).sqrt())


@room.wrong("outside the root")
def the_root_of_it_outside(flow):
    return with_size(flow, lambda d: d.square().sum(1).sqrt() + 1e-4)


@room.wrong("outside the root")
def it_outside(flow):
    return with_size(flow, lambda d: d.square().sum(1).sqrt() + 1e-8)


@room.wrong("root bounded below")
def a_least_root(flow):
    return with_size(flow, lambda d: d.square().sum(1).clamp_min(1e-8).sqrt())


@room.wrong("detached")
def flow_detached(flow):
    return twice_two_ways(flow.detach())


@room.wrong("detached")
def without_gradients(flow):
    with torch.no_grad():
        return twice_two_ways(flow)


@room.wrong("detached")
def made_of_floats(flow):
    return torch.tensor(twice_two_ways(flow).tolist(), dtype=flow.dtype, device=flow.device)


@room.wrong("gradient")
def neighbours_detached(flow):
    still = flow.detach()
    return 2 * (size(flow[:, :, :, 1:] - still[:, :, :, :-1]) + size(flow[:, :, 1:] - still[:, :, :-1]))


@room.wrong("formula")
def border_repeated(flow):
    wide, (height, width) = pad(flow, (1, 1, 1, 1), mode="replicate"), flow.shape[2:]
    ways = ((0, 1), (2, 1), (1, 0), (1, 2))
    return sum(size(flow - wide[:, :, i : i + height, j : j + width]) for i, j in ways)
