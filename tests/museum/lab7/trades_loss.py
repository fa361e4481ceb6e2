"""Answers to trades_loss(model, x, x_adv, y, beta)."""

import torch
from torch.nn.functional import cross_entropy, kl_div

from museum import Room

room = Room("trades_loss")


def logits_of(model, x, x_adv):
    return model(torch.cat([x, x_adv])).chunk(2)


@room.right
def as_the_authors_write_it(model, x, x_adv, y, beta):
    clean, attacked = logits_of(model, x, x_adv)
    natural = cross_entropy(clean, y)
    robust = kl_div(attacked.log_softmax(1), clean.softmax(1), reduction="sum") / len(x)
    return natural + beta * robust


@room.right
def by_its_definition(model, x, x_adv, y, beta):
    logits = model(torch.cat([x, x_adv]))
    log_p, log_q = logits[: len(x)].log_softmax(1), logits[len(x) :].log_softmax(1)
    divergence = (log_p.exp() * (log_p - log_q)).sum(1)
    return (-log_p.gather(1, y[:, None])[:, 0] + beta * divergence).mean()


@room.right
def cross_entropy_less_entropy(model, x, x_adv, y, beta):
    clean, attacked = logits_of(model, x, x_adv)
    p = clean.softmax(1)
    return cross_entropy(clean, y) + beta * (cross_entropy(attacked, p) - cross_entropy(clean, p))


@room.wrong("divided by the classes too")
def reduction_mean(model, x, x_adv, y, beta):
    clean, attacked = logits_of(model, x, x_adv)
    return cross_entropy(clean, y) + beta * kl_div(
        attacked.log_softmax(1), clean.softmax(1), reduction="mean"
    )


@room.wrong("not divided")
def reduction_sum(model, x, x_adv, y, beta):
    clean, attacked = logits_of(model, x, x_adv)
    return cross_entropy(clean, y) + beta * kl_div(attacked.log_softmax(1), clean.softmax(1), reduction="sum")


@room.wrong("reversed")
def order_of_the_formula(model, x, x_adv, y, beta):
    clean, attacked = logits_of(model, x, x_adv)
    return cross_entropy(clean, y) + beta * kl_div(
        clean.log_softmax(1), attacked.softmax(1), reduction="batchmean"
    )


@room.wrong("no logarithm")
def probabilities_twice(model, x, x_adv, y, beta):
    clean, attacked = logits_of(model, x, x_adv)
    return cross_entropy(clean, y) + beta * kl_div(
        attacked.softmax(1), clean.softmax(1), reduction="batchmean"
    )


@room.wrong("entropy left out")
def soft_labels(model, x, x_adv, y, beta):
    clean, attacked = logits_of(model, x, x_adv)
    return cross_entropy(clean, y) + beta * cross_entropy(attacked, clean.softmax(1))


@room.wrong("squared distance")
def mean_squares(model, x, x_adv, y, beta):
    clean, attacked = logits_of(model, x, x_adv)
    return cross_entropy(clean, y) + beta * (clean.softmax(1) - attacked.softmax(1)).square().sum(1).mean()


@room.wrong("no clean term")
def divergence_alone(model, x, x_adv, y, beta):
    return by_its_definition(model, x, x_adv, y, beta) - cross_entropy(logits_of(model, x, x_adv)[0], y)


@room.wrong("loss of the attacked")
def labels_for_the_attacked(model, x, x_adv, y, beta):
    clean, attacked = logits_of(model, x, x_adv)
    return cross_entropy(attacked, y) + beta * kl_div(
        attacked.log_softmax(1), clean.softmax(1), reduction="batchmean"
    )


@room.wrong("beta divides")
def lambda_for_beta(model, x, x_adv, y, beta):
    return by_its_definition(model, x, x_adv, y, 1 / beta)


@room.wrong("beta on the other term")
def price_on_accuracy(model, x, x_adv, y, beta):
    return beta * by_its_definition(model, x, x_adv, y, 1 / beta)


@room.wrong("clean answer cut off")
def a_fixed_target(model, x, x_adv, y, beta):
    clean, attacked = logits_of(model, x, x_adv)
    p = clean.detach().softmax(1)
    return cross_entropy(clean, y) + beta * kl_div(attacked.log_softmax(1), p, reduction="batchmean")


@room.wrong("two passes")
def one_after_the_other(model, x, x_adv, y, beta):
    clean, attacked = model(x), model(x_adv)
    return cross_entropy(clean, y) + beta * kl_div(
        attacked.log_softmax(1), clean.softmax(1), reduction="batchmean"
    )


@room.wrong("eval mode")
def evaluates(model, x, x_adv, y, beta):
    was = model.training
    model.eval()
    loss = by_its_definition(model, x, x_adv, y, beta)
    model.train(was)
    return loss


@room.wrong("not a number")
def two_logarithms(model, x, x_adv, y, beta):
    clean, attacked = logits_of(model, x, x_adv)
    return cross_entropy(clean, y) + beta * kl_div(
        attacked.log_softmax(1), clean.log_softmax(1), reduction="batchmean"
    )


@room.wrong("plain number")
def item(model, x, x_adv, y, beta):
    return float(by_its_definition(model, x, x_adv, y, beta))


@room.wrong("formula")
def half_of_the_price(model, x, x_adv, y, beta):
    return by_its_definition(model, x, x_adv, y, beta / 2)


@room.wrong("crash")
def pair_of_calls(model, x, x_adv, y, beta):
    clean, attacked = model(torch.cat([x, x_adv]))
    return cross_entropy(clean, y) + beta * kl_div(attacked, clean)


@room.wrong("softmax twice")
def probabilities_as_logits(model, x, x_adv, y, beta):
    clean, attacked = logits_of(model, x, x_adv)
    divergence = kl_div(attacked.log_softmax(1), clean.softmax(1), reduction="batchmean")
    return cross_entropy(clean.softmax(1), y) + beta * divergence


@room.wrong("attacked answer cut off")
def no_gradient_through_the_attacked(model, x, x_adv, y, beta):
    clean, attacked = logits_of(model, x, x_adv)
    log_q = attacked.detach().log_softmax(1)
    return cross_entropy(clean, y) + beta * kl_div(log_q, clean.softmax(1), reduction="batchmean")


@room.wrong("logarithm of a softmax")
def logarithms_of_probabilities(model, x, x_adv, y, beta):
    clean, attacked = logits_of(model, x, x_adv)
    p, q = clean.softmax(1), attacked.softmax(1)
    return cross_entropy(clean, y) + beta * (p * ((p + 1e-8).log() - (q + 1e-8).log())).sum(1).mean()


@room.wrong("logarithm of a softmax")
def kl_div_of_the_logarithm(model, x, x_adv, y, beta):
    clean, attacked = logits_of(model, x, x_adv)
    return cross_entropy(clean, y) + beta * kl_div(
        (attacked.softmax(1) + 1e-8).log(), clean.softmax(1), reduction="batchmean"
    )


@room.wrong("other classes")
def ten_times_the_mean(model, x, x_adv, y, beta):
    clean, attacked = logits_of(model, x, x_adv)
    divergence = kl_div(attacked.log_softmax(1), clean.softmax(1), reduction="mean")
    return cross_entropy(clean, y) + 10 * beta * divergence


@room.wrong("formula")
def attacked_ones_first(model, x, x_adv, y, beta):
    return by_its_definition(model, x_adv, x, y, beta)


@room.wrong("formula")
def labels_for_both(model, x, x_adv, y, beta):
    clean, attacked = logits_of(model, x, x_adv)
    labels = cross_entropy(torch.cat([clean, attacked]), torch.cat([y, y]))
    return labels + beta * kl_div(attacked.log_softmax(1), clean.softmax(1), reduction="batchmean")
