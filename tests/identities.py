"""Things that hold one number each, in every place where Python can hide one: what a key must tell apart."""

import json
import sys
import types
import warnings
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial, wraps

import numpy as np
import torch
from torch import nn

from advcourse.attacks import FGSM, Transfer
from advcourse.core.identity import IdentityWarning, identity
from advcourse.training import cross_entropy

SCALE = 2.0
Pair = namedtuple("Pair", "a b")


class Scaled(nn.Module):
    """A model whose factor is found by `held`, a function of what it holds in a private attribute."""

    def __init__(self, held, read):
        super().__init__()
        self._held, self._read = held, read

    def forward(self, x):
        return x * self._read(self._held)


class Slotted:
    __slots__ = ("__k",)

    def __init__(self, k):
        self.__k = k

    def __call__(self):
        return self.__k


class Numbers(list):
    """A list with an attribute of its own."""


class Lazy:
    def __init__(self, k):
        self._k = k

    @cached_property
    def k(self):
        return self._k


class Straight(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * SCALE

    @staticmethod
    def backward(ctx, gradient):
        return gradient


@dataclass
class Weighted:
    """An objective with a private weight, and no word of it in its text."""

    _weight: float

    def __call__(self, model, x, y):
        return self._weight * cross_entropy(model, x, y)

    def __repr__(self):
        return "Weighted()"


def private(k):
    return Scaled(k, float)


def unregistered_tensor(k):
    return Scaled([torch.tensor(k)], lambda held: held[0])


def table(k):
    return Scaled(
        {"a": {"b": (1, [np.float32(1), np.array([k, 3.0])])}}, lambda held: float(held["a"]["b"][1][1][0])
    )


def hidden_buffer(k):
    model = Scaled(1.0, float)
    model.register_buffer("factor", torch.tensor(k), persistent=False)
    model._held, model._read = model, lambda held: held.factor
    return model


def closure(k):
    return Scaled(None, lambda _: k)


def deep_closure(k):
    def outer():
        def inner():
            return k

        return inner

    return Scaled(outer(), lambda held: held())


def changed_closure(k):
    count = 0.0

    def add(step):
        nonlocal count
        count += step

    add(k)
    return Scaled(None, lambda _: count)


def default(k):
    return Scaled(None, lambda _, factor=k: factor)


def keyword_default(k):
    return Scaled(None, lambda _, *, factor=k: factor)


def constant(k):
    """Functions of one name and one line, whose code differs in a number alone."""
    return Scaled(None, {1.0: lambda _: 1.0, 0.6: lambda _: 0.6, 5.0: lambda _: 5.0}[k])


def bound_argument(k):
    return Scaled(None, partial(lambda _, factor: factor, factor=k))


def bound_method(k):
    call = Slotted(k).__call__
    return Scaled(None, lambda _: call())


def class_made_here(k):
    class Base(nn.Module):
        def forward(self, x):
            return x * k

    class Made(Base):
        pass

    return Made()


def class_attribute(k):
    return type("Made", (nn.Module,), {"_k": k, "forward": lambda self, x: x * self._k})()


def subclass_of_list(k):
    held = Numbers([1.0, 2.0])
    held.k = k
    return Scaled(held, lambda held: held.k)


def items_of_subclass(k):
    return Scaled(Numbers([k]), lambda held: held[0])


def named_tuple(k):
    return Scaled(Pair(1, k), lambda held: held.b)


def ordered(k):
    return Scaled(OrderedDict(x=1.0, y=k), lambda held: held["y"])


def in_a_set(k):
    return Scaled(
        {frozenset({1.0, 7.0, k}), "a", "b", "c"}, lambda held: min(held - {"a", "b", "c"}, key=str) and k
    )


def slots(k):
    return Scaled(Slotted(k), lambda held: held())


def attribute_of_a_function(k):
    def read(_):
        return read.factor

    read.factor = k
    return Scaled(None, read)


def wrapped(k):
    @lru_cache
    @wraps(float)
    def read(_):
        return k

    return Scaled(None, read)


def hook(k):
    model = Scaled(1.0, float)
    model.register_forward_hook(lambda module, inputs, output: output * k)
    return model


def private_in_a_list(k):
    return Scaled([private(k)], lambda held: held[0](1.0))


def lazily(k):
    return Scaled(Lazy(k), lambda held: held._k)


PLACES = [
    value
    for name, value in list(vars().items())
    if callable(value) and getattr(value, "__module__", "") == __name__ and not isinstance(value, type)
]

# What a thing may stand in. Each is used by something that keeps results by a key.
AROUND = {
    "model": lambda model: model,
    "list": lambda model: [1, [model]],
    "source": lambda model: Transfer(FGSM(0.1), model),
    "made source": lambda model: Transfer(FGSM(0.1), partial(second, model)),
    "objective": lambda model: partial(distilled, teacher=model),
    "method": lambda model: model.forward,
}


def second(model, _):
    return model


def distilled(model, x, y, teacher):
    return (model(x) - teacher(x)).square().mean()


def module(name, **held):
    """A module of the user's, as if it had been imported."""
    made = types.ModuleType(name)
    vars(made).update(held)
    return made


def using(**held):
    """A function that reads its globals: `held`, and nothing of this file."""

    def make(text):
        space = {"__name__": "own", **held}
        exec(text, space)
        return space["f"]

    return make


def answer(model):
    """What the model makes of one number."""
    with torch.no_grad():
        return float(torch.as_tensor(model(torch.tensor(1.0, dtype=torch.float64))))


def all_keys():
    """The key of each place for one number, in each surrounding."""
    return {
        f"{place.__name__} {name}": identity(around(place(0.6)))
        for place in PLACES
        for name, around in AROUND.items()
    }


if __name__ == "__main__":
    json.dump(all_keys(), sys.stdout)


def key(value):
    """The key of a value that can be told."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", IdentityWarning)
        return identity(value)
