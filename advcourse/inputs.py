"""The model contract and the checks of what callers hand in.

A *model* is an `nn.Module` that maps float images in [0, 1], shape (N, C, H, W), to logits, shape (N, K), K >= 2.
Normalisation is a layer inside the model, so that budgets, distances and pictures all live in [0, 1].
"""

import reprlib
import warnings
from contextlib import contextmanager

import torch


class InputError(ValueError):
    """Bad input. The message names the argument, says what was given and what is allowed."""


class ProbabilitiesWarning(UserWarning):
    """The model seems to return probabilities where logits are expected."""


def _given(value):
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)} and type {value.dtype}"
    return f"{reprlib.repr(value)} ({type(value).__name__})"


def check_choice(value, name, allowed):
    """Raise `InputError` unless `value` is one of `allowed`."""
    if value not in allowed:
        raise InputError(f"{name}: got {value!r}; allowed are {', '.join(map(repr, allowed))}")
    return value


def check_range(value, name, low=None, high=None, *, integer=False, exclusive_low=False):
    """Raise `InputError` unless `value` is a finite number in [low, high] (in (low, high] if `exclusive_low`)."""
    number = isinstance(value, int if integer else int | float) and not isinstance(value, bool)
    kind = "an integer" if integer else "a number"
    above = low is None or (number and (value > low if exclusive_low else value >= low))
    below = high is None or (number and value <= high)
    if not (number and value - value == 0 and above and below):  # inf - inf and nan - nan are not 0
        limits = [f"{'>' if exclusive_low else '>='} {low}"] if low is not None else []
        limits += [f"<= {high}"] if high is not None else []
        raise InputError(
            f"{name}: got {value!r}; allowed is {' '.join([kind, ' and '.join(limits)]).strip()}"
        )
    return value


def check_images(x, name="x"):
    """Raise `InputError` unless `x` is a batch of float images, shape (N, C, H, W), every value in [0, 1]. N may be 0."""
    if not isinstance(x, torch.Tensor):
        raise InputError(f"{name}: got {_given(x)}; allowed is a torch.Tensor of shape (N, C, H, W)")
    if not x.is_floating_point():
        raise InputError(
            f"{name}: got {_given(x)}; allowed are floating-point images (divide 0..255 pixels by 255)"
        )
    if x.dim() != 4:
        hint = "; for one image use x.unsqueeze(0)" if x.dim() == 3 else ""
        raise InputError(f"{name}: got {_given(x)}; allowed is shape (N, C, H, W){hint}")
    if x.numel():
        low, high = torch.aminmax(x.detach())
        if not (low >= 0 and high <= 1):  # NaN fails the comparison as well
            if torch.isnan(x).any():
                raise InputError(
                    f"{name}: got {int(torch.isnan(x).sum())} NaN values; allowed are numbers in [0, 1]"
                )
            raise InputError(
                f"{name}: got values in [{low.item():.6g}, {high.item():.6g}]; allowed is [0, 1]"
            )
    return x


def check_labels(y, x, name="y"):
    """Raise `InputError` unless `y` is an integer tensor of shape (N,), one label for each image of `x`, on its device."""
    if not isinstance(y, torch.Tensor):
        raise InputError(
            f"{name}: got {_given(y)}; allowed is a torch.Tensor of shape (N,) of int64 class numbers"
        )
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise InputError(f"{name}: got {_given(y)}; allowed are int64 class numbers")
    if y.shape != (len(x),):
        raise InputError(f"{name}: got {_given(y)}; allowed is shape ({len(x)},), one label for each image")
    if y.device != x.device:
        raise InputError(f"{name}: got labels on {y.device}; allowed is the device of the images, {x.device}")
    if y.numel() and int(y.min()) < 0:
        raise InputError(f"{name}: got label {int(y.min())}; allowed are class numbers from 0")
    return y.long()


def check_target(target, y):
    """Raise `InputError` where a target equals the true label: nothing would have to be done there."""
    same = target == y
    if same.any():
        where = int(same.nonzero()[0])
        raise InputError(
            f"target: got the true label {int(y[where])} for image {where} ({int(same.sum())} images in all); "
            f"allowed is any other class"
        )
    return target


def check_classes(labels, classes, name="y"):
    """Raise `InputError` unless every label is below the model's number of classes."""
    if labels.numel() and int(labels.max()) >= classes:
        raise InputError(
            f"{name}: got label {int(labels.max())}; allowed are 0 to {classes - 1}, the model's {classes} classes"
        )


def check_logits(logits, n):
    """Raise `InputError` unless a model's output keeps the contract: finite, shape (N, K), K >= 2. Warn of probabilities."""
    if not isinstance(logits, torch.Tensor) or logits.dim() != 2 or len(logits) != n or logits.shape[1] < 2:
        raise InputError(
            f"model: returned {_given(logits)} for {n} images; allowed are logits of shape ({n}, K), K >= 2"
        )
    values = logits.detach().float()
    if not torch.isfinite(values).all():
        raise InputError("model: returned logits that are NaN or infinite; allowed are finite logits")
    if n and values.min() >= 0 and (values.sum(1) - 1).abs().max() < 1e-3:
        warnings.warn(
            "model: returns what looks like probabilities (no value below 0, each row sums to 1); logits are expected, "
            "or gradients vanish and a weak attack looks like a strong model. Drop the final softmax.",
            ProbabilitiesWarning,
            stacklevel=3,
        )
    return logits


def check_model(model, x):
    """Raise `InputError` unless `model` is an `nn.Module` on the device of `x`."""
    if not isinstance(model, torch.nn.Module):
        raise InputError(f"model: got {_given(model)}; allowed is a torch.nn.Module")
    parameter = next(model.parameters(), None)
    if parameter is not None and parameter.device != x.device:
        raise InputError(
            f"x: got images on {x.device}; allowed is the device of the model, {parameter.device}"
        )
    return model


@contextmanager
def evaluating(model):
    """Put `model` and all its parts in eval mode; afterwards every part is in the mode that it had."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield model
    finally:
        for module, training in modes:
            module.training = training


def predict(model, x, batch_size=256):
    """Logits (N, K) of `model` for the images `x` (N, C, H, W), in eval mode and without gradients, `batch_size` at a time."""
    check_images(x)
    check_model(model, x)
    with evaluating(model), torch.no_grad():
        chunks = [model(chunk) for chunk in x.split(batch_size)]
    return check_logits(torch.cat(chunks), len(x)) if len(x) else chunks[0]


def accuracy(model, x, y, batch_size=256):
    """Share of the images `x` (N, C, H, W) that `model` classifies as `y` (N,): a float in [0, 1], NaN for no images."""
    y = check_labels(y, check_images(x))
    return (predict(model, x, batch_size).argmax(1) == y).double().mean().item()


def resolve_device(device="auto"):
    """`torch.device` for `"auto"` (CUDA where there is one, else the CPU) or for a device by name, which must be there."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=device)
        return torch.device(device)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise InputError(
            f"device: got {device!r}; allowed is 'auto' or a device of this machine ({error})"
        ) from None
