"""Attacks with settings that are drawn from what their fields allow, and what they attack."""

import dataclasses

import pytest
import torch
from hypothesis import strategies as st
from nets import images

from advcourse import attacks

ATTACKS = pytest.mark.parametrize("cls", attacks.REGISTRY.values(), ids=attacks.REGISTRY)
CLASSES = 5
FIELDS = {
    "eps": st.sampled_from([0.0, 1 / 255, 8 / 255, 0.1, 0.3, 0.5, 1.0]),
    "alpha": st.floats(0, 1),  # as a share of eps
    "steps": st.integers(1, 4),
    "restarts": st.integers(1, 3),
    "decay": st.sampled_from([0.0, 0.5, 1.0]),
    "norm": st.sampled_from(["Linf", "L2"]),
    "keep": st.sampled_from(["best", "last", "first"]),
    "random_start": st.booleans(),
    "targeted": st.booleans(),
    "seed": st.integers(0, 2**40),
    "overshoot": st.sampled_from([0.0, 0.02, 0.5]),
    "classes": st.sampled_from([2, 5, 10]),
    "passes": st.integers(1, 2),
    "goal": st.sampled_from([0.0, 0.8, 1.0]),
    "theta": st.sampled_from([-1.0, -0.3, 0.5, 1.0]),
    "gamma": st.sampled_from([0.0, 0.1, 1.0]),
    "confidence": st.sampled_from([0.0, 0.5]),
    "lr": st.sampled_from([0.01, 0.1]),
    "binary_search_steps": st.integers(1, 3),
    "initial_const": st.sampled_from([0.001, 1.0, 100.0]),
    "beta": st.sampled_from([0.0, 0.001, 0.1]),
    "rule": st.sampled_from(["EN", "L1"]),
    "others": st.sampled_from(["sum", "logsumexp"]),
    "tau": st.sampled_from([0.0, 0.05]),
    "adapt": st.booleans(),
    "copies": st.integers(1, 3),
    "radius": st.sampled_from([0.0, 0.1]),
    "rounds": st.integers(1, 3),
    "decrease": st.sampled_from([0.3, 0.9]),
    "slides": st.integers(0, 4),
    "doublings": st.integers(0, 2),
    "method": st.sampled_from(["deepfool", "minibatch"]),
    "batch": st.sampled_from([None, 1, 5]),
}


@st.composite
def attacks_of(draw, cls):
    """An attack of class `cls` with any allowed settings, and few steps."""
    drawn = {
        field.name: draw(FIELDS[field.name]) for field in dataclasses.fields(cls) if field.name in FIELDS
    }
    if "alpha" in drawn:
        drawn["alpha"] *= drawn["eps"]
    if not drawn.get("random_start", True):
        drawn["restarts"] = 1
    return cls(**drawn)


def quick(cls, **fields):
    """The attack with `fields`, where it has them, and few steps."""
    known = {field.name for field in dataclasses.fields(cls)}
    return cls(**{name: value for name, value in ({"steps": 4} | fields).items() if name in known})


def batch(attack, n, shape=(1, 8, 8), seed=0, dtype=torch.float32, classes=CLASSES):
    """Images, labels, and targets for an attack that takes them."""
    y = torch.randint(0, classes, (n,), generator=torch.Generator().manual_seed(seed))
    return (
        images(n, shape, seed, dtype),
        y,
        (y + 1) % classes if attack.targeted and not attack.chooses_target else None,
    )
