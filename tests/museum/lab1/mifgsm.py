"""Answers to mifgsm(model, x, y, eps, steps, decay)."""

import torch
import torch.nn.functional as F

from museum import Room

room = Room("mifgsm")


def project(x_adv, x, eps):
    return x_adv.clamp(x - eps, x + eps).clamp(0, 1)


def gradient_at(model, x, y):
    x_in = x.clone().requires_grad_()
    return torch.autograd.grad(F.cross_entropy(model(x_in), y), x_in)[0]


@room.right
def with_grad(model, x, y, eps, steps, decay):
    x_i, g = x, torch.zeros_like(x)
    for _ in range(steps):
        gradient = gradient_at(model, x_i, y)
        g = decay * g + gradient / gradient.abs().sum(dim=(1, 2, 3), keepdim=True)
        x_i = project(x_i + eps / steps * g.sign(), x, eps)
    return x_i


@room.right
def with_the_mean_and_log_softmax(model, x, y, eps, steps, decay):
    rows = torch.arange(len(x), device=x.device)
    delta, velocity = torch.zeros_like(x), 0.0
    for _ in range(steps):
        point = (x + delta).requires_grad_(True)
        loss = -model(point).log_softmax(1)[rows, y].sum()
        loss.backward(inputs=[point])
        size = point.grad.flatten(1).abs().mean(1)  # the mean: the sum but for a factor that no sign sees
        velocity = decay * velocity + point.grad / size[:, None, None, None]
        delta = torch.clip(delta + eps / steps * velocity.sign(), -eps, eps)
        delta = torch.clip(x + delta, 0, 1) - x
    return torch.clip(x + delta, 0, 1)


@room.wrong("no momentum")
def memory_overwritten(model, x, y, eps, steps, decay):
    x_i = x
    for _ in range(steps):
        g = torch.zeros_like(x)
        gradient = gradient_at(model, x_i, y)
        g = decay * g + gradient / gradient.abs().sum(dim=(1, 2, 3), keepdim=True)
        x_i = project(x_i + eps / steps * g.sign(), x, eps)
    return x_i


@room.wrong("not normalised")
def raw_gradients(model, x, y, eps, steps, decay):
    x_i, g = x, torch.zeros_like(x)
    for _ in range(steps):
        x_in = x_i.clone().requires_grad_()
        g = decay * g + torch.autograd.grad(F.cross_entropy(model(x_in), y, reduction="sum"), x_in)[0]
        x_i = project(x_i + eps / steps * g.sign(), x, eps)
    return x_i


@room.wrong("mixes images")
def norm_of_the_batch(model, x, y, eps, steps, decay):
    x_i, g = x, torch.zeros_like(x)
    for _ in range(steps):
        gradient = gradient_at(model, x_i, y)
        g = decay * g + gradient / gradient.abs().sum()
        x_i = project(x_i + eps / steps * g.sign(), x, eps)
    return x_i


@room.wrong("sums signs")
def signs_in_memory(model, x, y, eps, steps, decay):
    x_i, g = x, torch.zeros_like(x)
    for _ in range(steps):
        g = decay * g + gradient_at(model, x_i, y).sign()
        x_i = project(x_i + eps / steps * g.sign(), x, eps)
    return x_i


@room.wrong("decay unused")
def decay_forgotten(model, x, y, eps, steps, decay):
    x_i, g = x, torch.zeros_like(x)
    for _ in range(steps):
        gradient = gradient_at(model, x_i, y)
        g = g + gradient / gradient.abs().sum(dim=(1, 2, 3), keepdim=True)
        x_i = project(x_i + eps / steps * g.sign(), x, eps)
    return x_i


@room.wrong("steps of eps")
def full_steps(model, x, y, eps, steps, decay):
    x_i, g = x, torch.zeros_like(x)
    for _ in range(steps):
        gradient = gradient_at(model, x_i, y)
        g = decay * g + gradient / gradient.abs().sum(dim=(1, 2, 3), keepdim=True)
        x_i = project(x_i + eps * g.sign(), x, eps)
    return x_i


@room.wrong("gradient at x")
def gradient_at_the_clean_image(model, x, y, eps, steps, decay):
    x_i, g = x, torch.zeros_like(x)
    for _ in range(steps):
        gradient = gradient_at(model, x, y)
        g = decay * g + gradient / gradient.abs().sum(dim=(1, 2, 3), keepdim=True)
        x_i = project(x_i + eps / steps * g.sign(), x, eps)
    return x_i


@room.wrong("descends")
def sign_flipped(model, x, y, eps, steps, decay):
    x_i, g = x, torch.zeros_like(x)
    for _ in range(steps):
        gradient = gradient_at(model, x_i, y)
        g = decay * g + gradient / gradient.abs().sum(dim=(1, 2, 3), keepdim=True)
        x_i = project(x_i - eps / steps * g.sign(), x, eps)
    return x_i


@room.wrong("budget")
def unit_of_255(model, x, y, eps, steps, decay):
    x_i, g = x, torch.zeros_like(x)
    for _ in range(steps):
        gradient = gradient_at(model, x_i, y)
        g = decay * g + gradient / gradient.abs().sum(dim=(1, 2, 3), keepdim=True)
        x_i = (x_i + 2 * eps / steps * g.sign()).clamp(0, 1)
    return x_i


@room.wrong("box")
def not_clipped(model, x, y, eps, steps, decay):
    x_i, g = x, torch.zeros_like(x)
    for _ in range(steps):
        gradient = gradient_at(model, x_i, y)
        g = decay * g + gradient / gradient.abs().sum(dim=(1, 2, 3), keepdim=True)
        x_i = x_i + eps / steps * g.sign()
    return x_i


@room.wrong("input flags")
def flags_x_itself(model, x, y, eps, steps, decay):
    x_i, g = x.requires_grad_(), torch.zeros_like(x)
    for _ in range(steps):
        gradient = torch.autograd.grad(F.cross_entropy(model(x_i), y), x_i)[0]
        g = decay * g + gradient / gradient.abs().sum(dim=(1, 2, 3), keepdim=True)
        x_i = project(x_i + eps / steps * g.sign(), x, eps).detach().requires_grad_()
    return x_i.detach()


@room.wrong("not a number")
def norm_of_the_rounded(model, x, y, eps, steps, decay):
    x_i, g = x, torch.zeros_like(x)
    for _ in range(steps):
        gradient = gradient_at(model, x_i, y)
        g = decay * g + gradient / (gradient.abs().sum(dim=(1, 2, 3), keepdim=True) * 1e-45)
        x_i = project(x_i + eps / steps * (g - g), x, eps)
    return x_i
