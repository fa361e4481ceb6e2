"""Answers to shortest_step(logits, gradients, norm)."""

import torch

from museum import Room
from museum.lab2 import given

room = Room("shortest_step")


@room.right
def length_times_direction(logits, gradients, norm):
    return given.shortest_step(logits, gradients, norm)


@room.right
def the_papers_formula(logits, gradients, norm):
    steps = []
    for z, g, far in zip(logits, gradients, given.distances(logits, gradients, norm)):
        k0, l = int(z.argmax()), int(far.argmin())
        w, f = g[l] - g[k0], abs(float(z[l] - z[k0]))
        steps.append(f / w.square().sum() * w if norm == "L2" else f / w.abs().sum() * w.sign())
    return torch.stack(steps)


def parts(logits, gradients, norm):
    k0, rows = logits.argmax(1), torch.arange(len(logits))
    l = given.distances(logits, gradients, norm).argmin(1)
    return (logits[rows, l] - logits[rows, k0]).view(-1, 1, 1, 1), gradients[rows, l] - gradients[rows, k0]


def norms(w, p):
    return w.flatten(1).norm(p=p, dim=1).view(-1, 1, 1, 1)


def along(f, w, norm):
    return f.abs() * (w / norms(w, 2) ** 2 if norm == "L2" else w.sign() / norms(w, 1))


@room.wrong("norm not squared")
def one_norm_short(logits, gradients, norm):
    f, w = parts(logits, gradients, norm)
    return f.abs() * (w / norms(w, 2) if norm == "L2" else w.sign() / norms(w, 1))


@room.wrong("wrong way")
def sign_of_f_kept(logits, gradients, norm):
    f, w = parts(logits, gradients, norm)
    return f.sign() * along(f, w, norm)


def towards(l, logits, gradients, norm):
    k0, rows = logits.argmax(1), torch.arange(len(logits))
    f = (logits[rows, l] - logits[rows, k0]).view(-1, 1, 1, 1)
    return along(f, gradients[rows, l] - gradients[rows, k0], norm)


@room.wrong("smallest |f|")
def second_largest_logit(logits, gradients, norm):
    return towards(logits.topk(2).indices[:, 1], logits, gradients, norm)


@room.wrong("farthest")
def largest_distance(logits, gradients, norm):
    far = given.distances(logits, gradients, norm)
    return towards(far.masked_fill(far.isinf(), 0).argmax(1), logits, gradients, norm)


@room.wrong("no step")
def own_class_chosen(logits, gradients, norm):
    far = given.distances(logits, gradients, norm)
    l = far.masked_fill(far.isinf(), 0).argmin(1)
    k0, rows = logits.argmax(1), torch.arange(len(logits))
    f, w = (logits[rows, l] - logits[rows, k0]).view(-1, 1, 1, 1), gradients[rows, l] - gradients[rows, k0]
    return f.abs() * w / norms(w, 2).clamp_min(1e-12)


@room.wrong("gradient of one class")
def gradient_of_l(logits, gradients, norm):
    rows = torch.arange(len(logits))
    f, w = parts(logits, gradients, norm)
    return along(f, gradients[rows, given.distances(logits, gradients, norm).argmin(1)], norm)


@room.wrong("unit step")
def direction_alone(logits, gradients, norm):
    f, w = parts(logits, gradients, norm)
    return w / norms(w, 2)


@room.wrong("norm unused")
def always_l2(logits, gradients, norm):
    return given.shortest_step(logits, gradients, "L2")


@room.wrong("no sign")
def multiple_of_w(logits, gradients, norm):
    f, w = parts(logits, gradients, norm)
    return f.abs() * (w / norms(w, 2) ** 2 if norm == "L2" else w / norms(w, 1))


@room.wrong("not the dual norm")
def largest_entry(logits, gradients, norm):
    f, w = parts(logits, gradients, norm)
    return f.abs() * (w / norms(w, 2) ** 2 if norm == "L2" else w.sign() / norms(w, torch.inf))


@room.wrong("norm squared for Linf")
def squared_for_both(logits, gradients, norm):
    f, w = parts(logits, gradients, norm)
    return f.abs() * (w / norms(w, 2) ** 2 if norm == "L2" else w.sign() / norms(w, 1) ** 2)


@room.wrong("formula")
def one_norm_for_the_batch(logits, gradients, norm):
    f, w = parts(logits, gradients, norm)
    return f.abs() * (w / w.square().sum() if norm == "L2" else w.sign() / w.abs().sum())


@room.wrong("shape")
def to_every_class(logits, gradients, norm):
    w = gradients - gradients[torch.arange(len(logits)), logits.argmax(1)][:, None]
    return w / w.flatten(2).norm(dim=2).clamp_min(1e-12)[..., None, None, None]


@room.wrong("class of L2")
def nearest_in_l2(logits, gradients, norm):
    return towards(given.distances(logits, gradients, "L2").argmin(1), logits, gradients, norm)


@room.wrong("class of Linf")
def nearest_in_linf(logits, gradients, norm):
    return towards(given.distances(logits, gradients, "Linf").argmin(1), logits, gradients, norm)


@room.wrong("faint gradients")
def a_little_added_below_the_line(logits, gradients, norm):
    f, w = parts(logits, gradients, norm)
    return f.abs() * (w / (norms(w, 2) ** 2 + 1e-6) if norm == "L2" else w.sign() / (norms(w, 1) + 1e-6))
