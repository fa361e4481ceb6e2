"""Checkpoints of a training run: tensors, numbers and text in one file, which appears whole or not at all."""

import hashlib
import os
import re
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from advcourse.inputs import InputError

FORMAT = "advcourse training 1"


def write(path: Path, settings: dict, state: dict) -> None:
    """Write the checkpoint, with its folder. The old file stays until the new one is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".tmp")  # always one name: a kill leaves one file at most
    with unfinished.open("wb") as file:
        torch.save({"format": FORMAT, "settings": settings, **state}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, path)


def read(path: Path, settings: dict) -> dict | None:
    """The state written last, its tensors on the CPU; None if there is no such file.

    Raises:
        InputError: the file is damaged, is no checkpoint, or its settings are not `settings`.
    """
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        form, written = state["format"], state["settings"]
    except Exception as error:  # a damaged file can raise almost anything
        raise InputError(
            f"checkpoint: {path} is damaged, or no checkpoint of a training run ({error})"
        ) from error
    if form != FORMAT:
        raise InputError(f"checkpoint: {path} has format {form!r}; allowed is {FORMAT!r}")
    differences = [name for name in settings if written.get(name) != settings[name]]
    if differences:
        raise InputError(
            f"checkpoint: {path} is of another run, with other "
            + ", ".join(_difference(name, written.get(name), settings[name]) for name in differences)
            + "; allowed is a checkpoint of the same settings, or a new file"
        )
    return state


def _difference(name: str, was: object, given: object) -> str:
    long = len(str(was)) + len(str(given)) > 80
    return name if long else f"{name} ({was!r} there, {given!r} here)"


def describe(value: object) -> str:
    """A text that is the same in each run of the same program."""
    if isinstance(value, partial):
        keywords = [f"{name}={describe(argument)}" for name, argument in value.keywords.items()]
        return f"{describe(value.func)}({', '.join([*map(describe, value.args), *keywords])})"
    if hasattr(value, "__qualname__"):
        return value.__qualname__
    if isinstance(value, tuple) and all(isinstance(part, Tensor) for part in value):
        return digest(value)
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def digest(tensors: tuple[Tensor, ...]) -> str:
    """SHA-256 (hex) of shapes, types and values."""
    total = hashlib.sha256()
    for tensor in tensors:
        total.update(str((tuple(tensor.shape), tensor.dtype)).encode())
        total.update(tensor.detach().cpu().contiguous().numpy())
    return total.hexdigest()


def named(net: nn.Module) -> str:
    """The class of a network and the start of its weights' checksum: a text that tells it apart."""
    return f"{type(net).__name__} {digest(tuple(net.state_dict().values()))[:12]}"
