"""Answers to get_through(model, x, y, eps, steps, draws)."""

import torch
from torch.nn.functional import cross_entropy

from museum import Room

room = Room("get_through")


def ascend(slope, x, eps, steps, box=True, away=1, start=None):
    """Sign steps along slope(x_i), within eps of x and [0, 1]."""
    x_i = x.clone() if start is None else start
    for _ in range(steps):
        x_i = x_i + away * 2.5 * eps / steps * slope(x_i).sign()
        x_i = x_i.clamp(x - eps, x + eps)
        x_i = x_i.clamp(0, 1) if box else x_i
    return x_i.detach()


def slope_of(f, x, y):
    x = x.detach().clone().requires_grad_()
    return torch.autograd.grad(cross_entropy(f(x), y, reduction="sum"), x)[0]


def soft(levels, z):
    return z + (levels(z) - z).detach()


def one_pass(model):
    """Images to logits under one draw, the levels straight through."""
    shift, levels, f = model
    return lambda x: f(soft(levels, shift(x)))


@room.right
def pgd(model, x, y, eps, steps, draws):
    f = one_pass(model)
    return ascend(lambda x_i: sum(slope_of(f, x_i, y) for _ in range(draws)), x, eps, steps)


@room.right
def mean_logits_and_momentum(model, x, y, eps, steps, draws):
    shift, levels, f = model
    low, high = (x - eps).clamp(min=0), (x + eps).clamp(max=1)
    x_i, memory = x.clone(), torch.zeros_like(x)
    for _ in range(steps):
        x_i = x_i.detach().requires_grad_()
        moved = [shift(x_i) for _ in range(draws)]
        logits = sum(f(z + (levels(z) - z).detach()) for z in moved) / draws
        (gradient,) = torch.autograd.grad(cross_entropy(logits, y, reduction="sum"), x_i)
        memory = 0.5 * memory + gradient / gradient.abs().sum((1, 2, 3), keepdim=True).clamp(min=1e-30)
        x_i = torch.minimum(torch.maximum(x_i + 2 * eps / steps * memory.sign(), low), high)
    return x_i.detach()


@room.right
def without_the_levels(model, x, y, eps, steps, draws):
    shift, _, f = model
    mean = lambda x_i: sum(slope_of(lambda z: f(shift(z)), x_i, y) for _ in range(draws))  # noqa: E731
    return ascend(mean, x, eps, steps)


@room.wrong("no gradient")
def through_the_steps(model, x, y, eps, steps, draws):
    return ascend(lambda x_i: sum(slope_of(model, x_i, y) for _ in range(draws)), x, eps, steps)


@room.wrong("rounded")
def returns_what_f_sees(model, x, y, eps, steps, draws):
    return model[1](pgd(model, x, y, eps, steps, draws)).detach()


@room.wrong("defense left out")
def classifier_alone(model, x, y, eps, steps, draws):
    return ascend(lambda x_i: slope_of(model[-1], x_i, y), x, eps, steps)


@room.wrong("one draw")
def always_moved_the_same_way(model, x, y, eps, steps, draws):
    shift, levels, f = model
    moved = shift(x)
    down, right = next((move for move in shift.moves if torch.equal(x.roll(move, (2, 3)), moved)), (0, 0))
    frozen = lambda z: f(soft(levels, z.roll((down, right), (2, 3))))  # noqa: E731
    return ascend(lambda x_i: slope_of(frozen, x_i, y), x, eps, steps)


@room.wrong("ignores the model")
def random_start_and_no_gradient(model, x, y, eps, steps, draws):
    g = torch.Generator().manual_seed(0)
    start = (x + eps * (2 * torch.rand(x.shape, generator=g).to(x) - 1)).clamp(0, 1)
    return ascend(lambda x_i: slope_of(model, x_i, y), x, eps, steps, start=start)


@room.wrong("downhill")
def down(model, x, y, eps, steps, draws):
    f = one_pass(model)
    return ascend(lambda x_i: sum(slope_of(f, x_i, y) for _ in range(draws)), x, eps, steps, away=-1)


@room.wrong("one step")
def fgsm(model, x, y, eps, steps, draws):
    f = one_pass(model)
    total = sum(slope_of(f, x, y) for _ in range(draws * steps))
    return (x + eps * total.sign()).clamp(0, 1)


@room.wrong("weak")
def a_tenth_of_the_budget(model, x, y, eps, steps, draws):
    f = one_pass(model)
    return ascend(lambda x_i: sum(slope_of(f, x_i, y) for _ in range(draws)), x, eps / 10, steps)


@room.wrong("box")
def unclipped(model, x, y, eps, steps, draws):
    f = one_pass(model)
    return ascend(lambda x_i: sum(slope_of(f, x_i, y) for _ in range(draws)), x, eps, steps, box=False)


@room.wrong("budget")
def no_projection(model, x, y, eps, steps, draws):
    f, x_i = one_pass(model), x
    for _ in range(steps):
        x_i = (x_i + 2.5 * eps / steps * slope_of(f, x_i, y).sign()).clamp(0, 1)
    return x_i


@room.wrong("units")
def eps_in_levels(model, x, y, eps, steps, draws):
    return pgd(model, x, y, eps / 255, steps, draws)


@room.wrong("parameter gradients")
def backward_everywhere(model, x, y, eps, steps, draws):
    f, x_i = one_pass(model), x
    for _ in range(steps):
        x_i = x_i.detach().requires_grad_()
        sum(cross_entropy(f(x_i), y, reduction="sum") for _ in range(draws)).backward()
        x_i = (x_i + 2.5 * eps / steps * x_i.grad.sign()).clamp(x - eps, x + eps).clamp(0, 1)
    return x_i.detach()


@room.wrong("crash")
def votes_have_no_gradient(model, x, y, eps, steps, draws):
    votes = lambda z: sum(model(z).argmax(1) for _ in range(draws))  # noqa: E731
    return ascend(lambda x_i: torch.autograd.grad(votes(x_i), x_i)[0], x, eps, steps)


@room.wrong("too many draws")
def three_times_the_steps(model, x, y, eps, steps, draws):
    return pgd(model, x, y, eps, 3 * steps, draws)


@room.wrong("too many draws")
def five_times_the_draws(model, x, y, eps, steps, draws):
    return pgd(model, x, y, eps, steps, 5 * draws)


@room.wrong("too many draws")
def always_three_draws(model, x, y, eps, steps, draws):
    return pgd(model, x, y, eps, steps, 3)


@room.wrong("own answer")
def away_from_its_own_answer(model, x, y, eps, steps, draws):
    return pgd(model, x, model(x).argmax(1), eps, steps, draws)
