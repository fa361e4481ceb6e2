"""Lab 3: EAD, whose images change in few pixels."""

import math

import torch

from advcourse.labs.comparing import SAME, called, gives
from advcourse.labs.exercises import Case, Draw, Task, exercise
from advcourse.labs.lab3.cw_loss import cw_loss
from advcourse.labs.lab3.nearest import at_distance
from advcourse.labs.lab3.pieces import pick
from advcourse.labs.lab3.questions import FIRST, LAST, NearestTask
from advcourse.labs.lab3.shrink import shrink
from advcourse.labs.properties import (
    asks_the_model,
    changes_the_images,
    stays_in_the_box,
    treats_images_alone,
)


def slope(model, x_i, x, y, const, far=1.0):
    """The gradient at x_i of c f plus the squared distance, which counts `far` times."""
    x_i = x_i.detach().requires_grad_()
    value = const * cw_loss(model(x_i), y, 0.0) + far * (x_i - x).square().sum(dim=(1, 2, 3))
    return torch.autograd.grad(value.sum(), x_i)[0]


def price_of(change, beta, rule):
    """What the best iterate has least of, by the rule."""
    l1 = change.abs().sum(dim=(1, 2, 3))
    return l1 if rule == "L1" else beta * l1 + change.square().sum(dim=(1, 2, 3))


@exercise(
    "Few pixels: EAD",
    5,
    lambda draw, x: {
        "const": draw.number(18, 22),
        "beta": 2e-3,
        "lr": 0.02,
        "steps": 6,
        "rule": "EN",
    },
    (
        "Keep two images: x_k, which is shrunk and judged, and y_k, which looks ahead: there the step starts. Both begin as x.",
        "In turn k, from 0: the gradient of const * f + squared distance at y_k; new = shrink(y_k - alpha * gradient, x, beta); "
        "y_k = new + k / (k + 3) * (new - x_k); x_k = new.",
        "Then judge x_k: success where cw_loss(model(x_k), y, 0.0) <= 0; price is beta * l1 + l2 squared, or l1 alone; keep it "
        "where success & (price < lowest), as in cw_l2. alpha = lr * (1 - k / steps) ** 0.5.",
    ),
    kind=NearestTask,
)
def ead(model, x, y, const, beta, lr, steps, rule):
    x_k = y_k = best = x.clone()
    lowest = x.new_full((len(x),), torch.inf)
    for k in range(steps):
        alpha = lr * (1 - k / steps) ** 0.5
        new = shrink(y_k - alpha * slope(model, y_k, x, y, const), x, beta)
        y_k, x_k = new + k / (k + 3) * (new - x_k), new
        with torch.no_grad():
            price = price_of(x_k - x, beta, rule)
            better = (cw_loss(model(x_k), y, 0.0) <= 0) & (price < lowest)
        best, lowest = pick(better, x_k, best), torch.where(better, price, lowest)
    return best


def fista(
    model,
    x,
    y,
    const,
    beta,
    lr,
    steps,
    rule,
    momentum=lambda k: k / (k + 3),
    threshold=lambda alpha, beta: beta,
    decay=0.5,
    keep=lambda success, price, lowest: success & (price < lowest),
    price_of=price_of,
    far=1.0,
    at="y_k",
    centre="x",
    judges="x_k",
):
    """`ead` with some of its lines changed."""
    x_k = y_k = best = x.clone()
    lowest = x.new_full((len(x),), torch.inf)
    for k in range(steps):
        alpha = lr * (1 - k / steps) ** decay
        z = y_k - alpha * slope(model, x_k if at == "x_k" else y_k, x, y, const, far)
        new = shrink(z, y_k if centre == "y_k" else x, threshold(alpha, beta))
        y_k, x_k = new + momentum(k) * (new - x_k), new
        judged = y_k if judges == "y_k" else x_k
        with torch.no_grad():
            price = price_of(judged - x, beta, rule)
            better = keep(cw_loss(model(judged), y, 0.0) <= 0, price, lowest)
        best, lowest = pick(better, judged, best), torch.where(better, price, lowest)
    return best


@ead.slip(
    "keeps the last",
    "The last success is returned. Any iterate may be the best: compare each success with the best so far.",
)
def last_success(model, x, y, const, beta, lr, steps, rule):
    return fista(model, x, y, const, beta, lr, steps, rule, keep=lambda success, *_: success)


@ead.slip(
    "keeps the first",
    "The first success is returned. Later ones are better: compare each success with the best so far.",
)
def first_success(model, x, y, const, beta, lr, steps, rule):
    def first(success, price, lowest):
        return success & lowest.isinf()

    return fista(model, x, y, const, beta, lr, steps, rule, keep=first)


@ead.slip(
    "end of the loop",
    "The end of the loop is returned, successful or not. Keep the best success, and x where there is none.",
)
def no_bookkeeping(model, x, y, const, beta, lr, steps, rule):
    return fista(model, x, y, const, beta, lr, steps, rule, keep=lambda success, *_: success | True)


@ead.slip(
    "failure not clean",
    "Where nothing fools, the end of the loop comes back. Begin with best = x, and replace it by successes alone.",
)
def end_of_the_loop_after_a_failure(model, x, y, const, beta, lr, steps, rule):
    best = ead(model, x, y, const, beta, lr, steps, rule)
    end = no_bookkeeping(model, x, y, const, beta, lr, steps, rule)
    return pick((best == x).flatten(1).all(1), end, best)


@ead.slip(
    "threshold alpha beta",
    "The threshold shrinks with the step: alpha_k beta, as in a textbook. In EAD it is beta itself.",
)
def textbook_threshold(model, x, y, const, beta, lr, steps, rule):
    return fista(model, x, y, const, beta, lr, steps, rule, threshold=lambda alpha, beta: alpha * beta)


@ead.slip(
    "shrinks towards y",
    "The step is shrunk towards y_k. It shrinks towards the clean image x: shrink(z, x, beta).",
)
def compares_with_y(model, x, y, const, beta, lr, steps, rule):
    return fista(model, x, y, const, beta, lr, steps, rule, centre="y_k")


@ead.slip(
    "no momentum",
    "Each step starts from the iterate x_k. FISTA starts from y_k, which looks ahead: x_k + k / (k + 3) (x_k - x_{k-1}).",
)
def ista(model, x, y, const, beta, lr, steps, rule):
    return fista(model, x, y, const, beta, lr, steps, rule, momentum=lambda k: 0)


@ead.slip(
    "momentum ahead",
    "The momentum is one step ahead: (k + 1) / (k + 4). It is k / (k + 3) with k from 0, so the first is 0.",
)
def counts_from_one(model, x, y, const, beta, lr, steps, rule):
    return fista(model, x, y, const, beta, lr, steps, rule, momentum=lambda k: (k + 1) / (k + 4))


@ead.slip("full momentum", "The momentum is 1 throughout. It grows towards 1: k / (k + 3).")
def momentum_of_one(model, x, y, const, beta, lr, steps, rule):
    return fista(model, x, y, const, beta, lr, steps, rule, momentum=lambda k: 1)


@ead.slip(
    "gradient at x_k",
    "The step starts from y_k, but its gradient is taken at x_k. Take it where the step starts.",
)
def gradient_at_the_iterate(model, x, y, const, beta, lr, steps, rule):
    return fista(model, x, y, const, beta, lr, steps, rule, at="x_k")


@ead.slip(
    "no distance",
    "The gradient is that of c f alone. g also holds the squared distance |y_k - x|^2, which pulls back.",
)
def gradient_of_f_alone(model, x, y, const, beta, lr, steps, rule):
    return fista(model, x, y, const, beta, lr, steps, rule, far=0.0)


@ead.slip(
    "steps of one length",
    "All steps are lr long. They get shorter: alpha_k = lr sqrt(1 - k / steps).",
)
def no_decay(model, x, y, const, beta, lr, steps, rule):
    return fista(model, x, y, const, beta, lr, steps, rule, decay=0)


@ead.slip(
    "rule EN alone",
    "rule is not looked at: EN decides always. With rule L1 the least L1 norm wins, the sum of |x_i - x|.",
)
def always_elastic_net(model, x, y, const, beta, lr, steps, rule):
    return ead(model, x, y, const, beta, lr, steps, "EN")


@ead.slip(
    "rule L1 alone",
    "rule is not looked at: L1 decides always. With rule EN the least beta L1 + L2^2 wins.",
)
def always_l1(model, x, y, const, beta, lr, steps, rule):
    return ead(model, x, y, const, beta, lr, steps, "L1")


@ead.slip(
    "L2 not squared",
    "The price of the rule EN holds the L2 norm itself. There it is squared, as in what EAD lowers: beta L1 + L2^2.",
)
def price_with_the_plain_norm(model, x, y, const, beta, lr, steps, rule):
    def price(change, beta, rule):
        l1 = change.abs().sum(dim=(1, 2, 3))
        return l1 if rule == "L1" else beta * l1 + change.flatten(1).norm(dim=1)

    return fista(model, x, y, const, beta, lr, steps, rule, price_of=price)


@ead.slip(
    "L2 alone",
    "The rule EN looks at the L2 norm alone. The L1 norm counts too, beta times: beta L1 + L2^2.",
)
def price_without_l1(model, x, y, const, beta, lr, steps, rule):
    def price(change, beta, rule):
        return price_of(change, 0.0, rule)

    return fista(model, x, y, const, beta, lr, steps, rule, price_of=price)


@ead.slip(
    "judges y",
    "What is judged and kept is y_k, which is not shrunk and may leave the box. Judge the iterate x_{k+1}.",
)
def keeps_y(model, x, y, const, beta, lr, steps, rule):
    return fista(model, x, y, const, beta, lr, steps, rule, judges="y_k")


@ead.right
def remembers_all_and_chooses_at_the_end(model, x, y, const, beta, lr, steps, rule):
    iterates, y_k = [x], x
    for k in range(steps):
        z = y_k - lr * math.sqrt(1 - k / steps) * slope(model, y_k, x, y, const)
        lighter, darker = (z - beta).clamp_max(1), (z + beta).clamp_min(0)
        iterates.append(torch.where(z > x + beta, lighter, torch.where(z < x - beta, darker, x)))
        y_k = (2 * k + 3) / (k + 3) * iterates[-1] - k / (k + 3) * iterates[-2]
    with torch.no_grad():
        prices = [price_of(x_k - x, beta, rule) for x_k in iterates]
        fools = [model(x_k).argmax(1) != y for x_k in iterates]
    table = torch.stack([torch.where(hit, price, math.inf) for hit, price in zip(fools, prices)])
    table[0] = torch.where(table[1:].isinf().all(0), -1.0, math.inf)
    return torch.stack([iterates[k][i] for i, k in enumerate(table.argmin(0).tolist())])


@ead.wrong("formula")
def half_the_threshold(model, x, y, const, beta, lr, steps, rule):
    return fista(model, x, y, const, beta, lr, steps, rule, threshold=lambda alpha, beta: beta / 2)


@ead.wrong("clean image")
def climbs(model, x, y, const, beta, lr, steps, rule):
    return ead(model, x, y, -const, beta, lr, steps, rule)


def cases(task: Task, draw: Draw) -> tuple[Case, ...]:
    """A bent model; and a linear one with two classes: one big step to the boundary, by both rules, many small ones, too few."""
    line = task.case(draw, kind="linear", classes=2, grey=True)
    # Images that behave alike would hide a slip.
    spread = 0.7 + 0.2 * torch.arange(len(line.labels), dtype=torch.float64)
    near = at_distance(line, 0.4 * spread).but(const=draw.number(76, 84), lr=0.04, beta=1e-2, steps=14)
    far = at_distance(line, 0.7 * spread).but(const=draw.number(9, 11), lr=0.05, beta=1e-3, steps=14)
    hopeless = far.but(const=0.5, beta=1e-6, steps=8)
    return task.case(draw, grey=True), near, near.but(rule="L1"), far, hopeless, told_apart(task, draw)


def told_apart(task: Task, draw: Draw, n: int = 32, each: int = 2) -> Case:
    """Of many images those whose best iterate another price than that of the rule EN would choose otherwise.

    Drawn anew until for each other price there is one, a tenth of whose pixels differ.
    """
    while True:
        line = task.case(draw, n=n, kind="linear", classes=2, grey=True)
        case = at_distance(line, 0.8 * torch.linspace(0.7, 1.3, n, dtype=torch.float64))
        case = case.but(const=draw.number(152, 168), lr=0.04, beta=6e-2, steps=14)
        right = called(ead, case)
        apart = [
            ((called(other, case) - right).abs() > 2 * SAME).double().flatten(1).mean(1)
            for other in (price_with_the_plain_norm, price_without_l1)
        ]
        if min(shares.max() for shares in apart) >= 0.1:
            chosen = [i for shares in apart for i in shares.argsort(descending=True)[:each].tolist()]
            return case.images(sorted(set(chosen)))


ead.checks(
    *FIRST,
    changes_the_images,
    asks_the_model,
    gives(ead, make=cases),
    stays_in_the_box,
    treats_images_alone,
    *LAST,
)
