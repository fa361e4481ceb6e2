"""Answers to ead(model, x, y, const, beta, lr, steps, rule)."""

import math

import torch
from torch.nn.functional import one_hot

from museum import Room

room = Room("ead")


def shrink(z, x, beta):
    return (x + torch.nn.functional.softshrink(z - x, beta)).clamp(0, 1)


def lead(model, x_i, y):
    logits = model(x_i)
    chosen = one_hot(y, logits.shape[1]).bool()
    return logits[chosen] - logits.masked_fill(chosen, -math.inf).amax(1)


def slope(model, x_i, x, y, const, distance=1.0):
    x_i = x_i.detach().requires_grad_()
    g = const * lead(model, x_i, y).relu() + distance * (x_i - x).square().sum(dim=(1, 2, 3))
    return torch.autograd.grad(g.sum(), x_i)[0]


def price_of(change, beta, rule):
    l1 = change.abs().sum(dim=(1, 2, 3))
    return l1 if rule == "L1" else beta * l1 + change.square().sum(dim=(1, 2, 3))


def pick(chosen, new, old):
    return torch.where(chosen.view(-1, 1, 1, 1), new, old)


@room.right
def with_where(model, x, y, const, beta, lr, steps, rule):
    x_k = y_k = best = x.clone()
    lowest = x.new_full((len(x),), math.inf)
    for k in range(steps):
        alpha = lr * math.sqrt(1 - k / steps)
        new = shrink(y_k - alpha * slope(model, y_k, x, y, const), x, beta)
        y_k, x_k = new + k / (k + 3) * (new - x_k), new
        with torch.no_grad():
            price = price_of(x_k - x, beta, rule)
            better = (lead(model, x_k, y) <= 0) & (price < lowest)
        best, lowest = pick(better, x_k, best), torch.where(better, price, lowest)
    return best


@room.right
def remembers_all_and_chooses_at_the_end(model, x, y, const, beta, lr, steps, rule):
    iterates, y_k = [x], x
    for k in range(steps):
        z = y_k - lr * (1 - k / steps) ** 0.5 * slope(model, y_k, x, y, const)
        lighter, darker = (z - beta).clamp_max(1), (z + beta).clamp_min(0)
        iterates.append(torch.where(z > x + beta, lighter, torch.where(z < x - beta, darker, x)))
        y_k = (2 * k + 3) / (k + 3) * iterates[-1] - k / (k + 3) * iterates[-2]
    with torch.no_grad():
        prices = [price_of(x_k - x, beta, rule) for x_k in iterates]
        fools = [model(x_k).argmax(1) != y for x_k in iterates]
    table = torch.stack([torch.where(hit, price, math.inf) for hit, price in zip(fools, prices)])
    table[0] = torch.where(table[1:].isinf().all(0), -1.0, math.inf)
    return torch.stack([iterates[k][i] for i, k in enumerate(table.argmin(0).tolist())])


def attempt(model, x, y, const, beta, lr, steps, rule, **slip):
    """The first right answer with a slip in it, by the name of the line that it changes."""
    momentum = slip.get("momentum", lambda k: k / (k + 3))
    threshold = slip.get("threshold", lambda alpha: beta)
    step = slip.get("step", lambda k: lr * math.sqrt(1 - k / steps))
    keep = slip.get("keep", lambda success, price, lowest: success & (price < lowest))
    x_k = y_k = best = x.clone()
    lowest = x.new_full((len(x),), math.inf)
    for k in range(steps):
        alpha = step(k)
        place = x_k if slip.get("at") == "x_k" else y_k
        z = y_k - alpha * slope(model, place, x, y, const, slip.get("distance", 1.0))
        new = shrink(z, y_k if slip.get("centre") == "y_k" else x, threshold(alpha))
        y_k, x_k = new + momentum(k) * (new - x_k), new
        judged = y_k if slip.get("judges") == "y_k" else x_k
        with torch.no_grad():
            price = slip.get("price", price_of)(judged - x, beta, rule)
            better = keep(lead(model, judged, y) <= 0, price, lowest)
        best, lowest = pick(better, judged, best), torch.where(better, price, lowest)
    return best


@room.wrong("threshold alpha beta")
def textbook_threshold(model, x, y, const, beta, lr, steps, rule):
    return attempt(model, x, y, const, beta, lr, steps, rule, threshold=lambda alpha: alpha * beta)


@room.wrong("shrinks towards y")
def compares_with_y(model, x, y, const, beta, lr, steps, rule):
    return attempt(model, x, y, const, beta, lr, steps, rule, centre="y_k")


@room.wrong("no momentum")
def ista(model, x, y, const, beta, lr, steps, rule):
    return attempt(model, x, y, const, beta, lr, steps, rule, momentum=lambda k: 0)


@room.wrong("momentum ahead")
def counts_from_one(model, x, y, const, beta, lr, steps, rule):
    return attempt(model, x, y, const, beta, lr, steps, rule, momentum=lambda k: (k + 1) / (k + 4))


@room.wrong("full momentum")
def momentum_of_one(model, x, y, const, beta, lr, steps, rule):
    return attempt(model, x, y, const, beta, lr, steps, rule, momentum=lambda k: 1)


@room.wrong("gradient at x_k")
def gradient_at_the_iterate(model, x, y, const, beta, lr, steps, rule):
    return attempt(model, x, y, const, beta, lr, steps, rule, at="x_k")


@room.wrong("steps of one length")
def no_decay(model, x, y, const, beta, lr, steps, rule):
    return attempt(model, x, y, const, beta, lr, steps, rule, step=lambda k: lr)


@room.wrong("no distance")
def gradient_of_f_alone(model, x, y, const, beta, lr, steps, rule):
    return attempt(model, x, y, const, beta, lr, steps, rule, distance=0.0)


@room.wrong("keeps the last")
def last_success(model, x, y, const, beta, lr, steps, rule):
    return attempt(model, x, y, const, beta, lr, steps, rule, keep=lambda success, price, lowest: success)


@room.wrong("keeps the first")
def first_success(model, x, y, const, beta, lr, steps, rule):
    first = lambda success, price, lowest: success & lowest.isinf()  # noqa: E731
    return attempt(model, x, y, const, beta, lr, steps, rule, keep=first)


@room.wrong("end of the loop")
def no_bookkeeping(model, x, y, const, beta, lr, steps, rule):
    return attempt(model, x, y, const, beta, lr, steps, rule, keep=lambda success, *_: success | True)


@room.wrong("failure not clean")
def end_of_the_loop_after_a_failure(model, x, y, const, beta, lr, steps, rule):
    best = with_where(model, x, y, const, beta, lr, steps, rule)
    end = no_bookkeeping(model, x, y, const, beta, lr, steps, rule)
    return pick((best == x).flatten(1).all(1), end, best)


@room.wrong("rule EN alone")
def always_elastic_net(model, x, y, const, beta, lr, steps, rule):
    return attempt(model, x, y, const, beta, lr, steps, "EN")


@room.wrong("rule L1 alone")
def always_l1(model, x, y, const, beta, lr, steps, rule):
    return attempt(model, x, y, const, beta, lr, steps, "L1")


@room.wrong("L2 not squared")
def price_with_the_plain_norm(model, x, y, const, beta, lr, steps, rule):
    def price(change, beta, rule):
        l1 = change.abs().sum(dim=(1, 2, 3))
        return l1 if rule == "L1" else beta * l1 + change.flatten(1).norm(dim=1)

    return attempt(model, x, y, const, beta, lr, steps, rule, price=price)


@room.wrong("L2 alone")
def price_without_l1(model, x, y, const, beta, lr, steps, rule):
    price = lambda change, beta, rule: price_of(change, 0.0, rule)  # noqa: E731
    return attempt(model, x, y, const, beta, lr, steps, rule, price=price)


@room.wrong("judges y")
def keeps_y(model, x, y, const, beta, lr, steps, rule):
    return attempt(model, x, y, const, beta, lr, steps, rule, judges="y_k")


@room.wrong("formula")
def half_the_threshold(model, x, y, const, beta, lr, steps, rule):
    return attempt(model, x, y, const, beta, lr, steps, rule, threshold=lambda alpha: beta / 2)


@room.wrong("clean image")
def climbs(model, x, y, const, beta, lr, steps, rule):
    return attempt(model, x, y, -const, beta, lr, steps, rule)
