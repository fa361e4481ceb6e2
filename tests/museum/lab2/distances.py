"""Answers to distances(logits, gradients, norm)."""

import torch

from museum import Room
from museum.lab2 import given

room = Room("distances")


@room.right
def all_at_once(logits, gradients, norm):
    return given.distances(logits, gradients, norm)


@room.right
def image_by_image(logits, gradients, norm):
    result = torch.zeros_like(logits)
    for n, (z, g) in enumerate(zip(logits, gradients)):
        top = int(z.argmax())
        for k in range(len(z)):
            w = (g[top] - g[k]).reshape(-1)
            below = w.pow(2).sum().sqrt() if norm == "L2" else w.abs().sum()
            result[n, k] = (z[top] - z[k]) / below if k != top else float("inf")
    return result


@room.right
def with_gather(logits, gradients, norm):
    top = logits.topk(1).indices
    flat = gradients.reshape(*logits.shape, -1)
    w = flat - flat.gather(1, top[:, :, None].expand(-1, -1, flat.shape[2]))
    order = {"L2": 2, "Linf": 1}[norm]
    far = (logits.amax(1, keepdim=True) - logits) / torch.linalg.vector_norm(w, order, dim=-1)
    return far.scatter(1, top, torch.inf)


def parts(logits, gradients):
    k0, rows = logits.argmax(1), torch.arange(len(logits))
    f = logits - logits[rows, k0][:, None]
    w = (gradients - gradients[rows, k0][:, None]).flatten(2)
    return f, w, rows, k0


def closed(far, rows, k0):
    far[rows, k0] = torch.inf
    return far


def order(norm):
    return 2 if norm == "L2" else 1


@room.wrong("norm squared")
def factor_of_the_step(logits, gradients, norm):
    f, w, rows, k0 = parts(logits, gradients)
    return closed(f.abs() / w.norm(p=order(norm), dim=2) ** 2, rows, k0)


@room.wrong("logits alone")
def difference_of_logits(logits, gradients, norm):
    f, w, rows, k0 = parts(logits, gradients)
    return closed(f.abs(), rows, k0)


@room.wrong("gradient of one class")
def own_gradients(logits, gradients, norm):
    f, w, rows, k0 = parts(logits, gradients)
    return closed(f.abs() / gradients.flatten(2).norm(p=order(norm), dim=2), rows, k0)


@room.wrong("logit of one class")
def own_logits(logits, gradients, norm):
    f, w, rows, k0 = parts(logits, gradients)
    return closed(logits.abs() / w.norm(p=order(norm), dim=2), rows, k0)


@room.wrong("negative")
def sign_kept(logits, gradients, norm):
    f, w, rows, k0 = parts(logits, gradients)
    return closed(f / w.norm(p=order(norm), dim=2), rows, k0)


@room.wrong("own class")
def own_class_at_distance_zero(logits, gradients, norm):
    f, w, rows, k0 = parts(logits, gradients)
    return f.abs() / w.norm(p=order(norm), dim=2).clamp_min(1e-12)


@room.wrong("not a number")
def own_class_not_a_number(logits, gradients, norm):
    f, w, rows, k0 = parts(logits, gradients)
    return f.abs() / w.norm(p=order(norm), dim=2)


@room.wrong("not the dual norm")
def largest_entry(logits, gradients, norm):
    f, w, rows, k0 = parts(logits, gradients)
    return closed(f.abs() / w.norm(p=2 if norm == "L2" else torch.inf, dim=2), rows, k0)


@room.wrong("norm unused")
def always_l2(logits, gradients, norm):
    f, w, rows, k0 = parts(logits, gradients)
    return closed(f.abs() / w.norm(dim=2), rows, k0)


@room.wrong("shape")
def nearest_alone(logits, gradients, norm):
    return given.distances(logits, gradients, norm).amin(1)


@room.wrong("formula")
def one_class_for_all(logits, gradients, norm):
    k0 = int(logits.sum(0).argmax())
    w = (gradients - gradients[:, k0 : k0 + 1]).flatten(2)
    far = (logits - logits[:, k0 : k0 + 1]).abs() / w.norm(p=order(norm), dim=2)
    far[:, k0] = torch.inf
    return far


@room.wrong("input")
def in_place(logits, gradients, norm):
    k0, rows = logits.argmax(1), torch.arange(len(logits))
    gradients -= gradients[rows, k0][:, None].clone()
    far = (logits - logits[rows, k0][:, None]).abs() / gradients.flatten(2).norm(p=order(norm), dim=2)
    return closed(far, rows, k0)


@room.wrong("faint gradients")
def a_little_added_to_the_norm(logits, gradients, norm):
    f, w, rows, k0 = parts(logits, gradients)
    return closed(f.abs() / (w.norm(p=order(norm), dim=2) + 1e-5), rows, k0)


@room.wrong("formula")
def a_large_number_for_infinity(logits, gradients, norm):
    return given.distances(logits, gradients, norm).nan_to_num(posinf=1e6)
