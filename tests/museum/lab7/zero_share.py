"""Answers to zero_share(model, x, y)."""

import copy

import torch
from torch.nn.functional import cross_entropy

from museum import Room

room = Room("zero_share")


def gradient_of(model, x, y):
    x = x.detach().clone().requires_grad_()
    return torch.autograd.grad(cross_entropy(model(x), y, reduction="sum"), x)[0]


@room.right
def all_pixels(model, x, y):
    return (gradient_of(model, x, y) == 0).flatten(1).all(1).double().mean()


@room.right
def largest_pixel(model, x, y):
    images = x.clone().requires_grad_()
    cross_entropy(model(images), y).backward(inputs=[images])
    largest = images.grad.abs().amax(dim=(1, 2, 3))
    return sum(1 for size in largest.tolist() if size == 0) / len(x)


@room.wrong("small ones too")
def with_a_tolerance(model, x, y):
    return (gradient_of(model, x, y).abs() < 1e-8).flatten(1).all(1).double().mean()


@room.wrong("own answer")
def of_the_models_answer(model, x, y):
    return all_pixels(model, x, model(x).argmax(1))


@room.wrong("no zero")
def in_double(model, x, y):
    return all_pixels(copy.deepcopy(model).double(), x.double(), y)


@room.wrong("some pixels")
def any_pixel(model, x, y):
    return (gradient_of(model, x, y) == 0).flatten(1).any(1).double().mean()


@room.wrong("share of pixels")
def of_all_pixels(model, x, y):
    return (gradient_of(model, x, y) == 0).double().mean()


@room.wrong("not 0")
def with_a_gradient(model, x, y):
    return 1 - all_pixels(model, x, y)


@room.wrong("count")
def number_of_images(model, x, y):
    return (gradient_of(model, x, y) == 0).flatten(1).all(1).double().sum()


@room.wrong("percent")
def percentage(model, x, y):
    return 100 * all_pixels(model, x, y)


@room.wrong("shape")
def for_each_image(model, x, y):
    return (gradient_of(model, x, y) == 0).flatten(1).all(1).double()


@room.wrong("type")
def in_words(model, x, y):
    return f"{100 * float(all_pixels(model, x, y)):.0f} %"


@room.wrong("parameter gradients")
def backward_into_the_weights(model, x, y):
    x = x.detach().clone().requires_grad_()
    cross_entropy(model(x), y, reduction="sum").backward()
    return (x.grad == 0).flatten(1).all(1).double().mean()


@room.wrong("formula")
def every_second_image(model, x, y):
    return 0.5 * all_pixels(model, x, y)


@room.wrong("crash")
def x_without_gradients(model, x, y):
    return (torch.autograd.grad(cross_entropy(model(x), y), x)[0] == 0).flatten(1).all(1).double().mean()


@room.wrong("sums of 0")
def added_up(model, x, y):
    return (gradient_of(model, x, y).flatten(1).sum(1) == 0).double().mean()


@room.wrong("small ones too")
def with_a_tiny_tolerance(model, x, y):
    return (gradient_of(model, x, y).flatten(1).abs().amax(1) < 1e-30).double().mean()


@room.wrong("share of channels")
def of_all_channels(model, x, y):
    return (gradient_of(model, x, y) == 0).flatten(2).all(2).double().mean()


@room.wrong("one sign alone")
def largest_without_abs(model, x, y):
    return (gradient_of(model, x, y).flatten(1).amax(1) == 0).double().mean()


@room.wrong("one sign alone")
def smallest_without_abs(model, x, y):
    return (gradient_of(model, x, y).flatten(1).amin(1) == 0).double().mean()
