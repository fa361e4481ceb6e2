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

from advcourse import metrics, models
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
from advcourse.evaluation import case_sets
from advcourse.evaluation.record import Names, Record, as_array


@dataclass(frozen=True)
class ModelSource:
    """Where a model comes from.

    Args:
        name: the model's name in tables. Without `build` and `module`, it is also the name for `models.load`.
        folder: folder with the weights (default None: the shipped ones).
        build: a function without arguments that returns the model, or where to import this function from:
            "package.module:function" (default None).
        module: the model itself (default None).
    """

    name: str
    folder: str | None = None
    build: str | Callable[[], nn.Module] | None = None
    module: nn.Module | None = None

    def load(self, device: str | torch.device = "cpu") -> nn.Module:
        """Load the model.

        Args:
            device: where to put it (default "cpu"). A `module` on another device is copied, and the original stays where it
                is.

        Returns:
            the model.

        Raises:
            InputError: the model can't be loaded, or `build` does not return a module.
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
    """Import the object that "package.module:name" or "file.py:name" refers to.

    Raises:
        InputError: it can't be imported.
    """
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module.removesuffix(".py")), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"build: got {path!r}; allowed is 'package.module:function', which can be imported ({error})"
        ) from error


@dataclass(frozen=True)
class DataSource:
    """Which images to use.

    Args:
        name: name of the data set (default "mnist-5k").
        split: "test" (default) or "train".
        images: number of images, drawn from all classes in turn (default 100).
        seed: seed of the draw (default 0).
        given: images and labels (x, y) to use as they are, instead of a data set (default None).
    """

    name: str = "mnist-5k"
    split: str = "test"
    images: int = 100
    seed: int = 0
    given: tuple[torch.Tensor, torch.Tensor] | None = None

    def load(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return images (N, C, H, W) and labels (N,), on the CPU."""
        if self.given is None:
            return case_sets.load(self.name, self.split).pick(self.images, self.seed)
        x, y = self.given
        return check_images(x, "given").cpu(), check_labels(y, x, "given").cpu()


@dataclass(frozen=True)
class Conditions:
    """How a cell is measured.

    Args:
        target: how the labels of targeted attacks are chosen, see `attacks.choose_target` (default "random").
        seed: seed of these labels (default 0).
        device: "cpu" (default), "cuda" or "auto".
        threads: number of processor threads for each cell (default 1, so that sums are added in the same order if cells run
            side by side, and on machines with more cores).
        batch: number of images attacked together, a multiple of 16 (default 496). Universal attacks always use all images at
            once.
        transformations: transformations of the attacked images, after each of which success is measured again (default: the
            standard ones).
        pictures: number of images to keep for the report (default 6).

    Raises:
        InputError: a value is out of range.
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
    """An attack on a model, with data and conditions. `name` and `variant` are the attack's name in tables."""

    name: str
    attack: Attack
    model: ModelSource
    data: DataSource = DataSource()
    conditions: Conditions = Conditions()
    variant: str = ""

    @property
    def names(self) -> Names:
        """The names of the cell's parts, as tables show them."""
        return Names(self.name, self.model.name, f"{self.data.name} {self.data.split}", self.variant)


def determinants(cell: Cell, known: dict[ModelSource | DataSource, str] | None = None) -> dict:
    """Return everything that determines a cell's numbers: code, settings, seeds, weights, images, device and versions.

    Args:
        cell: the cell.
        known: remembers the identities of models and images from one cell to the next; filled in place (default None: a new
            dictionary).

    Returns:
        a dictionary of plain values. "attack" and, in the conditions, "transformations" are texts for readers; "keys" holds
            the `identity` of both.
    """
    known = {} if known is None else known
    for source, summary in ((cell.model, identity), (cell.data, digest)):
        if source not in known:
            known[source] = summary(source.load())
    conditions = cell.conditions
    settings = {field.name: getattr(conditions, field.name) for field in fields(conditions)}
    settings["transformations"] = [repr(transform) for transform in conditions.transformations]
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


def key(determined: dict) -> str:
    """Return a name for the result of `determinants`, which ignores its texts for readers: 32 hexadecimal digits.

    If the model, the attack or a transformation can't be told apart from others, the name says so, see `identity.is_fresh`.
    """
    conditions = {
        name: value for name, value in determined["conditions"].items() if name != "transformations"
    }
    decisive = {name: value for name, value in determined.items() if name != "attack"} | {
        "conditions": conditions
    }
    fresh = any(map(is_fresh, (determined["model"], *determined["keys"].values())))
    name = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:32]
    return FRESH + name if fresh else name


# Cells with the same model follow each other. Since the checksum is an argument, changed weights or images are read again.
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


def _same(actual, wanted, what):
    if actual != wanted and not is_fresh(wanted):
        raise InputError(
            f"{what}: differs from that of the process which started the run; allowed is exactly the same"
        )


def measure(cell: Cell, wanted: dict | None = None) -> Record:
    """Run the attack of a cell and measure everything in the survey's section 3.

    Only one batch at a time is in memory.

    Args:
        cell: the cell.
        wanted: the cell's `determinants` in the process that started the run (default None: not compared).

    Returns:
        a `Record`.

    Raises:
        InputError: the code, attack, transformations, model, images, device or version of torch here differ from `wanted`.
    """
    wanted = deepcopy(wanted) if wanted else determinants(cell)
    _same(code_digest(), wanted["code"], "advcourse")
    _same(torch.__version__, wanted["torch"], "torch")
    _same(_device_name(cell.conditions.device), wanted["conditions"]["device"], "device")
    for name, here in _keys(cell).items():
        _same(here, wanted["keys"][name], name)
    device = resolve_device(cell.conditions.device)
    # If the model draws random numbers, they depend only on the seed, and the caller's random state is restored.
    with torch_threads(cell.conditions.threads), seeded(device, cell.conditions.seed):
        return _Measurement(cell, wanted).record()


class _Measurement:
    """The measurement of one cell, which collects the values of its batches."""

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
            {t.name: self._clean_accuracy(t, x, y) for t in conditions.transformations},
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
            kept = slice(0, self.conditions.pictures if x.shape[2] > 1 else 0)  # of height 1: no picture
            self.pictures = {"clean": as_array(x[kept]), "attacked": as_array(run.images[kept])}
        values = {
            "index": index,
            "label": y,
            **_of_the_attack(run),
            **self._after_transformations(run, first),
        }
        self.parts.append({name: as_array(value) for name, value in values.items()})

    def _after_transformations(self, run, first):
        """For each transformation, return which attacks still succeed after it, and which images are misclassified."""
        values = {}
        for transform in self.conditions.transformations:
            logits = predict(self.model, transform(run.images, first))
            for name, target in (("success", run.target), ("wrong", None)):
                done = metrics.succeeded(logits, run.labels, target, run.abstains)
                values[f"{name} {transform.name}"] = done
        return values


def _likeness(run):
    """Return how alike the pictures look, before and after; NaN for what is no picture, which has a height of 1."""
    if run.images.shape[2] == 1:
        return dict.fromkeys(("SSIM", "PSD"), run.size.new_full((len(run.images),), math.nan))
    return {"SSIM": metrics.ssim(run.clean, run.images), "PSD": metrics.psd(run.clean, run.images)}


def _of_the_attack(run):
    """Return the numbers of one batch that need only its `AttackResult`."""
    prediction, none = run.predictions, torch.full_like(run.labels, -1)
    return {
        "target": none if run.target is None else run.target,
        "prediction": prediction,
        "success": run.success,
        "wrong": metrics.succeeded(run.logits, run.labels, None, run.abstains),
        "size": run.size.double(),
        **run.distances,
        **_likeness(run),
        "wrong confidence": metrics.confidences(run.logits, prediction),
        "true confidence": metrics.confidences(run.logits, run.labels),
        "noise tolerance": metrics.noise_tolerance(run.logits),
        "steps": run.steps,
    }
