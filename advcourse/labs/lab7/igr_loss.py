"""Lab 7: input gradient regularisation, a loss that is flat around each image."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from advcourse.labs.exercises import Case, Draw, Task, exercise
from advcourse.labs.lab7.answering import evaluating, kept_off, of_probabilities, of_ten_classes, own
from advcourse.labs.lab7.losses import (
    EVAL_MODE,
    FIRST,
    LAST,
    SOFTMAX_TWICE,
    in_logarithms,
    learning,
    one_number,
    trains_as,
)


def a_weight(draw: Draw, x: Tensor) -> dict[str, float]:
    return {"weight": draw.number(0.5, 3)}


def found(model, x, y, loss=own, whole=torch.sum, create_graph=True):
    """The losses, and the gradient of their sum or mean by the images, a row for each."""
    x = x.detach().clone().requires_grad_()
    losses = loss(model(x), y)
    (gradient,) = torch.autograd.grad(whole(losses), x, create_graph=create_graph, retain_graph=True)
    return losses, gradient.flatten(1)


def penalised(losses, gradient, weight):
    return (losses + weight * gradient.square().sum(1)).mean()


@exercise(
    "A flat loss",
    4,
    a_weight,
    (
        "Work on a copy that requires gradients: x = x.detach().clone().requires_grad_(). Then each image's loss, and the "
        "gradient of their sum by x: images do not share pixels, so it holds each image's own.",
        "(gradient,) = torch.autograd.grad(losses.sum(), x, create_graph=True). Without create_graph the penalty is a "
        "constant, and teaches nothing.",
        "return (losses + weight * gradient.flatten(1).square().sum(1)).mean().",
    ),
    shape=one_number,
)
def igr_loss(model, x, y, weight):
    return penalised(*found(model, x, y), weight)


@igr_loss.slip(
    "graph cut",
    "The number is right, but the penalty does not teach anything: its gradient by the weights is 0. Say "
    "create_graph=True where you ask for the gradient by x, so that it can be differentiated once more.",
)
def no_create_graph(model, x, y, weight):
    return penalised(*found(model, x, y, create_graph=False), weight)


@igr_loss.slip(
    "gradient of the batch's mean",
    "The gradient is that of the batch's mean loss, which is B times too small, and its square B² times. So the weight means "
    "something else for every batch size. Take the gradient of losses.sum(): each image's own.",
)
def of_the_mean(model, x, y, weight):
    return penalised(*found(model, x, y, whole=torch.mean), weight)


@igr_loss.slip("gradient of the batch's mean")
def deepsecs(model, x, y, weight):
    losses, gradient = found(model, x, y, whole=torch.mean)
    return losses.mean() + weight * gradient.square().sum()


@igr_loss.slip(*SOFTMAX_TWICE)
def probabilities_as_logits(model, x, y, weight):
    return penalised(*found(model, x, y, of_probabilities), weight)


@igr_loss.slip(
    "not squared",
    "The penalty is the length of the gradient. It is its square, the sum of the squares of its components.",
)
def length(model, x, y, weight):
    losses, gradient = found(model, x, y)
    return (losses + weight * gradient.norm(dim=1)).mean()


@igr_loss.slip(
    "mean over pixels",
    "The squares are averaged over the pixels. Sum them up for each image, and average over the images only.",
)
def mean_of_squares(model, x, y, weight):
    losses, gradient = found(model, x, y)
    return losses.mean() + weight * gradient.square().mean()


@igr_loss.slip(
    "mean over channels",
    "The squares are averaged over the channels, so that the penalty of colours is a third of what it is. Sum over all "
    "dimensions but the first: gradient.flatten(1).square().sum(1).",
)
def squares_of_each_channel(model, x, y, weight):
    losses, gradient = found(model, x, y)
    return losses.mean() + weight * gradient.view_as(x).square().sum((2, 3)).mean()


@igr_loss.slip(
    "summed over images",
    "The penalties of all images are added up, while their losses are averaged. Average both.",
)
def sum_of_squares(model, x, y, weight):
    losses, gradient = found(model, x, y)
    return losses.mean() + weight * gradient.square().sum()


@igr_loss.slip(
    "absolute values", "The penalty is the sum of the absolute values. It is the sum of the squares."
)
def l1(model, x, y, weight):
    losses, gradient = found(model, x, y)
    return (losses + weight * gradient.abs().sum(1)).mean()


@igr_loss.slip(
    "gradient of a logit",
    "The gradient is that of the label's logit. It is that of the loss, log_softmax included.",
)
def logit(model, x, y, weight):
    _, gradient = found(model, x, y, lambda logits, y: logits.gather(1, y[:, None])[:, 0])
    return penalised(own(model(x), y), gradient, weight)


@igr_loss.slip(
    "weight on the loss",
    "weight multiplies the loss. It is the price of the penalty: J + weight * |gradient|^2.",
)
def weight_on_the_other_term(model, x, y, weight):
    return weight * igr_loss(model, x, y, 1 / weight)


@igr_loss.slip(
    "no penalty",
    "This is the loss alone. Add weight times the squared length of its gradient by the image.",
)
def loss_alone(model, x, y, weight):
    return cross_entropy(model(x), y)


@igr_loss.slip("penalty alone", "This is the penalty alone. Add the loss.")
def gradient_alone(model, x, y, weight):
    return penalised(0.0, found(model, x, y)[1], weight)


@igr_loss.slip(*EVAL_MODE)
def evaluates(model, x, y, weight):
    with evaluating(model):
        return igr_loss(model, x, y, weight)


@igr_loss.right
def image_by_image(model, x, y, weight):
    total = 0.0
    for image, label in zip(x, y):
        image = image[None].clone().requires_grad_()
        loss = -torch.log_softmax(model(image), 1)[0, label]
        (gradient,) = torch.autograd.grad(loss, image, create_graph=True)
        total = total + loss + weight * (gradient * gradient).sum()
    return total / len(x)


@igr_loss.right
def of_the_mean_and_set_right(model, x, y, weight):
    return deepsecs(model, x, y, weight * len(x))


@igr_loss.right
def length_squared(model, x, y, weight):
    losses, gradient = found(model, x, y)
    return (losses + weight * gradient.norm(dim=1) ** 2).mean()


@igr_loss.wrong("input flags")
def asks_for_gradients_of_x_itself(model, x, y, weight):
    x.requires_grad_()
    losses = own(model(x), y)
    (gradient,) = torch.autograd.grad(losses.sum(), x, create_graph=True)
    return penalised(losses, gradient.flatten(1), weight)


@igr_loss.wrong("parameter gradients")
def backward_with_a_graph(model, x, y, weight):
    x = x.detach().clone().requires_grad_()
    losses = own(model(x), y)
    losses.sum().backward(create_graph=True)
    return penalised(losses, x.grad.flatten(1), weight)


@igr_loss.wrong("plain number")
def item(model, x, y, weight):
    return igr_loss(model, x, y, weight).item()


@igr_loss.wrong("shape")
def a_loss_for_each(model, x, y, weight):
    losses, gradient = found(model, x, y)
    return losses + weight * gradient.square().sum(1)


@igr_loss.wrong("formula")
def half_of_the_square(model, x, y, weight):
    return igr_loss(model, x, y, weight / 2)


@igr_loss.wrong("crash")
def x_without_gradients(model, x, y, weight):
    losses = own(model(x), y)
    (gradient,) = torch.autograd.grad(losses.sum(), x, create_graph=True)
    return penalised(losses, gradient.flatten(1), weight)


@igr_loss.wrong("logarithm of a softmax")
def log_of_the_probability(model, x, y, weight):
    return penalised(*found(model, x, y, kept_off(1e-12)), weight)


@igr_loss.wrong("other classes")
def ten_classes(model, x, y, weight):
    return penalised(*found(model, x, y, of_ten_classes), weight)


@igr_loss.wrong("formula")
def slope_of_its_own_answer(model, x, y, weight):
    _, gradient = found(model, x, model(x).argmax(1))
    return penalised(own(model(x), y), gradient, weight)


@igr_loss.wrong("gradient")
def loss_cut_off(model, x, y, weight):
    losses, gradient = found(model, x, y)
    return penalised(losses.detach(), gradient, weight)


def plain_ones(task: Task, draw: Draw) -> tuple[Case, Case]:
    """Digits and colours, to a model without batch normalisation, so that no image has a part in another's gradient."""
    return learning(task, draw, "doubled", n=5), learning(task, draw, "doubled", n=7, shape=(3, 12, 14))


igr_loss.checks(*FIRST, trains_as(igr_loss, plain_ones), in_logarithms(igr_loss), *LAST)
