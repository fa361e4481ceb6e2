"""Trying an attack out: a student's function on real digits, how many it fools, and some of the pictures."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from advcourse import data, plots
from advcourse.core.inputs import check_choice, predict
from advcourse.core.rounding import number, percent
from advcourse.labs.running import TENSOR, UNWRITTEN, Call, LocalRunner, usual_state
from advcourse.labs.verdicts import image_tag, marked_up
from advcourse.labs.victims import Victim
from advcourse.metrics import l0, l1, l2, linf, mean_over_successes, succeeded

SHOWN = 6
NORMS = {"L0": l0, "L1": l1, "L2": l2, "Linf": linf}


@dataclass(frozen=True)
class Measurement:
    """What an attack did: `rate` is the share of images that fool the model, or None where there is no attack yet.

    `text` says it, and how it compares with the guess; `images` (N, C, H, W) and `predictions` (N,) are the result.
    """

    text: str
    rate: float | None = None
    images: torch.Tensor | None = None
    predictions: torch.Tensor | None = None

    def __repr__(self):
        return self.text

    def _repr_html_(self):
        if self.images is None:
            return f"<div>{marked_up(self.text)}</div>"
        seen = [str(label) for label in self.predictions[:SHOWN].tolist()]
        figure = plots.grid(self.images[:SHOWN], [f"seen as {label}" for label in seen])
        alt = f"{len(seen)} attacked digits. The model sees {', '.join(seen)}."
        return f"<div>{marked_up(self.text)}</div>{image_tag(plots.png(figure), alt)}"


@usual_state()
def measure(
    function: Callable[..., Any],
    guess: float | None = None,
    n: int = 100,
    victim: str = "mnist-cnn",
    norm: str | None = None,
    target: int | None = None,
    clip: bool = True,
    **settings: Any,
) -> Measurement:
    """Run a student's attack on `n` held-out digits that the model gets right; returns a `Measurement`, which shows itself.

    `guess`: the number expected beforehand; `norm`: "L0", "L1", "L2" or "Linf", whose mean over the successes is told too, and
    which the attack gets if it asks for one; `target`: a class that all digits, none of which is of that class, are to become;
    `clip`: whether the results are clipped to [0, 1] before they are judged; `settings`: the arguments after the images and
    labels, such as eps.
    """
    check_choice(norm, "norm", (None, *NORMS))
    runner, recipe = LocalRunner(function), Victim(victim)
    x, y = known_digits(recipe, n, but=target)
    aim = None if target is None else torch.full_like(y, target)
    wanted = {"x": x, "y": y, "norm": norm, "target": aim, **settings}
    taken = {name.rstrip("=") for name in runner.parameters()}
    reply = runner(Call(recipe, {name: value for name, value in wanted.items() if name in taken}))
    name = _name(function)
    if reply.kind == UNWRITTEN:
        return Measurement(f"{reply.detail} is not written yet.")
    if reply.kind != TENSOR or reply.value.shape != x.shape:
        return Measurement(f"{name} returned no images. Its check says why.")
    images = reply.value.float().nan_to_num()
    images = images.clamp(0, 1) if clip else images
    with torch.no_grad():
        logits = recipe.build()(images)  # `predict` would refuse what is not clipped
    fooled = succeeded(logits, y, aim)
    done = "fools the model on" if target is None else f"makes a {target} of"
    text = f"{name} {done} {int(fooled.sum())} of {len(x)} digits{'' if clip else ', not clipped'}."
    if norm and fooled.any():
        text += f" The mean {norm} distance is {number(mean_over_successes(NORMS[norm](x, images), fooled))}."
    if guess is not None:
        text += f" You guessed {guess}."
    return Measurement(text, fooled.double().mean().item(), images.clamp(0, 1), logits.argmax(1))


def known_digits(recipe: Victim, n: int, but: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """`n` held-out digits that the model of this recipe gets right, none of the class `but`; and their labels."""
    x, y = data.load("mnist-5k", "test").pick(min(2 * n, 1000))
    known = (predict(recipe.build(), x).argmax(1) == y) & (y != (-1 if but is None else but))
    return x[known][:n], y[known][:n]


def _name(function):
    """The function's own name, if it has one."""
    name = getattr(function, "__name__", "<")
    return "The function" if "<" in name else name


@usual_state()
def measure_universal(
    function: Callable[..., Any],
    guess: float | None = None,
    n: int = 200,
    victim: str = "mnist-cnn",
    eps: float = 0.3,
    **settings: Any,
) -> Measurement:
    """Make one perturbation by a student's function on `n` digits, and add it to `n` others; returns a `Measurement`.

    Counted are the answers of the model that change, there and with random signs of the same size eps; `guess`: the percentage
    expected beforehand; `settings`: the function's other arguments.
    """
    recipe = Victim(victim)
    x, y = data.load("mnist-5k", "test").pick(2 * n)
    reply = LocalRunner(function)(Call(recipe, {"x": x[:n], "y": y[:n], "eps": eps, **settings}))
    name = _name(function)
    if reply.kind == UNWRITTEN:
        return Measurement(f"{reply.detail} is not written yet.")
    if reply.kind != TENSOR or reply.value.shape != x.shape[1:]:
        return Measurement(f"{name} returned no perturbation. Its check says why.")
    model, others = recipe.build(), x[n:]
    signs = torch.randn(x.shape[1:], generator=torch.Generator().manual_seed(0)).sign()
    before = predict(model, others).argmax(1)
    v = reply.value.float().nan_to_num().clamp(-eps, eps)
    images, noisy = ((others + change).clamp(0, 1) for change in (v, eps * signs))
    after, by_chance = (predict(model, changed).argmax(1) for changed in (images, noisy))
    rate = (after != before).double().mean().item()
    text = (
        f"{name}: the model changes its answer for {percent(rate)} of {n} other digits; with random signs of the same size for "
        f"{percent((by_chance != before).double().mean())}."
    )
    if guess is not None:
        text += f" You guessed {guess}."
    return Measurement(text, rate, images, after)
