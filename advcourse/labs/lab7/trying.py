"""`train(function)`: a small net that learns with a student's loss, and how it stands attacks that it has and has not seen.

`show(zero_share)`: the share of digits without a gradient, by a student's function, before and after distillation.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from advcourse import attacks, data, models, plots
from advcourse.core.inputs import evaluating, predict
from advcourse.core.rounding import percent
from advcourse.defenses import AtTemperature
from advcourse.labs.checks import task_of
from advcourse.labs.lab7.given import climb
from advcourse.labs.lab7.lab import LAB
from advcourse.labs.showing import Shown
from advcourse.labs.verdicts import NOT_ATTEMPTED
from advcourse.training import cross_entropy, fit

EPS = 0.2
BUDGETS = (0.0, 0.05, 0.1, 0.15, 0.2)
DIGITS, EPOCHS, BATCH, STEPS = 1000, 6, 50, 4
HELD_OUT = 200
TEMPERATURES = (1.0, 2.0, 5.0, 10.0, 20.0)


def _own(model, x):
    return predict(model, x).argmax(1)


def _around(x):
    return (x + EPS * (2 * torch.rand(x.shape) - 1)).clamp(0, 1)


class _Growing:
    """The budget of an attack in training: it grows from 0 to EPS over the first half, so that the net learns to read first."""

    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return EPS * min(1.0, self.calls / (EPOCHS * DIGITS / BATCH / 2))


def _mixed(loss):
    def objective(model, x, y):
        few = x[: len(x) // 2]
        return loss(model, x, attacks.FGSM(EPS)(model, few, _own(model, few)), y, 0.3)

    return objective


def _pat(loss):
    budget = _Growing()

    def objective(model, x, y):
        eps = budget()
        start = (x + eps / EPS * (_around(x) - x)).clamp(0, 1)
        return loss(model, x, y, start, eps, 2 * eps / STEPS, STEPS)

    return objective


def _eat(loss):
    static = tuple(map(models.load, ("mnist-cnn", "mnist-mlp")))
    return lambda model, x, y: loss(model, static, x, y, EPS, int(torch.randint(2**31, ())))


def _trades(loss):
    def objective(model, x, y):
        with evaluating(model):
            x_adv = climb(model, x, y, _around(x), EPS, 2 * EPS / STEPS, STEPS)[-1]
        return loss(model, x, x_adv, y, 3.0)

    return objective


OBJECTIVES = {
    "mixed_loss": _mixed,
    "pat_loss": _pat,
    "eat_loss": _eat,
    "trades_loss": _trades,
    "igr_loss": lambda loss: lambda model, x, y: loss(model, x, y, 1.0),
}


def learn(objective: Callable[[nn.Module, Tensor, Tensor], Tensor]) -> dict[str, list[float]]:
    """Train a small net for a few seconds; its accuracy under FGSM and PGD at each of the budgets, by the attack's name."""
    model = models.build("mnist-small", seed=0)
    learnt = data.load("mnist-5k", "train").pick(DIGITS)
    fit(model, learnt, objective, epochs=EPOCHS, batch_size=BATCH, lr=3e-3, device="cpu", progress=False)
    x, y = data.load("mnist-5k", "test").pick(HELD_OUT)
    clean = _accuracy(model, x, y)
    return {
        name: [clean, *(_accuracy(model, attack(eps)(model, x, y), y) for eps in BUDGETS[1:])]
        for name, attack in {"FGSM": attacks.FGSM, "PGD": partial(attacks.PGD, steps=10)}.items()
    }


def _accuracy(model, x, y):
    return (_own(model, x) == y).double().mean().item()


@cache
def ordinary() -> dict[str, list[float]]:
    """The same net after ordinary training."""
    return learn(cross_entropy)


def train(function: Callable[..., Any], guess: object = None, task: str | None = None) -> Shown:
    """Train a small net with a student's loss, and attack it; returns a `Shown`, which shows itself. It takes some seconds.

    Args:
        function: the student's answer. It must be right: nothing is trained with another.
        guess: what was expected beforehand; it is told beside the result.
        task: the task's name (default: the function's own name).

    Raises `InputError` for what is no function or no loss of this lab that works alone.
    """
    name, missing = _checked(function, task, OBJECTIVES, "train")
    if missing:
        return missing
    found = {"ordinary training": ordinary(), name: learn(OBJECTIVES[name](function))}
    curves, sentences = {}, []
    for net, rows in found.items():
        for attack, accuracy in rows.items():
            curves[f"{net}, {attack}"] = (BUDGETS, accuracy)
        at = ", ".join(f"{percent(row[-1])} under {attack}" for attack, row in rows.items())
        sentences.append(
            f"{net}: {percent(rows['PGD'][0])} of {HELD_OUT} clean digits right; at eps = {EPS}, {at}."
        )
    return _shown(sentences, guess, plots.accuracy_against_eps(curves), "Curves that fall as eps grows.")


def show(function: Callable[..., Any], guess: object = None, task: str | None = None) -> Shown:
    """The share of digits without a gradient by a student's `zero_share`, for a net before and after distillation; a `Shown`.

    Arguments and errors as for `train`.
    """
    name, missing = _checked(function, task, ("zero_share",), "show")
    if missing:
        return missing
    x, y = data.load("mnist-5k", "test").pick(HELD_OUT)
    curves = {}
    for net in ("mnist-small", "mnist-distilled"):
        model = models.load(net)
        curves[net] = (TEMPERATURES, [float(function(AtTemperature(model, t), x, y)) for t in TEMPERATURES])
    sentences = [
        f"{net}: {percent(shares[0])} of {HELD_OUT} digits have no gradient; with logits divided by {TEMPERATURES[-1]:g}, "
        f"{percent(shares[-1])}."
        for net, (_, shares) in curves.items()
    ]
    labels = "temperature that the logits are divided by", "share of the digits without a gradient"
    return _shown(sentences, guess, plots.lines(curves, *labels, percentages=True), "Two curves.")


def _checked(function, task, names, call):
    """The task's name, and a `Shown` that says what is missing if the answer is not right; `call` is the caller's name."""
    name = task_of(function, task, names, call)
    verdict = LAB.check(function, name)
    if verdict.right:
        return name, None
    if verdict.outcome == NOT_ATTEMPTED:
        return name, Shown(f"{name} is not written yet.")
    return name, Shown(f"{name} is not right yet. `check({name})` says why.")


def _shown(sentences, guess, figure, alt):
    told = [] if guess is None else [f"You guessed {guess}."]
    return Shown("\n".join([*sentences, *told]), plots.png(figure), " ".join([alt, *sentences]))
