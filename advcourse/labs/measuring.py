"""Trying an attack out: a student's function on real digits, how many it fools, and some of the pictures."""

from dataclasses import dataclass

import torch

from advcourse import data, plots
from advcourse.inputs import predict
from advcourse.labs.running import TENSOR, UNWRITTEN, Call, LocalRunner
from advcourse.labs.verdicts import image_tag, marked_up
from advcourse.labs.victims import Victim
from advcourse.metrics import succeeded

SHOWN = 6


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


def measure(function, guess=None, n=100, victim="mnist-cnn", **settings):
    """Run a student's attack on `n` held-out digits that the model gets right; returns a `Measurement`, which shows itself.

    `guess`: the percentage expected beforehand; `settings`: the arguments after the images and labels, such as eps.
    """
    runner, recipe = LocalRunner(function), Victim(victim)
    x, y = data.load("mnist-5k", "test").pick(min(2 * n, 1000))
    known = predict(recipe.build(), x).argmax(1) == y
    x, y = x[known][:n], y[known][:n]
    wanted = {"x": x, "y": y, **settings}
    taken = {name.rstrip("=") for name in runner.parameters()}
    reply = runner(Call(recipe, {name: value for name, value in wanted.items() if name in taken}))
    name = getattr(function, "__name__", "the function")
    if reply.kind == UNWRITTEN:
        return Measurement(f"{reply.detail} is not written yet.")
    if reply.kind != TENSOR or reply.value.shape != x.shape:
        return Measurement(f"{name} returned no images. `check({name})` says why.")
    images = reply.value.float().nan_to_num().clamp(0, 1)
    logits = predict(recipe.build(), images)
    fooled = succeeded(logits, y)
    text = f"{name} fools the model on {int(fooled.sum())} of {len(x)} digits."
    if guess is not None:
        text += f" You guessed {guess}."
    return Measurement(text, fooled.double().mean().item(), images, logits.argmax(1))
