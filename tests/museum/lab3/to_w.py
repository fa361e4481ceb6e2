"""Answers to to_w(x)."""

import math

import torch

from museum import Room

room = Room("to_w")


@room.right
def with_atanh(x):
    return torch.atanh(0.999 * (2 * x - 1))


@room.right
def with_logarithms(x):
    share = 0.5 + 0.999 * (x - 0.5)
    return 0.5 * (share / (1 - share)).log()


@room.right
def clipped_a_little(x):
    return torch.atanh((2 * x - 1).clamp(-0.999, 0.999))


@room.wrong("saturated")
def not_drawn_in(x):
    return torch.atanh(2 * x - 1)


@room.wrong("drawn towards black")
def factor_in_the_wrong_place(x):
    return torch.atanh(2 * (0.999 * x) - 1)


@room.wrong("flat start")
def drawn_in_by_a_millionth(x):
    return torch.atanh(0.999999 * (2 * x - 1))


@room.wrong("too far inside")
def drawn_in_by_a_tenth(x):
    return torch.atanh(0.9 * (2 * x - 1))


@room.wrong("not stretched")
def range_of_the_image(x):
    return torch.atanh(0.999 * x)


@room.wrong("twice too large")
def inverse_of_the_sigmoid(x):
    return torch.logit(0.5 + 0.999 * (x - 0.5))


@room.wrong("arctan")
def another_function(x):
    return torch.arctan(0.999 * (2 * x - 1))


@room.wrong("no arctanh")
def stretched_only(x):
    return 0.999 * (2 * x - 1)


@room.wrong("still the image")
def clips_instead(x):
    return x.clamp(0, 1)


@room.wrong("formula")
def tanh_again(x):
    return torch.tanh(0.999 * (2 * x - 1))


@room.wrong("input")
def stretches_in_place(x):
    return x.mul_(2).sub_(1).mul_(0.999).atanh()


@room.wrong("other type")
def goes_through_float32(x):
    return torch.atanh(0.999 * (2 * x.float() - 1))


@room.wrong("type")
def returns_a_list(x):
    return [math.atanh(0.999 * (2 * value - 1)) for value in x.flatten().tolist()]


@room.wrong("shape")
def flattened(x):
    return torch.atanh(0.999 * (2 * x - 1)).flatten(1)


@room.wrong("other type")
def through_float32(x):
    return torch.atanh(0.999 * (2 * x.float() - 1)).to(x)
