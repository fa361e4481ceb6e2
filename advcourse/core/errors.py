"""The library's own error and warnings. They stand apart so that what only needs a name does without torch."""

import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_PACKAGE = __name__.partition(".")[0]


class InputError(ValueError):
    """Bad input. The message names the argument, says what was given and what is allowed."""


class DoubtfulResultWarning(UserWarning):
    """What is about to be measured, or was, may not mean what it seems to. The message says why, and what to do."""


class ProbabilitiesWarning(DoubtfulResultWarning):
    """The model seems to return probabilities where logits are expected."""


class ZeroGradientWarning(DoubtfulResultWarning):
    """The model's gradient is exactly zero for many images, so an attack that fails says nothing of the model."""


class BudgetWarning(DoubtfulResultWarning):
    """The attack's budget or steps are probably not what was meant."""


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the line that called the library, however deep inside of it the reason was found."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


# What is wrong with a model, and what to do, said in more than one place.
IN_PLACE = (
    "model: changes its input in place; allowed is a model that leaves the images as they are. "
    "Give its first layer inplace=False, or start its forward with x = x.clone()"
)
MADE_IN_INFERENCE_MODE = (
    "model: its weights were made in torch.inference_mode, and can't be differentiated through; "
    "allowed is a model that was made outside of it, such as copy.deepcopy(model)"
)
NO_GRADIENT = (
    "model: its answer has no gradient with respect to the images (forward runs under torch.no_grad, or detaches them); "
    "allowed is a model that can be differentiated. Attack the net inside of it, or another one and carry the images over "
    "with attacks.Transfer; or put attacks.BPDA in the place of the part without a gradient"
)


@contextmanager
def called(name: str) -> Iterator[None]:
    """Inside, what an `InputError` says of a "model" is said of the one that the caller knows by `name`, as "teacher"."""
    try:
        yield
    except InputError as error:
        told = str(error)
        if not told.startswith("model:"):
            raise
        raise InputError(f"{name}{told.removeprefix('model')}") from error


def explain(error, model, x, name):
    """Raise an `InputError` in the place of an error of torch, or of one that explains it, where it is known what to do."""
    cause = error.__cause__ if isinstance(error, InputError) else error
    told = _explanation(cause, model, x, name)
    if told:
        raise InputError(told) from cause


def _explanation(error, model, x, name):
    """What to do about an error of torch; None where that is not known."""
    if isinstance(error, ValueError) and "more than 1 value per channel" in str(error):
        return f"{name}: got a batch of one image, on which batch normalisation can't train; allowed are 2 or more (batch_size)"
    if not isinstance(error, RuntimeError):
        return None
    if "in-place operation" in str(error) and "requires grad" in str(error):
        return IN_PLACE
    if "Inference tensors" in str(error):
        return MADE_IN_INFERENCE_MODE
    weights = next((p.dtype for p in model.parameters() if p.is_floating_point()), x.dtype)
    if weights == x.dtype and re.search(r"shapes? |channels|size of tensor", str(error)):
        return (
            f"{name}: got images of shape {tuple(x.shape[1:])}, of which the model says: {error}; allowed is the shape "
            "(C, H, W) that it was made for"
        )
    if weights == x.dtype or "type" not in str(error):
        return None
    return (
        f"{name}: got {x.dtype} images, which the model's weights of {weights} can't take; allowed is the model's "
        f"type: images.to({weights}), or model.to({x.dtype})"
    )
