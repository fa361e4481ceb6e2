"""Answers to project(x_adv, x, eps)."""

import torch

from museum import Room

room = Room("project")


@room.right
def with_clamp(x_adv, x, eps):
    return x_adv.clamp(x - eps, x + eps).clamp(0, 1)


@room.right
def through_the_perturbation(x_adv, x, eps):
    delta = torch.maximum(torch.minimum(x_adv - x, torch.full_like(x, eps)), torch.full_like(x, -eps))
    moved = x + delta
    moved = torch.where(moved < 0, torch.zeros_like(x), moved)
    return torch.where(moved > 1, torch.ones_like(x), moved)


@room.wrong("budget")
def box_alone(x_adv, x, eps):
    return x_adv.clamp(0, 1)


@room.wrong("box")
def ball_alone(x_adv, x, eps):
    return x_adv.clamp(x - eps, x + eps)


@room.wrong("perturbation")
def returns_the_change(x_adv, x, eps):
    return (x_adv - x).clamp(-eps, eps)


@room.wrong("input")
def in_place(x_adv, x, eps):
    x_adv.clamp_(x - eps, x + eps)
    return x_adv.clamp_(0, 1)


@room.wrong("scaled")
def scales_the_whole_change(x_adv, x, eps):
    delta = x_adv - x
    largest = delta.abs().amax(dim=(1, 2, 3), keepdim=True)
    return (x + delta * (eps / largest).clamp_max(1)).clamp(0, 1)


@room.wrong("pushed outwards")
def to_the_border(x_adv, x, eps):
    return (x + eps * (x_adv - x).sign()).clamp(0, 1)


@room.wrong("units")
def eps_in_grey_levels(x_adv, x, eps):
    return x_adv.clamp(x - eps / 255, x + eps / 255).clamp(0, 1)


@room.wrong("other range")
def box_from_minus_one(x_adv, x, eps):
    return x_adv.clamp(x - eps, x + eps).clamp(-1, 1)


@room.wrong("clean image")
def gives_up(x_adv, x, eps):
    outside = (x_adv - x).abs().amax(dim=(1, 2, 3), keepdim=True) > eps
    return torch.where(outside, x, x_adv)


@room.wrong("formula")
def upper_side_alone(x_adv, x, eps):
    return torch.minimum(x_adv, x + eps).clamp(0, 1).clamp_min(x - 0.9 * eps)


@room.wrong("mixes images")
def mean_change(x_adv, x, eps):
    delta = (x_adv - x).mean(0, keepdim=True).clamp(-eps, eps)
    return (x + delta).clamp(0, 1)


@room.wrong("ball around 0")
def clamps_the_image_to_eps(x_adv, x, eps):
    return x_adv.clamp(-eps, eps).clamp(0, 1)


@room.wrong("roles swapped")
def brings_x_near(x_adv, x, eps):
    return x.clamp(x_adv - eps, x_adv + eps).clamp(0, 1)


@room.wrong("image for the change")
def adds_the_image(x_adv, x, eps):
    return (x + x_adv.clamp(-eps, eps)).clamp(0, 1)


@room.right
def box_first(x_adv, x, eps):
    return x_adv.clamp(0, 1).clamp(x - eps, x + eps)  # x lies in the box, so this leaves it nowhere


@room.wrong("budget")
def in_grey_levels(x_adv, x, eps):
    return (x_adv.clamp(x - eps, x + eps).clamp(0, 1) * 255).round() / 255
