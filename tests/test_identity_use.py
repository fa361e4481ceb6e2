"""What use leaves behind: notes of earlier calls are no part of a key, and what is registered is."""

import functools

import numpy as np
import pytest
from identities import key
from torch import nn


def dispatching(*kinds, factor=2):
    @functools.singledispatch
    def f(x):
        return x

    for kind in kinds:
        f.register(kind, lambda x, kind=kind: factor * x)
    return f


def used(thing, *arguments):
    for argument in arguments:
        thing(argument)
    return thing


def method_of_a_class():
    class Dispatching(nn.Module):
        @functools.singledispatchmethod
        def forward(self, x):
            return x

    return Dispatching()


USES = {
    "singledispatch": (dispatching, 1, "a", True),
    "registered": (lambda: dispatching(int, float), 1, True, 2.0, "a"),
    "method": (method_of_a_class, 1, "a"),
    "vectorize": (lambda: np.vectorize(lambda x: 2 * x), np.ones(2)),
    "vectorize with types": (lambda: np.vectorize(lambda x: 2 * x, otypes=[float]), np.ones(2)),
    "cache": (lambda: functools.lru_cache(lambda x: 2 * x), 1, 2),
}


@pytest.mark.parametrize("name", USES)
def test_use_leaves_the_key(name):
    """Checks what keeps notes of its calls against itself before it was called."""
    make, *arguments = USES[name]
    thing = make()
    before = key(thing)
    assert key(used(thing, *arguments)) == before == key(used(make(), *arguments)) == key(make())


def test_what_is_registered_counts():
    """Checks functions for types: none, one, another, and another answer for the same."""
    others = [dispatching(), dispatching(int), dispatching(float), dispatching(int, factor=3)]
    others += [dispatching(int, float)]
    assert len({key(other) for other in others}) == len(others)
    assert key(np.vectorize(lambda x: x)) != key(np.vectorize(lambda x: 2 * x))
    assert key(dispatching(int, float)) == key(dispatching(float, int))
