"""Real attacks for the lab's pictures, each run once in a process, on digits that were not trained on."""

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor, nn

from advcourse import attacks, data
from advcourse.core.inputs import predict
from advcourse.data.transformations import GaussianBlur
from advcourse.labs.measuring import known_digits
from advcourse.labs.victims import Victim

MODEL = Victim("mnist-cnn")
DIGITS = 200
ATTACKS = {
    "FGSM 0.05": attacks.FGSM(eps=0.05),
    "FGSM 0.3": attacks.FGSM(eps=0.3),
    "PGD 0.15": attacks.PGD(eps=0.15, steps=10),
    "PGD 0.3": attacks.PGD(eps=0.3, steps=10),
    "LLC 0.3": attacks.LLC(eps=0.3),
    "ILLC 0.3": attacks.ILLC(eps=0.3, steps=10),
    "DeepFool": attacks.DeepFool(),
    "C&W": attacks.CWL2(),
    "C&W (confidence 10)": attacks.CWL2(confidence=10),
}


@cache
def model() -> nn.Module:
    return MODEL.build()


@cache
def digits() -> tuple[Tensor, Tensor]:
    """All 1000 held-out digits, in an order in which classes take turns, and their labels."""
    return data.load("mnist-5k", "test").pick(1000)


@cache
def known(n: int = DIGITS) -> tuple[Tensor, Tensor]:
    """`n` of them that the model gets right, and their labels."""
    return known_digits(MODEL, n)


@cache
def record(name: str, n: int = DIGITS) -> attacks.AttackResult:
    """The `AttackResult` of one of the ATTACKS on `n` known digits."""
    return ATTACKS[name].run(model(), *known(n))


@cache
def with_old_mistakes(name: str, n: int = DIGITS) -> attacks.AttackResult:
    """The `AttackResult` of one of the ATTACKS on the first `n` digits, those among them that the model gets wrong anyway."""
    return ATTACKS[name].run(model(), *(values[:n] for values in digits()))


@cache
def against_eps(budgets: Sequence[float], n: int = 100) -> dict[str, list[attacks.AttackResult]]:
    """The `AttackResult`s of three attacks in L-infinity on `n` known digits, by name, for all of the `budgets`."""
    families = {
        "FGSM": [attacks.FGSM(eps=size) for size in budgets],
        "MI-FGSM (5 steps)": [attacks.UMIFGSM(eps=size, steps=5) for size in budgets],
        "DeepFool (L∞)": [attacks.DeepFool(norm="Linf")],  # has no budget: one run serves all
    }
    return {name: [attack.run(model(), *known(n)) for attack in family] for name, family in families.items()}


def right(x: Tensor, y: Tensor) -> Tensor:
    """Where the model gives the images their labels, (N,) bool."""
    return predict(model(), x).argmax(1) == y


def changes_of_one_length(place: int = 4, far: float = 2.0) -> tuple[Tensor, dict[str, Tensor]]:
    """One digit (1, 1, H, W), and copies of it by name, each changed in another way and `far` away in L2."""
    x, y = (values[place : place + 1] for values in known())
    square = torch.zeros_like(x)
    square[..., 3:5, 3:5] = 1
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    return x, {
        "darker": _moved(x, -x, far),
        "white square": _moved(x, square, far),
        "noise": _moved(x, noise, far),
        "grey ground": _moved(x, torch.ones_like(x), far),
        "PGD in L2": attacks.PGD(eps=far, steps=10, norm="L2")(model(), x, y),
    }


def _moved(x, change, far):
    """x + t * change, clipped to [0, 1], with the t that leads `far` away."""
    low, high = 0.0, 10.0
    for _ in range(40):
        t = (low + high) / 2
        images = (x + t * change).clamp(0, 1)
        low, high = (t, high) if (images - x).norm() < far else (low, t)
    return images


def suspicion(x: Tensor) -> Tensor:
    """A detector's score (N,): how far the probabilities move when the image is blurred. In the manner of Xu et al. 2018."""
    sharp, blurred = (predict(model(), images).softmax(1) for images in (x, GaussianBlur(1.0)(x)))
    return (sharp - blurred).abs().sum(1)
