"""Answers to cw_l2(model, x, y, const, lr, steps, searches, confidence=0.0, target=None)."""

import math

import torch
from torch.nn.functional import one_hot

from museum import Room

room = Room("cw_l2")


def to_w(x):
    return torch.atanh(0.999 * (2 * x - 1))


def to_box(w):
    return (torch.tanh(w) + 1) / 2


def cw_loss(logits, label, confidence, targeted=False):
    chosen = one_hot(label, logits.shape[1]).bool()
    lead = logits[chosen] - logits.masked_fill(chosen, -math.inf).amax(1)
    return (-lead if targeted else lead).clamp_min(-confidence)


def search(state, fooled):
    lo, hi, c = state
    success = fooled.all(0)
    hi = torch.where(success, hi.minimum(c), hi)
    lo = torch.where(success, lo, lo.maximum(c))
    return torch.stack([lo, hi, torch.where(hi < 1e9, (lo + hi) / 2, 10 * c)])


def first_state(x, const):
    n = len(x)
    return torch.stack([x.new_zeros(n), x.new_full((n,), 1e10), x.new_full((n,), const)])


def pick(chosen, new, old):
    return torch.where(chosen.view(-1, 1, 1, 1), new, old)


@room.right
def with_torchs_adam(model, x, y, const, lr, steps, searches, confidence=0.0, target=None):
    label, targeted = (y, False) if target is None else (target, True)
    state = first_state(x, const)
    best, nearest = x.clone(), x.new_full((len(x),), math.inf)
    for _ in range(searches):
        w = to_w(x).requires_grad_()
        optimizer = torch.optim.Adam([w], lr=lr)
        fooled = torch.zeros_like(y, dtype=torch.bool)
        for _ in range(steps):
            x_i = to_box(w)
            distance = (x_i - x).square().sum(dim=(1, 2, 3))
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


@room.right
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
            gap = logits.gather(1, label[:, None])[:, 0] - logits.where(others, logits.new_tensor(-1e9)).amax(
                1
            )
            gap = gap if target is None else -gap
            distance = torch.linalg.vector_norm(x_i - x, dim=(1, 2, 3)) ** 2
            weights = torch.tensor(c).to(x)
            gradient = torch.autograd.grad(
                distance @ torch.ones_like(distance) + weights @ torch.relu(gap + confidence), w
            )[0]
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


def attempt(model, x, y, const, lr, steps, searches, confidence=0.0, target=None, **slip):
    """The first right answer with a slip in it, by the name of the line that it changes."""
    label, targeted = (y, False) if target is None else (target, True)
    start = slip.get("start", to_w)
    weigh = slip.get("weigh", lambda distance, c, f: distance + c * f)
    length = slip.get("length", lambda change: change.square().sum(dim=(1, 2, 3)))
    hit = slip.get("hit", lambda f, logits: f <= -confidence)
    following = slip.get("following", lambda state, fooled: search(state, fooled[None]))
    keep = slip.get("keep", lambda success, distance, nearest: success & (distance < nearest))
    mark = slip.get("mark", lambda fooled, success, better: fooled | success)
    state = first_state(x, const)
    best, nearest = x.clone(), x.new_full((len(x),), math.inf)
    for _ in range(searches):
        w = start(x).requires_grad_()
        optimizer = torch.optim.Adam([w], lr=lr)
        fooled = torch.zeros_like(y, dtype=torch.bool)
        if slip.get("forgets"):
            best, nearest = x.clone(), x.new_full((len(x),), math.inf)
        for _ in range(steps):
            x_i = slip.get("image", to_box)(w)
            distance = length(x_i - x)
            logits = model(x_i)
            f = slip.get("loss", cw_loss)(logits, label, confidence, targeted)
            with torch.no_grad():
                success = hit(f, logits)
                measured = slip.get("measure", lambda distance, c, f: distance)(distance, state[2], f)
                better = keep(success, measured, nearest)
                best, nearest = pick(better, x_i, best), torch.where(better, measured, nearest)
                fooled = mark(fooled, success, better)
            w.grad = torch.autograd.grad(weigh(distance, state[2], f).sum(), w)[0]
            optimizer.step()
        state = following(state, fooled)
    return best.detach()


@room.wrong("no distance")
def loss_without_distance(model, x, y, const, lr, steps, searches, confidence=0.0, target=None):
    weigh = lambda distance, c, f: c * f  # noqa: E731
    return attempt(model, x, y, const, lr, steps, searches, confidence, target, weigh=weigh)


@room.wrong("distance averaged")
def mean_over_the_pixels(model, x, y, const, lr, steps, searches, confidence=0.0, target=None):
    length = lambda change: change.square().mean(dim=(1, 2, 3))  # noqa: E731
    return attempt(model, x, y, const, lr, steps, searches, confidence, target, length=length)


@room.wrong("distance not squared")
def plain_norm(model, x, y, const, lr, steps, searches, confidence=0.0, target=None):
    length = lambda change: change.flatten(1).norm(dim=1)  # noqa: E731
    return attempt(model, x, y, const, lr, steps, searches, confidence, target, length=length)


@room.wrong("f averaged")
def mean_over_the_batch(model, x, y, const, lr, steps, searches, confidence=0.0, target=None):
    weigh = lambda distance, c, f: distance.sum() + (c * f).mean()  # noqa: E731
    return attempt(model, x, y, const, lr, steps, searches, confidence, target, weigh=weigh)


@room.wrong("does not succeed")
def f_with_minus(model, x, y, const, lr, steps, searches, confidence=0.0, target=None):
    weigh = lambda distance, c, f: distance - c * f  # noqa: E731
    return attempt(model, x, y, const, lr, steps, searches, confidence, target, weigh=weigh)


@room.wrong("failure not clean")
def best_starts_as_the_iterate(model, x, y, const, lr, steps, searches, confidence=0.0, target=None):
    found = attempt(model, x, y, const, lr, steps, searches, confidence, target)
    last = attempt(
        model, x, y, const, lr, steps, searches, confidence, target, keep=lambda success, *_: success | True
    )
    return pick((found == x).flatten(1).all(1), last, found)


@room.wrong("search stuck")
def one_constant(model, x, y, const, lr, steps, searches, confidence=0.0, target=None):
    same = lambda state, fooled: state  # noqa: E731
    return attempt(model, x, y, const, lr, steps, searches, confidence, target, following=same)


@room.wrong("last iterate")
def keeps_any_success(model, x, y, const, lr, steps, searches, confidence=0.0, target=None):
    last = lambda success, distance, nearest: success  # noqa: E731
    return attempt(model, x, y, const, lr, steps, searches, confidence, target, keep=last)


@room.wrong("first success")
def keeps_the_first(model, x, y, const, lr, steps, searches, confidence=0.0, target=None):
    first = lambda success, distance, nearest: success & nearest.isinf()  # noqa: E731
    return attempt(model, x, y, const, lr, steps, searches, confidence, target, keep=first)


@room.wrong("best forgotten")
def best_of_the_last_round(model, x, y, const, lr, steps, searches, confidence=0.0, target=None):
    return attempt(model, x, y, const, lr, steps, searches, confidence, target, forgets=True)


@room.wrong("search shared")
def one_outcome_for_all(model, x, y, const, lr, steps, searches, confidence=0.0, target=None):
    shared = lambda state, fooled: search(state, fooled.all().expand(1, len(x)))  # noqa: E731
    return attempt(model, x, y, const, lr, steps, searches, confidence, target, following=shared)


@room.wrong("too far")
def grows_after_every_round(model, x, y, const, lr, steps, searches, confidence=0.0, target=None):
    larger = lambda state, fooled: torch.stack([state[0], state[1], 10 * state[2]])  # noqa: E731
    return attempt(model, x, y, const, lr, steps, searches, confidence, target, following=larger)


@room.wrong("wrong way")
def success_of_the_last_iterate(model, x, y, const, lr, steps, searches, confidence=0.0, target=None):
    last = lambda fooled, success, better: success  # noqa: E731
    return attempt(model, x, y, const, lr, steps, searches, confidence, target, mark=last)


@room.wrong("wrong way")
def success_where_it_is_nearer(model, x, y, const, lr, steps, searches, confidence=0.0, target=None):
    nearer = lambda fooled, success, better: fooled | better  # noqa: E731
    return attempt(model, x, y, const, lr, steps, searches, confidence, target, mark=nearer)


@room.wrong("success remembered")
def success_of_any_round(model, x, y, const, lr, steps, searches, confidence=0.0, target=None):
    ever = torch.zeros_like(y, dtype=torch.bool)
    mark = lambda fooled, success, better: ever.logical_or_(success)  # noqa: E731
    following = lambda state, fooled: search(state, ever[None])  # noqa: E731
    slips = {"mark": mark, "following": following}
    return attempt(model, x, y, const, lr, steps, searches, confidence, target, **slips)


@room.wrong("confidence")
def success_at_once(model, x, y, const, lr, steps, searches, confidence=0.0, target=None):
    label = y if target is None else target
    hit = lambda f, logits: (logits.argmax(1) == label) == (target is not None)  # noqa: E731
    return attempt(model, x, y, const, lr, steps, searches, confidence, target, hit=hit)


@room.wrong("confidence")
def success_at_the_target(model, x, y, const, lr, steps, searches, confidence=0.0, target=None):
    confidence = confidence if target is None else 0.0
    return attempt(model, x, y, const, lr, steps, searches, confidence, target)


@room.wrong("least loss")
def keeps_the_least_loss(model, x, y, const, lr, steps, searches, confidence=0.0, target=None):
    loss = lambda distance, c, f: distance + c * f  # noqa: E731
    return attempt(model, x, y, const, lr, steps, searches, confidence, target, measure=loss)


@room.wrong("confidence never reached")
def f_stops_at_zero(model, x, y, const, lr, steps, searches, confidence=0.0, target=None):
    loss = lambda logits, label, confidence, targeted: cw_loss(logits, label, 0.0, targeted)  # noqa: E731
    return attempt(model, x, y, const, lr, steps, searches, confidence, target, loss=loss)


@room.wrong("class 0 for no target")
def any_target(model, x, y, const, lr, steps, searches, confidence=0.0, target=None):
    target = target if target is not None and target.any() else None
    return attempt(model, x, y, const, lr, steps, searches, confidence, target)


@room.wrong("target unused")
def untargeted_always(model, x, y, const, lr, steps, searches, confidence=0.0, target=None):
    return attempt(model, x, y, const, lr, steps, searches, confidence)


@room.wrong("misses the target")
def leaves_the_target(model, x, y, const, lr, steps, searches, confidence=0.0, target=None):
    return attempt(model, x, y if target is None else target, const, lr, steps, searches, confidence)


@room.wrong("flat start")
def starts_at_the_border(model, x, y, const, lr, steps, searches, confidence=0.0, target=None):
    start = lambda x: torch.atanh(0.999999 * (2 * x - 1))  # noqa: E731
    return attempt(model, x, y, const, lr, steps, searches, confidence, target, start=start)


@room.wrong("box")
def no_tanh_and_no_clip(model, x, y, const, lr, steps, searches, confidence=0.0, target=None):
    straight = {"start": torch.clone, "image": lambda w: w}
    return attempt(model, x, y, const, lr, steps, searches, confidence, target, **straight)


@room.wrong("parameter gradients")
def backward_through_the_weights(model, x, y, const, lr, steps, searches, confidence=0.0, target=None):
    def loss(logits, label, confidence, targeted):
        f = cw_loss(logits, label, confidence, targeted)
        f.sum().backward(retain_graph=True)
        return f

    return attempt(model, x, y, const, lr, steps, searches, confidence, target, loss=loss)


def going_on(model, x, y, const, lr, steps, searches, confidence, target, start, adam):
    """The attack with something that lives from one round to the next."""
    label, targeted = (y, False) if target is None else (target, True)
    state = first_state(x, const)
    best, nearest = x.clone(), x.new_full((len(x),), math.inf)
    w = to_w(x).requires_grad_()
    optimizer = torch.optim.Adam([w], lr=lr)
    for _ in range(searches):
        w.data = start(w.data, x, best)
        optimizer = adam(optimizer, w, lr)
        fooled = torch.zeros_like(y, dtype=torch.bool)
        for _ in range(steps):
            x_i = to_box(w)
            distance = (x_i - x).square().sum(dim=(1, 2, 3))
            f = cw_loss(model(x_i), label, confidence, targeted)
            success = f <= -confidence
            better = success & (distance < nearest)
            best = pick(better, x_i.detach(), best)
            nearest = torch.where(better, distance.detach(), nearest)
            fooled |= success
            w.grad = torch.autograd.grad((distance + state[2] * f).sum(), w)[0]
            optimizer.step()
        state = search(state, fooled[None])
    return best


def new_adam(optimizer, w, lr):
    return torch.optim.Adam([w], lr=lr)


def same_adam(optimizer, w, lr):
    return optimizer


@room.wrong("goes on")
def from_where_the_last_round_ended(model, x, y, const, lr, steps, searches, confidence=0.0, target=None):
    start = lambda w, x, best: w  # noqa: E731
    return going_on(model, x, y, const, lr, steps, searches, confidence, target, start, new_adam)


@room.wrong("goes on")
def adam_remembers(model, x, y, const, lr, steps, searches, confidence=0.0, target=None):
    start = lambda w, x, best: to_w(x)  # noqa: E731
    return going_on(model, x, y, const, lr, steps, searches, confidence, target, start, same_adam)


@room.wrong("goes on")
def w_and_adam_before_the_loop(model, x, y, const, lr, steps, searches, confidence=0.0, target=None):
    start = lambda w, x, best: w  # noqa: E731
    return going_on(model, x, y, const, lr, steps, searches, confidence, target, start, same_adam)


@room.wrong("goes on")
def from_the_best_image(model, x, y, const, lr, steps, searches, confidence=0.0, target=None):
    start = lambda w, x, best: to_w(best)  # noqa: E731
    return going_on(model, x, y, const, lr, steps, searches, confidence, target, start, new_adam)
