"""Answers to quantise(x, bits)."""

import torch

from museum import Room

room = Room("quantise")


@room.right
def with_round(x, bits):
    steps = 2**bits - 1
    return (steps * x).round() / steps


@room.right
def by_adding_a_half(x, bits):
    last = (1 << bits) - 1
    return (x * last + 0.5).floor().clamp(0, last).div(last)


@room.right
def by_distance(x, bits):
    levels = torch.linspace(0, 1, 2**bits, dtype=x.dtype, device=x.device)
    return levels[(x[..., None] - levels).abs().argmin(-1)]


@room.right
def with_bucketize(x, bits):
    levels = torch.arange(2**bits, device=x.device).to(x) / (2**bits - 1)
    return levels[torch.bucketize(x.contiguous(), (levels[1:] + levels[:-1]) / 2)]


@room.wrong("one level too many")
def guos_code(x, bits):
    return (x * 2**bits).round() / 2**bits


@room.wrong("darkened")
def floor_of_steps(x, bits):
    return (x * 2**bits).floor() / 2**bits


@room.wrong("darkened by cut bits")
def shifted_integers(x, bits):
    pixels = (x * 255).to(torch.uint8)
    return ((pixels >> (8 - bits)) << (8 - bits)).to(x) / 255


@room.wrong("rounded down")
def floor_of_levels(x, bits):
    steps = 2**bits - 1
    return (x * steps).floor() / steps


@room.wrong("rounded up")
def ceil_of_levels(x, bits):
    steps = 2**bits - 1
    return (x * steps).ceil() / steps


@room.wrong("equal intervals")
def bins(x, bits):
    n = 2**bits
    return (x * n).floor().clamp(max=n - 1) / (n - 1)


@room.wrong("no black, no white")
def middles(x, bits):
    n = 2**bits
    return ((x * n).floor().clamp(max=n - 1) + 0.5) / n


@room.wrong("bits for levels")
def as_many_as_bits(x, bits):
    return (x * (bits - 1)).round() / (bits - 1)


@room.wrong("bits unused")
def eight_bits(x, bits):
    return (255 * x).round() / 255


@room.wrong("not divided")
def numbers_of_levels(x, bits):
    return (x * (2**bits - 1)).round()


@room.wrong("unchanged")
def nothing_done(x, bits):
    return x.clone()


@room.wrong("formula")
def borders_moved(x, bits):
    steps = 2**bits - 1
    return (steps * x + 0.25).floor() / steps


@room.wrong("input")
def in_place(x, bits):
    steps = 2**bits - 1
    return x.mul_(steps).round_().div_(steps)


@room.wrong("type")
def numpys(x, bits):
    return ((x * (2**bits - 1)).round() / (2**bits - 1)).cpu().numpy()


@room.wrong("other type")
def always_float32(x, bits):
    return with_round(x, bits).float()


@room.wrong("crash")
def bits_as_a_tensor(x, bits):
    return (x * (2 ** bits.float() - 1)).round()


def within(low, high, x, bits):
    return low + (high - low) * with_round((x - low) / (high - low), bits)


@room.wrong("own range")
def range_of_the_image(x, bits):
    return within(x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True), x, bits)


@room.wrong("own range")
def range_of_the_batch(x, bits):
    return within(x.min(), x.max(), x, bits)


@room.wrong("own range")
def stretched_image(x, bits):
    low, high = x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True)
    return with_round((x - low) / (high - low), bits)


@room.wrong("own range")
def stretched_batch(x, bits):
    return with_round((x - x.min()) / (x.max() - x.min()), bits)
