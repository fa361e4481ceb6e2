"""Answers to mifgsm(model, x, y, eps, steps, decay)."""

import torch
import torch.nn.functional as F

from museum import Room

room = Room("mifgsm")


def project(x_adv, x, eps):
    return x_adv.clamp(x - eps, x + eps).clamp(0, 1)


def log_odds(logits, label):
    others = logits.scatter(1, label[:, None], -torch.inf)
    return others.logsumexp(1) - logits.gather(1, label[:, None])[:, 0]


def gradient_at(model, x, y):
    x_in = x.clone().requires_grad_()
    return torch.autograd.grad(log_odds(model(x_in), y).sum(), x_in)[0]


@room.right
def with_grad(model, x, y, eps, steps, decay):
    x_i, g = x, torch.zeros_like(x)
    for _ in range(steps):
        gradient = gradient_at(model, x_i, y)
        g = decay * g + gradient / gradient.abs().sum(dim=(1, 2, 3), keepdim=True).clamp_min(1e-12)
        x_i = project(x_i + eps / steps * g.sign(), x, eps)
    return x_i


@room.right
def with_the_mean_and_backward(model, x, y, eps, steps, decay):
    rows = torch.arange(len(x), device=x.device)
    delta, velocity = torch.zeros_like(x), 0.0
    for _ in range(steps):
        point = (x + delta).requires_grad_(True)
        logits = model(point)
        own = logits[rows, y]
        others = logits.clone()
        others[rows, y] = -torch.inf
        loss = (others.logsumexp(1) - own).sum()
        loss.backward(inputs=[point])
        size = point.grad.flatten(1).abs().mean(1)  # the mean: the sum but for a factor that no sign sees
        size = torch.where(size > 0, size, 1)
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


@room.wrong("one norm for all")
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
def steps_twice_as_long(model, x, y, eps, steps, decay):
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


def with_length(length, model, x, y, eps, steps, decay, loss=log_odds):
    x_i, g = x, torch.zeros_like(x)
    for _ in range(steps):
        x_in = x_i.clone().requires_grad_()
        gradient = torch.autograd.grad(loss(model(x_in), y).sum(), x_in)[0]
        g = decay * g + gradient / length(gradient).clamp_min(1e-12)
        x_i = project(x_i + eps / steps * g.sign(), x, eps)
    return x_i


def l1(gradient):
    return gradient.abs().sum(dim=(1, 2, 3), keepdim=True)


@room.wrong("saturated")
def plain_cross_entropy(model, x, y, eps, steps, decay):
    return with_length(l1, model, x, y, eps, steps, decay, F.cross_entropy)


@room.wrong("softmax twice")
def probabilities_to_cross_entropy(model, x, y, eps, steps, decay):
    return with_length(l1, model, x, y, eps, steps, decay, lambda z, y: F.cross_entropy(z.softmax(1), y))


@room.wrong("logits for log-probabilities")
def nll_of_the_logits(model, x, y, eps, steps, decay):
    return with_length(l1, model, x, y, eps, steps, decay, F.nll_loss)


@room.wrong("L2 norm")
def length_in_l2(model, x, y, eps, steps, decay):
    def length(gradient):
        return gradient.flatten(1).norm(dim=1).view(-1, 1, 1, 1)

    return with_length(length, model, x, y, eps, steps, decay)


@room.wrong("largest value")
def length_in_linf(model, x, y, eps, steps, decay):
    return with_length(lambda g: g.abs().amax(dim=(1, 2, 3), keepdim=True), model, x, y, eps, steps, decay)


@room.wrong("one norm a channel")
def norm_over_rows_and_columns(model, x, y, eps, steps, decay):
    return with_length(lambda g: g.abs().sum(dim=(2, 3), keepdim=True), model, x, y, eps, steps, decay)


@room.wrong("one norm a row")
def norm_of_the_last_dimension(model, x, y, eps, steps, decay):
    return with_length(lambda g: g.abs().sum(-1, keepdim=True), model, x, y, eps, steps, decay)


@room.wrong("normalised afterwards")
def divides_the_sum(model, x, y, eps, steps, decay):
    x_i, g = x, torch.zeros_like(x)
    for _ in range(steps):
        g = decay * g + gradient_at(model, x_i, y)
        g = g / l1(g)
        x_i = project(x_i + eps / steps * g.sign(), x, eps)
    return x_i


@room.wrong("no sign")
def sign_forgotten(model, x, y, eps, steps, decay):
    x_i, g = x, torch.zeros_like(x)
    for _ in range(steps):
        gradient = gradient_at(model, x_i, y)
        g = decay * g + gradient / l1(gradient)
        x_i = project(x_i + eps / steps * g, x, eps)
    return x_i


@room.wrong("perturbation")
def returns_the_change(model, x, y, eps, steps, decay):
    return with_grad(model, x, y, eps, steps, decay) - x


@room.wrong("skips misread images")
def only_where_the_model_is_right(model, x, y, eps, steps, decay):
    right = (model(x).argmax(1) == y).view(-1, 1, 1, 1)
    return torch.where(right, with_grad(model, x, y, eps, steps, decay), x)


@room.wrong("norm of 0")
def divides_by_any_norm(model, x, y, eps, steps, decay):
    x_i, g = x, torch.zeros_like(x)
    for _ in range(steps):
        gradient = gradient_at(model, x_i, y)
        g = decay * g + gradient / l1(gradient)
        x_i = project(x_i + eps / steps * g.sign(), x, eps)
    return x_i


@room.wrong("norm of 0")
def forgets_where_it_is_flat(model, x, y, eps, steps, decay):
    x_i, g = x, torch.zeros_like(x)
    for _ in range(steps):
        gradient = gradient_at(model, x_i, y)
        g = torch.where(l1(gradient) > 0, decay * g + gradient / l1(gradient), 0)
        x_i = project(x_i + eps / steps * g.sign(), x, eps)
    return x_i


@room.right
def not_a_number_made_0(model, x, y, eps, steps, decay):
    x_i, g = x, torch.zeros_like(x)
    for _ in range(steps):
        gradient = gradient_at(model, x_i, y)
        g = decay * g + (gradient / l1(gradient)).nan_to_num()
        x_i = project(x_i + eps / steps * g.sign(), x, eps)
    return x_i
