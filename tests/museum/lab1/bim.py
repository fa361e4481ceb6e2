"""Answers to bim(model, x, y, eps, alpha, steps, target=None)."""

import torch
import torch.nn.functional as F

from museum import Room

room = Room("bim")


def project(x_adv, x, eps):
    return x_adv.clamp(x - eps, x + eps).clamp(0, 1)


def log_odds(logits, label):
    others = logits.scatter(1, label[:, None], -torch.inf)
    return others.logsumexp(1) - logits.gather(1, label[:, None])[:, 0]


def gradient_at(model, x, y):
    x_in = x.clone().requires_grad_()
    return torch.autograd.grad(log_odds(model(x_in), y).sum(), x_in)[0]


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
        logits = model(x + delta)
        own = F.one_hot(y if target is None else target, logits.shape[1])
        odds = torch.logsumexp(logits - 1e9 * own, dim=1) - (logits * own).sum(1)
        objective = odds.sum() if target is None else -odds.sum()
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


@room.wrong("never projected")
def ball_around_the_last_image(model, x, y, eps, alpha, steps, target=None):
    x_i = x.clone()
    for _ in range(steps):
        x_i = project(x_i + alpha * gradient_at(model, x_i, y).sign(), x_i, eps)
    return x_i


@room.wrong("budget")
def ball_too_large(model, x, y, eps, alpha, steps, target=None):
    x_i = x.clone()
    for _ in range(steps):
        x_i = project(x_i + alpha * gradient_at(model, x_i, y).sign(), x, 1.5 * eps)
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


@room.wrong("y for the target")
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


@room.wrong("formula")
def one_shorter_step_each_time(model, x, y, eps, alpha, steps, target=None):
    x_i = x.clone()
    for i in range(steps):
        x_i = project(x_i + alpha * (1 - i / steps) * gradient_at(model, x_i, y).sign(), x, eps)
    return x_i


@room.wrong("saturated")
def lowers_the_probability(model, x, y, eps, alpha, steps, target=None):
    label, away = (y, 1) if target is None else (target, -1)
    x_i = x.clone()
    for _ in range(steps):
        x_in = x_i.clone().requires_grad_()
        p = model(x_in).softmax(1).gather(1, label[:, None])
        x_i = project(x_i - away * alpha * torch.autograd.grad(p.sum(), x_in)[0].sign(), x, eps)
    return x_i


def with_loss(loss, model, x, y, eps, alpha, steps, target):
    label, away = (y, 1) if target is None else (target, -1)
    x_i = x.clone()
    for _ in range(steps):
        x_in = x_i.clone().requires_grad_()
        gradient = torch.autograd.grad(loss(model(x_in), label), x_in)[0]
        x_i = project(x_i + away * alpha * gradient.sign(), x, eps)
    return x_i


@room.wrong("softmax twice")
def probabilities_to_cross_entropy(model, x, y, eps, alpha, steps, target=None):
    return with_loss(lambda z, y: F.cross_entropy(z.softmax(1), y), model, x, y, eps, alpha, steps, target)


@room.wrong("logits for log-probabilities")
def nll_of_the_logits(model, x, y, eps, alpha, steps, target=None):
    return with_loss(F.nll_loss, model, x, y, eps, alpha, steps, target)


@room.wrong("largest logit")
def climbs_the_winner(model, x, y, eps, alpha, steps, target=None):
    return with_loss(lambda z, y: z.amax(1).sum(), model, x, y, eps, alpha, steps, target)


@room.wrong("no sign")
def sign_forgotten(model, x, y, eps, alpha, steps, target=None):
    x_i = x.clone()
    for _ in range(steps):
        x_i = project(x_i + alpha * gradient_at(model, x_i, y), x, eps)
    return x_i


@room.wrong("perturbation")
def returns_the_change(model, x, y, eps, alpha, steps, target=None):
    return with_grad(model, x, y, eps, alpha, steps, target) - x


@room.wrong("skips misread images")
def stops_once_it_fools(model, x, y, eps, alpha, steps, target=None):
    x_i = x.clone()
    for _ in range(steps):
        on = (model(x_i).argmax(1) == y).view(-1, 1, 1, 1)
        step = project(x_i + alpha * gradient_at(model, x_i, y).sign(), x, eps)
        x_i = torch.where(on, step, x_i).detach()
    return x_i


@room.wrong("best on the way")
def largest_loss_so_far(model, x, y, eps, alpha, steps, target=None):
    label, away = (y, 1) if target is None else (target, -1)
    x_i, best, most = x.clone(), x.clone(), torch.full((len(x),), -torch.inf).to(x)
    for _ in range(steps):
        x_i = project(x_i + away * alpha * gradient_at(model, x_i, label).sign(), x, eps)
        with torch.no_grad():
            loss = away * log_odds(model(x_i), label)
        best = torch.where((loss > most).view(-1, 1, 1, 1), x_i, best)
        most = torch.maximum(loss, most)
    return best


@room.wrong("class 0 for no target")
def any_target(model, x, y, eps, alpha, steps, target=None):
    target = None if target is None or not target.any() else target
    return with_grad(model, x, y, eps, alpha, steps, target)


@room.wrong("class 0 for no target")
def target_with_a_sum(model, x, y, eps, alpha, steps, target=None):
    target = target if target is not None and target.sum() > 0 else None
    return with_grad(model, x, y, eps, alpha, steps, target)


@room.wrong("class 0 for no target")
def class_0_image_by_image(model, x, y, eps, alpha, steps, target=None):
    given = torch.zeros_like(y) if target is None else target
    label, away = torch.where(given > 0, given, y), 1 - 2 * (given > 0).to(x).view(-1, 1, 1, 1)
    x_i = x.clone()
    for _ in range(steps):
        x_i = project(x_i + away * alpha * gradient_at(model, x_i, label).sign(), x, eps)
    return x_i
