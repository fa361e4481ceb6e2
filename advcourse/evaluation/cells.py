"""One cell of the matrix: an attack, a model, data and conditions; how it is measured, and what determines the result."""

import hashlib
import importlib
import json
import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import nn

from advcourse import data, metrics, models
from advcourse.attacks import Attack, choose_target
from advcourse.core.identity import FRESH, code_digest, digest, identity, is_fresh
from advcourse.core.inputs import (
    InputError,
    check_choice,
    check_images,
    check_labels,
    check_range,
    on_device,
    predict,
    resolve_device,
)
from advcourse.core.randomness import seeded
from advcourse.core.workers import torch_threads
from advcourse.data.transformations import STANDARD
from advcourse.evaluation.record import Names, Record, as_array


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

    def load(self, device: str | torch.device = "cpu") -> nn.Module:
        """The model on `device`; a `module` that is elsewhere stays there, and is copied.

        Raises `InputError` where it cannot be had.
        """
        if self.module is not None:
            return on_device(self.module, resolve_device(device))
        if self.build is None:
            return models.load(self.name, device, self.folder)
        model = imported(self.build)() if isinstance(self.build, str) else self.build()
        if not isinstance(model, nn.Module):
            raise InputError(
                f"build: {self.build!r} returned {type(model).__name__}; allowed is a torch.nn.Module"
            )
        return model.eval().to(device)


def imported(path: str) -> Any:
    """What "package.module:name", or "file.py:name", names. Raises `InputError` where it cannot be imported."""
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module.removesuffix(".py")), name)
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

    def load(self) -> tuple[torch.Tensor, torch.Tensor]:
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
    def names(self) -> Names:
        """What the cell is called."""
        return Names(self.name, self.model.name, f"{self.data.name} {self.data.split}", self.variant)


def determinants(cell: Cell, known: dict[ModelSource | DataSource, str] | None = None) -> dict:
    """All that determines the numbers of a cell, as plain values: code, settings, seeds, weights, images, device, versions.

    "attack" and, of the conditions, "transformations" are texts for readers; "keys" are the `identity` of both.
    `known`: a dictionary that remembers models and images from one cell to the next.
    """
    known = {} if known is None else known
    for source, summary in ((cell.model, identity), (cell.data, digest)):
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
        "keys": _keys(cell),
        "code": code_digest(),
        "torch": torch.__version__,
    }


def _keys(cell):
    return {"attack": identity(cell.attack), "transformations": identity(cell.conditions.transformations)}


def _device_name(device):
    device = resolve_device(device)
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def key(told: dict) -> str:
    """A name for what `determinants` tells, but for its texts: 32 hexadecimal digits.

    Where the model, the attack or a transformation cannot be told from another, the name says so: see `identity.is_fresh`.
    """
    conditions = {name: value for name, value in told["conditions"].items() if name != "transformations"}
    decisive = {name: value for name, value in told.items() if name != "attack"} | {"conditions": conditions}
    fresh = any(map(is_fresh, (told["model"], *told["keys"].values())))
    name = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:32]
    return FRESH + name if fresh else name


# Cells of one model come one after the other. With the checksum in the key, changed weights or images are read anew.
@lru_cache(maxsize=1)
def _model(source, device, checksum):
    model = source.load(device)
    _same(identity(model), checksum, f"model {source.name!r}")
    return model


@lru_cache(maxsize=1)
def _data(source, checksum):
    x, y = source.load()
    _same(digest((x, y)), checksum, f"data {source.name!r}")
    return x, y


def _same(found, wanted, what):
    if found != wanted and not is_fresh(wanted):
        raise InputError(f"{what}: other here than where the work was handed out; allowed is the very same")


def measure(cell: Cell, wanted: dict | None = None) -> Record:
    """Attack, and measure all that the survey's section 3 asks for: a `Record`. Memory is that of one batch at a time.

    `wanted`: the cell's `determinants` where the work was handed out. Raises `InputError` where code, attack, transformations,
    model, images, device or version of torch are others here.
    """
    wanted = deepcopy(wanted) if wanted else determinants(cell)
    _same(code_digest(), wanted["code"], "advcourse")
    _same(torch.__version__, wanted["torch"], "torch")
    _same(_device_name(cell.conditions.device), wanted["conditions"]["device"], "device")
    for name, found in _keys(cell).items():
        _same(found, wanted["keys"][name], name)
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
            self.pictures = {"clean": as_array(x[kept]), "attacked": as_array(run.images[kept])}
        values = {
            "index": index,
            "label": y,
            **_of_the_attack(run),
            **self._after_transformations(run, first),
        }
        self.parts.append({name: as_array(value) for name, value in values.items()})

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
