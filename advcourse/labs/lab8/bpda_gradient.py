"""Lab 8: a gradient where there is none."""

import torch
from torch.nn.functional import cross_entropy

from advcourse.labs.comparing import gives
from advcourse.labs.exercises import exercise
from advcourse.labs.lab8.gradients import (
    gradient,
    kept_off_zero,
    of_ten_classes,
    own_logit,
    softmax_twice,
    summed,
)
from advcourse.labs.lab8.questions import (
    FIRST,
    GRADIENTS,
    LAST,
    DefendedTask,
    holds_at_large_logits,
    in_float64,
)
from advcourse.labs.properties import other_classes, other_shape, other_type, treats_images_alone


class Quantised(DefendedTask):
    """Its model has few grey levels in front."""

    parts = (("levels", 2),)


@exercise(
    "A gradient where there is none",
    4,
    hints=(
        "g, f = model takes the model apart. Forward the image goes through g. Which tensor must require gradients, if g is to "
        "be left out on the way back?",
        "z = g(x).detach().requires_grad_() is a new beginning. The gradient of the loss of f(z) by z is the answer: with g "
        "taken for the identity, a change of x is a change of z.",
        'loss = cross_entropy(f(z), y, reduction="sum"); return torch.autograd.grad(loss, z)[0].',
    ),
    kind=Quantised,
)
def bpda_gradient(model, x, y):
    g, f = model
    return gradient(f, g(x), y)


@bpda_gradient.slip(
    "zero",
    "The gradient is 0 everywhere: it came through g, whose steps have none. Ask for the gradient by g(x), not by x.",
)
def through_g(model, x, y):
    return gradient(model, x, y)


@bpda_gradient.slip(
    "without g",
    "This is the gradient of f at x: g is left out. Forward the image goes through g, so the gradient is that at g(x).",
)
def at_x(model, x, y):
    return gradient(model[1], x, y)


@bpda_gradient.slip(
    "minus",
    "The sign is wrong: this gradient leads down the loss. An attack adds the gradient of the cross-entropy.",
)
def down(model, x, y):
    return -bpda_gradient(model, x, y)


@bpda_gradient.slip(
    "mean over the batch",
    "The losses of all images are averaged, so that an image's gradient is smaller the more there are. Sum them up.",
)
def mean_loss(model, x, y):
    return gradient(model[1], model[0](x), y, cross_entropy)


@bpda_gradient.slip(
    "sign",
    "This is the sign of the gradient. Return the gradient itself; an attack may want more than its sign.",
)
def signs(model, x, y):
    return bpda_gradient(model, x, y).sign()


@bpda_gradient.slip("logit", "This is the gradient of the label's logit. Take that of the cross-entropy.")
def of_the_labels_logit(model, x, y):
    return gradient(model[1], model[0](x), y, own_logit)


@bpda_gradient.slip(
    "softmax twice",
    "The softmax is taken twice: cross_entropy wants logits, and takes the softmax itself. Give it f(...) as it is.",
)
def probabilities_as_logits(model, x, y):
    return gradient(model[1], model[0](x), y, softmax_twice)


@bpda_gradient.slip(
    "own answer", "This is the gradient of the loss of the model's own answer. The label is y."
)
def of_its_own_answer(model, x, y):
    return bpda_gradient(model, x, model(x).argmax(1))


@bpda_gradient.slip(
    "no gradient of the loss",
    "This is the step from x to g(x), and no gradient of the loss. g is taken forward only; then ask f.",
)
def the_step_of_g(model, x, y):
    return (model[0](x) - x).detach()


@bpda_gradient.right
def straight_through(model, x, y):
    g, f = model[0], model[1]
    x = x.clone().requires_grad_()
    z = x + (g(x) - x).detach()
    return torch.autograd.grad(-f(z).log_softmax(1).gather(1, y[:, None]).sum(), x)[0]


@bpda_gradient.right
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
    summed(f(Hard.apply(x)), y).backward(inputs=[x])
    return x.grad


@bpda_gradient.right
def image_by_image(model, x, y):
    return torch.cat([bpda_gradient(model, x[i : i + 1], y[i : i + 1]) for i in range(len(x))])


@bpda_gradient.wrong("formula")
def sum_of_logits(model, x, y):
    return gradient(model[1], model[0](x), y, lambda logits, y: logits.sum())


@bpda_gradient.wrong("formula")
def of_length_1(model, x, y):
    found = bpda_gradient(model, x, y)
    return found / found.flatten(1).norm(dim=1).view(-1, 1, 1, 1)


@bpda_gradient.wrong("formula")
def of_the_probability(model, x, y):
    return -gradient(model[1], model[0](x), y, lambda logits, y: own_logit(logits.softmax(1), y))


@bpda_gradient.wrong("formula")
def softmax_over_the_batch(model, x, y):
    return gradient(model[1], model[0](x), y, lambda logits, y: -own_logit(logits.log_softmax(0), y))


@bpda_gradient.wrong("logarithm of a softmax")
def kept_off_0(model, x, y):
    return gradient(model[1], model[0](x), y, kept_off_zero)


@bpda_gradient.wrong("logarithm of a softmax")
def logarithm_of_the_softmax(model, x, y):
    return gradient(model[1], model[0](x), y, lambda logits, y: -own_logit(logits.softmax(1).log(), y))


@bpda_gradient.wrong("other classes")
def ten_classes(model, x, y):
    return gradient(model[1], model[0](x), y, of_ten_classes)


@bpda_gradient.wrong("mode")
def leaves_training_mode(model, x, y):
    g, f = model
    z = g(x).detach().requires_grad_()
    model.train()
    return torch.autograd.grad(summed(f(z), y), z)[0]


@bpda_gradient.wrong("parameter gradients")
def backward_everywhere(model, x, y):
    g, f = model
    z = g(x).detach().requires_grad_()
    summed(f(z), y).backward()
    return z.grad


@bpda_gradient.wrong("shape")
def one_channel_lost(model, x, y):
    return bpda_gradient(model, x, y)[:, 0]


@bpda_gradient.wrong("type")
def a_tuple(model, x, y):
    return (bpda_gradient(model, x, y),)


@bpda_gradient.wrong("crash")
def cut_off(model, x, y):
    g, f = model
    x = x.clone().requires_grad_()
    return torch.autograd.grad(summed(f(g(x).detach()), y), x)[0]


bpda_gradient.checks(
    *FIRST,
    other_classes,
    gives(bpda_gradient, by=GRADIENTS, make=in_float64),
    holds_at_large_logits,
    treats_images_alone,
    other_type,
    other_shape,
    *LAST,
)
