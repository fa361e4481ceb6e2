"""Answers to bim(model, x, y, eps, alpha, steps, target=None)."""

import torch
import torch.nn.functional as F

from museum import Room

room = Room("bim")


def project(x_adv, x, eps):
    return x_adv.clamp(x - eps, x + eps).clamp(0, 1)


def gradient_at(model, x, y):
    x_in = x.clone().requires_grad_()
    return torch.autograd.grad(F.cross_entropy(model(x_in), y), x_in)[0]


@room.right
def with_grad(model, x, y, eps, alpha, steps, target=None):
    label, away = (y, 1) if target is None else (target, -1)
    x_i = x.clone()
    for _ in range(steps):
        x_i = project(x_i + away * alpha * gradient_at(model, x_i, label).sign(), x, eps)
    return x_i


@room.right
def with_backward_on_the_change(model, x, y, eps, alpha, steps, target=None):
    delta = torch.zeros_like(x, requires_grad=True)
    for _ in range(steps):
        log_p = F.log_softmax(model(x + delta), dim=1)
        if target is None:
            objective = F.nll_loss(log_p, y)
        else:
            objective = -F.nll_loss(log_p, target)
        torch.autograd.backward(objective, inputs=[delta])
        with torch.no_grad():
            delta += alpha * delta.grad.sign()
            delta.clamp_(-eps, eps)
            delta.copy_((x + delta).clamp(0, 1) - x)
            delta.grad.zero_()
    return (x + delta).clamp(0, 1).detach()


@room.wrong("descends")
def sign_flipped(model, x, y, eps, alpha, steps, target=None):
    x_i = x.clone()
    for _ in range(steps):
        x_i = project(x_i - alpha * gradient_at(model, x_i, y).sign(), x, eps)
    return x_i


@room.wrong("gradient at x")
def gradient_outside_the_loop(model, x, y, eps, alpha, steps, target=None):
    gradient = gradient_at(model, x, y)
    x_i = x.clone()
    for _ in range(steps):
        x_i = project(x_i + alpha * gradient.sign(), x, eps)
    return x_i


@room.wrong("gradients accumulate")
def grad_never_cleared(model, x, y, eps, alpha, steps, target=None):
    x_i = x.clone().requires_grad_()
    for _ in range(steps):
        F.cross_entropy(model(x_i), y).backward(inputs=[x_i])
        with torch.no_grad():
            x_i.copy_(project(x_i + alpha * x_i.grad.sign(), x, eps))
    return x_i.detach()


@room.wrong("projects first")
def projection_before_the_step(model, x, y, eps, alpha, steps, target=None):
    x_i = x.clone()
    for _ in range(steps):
        x_i = project(x_i, x, eps)
        x_i = (x_i + alpha * gradient_at(model, x_i, y).sign()).clamp(0, 1)
    return x_i


@room.wrong("budget")
def box_alone(model, x, y, eps, alpha, steps, target=None):
    x_i = x.clone()
    for _ in range(steps):
        x_i = (x_i + alpha * gradient_at(model, x_i, y).sign()).clamp(0, 1)
    return x_i


@room.wrong("box")
def ball_alone(model, x, y, eps, alpha, steps, target=None):
    x_i = x.clone()
    for _ in range(steps):
        x_i = (x_i + alpha * gradient_at(model, x_i, y).sign()).clamp(x - eps, x + eps)
    return x_i


@room.wrong("projects at the end")
def projection_after_the_loop(model, x, y, eps, alpha, steps, target=None):
    x_i = x.clone()
    for _ in range(steps):
        x_i = (x_i + alpha * gradient_at(model, x_i, y).sign()).clamp(0, 1)
    return project(x_i, x, eps)


@room.wrong("own step size")
def eps_over_steps(model, x, y, eps, alpha, steps, target=None):
    x_i = x.clone()
    for _ in range(steps):
        x_i = project(x_i + eps / steps * gradient_at(model, x_i, y).sign(), x, eps)
    return x_i


@room.wrong("too few steps")
def starts_counting_at_one(model, x, y, eps, alpha, steps, target=None):
    x_i = x.clone()
    for _ in range(1, steps):
        x_i = project(x_i + alpha * gradient_at(model, x_i, y).sign(), x, eps)
    return x_i


@room.wrong("too many steps")
def counts_to_the_end(model, x, y, eps, alpha, steps, target=None):
    x_i = x.clone()
    for _ in range(steps + 1):
        x_i = project(x_i + alpha * gradient_at(model, x_i, y).sign(), x, eps)
    return x_i


@room.wrong("target unused")
def untargeted_always(model, x, y, eps, alpha, steps, target=None):
    x_i = x.clone()
    for _ in range(steps):
        x_i = project(x_i + alpha * gradient_at(model, x_i, y).sign(), x, eps)
    return x_i


@room.wrong("leaves the target")
def target_with_plus(model, x, y, eps, alpha, steps, target=None):
    label = y if target is None else target
    x_i = x.clone()
    for _ in range(steps):
        x_i = project(x_i + alpha * gradient_at(model, x_i, label).sign(), x, eps)
    return x_i


@room.wrong("formula")
def minus_the_loss_of_y(model, x, y, eps, alpha, steps, target=None):
    away = 1 if target is None else -1
    x_i = x.clone()
    for _ in range(steps):
        x_i = project(x_i + away * alpha * gradient_at(model, x_i, y).sign(), x, eps)
    return x_i


@room.wrong("mode")
def switches_to_training(model, x, y, eps, alpha, steps, target=None):
    model.train()
    return with_grad(model, x, y, eps, alpha, steps, target)


@room.wrong("buffers")
def trains_and_switches_back(model, x, y, eps, alpha, steps, target=None):
    model.train()
    result = with_grad(model, x, y, eps, alpha, steps, target)
    model.eval()
    return result


@room.wrong("parameter gradients")
def backward_through_the_weights(model, x, y, eps, alpha, steps, target=None):
    label, away = (y, 1) if target is None else (target, -1)
    x_i = x.clone()
    for _ in range(steps):
        x_i = x_i.detach().requires_grad_()
        F.cross_entropy(model(x_i), label).backward()
        x_i = project(x_i + away * alpha * x_i.grad.sign(), x, eps)
    return x_i.detach()


@room.wrong("input")
def no_copy_of_x(model, x, y, eps, alpha, steps, target=None):
    original, x_i = x.clone(), x
    for _ in range(steps):
        x_i += alpha * gradient_at(model, x_i, y).sign()
        x_i.copy_(project(x_i, original, eps))
    return x_i.clone()


@room.wrong("crash")
def leaf_lost(model, x, y, eps, alpha, steps, target=None):
    x_i = x.clone().requires_grad_()
    for _ in range(steps):
        F.cross_entropy(model(x_i), y).backward(inputs=[x_i])
        x_i = project(x_i.detach() + alpha * x_i.grad.sign(), x, eps)
    return x_i


@room.wrong("attached")
def graph_kept(model, x, y, eps, alpha, steps, target=None):
    label, away = (y, 1) if target is None else (target, -1)
    x_i = x.clone()
    for _ in range(steps):
        x_i = x_i.detach().requires_grad_()
        gradient = torch.autograd.grad(F.cross_entropy(model(x_i), label), x_i)[0]
        x_i = project(x_i + away * alpha * gradient.sign(), x, eps)
    return x_i
