"""Answers to eat_loss(model, static, x, y, eps, seed)."""

import copy
import random

import torch
from torch import nn
from torch.nn.functional import cross_entropy, one_hot

from museum import Room

room = Room("eat_loss")


def drawn(number, seed):
    return int(torch.randint(number, (), generator=torch.Generator().manual_seed(seed)))


def gradient_of(source, x, label):
    x = x.detach().clone().requires_grad_()
    return torch.autograd.grad(cross_entropy(source(x), label, reduction="sum"), x)[0]


def own_step(source, x, eps):
    """FGSM at the source's own answer, in eval mode."""
    was = source.training
    source.eval()
    x_adv = (x + eps * gradient_of(source, x, source(x).argmax(1)).sign()).clamp(0, 1)
    source.train(was)
    return x_adv


def both(model, x, x_adv, y):
    return cross_entropy(model(torch.cat([x, x_adv])), torch.cat([y, y]))


@room.right
def one_batch_of_twice_the_size(model, static, x, y, eps, seed):
    sources = [*static, model]
    source = sources[drawn(len(sources), seed)]
    return both(model, x, own_step(source, x, eps), y)


@room.right
def on_a_copy_and_with_pythons_generator(model, static, x, y, eps, seed):
    source = random.Random(seed).choice([copy.deepcopy(model).eval(), *static])
    images = x.detach().clone().requires_grad_()
    logits = source(images)
    logits.log_softmax(1).amax(1).sum().backward(inputs=[images])
    x_adv = (x - eps * images.grad.sign()).clamp(0, 1)
    clean, attacked = model(torch.cat([x, x_adv])).chunk(2)
    return (cross_entropy(clean, y) + cross_entropy(attacked, y)) / 2


@room.wrong("label leaks")
def true_labels(model, static, x, y, eps, seed):
    sources = [*static, model]
    source = sources[drawn(len(sources), seed)]
    was = source.training
    source.eval()
    x_adv = (x + eps * gradient_of(source, x, y).sign()).clamp(0, 1)
    source.train(was)
    return both(model, x, x_adv, y)


@room.wrong("another's answer")
def what_the_model_says(model, static, x, y, eps, seed):
    still = copy.deepcopy(model).eval()
    sources = [*static, still]
    source = sources[drawn(len(sources), seed)]
    x_adv = (x + eps * gradient_of(source, x, still(x).argmax(1)).sign()).clamp(0, 1)
    return both(model, x, x_adv, y)


@room.wrong("source in training mode")
def mode_forgotten(model, static, x, y, eps, seed):
    sources = [*static, model]
    source = sources[drawn(len(sources), seed)]
    still = copy.deepcopy(
        source
    )  # in training mode where it is the model; its statistics move, the model's do not
    own = copy.deepcopy(source).eval()(x).argmax(1)
    x_adv = (x + eps * gradient_of(still, x, own).sign()).clamp(0, 1)
    return both(model, x, x_adv, y)


@room.wrong("loss in eval mode")
def back_too_late(model, static, x, y, eps, seed):
    was = model.training
    model.eval()
    loss = one_batch_of_twice_the_size(model, static, x, y, eps, seed)
    model.train(was)
    return loss


@room.wrong("mode lost")
def left_in_eval_mode(model, static, x, y, eps, seed):
    model.eval()
    return one_batch_of_twice_the_size(model, static, x, y, eps, seed)


@room.wrong("always training")
def all_are_trained(model, static, x, y, eps, seed):
    model.eval()
    x_adv = own_step([*static, model][drawn(1 + len(static), seed)], x, eps)
    model.train()
    return both(model, x, x_adv, y)


@room.wrong("downhill")
def surer_of_itself(model, static, x, y, eps, seed):
    return one_batch_of_twice_the_size(model, static, x, y, -eps, seed)


@room.wrong("no clip")
def out_of_the_box(model, static, x, y, eps, seed):
    sources = [*static, copy.deepcopy(model).eval()]
    source = sources[drawn(len(sources), seed)]
    x_adv = x + eps * gradient_of(source, x, source(x).argmax(1)).sign()
    return both(model, x, x_adv, y)


@room.wrong("two passes")
def one_after_the_other(model, static, x, y, eps, seed):
    x_adv = own_step([*static, model][drawn(1 + len(static), seed)], x, eps)
    return (cross_entropy(model(x), y) + cross_entropy(model(x_adv), y)) / 2


@room.wrong("attacked images alone")
def no_clean_images(model, static, x, y, eps, seed):
    return cross_entropy(model(own_step([*static, model][drawn(1 + len(static), seed)], x, eps)), y)


@room.wrong("sum of both")
def not_halved(model, static, x, y, eps, seed):
    return 2 * one_batch_of_twice_the_size(model, static, x, y, eps, seed)


@room.wrong("all sources")
def everyone_attacks(model, static, x, y, eps, seed):
    batch = torch.cat([x, *(own_step(source, x, eps) for source in (*static, model))])
    return cross_entropy(model(batch), y.repeat(2 + len(static)))


@room.wrong("not repeatable")
def a_fresh_draw_each_time(model, static, x, y, eps, seed):
    return one_batch_of_twice_the_size(model, static, x, y, eps, random.SystemRandom().randrange(2**31))


@room.wrong("no draw")
def always_the_first(model, static, x, y, eps, seed):
    return both(model, x, own_step(static[0], x, eps), y)


@room.wrong("never itself")
def others_only(model, static, x, y, eps, seed):
    return both(model, x, own_step(static[drawn(len(static), seed)], x, eps), y)


@room.wrong("one left out")
def last_one_never_drawn(model, static, x, y, eps, seed):
    return one_batch_of_twice_the_size(model, static[:-1], x, y, eps, seed)


@room.wrong("random state")
def global_draw(model, static, x, y, eps, seed):
    torch.manual_seed(seed)
    sources = [*static, model]
    return both(model, x, own_step(sources[int(torch.randint(len(sources), ()))], x, eps), y)


@room.wrong("detached")
def graph_lost(model, static, x, y, eps, seed):
    return one_batch_of_twice_the_size(model, static, x, y, eps, seed).detach()


@room.wrong("formula")
def half_the_budget(model, static, x, y, eps, seed):
    return one_batch_of_twice_the_size(model, static, x, y, eps / 2, seed)


@room.wrong("crash")
def added_tuples(model, static, x, y, eps, seed):
    sources = static + model
    return both(model, x, own_step(sources[drawn(len(sources), seed)], x, eps), y)


@room.wrong("softmax twice")
def probabilities_as_logits(model, static, x, y, eps, seed):
    sources = [*static, model]
    x_adv = own_step(sources[drawn(len(sources), seed)], x, eps)
    return cross_entropy(model(torch.cat([x, x_adv])).softmax(1), torch.cat([y, y]))


@room.wrong("taken in turn")
def remainder_of_the_seed(model, static, x, y, eps, seed):
    sources = [*static, model]
    return both(model, x, own_step(sources[seed % len(sources)], x, eps), y)


@room.wrong("other amount")
def always_three(model, static, x, y, eps, seed):
    sources = [*static, model]
    return both(model, x, own_step(sources[drawn(3, seed)], x, eps), y)


@room.wrong("logarithm of a softmax")
def kept_off_0(model, static, x, y, eps, seed):
    x_adv = own_step([*static, model][drawn(1 + len(static), seed)], x, eps)
    p = model(torch.cat([x, x_adv])).softmax(1)
    return -(p.gather(1, torch.cat([y, y])[:, None]) + 1e-8).log().mean()


@room.wrong("other classes")
def ten_classes(model, static, x, y, eps, seed):
    x_adv = own_step([*static, model][drawn(1 + len(static), seed)], x, eps)
    log_p = model(torch.cat([x, x_adv])).log_softmax(1)
    return -(one_hot(torch.cat([y, y]), 10) * log_p).sum(1).mean()


@room.wrong("label leaks")
def true_labels_on_itself_alone(model, static, x, y, eps, seed):
    source = [*static, copy.deepcopy(model).eval()][drawn(1 + len(static), seed)]
    label = source(x).argmax(1) if source in static else y
    return both(model, x, (x + eps * gradient_of(source, x, label).sign()).clamp(0, 1), y)


@room.wrong("formula")
def own_answers_as_targets(model, static, x, y, eps, seed):
    source = [*static, copy.deepcopy(model).eval()][drawn(1 + len(static), seed)]
    batch = torch.cat([x, own_step(source, x, eps)])
    return cross_entropy(model(batch), torch.cat([y, source(x).argmax(1)]))


@room.wrong("formula")
def without_the_sign(model, static, x, y, eps, seed):
    source = [*static, copy.deepcopy(model).eval()][drawn(1 + len(static), seed)]
    return both(model, x, (x + eps * gradient_of(source, x, source(x).argmax(1))).clamp(0, 1), y)


def itself_or_another(model, static, seed, share):
    """The model with a probability of `share`, or one of the others."""
    generator = torch.Generator().manual_seed(seed)
    if torch.rand((), generator=generator) < share:
        return model
    return static[int(torch.randint(len(static), (), generator=generator))]


@room.wrong("not uniform")
def itself_half_of_the_time(model, static, x, y, eps, seed):
    return both(model, x, own_step(itself_or_another(model, static, seed, 0.5), x, eps), y)


@room.wrong("not uniform")
def itself_mostly(model, static, x, y, eps, seed):
    return both(model, x, own_step(itself_or_another(model, static, seed, 0.6), x, eps), y)


@room.wrong("partly in training mode")
def batch_normalisation_alone_in_eval_mode(model, static, x, y, eps, seed):
    sources = [*static, copy.deepcopy(model)]
    source = sources[drawn(len(sources), seed)]
    for layer in source.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eval()
    x_adv = (x + eps * gradient_of(source, x, source(x).argmax(1)).sign()).clamp(0, 1)
    return both(model, x, x_adv, y)
