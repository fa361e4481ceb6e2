"""Chapter 01: how large a budget it takes to fool networks of different kinds, with one step and with ten."""

from functools import partial

from advcourse.attacks.gradient_sign import BIM, FGSM
from advcourse.course.results.measured import SmallestEps

_KINDS = {"FGSM": FGSM, "BIM, 10 steps": partial(BIM, steps=10)}
_NETWORKS = ("mnist-mlp", "mnist-small", "mnist-wide", "mnist-cnn")

MEASURED = tuple(
    SmallestEps(name=f"smallest eps, {name}, {network}", kind=kind, model=network)
    for name, kind in _KINDS.items()
    for network in _NETWORKS
)
