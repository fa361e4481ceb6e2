"""The model contract, and checks of the arguments that callers pass.

A *model* is an `nn.Module` that maps float images in [0, 1], shape (N, C, H, W), to logits, shape (N, K), K >= 2.
Normalisation is a layer inside the model, so that budgets, distances and pictures all live in [0, 1].
Attacks, defenses and `predict` call a model through one function, `ask`. Checks of a value return it as Python's own type.
"""

import math
import numbers
import operator
import reprlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import deepcopy
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from advcourse.core.errors import (
    IN_PLACE,
    NO_GRADIENT,
    BudgetWarning,
    DoubtfulResultWarning,
    InputError,
    ProbabilitiesWarning,
    ZeroGradientWarning,
    explain,
    warn,
)

__all__ = [
    "BudgetWarning",
    "DoubtfulResultWarning",
    "InputError",
    "ProbabilitiesWarning",
    "ZeroGradientWarning",
]

LARGEST_SEED = 2**63 - 1  # the largest that every generator accepts
Choice = TypeVar("Choice")


def _given(value):
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)} and type {value.dtype}"
    if isinstance(value, np.ndarray):
        return f"a numpy.ndarray of shape {value.shape} and type {value.dtype}"
    return f"{reprlib.repr(value)} ({type(value).__name__})"


def check_choice(value: object, name: str, allowed: Iterable[Choice]) -> Choice:
    """Return the element of `allowed` that equals `value` (text, a number or None); `InputError` if there is none."""
    plain = value is None or isinstance(value, str | numbers.Number)
    for choice in allowed if plain else ():
        if isinstance(choice, bool) == isinstance(value, bool) and choice == value:
            return choice
    raise InputError(f"{name}: got {value!r}; allowed are {', '.join(map(repr, allowed))}")


def check_flag(value: bool, name: str) -> bool:
    """Return `value`, a Python or numpy bool, as a bool; `InputError` for anything else, such as "no", which is truthy."""
    if not isinstance(value, bool | np.bool_):
        raise InputError(f"{name}: got {value!r}; allowed are True and False")
    return bool(value)


def check_range(
    value: float,
    name: str,
    low: float | None = None,
    high: float | None = None,
    *,
    integer: bool = False,
    exclusive_low: bool = False,
) -> int | float:
    """Return `value` as an int or float; `InputError` unless finite and in [low, high], or (low, high] if `exclusive_low`.

    numpy numbers and fractions are accepted; True and False are not.
    """
    number = _number(value, integer)
    above = low is None or (number is not None and (number > low if exclusive_low else number >= low))
    below = high is None or (number is not None and number <= high)
    if number is None or not (above and below):
        limits = [f"{'>' if exclusive_low else '>='} {low}"] if low is not None else []
        limits += [f"<= {high}"] if high is not None else []
        kind = "an integer" if integer else "a number"
        raise InputError(
            f"{name}: got {value!r}; allowed is {' '.join([kind, ' and '.join(limits)]).strip()}"
        )
    return number


def _number(value, integer):
    """Return a finite number as an int or float, else None. Integers stay exact, even where a float is allowed."""
    if isinstance(value, bool | np.bool_):
        return None
    if integer and not isinstance(value, numbers.Integral) or not isinstance(value, numbers.Real):
        return None
    try:
        finite = integer or math.isfinite(value)
    except OverflowError:  # more than a float can hold
        return None
    if isinstance(value, numbers.Integral):
        return operator.index(value)
    return float(value) if finite else None


def check_seed(seed: int, name: str = "seed") -> int:
    """Return `seed` as an int; `InputError` unless it is a whole number from 0 to 2**63 - 1, which every generator accepts."""
    return check_range(seed, name, 0, LARGEST_SEED, integer=True)


def check_field(owner: object, name: str, *limits: float | None, **more: bool | float | None) -> None:
    """Apply `check_range` to the field `name` of a frozen dataclass, which then holds the returned Python number."""
    object.__setattr__(owner, name, check_range(getattr(owner, name), name, *limits, **more))


def check_batch(x: Tensor, name: str = "x") -> Tensor:
    """Raise `InputError` unless `x` is a batch of floating-point images, shape (N, C, H, W), of any values."""
    if not isinstance(x, torch.Tensor):
        hint = " (torch.as_tensor(x) makes one)" if isinstance(x, np.ndarray) else ""
        raise InputError(f"{name}: got {_given(x)}; allowed is a torch.Tensor of shape (N, C, H, W){hint}")
    if not x.is_floating_point():
        raise InputError(
            f"{name}: got {_given(x)}; allowed are floating-point images (divide 0..255 pixels by 255)"
        )
    if x.dtype.itemsize < 2:
        raise InputError(
            f"{name}: got {_given(x)}; allowed are float16, bfloat16, float32 and float64: {name}.float()"
        )
    _check_dense(x, name)
    if x.dim() != 4 or 0 in x.shape[1:]:
        hint = "; for one image use x.unsqueeze(0)" if x.dim() == 3 else ""
        hint = " with pixels in it" if x.dim() == 4 else hint
        raise InputError(f"{name}: got {_given(x)}; allowed is shape (N, C, H, W){hint}")
    return x


def _check_dense(values, name):
    if values.is_nested or values.layout != torch.strided or values.is_meta:
        kind = "nested" if values.is_nested else "meta" if values.is_meta else values.layout
        raise InputError(
            f"{name}: got a {kind} tensor; allowed is a dense one with values ({name}.to_dense())"
        )


def check_images(x: Tensor, name: str = "x") -> Tensor:
    """Raise `InputError` unless `x` is a batch of float images, shape (N, C, H, W), every value in [0, 1]. N may be 0."""
    if check_batch(x, name).numel():
        low, high = torch.aminmax(x.detach())
        if not (low >= 0 and high <= 1):  # NaN fails the comparison as well
            if torch.isnan(x).any():
                raise InputError(
                    f"{name}: got {int(torch.isnan(x).sum())} NaN values; allowed are numbers in [0, 1]"
                )
            raise InputError(_out_of_range(low.item(), high.item(), name))
    return x


def _out_of_range(low, high, name):
    """Return the message for pixels outside [0, 1], with enough digits to show it, and the likely remedy."""
    limits, remedy = f"{low:.6g}, {high:.6g}", ""
    if low >= -1e-3 and high <= 1 + 1e-3:
        limits = f"{low!r}, {high!r}"
        remedy = "; after a rounding error x.clamp(0, 1) is enough"
    elif low >= 0 and high <= 2**16:
        remedy = "; divide pixels of 0 to 255 by 255"
    elif math.isfinite(low) and math.isfinite(high):
        remedy = (
            "; are they normalised? Put the normalisation into the model and pass the images without it: "
            "model = nn.Sequential(transforms.Normalize(mean, std), net), with torchvision's transforms"
        )
    return f"{name}: got values in [{limits}]; allowed is [0, 1]{remedy}"


def check_labels(y: Tensor, x: Tensor, name: str = "y") -> Tensor:
    """Return `y` as int64; `InputError` unless it is an integer tensor (N,), one label per image of `x`, on the same device."""
    if not isinstance(y, torch.Tensor):
        hint = f": torch.as_tensor({name})" if isinstance(y, np.ndarray | list | tuple) else ""
        raise InputError(
            f"{name}: got {_given(y)}; allowed is a torch.Tensor of shape (N,) of int64 class numbers{hint}"
        )
    if y.device != x.device:
        raise InputError(f"{name}: got labels on {y.device}; allowed is the device of the images, {x.device}")
    _check_dense(y, name)
    if y.shape != (len(x),):
        hint = ""
        if y.shape == (len(x), 1):
            hint = f": {name}.squeeze(1)"
        elif y.dim() == 2 and len(y) == len(x):
            hint = f"; for one-hot labels use {name}.argmax(1)"
        raise InputError(
            f"{name}: got {_given(y)}; allowed is shape ({len(x)},), one label for each image{hint}"
        )
    if not are_integers(y):
        raise InputError(f"{name}: got {_given(y)}; allowed are int64 class numbers: {name}.long()")
    y = y.long()
    if y.numel() and int(y.min()) < 0:
        raise InputError(f"{name}: got label {int(y.min())}; allowed are class numbers from 0")
    return y


def are_integers(values: Tensor) -> bool:
    """Whether a tensor's dtype is an integer type, of any size."""
    return not (
        values.is_floating_point() or values.is_complex() or values.is_quantized or values.dtype == torch.bool
    )


def check_target(target: Tensor, y: Tensor) -> Tensor:
    """Raise `InputError` if a target equals the true label, because the attack would have nothing to do."""
    same = target == y
    if same.any():
        where = int(same.nonzero()[0])
        raise InputError(
            f"target: got the true label {int(y[where])} for image {where} ({int(same.sum())} images in all); "
            f"allowed is any other class"
        )
    return target


def check_classes(labels: Tensor, classes: int, name: str = "y") -> None:
    """Raise `InputError` unless every label is below the model's number of classes."""
    if labels.numel() and int(labels.max()) >= classes:
        raise InputError(
            f"{name}: got label {int(labels.max())}; allowed are 0 to {classes - 1}, the model's {classes} classes"
        )


def check_logits(logits: Tensor) -> Tensor:
    """Raise `InputError` unless a model's logits (N, K) are finite. Warn if they look like probabilities."""
    values = logits.detach().float()
    if not torch.isfinite(values).all():
        raise InputError("model: returned logits that are NaN or infinite; allowed are finite logits")
    if len(values) and values.min() >= 0 and (values.sum(1) - 1).abs().max() < 1e-3:
        warn(
            "model: returns what looks like probabilities (no value below 0, each row sums to 1); logits are expected, "
            "or gradients vanish and a weak attack looks like a strong model. Drop the final softmax.",
            ProbabilitiesWarning,
        )
    return logits


def check_model(model: nn.Module, x: Tensor) -> nn.Module:
    """Raise `InputError` unless `model` is an `nn.Module` on the device of `x`."""
    if not isinstance(model, torch.nn.Module):
        raise InputError(f"model: got {_given(model)}; allowed is a torch.nn.Module")
    parameter = next(model.parameters(), None)
    if parameter is not None and parameter.device != x.device:
        raise InputError(
            f"x: got images on {x.device}; allowed is the device of the model, {parameter.device}"
        )
    if any(values.is_meta for values in (*model.parameters(), *model.buffers())):
        raise InputError(
            "model: has weights or buffers on the meta device, without values; allowed is a model whose weights are loaded"
        )
    return model


def ask(model: nn.Module, x: Tensor, name: str = "x") -> Tensor:
    """Return the model's logits (N, K) for images `x` (N, C, H, W), differentiable if `x` requires gradients.

    The library calls models only through this function. It checks types, shapes and the graph but never values, so it does not
    wait for a GPU; `check_logits` checks the values. The model gets a copy of the images and the caller a copy of the answer, so
    that what the model writes through `x.data`, or into a buffer that it returns again, has no effect outside.

    Raises:
        InputError: the answer is not a floating-point tensor (N, K), K >= 2, or lacks the graph; or the model changed `x`, or
            does not accept its dtype.
    """
    handed = x.clone()
    before, differentiable = _version(handed), x.requires_grad and torch.is_grad_enabled()
    with explained(model, x, name):
        logits = model(handed)
    if _version(handed) != before:
        raise InputError(IN_PLACE)
    return check_answer(logits, x, differentiable).clone()


def _version(x):
    """Return how often `x` was changed in place; None for inference tensors, which do not count it."""
    return None if x.is_inference() else x._version


def check_answer(logits: Tensor, x: Tensor, differentiable: bool) -> Tensor:
    """Raise `InputError` unless `logits` are a valid answer to the images `x`; `ask` also checks that `x` is unchanged.

    Args:
        differentiable: whether `logits` must have a graph; the model itself may have switched gradients off since.
    """
    if not isinstance(logits, torch.Tensor):
        raise InputError(
            f"model: returned {_kind_of(logits)}; allowed are logits of shape ({len(x)}, K) alone: "
            f"wrap it in an nn.Module whose forward returns {_part_of(logits)}"
        )
    if logits.dim() != 2 or len(logits) != len(x) or logits.shape[1] < 2:
        raise InputError(
            f"model: returned {_given(logits)} for {len(x)} images; allowed are logits of shape ({len(x)}, K), K >= 2"
        )
    if not logits.is_floating_point():
        raise InputError(
            f"model: returned {_given(logits)}; allowed are floating-point logits, not labels or complex numbers"
        )
    if differentiable and not logits.requires_grad:
        raise InputError(NO_GRADIENT)
    return logits


def _kind_of(answer):
    """Describe what a model returned instead of a tensor: its type, and the types in it."""
    inside = (
        answer.values() if isinstance(answer, Mapping) else answer if isinstance(answer, tuple | list) else ()
    )
    kinds = ", ".join(type(part).__name__ for part in inside)
    return f"a {type(answer).__name__}{f' of {kinds}' if kinds else ''}"


def _part_of(answer):
    if hasattr(answer, "logits"):
        return "self.net(x).logits"
    if isinstance(answer, Mapping):
        return f"self.net(x)[{'logits' if 'logits' in answer else next(iter(answer), 'logits')!r}]"
    return "self.net(x)[0]" if isinstance(answer, tuple | list) else "them"


@contextmanager
def explained(model: nn.Module, x: Tensor, name: str = "x") -> Iterator[None]:
    """Inside the block, torch errors from running `model` on the images `x` become an `InputError` that says what to do.

    An error that was already explained further inside is explained again, with `name` for the images.
    """
    try:
        yield
    except (ValueError, RuntimeError) as error:
        explain(error, model, x, name)
        raise


@contextmanager
def evaluating(model: nn.Module) -> Iterator[nn.Module]:
    """Put `model` and all its submodules in eval mode; afterwards each is back in its own mode."""
    modes = [(module, module.training) for module in model.modules()]
    with suppress(NotImplementedError):  # an exported program keeps the mode that it was exported in
        model.eval()
    try:
        yield model
    finally:
        # An overridden `train` may also have to undo what `eval` did, such as merging weights.
        with suppress(NotImplementedError):
            for module, training in modes:
                if type(module).train is not nn.Module.train and module.training != training:
                    module.train(training)
        for module, training in modes:
            module.training = training


def predict(model: nn.Module, x: Tensor, batch_size: int = 256, name: str = "x") -> Tensor:
    """Return the logits (N, K) of `model` for images `x` (N, C, H, W), in eval mode, without gradients.

    Args:
        batch_size: images per call of the model (default 256).
        name: what errors call the images (default "x").
    """
    check_model(model, check_images(x, name))
    batch_size = check_range(batch_size, "batch_size", 1, integer=True)
    with evaluating(model), torch.inference_mode(False), torch.no_grad():
        if not len(x):  # a black image gives the number of classes: not every model accepts an empty batch
            return ask(model, x.new_zeros(1, *x.shape[1:]), name)[:0]
        logits = torch.cat([ask(model, part, name) for part in x.detach().split(batch_size)])
    return check_logits(logits)


def accuracy(model: nn.Module, x: Tensor, y: Tensor, batch_size: int = 256) -> float:
    """Return the share of images `x` (N, C, H, W) that `model` classifies as `y` (N,): in [0, 1], NaN for no images."""
    y = check_labels(y, check_images(x))
    return (predict(model, x, batch_size).argmax(1) == y).double().mean().item()


def on_device(model: nn.Module, device: torch.device) -> nn.Module:
    """Return `model` itself if it has no parameters or they are on `device` (as tensors report it), else a copy there."""
    parameter = next(model.parameters(), None)
    return model if parameter is None or parameter.device == device else deepcopy(model).to(device)


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """Return the `torch.device` for "auto" (CUDA if available, else the CPU) or for the name of an existing device.

    The result is the device as tensors report it, cuda:0 for "cuda", so that it equals the device of tensors on it.
    """
    if isinstance(device, str) and device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, TypeError) as error:
        raise InputError(
            f"device: got {device!r}; allowed is 'auto' or a device of this machine ({error})"
        ) from None
