"""The library's own error and warnings. They have a module of their own so that importing a name does not import torch."""

import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

_PACKAGE = __name__.partition(".")[0]


class InputError(ValueError):
    """Bad input. The message names the argument and says what was given and what is allowed."""


class DoubtfulResultWarning(UserWarning):
    """A measurement may not mean what it seems to. The message says why, and what to do."""


class ProbabilitiesWarning(DoubtfulResultWarning):
    """The model seems to return probabilities where logits are expected."""


class ZeroGradientWarning(DoubtfulResultWarning):
    """The model's gradient is exactly zero for many images, so a failed attack says nothing about the model."""


class NonFiniteGradientWarning(DoubtfulResultWarning):
    """The model's gradient is NaN or infinite for many images, so a failed attack says nothing about the model."""


class BudgetWarning(DoubtfulResultWarning):
    """The attack's budget or number of steps is probably not what was meant."""


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the line that called into the library, however deep inside the library the problem was found."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


# Messages about models that are raised in more than one place.
IN_PLACE = (
    "model: changes its input in place; allowed is a model that leaves the images as they are. "
    "Give its first layer inplace=False, or start its forward with x = x.clone()"
)
MADE_IN_INFERENCE_MODE = (
    "model: its weights were made in torch.inference_mode, so it can't be differentiated; "
    "allowed is a model that was made outside inference mode, such as copy.deepcopy(model)"
)
NO_GRADIENT = (
    "model: its answer has no gradient with respect to the images (forward runs under torch.no_grad, or detaches them); "
    "allowed is a model that can be differentiated. Attack the network inside it, or another one whose "
    "images you carry over with attacks.Transfer; or replace the part without a gradient by attacks.BPDA"
)


@contextmanager
def called(name: str) -> Iterator[None]:
    """Inside the block, an `InputError` about "model" is raised under the caller's name for it, such as "teacher"."""
    try:
        yield
    except InputError as error:
        message = str(error)
        if not message.startswith("model:"):
            raise
        raise InputError(f"{name}{message.removeprefix('model')}") from error


def explain(error: Exception, model: "nn.Module", x: "Tensor", name: str) -> None:
    """Raise an `InputError` in place of a torch error, or of an earlier explanation of one, if the remedy is known."""
    cause = error.__cause__ if isinstance(error, InputError) else error
    message = _explanation(cause, model, x, name)
    if message:
        raise InputError(message) from cause


def _explanation(error, model, x, name):
    """Return a message that says what to do about a torch error; None if that is not known."""
    if isinstance(error, ValueError) and "more than 1 value per channel" in str(error):
        return f"{name}: got a batch of one image, too few to train batch normalisation; allowed are 2 or more (batch_size)"
    if not isinstance(error, RuntimeError):
        return None
    if "in-place operation" in str(error) and "requires grad" in str(error):
        return IN_PLACE
    if "Inference tensors" in str(error):
        return MADE_IN_INFERENCE_MODE
    weights = next((p.dtype for p in model.parameters() if p.is_floating_point()), x.dtype)
    if weights == x.dtype and re.search(r"shapes? |channels|size of tensor", str(error)):
        return (
            f"{name}: got images of shape {tuple(x.shape[1:])}, on which the model fails with: {error}; allowed is the "
            "shape (C, H, W) that it was made for"
        )
    if weights == x.dtype or "type" not in str(error):
        return None
    return (
        f"{name}: got {x.dtype} images, but the model's weights are {weights}; allowed is the model's type: "
        f"images.to({weights}), or model.to({x.dtype})"
    )
