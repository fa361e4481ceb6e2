"""Lab 5: an attack that expects the photograph.

The judge photographs the images with seeds of its own, which no answer has seen.
"""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from advcourse.labs.exercises import Draw, exercise
from advcourse.labs.lab5.gains import (
    ascend,
    fools_from_paper,
    heeds_large_gradients,
    leaves_what_is_misread,
    pgd,
    photographed,
    survives_new_photographs,
)
from advcourse.labs.lab5.photographs import (
    PhotographedTask,
    heeds_draws,
    stays_near_the_image,
    takes_new_photographs,
)
from advcourse.labs.lab8.gradients import gradient, summed
from advcourse.labs.lab8.questions import FIRST, LAST
from advcourse.labs.properties import (
    other_classes,
    other_shape,
    other_type,
    stays_in_budget,
    stays_in_the_box,
)


def a_budget(draw: Draw, x: Tensor) -> dict[str, float]:
    """A few steps of two draws."""
    return {"eps": draw.number(0.035, 0.045), "steps": 4, "draws": 2}


def mean_slope(model, y, draws, first=0):
    """The slope over `draws` photographs, other ones in each step."""

    def slope(x_i, i):
        seeds = range(first + i * draws, first + (i + 1) * draws)
        return sum(gradient(photographed(model, seed), x_i, y) for seed in seeds)

    return slope


@exercise(
    "An attack that expects the photograph",
    4,
    a_budget,
    (
        "camera, f = model. In every step you photograph x_i `draws` times, each time with a seed that you have not used before, "
        "and add up the gradients by x_i.",
        'In step i, draw k has the seed i * draws + k. Its loss is cross_entropy(f(camera(x_i, seed)), y, reduction="sum"). The '
        "camera is only looked through: the image that is changed, and clipped, is x_i.",
        "x_adv = x_adv + 2.5 * eps / steps * total.sign(); x_adv = x_adv.clamp(x - eps, x + eps).clamp(0, 1). Return it "
        "detached.",
    ),
    kind=PhotographedTask,
)
def eot_pgd(model, x, y, eps, steps, draws):
    return ascend(mean_slope(model, y, draws), x, eps, steps)


@eot_pgd.right
def mean_logits_and_momentum(model, x, y, eps, steps, draws):
    camera, f = model
    low, high = (x - eps).clamp(min=0), (x + eps).clamp(max=1)
    x_i, memory = x.clone(), torch.zeros_like(x)
    for i in range(steps):
        seeds = range(1000 + i * draws, 1000 + (i + 1) * draws)
        slope = gradient(lambda z: sum(f(camera(z, s)) for s in seeds) / draws, x_i, y)  # noqa: B023
        memory = 0.5 * memory + slope / slope.abs().sum((1, 2, 3), keepdim=True).clamp(min=1e-30)
        x_i = torch.minimum(torch.maximum(x_i + 2 * eps / steps * memory.sign(), low), high)
    return x_i.detach()


@eot_pgd.right
def one_backward_pass(model, x, y, eps, steps, draws):
    camera, f = model
    change = torch.zeros_like(x)
    for i in range(steps):
        change = change.requires_grad_()
        photographs = [camera(x + change, 7 + i * draws + k) for k in range(draws)]
        loss = cross_entropy(f(torch.cat(photographs)), y.repeat(draws), reduction="sum")
        (slope,) = torch.autograd.grad(loss, change)
        change = (change.detach() + 2 * eps / steps * slope.sign()).clamp(-eps, eps)
        change = (x + change).clamp(0, 1) - x
    return (x + change).clamp(0, 1)


@eot_pgd.right
def from_a_random_start(model, x, y, eps, steps, draws):
    g = torch.Generator().manual_seed(0)
    start = (x + eps * (2 * torch.rand(x.shape, generator=g).to(x) - 1)).clamp(0, 1)
    return ascend(mean_slope(model, y, draws, 50), x, eps, steps, start=start)


@eot_pgd.wrong("camera left out")
def plain_pgd(model, x, y, eps, steps, draws):
    return pgd(model[-1], x, y, eps, steps)


@eot_pgd.wrong("camera left out")
def by_the_photograph(model, x, y, eps, steps, draws):
    camera, f = model

    def slope(x_i, i):
        return sum(gradient(f, camera(x_i, i * draws + k), y) for k in range(draws))

    return ascend(slope, x, eps, steps)


@eot_pgd.wrong("same draws")
def the_same_in_each_step(model, x, y, eps, steps, draws):
    slope = mean_slope(model, y, draws)
    return ascend(lambda x_i, i: slope(x_i, 0), x, eps, steps)


@eot_pgd.wrong("same draws")
def one_photograph_many_times(model, x, y, eps, steps, draws):
    return ascend(
        lambda x_i, i: sum(gradient(photographed(model, i), x_i, y) for _ in range(draws)), x, eps, steps
    )


@eot_pgd.wrong("draws ignored")
def one_photograph_a_step(model, x, y, eps, steps, draws):
    return ascend(mean_slope(model, y, 1), x, eps, steps)


@eot_pgd.wrong("too many draws")
def five_times_the_draws(model, x, y, eps, steps, draws):
    return eot_pgd(model, x, y, eps, steps, 5 * draws)


@eot_pgd.wrong("too many draws")
def three_times_the_steps(model, x, y, eps, steps, draws):
    return eot_pgd(model, x, y, eps, 3 * steps, draws)


@eot_pgd.wrong("clips the photograph")
def clipped_after_the_camera(model, x, y, eps, steps, draws):
    camera, f = model
    x_i = x
    for i in range(steps):
        seen = [camera(x_i, i * draws + k) for k in range(draws)]
        slope = sum(gradient(f, photograph, y) for photograph in seen)
        x_i = (seen[-1] + 2.5 * eps / steps * slope.sign()).clamp(seen[-1] - eps, seen[-1] + eps).clamp(0, 1)
    return x_i.detach()


@eot_pgd.wrong("clips the photograph")
def returns_a_photograph(model, x, y, eps, steps, draws):
    return model[0](eot_pgd(model, x, y, eps, steps, draws), 0).detach()


@eot_pgd.wrong("ball around the last iterate")
def around_the_last(model, x, y, eps, steps, draws):
    slope, x_i = mean_slope(model, y, draws), x
    for i in range(steps):
        moved = x_i + 2.5 * eps / steps * slope(x_i, i).sign()
        x_i = moved.clamp(x_i - eps, x_i + eps).clamp(0, 1)
    return x_i


@eot_pgd.wrong("ball around the last iterate")
def never_clipped_to_the_ball(model, x, y, eps, steps, draws):
    slope, x_i = mean_slope(model, y, draws), x
    for i in range(steps):
        x_i = (x_i + 2.5 * eps / steps * slope(x_i, i).sign()).clamp(0, 1)
    return x_i


@eot_pgd.wrong("downhill")
def down(model, x, y, eps, steps, draws):
    return ascend(mean_slope(model, y, draws), x, eps, steps, sign=-1)


@eot_pgd.wrong("one step")
def fgsm(model, x, y, eps, steps, draws):
    return (x + eps * mean_slope(model, y, draws * steps)(x, 0).sign()).clamp(0, 1)


@eot_pgd.wrong("short steps")
def eps_over_steps(model, x, y, eps, steps, draws):
    return ascend(mean_slope(model, y, draws), x, eps, steps, size=1.0)


def slope_by_slope(model, y, draws, size):
    """The slopes of the draws, each brought to one size by `size`, and then added."""

    def slope(x_i, i):
        seeds = range(i * draws, (i + 1) * draws)
        return sum(size(gradient(photographed(model, seed), x_i, y)) for seed in seeds)

    return slope


@eot_pgd.wrong("each draw's sign")
def sign_of_the_signs(model, x, y, eps, steps, draws):
    return ascend(slope_by_slope(model, y, draws, torch.sign), x, eps, steps)


@eot_pgd.wrong("each draw's sign")
def mean_of_the_signs(model, x, y, eps, steps, draws):
    slope, x_i = slope_by_slope(model, y, draws, torch.sign), x
    for i in range(steps):
        x_i = x_i + 2.5 * eps / steps * slope(x_i, i) / draws
        x_i = x_i.clamp(x - eps, x + eps).clamp(0, 1)
    return x_i


@eot_pgd.wrong("each draw's sign")
def each_draw_over_its_norm(model, x, y, eps, steps, draws):
    def unit(slope):
        return slope / slope.flatten(1).norm(dim=1).clamp(min=1e-30).view(-1, 1, 1, 1)

    return ascend(slope_by_slope(model, y, draws, unit), x, eps, steps)


@eot_pgd.wrong("weak")
def a_tenth_of_the_budget(model, x, y, eps, steps, draws):
    return eot_pgd(model, x, y, eps / 10, steps, draws)


@eot_pgd.wrong("units")
def eps_in_levels(model, x, y, eps, steps, draws):
    return eot_pgd(model, x, y, eps / 255, steps, draws)


@eot_pgd.wrong("box")
def unclipped(model, x, y, eps, steps, draws):
    return ascend(mean_slope(model, y, draws), x, eps, steps, box=False)


@eot_pgd.wrong("no direction")
def random_signs(model, x, y, eps, steps, draws):
    g = torch.Generator().manual_seed(draws)
    model[-1](model[0](x, 0))
    return (x + eps * torch.randn(x.shape, generator=g).to(x).sign()).clamp(0, 1)


@eot_pgd.wrong("own answer")
def away_from_its_own_answer(model, x, y, eps, steps, draws):
    return eot_pgd(model, x, model[-1](x).argmax(1), eps, steps, draws)


@eot_pgd.wrong("parameter gradients")
def backward_everywhere(model, x, y, eps, steps, draws):
    x_i = x
    for i in range(steps):
        x_i = x_i.detach().requires_grad_()
        sum(summed(photographed(model, i * draws + k)(x_i), y) for k in range(draws)).backward()
        x_i = (x_i + 2.5 * eps / steps * x_i.grad.sign()).clamp(x - eps, x + eps).clamp(0, 1)
    return x_i.detach()


@eot_pgd.wrong("crash")
def without_a_seed(model, x, y, eps, steps, draws):
    return ascend(lambda x_i, i: gradient(model, x_i, y), x, eps, steps)


@eot_pgd.wrong("shape")
def all_draws(model, x, y, eps, steps, draws):
    return torch.cat([eot_pgd(model, x, y, eps, steps, 1) for _ in range(draws)])


eot_pgd.checks(
    *FIRST,
    other_classes,
    stays_in_the_box,
    stays_near_the_image,
    stays_in_budget(),
    takes_new_photographs,
    survives_new_photographs,
    heeds_draws,
    leaves_what_is_misread,
    heeds_large_gradients,
    fools_from_paper,
    other_type,
    other_shape,
    *LAST,
)
