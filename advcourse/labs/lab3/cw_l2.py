"""Lab 3: the attack of Carlini and Wagner in L2, which looks for the nearest image that fools."""

import math

import torch
from torch.nn.functional import one_hot

from advcourse.labs.exercises import exercise
from advcourse.labs.lab3.cw_loss import cw_loss
from advcourse.labs.lab3.nearest import (
    comes_near,
    fools_digits,
    gives_up_cleanly,
    grows_until_it_fools,
    keeps_the_best,
    leads_by_the_confidence,
    reaches_the_target,
    searches_alone,
    starts_anew,
    starts_at_saturated_pixels,
    weighs_as_the_formula,
)
from advcourse.labs.lab3.pieces import pick, to_box
from advcourse.labs.lab3.questions import FIRST, LAST, NearestTask
from advcourse.labs.lab3.search import search
from advcourse.labs.lab3.to_w import to_w
from advcourse.labs.properties import asks_the_model, stays_in_the_box


def first_state(x, const):
    n = len(x)
    return torch.stack([x.new_zeros(n), x.new_full((n,), 1e10), x.new_full((n,), const)])


def squared(change):
    """The squared length (N,) of each image's change."""
    return change.square().sum(dim=(1, 2, 3))


def nothing_found(x):
    """The best image so far and its distance, infinite."""
    return x.clone(), x.new_full((len(x),), torch.inf)


def none_fooled(x):
    return torch.zeros(len(x), dtype=torch.bool, device=x.device)


@exercise(
    "The nearest image that fools",
    6,
    lambda draw, x: {
        "const": draw.number(5, 10),
        "lr": 0.04,
        "steps": 4,
        "searches": 2,
        "confidence": 0.0,
        "target": None,
    },
    (
        "Two loops: the outer one over constants, the inner one over Adam's steps on w. Before both: best = x.clone(), and its "
        "distance, infinite for each image.",
        "At the start of each round: w = to_w(x).requires_grad_(), a new Adam([w], lr=lr), and fooled = all False. In the inner "
        "loop compute distance (N,) and f (N,), keep what is better, then step. After it: state = search(state, fooled[None]).",
        "In the inner loop: success = f <= -confidence; better = success & (distance < nearest); best and nearest by torch.where;"
        " fooled |= success. The step: w.grad = torch.autograd.grad((distance + c * f).sum(), w)[0]; optimizer.step().",
    ),
    kind=NearestTask,
)
def cw_l2(model, x, y, const, lr, steps, searches, confidence=0.0, target=None):
    label, targeted = (y, False) if target is None else (target, True)
    state = first_state(x, const)
    best, nearest = nothing_found(x)
    for _ in range(searches):
        w = to_w(x).requires_grad_()
        optimizer = torch.optim.Adam([w], lr=lr)
        fooled = none_fooled(x)
        for _ in range(steps):
            x_i = to_box(w)
            distance = squared(x_i - x)
            f = cw_loss(model(x_i), label, confidence, targeted)
            with torch.no_grad():
                success = f <= -confidence
                better = success & (distance < nearest)
                best, nearest = pick(better, x_i, best), torch.where(better, distance, nearest)
                fooled |= success
            w.grad = torch.autograd.grad((distance + state[2] * f).sum(), w)[0]
            optimizer.step()
        state = search(state, fooled[None])
    return best.detach()


def attempt(
    model,
    x,
    y,
    const,
    lr,
    steps,
    searches,
    confidence=0.0,
    target=None,
    start=lambda w, x, best: to_w(x),
    new_adam=True,
    forgets_best=False,
    forgets_fooled=True,
    image=to_box,
    length=squared,
    loss=cw_loss,
    hit=lambda f, logits, confidence: f <= -confidence,
    measure=lambda distance, weighed: distance,
    keep=lambda success, distance, nearest: success & (distance < nearest),
    mark=lambda fooled, success, better: fooled | success,
    weigh=lambda distance, weighed: distance + weighed,
    move=search,
):
    """`cw_l2` with some of its lines changed. `weighed` is c f."""
    label, targeted = (y, False) if target is None else (target, True)
    state, fooled = first_state(x, const), none_fooled(x)
    best, nearest = nothing_found(x)
    w = to_w(x).requires_grad_()
    optimizer = torch.optim.Adam([w], lr=lr)
    for _ in range(searches):
        w.data = start(w.data, x, best)
        optimizer = torch.optim.Adam([w], lr=lr) if new_adam else optimizer
        best, nearest = nothing_found(x) if forgets_best else (best, nearest)
        fooled = none_fooled(x) if forgets_fooled else fooled
        for _ in range(steps):
            x_i = image(w)
            logits = model(x_i)
            f = loss(logits, label, confidence, targeted)
            distance, weighed = length(x_i - x), state[2] * f
            with torch.no_grad():
                success = hit(f, logits, confidence)
                measured = measure(distance, weighed)
                better = keep(success, measured, nearest)
                best, nearest = pick(better, x_i, best), torch.where(better, measured, nearest)
                fooled = mark(fooled, success, better)
            w.grad = torch.autograd.grad(weigh(distance, weighed).sum(), w)[0]
            optimizer.step()
        state = move(state, fooled[None])
    return best.detach()


@cw_l2.right
def with_an_adam_of_its_own(model, x, y, const, lr, steps, searches, confidence=0.0, target=None):
    label = y if target is None else target
    others = ~one_hot(label, model(x[:1]).shape[1]).bool()
    lo, hi, c = [0.0] * len(x), [None] * len(x), [const] * len(x)
    found = [(math.inf, image) for image in x]
    for _ in range(searches):
        w, m, v = to_w(x), torch.zeros_like(x), torch.zeros_like(x)
        hit = [False] * len(x)
        for t in range(1, steps + 1):
            w = w.detach().requires_grad_()
            x_i = to_box(w)
            logits = model(x_i)
            rest = logits.where(others, logits.new_tensor(-1e9)).amax(1)
            gap = logits.gather(1, label[:, None])[:, 0] - rest
            gap = gap if target is None else -gap
            distance = torch.linalg.vector_norm(x_i - x, dim=(1, 2, 3)) ** 2
            weights = torch.tensor(c).to(x)
            value = distance @ torch.ones_like(distance) + weights @ torch.relu(gap + confidence)
            gradient = torch.autograd.grad(value, w)[0]
            m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
            for i in range(len(x)):
                if gap[i] <= -confidence:
                    hit[i] = True
                    found[i] = min(found[i], (distance[i].item(), x_i[i].detach()), key=lambda pair: pair[0])
            w = w - lr * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
        for i in range(len(x)):
            if hit[i]:
                hi[i] = c[i]
            else:
                lo[i] = c[i]
            c[i] = 10 * c[i] if hi[i] is None else (lo[i] + hi[i]) / 2
    return torch.stack([image for _, image in found])


@cw_l2.wrong("no distance")
def loss_without_distance(model, x, y, **settings):
    return attempt(model, x, y, **settings, weigh=lambda distance, weighed: weighed)


@cw_l2.wrong("distance averaged")
def mean_over_the_pixels(model, x, y, **settings):
    return attempt(model, x, y, **settings, length=lambda change: change.square().mean(dim=(1, 2, 3)))


@cw_l2.wrong("distance not squared")
def plain_norm(model, x, y, **settings):
    return attempt(model, x, y, **settings, length=lambda change: change.flatten(1).norm(dim=1))


@cw_l2.wrong("f averaged")
def mean_over_the_batch(model, x, y, **settings):
    return attempt(model, x, y, **settings, weigh=lambda distance, weighed: distance.sum() + weighed.mean())


@cw_l2.wrong("does not succeed")
def f_with_minus(model, x, y, **settings):
    return attempt(model, x, y, **settings, weigh=lambda distance, weighed: distance - weighed)


@cw_l2.wrong("failure not clean")
def best_starts_as_the_iterate(model, x, y, **settings):
    found = cw_l2(model, x, y, **settings)
    last = attempt(model, x, y, **settings, keep=lambda success, *_: success | True)
    return pick((found == x).flatten(1).all(1), last, found)


@cw_l2.wrong("search stuck")
def one_constant(model, x, y, **settings):
    return attempt(model, x, y, **settings, move=lambda state, fooled: state)


@cw_l2.wrong("last iterate")
def keeps_any_success(model, x, y, **settings):
    return attempt(model, x, y, **settings, keep=lambda success, *_: success)


@cw_l2.wrong("first success")
def keeps_the_first(model, x, y, **settings):
    def first(success, distance, nearest):
        return success & nearest.isinf()

    return attempt(model, x, y, **settings, keep=first)


@cw_l2.wrong("best forgotten")
def best_of_the_last_round(model, x, y, **settings):
    return attempt(model, x, y, **settings, forgets_best=True)


@cw_l2.wrong("search shared")
def one_outcome_for_all(model, x, y, **settings):
    def shared(state, fooled):
        return search(state, fooled.all().expand(1, len(x)))

    return attempt(model, x, y, **settings, move=shared)


@cw_l2.wrong("too far")
def grows_after_every_round(model, x, y, **settings):
    def larger(state, fooled):
        return torch.stack([state[0], state[1], 10 * state[2]])

    return attempt(model, x, y, **settings, move=larger)


@cw_l2.wrong("wrong way")
def success_of_the_last_iterate(model, x, y, **settings):
    return attempt(model, x, y, **settings, mark=lambda fooled, success, better: success)


@cw_l2.wrong("wrong way")
def success_where_it_is_nearer(model, x, y, **settings):
    return attempt(model, x, y, **settings, mark=lambda fooled, success, better: fooled | better)


@cw_l2.wrong("success remembered")
def success_of_any_round(model, x, y, **settings):
    return attempt(model, x, y, **settings, forgets_fooled=False)


@cw_l2.wrong("confidence")
def success_at_once(model, x, y, target=None, **settings):
    label = y if target is None else target

    def misread(f, logits, confidence):
        return (logits.argmax(1) == label) == (target is not None)

    return attempt(model, x, y, **settings, target=target, hit=misread)


@cw_l2.wrong("confidence")
def success_at_the_target(model, x, y, confidence=0.0, target=None, **settings):
    confidence = confidence if target is None else 0.0
    return cw_l2(model, x, y, **settings, confidence=confidence, target=target)


@cw_l2.wrong("least loss")
def keeps_the_least_loss(model, x, y, **settings):
    return attempt(model, x, y, **settings, measure=lambda distance, weighed: distance + weighed)


@cw_l2.wrong("confidence never reached")
def f_stops_at_zero(model, x, y, **settings):
    def loss(logits, label, confidence, targeted):
        return cw_loss(logits, label, 0.0, targeted)

    return attempt(model, x, y, **settings, loss=loss)


@cw_l2.wrong("class 0 for no target")
def any_target(model, x, y, target=None, **settings):
    return cw_l2(model, x, y, **settings, target=target if target is not None and target.any() else None)


@cw_l2.wrong("target unused")
def untargeted_always(model, x, y, target=None, **settings):
    return cw_l2(model, x, y, **settings)


@cw_l2.wrong("misses the target")
def leaves_the_target(model, x, y, target=None, **settings):
    return cw_l2(model, x, y if target is None else target, **settings)


@cw_l2.wrong("flat start")
def starts_at_the_border(model, x, y, **settings):
    return attempt(model, x, y, **settings, start=lambda w, x, best: torch.atanh(0.999999 * (2 * x - 1)))


@cw_l2.wrong("box")
def no_tanh_and_no_clip(model, x, y, **settings):
    return attempt(model, x, y, **settings, start=lambda w, x, best: x.clone(), image=lambda w: w)


@cw_l2.wrong("parameter gradients")
def backward_through_the_weights(model, x, y, **settings):
    def loss(logits, label, confidence, targeted):
        f = cw_loss(logits, label, confidence, targeted)
        f.sum().backward(retain_graph=True)
        return f

    return attempt(model, x, y, **settings, loss=loss)


@cw_l2.wrong("goes on")
def from_where_the_last_round_ended(model, x, y, **settings):
    return attempt(model, x, y, **settings, start=lambda w, x, best: w)


@cw_l2.wrong("goes on")
def adam_remembers(model, x, y, **settings):
    return attempt(model, x, y, **settings, new_adam=False)


@cw_l2.wrong("goes on")
def w_and_adam_before_the_loop(model, x, y, **settings):
    return attempt(model, x, y, **settings, start=lambda w, x, best: w, new_adam=False)


@cw_l2.wrong("goes on")
def from_the_best_image(model, x, y, **settings):
    return attempt(model, x, y, **settings, start=lambda w, x, best: to_w(best))


cw_l2.checks(
    *FIRST,
    stays_in_the_box,
    weighs_as_the_formula,
    asks_the_model,
    gives_up_cleanly,
    grows_until_it_fools,
    keeps_the_best,
    searches_alone,
    comes_near,
    starts_anew,
    leads_by_the_confidence,
    reaches_the_target,
    starts_at_saturated_pixels,
    *LAST,
    fools_digits,
)
