"""Checkpoints of a training run: tensors, numbers and text in one file, which is written whole or not at all."""

import re
import reprlib
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from advcourse.core.files import replacing, sweep
from advcourse.core.identity import digest, identity, is_fresh
from advcourse.core.inputs import InputError

FORMAT = "advcourse training 2"


def write(path: Path, settings: dict, state: dict) -> None:
    """Write the checkpoint, and make its folder. The old file stays until the new one is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent)  # checkpoints are large: a run that is killed again and again must not fill the disk
    with replacing(path) as unfinished, unfinished.open("wb") as file:
        torch.save({"format": FORMAT, "settings": settings, **state}, file)


def read(path: Path, settings: dict) -> dict | None:
    """Return the state written last, with its tensors on the CPU; None if there is no such file.

    Raises:
        InputError: the file is damaged or not a checkpoint, or its settings differ from `settings`.
    """
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        form, written = state["format"], state["settings"]
    except Exception as error:  # a damaged file can raise almost anything
        raise InputError(
            f"checkpoint: {path} is damaged, or not a checkpoint of a training run ({error})"
        ) from error
    if form != FORMAT:
        raise InputError(f"checkpoint: {path} has format {form!r}; allowed is {FORMAT!r}")
    differences = [name for name in settings if not _same(written.get(name), settings[name])]
    if differences:
        raise InputError(
            f"checkpoint: {path} is of another run, with other "
            + ", ".join(_difference(name, written.get(name), settings[name]) for name in differences)
            + "; allowed is a checkpoint with the same settings, or a new file"
        )
    return state


def told(value: object, apart_from: Iterable[Tensor] = ()) -> dict:
    """Describe a setting that is not a plain number or text: "text" is for readers, "key" is its `identity`, for comparison."""
    return {"text": describe(value), "key": identity(value, apart_from=apart_from)}


def _same(was: object, given: object) -> bool:
    """Whether a setting equals the one in the file, whose "also" may hold another key that counts as equal."""
    if isinstance(was, dict) and isinstance(given, dict):
        return given["key"] in (was["key"], was.get("also"))
    return was == given


def _difference(name: str, was: object, given: object) -> str:
    parts = isinstance(was, dict) and isinstance(given, dict)
    there, here = (was["text"], given["text"]) if parts else (repr(was), repr(given))
    if parts and is_fresh(given["key"]):
        return f"{name} ({_short(here)}, which cannot be told from another)"
    if there == here:
        return f"{name} ({_short(here)} here and there, but with different code or contents)"
    return name if len(there) + len(here) > 120 else f"{name} ({there} there, {here} here)"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def describe(value: object) -> str:
    """Return a text for readers that is the same in each run of the same program. It distinguishes less than `identity`."""
    if isinstance(value, partial):
        keywords = [f"{name}={describe(argument)}" for name, argument in value.keywords.items()]
        return f"{describe(value.func)}({', '.join([*map(describe, value.args), *keywords])})"
    if hasattr(value, "__qualname__"):
        return value.__qualname__
    if isinstance(value, tuple) and value and all(isinstance(part, Tensor) for part in value):
        return digest(value)
    if type(value).__repr__ is object.__repr__:
        held = [f"{name}={reprlib.repr(part)}" for name, part in getattr(value, "__dict__", {}).items()]
        return _nameless(f"{type(value).__qualname__}({', '.join(held)})")
    return _nameless(repr(value))


def _nameless(text: str) -> str:
    return re.sub(r" at 0x[0-9a-fA-F]+", "", text)


def named(net: nn.Module) -> str:
    """Return a network's class and the start of its weights' checksum, for readers and cards: the same in every version."""
    return f"{type(net).__name__} {digest(tuple(net.state_dict().values()))[:12]}"
