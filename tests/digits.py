"""The thirty digits that the tests of input defenses share, and how many of them a defense is right on."""

import torch

from advcourse import data
from advcourse.core.inputs import accuracy
from advcourse.core.randomness import seeded

X, Y = data.load("mnist-5k").pick(30)


def right(model, x):
    """How many of the 30 digits `model` is right on, given `x` in their place; its draws are seeded."""
    with seeded(torch.device("cpu"), 0):
        return round(30 * accuracy(model, x, Y))


def left_by(attack, victim, defense):
    """How many of the 30 `defense` is still right on after `attack` on `victim`."""
    return right(defense, attack(victim, X, Y))
