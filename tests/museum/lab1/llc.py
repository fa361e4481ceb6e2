"""Answers to llc(model, x, eps)."""

import torch
import torch.nn.functional as F

from museum import Room

room = Room("llc")


@room.right
def with_grad(model, x, eps):
    x_in = x.clone().requires_grad_()
    logits = model(x_in)
    gradient = torch.autograd.grad(F.cross_entropy(logits, logits.argmin(1)), x_in)[0]
    return (x - eps * gradient.sign()).clamp(0, 1)


@room.right
def climbs_the_log_probability(model, x, eps):
    with torch.no_grad():
        target = torch.topk(model(x), 1, largest=False).indices
    x_adv = x.detach().clone()
    x_adv.requires_grad = True
    score = model(x_adv).log_softmax(dim=-1).gather(1, target).sum()
    score.backward(inputs=[x_adv])
    with torch.no_grad():
        return torch.clip(x + eps * torch.sign(x_adv.grad), min=0.0, max=1.0)


@room.wrong("moves away")
def sign_flipped(model, x, eps):
    target = model(x).argmin(1)
    x_in = x.clone().requires_grad_()
    gradient = torch.autograd.grad(F.cross_entropy(model(x_in), target), x_in)[0]
    return (x + eps * gradient.sign()).clamp(0, 1)


@room.wrong("most likely")
def largest_logit(model, x, eps):
    target = model(x).argmax(1)
    x_in = x.clone().requires_grad_()
    gradient = torch.autograd.grad(F.cross_entropy(model(x_in), target), x_in)[0]
    return (x - eps * gradient.sign()).clamp(0, 1)


@room.wrong("no target")
def fgsm_again(model, x, eps):
    y = model(x).argmax(1)
    x_in = x.clone().requires_grad_()
    gradient = torch.autograd.grad(F.cross_entropy(model(x_in), y), x_in)[0]
    return (x + eps * gradient.sign()).clamp(0, 1)


@room.wrong("box")
def not_clipped(model, x, eps):
    target = model(x).argmin(1)
    x_in = x.clone().requires_grad_()
    gradient = torch.autograd.grad(F.cross_entropy(model(x_in), target), x_in)[0]
    return x - eps * gradient.sign()


@room.wrong("mixes images")
def one_target_for_all(model, x, eps):
    target = model(x).sum(0).argmin().repeat(len(x))
    x_in = x.clone().requires_grad_()
    gradient = torch.autograd.grad(F.cross_entropy(model(x_in), target), x_in)[0]
    return (x - eps * gradient.sign()).clamp(0, 1)


@room.wrong("class 0")
def class_zero(model, x, eps):
    target = torch.zeros(len(x), dtype=torch.long, device=x.device)
    x_in = x.clone().requires_grad_()
    gradient = torch.autograd.grad(F.cross_entropy(model(x_in), target), x_in)[0]
    return (x - eps * gradient.sign()).clamp(0, 1)


@room.wrong("crash")
def argmin_over_the_batch(model, x, eps):
    target = model(x).argmin(0)
    x_in = x.clone().requires_grad_()
    gradient = torch.autograd.grad(F.cross_entropy(model(x_in), target), x_in)[0]
    return (x - eps * gradient.sign()).clamp(0, 1)


@room.wrong("parameter gradients")
def backward_through_the_weights(model, x, eps):
    x_in = x.clone().requires_grad_()
    logits = model(x_in)
    F.cross_entropy(logits, logits.argmin(1)).backward()
    return (x - eps * x_in.grad.sign()).clamp(0, 1)


@room.wrong("clean image")
def gradient_of_nothing(model, x, eps):
    return x + 0 * eps


@room.wrong("saturated")
def climbs_the_probability(model, x, eps):
    target = model(x).argmin(1)
    x_in = x.clone().requires_grad_()
    p = model(x_in).softmax(1).gather(1, target[:, None])
    return (x + eps * torch.autograd.grad(p.sum(), x_in)[0].sign()).clamp(0, 1)


@room.wrong("softmax twice")
def probabilities_to_cross_entropy(model, x, eps):
    x_in = x.clone().requires_grad_()
    p = model(x_in).softmax(1)
    gradient = torch.autograd.grad(F.cross_entropy(p, p.argmin(1)), x_in)[0]
    return (x - eps * gradient.sign()).clamp(0, 1)


@room.wrong("logits for log-probabilities")
def climbs_the_smallest_logit(model, x, eps):
    x_in = x.clone().requires_grad_()
    gradient = torch.autograd.grad(model(x_in).min(1)[0].sum(), x_in)[0]
    return (x + eps * gradient.sign()).clamp(0, 1)


@room.wrong("perturbation")
def returns_the_change(model, x, eps):
    x_in = x.clone().requires_grad_()
    logits = model(x_in)
    return -eps * torch.autograd.grad(F.cross_entropy(logits, logits.argmin(1)), x_in)[0].sign()


@room.wrong("margin")
def against_the_likeliest(model, x, eps):
    x_in = x.clone().requires_grad_()
    logits = model(x_in)
    lead = logits.amin(1) - logits.amax(1)
    return (x + eps * torch.autograd.grad(lead.sum(), x_in)[0].sign()).clamp(0, 1)


@room.wrong("other type")
def noughts_of_float32(model, x, eps):
    delta = torch.zeros(x.shape).requires_grad_()
    logits = model((x + delta).float())
    gradient = torch.autograd.grad(F.cross_entropy(logits, logits.argmin(1)), delta)[0]
    return (x - eps * gradient.sign()).clamp(0, 1)


def towards(model, x, eps, target):
    x_in = x.clone().requires_grad_()
    gradient = torch.autograd.grad(F.cross_entropy(model(x_in), target), x_in)[0]
    return (x - eps * gradient.sign()).clamp(0, 1)


@room.wrong("least probable")
def smallest_probability(model, x, eps):
    return towards(model, x, eps, model(x).softmax(1).argmin(1))


@room.wrong("formula")
def second_most_likely(model, x, eps):
    return towards(model, x, eps, model(x).topk(2).indices[:, 1])
