"""One cell of the matrix: an attack, a model, data and conditions; how it is measured, and what determines the result."""

import hashlib
import importlib
import inspect
import json
import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, fields
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import nn

from advcourse import data, metrics, models
from advcourse.attacks import Attack, choose_target
from advcourse.checkpoints import describe, digest
from advcourse.evaluation.record import Names, Record
from advcourse.inputs import (
    InputError,
    check_choice,
    check_images,
    check_labels,
    check_range,
    predict,
    resolve_device,
)
from advcourse.randomness import seeded
from advcourse.transformations import STANDARD
from advcourse.workers import torch_threads

# The files whose text decides what is measured, below the package.
_DECISIVE = "attacks data defenses metrics models evaluation/cells.py evaluation/record.py".split()
_DECISIVE += "checkpoints.py inputs.py randomness.py transformations.py zoo.py".split()


@dataclass(frozen=True)
class ModelSource:
    """Where a model comes from.

    name: of the model in tables and, with neither `build` nor `module`, in `models.load`. folder: of its weights (default: the
    shipped ones). build: a function without arguments that returns the model, or where to import it: "package.module:function".
    module: the model itself.
    """

    name: str
    folder: str | None = None
    build: str | Callable[[], nn.Module] | None = None
    module: nn.Module | None = None

    def load(self, device="cpu"):
        """The model on `device`; a `module` that is elsewhere stays there, and is copied.

        Raises `InputError` where it cannot be had.
        """
        if self.module is not None:
            first = next(self.module.parameters(), None)
            there = first is None or first.device == torch.device(device)
            return self.module if there else deepcopy(self.module).to(device)
        if self.build is None:
            return models.load(self.name, device, self.folder)
        model = _imported(self.build)() if isinstance(self.build, str) else self.build()
        if not isinstance(model, nn.Module):
            raise InputError(
                f"build: {self.build!r} returned {type(model).__name__}; allowed is a torch.nn.Module"
            )
        return model.eval().to(device)


def _imported(path):
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"build: got {path!r}; allowed is 'package.module:function', which can be imported ({error})"
        ) from error


@dataclass(frozen=True)
class DataSource:
    """Which images: `images` of the set `name`, drawn by `seed` with classes in turn; or `given` (x, y), as they are."""

    name: str = "mnist-5k"
    split: str = "test"
    images: int = 100
    seed: int = 0
    given: tuple[torch.Tensor, torch.Tensor] | None = None

    def load(self):
        """Images (N, C, H, W) and labels (N,), on the CPU."""
        if self.given is None:
            return data.load(self.name, self.split).pick(self.images, self.seed)
        x, y = self.given
        return check_images(x, "given").cpu(), check_labels(y, x, "given").cpu()


@dataclass(frozen=True)
class Conditions:
    """How a cell is measured.

    target: how the labels of targeted attacks are chosen, see `attacks.choose_target` (default "random"). seed: of the targets.
    device: "cpu" (default), "cuda", "auto". threads: of the processor for each cell (default 1, so that cells side by side, and
    on machines with more cores, add up in the same order). batch: images attacked together (default 496), a multiple of 16;
    universal attacks take all at once. transformations: after which a success shall still be one. pictures: how many to keep.
    """

    target: str = "random"
    seed: int = 0
    device: str = "cpu"
    threads: int = 1
    batch: int = 496
    transformations: tuple[Callable, ...] = STANDARD
    pictures: int = 6

    def __post_init__(self):
        check_choice(self.target, "target", ("random", "least_likely", "next"))
        check_range(self.seed, "seed", 0, integer=True)
        check_range(self.threads, "threads", 1, integer=True)
        check_range(self.batch, "batch", 16, integer=True)
        check_range(self.pictures, "pictures", 0, integer=True)
        if self.batch % 16:
            raise InputError(f"batch: got {self.batch}; allowed are multiples of 16")


@dataclass(frozen=True)
class Cell:
    """An attack on a model, on data, under conditions. `name` and `variant` are what it is called in tables."""

    name: str
    attack: Attack
    model: ModelSource
    data: DataSource = DataSource()
    conditions: Conditions = Conditions()
    variant: str = ""

    @property
    def names(self):
        """What the cell is called."""
        return Names(self.name, self.model.name, f"{self.data.name} {self.data.split}", self.variant)


def identity(cell, known=None):
    """All that determines the numbers of a cell, as plain values: code, settings, seeds, weights, images, device, versions.

    `known`: a dictionary that remembers models and images from one cell to the next.
    """
    known = {} if known is None else known
    for source, summary in ((cell.model, fingerprint), (cell.data, digest)):
        if source not in known:
            known[source] = summary(source.load())
    conditions = cell.conditions
    settings = {field.name: getattr(conditions, field.name) for field in fields(conditions)}
    settings["transformations"] = [repr(one) for one in conditions.transformations]
    settings["device"] = _device_name(conditions.device)
    return {
        "attack": repr(cell.attack),
        "model": known[cell.model],
        "data": known[cell.data],
        "images": "given" if cell.data.given else f"{cell.data.images} drawn by seed {cell.data.seed}",
        "conditions": settings,
        "code": code_digest(),
        "torch": torch.__version__,
    }


def _device_name(device):
    device = resolve_device(device)
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def key(identity):
    """A name for an `identity`: 32 hexadecimal digits."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]


def fingerprint(model):
    """SHA-256 (hex) of a model: weights, buffers, structure; and of each part attributes, hooks, and code that is not torch's."""
    total = hashlib.sha256(repr(model).encode())
    for name, tensor in model.state_dict().items():
        total.update(f"{name} {digest((tensor,))}".encode())
    for part in model.modules():
        told = {name: value for name, value in vars(part).items() if name[0] != "_" and name != "training"}
        hooks = [*part._forward_pre_hooks.values(), *part._forward_hooks.values()]
        code = [] if type(part).__module__.startswith("torch.") else [type(part)]
        for name, value in [*sorted(told.items()), *(("", value) for value in hooks + code)]:
            total.update(f"{name} {_told(value)}".encode())
    return total.hexdigest()


def _told(value):
    """A text that tells values apart: a tensor by its numbers, a function or class by its code and what it closes over."""
    if isinstance(value, torch.Tensor):
        return digest((value,))
    closed = [describe(cell.cell_contents) for cell in getattr(value, "__closure__", None) or ()]
    try:
        return f"{inspect.getsource(value)} {closed}"
    except (OSError, TypeError):  # no code, or typed in by hand
        return f"{describe(value)} {closed}"


@cache
def code_digest():
    """SHA-256 (hex) of the library's source, as far as it decides what is measured."""
    root, total = Path(__file__).resolve().parent.parent, hashlib.sha256()
    for name in _DECISIVE:
        path = root / name
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            total.update(file.relative_to(root).as_posix().encode() + file.read_bytes())
    return total.hexdigest()


# Cells of one model come one after the other. With the checksum in the key, changed weights or images are read anew.
@lru_cache(maxsize=1)
def _model(source, device, checksum):
    model = source.load(device)
    _same(fingerprint(model), checksum, f"model {source.name!r}")
    return model


@lru_cache(maxsize=1)
def _data(source, checksum):
    x, y = source.load()
    _same(digest((x, y)), checksum, f"data {source.name!r}")
    return x, y


def _same(found, wanted, what):
    if found != wanted:
        raise InputError(f"{what}: other here than where the work was handed out; allowed is the very same")


def measure(cell, wanted=None):
    """Attack, and measure all that the survey's section 3 asks for: a `Record`. Memory is that of one batch at a time.

    `wanted`: the cell's `identity` where the work was handed out. Raises `InputError` where code, model, images, device or
    version of torch are others here.
    """
    wanted = wanted or identity(cell)
    _same(code_digest(), wanted["code"], "advcourse")
    _same(torch.__version__, wanted["torch"], "torch")
    _same(_device_name(cell.conditions.device), wanted["conditions"]["device"], "device")
    device = resolve_device(cell.conditions.device)
    # A model may draw random numbers: they follow from the seed, whoever measures, and the caller's state stays.
    with torch_threads(cell.conditions.threads), seeded(device, cell.conditions.seed):
        return _Measurement(cell, wanted).record()


class _Measurement:
    """One cell while it is measured: the values of batch after batch."""

    def __init__(self, cell, wanted):
        self.cell, self.conditions, self.identity = cell, cell.conditions, wanted
        self.device = resolve_device(cell.conditions.device)
        self.model = _model(cell.model, self.device, wanted["model"])
        self.parts, self.pictures, self.memory = [], {}, 0.0
        self.seconds = self.forward_passes = self.backward_passes = 0

    def record(self):
        x, y = _data(self.cell.data, self.identity["data"])
        x, y = x.to(self.device), y.to(self.device)
        read = predict(self.model, x).argmax(1) == y if len(x) else y == y
        index = read.nonzero().squeeze(1)
        attack, conditions = self.cell.attack, self.conditions
        target = None
        if attack.targeted and not attack.chooses_target:
            target = choose_target(self.model, x[index], y[index], conditions.target, conditions.seed)
        size = max(1, len(index)) if attack.universal else conditions.batch
        for first in range(0, max(1, len(index)), size):
            part = slice(first, first + size)
            goal = None if target is None else target[part]
            self._batch(index[part], x[index[part]], y[index[part]], goal, first)
        names = self.parts[0]
        each = 1 / len(index) if len(index) else math.nan
        costs = (each * total for total in (self.seconds, self.forward_passes, self.backward_passes))
        return Record(
            self.cell.names,
            repr(attack),
            attack.kind,
            attack.threat_model,
            self.identity,
            len(x),
            metrics.Efficiency(*costs, self.memory, len(index), self.device.type),
            {one.name: self._clean_accuracy(one, x, y) for one in conditions.transformations},
            {name: np.concatenate([part[name] for part in self.parts]) for name in names},
            self.pictures,
        )

    def _clean_accuracy(self, transform, x, y):
        right = 0
        for first in range(0, len(x), self.conditions.batch):
            part = slice(first, first + self.conditions.batch)
            right += (predict(self.model, transform(x[part], first)).argmax(1) == y[part]).sum().item()
        return right / len(x) if len(x) else math.nan

    def _batch(self, index, x, y, target, first):
        with metrics.PeakMemory(self.device) as peak:
            run = self.cell.attack.run(self.model, x, y, target, first=first)
        self.memory = max(self.memory, peak.mib)
        self.seconds += run.seconds
        self.forward_passes += run.forward_passes
        self.backward_passes += run.backward_passes
        if not first:
            kept = slice(0, self.conditions.pictures)
            self.pictures = {"clean": x[kept].cpu().numpy(), "attacked": run.images[kept].cpu().numpy()}
        values = {
            "index": index,
            "label": y,
            **_of_the_attack(run),
            **self._after_transformations(run, first),
        }
        self.parts.append({name: value.cpu().numpy() for name, value in values.items()})

    def _after_transformations(self, run, first):
        """For each transformation: which attacks do what they want after it, and what is misread."""
        values = {}
        for transform in self.conditions.transformations:
            logits = predict(self.model, transform(run.images, first))
            for name, target in (("success", run.target), ("wrong", None)):
                done = metrics.succeeded(logits, run.labels, target, run.abstains)
                values[f"{name} {transform.name}"] = done
        return values


def _of_the_attack(run):
    """The numbers of one batch that need nothing but its `AttackResult`."""
    prediction, none = run.predictions, torch.full_like(run.labels, -1)
    return {
        "target": none if run.target is None else run.target,
        "prediction": prediction,
        "success": run.success,
        "wrong": metrics.succeeded(run.logits, run.labels, None, run.abstains),
        "size": run.size.double(),
        **run.distances,
        "SSIM": metrics.ssim(run.clean, run.images),
        "PSD": metrics.psd(run.clean, run.images),
        "wrong confidence": metrics.confidences(run.logits, prediction),
        "true confidence": metrics.confidences(run.logits, run.labels),
        "noise tolerance": metrics.noise_tolerance(run.logits),
        "steps": run.steps,
    }
