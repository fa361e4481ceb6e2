"""Answers to pat_loss(model, x, y, start, eps, alpha, steps)."""

import copy

import torch
from torch import nn
from torch.nn.functional import cross_entropy, one_hot

from advcourse.labs.lab7 import climb
from museum import Room

room = Room("pat_loss")


def attacked(model, x, y, start, eps, alpha, steps):
    """All iterates, made in eval mode."""
    was = model.training
    model.eval()
    iterates = climb(model, x, y, start, eps, alpha, steps)
    model.train(was)
    return iterates


@room.right
def eval_attack_and_back(model, x, y, start, eps, alpha, steps):
    x_adv = attacked(model, x, y, start, eps, alpha, steps)[-1]
    return cross_entropy(model(x_adv), y)


@room.right
def on_a_copy(model, x, y, start, eps, alpha, steps):
    still = copy.deepcopy(model).eval()
    x_adv = start.clone()
    for _ in range(steps):
        x_adv = x_adv.detach().requires_grad_()
        (-torch.log_softmax(still(x_adv), 1).gather(1, y[:, None])).sum().backward()
        x_adv = x_adv + alpha * x_adv.grad.sign()
        x_adv = torch.minimum(torch.maximum(x_adv, x - eps), x + eps).clamp(0, 1)
    return -torch.log_softmax(model(x_adv.detach()), 1).gather(1, y[:, None]).mean()


@room.wrong("attack in training mode")
def never_in_eval_mode(model, x, y, start, eps, alpha, steps):
    return cross_entropy(model(climb(model, x, y, start, eps, alpha, steps)[-1]), y)


@room.wrong("loss in eval mode")
def back_too_late(model, x, y, start, eps, alpha, steps):
    was = model.training
    model.eval()
    loss = cross_entropy(model(climb(model, x, y, start, eps, alpha, steps)[-1]), y)
    model.train(was)
    return loss


@room.wrong("mode lost")
def left_in_eval_mode(model, x, y, start, eps, alpha, steps):
    model.eval()
    return cross_entropy(model(climb(model, x, y, start, eps, alpha, steps)[-1]), y)


@room.wrong("always training")
def back_to_training_in_any_case(model, x, y, start, eps, alpha, steps):
    model.eval()
    x_adv = climb(model, x, y, start, eps, alpha, steps)[-1]
    model.train()
    return cross_entropy(model(x_adv), y)


@room.wrong("clean loss")
def attack_unused(model, x, y, start, eps, alpha, steps):
    attacked(model, x, y, start, eps, alpha, steps)
    return cross_entropy(model(x), y)


@room.wrong("clean images too")
def half_and_half(model, x, y, start, eps, alpha, steps):
    x_adv = attacked(model, x, y, start, eps, alpha, steps)[-1]
    return (cross_entropy(model(x), y) + cross_entropy(model(x_adv), y)) / 2


@room.wrong("from the image")
def no_random_start(model, x, y, start, eps, alpha, steps):
    return cross_entropy(model(attacked(model, x, y, x, eps, alpha, steps)[-1]), y)


@room.wrong("start alone")
def first_of_all(model, x, y, start, eps, alpha, steps):
    return cross_entropy(model(attacked(model, x, y, start, eps, alpha, steps)[0]), y)


@room.wrong("one step")
def one_step(model, x, y, start, eps, alpha, steps):
    return cross_entropy(model(attacked(model, x, y, start, eps, alpha, 1)[-1]), y)


@room.wrong("last but one")
def counted_from_one(model, x, y, start, eps, alpha, steps):
    return cross_entropy(model(attacked(model, x, y, start, eps, alpha, steps)[steps - 1]), y)


@room.wrong("best iterate")
def strongest_of_all(model, x, y, start, eps, alpha, steps):
    iterates = attacked(model, x, y, start, eps, alpha, steps)
    still = copy.deepcopy(model).eval()
    with torch.no_grad():
        losses = torch.stack([cross_entropy(still(x_i), y, reduction="none") for x_i in iterates])
    return cross_entropy(model(iterates[losses.argmax(0), torch.arange(len(x), device=x.device)]), y)


@room.wrong("own answer")
def climbs_its_own_answer(model, x, y, start, eps, alpha, steps):
    own = copy.deepcopy(model).eval()(x).argmax(1)
    return cross_entropy(model(attacked(model, x, own, start, eps, alpha, steps)[-1]), y)


@room.wrong("downhill")
def step_of_the_wrong_sign(model, x, y, start, eps, alpha, steps):
    return cross_entropy(model(attacked(model, x, y, start, eps, -alpha, steps)[-1]), y)


@room.wrong("no budget")
def anywhere(model, x, y, start, eps, alpha, steps):
    return cross_entropy(model(attacked(model, x, y, start, 1.0, alpha, steps)[-1]), y)


@room.wrong("plain number")
def item(model, x, y, start, eps, alpha, steps):
    return eval_attack_and_back(model, x, y, start, eps, alpha, steps).item()


@room.wrong("parameter gradients")
def own_loop_that_goes_backward(model, x, y, start, eps, alpha, steps):
    was, x_i = model.training, start.clone()
    model.eval()
    for _ in range(steps):
        x_i = x_i.detach().requires_grad_()
        cross_entropy(model(x_i), y, reduction="sum").backward()
        x_i = (x_i.detach() + alpha * x_i.grad.sign()).clamp(x - eps, x + eps).clamp(0, 1)
    model.train(was)
    return cross_entropy(model(x_i), y)


@room.wrong("shape")
def all_iterates(model, x, y, start, eps, alpha, steps):
    iterates = attacked(model, x, y, start, eps, alpha, steps)
    return torch.stack([cross_entropy(model(x_i), y) for x_i in iterates])


@room.wrong("formula")
def twice_the_budget(model, x, y, start, eps, alpha, steps):
    return cross_entropy(model(attacked(model, x, y, start, 2 * eps, alpha, steps)[-1]), y)


@room.wrong("crash")
def batch_and_iterates_mixed_up(model, x, y, start, eps, alpha, steps):
    return cross_entropy(model(attacked(model, x, y, start, eps, alpha, steps)), y)


@room.wrong("softmax twice")
def probabilities_as_logits(model, x, y, start, eps, alpha, steps):
    x_adv = attacked(model, x, y, start, eps, alpha, steps)[-1]
    return cross_entropy(model(x_adv).softmax(1), y)


@room.wrong("logarithm of a softmax")
def kept_off_0(model, x, y, start, eps, alpha, steps):
    p = model(attacked(model, x, y, start, eps, alpha, steps)[-1]).softmax(1)
    return -(p.gather(1, y[:, None]) + 1e-8).log().mean()


@room.wrong("logarithm of a softmax")
def logarithm_of_the_softmax(model, x, y, start, eps, alpha, steps):
    p = model(attacked(model, x, y, start, eps, alpha, steps)[-1]).softmax(1)
    return -p.log().gather(1, y[:, None]).mean()


@room.wrong("formula")
def always_five_steps(model, x, y, start, eps, alpha, steps):
    return eval_attack_and_back(model, x, y, start, eps, alpha, 5)


@room.wrong("formula")
def summed(model, x, y, start, eps, alpha, steps):
    x_adv = attacked(model, x, y, start, eps, alpha, steps)[-1]
    return cross_entropy(model(x_adv), y, reduction="sum")


@room.wrong("formula")
def mean_of_all_iterates(model, x, y, start, eps, alpha, steps):
    iterates = attacked(model, x, y, start, eps, alpha, steps)
    return torch.stack([cross_entropy(model(x_i), y) for x_i in iterates]).mean()


@room.wrong("other classes")
def ten_classes(model, x, y, start, eps, alpha, steps):
    log_p = model(attacked(model, x, y, start, eps, alpha, steps)[-1]).log_softmax(1)
    return -(one_hot(y, 10) * log_p).sum(1).mean()


def mean_losses(model, points, y):
    return torch.stack([cross_entropy(model(x_i), y) for x_i in points])


@room.wrong("partly in training mode")
def batch_normalisation_alone_in_eval_mode(model, x, y, start, eps, alpha, steps):
    was = model.training
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eval()
    x_adv = climb(model, x, y, start, eps, alpha, steps)[-1]
    model.train(was)
    return cross_entropy(model(x_adv), y)


@room.wrong("partly in training mode")
def dropout_alone_in_eval_mode(model, x, y, start, eps, alpha, steps):
    was = model.training
    for layer in model.modules():
        if isinstance(layer, nn.Dropout):
            layer.eval()
    x_adv = climb(model, x, y, start, eps, alpha, steps)[-1]
    model.train(was)
    return cross_entropy(model(x_adv), y)


@room.wrong("best iterate")
def best_for_the_batch(model, x, y, start, eps, alpha, steps):
    iterates = attacked(model, x, y, start, eps, alpha, steps)
    with torch.no_grad():
        best = mean_losses(copy.deepcopy(model).eval(), iterates, y).argmax()
    return cross_entropy(model(iterates[best]), y)


@room.wrong("best iterate")
def largest_loss(model, x, y, start, eps, alpha, steps):
    return mean_losses(model, attacked(model, x, y, start, eps, alpha, steps), y).max()


@room.wrong("best iterate")
def start_if_it_is_worse(model, x, y, start, eps, alpha, steps):
    iterates = attacked(model, x, y, start, eps, alpha, steps)
    return mean_losses(model, [iterates[0], iterates[-1]], y).max()


@room.wrong("best iterate")
def clean_images_if_they_are_worse(model, x, y, start, eps, alpha, steps):
    return mean_losses(model, [x, attacked(model, x, y, start, eps, alpha, steps)[-1]], y).max()
