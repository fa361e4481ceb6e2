"""Answers to deepfool(model, x, y, steps, overshoot, norm)."""

import torch

from museum import Room
from museum.lab2.given import distances, jacobian, shortest_step

room = Room("deepfool")


def wide(mask):
    return mask.view(-1, 1, 1, 1)


def predict(model, x):
    with torch.no_grad():
        return model(x).argmax(1)


def kept(model, x_i, x, k0):
    return torch.where(wide(predict(model, x_i) != k0), x_i, x)


@room.right
def masked(model, x, y, steps, overshoot, norm):
    k0 = predict(model, x)
    x_i, total = x.clone(), torch.zeros_like(x)
    for _ in range(steps):
        logits, gradients = jacobian(model, x_i)
        going = logits.argmax(1) == k0
        total = total + torch.where(wide(going), shortest_step(logits, gradients, norm), 0)
        x_i = x + (1 + overshoot) * total
    return kept(model, x_i, x, k0)


@room.right
def active_images_alone(model, x, y, steps, overshoot, norm):
    k0 = predict(model, x)
    result, total = x.clone(), torch.zeros_like(x)
    active, x_i = torch.arange(len(x), device=x.device), x.clone()
    for _ in range(steps):
        if len(active) == 0:
            break
        total[active] += shortest_step(*jacobian(model, x_i[active]), norm)
        x_i[active] = x[active] + (1 + overshoot) * total[active]
        fooled = predict(model, x_i[active]) != k0[active]
        result[active[fooled]] = x_i[active[fooled]]
        active = active[~fooled]
    return result


@room.right
def image_by_image(model, x, y, steps, overshoot, norm):
    results = []
    for one in x.split(1):
        k0, total, here = predict(model, one), torch.zeros_like(one), one
        for _ in range(steps):
            if predict(model, here) != k0:
                break
            total += shortest_step(*jacobian(model, here), norm)
            here = one + total + overshoot * total
        results.append(here if predict(model, here) != k0 else one)
    return torch.cat(results)


@room.wrong("label")
def leaves_the_label(model, x, y, steps, overshoot, norm):
    x_i, total = x.clone(), torch.zeros_like(x)
    for _ in range(steps):
        logits, gradients = jacobian(model, x_i)
        going = logits.argmax(1) == y
        total = total + torch.where(wide(going), shortest_step(logits, gradients, norm), 0)
        x_i = x + (1 + overshoot) * total
    return kept(model, x_i, x, y)


@room.wrong("overshoot unused")
def to_the_boundary(model, x, y, steps, overshoot, norm):
    return masked(model, x, y, steps, 0.0, norm)


@room.wrong("overshoot compounds")
def overshoot_of_the_overshoot(model, x, y, steps, overshoot, norm):
    k0 = predict(model, x)
    x_i, delta = x.clone(), torch.zeros_like(x)
    for _ in range(steps):
        logits, gradients = jacobian(model, x_i)
        going = wide(logits.argmax(1) == k0)
        delta = torch.where(going, (delta + shortest_step(logits, gradients, norm)) * (1 + overshoot), delta)
        x_i = x + delta
    return kept(model, x_i, x, k0)


@room.wrong("returns last")
def failures_kept(model, x, y, steps, overshoot, norm):
    k0 = predict(model, x)
    x_i, total = x.clone(), torch.zeros_like(x)
    for _ in range(steps):
        logits, gradients = jacobian(model, x_i)
        going = logits.argmax(1) == k0
        total = total + torch.where(wide(going), shortest_step(logits, gradients, norm), 0)
        x_i = x + (1 + overshoot) * total
    return x_i


def from_own_class(logits, gradients, k0, norm, l=None):
    """The shortest step away from k0, though the model may predict another class; towards the nearest, or the classes `l`."""
    f, rows = logits - logits[torch.arange(len(k0)), k0][:, None], torch.arange(len(k0))
    w = gradients - gradients[rows, k0][:, None]
    far = f.abs() / w.flatten(2).norm(p=2 if norm == "L2" else 1, dim=2)
    far[rows, k0] = torch.inf
    l = far.argmin(1) if l is None else l
    far, w = far[rows, l], w[rows, l]
    return wide(far) * (w.sign() if norm == "Linf" else w / wide(w.flatten(1).norm(dim=1)))


@room.wrong("does not stop")
def every_step_for_all(model, x, y, steps, overshoot, norm):
    k0, x_i, total = predict(model, x), x.clone(), torch.zeros_like(x)
    for _ in range(steps):
        total = total + from_own_class(*jacobian(model, x_i), k0, norm)
        x_i = x + (1 + overshoot) * total
    return kept(model, x_i, x, k0)


@room.wrong("waits for all")
def until_all_are_fooled(model, x, y, steps, overshoot, norm):
    k0, x_i, total = predict(model, x), x.clone(), torch.zeros_like(x)
    for _ in range(steps):
        if (predict(model, x_i) != k0).all():
            break
        total = total + from_own_class(*jacobian(model, x_i), k0, norm)
        x_i = x + (1 + overshoot) * total
    return kept(model, x_i, x, k0)


@room.wrong("stops with the first")
def until_one_is_fooled(model, x, y, steps, overshoot, norm):
    k0, x_i, total = predict(model, x), x.clone(), torch.zeros_like(x)
    for _ in range(steps):
        if (predict(model, x_i) != k0).any():
            break
        total = total + shortest_step(*jacobian(model, x_i), norm)
        x_i = x + (1 + overshoot) * total
    return kept(model, x_i, x, k0)


@room.wrong("new class")
def class_of_the_moment(model, x, y, steps, overshoot, norm):
    x_i, total = x.clone(), torch.zeros_like(x)
    for _ in range(steps):
        total = total + shortest_step(*jacobian(model, x_i), norm)
        x_i = x + (1 + overshoot) * total
    return x_i


@room.wrong("forgets the sum")
def last_step_from_x(model, x, y, steps, overshoot, norm):
    k0, x_i = predict(model, x), x.clone()
    for _ in range(steps):
        logits, gradients = jacobian(model, x_i)
        going = wide(logits.argmax(1) == k0)
        r = shortest_step(logits, gradients, norm)
        x_i = torch.where(going, x + (1 + overshoot) * r, x_i)
    return kept(model, x_i, x, k0)


@room.wrong("norm unused")
def always_l2(model, x, y, steps, overshoot, norm):
    return masked(model, x, y, steps, overshoot, "L2")


@room.wrong("clips")
def clipped_each_step(model, x, y, steps, overshoot, norm):
    k0, x_i, total = predict(model, x), x.clone(), torch.zeros_like(x)
    for _ in range(steps):
        logits, gradients = jacobian(model, x_i)
        going = logits.argmax(1) == k0
        total = total + torch.where(wide(going), shortest_step(logits, gradients, norm), 0)
        x_i = (x + (1 + overshoot) * total).clamp(0, 1)
    return kept(model, x_i, x, k0)


@room.wrong("parameter gradients")
def backward_for_each_class(model, x, y, steps, overshoot, norm):
    k0, x_i, total = predict(model, x), x.clone(), torch.zeros_like(x)
    for _ in range(steps):
        x_i = x_i.detach().requires_grad_()
        logits, rows = model(x_i), []
        for k in range(logits.shape[1]):
            x_i.grad = None
            logits[:, k].sum().backward(retain_graph=True)
            rows.append(x_i.grad)
        going = logits.argmax(1) == k0
        r = shortest_step(logits.detach(), torch.stack(rows, 1), norm)
        total = total + torch.where(wide(going), r, 0)
        x_i = x + (1 + overshoot) * total
    return kept(model, x_i.detach(), x, k0)


@room.right
def step_upon_step(model, x, y, steps, overshoot, norm):
    k0, x_i = predict(model, x), x.clone()
    for _ in range(steps):
        logits, gradients = jacobian(model, x_i)
        going = wide(logits.argmax(1) == k0)
        x_i = x_i + (1 + overshoot) * torch.where(going, shortest_step(logits, gradients, norm), 0)
    return kept(model, x_i, x, k0)


@room.wrong("one step too few")
def counts_from_one(model, x, y, steps, overshoot, norm):
    return masked(model, x, y, len(range(1, steps)), overshoot, norm)


@room.wrong("one step too many")
def counts_to_the_end(model, x, y, steps, overshoot, norm):
    return masked(model, x, y, len(range(steps + 1)), overshoot, norm)


@room.wrong("overshoot at the end alone")
def overshoot_after_the_loop(model, x, y, steps, overshoot, norm):
    k0, x_i = predict(model, x), x.clone()
    for _ in range(steps):
        logits, gradients = jacobian(model, x_i)
        going = wide(logits.argmax(1) == k0)
        x_i = x_i + torch.where(going, shortest_step(logits, gradients, norm), 0)
    return kept(model, x + (1 + overshoot) * (x_i - x), x, k0)


@room.wrong("class of the first step")
def class_chosen_once(model, x, y, steps, overshoot, norm):
    k0, x_i, total = predict(model, x), x.clone(), torch.zeros_like(x)
    l = distances(*jacobian(model, x), norm).argmin(1)
    for _ in range(steps):
        logits, gradients = jacobian(model, x_i)
        r = from_own_class(logits, gradients, k0, norm, l)
        total = total + torch.where(wide(logits.argmax(1) == k0), r, 0)
        x_i = x + (1 + overshoot) * total
    return kept(model, x_i, x, k0)
