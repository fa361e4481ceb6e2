"""Chapter 03: what the heavy ball remembers."""

from typing import Any

import torch

from advcourse.labs.exercises import Draw
from advcourse.practice.asking import ALL, rounded, slopes
from advcourse.practice.tasks import small_exercise


def drawn_slopes(draw: Draw) -> dict[str, Any]:
    """Three images of two pixels, whose gradients are of very different size; in none do the two slopes add up to 0."""
    g = rounded(2 * draw.uniform((3, 2)) - 1)
    gradient = slopes(draw, 6).view(3, 2) * torch.tensor([[0.2], [1.0], [5.0]])
    gradient[:, 0] *= torch.where(gradient.sum(1).abs() < 1e-6, 2.0, 1.0)
    return {"g": g, "gradient": gradient, "decay": draw.number(0.4, 0.9)}


@small_exercise(
    "What the heavy ball remembers",
    5,
    "medium",
    by_hand=(
        {
            "g": torch.tensor([[0.75, 0.25], [0.0, 1.0]]),
            "gradient": torch.tensor([[3.0, -1.0], [-0.1, 0.4]]),
            "decay": 0.5,
        },
    ),
    drawn=drawn_slopes,
    hints=(
        "Each image's gradient is divided by its own L1 norm, the sum of the sizes of its slopes. The old direction is "
        "multiplied by decay, and the two are added.",
        "gradient.abs().sum(1, keepdim=True) has the norm of each row, in a shape by which the rows can be divided.",
    ),
    shape=lambda case: tuple(case["g"].shape),
    praise="Right. A steep place and a flat one now have the same say, and a push to the left takes back one to the right.",
)
def momentum_update(g, gradient, decay):
    return decay * g + gradient / gradient.abs().sum(1, keepdim=True)


@momentum_update.slip(
    "not divided",
    "The gradients keep their size, so one steep place outweighs all the others. Divide each by its own L1 norm first.",
)
def as_it_is(g, gradient, decay):
    return decay * g + gradient


@momentum_update.slip(
    "L2 norm",
    "You divide by the length of the gradient, its L2 norm. The paper takes the L1 norm, the sum of the absolute values.",
)
def by_its_length(g, gradient, decay):
    return decay * g + gradient / gradient.norm(dim=1, keepdim=True)


@momentum_update.slip(
    "mean",
    "You divide by the mean of the absolute values instead of their sum. If you always do so, the signs of g stay the same, but "
    "these are not the numbers of the formula.",
)
def by_the_mean(g, gradient, decay):
    return decay * g + gradient / gradient.abs().mean(1, keepdim=True)


@momentum_update.slip(
    "whole batch",
    "You divide by the sum over all images, so one image's slopes decide what the others' are worth. Each row has its own norm.",
)
def by_all_images(g, gradient, decay):
    return decay * g + gradient / gradient.abs().sum()


@momentum_update.slip(
    "down the columns",
    "You add up down the columns, over the images. Each image is a row, and has a norm of its own: sum(1, keepdim=True).",
)
def down_the_columns(g, gradient, decay):
    return decay * g + gradient / gradient.abs().sum(0, keepdim=True)


@momentum_update.slip(
    "largest",
    "You divide by the largest slope of each image. The L1 norm is the sum of all their sizes.",
)
def by_the_largest(g, gradient, decay):
    return decay * g + gradient / gradient.abs().amax(1, keepdim=True)


@momentum_update.slip(
    "sizes forgotten",
    "You divide by the sum of the slopes with their signs, in which they cancel. A norm adds up sizes: take .abs() first.",
)
def by_the_sum(g, gradient, decay):
    return decay * g + gradient / gradient.sum(1, keepdim=True)


@momentum_update.slip(
    "sign",
    "You add the sign of the gradient. The sign is taken when the step is made; here each slope keeps its share.",
)
def adds_the_sign(g, gradient, decay):
    return decay * g + gradient.sign()


@momentum_update.slip(
    "decay on the new",
    "You multiply the new gradient by decay. It is the memory that fades: decay belongs to g.",
)
def weighs_the_new(g, gradient, decay):
    return g + decay * gradient / gradient.abs().sum(1, keepdim=True)


@momentum_update.slip(
    "no decay",
    "You keep all of the memory. Only the part decay of it should be left: multiply g by decay.",
)
def forgets_nothing(g, gradient, decay):
    return g + gradient / gradient.abs().sum(1, keepdim=True)


@momentum_update.slip(
    "decay on both",
    "You multiply both parts by decay. It is the memory alone that fades; the new gradient counts in full.",
)
def weighs_the_whole(g, gradient, decay):
    return decay * (g + gradient / gradient.abs().sum(1, keepdim=True))


@momentum_update.slip(
    "signs of all",
    "You return the signs of the memory. The sign is taken when the step is made; the ball remembers the numbers.",
)
def signs_of_all(g, gradient, decay):
    return (decay * g + gradient / gradient.abs().sum(1, keepdim=True)).sign()


@momentum_update.slip(
    "average",
    "You weigh old and new with decay and 1 - decay, as an average does. Here the new gradient counts in full.",
)
def weighs_both(g, gradient, decay):
    return decay * g + (1 - decay) * gradient / gradient.abs().sum(1, keepdim=True)


@momentum_update.slip(
    "no memory", "The old direction is not in your result. Without it the ball has no weight: add decay * g."
)
def forgets(g, gradient, decay):
    return gradient / gradient.abs().sum(1, keepdim=True)


@momentum_update.slip(
    "divided too late",
    "You add first and divide the sum. Then the sizes have had their say already: divide the gradient alone, before you add.",
)
def divides_the_sum(g, gradient, decay):
    total = decay * g + gradient
    return total / total.abs().sum(1, keepdim=True)


@momentum_update.slip("subtracts", "You take the new gradient away. Both point uphill: add it.")
def takes_away(g, gradient, decay):
    return decay * g - gradient / gradient.abs().sum(1, keepdim=True)


@momentum_update.right
def with_torchs_norm(g, gradient, decay):
    return torch.nn.functional.normalize(gradient, p=1, dim=1) + g * decay


@momentum_update.right
def image_by_image(g, gradient, decay):
    rows = [
        decay * old + new / sum(abs(slope) for slope in new.tolist())
        for old, new in zip(g, gradient, strict=True)
    ]
    return torch.stack(rows)


@momentum_update.wrong("input")
def adds_in_place(g, gradient, decay):
    g *= decay
    return g + gradient / gradient.abs().sum(1, keepdim=True)


@momentum_update.wrong("crash")
def without_keepdim(g, gradient, decay):
    return decay * g + gradient / gradient.abs().sum(1)


momentum_update.checks(*ALL)
