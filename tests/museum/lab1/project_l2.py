"""Answers to project_l2(x_adv, x, eps)."""

import torch

from museum import Room

room = Room("project_l2")


@room.right
def with_a_factor(x_adv, x, eps):
    delta = x_adv - x
    length = delta.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    return (x + delta * (eps / length.clamp_min(1e-12)).clamp_max(1)).clamp(0, 1)


@room.right
def image_by_image(x_adv, x, eps):
    result = torch.empty_like(x)
    for i in range(len(x)):
        delta = x_adv[i] - x[i]
        length = (delta * delta).sum().sqrt().item()
        if length > eps:
            delta = delta / length * eps
        result[i] = torch.clip(x[i] + delta, 0.0, 1.0)
    return result


@room.right
def with_renorm(x_adv, x, eps):
    return torch.clamp(x + torch.renorm(x_adv - x, p=2, dim=0, maxnorm=eps), 0, 1)


@room.wrong("one norm for all")
def norm_of_the_batch(x_adv, x, eps):
    delta = x_adv - x
    return (x + delta * (eps / delta.norm()).clamp_max(1)).clamp(0, 1)


@room.wrong("pushed outwards")
def always_to_the_sphere(x_adv, x, eps):
    delta = x_adv - x
    length = delta.flatten(1).norm(dim=1).view(-1, 1, 1, 1).clamp_min(1e-12)
    return (x + delta * eps / length).clamp(0, 1)


@room.wrong("not a number")
def divides_by_zero(x_adv, x, eps):
    delta = x_adv - x
    length = delta.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    return (x + delta / length * length.clamp_max(eps)).clamp(0, 1)


@room.wrong("one norm a row")
def norm_of_the_last_dimension(x_adv, x, eps):
    delta = x_adv - x
    length = delta.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    return (x + delta * (eps / length).clamp_max(1)).clamp(0, 1)


@room.wrong("another ball")
def clamps_each_pixel(x_adv, x, eps):
    return (x + (x_adv - x).clamp(-eps, eps)).clamp(0, 1)


@room.wrong("squared length")
def root_forgotten(x_adv, x, eps):
    delta = x_adv - x
    length = delta.square().sum(dim=(1, 2, 3), keepdim=True).clamp_min(1e-12)
    return (x + delta * (eps / length).clamp_max(1)).clamp(0, 1)


@room.wrong("box first")
def clips_before_it_scales(x_adv, x, eps):
    delta = x_adv.clamp(0, 1) - x
    length = delta.flatten(1).norm(dim=1).view(-1, 1, 1, 1).clamp_min(1e-12)
    return x + delta * (eps / length).clamp_max(1)


@room.wrong("box")
def not_clipped(x_adv, x, eps):
    delta = x_adv - x
    length = delta.flatten(1).norm(dim=1).view(-1, 1, 1, 1).clamp_min(1e-12)
    return x + delta * (eps / length).clamp_max(1)


@room.wrong("budget")
def box_alone(x_adv, x, eps):
    return x_adv.clamp(0, 1)


@room.wrong("clean image")
def gives_up(x_adv, x, eps):
    return x.clone()


@room.wrong("input")
def in_place(x_adv, x, eps):
    x_adv -= x
    length = x_adv.flatten(1).norm(dim=1).view(-1, 1, 1, 1).clamp_min(1e-12)
    return (x + x_adv * (eps / length).clamp_max(1)).clamp(0, 1)


def scaled(x_adv, x, eps, length):
    return (x + (x_adv - x) * (eps / length.clamp_min(1e-12)).clamp_max(1)).clamp(0, 1)


@room.wrong("one norm a channel")
def norm_over_rows_and_columns(x_adv, x, eps):
    return scaled(x_adv, x, eps, (x_adv - x).norm(dim=(2, 3), keepdim=True))


@room.wrong("L1 norm")
def sum_of_absolute_values(x_adv, x, eps):
    return scaled(x_adv, x, eps, (x_adv - x).abs().sum(dim=(1, 2, 3), keepdim=True))


@room.wrong("factor at least 1")
def bounded_on_the_wrong_side(x_adv, x, eps):
    delta = x_adv - x
    length = delta.flatten(1).norm(dim=1).view(-1, 1, 1, 1).clamp_min(1e-12)
    return (x + delta * (eps / length).clamp_min(1)).clamp(0, 1)


@room.wrong("perturbation")
def returns_the_change(x_adv, x, eps):
    delta = x_adv - x
    length = delta.flatten(1).norm(dim=1).view(-1, 1, 1, 1).clamp_min(1e-12)
    return delta * (eps / length).clamp_max(1)


@room.wrong("short lengths")
def a_thousandth_added(x_adv, x, eps):
    length = (x_adv - x).flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    return scaled(x_adv, x, eps, length + 1e-3)


@room.wrong("short lengths")
def a_millionth_added(x_adv, x, eps):
    length = (x_adv - x).flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    return scaled(x_adv, x, eps, length + 1e-6)


@room.wrong("short lengths")
def no_length_below_a_thousandth(x_adv, x, eps):
    return scaled(x_adv, x, eps, (x_adv - x).flatten(1).norm(dim=1).view(-1, 1, 1, 1).clamp_min(1e-3))


@room.right
def a_trillionth_added(x_adv, x, eps):
    return scaled(x_adv, x, eps, (x_adv - x).flatten(1).norm(dim=1).view(-1, 1, 1, 1) + 1e-12)
