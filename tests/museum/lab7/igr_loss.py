"""Answers to igr_loss(model, x, y, weight)."""

import torch
from torch.nn.functional import cross_entropy, one_hot

from museum import Room

room = Room("igr_loss")


def found(model, x, y, create_graph=True, reduction="sum"):
    """The losses, and the gradient of their sum or mean by the images, a row for each."""
    x = x.detach().clone().requires_grad_()
    losses = cross_entropy(model(x), y, reduction="none")
    whole = losses.sum() if reduction == "sum" else losses.mean()
    (gradient,) = torch.autograd.grad(whole, x, create_graph=create_graph, retain_graph=True)
    return losses, gradient.flatten(1)


@room.right
def of_the_sum(model, x, y, weight):
    losses, gradient = found(model, x, y)
    return (losses + weight * gradient.square().sum(1)).mean()


@room.right
def image_by_image(model, x, y, weight):
    total = 0.0
    for image, label in zip(x, y):
        image = image[None].clone().requires_grad_()
        loss = -torch.log_softmax(model(image), 1)[0, label]
        (gradient,) = torch.autograd.grad(loss, image, create_graph=True)
        total = total + loss + weight * (gradient * gradient).sum()
    return total / len(x)


@room.right
def of_the_mean_and_set_right(model, x, y, weight):
    losses, gradient = found(model, x, y, reduction="mean")
    return losses.mean() + weight * len(x) * gradient.square().sum()


@room.wrong("graph cut")
def no_create_graph(model, x, y, weight):
    losses, gradient = found(model, x, y, create_graph=False)
    return (losses + weight * gradient.square().sum(1)).mean()


@room.wrong("gradient of the batch's mean")
def deepsecs(model, x, y, weight):
    losses, gradient = found(model, x, y, reduction="mean")
    return losses.mean() + weight * gradient.square().sum()


@room.wrong("not squared")
def length(model, x, y, weight):
    losses, gradient = found(model, x, y)
    return (losses + weight * gradient.norm(dim=1)).mean()


@room.wrong("mean over pixels")
def mean_of_squares(model, x, y, weight):
    losses, gradient = found(model, x, y)
    return losses.mean() + weight * gradient.square().mean()


@room.wrong("summed over images")
def sum_of_squares(model, x, y, weight):
    losses, gradient = found(model, x, y)
    return losses.mean() + weight * gradient.square().sum()


@room.wrong("absolute values")
def l1(model, x, y, weight):
    losses, gradient = found(model, x, y)
    return (losses + weight * gradient.abs().sum(1)).mean()


@room.wrong("gradient of a logit")
def logit(model, x, y, weight):
    x = x.detach().clone().requires_grad_()
    logits = model(x)
    own = logits.gather(1, y[:, None]).sum()
    (gradient,) = torch.autograd.grad(own, x, create_graph=True)
    return cross_entropy(logits, y) + weight * gradient.flatten(1).square().sum(1).mean()


@room.wrong("no penalty")
def loss_alone(model, x, y, weight):
    return cross_entropy(model(x), y)


@room.wrong("penalty alone")
def gradient_alone(model, x, y, weight):
    return weight * found(model, x, y)[1].square().sum(1).mean()


@room.wrong("input flags")
def asks_for_gradients_of_x_itself(model, x, y, weight):
    x.requires_grad_()
    losses = cross_entropy(model(x), y, reduction="none")
    (gradient,) = torch.autograd.grad(losses.sum(), x, create_graph=True)
    return (losses + weight * gradient.flatten(1).square().sum(1)).mean()


@room.wrong("parameter gradients")
def backward_with_a_graph(model, x, y, weight):
    x = x.detach().clone().requires_grad_()
    losses = cross_entropy(model(x), y, reduction="none")
    losses.sum().backward(create_graph=True)
    return (losses + weight * x.grad.flatten(1).square().sum(1)).mean()


@room.wrong("plain number")
def item(model, x, y, weight):
    return of_the_sum(model, x, y, weight).item()


@room.wrong("shape")
def a_loss_for_each(model, x, y, weight):
    losses, gradient = found(model, x, y)
    return losses + weight * gradient.square().sum(1)


@room.wrong("formula")
def half_of_the_square(model, x, y, weight):
    return of_the_sum(model, x, y, weight / 2)


@room.wrong("crash")
def x_without_gradients(model, x, y, weight):
    losses = cross_entropy(model(x), y, reduction="none")
    (gradient,) = torch.autograd.grad(losses.sum(), x, create_graph=True)
    return (losses + weight * gradient.flatten(1).square().sum(1)).mean()


@room.wrong("softmax twice")
def probabilities_as_logits(model, x, y, weight):
    return of_the_sum(lambda images: model(images).softmax(1), x, y, weight)


@room.wrong("weight on the loss")
def weight_on_the_other_term(model, x, y, weight):
    losses, gradient = found(model, x, y)
    return (weight * losses + gradient.square().sum(1)).mean()


@room.wrong("mean over channels")
def squares_of_each_channel(model, x, y, weight):
    losses, gradient = found(model, x, y)
    return losses.mean() + weight * gradient.view_as(x).square().sum((2, 3)).mean()


@room.wrong("logarithm of a softmax")
def log_of_the_probability(model, x, y, weight):
    x = x.detach().clone().requires_grad_()
    losses = -(model(x).softmax(1).gather(1, y[:, None])[:, 0] + 1e-12).log()
    (gradient,) = torch.autograd.grad(losses.sum(), x, create_graph=True)
    return (losses + weight * gradient.flatten(1).square().sum(1)).mean()


@room.right
def length_squared(model, x, y, weight):
    losses, gradient = found(model, x, y)
    return (losses + weight * gradient.norm(dim=1) ** 2).mean()


@room.wrong("eval mode")
def evaluates(model, x, y, weight):
    was = model.training
    model.eval()
    loss = of_the_sum(model, x, y, weight)
    model.train(was)
    return loss


@room.wrong("other classes")
def ten_classes(model, x, y, weight):
    x = x.detach().clone().requires_grad_()
    losses = -(one_hot(y, 10) * model(x).log_softmax(1)).sum(1)
    (gradient,) = torch.autograd.grad(losses.sum(), x, create_graph=True)
    return (losses + weight * gradient.flatten(1).square().sum(1)).mean()


@room.wrong("formula")
def slope_of_its_own_answer(model, x, y, weight):
    _, gradient = found(model, x, model(x).argmax(1))
    return cross_entropy(model(x), y) + weight * gradient.square().sum(1).mean()


@room.wrong("gradient")
def loss_cut_off(model, x, y, weight):
    losses, gradient = found(model, x, y)
    return (losses.detach() + weight * gradient.square().sum(1)).mean()
