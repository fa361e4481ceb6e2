"""Chapter 02: one step of FGSM."""

from typing import Any

import torch

from advcourse.labs.exercises import Draw
from advcourse.practice.asking import ALL, rounded, slopes
from advcourse.practice.tasks import small_exercise


def drawn_step(draw: Draw) -> dict[str, Any]:
    """Six pixels: the first leaves the range above, the second below, and the third has no slope."""
    x, gradient = rounded(0.25 + 0.5 * draw.uniform((6,))), slopes(draw, 6)
    x[:2], gradient[2] = torch.tensor([0.98, 0.03]), 0
    return {"x": x, "gradient": gradient, "eps": draw.number(0.05, 0.2)}


@small_exercise(
    "One step of FGSM",
    3,
    "easy",
    by_hand=(
        {
            "x": torch.tensor([0.2, 0.5, 0.95]),
            "gradient": torch.tensor([0.3, -1.2, 0.04]),
            "eps": 0.1,
        },
    ),
    drawn=drawn_step,
    hints=(
        "Of the gradient you only need to know, for each pixel, whether the loss rises when the pixel gets lighter. "
        "gradient.sign() says just that: +1, -1, or 0.",
        "Add eps times that sign to x, and cut the result off at 0 and at 1 with .clamp(0, 1).",
    ),
    shape=lambda case: tuple(case["x"].shape),
    praise="One gradient, one sign, one clip: this is the whole of FGSM.",
)
def fgsm_step(x, gradient, eps):
    return (x + eps * gradient.sign()).clamp(0, 1)


@fgsm_step.slip(
    "no sign",
    "Your step is as long as the gradient, so that a pixel with a small slope hardly moves. In the L∞ ball every pixel may move "
    "by the whole eps: take the sign of the gradient.",
)
def follows_the_gradient(x, gradient, eps):
    return (x + eps * gradient).clamp(0, 1)


@fgsm_step.slip(
    "unit length",
    "Your whole step has the length eps, and the pixels share it. That is the step for an L2 ball. In the L∞ ball each pixel "
    "may move by eps, whatever the others do: take the sign.",
)
def divided_by_its_length(x, gradient, eps):
    return (x + eps * gradient / gradient.norm()).clamp(0, 1)


@fgsm_step.slip(
    "largest one",
    "Only the pixel with the largest slope moves by eps, the others by less. Nothing is gained by holding them back: take the "
    "sign.",
)
def divided_by_the_largest(x, gradient, eps):
    return (x + eps * gradient / gradient.abs().max()).clamp(0, 1)


@fgsm_step.slip(
    "descends",
    "You walk against the gradient, so the loss falls and the model becomes more certain. The attacker wants it to rise: add "
    "the step.",
)
def subtracts(x, gradient, eps):
    return (x - eps * gradient.sign()).clamp(0, 1)


@fgsm_step.slip(
    "not clipped",
    "A pixel has left the range from 0 to 1, so the result is no image any more. Clip x plus the step with .clamp(0, 1), after "
    "the step.",
)
def without_clip(x, gradient, eps):
    return x + eps * gradient.sign()


@fgsm_step.slip("not clipped")
def clips_before_the_step(x, gradient, eps):
    return x.clamp(0, 1) + eps * gradient.sign()


@fgsm_step.slip(
    "step clipped",
    "Here .clamp(0, 1) belongs to the step alone, so that no pixel gets darker, and one has left the range. Put brackets around "
    "x plus the step, and clip the whole.",
)
def clips_the_step(x, gradient, eps):
    return x + (eps * gradient.sign()).clamp(0, 1)


@fgsm_step.slip(
    "without eps",
    "Each pixel moves by a whole unit, from black to white. The budget is missing: multiply the sign by eps.",
)
def a_whole_unit(x, gradient, eps):
    return (x + gradient.sign()).clamp(0, 1)


@fgsm_step.slip(
    "clipped below only", "A pixel is above 1. You cut off at 0, and the range of an image ends at 1 too."
)
def at_least_0(x, gradient, eps):
    return (x + eps * gradient.sign()).clamp(min=0)


@fgsm_step.slip(
    "clipped above only", "A pixel is below 0. You cut off at 1, and the range of an image ends at 0 too."
)
def at_most_1(x, gradient, eps):
    return (x + eps * gradient.sign()).clamp(max=1)


@fgsm_step.slip(
    "clipped to the budget",
    "You clip the image to the range from -eps to eps. That is the range of the change; the image itself lies between 0 and 1.",
)
def clamped_to_eps(x, gradient, eps):
    return (x + eps * gradient.sign()).clamp(-eps, eps)


@fgsm_step.slip(
    "change alone", "This is the change, and the image is missing. Add it to x, and return the sum, clipped."
)
def without_x(x, gradient, eps):
    return eps * gradient.sign()


@fgsm_step.slip("change alone")
def without_x_but_clipped(x, gradient, eps):
    return (eps * gradient.sign()).clamp(0, 1)


@fgsm_step.slip(
    "up only",
    "Where the gradient is negative, the pixel stays where it was. There the loss rises when the pixel gets darker: go down by "
    "eps.",
)
def lightens_only(x, gradient, eps):
    return (x + eps * (gradient > 0)).clamp(0, 1)


@fgsm_step.slip(
    "moves without a slope",
    "A pixel whose gradient is 0 has moved. The sign of 0 is 0: that pixel changes nothing in the loss, and FGSM leaves it "
    "alone.",
)
def up_or_down(x, gradient, eps):
    return torch.where(gradient > 0, x + eps, x - eps).clamp(0, 1)


@fgsm_step.slip("moves without a slope")
def down_or_up(x, gradient, eps):
    return torch.where(gradient < 0, x - eps, x + eps).clamp(0, 1)


@fgsm_step.right
def in_words(x, gradient, eps):
    up, down = (gradient > 0).to(x.dtype), (gradient < 0).to(x.dtype)
    return torch.minimum(torch.maximum(x + eps * (up - down), torch.zeros_like(x)), torch.ones_like(x))


@fgsm_step.right
def pixel_by_pixel(x, gradient, eps):
    result = x.clone()
    for i, slope in enumerate(gradient.tolist()):
        step = eps if slope > 0 else -eps if slope < 0 else 0
        result[i] = min(max(float(x[i]) + step, 0.0), 1.0)
    return result


@fgsm_step.wrong("not a number")
def divided_by_its_own_size(x, gradient, eps):
    return (x + eps * gradient / gradient.abs()).clamp(0, 1)


@fgsm_step.wrong("input")
def changes_x_itself(x, gradient, eps):
    x += eps * gradient.sign()
    return x.clamp(0, 1)


@fgsm_step.wrong("type")
def a_list(x, gradient, eps):
    return fgsm_step(x, gradient, eps).tolist()


@fgsm_step.wrong("crash")
def sign_of_two(x, gradient, eps):
    return (x + torch.sign(gradient, eps)).clamp(0, 1)


fgsm_step.checks(*ALL)
