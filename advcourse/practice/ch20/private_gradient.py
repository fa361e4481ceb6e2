"""Chapter 20: the gradient of a private training step."""

from typing import Any

import torch

from advcourse.labs.exercises import Draw
from advcourse.practice.asking import ALL, rounded
from advcourse.practice.tasks import small_exercise


def drawn_gradients(draw: Draw) -> dict[str, Any]:
    """Four images' gradients over two weights: two longer than the clip, one far longer, one shorter; and noise."""
    length = torch.tensor([0.3, 1.5, 2.5, 6.0]) + 0.2 * draw.uniform((4,))
    angle = 0.3 + torch.tensor([0.0, 0.7, 1.6, 2.6]) + 0.2 * draw.uniform((4,))
    gradients = rounded(length[:, None] * torch.stack([angle.cos(), angle.sin()], 1))
    return {"gradients": gradients, "clip": draw.number(0.8, 1.2), "noise": rounded(0.5 + draw.uniform((2,)))}


@small_exercise(
    "Clip, add, blur",
    6,
    "medium",
    by_hand=(
        {
            "gradients": torch.tensor([[3.0, 4.0], [0.6, 0.0]]),
            "clip": 2.0,
            "noise": torch.tensor([0.5, -0.5]),
        },
    ),
    drawn=drawn_gradients,
    hints=(
        "Each row is one image's gradient. A row that is longer than clip is shortened to the length clip; a shorter one stays "
        "as it is. Only then are they added.",
        "shares = (clip / gradients.norm(dim=1)).clamp(max=1), then (shares[:, None] * gradients).sum(0) + clip * noise, and all "
        "of it over the number of rows.",
    ),
    shape=lambda case: case.arguments["noise"].shape,
    praise="No image moves this sum by more than clip, and the noise is made to the measure of clip: that is the whole idea.",
)
def private_gradient(gradients, clip, noise):
    shares = (clip / gradients.norm(dim=1)).clamp(max=1)
    return ((shares[:, None] * gradients).sum(0) + clip * noise) / len(gradients)


@private_gradient.slip(
    "mean clipped",
    "You clip the mean of all gradients. One image with a huge gradient still decides it alone: shorten each row by itself.",
)
def clips_the_mean(gradients, clip, noise):
    mean = gradients.mean(0)
    return mean * (clip / mean.norm()).clamp(max=1) + clip * noise / len(gradients)


@private_gradient.slip(
    "not clipped",
    "Nothing is clipped: an image with a gradient a thousand times as long would stand out of any noise.",
)
def unclipped(gradients, clip, noise):
    return (gradients.sum(0) + clip * noise) / len(gradients)


@private_gradient.slip(
    "all made equally long",
    "You stretch the short gradients, too. Only those longer than clip are changed: clamp the factor at 1.",
)
def normalised(gradients, clip, noise):
    shares = clip / gradients.norm(dim=1)
    return ((shares[:, None] * gradients).sum(0) + clip * noise) / len(gradients)


@private_gradient.slip(
    "numbers clipped",
    "You clip each number of a gradient. The length of the whole row is what counts, and its direction should stay.",
)
def clamped(gradients, clip, noise):
    return (gradients.clamp(-clip, clip).sum(0) + clip * noise) / len(gradients)


@private_gradient.slip(
    "noise of another size",
    "The noise is not multiplied by clip. It has to hide one image, and the most that one image can do is clip.",
)
def noise_as_it_is(gradients, clip, noise):
    shares = (clip / gradients.norm(dim=1)).clamp(max=1)
    return ((shares[:, None] * gradients).sum(0) + noise) / len(gradients)


@private_gradient.slip(
    "noise on the mean",
    "You add the whole noise after dividing. It belongs to the sum, and is divided with it.",
)
def noise_on_the_mean(gradients, clip, noise):
    shares = (clip / gradients.norm(dim=1)).clamp(max=1)
    return (shares[:, None] * gradients).mean(0) + clip * noise


@private_gradient.slip(
    "no noise", "The gradients are clipped, but the noise is missing, and with it the privacy."
)
def without_noise(gradients, clip, noise):
    shares = (clip / gradients.norm(dim=1)).clamp(max=1)
    return (shares[:, None] * gradients).mean(0)


@private_gradient.slip(
    "a sum", "This is the noisy sum. Divide it by the number of images, the rows of gradients."
)
def a_sum(gradients, clip, noise):
    shares = (clip / gradients.norm(dim=1)).clamp(max=1)
    return (shares[:, None] * gradients).sum(0) + clip * noise


@private_gradient.right
def row_by_row(gradients, clip, noise):
    total = clip * noise
    for row in gradients:
        length = row.norm()
        total = total + (row if length <= clip else row * clip / length)
    return total / len(gradients)


@private_gradient.right
def by_renorm(gradients, clip, noise):
    return (gradients.renorm(2, 0, clip).sum(0) + clip * noise) / len(gradients)


@private_gradient.wrong("crash")
def shares_not_broadcast(gradients, clip, noise):
    shares = (clip / gradients.norm(dim=1)).clamp(max=1)
    return (shares @ gradients.T).sum(0) + clip * noise


private_gradient.checks(*ALL)
