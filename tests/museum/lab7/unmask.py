"""Answers to unmask(model, x, y, eps, steps)."""

import copy

import torch
from torch.nn.functional import cross_entropy, one_hot

from museum import Room

room = Room("unmask")


def climb(model, x, eps, steps, objective, start=None):
    """Sign steps up `objective`, a function of the logits, projected."""
    x_i = x.clone() if start is None else start
    for _ in range(steps):
        x_i = x_i.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(objective(model(x_i)), x_i)
        x_i = (x_i.detach() + 2.5 * eps / steps * gradient.sign()).clamp(x - eps, x + eps).clamp(0, 1)
    return x_i.detach()


def behind(y):
    """How far the best other logit is above the label's, summed over images."""

    def objective(logits):
        own = one_hot(y, logits.shape[1]).bool()
        return (logits.masked_fill(own, -torch.inf).amax(1) - logits[own]).sum()

    return objective


@room.right
def by_the_margin(model, x, y, eps, steps):
    return climb(model, x, eps, steps, behind(y))


@room.right
def by_softened_logits(model, x, y, eps, steps):
    def objective(logits):
        size = logits.detach().std(1, keepdim=True)  # a temperature for each image
        return cross_entropy(logits / size, y, reduction="sum")

    return climb(model, x, eps, steps, objective)


@room.right
def in_double_precision(model, x, y, eps, steps):
    double = copy.deepcopy(model).double()  # where exp(-700) is not 0 yet
    return climb(
        double, x.double(), eps, steps, lambda logits: cross_entropy(logits / 10, y, reduction="sum")
    ).to(x.dtype)


@room.wrong("does not move")
def plain_pgd(model, x, y, eps, steps):
    return climb(model, x, eps, steps, lambda logits: cross_entropy(logits, y, reduction="sum"))


@room.wrong("no direction")
def pgd_from_a_random_start(model, x, y, eps, steps):
    generator = torch.Generator().manual_seed(0)
    noise = (2 * torch.rand(x.shape, generator=generator) - 1).to(x)
    start = (x + eps * noise).clamp(0, 1)
    return climb(model, x, eps, steps, lambda logits: cross_entropy(logits, y, reduction="sum"), start)


@room.wrong("one step")
def fgsm_on_the_logits(model, x, y, eps, steps):
    x_1 = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(behind(y)(model(x_1)), x_1)
    return (x + eps * gradient.sign()).clamp(0, 1)


@room.wrong("downhill")
def own_logit_up(model, x, y, eps, steps):
    return climb(model, x, eps, steps, lambda logits: -behind(y)(logits))


@room.wrong("weak")
def small_steps(model, x, y, eps, steps):
    return climb(model, x, eps / 3, steps, behind(y))


@room.wrong("budget")
def added_steps(model, x, y, eps, steps):
    return climb(model, x, 2 * eps, steps, behind(y))


@room.wrong("box")
def no_clip(model, x, y, eps, steps):
    x_i = x.clone()
    for _ in range(steps):
        x_i = x_i.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(behind(y)(model(x_i)), x_i)
        x_i = (x_i.detach() + 2.5 * eps / steps * gradient.sign()).clamp(x - eps, x + eps)
    return x_i


@room.wrong("units")
def eps_of_255(model, x, y, eps, steps):
    return climb(model, x, eps / 255, steps, behind(y))


@room.wrong("clean image")
def never_assigned(model, x, y, eps, steps):
    climb(model, x, eps, steps, behind(y))
    return x.clone()


@room.wrong("ignores the model")
def noise_alone(model, x, y, eps, steps):
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).to(x)
    return (x + eps * noise.sign()).clamp(0, 1)


@room.wrong("parameters")
def softens_the_model_itself(model, x, y, eps, steps):
    with torch.no_grad():
        for parameter in list(model.parameters())[-2:]:
            parameter.div_(50)
    return climb(model, x, eps, steps, lambda logits: cross_entropy(logits, y, reduction="sum"))


@room.wrong("attached")
def result_on_the_graph(model, x, y, eps, steps):
    return by_the_margin(model, x, y, eps, steps).requires_grad_()


@room.wrong("crash")
def zip_of_logits(model, x, y, eps, steps):
    return climb(model, x, eps, steps, lambda logits: logits - logits[y])


@room.right
def margin_from_a_random_start(model, x, y, eps, steps):
    noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(0)).to(x)
    return climb(model, x, eps, steps, behind(y), (x + eps * (2 * noise - 1)).clamp(0, 1))


@room.wrong("too many steps")
def ten_times_the_steps(model, x, y, eps, steps):
    return climb(model, x, eps, 10 * steps, behind(y))


@room.wrong("too many steps")
def one_step_more(model, x, y, eps, steps):
    return climb(model, x, eps, steps + 1, behind(y))


@room.wrong("too many steps")
def always_forty_steps(model, x, y, eps, steps):
    return climb(model, x, eps, 40, behind(y))


@room.wrong("own answer")
def away_from_its_own_answer(model, x, y, eps, steps):
    return climb(model, x, eps, steps, behind(model(x).argmax(1)))


@room.wrong("budget")
def always_the_same_budget(model, x, y, eps, steps):
    return climb(model, x, 0.15, steps, behind(y))


@room.wrong("other classes")
def ten_classes(model, x, y, eps, steps):
    own = one_hot(y, 10).bool()
    return climb(model, x, eps, steps, lambda z: (z.masked_fill(own, -torch.inf).amax(1) - z[own]).sum())
