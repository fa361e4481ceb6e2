"""Answers to thermometer(x, levels)."""

import torch
from torch.nn.functional import one_hot

from museum import Room

room = Room("thermometer")


def numbers(x, levels):
    return torch.arange(levels, device=x.device).view(-1, 1, 1)


def code(on, x):
    return on.to(x.dtype).flatten(1, 2)


@room.right
def by_comparing(x, levels):
    l = numbers(x, levels)
    return code((x[:, :, None] > l / levels) | (l == 0), x)


@room.right
def as_in_the_paper(x, levels):
    hottest = (0.99999 * x * levels).floor()
    return code(numbers(x, levels) <= hottest.unsqueeze(2), x)


@room.right
def switch_by_switch(x, levels):
    channels = []
    for c in range(x.shape[1]):
        for l in range(levels):
            on = x[:, c] > l / levels if l else torch.ones_like(x[:, c], dtype=torch.bool)
            channels.append(on)
    return torch.stack(channels, 1).to(x)


@room.right
def from_one_hot(x, levels):
    interval = ((x * levels).ceil() - 1).clamp(0, levels - 1).long()
    hot = one_hot(interval, levels).to(x.dtype)  # (N, C, H, W, levels)
    return hot.flip(-1).cumsum(-1).flip(-1).permute(0, 1, 4, 2, 3).flatten(1, 2)


@room.wrong("one hot")
def own_interval_alone(x, levels):
    return code(numbers(x, levels) == (0.99999 * x * levels).floor()[:, :, None], x)


@room.wrong("upside down")
def from_there_upwards(x, levels):
    return code(numbers(x, levels) >= (0.99999 * x * levels).floor()[:, :, None], x)


@room.wrong("mirrored")
def last_ones_first(x, levels):
    on = numbers(x, levels) <= (0.99999 * x * levels).floor()[:, :, None]
    return code(on.flip(2), x)


@room.wrong("inverted")
def off_is_on(x, levels):
    return 1 - by_comparing(x, levels)


@room.wrong("levels first")
def stacked_in_front(x, levels):
    l = numbers(x, levels)[..., None]
    return code((x[:, None] > l / levels) | (l == 0), x)


@room.wrong("one switch too few")
def counted_from_one(x, levels):
    return code(x[:, :, None] > (numbers(x, levels) + 1) / levels, x)


@room.wrong("levels - 1 intervals")
def with_linspace(x, levels):
    at = torch.linspace(0, 1, levels, device=x.device).view(-1, 1, 1)
    return code((x[:, :, None] > at) | (at == 0), x)


@room.wrong("nearest border")
def rounded(x, levels):
    return code(numbers(x, levels) <= (x * levels).round()[:, :, None], x)


@room.wrong("fractions")
def smooth(x, levels):
    return (x[:, :, None] * levels - numbers(x, levels)).clamp(0, 1).flatten(1, 2)


@room.wrong("white is off")
def beyond_the_last(x, levels):
    interval = (x * levels).floor().long()
    hot = (numbers(x, levels) == interval[:, :, None]).to(x.dtype)
    return hot.flip(2).cumsum(2).flip(2).flatten(1, 2)


@room.wrong("black is off")
def strictly_above(x, levels):
    return code(x[:, :, None] > numbers(x, levels) / levels, x)


@room.wrong("borders")
def at_the_border_too(x, levels):
    return code(x[:, :, None] >= numbers(x, levels) / levels, x)


@room.wrong("formula")
def one_channel_for_all(x, levels):
    return by_comparing(x[:, :1].expand_as(x), levels)


@room.wrong("shape")
def five_axes(x, levels):
    l = numbers(x, levels)
    return ((x[:, :, None] > l / levels) | (l == 0)).to(x.dtype)


@room.wrong("type")
def bools(x, levels):
    l = numbers(x, levels)
    return ((x[:, :, None] > l / levels) | (l == 0)).flatten(1, 2)


@room.wrong("other type")
def always_float(x, levels):
    return by_comparing(x, levels).float()


@room.wrong("crash")
def one_hot_of_white(x, levels):
    hot = one_hot((x * levels).floor().long() + 1, levels).to(x.dtype)
    return hot.flip(-1).cumsum(-1).flip(-1).permute(0, 1, 4, 2, 3).flatten(1, 2)
