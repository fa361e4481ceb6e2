"""Answers to eot_gradient(model, x, y, draws)."""

import copy

import torch
from torch.nn.functional import cross_entropy, nll_loss, one_hot

from museum import Room

room = Room("eot_gradient")


def slope(model, x, y, **how):
    x = x.detach().clone().requires_grad_()
    return torch.autograd.grad(cross_entropy(model(x), y, **{"reduction": "sum", **how}), x)[0]


@room.right
def mean_of_gradients(model, x, y, draws):
    total = torch.zeros_like(x)
    for _ in range(draws):
        x_i = x.clone().requires_grad_()
        total = total + torch.autograd.grad(cross_entropy(model(x_i), y, reduction="sum"), x_i)[0]
    return total / draws


@room.right
def gradient_of_the_mean(model, x, y, draws):
    x = x.detach().clone().requires_grad_()
    loss = sum(cross_entropy(model(x), y, reduction="sum") for _ in range(draws)) / draws
    loss.backward(inputs=[x])
    return x.grad.detach()


@room.right
def mean_log_probabilities(model, x, y, draws):
    x = x.detach().clone().requires_grad_()
    log_p = torch.stack([model(x).log_softmax(1) for _ in range(draws)]).mean(0)
    return torch.autograd.grad(nll_loss(log_p, y, reduction="sum"), x)[0]


@room.right
def image_by_image(model, x, y, draws):
    rows = []
    for i in range(len(x)):
        one, label = x[i : i + 1], y[i : i + 1]
        rows.append(torch.stack([slope(model, one, label) for _ in range(draws)]).mean(0))
    return torch.cat(rows)


@room.right
def asks_for_the_answer_first(model, x, y, draws):
    model(x)
    return mean_of_gradients(model, x, y, draws)


@room.wrong("one draw")
def copies_in_one_batch(model, x, y, draws):
    copies = x.repeat(draws, 1, 1, 1)
    return slope(model, copies, y.repeat(draws)).view(draws, *x.shape).mean(0)


@room.wrong("not divided")
def added_up(model, x, y, draws):
    return sum(slope(model, x, y) for _ in range(draws))


@room.wrong("minus")
def down(model, x, y, draws):
    return -mean_of_gradients(model, x, y, draws)


@room.wrong("mean over the batch")
def mean_loss(model, x, y, draws):
    return sum(slope(model, x, y, reduction="mean") for _ in range(draws)) / draws


@room.wrong("other number of draws")
def always_ten(model, x, y, draws):
    return mean_of_gradients(model, x, y, 10)


@room.wrong("weights")
def running_mean(model, x, y, draws):
    mean = slope(model, x, y)
    for _ in range(draws - 1):
        mean = 0.9 * mean + 0.1 * slope(model, x, y)
    return mean


@room.wrong("zero")
def of_the_votes(model, x, y, draws):
    x = x.detach().clone().requires_grad_()
    answers = torch.stack([model(x).argmax(1) for _ in range(draws)])
    lost = (answers != y).to(x.dtype).mean() + 0 * x.sum()
    return torch.autograd.grad(lost, x)[0]


@room.wrong("loss of the mean logits")
def mean_logits(model, x, y, draws):
    x = x.detach().clone().requires_grad_()
    logits = sum(model(x) for _ in range(draws)) / draws
    return torch.autograd.grad(cross_entropy(logits, y, reduction="sum"), x)[0]


@room.wrong("loss of the mean probabilities")
def mean_probabilities(model, x, y, draws):
    x = x.detach().clone().requires_grad_()
    p = sum(model(x).softmax(1) for _ in range(draws)) / draws
    return torch.autograd.grad(nll_loss(p.log(), y, reduction="sum"), x)[0]


@room.wrong("mean of signs")
def signs_averaged(model, x, y, draws):
    return sum(slope(model, x, y).sign() for _ in range(draws)) / draws


@room.wrong("sign")
def sign_of_the_mean(model, x, y, draws):
    return mean_of_gradients(model, x, y, draws).sign()


@room.wrong("logit")
def of_the_labels_logit(model, x, y, draws):
    x = x.detach().clone().requires_grad_()
    own = sum(model(x).gather(1, y[:, None]).sum() for _ in range(draws)) / draws
    return torch.autograd.grad(own, x)[0]


@room.wrong("without the defense")
def classifier_alone(model, x, y, draws):
    return slope(model[-1], x, y)


@room.wrong("formula")
def at_noisy_images(model, x, y, draws):
    g = torch.Generator().manual_seed(0)
    noisy = (x + 0.1 * torch.randn(x.shape, generator=g).to(x)).clamp(0, 1)
    return mean_of_gradients(model, noisy, y, draws)


@room.wrong("crash")
def argmax_has_no_gradient(model, x, y, draws):
    x = x.detach().clone().requires_grad_()
    lost = sum((model(x).argmax(1) != y).to(x.dtype).sum() for _ in range(draws))
    return torch.autograd.grad(lost, x)[0]


@room.wrong("input flags")
def flags_left(model, x, y, draws):
    x.requires_grad_()
    loss = sum(cross_entropy(model(x), y, reduction="sum") for _ in range(draws)) / draws
    return torch.autograd.grad(loss, x)[0]


@room.wrong("softmax twice")
def probabilities_as_logits(model, x, y, draws):
    return sum(slope(lambda z: model(z).softmax(1), x, y) for _ in range(draws)) / draws


@room.wrong("other classes")
def ten_classes(model, x, y, draws):
    x = x.detach().clone().requires_grad_()
    loss = -sum((one_hot(y, 10) * model(x).log_softmax(1)).sum() for _ in range(draws)) / draws
    return torch.autograd.grad(loss, x)[0]


@room.wrong("logarithm of a softmax")
def kept_off_0(model, x, y, draws):
    x = x.detach().clone().requires_grad_()
    p = [model(x).softmax(1).gather(1, y[:, None]) for _ in range(draws)]
    return torch.autograd.grad(-(torch.stack(p) + 1e-8).log().sum() / draws, x)[0]


@room.wrong("one draw")
def of_fresh_copies(model, x, y, draws):
    return sum(slope(copy.deepcopy(model), x, y) for _ in range(draws)) / draws


@room.wrong("other number of draws")
def one_draw_less(model, x, y, draws):
    return mean_of_gradients(model, x, y, draws - 1)


@room.wrong("weights")
def each_of_length_1(model, x, y, draws):
    found = [slope(model, x, y) for _ in range(draws)]
    return sum(g / g.flatten(1).norm(dim=1).view(-1, 1, 1, 1) for g in found) / draws


@room.wrong("formula")
def of_its_own_answers(model, x, y, draws):
    return sum(slope(model, x, model(x).argmax(1)) for _ in range(draws)) / draws
