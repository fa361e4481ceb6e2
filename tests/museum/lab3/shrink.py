"""Answers to shrink(z, x, beta)."""

import torch

from museum import Room

room = Room("shrink")


@room.right
def three_cases(z, x, beta):
    lighter, darker = (z - beta).clamp_max(1), (z + beta).clamp_min(0)
    return torch.where(z - x > beta, lighter, torch.where(z - x < -beta, darker, x))


@room.right
def soft_threshold_of_the_change(z, x, beta):
    return (x + torch.nn.functional.softshrink(z - x, beta)).clamp(0, 1)


@room.wrong("about zero")
def forgets_x(z, x, beta):
    return torch.nn.functional.softshrink(z, beta).clamp(0, 1)


@room.wrong("perturbation")
def returns_the_change(z, x, beta):
    return torch.nn.functional.softshrink(z - x, beta).clamp(0, 1)


@room.wrong("cut, not shrunk")
def hard_threshold(z, x, beta):
    return torch.where((z - x).abs() > beta, z, x).clamp(0, 1)


@room.wrong("small changes stay")
def dead_zone_left_out(z, x, beta):
    return torch.where(z - x > beta, z - beta, torch.where(z - x < -beta, z + beta, z)).clamp(0, 1)


@room.wrong("past x")
def no_dead_zone(z, x, beta):
    return (z - beta * (z - x).sign()).clamp(0, 1)


@room.wrong("pushed outwards")
def signs_swapped(z, x, beta):
    return torch.where(z - x > beta, z + beta, torch.where(z - x < -beta, z - beta, x)).clamp(0, 1)


@room.wrong("one side")
def lighter_only(z, x, beta):
    return torch.where(z - x > beta, (z - beta).clamp_max(1), x)


@room.wrong("box first")
def clipped_before(z, x, beta):
    return x + torch.nn.functional.softshrink(z.clamp(0, 1) - x, beta)


@room.wrong("box")
def not_clipped(z, x, beta):
    return x + torch.nn.functional.softshrink(z - x, beta)


@room.wrong("formula")
def half_the_threshold(z, x, beta):
    return (x + torch.nn.functional.softshrink(z - x, beta / 2)).clamp(0, 1)


@room.wrong("input")
def writes_into_z(z, x, beta):
    near = (z - x).abs() <= beta
    result = (z - beta * (z - x).sign()).clamp(0, 1)
    z[near] = x[near]
    return torch.where(near, z, result)


@room.wrong("crash")
def asks_all_pixels_at_once(z, x, beta):
    if (z - x).abs() <= beta:
        return x
    return z - beta


@room.wrong("other type")
def through_float32(z, x, beta):
    return three_cases(z.float(), x.float(), beta).to(x)
