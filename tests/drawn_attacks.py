"""Attacks with settings that are drawn from what their fields allow, and what they attack."""

import dataclasses

import pytest
import torch
from hypothesis import reject
from hypothesis import strategies as st
from nets import images

from advcourse import attacks
from advcourse.attacks.hyperparameters import allowed
from advcourse.cases.phone import PhonePGD
from advcourse.core.inputs import InputError

EVERY = attacks.REGISTRY | {"PhonePGD": PhonePGD}
ATTACKS = pytest.mark.parametrize("cls", EVERY.values(), ids=EVERY)
CLASSES = 5


def values_of(may_be, default):
    """A strategy for a field that is `may_be` (`Allowed`): its default, the ends of its range, and what lies between.

    Where there is no highest number, those up to 1 above the lowest, and whole ones up to 3 above it: an attack of few steps.
    """
    if may_be.choices or may_be.kind is bool:
        return st.sampled_from(may_be.choices or (False, True))
    low = min(0, may_be.high or 0) if may_be.low is None else may_be.low
    if may_be.kind is int:
        values = st.integers(low + may_be.exclusive_low, low + 3 if may_be.high is None else may_be.high)
    elif may_be.kind is float:
        high = low + 1 if may_be.high is None else may_be.high
        values = st.floats(low, high, exclude_min=may_be.exclusive_low) | st.sampled_from([high, default])
    else:
        return st.just(default)
    return values | st.none() if may_be.optional else values


@st.composite
def attacks_of(draw, cls):
    """An attack of class `cls` with any allowed settings, and few steps."""
    fields = {field.name: field for field in dataclasses.fields(cls)}
    drawn = {name: draw(values_of(may_be, fields[name].default)) for name, may_be in allowed(cls).items()}
    try:
        return cls(**drawn)
    except InputError:  # each is allowed, but not all of them together
        reject()


def quick(cls, **fields):
    """The attack with `fields`, where it has them, and few steps."""
    known = {field.name for field in dataclasses.fields(cls)}
    return cls(
        **{name: value for name, value in ({"steps": 4, "queries": 40} | fields).items() if name in known}
    )


def batch(attack, n, shape=(1, 8, 8), seed=0, dtype=torch.float32, classes=CLASSES):
    """Images, labels, and targets for an attack that takes them."""
    y = torch.randint(0, classes, (n,), generator=torch.Generator().manual_seed(seed))
    return (
        images(n, shape, seed, dtype),
        y,
        (y + 1) % classes if attack.targeted and not attack.chooses_target else None,
    )
