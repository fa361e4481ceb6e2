"""Answers to jsma(model, x, target, theta, gamma)."""

import torch

from museum import Room
from museum.lab2.given import best_pair, jacobian

room = Room("jsma")


def moved(x_i, pair, going, theta):
    change = torch.zeros_like(x_i).flatten(1)
    change.scatter_(1, pair.clamp_min(0), theta)
    return (x_i + going.view(-1, 1, 1, 1) * change.view_as(x_i)).clamp(0, 1)


@room.right
def with_scatter(model, x, target, theta, gamma):
    x_i = x.clone()
    for _ in range(int(gamma * x[0].numel() / 2)):
        logits, gradients = jacobian(model, x_i)
        pair = best_pair(gradients, target, x_i < 1)
        x_i = moved(x_i, pair, (logits.argmax(1) != target) & (pair[:, 0] >= 0), theta)
    return x_i


@room.right
def image_by_image(model, x, target, theta, gamma):
    results = []
    for one, t in zip(x.split(1), target.split(1)):
        x_i = one.clone()
        for _ in range(int(gamma * one.numel() / 2)):
            logits, gradients = jacobian(model, x_i)
            if logits.argmax(1) == t:
                break
            p, q = best_pair(gradients, t, x_i < 1)[0].tolist()
            if p < 0:
                break
            flat = x_i.view(-1)
            flat[p], flat[q] = min(flat[p] + theta, torch.ones_like(flat[p])), min(1, flat[q] + theta)
        results.append(x_i)
    return torch.cat(results)


@room.wrong("budget in pairs")
def a_round_for_each_pixel(model, x, target, theta, gamma):
    return with_scatter(model, x, target, theta, 2 * gamma)


@room.wrong("does not stop")
def goes_on(model, x, target, theta, gamma):
    x_i = x.clone()
    for _ in range(int(gamma * x[0].numel() / 2)):
        logits, gradients = jacobian(model, x_i)
        pair = best_pair(gradients, target, x_i < 1)
        x_i = moved(x_i, pair, pair[:, 0] >= 0, theta)
    return x_i


@room.wrong("stops with the first")
def all_stop_together(model, x, target, theta, gamma):
    x_i = x.clone()
    for _ in range(int(gamma * x[0].numel() / 2)):
        logits, gradients = jacobian(model, x_i)
        if (logits.argmax(1) == target).any():
            break
        pair = best_pair(gradients, target, x_i < 1)
        x_i = moved(x_i, pair, pair[:, 0] >= 0, theta)
    return x_i


@room.wrong("probabilities")
def gradients_of_the_softmax(model, x, target, theta, gamma):
    x_i = x.clone()
    for _ in range(int(gamma * x[0].numel() / 2)):
        p, gradients = jacobian(lambda x: model(x).softmax(1), x_i)
        pair = best_pair(gradients, target, x_i < 1)
        x_i = moved(x_i, pair, (p.argmax(1) != target) & (pair[:, 0] >= 0), theta)
    return x_i


@room.wrong("jacobian at x")
def chosen_once(model, x, target, theta, gamma):
    x_i, gradients = x.clone(), jacobian(model, x)[1]
    for _ in range(int(gamma * x[0].numel() / 2)):
        pair = best_pair(gradients, target, x_i < 1)
        with torch.no_grad():
            going = model(x_i).argmax(1) != target
        x_i = moved(x_i, pair, going & (pair[:, 0] >= 0), theta)
    return x_i


@room.wrong("saturated pixels stay")
def all_stay_free(model, x, target, theta, gamma):
    x_i = x.clone()
    for _ in range(int(gamma * x[0].numel() / 2)):
        logits, gradients = jacobian(model, x_i)
        pair = best_pair(gradients, target, torch.ones_like(x, dtype=torch.bool))
        x_i = moved(x_i, pair, (logits.argmax(1) != target) & (pair[:, 0] >= 0), theta)
    return x_i


@room.wrong("leaves too early")
def each_pixel_once(model, x, target, theta, gamma):
    x_i = x.clone()
    for _ in range(int(gamma * x[0].numel() / 2)):
        logits, gradients = jacobian(model, x_i)
        pair = best_pair(gradients, target, (x_i < 1) & (x_i == x))
        x_i = moved(x_i, pair, (logits.argmax(1) != target) & (pair[:, 0] >= 0), theta)
    return x_i


@room.wrong("darker")
def theta_subtracted(model, x, target, theta, gamma):
    return with_scatter(model, x, target, -theta, gamma)


@room.wrong("sets the value")
def set_to_theta(model, x, target, theta, gamma):
    x_i = x.clone()
    for _ in range(int(gamma * x[0].numel() / 2)):
        logits, gradients = jacobian(model, x_i)
        pair = best_pair(gradients, target, x_i < 1)
        going = (logits.argmax(1) != target) & (pair[:, 0] >= 0)
        changed = x_i.flatten(1).scatter(1, pair.clamp_min(0), theta).view_as(x)
        x_i = torch.where(going.view(-1, 1, 1, 1), changed, x_i)
    return x_i


@room.wrong("theta unused")
def white_at_once(model, x, target, theta, gamma):
    return with_scatter(model, x, target, 1.0, gamma)


@room.wrong("formula")
def first_pixel_when_there_is_none(model, x, target, theta, gamma):
    x_i = x.clone()
    for _ in range(int(gamma * x[0].numel() / 2)):
        logits, gradients = jacobian(model, x_i)
        alpha = gradients.flatten(2)[torch.arange(len(x)), target]
        pair = (alpha * (x_i < 1).flatten(1)).topk(2).indices
        x_i = moved(x_i, pair, logits.argmax(1) != target, theta)
    return x_i


@room.wrong("box")
def never_clipped(model, x, target, theta, gamma):
    x_i = x.clone()
    for _ in range(int(gamma * x[0].numel() / 2)):
        logits, gradients = jacobian(model, x_i.clamp(0, 1))
        pair = best_pair(gradients, target, x_i < 1)
        going = (logits.argmax(1) != target) & (pair[:, 0] >= 0)
        change = torch.zeros_like(x_i).flatten(1).scatter_(1, pair.clamp_min(0), theta).view_as(x)
        x_i = x_i + going.view(-1, 1, 1, 1) * change
    return x_i


@room.wrong("input")
def in_place(model, x, target, theta, gamma):
    for _ in range(int(gamma * x[0].numel() / 2)):
        logits, gradients = jacobian(model, x)
        pair = best_pair(gradients, target, x < 1)
        x.copy_(moved(x, pair, (logits.argmax(1) != target) & (pair[:, 0] >= 0), theta))
    return x


@room.wrong("channels forgotten")
def height_times_width(model, x, target, theta, gamma):
    return with_scatter(model, x, target, theta, gamma / x.shape[1])


@room.wrong("rounds up")
def one_round_more(model, x, target, theta, gamma):
    return with_scatter(model, x, target, theta, gamma + 2 / x[0].numel())


def with_rounds(rounds, model, x, target, theta, free=lambda x_i: x_i < 1):
    x_i = x.clone()
    for _ in range(rounds):
        logits, gradients = jacobian(model, x_i)
        pair = best_pair(gradients, target, free(x_i))
        x_i = moved(x_i, pair, (logits.argmax(1) != target) & (pair[:, 0] >= 0), theta)
    return x_i


@room.wrong("rounds up")
def rounds_to_the_nearest(model, x, target, theta, gamma):
    return with_rounds(round(gamma * x[0].numel() / 2), model, x, target, theta)


@room.wrong("formula")
def whole_theta_alone(model, x, target, theta, gamma):
    return with_rounds(int(gamma * x[0].numel() / 2), model, x, target, theta, lambda x_i: x_i <= 1 - theta)


@room.wrong("clean where it fails")
def clean_where_it_fails(model, x, target, theta, gamma):
    x_i = with_scatter(model, x, target, theta, gamma)
    return torch.where((jacobian(model, x_i)[0].argmax(1) == target).view(-1, 1, 1, 1), x_i, x)
