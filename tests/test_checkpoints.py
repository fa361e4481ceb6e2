import os
import signal
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest
import torch
from tiny import blobs, linear, network, quiet, same, snapshot
from torch import nn

from advcourse.core.identity import IdentityWarning, stands_for
from advcourse.core.inputs import InputError
from advcourse.training import checkpoints, cross_entropy
from advcourse.training.augmentation import shifts

DEADLY = "ADVCOURSE_TEST_KILL_AT_BATCH"


class Deadly:
    """Cross-entropy that ends its own process, as a power cut would, at the batch that the environment names."""

    count = 0

    def __call__(self, model, x, y):
        self.count += 1
        if str(self.count) == os.environ.get(DEADLY):
            os.kill(os.getpid(), signal.SIGKILL)
        return cross_entropy(model, x, y)

    def __repr__(self):
        return "Deadly()"


def resumable_run(checkpoint):
    model = network()
    history = quiet(
        model,
        blobs(),
        Deadly(),
        validation=blobs(seed=1),
        epochs=6,
        batch_size=16,
        lr=0.05,
        augment=shifts(1),
        checkpoint=checkpoint,
    )
    return model, history


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_killed_run_goes_on_to_the_same_weights(tmp_path):
    """Against an uninterrupted run, bit for bit, where the first process was killed in the middle of epoch 4."""
    path = tmp_path / "runs" / "killed.pt"
    here = Path(__file__).parent
    folders = [str(here), str(here.parent)]
    code = (
        f"import sys; sys.path[:0] = {folders}; import test_checkpoints as t; t.resumable_run({str(path)!r})"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, DEADLY: "14"}, capture_output=True
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    state = torch.load(path, weights_only=True)  # tensors, numbers and text: nothing that could run code
    assert len(state["history"]["loss"]) == 3
    resumed, history = resumable_run(path)
    whole, whole_history = resumable_run(tmp_path / "whole.pt")
    assert same(resumed, whole.state_dict())
    assert history.loss == whole_history.loss and history.score == whole_history.score
    assert history.best_epoch == whole_history.best_epoch and len(history) == 6


def test_a_finished_checkpoint_gives_its_result_at_once(tmp_path, monkeypatch):
    """Against the first run, without one more step."""
    first, history = resumable_run(tmp_path / "a.pt")
    never = stands_for(lambda *_: pytest.fail("trained on"), torch.Tensor.backward)
    monkeypatch.setattr(torch.Tensor, "backward", never)
    again, again_history = resumable_run(tmp_path / "a.pt")
    assert same(again, first.state_dict()) and again_history == history
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


def test_a_checkpoint_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    """Against a disk that fills up in epoch 2: the checkpoint of epoch 1 can still be resumed."""
    real, writes = torch.save, []

    def save(state, file):
        writes.append(file)
        if len(writes) == 2:
            file.write(b"half")
            raise OSError("disk full")
        real(state, file)

    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(OSError, match="disk full"):
        resumable_run(tmp_path / "a.pt")
    resumed, history = resumable_run(tmp_path / "a.pt")
    assert len(history) == 6 and same(resumed, resumable_run(tmp_path / "b.pt")[0].state_dict())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pt", "b.pt"]


class Weighted:
    """An objective with a private weight."""

    def __init__(self, weight):
        self._weight = weight

    def __call__(self, model, x, y):
        return self._weight * cross_entropy(model, x, y)


class Silent(Weighted):
    """One whose text does not tell it."""

    def __repr__(self):
        return "Silent()"


class Times(nn.Module):
    """A layer with a private factor."""

    def __init__(self, factor):
        super().__init__()
        self._factor = factor

    def forward(self, x):
        return x * self._factor


@pytest.mark.parametrize(
    "change, message",
    [
        ({"lr": 0.01}, r"lr \(0.001 there, 0.01 here\)"),
        ({"seed": 1}, "seed"),
        ({"epochs": 3}, "epochs"),
        ({"batch_size": 7}, "batch_size"),
        ({"augment": shifts(2)}, "augment"),
        ({"schedule": "constant"}, "schedule"),
        ({"optimizer": torch.optim.SGD}, "optimizer"),
        ({"optimizer": partial(torch.optim.Adam, weight_decay=0.1)}, "optimizer"),
        ({"validation": blobs(seed=1)}, "score"),
        ({"objective": lambda model, x, y: cross_entropy(model, x, y)}, "objective"),
        ({"data": blobs(seed=2)}, "data"),
        ({"objective": Weighted(5.0)}, r"objective \(cross_entropy there, Weighted\(_weight=5.0\) here\)"),
        ({"model": network(width=9)}, "architecture"),
        ({"model": network(seed=1)}, "initial weights"),
        ({"model": nn.Sequential(*network(), Times(2.0))}, "architecture"),
        ({"model": nn.Sequential(*list(network())[:3], nn.Tanh(), *list(network())[4:])}, "architecture"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(change, message, tmp_path):
    """Against one changed setting at a time: the error names it, and the model is as it came."""
    arguments = {
        "model": network(),
        "data": blobs(),
        "epochs": 2,
        "augment": shifts(1),
        "checkpoint": tmp_path / "a.pt",
    }
    quiet(**arguments)
    arguments |= {"model": network(), **change}
    before = snapshot(arguments["model"])
    with pytest.raises(InputError, match=f"checkpoint: .*a.pt.*other.*{message}"):
        quiet(**arguments)
    assert same(arguments["model"], before)


OTHERS = {
    "weight": (
        lambda k: {"objective": Weighted(k)},
        r"objective \(Weighted\(_weight=1.0\) there, Weighted\(_weight=5.0\) here\)",
    ),
    "hidden": (
        lambda k: {"objective": Silent(k)},
        r"objective \(Silent\(\) here and there, but with different code or contents",
    ),
    "closure": (
        lambda k: {"objective": lambda model, x, y: k * cross_entropy(model, x, y)},
        "objective .*here and there",
    ),
    "factor": (lambda k: {"model": nn.Sequential(*network(), Times(k))}, "architecture .*here and there"),
    "score": (lambda k: {"score": lambda model: k}, "score .*here and there"),
    "augment": (lambda k: {"augment": lambda x, generator: x / k}, "augment .*here and there"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_what_differs_in_a_number_alone_is_refused(case, tmp_path):
    """Checks runs that differ in one number that no text of theirs tells; the same one goes on."""
    change, message = OTHERS[case]
    arguments = {"data": blobs(), "epochs": 1, "checkpoint": tmp_path / "a.pt"}
    quiet(**{"model": network()} | arguments | change(1.0))
    with pytest.raises(InputError, match=f"checkpoint: .*a.pt.*other {message}"):
        quiet(**{"model": network()} | arguments | change(5.0))
    assert len(quiet(**{"model": network()} | arguments | change(1.0))) == 1


def test_a_run_goes_on_with_the_model_that_it_left(tmp_path):
    """Checks the same cell of a notebook run twice: the model comes with the best weights, and nothing is trained again."""
    model, path = network(), tmp_path / "a.pt"
    first = quiet(model, blobs(), epochs=2, checkpoint=path)
    weights = snapshot(model)
    assert not same(network(), weights)
    again = quiet(model, blobs(), epochs=2, checkpoint=path)
    assert again.seconds == first.seconds and again.loss == first.loss and same(model, weights)


def test_an_objective_that_cannot_be_told_apart_is_named(tmp_path):
    """Checks an objective with a lock: its checkpoint is refused, and the sentence says why."""
    objective = Weighted(1.0)
    objective.lock = threading.Lock()
    with pytest.warns(IdentityWarning):
        quiet(network(), blobs(), objective, epochs=1, checkpoint=tmp_path / "a.pt")
    with (
        pytest.warns(IdentityWarning),
        pytest.raises(InputError, match=r"objective \(.*, which cannot be told from another\)"),
    ):
        quiet(network(), blobs(), objective, epochs=1, checkpoint=tmp_path / "a.pt")


class Payload:
    """What a malicious checkpoint would hold."""

    def __reduce__(self):
        return (pytest.fail, ("code of the checkpoint ran",))


@pytest.mark.parametrize("content", ["cut", "empty", "text", "other", "code"])
def test_a_damaged_or_foreign_checkpoint_is_refused(content, tmp_path):
    """Against five files that are no checkpoint, one of which would run code if it were unpickled."""
    path = tmp_path / "a.pt"
    quiet(linear(), blobs(), epochs=1, checkpoint=path)
    if content == "cut":
        path.write_bytes(path.read_bytes()[:-700])
    elif content in ("empty", "text"):
        path.write_bytes(b"" if content == "empty" else b"no checkpoint")
    else:
        torch.save({"format": Payload(), "settings": {}} if content == "code" else [1, 2], path)
    with pytest.raises(InputError, match="checkpoint: .*a.pt.*damaged"):
        quiet(linear(), blobs(), epochs=1, checkpoint=path)


def test_two_runs_that_write_one_checkpoint_leave_a_whole_one(tmp_path, monkeypatch):
    """Lets another run write its checkpoint while this one is at it. Checks that the last one is whole, and alone."""
    path, save = tmp_path / "a.pt", torch.save

    def slow(state, file):
        monkeypatch.setattr(torch, "save", save)
        checkpoints.write(path, {"epochs": 1}, {"epoch": 1})
        save(state, file)

    monkeypatch.setattr(torch, "save", slow)
    checkpoints.write(path, {"epochs": 1}, {"epoch": 2})
    assert checkpoints.read(path, {"epochs": 1})["epoch"] == 2 and list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name == "nt", reason="POSIX limits and locks")
def test_a_checkpoint_without_room_leaves_the_old_one(tmp_path, at_most):
    """Checks the system's limit for files, and a process that was killed while it wrote: the old one stays, and no half one."""
    path = tmp_path / "a.pt"
    checkpoints.write(path, {"epochs": 1}, {"epoch": 1})
    with (
        at_most(500),
        pytest.raises(OSError, match="a.pt cannot be written .File too large.. Free some space"),
    ):
        checkpoints.write(path, {"epochs": 1}, {"epoch": 2, "weights": torch.zeros(1000)})
    code = (
        "import os, sys, torch; from pathlib import Path; from advcourse.training import checkpoints\n"
        "torch.save = lambda state, file: (file.write(b'half'), file.flush(), os.kill(os.getpid(), 9))\n"
        "checkpoints.write(Path(sys.argv[1]), {}, {})"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(path)])
    assert killed.returncode == -signal.SIGKILL and len(list(tmp_path.iterdir())) == 2
    assert checkpoints.read(path, {"epochs": 1})["epoch"] == 1
    checkpoints.write(path, {"epochs": 1}, {"epoch": 2})
    assert list(tmp_path.iterdir()) == [path]
