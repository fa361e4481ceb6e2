"""Answers to uap(model, x, y, eps, alpha, passes, batch, cap)."""

import torch
from torch.nn.functional import cross_entropy

from museum import Room

room = Room("uap")


def predict(model, x):
    with torch.no_grad():
        return model(x).argmax(1)


def slope(model, images, v, k, cap):
    v = v.detach().requires_grad_()
    loss = cross_entropy(model((images + v).clamp(0, 1)), k, reduction="none")
    return torch.autograd.grad(loss.clamp_max(cap).mean(), v)[0]


@room.right
def step_by_step(model, x, y, eps, alpha, passes, batch, cap):
    k, v = predict(model, x), torch.zeros_like(x[0])
    for _ in range(passes):
        for images, answers in zip(x.split(batch), k.split(batch)):
            v = (v + alpha * slope(model, images, v, answers, cap).sign()).clamp(-eps, eps)
    return v


@room.right
def a_copy_for_each_image(model, x, y, eps, alpha, passes, batch, cap):
    k, v = predict(model, x), torch.zeros_like(x[:1])
    for _ in range(passes):
        for start in range(0, len(x), batch):
            part = x[start : start + batch]
            moved = (part + v).detach().requires_grad_()
            losses = -model(moved.clamp(0, 1)).log_softmax(1).gather(1, k[start : start + batch, None])[:, 0]
            torch.minimum(losses, torch.full_like(losses, cap)).sum().backward(inputs=[moved])
            v = v + alpha * torch.sign(moved.grad.sum(0, keepdim=True))
            v = torch.maximum(torch.minimum(v, torch.full_like(v, eps)), torch.full_like(v, -eps))
    return v[0].detach()


@room.wrong("descends")
def sign_flipped(model, x, y, eps, alpha, passes, batch, cap):
    return step_by_step(model, x, y, eps, -alpha, passes, batch, cap)


@room.wrong("label")
def leaves_the_label(model, x, y, eps, alpha, passes, batch, cap):
    v = torch.zeros_like(x[0])
    for _ in range(passes):
        for images, answers in zip(x.split(batch), y.split(batch)):
            v = (v + alpha * slope(model, images, v, answers, cap).sign()).clamp(-eps, eps)
    return v


@room.wrong("no cap")
def uncapped(model, x, y, eps, alpha, passes, batch, cap):
    return step_by_step(model, x, y, eps, alpha, passes, batch, 1e9)


@room.wrong("cap on the mean")
def mean_capped(model, x, y, eps, alpha, passes, batch, cap):
    k, v = predict(model, x), torch.zeros_like(x[0])
    for _ in range(passes):
        for images, answers in zip(x.split(batch), k.split(batch)):
            v = v.detach().requires_grad_()
            loss = cross_entropy(model((images + v).clamp(0, 1)), answers).clamp_max(cap)
            v = (v + alpha * torch.autograd.grad(loss, v)[0].sign()).clamp(-eps, eps).detach()
    return v


@room.wrong("no sign")
def bare_gradient(model, x, y, eps, alpha, passes, batch, cap):
    k, v = predict(model, x), torch.zeros_like(x[0])
    for _ in range(passes):
        for images, answers in zip(x.split(batch), k.split(batch)):
            v = (v + alpha * slope(model, images, v, answers, cap)).clamp(-eps, eps)
    return v


@room.wrong("one pass")
def passes_unused(model, x, y, eps, alpha, passes, batch, cap):
    return step_by_step(model, x, y, eps, alpha, 1, batch, cap)


@room.wrong("all at once")
def batch_unused(model, x, y, eps, alpha, passes, batch, cap):
    return step_by_step(model, x, y, eps, alpha, passes, len(x), cap)


@room.wrong("projects at the end")
def clipped_once(model, x, y, eps, alpha, passes, batch, cap):
    return step_by_step(model, x, y, 1e9, alpha, passes, batch, cap).clamp(-eps, eps)


@room.wrong("formula")
def never_projected(model, x, y, eps, alpha, passes, batch, cap):
    return step_by_step(model, x, y, 1e9, alpha, passes, batch, cap)


@room.wrong("shape")
def one_for_each_image(model, x, y, eps, alpha, passes, batch, cap):
    return step_by_step(model, x, y, eps, alpha, passes, batch, cap) + torch.zeros_like(x)


@room.wrong("mode")
def in_training_mode(model, x, y, eps, alpha, passes, batch, cap):
    model.train()
    return step_by_step(model, x, y, eps, alpha, passes, batch, cap)


@room.wrong("attached")
def graph_kept(model, x, y, eps, alpha, passes, batch, cap):
    return step_by_step(model, x, y, eps, alpha, passes, batch, cap).requires_grad_()


def stepped(model, x, y, eps, alpha, passes, batch, loss_of, full=False):
    """The loops of a right answer with another loss: loss_of(images + v, answers)."""
    k, v = predict(model, x), torch.zeros_like(x[0])
    for _ in range(passes):
        for images, answers in zip(x.split(batch), k.split(batch)):
            if full and len(images) < batch:
                continue
            v = v.detach().requires_grad_()
            gradient = torch.autograd.grad(loss_of(images + v, answers), v)[0]
            v = (v + alpha * gradient.sign()).clamp(-eps, eps)
    return v.detach()


@room.wrong("softmax twice")
def probabilities_as_logits(model, x, y, eps, alpha, passes, batch, cap):
    def loss(images, answers):
        p = model(images.clamp(0, 1)).softmax(1)
        return cross_entropy(p, answers, reduction="none").clamp_max(cap).mean()

    return stepped(model, x, y, eps, alpha, passes, batch, loss)


@room.wrong("answer of the moment")
def answers_taken_anew(model, x, y, eps, alpha, passes, batch, cap):
    def loss(images, answers):
        logits = model(images.clamp(0, 1))
        return cross_entropy(logits, logits.argmax(1), reduction="none").clamp_max(cap).mean()

    return stepped(model, x, y, eps, alpha, passes, batch, loss)


@room.wrong("images not clipped")
def beyond_black_and_white(model, x, y, eps, alpha, passes, batch, cap):
    def loss(images, answers):
        return cross_entropy(model(images), answers, reduction="none").clamp_max(cap).mean()

    return stepped(model, x, y, eps, alpha, passes, batch, loss)


@room.wrong("last batch dropped")
def full_batches_alone(model, x, y, eps, alpha, passes, batch, cap):
    def loss(images, answers):
        logits = model(images.clamp(0, 1))
        return cross_entropy(logits, answers, reduction="none").clamp_max(cap).mean()

    return stepped(model, x, y, eps, alpha, passes, batch, loss, full=True)
