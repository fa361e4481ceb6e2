"""Lab 1: back into the ball of L-infinity and the box."""

import torch
from torch import Tensor

from advcourse.labs.comparing import follows, images, recognises
from advcourse.labs.exercises import Draw, exercise
from advcourse.labs.lab1.questions import COLOUR, LAST
from advcourse.labs.properties import (
    answers,
    keeps_what_it_gets,
    stays_in_budget,
    stays_in_the_box,
    treats_images_alone,
)

EXACTLY = images(1.0)  # no gradient is involved, so every pixel is certain
CENTRE = (
    "clean image",
    "The result is x, the centre of the ball. Bring x_adv back, and no further than needed.",
)


def outside_and_inside(draw: Draw, x: Tensor) -> dict[str, float | Tensor]:
    """A budget, and images of which about half of the pixels are further from x than that."""
    return {"eps": (eps := draw.number(0.1, 0.2)), "x_adv": x + 1.5 * eps * draw.normal(x.shape)}


@exercise(
    "Back into the ball and the box",
    2,
    outside_and_inside,
    (
        "In L-infinity every pixel is free of the others. What is the smallest value that a pixel may have? And the largest?",
        "A pixel must be at least x - eps and at least 0, and at most x + eps and at most 1.",
        "x_adv.clamp(x - eps, x + eps).clamp(0, 1): clamp takes tensors as limits too.",
    ),
)
def project(x_adv, x, eps):
    return x_adv.clamp(x - eps, x + eps).clamp(0, 1)


@project.slip(*CENTRE)
def gives_up(x_adv, x, eps):
    outside = (x_adv - x).abs().amax(dim=(1, 2, 3), keepdim=True) > eps
    return torch.where(outside, x, x_adv)


@project.slip("perturbation", "The result is the change alone, x_adv - x cut to [-eps, eps]. Add x again.")
def returns_the_change(x_adv, x, eps):
    return (x_adv - x).clamp(-eps, eps)


@project.slip(
    "ball around 0",
    "x_adv itself is cut to [-eps, eps], as if the ball lay around 0. It lies around x: from x - eps to x + eps.",
)
def clamps_the_image_to_eps(x_adv, x, eps):
    return x_adv.clamp(-eps, eps).clamp(0, 1)


@project.slip(
    "roles swapped",
    "x is drawn to within eps of x_adv. It is the other way round: x_adv is drawn to within eps of x.",
)
def brings_x_near(x_adv, x, eps):
    return project(x, x_adv, eps)


@project.slip(
    "image for the change",
    "x_adv is added to x as if it were the change. It is an image: cut x_adv - x, or x_adv between x - eps and x + eps.",
)
def adds_the_image(x_adv, x, eps):
    return (x + x_adv.clamp(-eps, eps)).clamp(0, 1)


@project.slip(
    "scaled",
    "The whole change is scaled down. In L-infinity each pixel is cut on its own: those inside stay where they are.",
)
def scales_the_whole_change(x_adv, x, eps):
    delta = x_adv - x
    largest = delta.abs().amax(dim=(1, 2, 3), keepdim=True)
    return (x + delta * (eps / largest).clamp_max(1)).clamp(0, 1)


@project.slip(
    "pushed outwards",
    "Pixels inside the ball are pushed out to its border. A projection leaves alone what is inside.",
)
def to_the_border(x_adv, x, eps):
    return (x + eps * (x_adv - x).sign()).clamp(0, 1)


@project.right
def through_the_perturbation(x_adv, x, eps):
    delta = torch.maximum(torch.minimum(x_adv - x, torch.full_like(x, eps)), torch.full_like(x, -eps))
    moved = x + delta
    moved = torch.where(moved < 0, torch.zeros_like(x), moved)
    return torch.where(moved > 1, torch.ones_like(x), moved)


@project.right
def box_first(x_adv, x, eps):
    return x_adv.clamp(0, 1).clamp(x - eps, x + eps)  # x lies in the box, so this leaves it nowhere


@project.wrong("budget")
def box_alone(x_adv, x, eps):
    return x_adv.clamp(0, 1)


@project.wrong("box")
def ball_alone(x_adv, x, eps):
    return x_adv.clamp(x - eps, x + eps)


@project.wrong("input")
def in_place(x_adv, x, eps):
    x_adv.clamp_(x - eps, x + eps)
    return x_adv.clamp_(0, 1)


@project.wrong("units")
def eps_in_grey_levels(x_adv, x, eps):
    return project(x_adv, x, eps / 255)


@project.wrong("other range")
def box_from_minus_one(x_adv, x, eps):
    return x_adv.clamp(x - eps, x + eps).clamp(-1, 1)


@project.wrong("formula")
def upper_side_alone(x_adv, x, eps):
    return torch.minimum(x_adv, x + eps).clamp(0, 1).clamp_min(x - 0.9 * eps)


@project.wrong("mixes images")
def mean_change(x_adv, x, eps):
    return (x + (x_adv - x).mean(0, keepdim=True).clamp(-eps, eps)).clamp(0, 1)


@project.wrong("budget")
def in_grey_levels(x_adv, x, eps):
    return (project(x_adv, x, eps) * 255).round() / 255


project.checks(
    answers,
    keeps_what_it_gets,
    recognises(project),
    stays_in_the_box,
    stays_in_budget(),
    treats_images_alone,
    follows(project, by=EXACTLY),
    *LAST,
    recognises(project, **COLOUR),
    follows(project, by=EXACTLY, **COLOUR),
)
