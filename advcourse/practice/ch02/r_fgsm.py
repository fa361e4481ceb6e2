"""Chapter 02: a random step, and FGSM from where it leads to."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from advcourse.labs.exercises import Draw
from advcourse.practice.asking import ALL, rounded
from advcourse.practice.ch02.fgsm_step import fgsm_step
from advcourse.practice.tasks import small_exercise


@dataclass(frozen=True)
class Slope:
    """The gradient scale * (top - z) of a loss that is highest where the image z is `top`; it shows itself as this formula."""

    top: Tensor
    scale: float = 1.0

    def __call__(self, z: Tensor) -> Tensor:
        return self.scale * (self.top.to(z) - z)

    def __repr__(self):
        text = f"[{', '.join(f'{one:.4g}' for one in self.top.tolist())}] - z"
        return text if self.scale == 1 else f"{self.scale:g} * ({text})"


def drawn_start(draw: Draw) -> dict[str, Any]:
    """Six pixels, the first near 1 and the second near 0. After the random step the sign of some slopes is another one."""
    eps = draw.number(0.1, 0.2)
    alpha = round(eps * draw.number(0.25, 0.45), 3)
    x = rounded(0.35 + 0.3 * draw.uniform((6,)))
    corner = torch.where(draw.uniform((6,)) < 0.5, -1.0, 1.0)
    x[:2], corner[:2] = torch.tensor([0.99, 0.01]), torch.tensor([1.0, -1.0])
    # How far the summit is from x, in random steps; 4 is farther than the other step ever leads, so no slope is near 0.
    away = torch.tensor([0.5, 0.5, 0.5, 0.5, 4.0, -4.0])
    order = torch.cat([torch.arange(2), 2 + draw.uniform((4,)).argsort()])
    away[:2] = torch.tensor([[0.5, 0.5], [-4.0, 4.0], [4.0, -4.0]][draw.integer() % 3])
    return {
        "x": x,
        "corner": corner,
        "gradient_at": Slope(x + away[order] * alpha * corner, scale=draw.number(0.3, 3)),
        "eps": eps,
        "alpha": alpha,
    }


@small_exercise(
    "A random step first",
    6,
    "medium",
    by_hand=(
        {
            "x": torch.tensor([0.5, 0.98, 0.03]),
            "corner": torch.tensor([1.0, 1.0, -1.0]),
            "gradient_at": Slope(torch.tensor([0.52, 0.3, -0.5])),
            "eps": 0.2,
            "alpha": 0.06,
        },
    ),
    drawn=drawn_start,
    hints=(
        "There are two steps, and the second does not start at x. Give the image after the first one a name, z, and ask for the "
        "gradient there: gradient_at(z).",
        "z = (x + alpha * corner).clamp(0, 1). From z take one step of FGSM, eps - alpha long, along the sign of "
        "gradient_at(z), and clip again.",
    ),
    shape=lambda case: tuple(case["x"].shape),
    praise="The budget is spent in two parts: alpha to get away from x, and eps - alpha for the climb.",
)
def r_fgsm(x, corner, gradient_at, eps, alpha):
    z = (x + alpha * corner).clamp(0, 1)
    return (z + (eps - alpha) * gradient_at(z).sign()).clamp(0, 1)


@r_fgsm.slip(
    "gradient at x",
    "The gradient is taken at the clean image x. The random step was made in order to leave it: ask for the gradient at the "
    "point that it leads to.",
)
def asks_at_x(x, corner, gradient_at, eps, alpha):
    z = (x + alpha * corner).clamp(0, 1)
    return (z + (eps - alpha) * gradient_at(x).sign()).clamp(0, 1)


@r_fgsm.slip(
    "whole budget twice",
    "The second step is eps long, so together with the first a pixel moves by up to eps + alpha. Only eps - alpha is left of "
    "the budget.",
)
def second_step_of_eps(x, corner, gradient_at, eps, alpha):
    z = (x + alpha * corner).clamp(0, 1)
    return (z + eps * gradient_at(z).sign()).clamp(0, 1)


@r_fgsm.slip(
    "alpha again",
    "The second step is alpha long, as the first was. What is left of the budget is eps - alpha: spend it all.",
)
def second_step_of_alpha(x, corner, gradient_at, eps, alpha):
    z = (x + alpha * corner).clamp(0, 1)
    return (z + alpha * gradient_at(z).sign()).clamp(0, 1)


@r_fgsm.slip(
    "lengths exchanged",
    "The random step is eps - alpha long, and the climb alpha. It is the other way round: alpha goes with corner.",
)
def alpha_for_the_climb(x, corner, gradient_at, eps, alpha):
    return r_fgsm(x, corner, gradient_at, eps, eps - alpha)


@r_fgsm.slip(
    "no random step",
    "This is plain FGSM: corner is not used. First go alpha along corner, then follow the gradient that you find there.",
)
def plain_fgsm(x, corner, gradient_at, eps, alpha):
    return (x + eps * gradient_at(x).sign()).clamp(0, 1)


@r_fgsm.slip("no random step")
def shorter_fgsm(x, corner, gradient_at, eps, alpha):
    return (x + (eps - alpha) * gradient_at(x).sign()).clamp(0, 1)


@r_fgsm.slip(
    "back to x",
    "The gradient is taken in the right place, but the second step starts at x again, and the first one is lost. Go on from "
    "where you are.",
)
def starts_at_x_again(x, corner, gradient_at, eps, alpha):
    z = (x + alpha * corner).clamp(0, 1)
    return (x + (eps - alpha) * gradient_at(z).sign()).clamp(0, 1)


@r_fgsm.slip("back to x")
def starts_at_x_with_eps(x, corner, gradient_at, eps, alpha):
    z = (x + alpha * corner).clamp(0, 1)
    return (x + eps * gradient_at(z).sign()).clamp(0, 1)


@r_fgsm.slip(
    "no sign",
    "The second step is as long as the gradient. As in FGSM only its sign counts: every pixel moves by eps - alpha.",
)
def climbs_by_the_gradient(x, corner, gradient_at, eps, alpha):
    z = (x + alpha * corner).clamp(0, 1)
    return (z + (eps - alpha) * gradient_at(z)).clamp(0, 1)


@r_fgsm.slip(
    "cut back to the budget",
    "Your second step is eps long, and you cut off afterwards what exceeds the budget. R+FGSM has nothing to cut off: its second "
    "step is only eps - alpha long.",
)
def cuts_back(x, corner, gradient_at, eps, alpha):
    z = (x + alpha * corner).clamp(0, 1)
    z = z + eps * gradient_at(z).sign()
    return torch.maximum(torch.minimum(z, x + eps), x - eps).clamp(0, 1)


@r_fgsm.slip(
    "random step of eps",
    "The random step is eps long, so nothing of the budget is left for the climb. It is alpha long.",
)
def random_step_of_eps(x, corner, gradient_at, eps, alpha):
    z = (x + eps * corner).clamp(0, 1)
    return (z + (eps - alpha) * gradient_at(z).sign()).clamp(0, 1)


@r_fgsm.slip("descends", "The second step goes against the gradient, and the loss falls. Add it.")
def climbs_down(x, corner, gradient_at, eps, alpha):
    z = (x + alpha * corner).clamp(0, 1)
    return (z - (eps - alpha) * gradient_at(z).sign()).clamp(0, 1)


@r_fgsm.slip(
    "first clip missing",
    "The random step leads some pixels out of the range from 0 to 1, so you ask for the gradient at something that is no "
    "image. Clip after the first step too.",
)
def clips_at_the_end(x, corner, gradient_at, eps, alpha):
    z = x + alpha * corner
    return (z + (eps - alpha) * gradient_at(z).sign()).clamp(0, 1)


@r_fgsm.slip("last clip missing", "The second step leads out of the range from 0 to 1. Clip after it too.")
def clips_in_the_middle(x, corner, gradient_at, eps, alpha):
    z = (x + alpha * corner).clamp(0, 1)
    return z + (eps - alpha) * gradient_at(z).sign()


@r_fgsm.slip(
    "never clipped",
    "Nothing keeps the pixels between 0 and 1. Clip after the random step, and after the second one.",
)
def no_clip(x, corner, gradient_at, eps, alpha):
    z = x + alpha * corner
    return z + (eps - alpha) * gradient_at(z).sign()


@r_fgsm.slip(
    "order exchanged",
    "You climb first and step at random afterwards. Then the random step can no longer help the gradient: it comes first.",
)
def random_last(x, corner, gradient_at, eps, alpha):
    z = (x + (eps - alpha) * gradient_at(x).sign()).clamp(0, 1)
    return (z + alpha * corner).clamp(0, 1)


@r_fgsm.slip(
    "first step alone",
    "The random step is there, and the climb is missing: go on along the sign of gradient_at(z).",
)
def random_only(x, corner, gradient_at, eps, alpha):
    return (x + alpha * corner).clamp(0, 1)


@r_fgsm.right
def from_two_steps_of_fgsm(x, corner, gradient_at, eps, alpha):
    start = fgsm_step(x, corner, alpha)
    return fgsm_step(start, gradient_at(start), eps - alpha)


@r_fgsm.right
def by_the_change(x, corner, gradient_at, eps, alpha):
    first = torch.clamp(alpha * corner, -x, 1 - x)
    slope = gradient_at(x + first)
    total = first + (eps - alpha) * slope.sgn()
    return x + torch.maximum(torch.minimum(total, 1 - x), -x)


@r_fgsm.wrong("crash")
def gradient_without_a_call(x, corner, gradient_at, eps, alpha):
    z = (x + alpha * corner).clamp(0, 1)
    return (z + (eps - alpha) * gradient_at.sign()).clamp(0, 1)


@r_fgsm.wrong("formula")
def half_and_half(x, corner, gradient_at, eps, alpha):
    z = (x + 0.5 * eps * corner).clamp(0, 1)
    return (z + 0.5 * eps * gradient_at(z).sign()).clamp(0, 1)


r_fgsm.checks(*ALL)
