"""Lab 11: clip and noise, one step of DP-SGD."""

import torch

from advcourse.labs.comparing import NUMBERS, gives
from advcourse.labs.exercises import exercise
from advcourse.labs.lab11.noising import (
    adds_its_noise,
    bears_a_gradient_of_zero,
    clipped_first,
    draws_by_its_seed,
    gradients_of,
    holds_without_images,
    without_noise,
)
from advcourse.labs.lab11.sets import PlainTask
from advcourse.labs.properties import answers, keeps_what_it_gets, leaves_nothing_behind, other_device


@exercise(
    "Clip and noise",
    4,
    gradients_of,
    (
        "Three steps, in this order: each row is made no longer than clip; the rows are added; noise is added to the sum, once. "
        "Only then divide, by expected.",
        "norms = gradients.norm(dim=1, keepdim=True); (clip / norms).clamp(max=1) is the factor of each row. Of a row of zeros "
        "it is "
        "infinite without a guard: norms.clamp(min=1e-12).",
        "total = (gradients * factor).sum(0); draws = torch.randn(total.shape, generator=torch.Generator().manual_seed(seed), "
        "dtype=total.dtype); return (total + noise * clip * draws) / expected.",
    ),
    shape=lambda case: (case["gradients"].shape[1],),
    kind=PlainTask,
)
def noisy_gradient(gradients, clip, noise, expected, seed):
    return (shortened(gradients, clip).sum(0) + noise * clip * normal(gradients[:1].sum(0), seed)) / expected


def shortened(gradients, clip):
    norms = gradients.norm(dim=1, keepdim=True).clamp(min=1e-12)
    return gradients * (clip / norms).clamp(max=1)


def normal(like, seed):
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(seed), dtype=like.dtype).to(like)


@noisy_gradient.slip(
    "mean clipped",
    "You clip the mean of the gradients. One image with a huge gradient then decides the whole step: clip the gradient of each "
    "image, "
    "before they are added.",
)
def clips_the_mean(gradients, clip, noise, expected, seed):
    mean = gradients.sum(0) / expected
    mean = mean * min(1, clip / float(mean.norm().clamp(min=1e-12)))
    return mean + noise * clip * normal(mean, seed) / expected


@noisy_gradient.slip("mean clipped")
def clips_the_sum(gradients, clip, noise, expected, seed):
    total = gradients.sum(0)
    total = total * min(1, clip / float(total.norm().clamp(min=1e-12)))
    return (total + noise * clip * normal(total, seed)) / expected


@noisy_gradient.slip(
    "each number",
    "You cut each number to [-clip, clip]. Clipping is about the length of a whole gradient: with D numbers it could still be "
    "clip * sqrt(D) long, and its direction changes.",
)
def cuts_each_number(gradients, clip, noise, expected, seed):
    total = gradients.clamp(-clip, clip).sum(0)
    return (total + noise * clip * normal(total, seed)) / expected


@noisy_gradient.slip(
    "lengthened",
    "Every gradient is made exactly clip long, the short ones as well. Only those that are longer are shortened: min(1, clip / "
    "norm).",
)
def all_of_one_length(gradients, clip, noise, expected, seed):
    total = (gradients * clip / gradients.norm(dim=1, keepdim=True).clamp(min=1e-12)).sum(0)
    return (total + noise * clip * normal(total, seed)) / expected


@noisy_gradient.slip(
    "the long ones stay",
    "Your factor is max(1, clip / norm): it makes the short gradients longer, and leaves the long ones as they are. Take the "
    "minimum.",
)
def maximum_for_minimum(gradients, clip, noise, expected, seed):
    total = (gradients * (clip / gradients.norm(dim=1, keepdim=True).clamp(min=1e-12)).clamp(min=1)).sum(0)
    return (total + noise * clip * normal(total, seed)) / expected


@noisy_gradient.slip(
    "not clipped",
    "The gradients are not clipped. The noise is measured by clip, and hides an image only if none can do more than that.",
)
def without_a_clip(gradients, clip, noise, expected, seed):
    return (gradients.sum(0) + noise * clip * normal(gradients[:1].sum(0), seed)) / expected


@noisy_gradient.slip(
    "left out",
    "You leave out the gradients that are longer than clip. Shorten them; they keep their direction.",
)
def leaves_long_ones_out(gradients, clip, noise, expected, seed):
    total = gradients[gradients.norm(dim=1) <= clip].sum(0)
    return (total + noise * clip * normal(total, seed)) / expected


@noisy_gradient.slip(
    "divided by the batch",
    "You divide by the number of images that were drawn. That number depends on who is in the data, and it would be told: "
    "divide by "
    "`expected`, which everybody may know.",
)
def divides_by_the_batch(gradients, clip, noise, expected, seed):
    return noisy_gradient(gradients, clip, noise, len(gradients), seed)


@noisy_gradient.slip("a sum", "You return the sum. Divide it by `expected`, the noise as well.")
def does_not_divide(gradients, clip, noise, expected, seed):
    return noisy_gradient(gradients, clip, noise, 1, seed)


@noisy_gradient.slip(
    "one norm for all",
    "You take one norm, of the whole matrix. Each image has a gradient of its own, a row: norm(dim=1).",
)
def norm_of_the_matrix(gradients, clip, noise, expected, seed):
    total = gradients.sum(0) * min(1, clip / float(gradients.norm().clamp(min=1e-12)))
    return (total + noise * clip * normal(total, seed)) / expected


@noisy_gradient.slip(
    "norm of the columns",
    "You take norms along the images, one for each weight. A row is the gradient of one image: norm(dim=1).",
)
def norms_of_columns(gradients, clip, noise, expected, seed):
    total = (gradients * (clip / gradients.norm(dim=0).clamp(min=1e-12)).clamp(max=1)).sum(0)
    return (total + noise * clip * normal(total, seed)) / expected


@noisy_gradient.slip(
    "another norm",
    "You measure gradients by the sum of their absolute values. The noise is made for the L2 norm, the root of the sum of "
    "squares.",
)
def by_the_l1_norm(gradients, clip, noise, expected, seed):
    norms = gradients.abs().sum(1, keepdim=True).clamp(min=1e-12)
    total = (gradients * (clip / norms).clamp(max=1)).sum(0)
    return (total + noise * clip * normal(total, seed)) / expected


@noisy_gradient.slip(
    "root forgotten",
    "You measure gradients by the sum of squares. Their length is its root.",
)
def by_the_squared_norm(gradients, clip, noise, expected, seed):
    norms = gradients.square().sum(1, keepdim=True).clamp(min=1e-12)
    total = (gradients * (clip / norms).clamp(max=1)).sum(0)
    return (total + noise * clip * normal(total, seed)) / expected


@noisy_gradient.right
def image_by_image(gradients, clip, noise, expected, seed):
    total = torch.zeros_like(gradients[:1].sum(0))
    for row in gradients:
        length = row.square().sum().sqrt()
        total = total + (row * clip / length if length > clip else row)
    generator = torch.Generator().manual_seed(seed)
    draws = torch.normal(0.0, 1.0, total.shape, generator=generator, dtype=total.dtype).to(total)
    return total / expected + draws * (noise * clip / expected)


@noisy_gradient.right
def by_weights(gradients, clip, noise, expected, seed):
    weights = clip / gradients.square().sum(1).sqrt().clamp(min=clip)
    generator = torch.Generator("cpu").manual_seed(seed)
    draws = torch.randn(gradients.shape[1], generator=generator, dtype=torch.float64)
    return ((weights[None] @ gradients)[0] + clip * noise * draws.to(gradients)) / expected


@noisy_gradient.wrong("noise first")
def noise_before_the_clip(gradients, clip, noise, expected, seed):
    noisy = gradients + noise * clip * normal(gradients, seed)
    return shortened(noisy, clip).sum(0) / expected


@noisy_gradient.wrong("noise first")
def clips_once_more(gradients, clip, noise, expected, seed):
    total = shortened(gradients, clip).sum(0) + noise * clip * normal(gradients[:1].sum(0), seed)
    bound = clip * max(1, len(gradients))
    return total * min(1, bound / float(total.norm().clamp(min=1e-12))) / expected


@noisy_gradient.wrong("noise without clip")
def noise_alone(gradients, clip, noise, expected, seed):
    total = shortened(gradients, clip).sum(0)
    return (total + noise * normal(total, seed)) / expected


@noisy_gradient.wrong("noise of each image")
def noise_for_each_image(gradients, clip, noise, expected, seed):
    noisy = shortened(gradients, clip) + noise * clip * normal(gradients, seed)
    return noisy.sum(0) / expected


@noisy_gradient.wrong("noise after the division")
def noise_to_the_mean(gradients, clip, noise, expected, seed):
    mean = shortened(gradients, clip).sum(0) / expected
    return mean + noise * clip * normal(mean, seed)


@noisy_gradient.wrong("variance")
def spread_for_variance(gradients, clip, noise, expected, seed):
    total = shortened(gradients, clip).sum(0)
    return (total + (noise * clip) ** 2 * normal(total, seed)) / expected


@noisy_gradient.wrong("variance")
def root_of_the_spread(gradients, clip, noise, expected, seed):
    total = shortened(gradients, clip).sum(0)
    return (total + (noise * clip) ** 0.5 * normal(total, seed)) / expected


@noisy_gradient.wrong("no noise")
def clips_alone(gradients, clip, noise, expected, seed):
    return shortened(gradients, clip).sum(0) / expected


@noisy_gradient.wrong("one draw")
def the_same_draw_for_all(gradients, clip, noise, expected, seed):
    total = shortened(gradients, clip).sum(0)
    return (total + noise * clip * normal(total[:1], seed)) / expected


@noisy_gradient.wrong("off centre")
def uniform_from_zero(gradients, clip, noise, expected, seed):
    total = shortened(gradients, clip).sum(0)
    draws = torch.rand(total.shape, generator=torch.Generator().manual_seed(seed), dtype=total.dtype)
    return (total + noise * clip * draws) / expected


@noisy_gradient.wrong("not normal")
def uniform_of_the_same_spread(gradients, clip, noise, expected, seed):
    total = shortened(gradients, clip).sum(0)
    draws = torch.rand(total.shape, generator=torch.Generator().manual_seed(seed), dtype=total.dtype)
    return (total + noise * clip * 12**0.5 * (draws - 0.5)) / expected


@noisy_gradient.wrong("amount of noise")
def too_much_noise(gradients, clip, noise, expected, seed):
    return noisy_gradient(gradients, clip, 20 * noise, expected, seed)


@noisy_gradient.wrong("no randomness")
def one_seed_for_all(gradients, clip, noise, expected, seed):
    return noisy_gradient(gradients, clip, noise, expected, 0)


@noisy_gradient.wrong("part of the seed")
def a_small_seed(gradients, clip, noise, expected, seed):
    return noisy_gradient(gradients, clip, noise, expected, seed % 100)


@noisy_gradient.wrong("not repeatable")
def draws_without_the_seed(gradients, clip, noise, expected, seed):
    return noisy_gradient(gradients, clip, noise, expected, torch.Generator().seed() % 2**31)


@noisy_gradient.wrong("random state")
def seeds_everything(gradients, clip, noise, expected, seed):
    torch.manual_seed(seed)
    total = shortened(gradients, clip).sum(0)
    return (total + noise * clip * torch.randn_like(total)) / expected


@noisy_gradient.wrong("gradient of zero")
def divides_by_a_norm_of_zero(gradients, clip, noise, expected, seed):
    length = gradients.norm(dim=1, keepdim=True)
    total = (gradients / length * length.clamp(max=clip)).sum(0)
    return (total + noise * clip * normal(total, seed)) / expected


@noisy_gradient.wrong("empty batch")
def nothing_without_images(gradients, clip, noise, expected, seed):
    if not len(gradients):
        return torch.zeros_like(gradients.sum(0))
    return noisy_gradient(gradients, clip, noise, expected, seed)


@noisy_gradient.wrong("empty batch")
def fails_without_images(gradients, clip, noise, expected, seed):
    if gradients.norm(dim=1).max() <= 0:
        return normal(gradients[0], seed)
    return noisy_gradient(gradients, clip, noise, expected, seed)


@noisy_gradient.wrong("input")
def shortens_in_place(gradients, clip, noise, expected, seed):
    gradients *= (clip / gradients.norm(dim=1, keepdim=True).clamp(min=1e-12)).clamp(max=1)
    return noisy_gradient(gradients, clip, noise, expected, seed)


@noisy_gradient.wrong("shape")
def of_each_image(gradients, clip, noise, expected, seed):
    return (shortened(gradients, clip) + noise * clip * normal(gradients, seed)) / expected


noisy_gradient.checks(
    answers,
    keeps_what_it_gets,
    bears_a_gradient_of_zero,
    gives(noisy_gradient, NUMBERS, make=without_noise),
    adds_its_noise,
    clipped_first,
    draws_by_its_seed,
    holds_without_images,
    other_device,
    leaves_nothing_behind,
)
