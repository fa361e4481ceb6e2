"""How an attack's images fare when noise is added: what OptMargin is for."""

from collections.abc import Callable
from typing import Any

import torch

from advcourse.core.rounding import percent
from advcourse.labs.measuring import Measurement, known_digits, measure
from advcourse.labs.running import TENSOR, UNWRITTEN, Call, LocalRunner, usual_state
from advcourse.labs.victims import Victim


@usual_state()
def around(
    function: Callable[..., Any],
    directions: Callable[..., Any],
    guess: float | None = None,
    n: int = 30,
    copies: int = 20,
    radius: float = 0.3,
    **settings: Any,
) -> Measurement:
    """Run a student's attack on `n` digits, and look at `copies` of each image, moved by the noise of the student's `directions`.

    `guess`: the percentage of the copies expected to fool; `radius`: the noise's root mean square; `settings`: the attack's.
    Returns a `Measurement`; its `rate` is the share of the images that fool with all their copies.
    """
    tried = measure(function, n=n, **settings)
    if tried.images is None:
        return tried
    recipe = Victim("mnist-cnn")
    x, y = known_digits(recipe, n)
    asked = {"x": x, "copies": copies, "radius": radius, "seed": 0}
    reply = LocalRunner(directions)(Call(None, asked))
    name = getattr(directions, "__name__", "the function")
    if reply.kind == UNWRITTEN:
        return Measurement(f"{reply.detail} is not written yet.")
    if reply.kind != TENSOR or reply.value.shape != (copies, *x.shape[1:]):
        return Measurement(f"{name} returned no directions. `check({name})` says why.")
    model, noise = recipe.build(), reply.value.float().nan_to_num()
    with torch.no_grad():  # the noisy copies leave the box, as in the paper
        fooled = torch.stack([model(tried.images + v).argmax(1) != y for v in noise])
    text = f"{percent(fooled.double().mean().item())} of the copies fool the model."
    text += f" All {copies} copies do for {int(fooled.all(0).sum())} of {len(x)} digits."
    if guess is not None:
        text += f" You guessed {guess} %."
    return Measurement(text, fooled.all(0).double().mean().item(), tried.images, tried.predictions)
