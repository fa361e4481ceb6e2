"""Answers to bpda_gradient(model, x, y)."""

import torch
from torch.nn.functional import cross_entropy, one_hot

from museum import Room

room = Room("bpda_gradient")


def slope(f, z, y, **how):
    z = z.detach().clone().requires_grad_()
    return torch.autograd.grad(cross_entropy(f(z), y, **{"reduction": "sum", **how}), z)[0]


@room.right
def by_the_quantised_image(model, x, y):
    g, f = model
    z = g(x).detach().requires_grad_()
    loss = cross_entropy(f(z), y, reduction="sum")
    return torch.autograd.grad(loss, z)[0]


@room.right
def straight_through(model, x, y):
    g, f = model[0], model[1]
    x = x.clone().requires_grad_()
    z = x + (g(x) - x).detach()
    return torch.autograd.grad(-f(z).log_softmax(1).gather(1, y[:, None]).sum(), x)[0]


@room.right
def with_a_function_of_its_own(model, x, y):
    g, f = model

    class Hard(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return g(x)

        @staticmethod
        def backward(ctx, gradient):
            return gradient

    x = x.detach().clone().requires_grad_()
    cross_entropy(f(Hard.apply(x)), y, reduction="sum").backward(inputs=[x])
    return x.grad


@room.right
def image_by_image(model, x, y):
    g, f = model
    return torch.cat([slope(f, g(x[i : i + 1]), y[i : i + 1]) for i in range(len(x))])


@room.wrong("zero")
def through_g(model, x, y):
    return slope(model, x, y)


@room.wrong("without g")
def at_x(model, x, y):
    return slope(model[1], x, y)


@room.wrong("minus")
def down(model, x, y):
    return -by_the_quantised_image(model, x, y)


@room.wrong("mean over the batch")
def mean_loss(model, x, y):
    return slope(model[1], model[0](x), y, reduction="mean")


@room.wrong("sign")
def signs(model, x, y):
    return by_the_quantised_image(model, x, y).sign()


@room.wrong("logit")
def of_the_labels_logit(model, x, y):
    z = model[0](x).detach().requires_grad_()
    return torch.autograd.grad(model[1](z).gather(1, y[:, None]).sum(), z)[0]


@room.wrong("own answer")
def of_its_own_answer(model, x, y):
    g, f = model
    return slope(f, g(x), model(x).argmax(1))


@room.wrong("no gradient of the loss")
def the_step_of_g(model, x, y):
    return (model[0](x) - x).detach()


@room.wrong("formula")
def sum_of_logits(model, x, y):
    z = model[0](x).detach().requires_grad_()
    return torch.autograd.grad(model[1](z).sum(), z)[0]


@room.wrong("mode")
def leaves_training_mode(model, x, y):
    g, f = model
    z = g(x).detach().requires_grad_()
    model.train()
    return torch.autograd.grad(cross_entropy(f(z), y, reduction="sum"), z)[0]


@room.wrong("parameter gradients")
def backward_everywhere(model, x, y):
    g, f = model
    z = g(x).detach().requires_grad_()
    cross_entropy(f(z), y, reduction="sum").backward()
    return z.grad


@room.wrong("shape")
def one_channel_lost(model, x, y):
    return by_the_quantised_image(model, x, y)[:, 0]


@room.wrong("type")
def a_tuple(model, x, y):
    g, f = model
    z = g(x).detach().requires_grad_()
    return torch.autograd.grad(cross_entropy(f(z), y, reduction="sum"), z)


@room.wrong("crash")
def cut_off(model, x, y):
    g, f = model
    x = x.clone().requires_grad_()
    return torch.autograd.grad(cross_entropy(f(g(x).detach()), y, reduction="sum"), x)[0]


@room.wrong("softmax twice")
def probabilities_as_logits(model, x, y):
    g, f = model
    return slope(lambda z: f(z).softmax(1), g(x), y)


@room.wrong("other classes")
def ten_classes(model, x, y):
    z = model[0](x).detach().requires_grad_()
    loss = -(one_hot(y, 10) * model[1](z).log_softmax(1)).sum()
    return torch.autograd.grad(loss, z)[0]


@room.wrong("logarithm of a softmax")
def kept_off_0(model, x, y):
    z = model[0](x).detach().requires_grad_()
    p = model[1](z).softmax(1).gather(1, y[:, None])
    return torch.autograd.grad(-(p + 1e-8).log().sum(), z)[0]


@room.wrong("logarithm of a softmax")
def logarithm_of_the_softmax(model, x, y):
    z = model[0](x).detach().requires_grad_()
    return torch.autograd.grad(-model[1](z).softmax(1).log().gather(1, y[:, None]).sum(), z)[0]


@room.wrong("formula")
def of_length_1(model, x, y):
    gradient = by_the_quantised_image(model, x, y)
    return gradient / gradient.flatten(1).norm(dim=1).view(-1, 1, 1, 1)


@room.wrong("formula")
def of_the_probability(model, x, y):
    z = model[0](x).detach().requires_grad_()
    return -torch.autograd.grad(model[1](z).softmax(1).gather(1, y[:, None]).sum(), z)[0]


@room.wrong("formula")
def softmax_over_the_batch(model, x, y):
    z = model[0](x).detach().requires_grad_()
    return torch.autograd.grad(-model[1](z).log_softmax(0).gather(1, y[:, None]).sum(), z)[0]
