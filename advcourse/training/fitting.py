"""Training: `fit(model, data, objective)`. A training defense is an objective; nothing else differs."""

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from advcourse.core.identity import digest
from advcourse.core.inputs import (
    InputError,
    accuracy,
    ask,
    check_choice,
    check_classes,
    check_flag,
    check_images,
    check_labels,
    check_range,
    check_seed,
    evaluating,
    explained,
    predict,
    resolve_device,
)
from advcourse.core.randomness import random_state, seeded, set_random_state
from advcourse.training import checkpoints
from advcourse.training.augmentation import Augmentation
from advcourse.training.checkpoints import told

Objective = Callable[[nn.Module, Tensor, Tensor], Tensor]
Pair = tuple[Tensor, Tensor]


@runtime_checkable
class Replaying(Protocol):
    """An objective that needs several optimizer steps on each batch, and carries state from one step to the next.

    replays: the number of steps on each batch. state_dict(): tensors, numbers and text, for the checkpoint.
    load_state_dict(state): continue from that state; {} starts afresh.
    """

    replays: int

    def state_dict(self) -> dict: ...

    def load_state_dict(self, state: dict) -> None: ...


class DivergenceError(RuntimeError):
    """The loss became NaN or infinite. The model holds the best weights from before that."""


@dataclass
class History:
    """What happened in each epoch.

    loss: mean objective over the images. score: the validation score, NaN if there was none. lr: the
    learning rate of the last step. seconds: wall-clock time, including validation. best_epoch: the epoch (from 0)
    whose weights the model has now; -1 for the weights that it started with.
    """

    loss: list[float] = field(default_factory=list)
    score: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    best_epoch: int = -1

    def __len__(self) -> int:
        return len(self.loss)


def cross_entropy(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Return the mean cross-entropy of the model's logits for `x`, the objective of ordinary training: a scalar in nats."""
    return F.cross_entropy(ask(model, x), y)


def one_cycle(done: float) -> float:
    """Return the learning rate as a share of its peak, at the share `done` of training: linear up for 30 %, then down to 0.

    After Smith and Topin, "Super-convergence", arXiv:1708.07120.
    """
    return done / 0.3 if done < 0.3 else (1 - done) / 0.7


def constant(done: float) -> float:
    """Return 1: the same learning rate throughout."""
    return 1.0


SCHEDULES = {"one-cycle": one_cycle, "constant": constant}


def fit(
    model: nn.Module,
    data: Dataset | Pair,
    objective: Objective = cross_entropy,
    *,
    validation: Dataset | Pair | None = None,
    score: Callable[[nn.Module], float] | None = None,
    epochs: int = 10,
    batch_size: int = 128,
    lr: float = 1e-3,
    optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.Adam,
    schedule: str | Callable[[float], float] = "one-cycle",
    augment: Augmentation | None = None,
    device: str | torch.device = "auto",
    seed: int = 0,
    checkpoint: str | os.PathLike | None = None,
    progress: bool = True,
) -> History:
    """Train `model` in place; it ends with its best weights, on its original device and in its original mode.

    Args:
        model: maps images (N, C, H, W) in [0, 1] to what `objective` expects, logits (N, K) by default.
        data: an `ImageSet`, or a pair (images (N, C, H, W), labels (N,)). Floating-point labels, (N, ...), are passed
            on unchanged, for objectives that use them.
        objective: `(model, x, y) -> loss`, a scalar to be minimised. One that is `Replaying` gets `replays` steps in a row on
            each batch, which is augmented once; its state is reset before and after training.
        validation: data like `data`; the best weights are those with the highest accuracy on it, the later of equals.
        score: `(model) -> float` instead of `validation`, higher is better; called after each epoch, in eval
            mode, on `device`. With neither, the best weights are the last.
        epochs, batch_size, lr: passes over the data, images per step (one more if one is left over), peak learning rate.
        optimizer: `(parameters, lr=lr) -> optimizer`; set other options with `functools.partial`.
        schedule: "one-cycle", "constant", or a function from the share of training done, in (0, 1), to the share
            of `lr`.
        augment: `(x, generator) -> x` on each batch, drawing from `generator` (on the CPU); see `training.augmentation`.
        device: where to train; "auto" uses a GPU if there is one.
        seed: determines the order, the augmentation and everything else that is random. The global random state is kept.
        checkpoint: a file written after each epoch. If it exists, training resumes from it, and on the CPU ends with
            exactly the weights of an uninterrupted run. A file of another run is refused: other data, another model, other
            initial weights, another objective or other settings, see `advcourse.core.identity`. The model may also have
            the weights that the run left it with.
        progress: show a progress bar.

    Raises:
        InputError: an argument is out of range, or the checkpoint is damaged or of another run.
        DivergenceError: the loss became NaN or infinite.
    """
    if validation is not None:
        if score is not None:
            raise InputError("score: got both validation and score; allowed is one of them")
        validation = _tensors(validation, "validation")
        _check_labels(model, *validation, "validation")
        score = partial(_accuracy_on, data=validation)
    run = _Run(
        model=model,
        data=_tensors(data, "data"),
        objective=objective,
        score=score,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        optimizer=optimizer,
        schedule=schedule,
        augment=augment,
        device=resolve_device(device),
        seed=seed,
        checkpoint=None if checkpoint is None else Path(checkpoint),
    )
    with _left_as_found(model), seeded(run.device, run.seed):
        return run.train(check_flag(progress, "progress"))


def _accuracy_on(model: nn.Module, data: Pair) -> float:
    device = next(model.parameters()).device
    return accuracy(model, *(tensor.to(device) for tensor in data))


@dataclass
class _Run:
    """One training run: its settings as `fit` takes them, and how far it has come."""

    model: nn.Module
    data: Pair
    objective: Objective
    score: Callable[[nn.Module], float] | None
    epochs: int
    batch_size: int
    lr: float
    optimizer: Callable[..., torch.optim.Optimizer]
    schedule: str | Callable[[float], float]
    augment: Augmentation | None
    device: torch.device
    seed: int
    checkpoint: Path | None

    def __post_init__(self):
        _check_trainable(self.model)
        self.epochs = check_range(self.epochs, "epochs", 1, integer=True)
        self.batch_size = check_range(self.batch_size, "batch_size", 1, integer=True)
        self.lr = check_range(self.lr, "lr", 0, exclusive_low=True)
        self.seed = check_seed(self.seed)
        if not callable(self.schedule):
            self.schedule = SCHEDULES[check_choice(self.schedule, "schedule", tuple(SCHEDULES))]
        for name in ("objective", "score", "optimizer", "augment"):
            value = getattr(self, name)
            if not callable(value) and not (value is None and name in ("score", "augment")):
                raise InputError(f"{name}: got {value!r}; allowed is a function")
        if self.objective is cross_entropy:
            _check_labels(self.model, *self.data, "data")
        replays = self.objective.replays if isinstance(self.objective, Replaying) else 1
        self.replays = check_range(replays, "objective.replays", 1, integer=True)
        self.history = History()
        self.best_score = -math.inf
        self.batches = len(self._split(torch.arange(len(self.data[0]))))

    def train(self, progress: bool) -> History:
        self.model.to(self.device)
        self.stepper = self.optimizer([p for p in self.model.parameters() if p.requires_grad], lr=self.lr)
        self.peaks = [group["lr"] for group in self.stepper.param_groups]
        self.generator = torch.Generator().manual_seed(self.seed)
        self.best = deepcopy(self.model.state_dict())
        self._carry({})
        settings = None
        if self.checkpoint is not None:
            settings = self._settings()
            self._resume(settings)
        self.images, self.labels = (tensor.to(self.device) for tensor in self.data)
        steps = (len(self.history) * self.batches, self.epochs * self.batches)
        bar = tqdm(initial=steps[0], total=steps[1], unit="batch", desc="training", disable=not progress)
        try:
            with bar:
                while len(self.history) < self.epochs:
                    self._epoch(bar)
                    if settings is not None:
                        self._write(settings)
        finally:
            self.model.load_state_dict(self.best)
            self._carry({})
        return self.history

    def _epoch(self, bar: tqdm) -> None:
        started = time.perf_counter()
        self.model.train()
        order = torch.randperm(len(self.images), generator=self.generator).to(self.device)
        number, total = len(self.history), 0.0
        for batch, indices in enumerate(self._split(order)):
            x, y = self.images[indices], self.labels[indices]
            if self.augment is not None:
                x = self.augment(x, self.generator)
            for replay in range(self.replays):
                step = (number * self.batches + batch) * self.replays + replay
                self._set_lr((step + 0.5) / (self.epochs * self.batches * self.replays))
                loss = self._step(x, y)
                if not math.isfinite(loss):
                    raise DivergenceError(
                        f"the loss is {loss} at epoch {number + 1} of {self.epochs}, batch {batch + 1} of "
                        f"{self.batches}; a lower lr than {self.lr} may help. The model has its best weights from before that"
                    )
                total += loss * len(indices) / self.replays
            bar.update()
        self._record(total / len(self.images), started)
        bar.set_postfix(loss=f"{self.history.loss[-1]:.4f}", score=f"{self.history.score[-1]:.4f}")

    def _split(self, order: Tensor) -> list[Tensor]:
        """Split an epoch into batches. A single left-over image joins the last: batch normalisation can't train on one alone."""
        alone = self.batch_size > 1 and len(order) > 1 and len(order) % self.batch_size == 1
        *batches, last = order[: len(order) - alone].split(self.batch_size)
        return [*batches, torch.cat([last, order[len(order) - alone :]])]

    def _step(self, x: Tensor, y: Tensor) -> float:
        """Take one step of the optimizer; return the loss."""
        with explained(self.model, x, "data images"):
            loss = self.objective(self.model, x, y)
        if not isinstance(loss, Tensor) or loss.dim() != 0 or not loss.requires_grad:
            raise InputError(f"objective: returned {loss!r}; allowed is a scalar that depends on the model")
        self.stepper.zero_grad()
        loss.backward()
        self.stepper.step()
        return loss.item()

    def _carry(self, state: dict) -> None:
        """Restore the state of the objective, if it keeps any."""
        if isinstance(self.objective, Replaying):
            self.objective.load_state_dict(state)

    def _set_lr(self, done: float) -> None:
        for group, peak in zip(self.stepper.param_groups, self.peaks):
            group["lr"] = peak * self.schedule(done)

    def _record(self, loss: float, started: float) -> None:
        """Score and record the epoch, and keep the weights if they are the best so far."""
        score = math.nan
        if self.score is not None:
            with evaluating(self.model):
                score = float(self.score(self.model))
            if not math.isfinite(score):
                raise InputError(
                    f"score: returned {score} at epoch {len(self.history) + 1}; allowed is a finite number"
                )
        if not score < self.best_score:  # without a score (NaN), each epoch is the best so far
            self.best, self.best_score = deepcopy(self.model.state_dict()), score
            self.history.best_epoch = len(self.history)
        self.history.loss.append(loss)
        self.history.score.append(score)
        self.history.lr.append(self.stepper.param_groups[0]["lr"])
        self.history.seconds.append(time.perf_counter() - started)

    def _settings(self) -> dict:
        """Return everything that decides the resulting weights, as numbers, texts and keys."""
        weights = self.model.state_dict(keep_vars=True).values()  # counted once, as initial weights
        checksum = digest(weights)
        parts = ("objective", "score", "optimizer", "schedule", "augment")
        return {
            "architecture": told(self.model, weights),
            "trained parameters": [name for name, p in self.model.named_parameters() if p.requires_grad],
            "initial weights": {"text": f"checksum {checksum[:12]}", "key": checksum},
            "data": digest(self.data),
            **{name: told(getattr(self, name), weights) for name in parts},
            **{name: getattr(self, name) for name in ("epochs", "batch_size", "lr", "seed")},
        }

    def _write(self, settings: dict) -> None:
        state = {
            "history": asdict(self.history),
            "best_score": self.best_score,
            "best": self.best,
            "model": self.model.state_dict(),
            "optimizer": self.stepper.state_dict(),
            "generator": self.generator.get_state(),
            "random": random_state(self.device),
            "objective": self.objective.state_dict() if isinstance(self.objective, Replaying) else {},
        }
        left = settings["initial weights"] | {"also": digest(self.best.values())}
        checkpoints.write(self.checkpoint, settings | {"initial weights": left}, state)

    def _resume(self, settings: dict) -> None:
        """Restore the state from the checkpoint, if there is one."""
        state = checkpoints.read(self.checkpoint, settings)
        if state is None:
            return
        self.model.load_state_dict(state["model"])
        self.stepper.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        set_random_state(self.device, state["random"])
        self._carry(state.get("objective", {}))
        self.best, self.best_score = state["best"], state["best_score"]
        self.history = History(**state["history"])


@contextmanager
def _left_as_found(model: nn.Module) -> Iterator[None]:
    """Afterwards the model is back on its device, each module in its mode, and without gradients."""
    device = next(model.parameters()).device
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        model.to(device)
        model.zero_grad()
        for module, training in modes:
            module.training = training


def _check_trainable(model: nn.Module) -> None:
    if not isinstance(model, nn.Module) or not any(p.requires_grad for p in model.parameters()):
        raise InputError(
            f"model: got {type(model).__name__}; allowed is a torch.nn.Module with trainable parameters"
        )


def _check_labels(model: nn.Module, x: Tensor, y: Tensor, name: str) -> None:
    """Raise a clear `InputError` before any training if the model does not accept the images or labels are out of range."""
    device = next(model.parameters()).device
    with seeded(device, 0):  # keeps the global random state if the model draws from it
        logits = predict(model, x[:1].to(device), name=f"{name} images")
    if not y.is_floating_point():
        check_classes(y, logits.shape[1], f"{name} labels")


def _tensors(data: Dataset | Pair, name: str) -> Pair:
    """Return the images (N, C, H, W) and labels (N, ...) of an `ImageSet` or a pair, after checking them."""
    pair = (data.images, data.labels) if hasattr(data, "images") and hasattr(data, "labels") else data
    if not isinstance(pair, tuple | list) or len(pair) != 2 or not all(isinstance(t, Tensor) for t in pair):
        raise InputError(
            f"{name}: got {type(data).__name__}; allowed is an ImageSet or a pair (images, labels)"
        )
    x, y = pair
    check_images(x, f"{name} images")
    if len(x) == 0:
        raise InputError(f"{name}: got no images; allowed is one or more")
    if not y.is_floating_point():
        return x, check_labels(y, x, f"{name} labels")
    if y.shape[:1] != x.shape[:1]:
        raise InputError(
            f"{name} labels: got shape {tuple(y.shape)}; allowed is ({len(x)}, ...), one for each image"
        )
    return x, y
