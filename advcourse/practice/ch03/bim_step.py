"""Chapter 03: one step of BIM, and the projection into ball and box."""

from typing import Any

import torch

from advcourse.labs.exercises import Draw
from advcourse.practice.asking import ALL, rounded, slopes
from advcourse.practice.tasks import small_exercise


def drawn_place(draw: Draw) -> dict[str, Any]:
    """Six pixels in any order: two would leave the ball, two the box, one is free, and one has no slope."""
    eps, alpha = draw.number(0.16, 0.3), draw.number(0.06, 0.07)
    x, half = rounded(0.4 + 0.2 * draw.uniform((6,))), alpha / 2
    x[2:4] = torch.tensor([0.97, 0.04])
    x_i = x + torch.tensor([eps - half, half - eps, 0.01, -0.02, half, -half])
    gradient = slopes(draw, 6)
    gradient[2:4], gradient[5] = torch.tensor([0.7, -0.4]), 0
    order = draw.uniform((6,)).argsort()
    return {"x": x[order], "x_i": x_i[order], "gradient": gradient[order], "eps": eps, "alpha": alpha}


@small_exercise(
    "One step of BIM",
    6,
    "medium",
    by_hand=(
        {
            "x": torch.tensor([0.5, 0.95, 0.3, 0.5, 0.1]),
            "x_i": torch.tensor([0.75, 0.97, 0.4, 0.25, 0.05]),
            "gradient": torch.tensor([0.3, 1.2, -0.04, -2.0, -0.5]),
            "eps": 0.3,
            "alpha": 0.1,
        },
    ),
    drawn=drawn_place,
    hints=(
        "Step first: alpha along the sign of the gradient, from where you are. Then bring back what went too far. The ball lies "
        "around the clean image x, not around x_i.",
        "z = x_i + alpha * gradient.sign(). Then z.clamp(x - eps, x + eps) is the ball, and .clamp(0, 1) after it the box.",
    ),
    shape=lambda case: tuple(case["x"].shape),
    praise="Right. Repeat this line with a fresh gradient each time, and you have BIM.",
)
def bim_step(x, x_i, gradient, eps, alpha):
    z = x_i + alpha * gradient.sign()
    return z.clamp(x - eps, x + eps).clamp(0, 1)


@bim_step.slip(
    "not in the ball",
    "A pixel is now farther than eps from the clean image. Project after the step, and around x: around x_i each step would get "
    "a new budget.",
)
def box_alone(x, x_i, gradient, eps, alpha):
    return (x_i + alpha * gradient.sign()).clamp(0, 1)


@bim_step.slip("not in the ball")
def ball_around_x_i(x, x_i, gradient, eps, alpha):
    return (x_i + alpha * gradient.sign()).clamp(x_i - eps, x_i + eps).clamp(0, 1)


@bim_step.slip("not in the ball")
def ball_before_the_step(x, x_i, gradient, eps, alpha):
    return (x_i.clamp(x - eps, x + eps) + alpha * gradient.sign()).clamp(0, 1)


@bim_step.slip(
    "not in the box",
    "A pixel is below 0 or above 1, so this is no image any more. After the ball, clip to the box with .clamp(0, 1).",
)
def ball_alone(x, x_i, gradient, eps, alpha):
    return (x_i + alpha * gradient.sign()).clamp(x - eps, x + eps)


@bim_step.slip(
    "not projected",
    "You step and bring nothing back: pixels leave both the ball and the box. Project after the step, onto the ball around x "
    "and onto the box.",
)
def step_alone(x, x_i, gradient, eps, alpha):
    return x_i + alpha * gradient.sign()


@bim_step.slip("not projected")
def box_before_the_step(x, x_i, gradient, eps, alpha):
    return x_i.clamp(0, 1) + alpha * gradient.sign()


@bim_step.slip(
    "from x",
    "Your step starts at the clean image, and all the earlier ones are lost. Go on from x_i, where you are now.",
)
def starts_again(x, x_i, gradient, eps, alpha):
    return (x + alpha * gradient.sign()).clamp(x - eps, x + eps).clamp(0, 1)


@bim_step.slip(
    "step of eps",
    "Your step is eps long, which is the whole budget at once. It is the small one, alpha, that makes many steps worth taking.",
)
def strides(x, x_i, gradient, eps, alpha):
    return (x_i + eps * gradient.sign()).clamp(x - eps, x + eps).clamp(0, 1)


@bim_step.slip("step of eps")
def strides_and_no_ball(x, x_i, gradient, eps, alpha):
    return (x_i + eps * gradient.sign()).clamp(0, 1)


@bim_step.slip(
    "no sign",
    "Your step is as long as the gradient. In the L∞ ball every pixel may take the whole alpha: use the gradient's sign.",
)
def follows_the_gradient(x, x_i, gradient, eps, alpha):
    return (x_i + alpha * gradient).clamp(x - eps, x + eps).clamp(0, 1)


@bim_step.slip("no sign")
def follows_the_gradient_anywhere(x, x_i, gradient, eps, alpha):
    return x_i + alpha * gradient


@bim_step.slip("no sign")
def follows_its_direction(x, x_i, gradient, eps, alpha):
    return (x_i + alpha * gradient / gradient.norm()).clamp(x - eps, x + eps).clamp(0, 1)


@bim_step.slip(
    "descends",
    "You walk against the gradient, and the loss of the true label falls. The attacker wants it to rise: add the step.",
)
def walks_down(x, x_i, gradient, eps, alpha):
    return (x_i - alpha * gradient.sign()).clamp(x - eps, x + eps).clamp(0, 1)


@bim_step.slip(
    "ball of alpha",
    "You project onto a ball of radius alpha, so the attack never gets farther than one step. The budget is eps.",
)
def too_small_a_ball(x, x_i, gradient, eps, alpha):
    return (x_i + alpha * gradient.sign()).clamp(x - alpha, x + alpha).clamp(0, 1)


@bim_step.slip(
    "change alone",
    "This is the change, and the image is missing: add x to it.",
)
def without_x(x, x_i, gradient, eps, alpha):
    return bim_step(x, x_i, gradient, eps, alpha) - x


@bim_step.slip(
    "image clamped to the budget",
    "You clip the image itself to the range from -eps to eps. That is the range of the change, x_i - x.",
)
def clamped_to_eps(x, x_i, gradient, eps, alpha):
    return (x_i + alpha * gradient.sign()).clamp(-eps, eps).clamp(0, 1)


@bim_step.right
def by_the_change(x, x_i, gradient, eps, alpha):
    change = (x_i - x + alpha * gradient.sign()).clamp(-eps, eps)
    return (x + change).clamp(0, 1)


@bim_step.right
def with_both_walls_at_once(x, x_i, gradient, eps, alpha):
    low, high = (x - eps).clamp(min=0), (x + eps).clamp(max=1)
    return torch.minimum(torch.maximum(x_i + alpha * gradient.sgn(), low), high)


@bim_step.right
def pixel_by_pixel(x, x_i, gradient, eps, alpha):
    result = x.clone()
    for i, slope in enumerate(gradient.tolist()):
        step = alpha if slope > 0 else -alpha if slope < 0 else 0
        inside = min(max(float(x_i[i]) + step, float(x[i]) - eps), float(x[i]) + eps)
        result[i] = min(max(inside, 0.0), 1.0)
    return result


@bim_step.wrong("input")
def changes_x_i_itself(x, x_i, gradient, eps, alpha):
    x_i += alpha * gradient.sign()
    return x_i.clamp(x - eps, x + eps).clamp(0, 1)


@bim_step.wrong("crash")
def a_ball_of_two_arguments(x, x_i, gradient, eps, alpha):
    return (x_i + alpha * gradient.sign()).clamp(x, eps, 1)


@bim_step.wrong("not a number")
def divided_by_its_own_size(x, x_i, gradient, eps, alpha):
    return (x_i + alpha * gradient / gradient.abs()).clamp(x - eps, x + eps).clamp(0, 1)


bim_step.checks(*ALL)
