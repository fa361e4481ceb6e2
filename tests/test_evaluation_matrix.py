"""The matrix: nothing is computed twice, nothing that was finished is lost, and it does not matter who computes."""

import importlib
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import psutil
import pytest
import torch
from torch import nn

from advcourse import attacks, models
from advcourse.core.identity import IdentityWarning
from advcourse.core.inputs import InputError
from advcourse.evaluation import Cell, Conditions, DataSource, ModelSource, Store, run

DIGITS = DataSource(images=16)
QUICK = Conditions(transformations=())
MLP = ModelSource("mnist-mlp")
SPREAD = {
    "FGSM": attacks.FGSM(),
    "PGD": attacks.PGD(steps=5),
    "C&W": attacks.CWL2(steps=2, slides=2),
    "JSMA": attacks.JSMA(gamma=0.02),
    "stAdv": attacks.StAdv(steps=3),
    "UAP": attacks.UAP(passes=1),
}


def matrix(named=None, model=MLP, **changes):
    cells = [Cell(name, attack, model, DIGITS, QUICK) for name, attack in (named or SPREAD).items()]
    return [replace(cell, **changes) for cell in cells]


def assert_equal(records, others):
    """Names and every value, bit for bit. Seconds and memory differ from run to run."""
    assert [record.names for record in records] == [record.names for record in others]
    for record, other in zip(records, others, strict=True):
        assert record.identity == other.identity and record.values.keys() == other.values.keys()
        for name, values in record.values.items():
            np.testing.assert_array_equal(values, other.values[name], err_msg=name)
        for name, pictures in record.pictures.items():
            np.testing.assert_array_equal(pictures, other.pictures[name])
        assert (record.clean, record.picked, record.threat_model) == (
            other.clean,
            other.picked,
            other.threat_model,
        )


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """The records of SPREAD, computed in this process, and their folder."""
    folder = tmp_path_factory.mktemp("here")
    outcome = run(matrix(), folder, progress=False)
    assert outcome.failures == [] and outcome.computed == len(SPREAD)
    return outcome.records, folder


# Kept and found


def test_a_second_run_computes_nothing(here):
    """The count of computed cells, and the files' times of change."""
    records, folder = here
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    again = run(matrix(), folder, progress=False)
    assert again.computed == 0
    assert_equal(again.records, records)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_a_full_disk_names_the_file_and_keeps_the_finished_cells(tmp_path, at_most):
    """Checks the system's limit for files at the second of two cells: the sentence; with room the run goes on from the first."""
    one = matrix({"FGSM": attacks.FGSM()})
    run(one, tmp_path, progress=False)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with (
        at_most(1000),
        pytest.raises(OSError, match="safetensors cannot be written .File too large.. Free some"),
    ):
        run(matrix({"FGSM": attacks.FGSM(), "BIM": attacks.BIM(steps=2)}), tmp_path, progress=False)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert run(one, tmp_path, progress=False).computed == 0


def test_other_settings_are_other_cells(here, tmp_path):
    """One changed attack among the six: one computed cell."""
    _, folder = here
    changed = matrix(SPREAD | {"PGD": attacks.PGD(steps=6)})
    assert run(changed, folder, progress=False).computed == 1


def test_one_measurement_may_have_two_names(tmp_path):
    """Two cells that differ in nothing but their names are computed once."""
    one = matrix({"a": attacks.FGSM(), "b": attacks.FGSM()})
    outcome = run(one, tmp_path, progress=False)
    assert outcome.computed == 1 and [record.names.attack for record in outcome.records] == ["a", "b"]
    renamed = run(matrix({"c": attacks.FGSM()}), tmp_path, progress=False)
    assert renamed.computed == 0 and renamed.records[0].names.attack == "c"


def test_retrained_weights_are_measured_anew(tmp_path):
    """A module that changed between two runs of one process: its old record must not be found."""
    model = models.load("mnist-mlp")
    cells = matrix({"FGSM": attacks.FGSM()}, ModelSource("mine", module=model))
    first = run(cells, tmp_path, progress=False)
    with torch.no_grad():
        model[-1].bias[0] += 100
    second = run(cells, tmp_path, progress=False)
    assert second.computed == 1
    assert len(first.records[0]) > len(second.records[0]) > 0


class Locked(nn.Module):
    """A model that holds a lock, which has no content to be compared by."""

    def __init__(self):
        super().__init__()
        self.net, self._lock = models.load("mnist-mlp"), threading.Lock()

    def forward(self, x):
        return self.net(x)


def test_what_cannot_be_told_apart_is_measured_each_time(tmp_path):
    """Checks the counts of two runs of a model with a lock, and that no file is left that nobody would find again."""
    cells = matrix(
        {"FGSM": attacks.FGSM(), "BIM": attacks.BIM(steps=2)}, ModelSource("mine", module=Locked())
    )
    for _ in range(2):
        with pytest.warns(IdentityWarning, match="Locked: holds a _thread.lock"):
            outcome = run(cells, tmp_path, progress=False)
        assert outcome.computed == 2 and outcome.failures == [] and list(tmp_path.iterdir()) == []


def test_records_share_nothing(tmp_path):
    """Checks two names of one measurement: what is done to one record's numbers leaves the other's."""
    one, other = run(matrix({"a": attacks.FGSM(), "b": attacks.FGSM()}), tmp_path, progress=False).records
    rate = other.success_rate
    one.values["success"][:] = not rate > 0.5
    assert other.success_rate == rate != one.success_rate


@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff" * 64, None], ids=["empty", "short", "noise", "cut"])
def test_a_damaged_file_is_computed_again(tmp_path, damage):
    """What a full disk or another program may leave behind."""
    cells = matrix({"FGSM": attacks.FGSM()})
    whole = run(cells, tmp_path, progress=False)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-5] if damage is None else damage)
    again = run(cells, tmp_path, progress=False)
    assert again.computed == 1 and not again.failures
    assert_equal(again.records, whole.records)


# Killed and started again

MANY = {f"PGD {seed}": attacks.PGD(steps=4, seed=seed) for seed in range(70)}

KILLED = """
import os, random, signal, sys, time
sys.path[:0] = {path!r}
from test_evaluation_matrix import MANY, matrix
from advcourse.evaluation import run
from pathlib import Path

folder, chance = Path(sys.argv[1]), random.Random(0)
finished = lambda: {{p.name for p in folder.glob("[0-9a-f]*.safetensors")}}
for _ in range(20):
    before, child = finished(), os.fork()
    if not child:
        run(matrix(MANY), folder, progress=False)
        os._exit(0)
    while not finished() - before:
        time.sleep(0.001)
    time.sleep(chance.uniform(0, 0.03))
    os.kill(child, signal.SIGKILL)
    how = os.waitpid(child, 0)[1]
    print(len(before), len(finished()), before <= finished(), os.WIFSIGNALED(how))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="POSIX processes")
def test_killed_twenty_times_it_loses_no_finished_cell(tmp_path):
    """SIGKILL at twenty random moments. Then a run to the end, held against one that nobody disturbed."""
    code = KILLED.format(path=[path for path in sys.path if path])
    command = [sys.executable, "-c", code, str(tmp_path / "killed")]
    (tmp_path / "killed").mkdir()
    printed = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert printed.returncode == 0, printed.stderr
    rows = [line.split() for line in printed.stdout.splitlines()]
    assert len(rows) == 20 and all(kept == killed == "True" for _, _, kept, killed in rows), rows
    assert all(int(after) > int(before) for before, after, *_ in rows)
    store, finished = Store(tmp_path / "killed"), int(rows[-1][1])
    assert finished < len(MANY), "killed before the end"
    files = list(store.folder.iterdir())
    assert len(files) == finished and all(store.get(path.stem, None) for path in files)
    outcome = run(matrix(MANY), store.folder, progress=False)
    assert outcome.computed == len(MANY) - finished and not outcome.failures
    assert_equal(outcome.records, run(matrix(MANY), tmp_path / "calm", progress=False).records)


WITH_WORKERS = """
import sys
sys.path[:0] = {path!r}
if __name__ == "__main__":
    from test_evaluation_matrix import matrix, ModelSource
    from advcourse import attacks
    from advcourse.evaluation import run
    endless = ModelSource("x", build="test_evaluation_matrix:sleepy")
    run(matrix({{"a": attacks.FGSM(), "b": attacks.BIM()}}, endless), sys.argv[1], 2)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_workers_follow_their_parent_into_death(tmp_path):
    """SIGKILL of the parent while both workers compute: the system must have neither of them soon after."""
    script = tmp_path / "script.py"
    script.write_text(WITH_WORKERS.format(path=[path for path in sys.path if path]))
    parent = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "cells")], stderr=subprocess.DEVNULL
    )
    try:
        deadline, workers = time.monotonic() + 120, []
        while len(workers) < 2 or sum(worker.cpu_times().user > 1 for worker in workers) < 2:
            assert time.monotonic() < deadline and parent.poll() is None
            children = psutil.Process(parent.pid).children(recursive=True)
            workers = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
            time.sleep(0.1)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    assert psutil.wait_procs(workers, timeout=60)[1] == []


# Failures


class Sleepy(nn.Module):
    def forward(self, x):
        time.sleep(600)


def sleepy():
    """A model that never answers."""
    return Sleepy()


class Moody(nn.Module):
    """Answers whole batches of clean digits, and ends badly on anything else."""

    def __init__(self, how):
        super().__init__()
        self.how, self.model = how, models.load("mnist-mlp")

    def forward(self, x):
        if x.requires_grad and self.how == "raises":
            raise RuntimeError("out of order\non two lines")
        if x.requires_grad:
            os._exit(3)
        return self.model(x)


def moody(how):
    return ModelSource(f"moody, {how}", module=Moody(how))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_cell_that_fails_stops_no_other(tmp_path, workers):
    """A model that raises: told with its error; the other cell is there, and the next run tries the failed one again."""
    cells = [*matrix({"FGSM": attacks.FGSM()}, moody("raises")), *matrix({"FGSM": attacks.FGSM()})]
    for computed in (2, 1):
        outcome = run(cells, tmp_path, workers, progress=False)
        (failure,), (record,) = outcome.failures, outcome.records
        assert failure.names.model == "moody, raises" and failure.error == "RuntimeError: out of order"
        assert "in forward" in failure.trace and record.names.model == "mnist-mlp"
        assert outcome.computed == computed


def test_a_process_that_dies_is_a_failed_cell(tmp_path):
    """A model that ends its process, as one that fills the memory does: the cells before and after it are measured."""
    good = matrix({"a": attacks.FGSM(), "b": attacks.BIM(), "c": attacks.PGD()})
    outcome = run(
        [good[0], *matrix({"x": attacks.FGSM()}, moody("dies")), *good[1:]], tmp_path, 2, progress=False
    )
    (failure,) = outcome.failures
    assert failure.names.attack == "x" and "ended with status 3" in failure.error
    assert [record.names.attack for record in outcome.records] == ["a", "b", "c"]


def test_a_model_that_cannot_be_had_fails_alone(tmp_path):
    """A path that cannot be imported, and a module that cannot be sent to another process."""
    nowhere, unsendable = ModelSource("nowhere", build="no.such:net"), models.load("mnist-mlp")
    unsendable.register_forward_hook(lambda *_: None)  # a function without a name
    cells = matrix({"a": attacks.FGSM()}) + matrix({"b": attacks.FGSM()}, nowhere)
    cells += matrix({"c": attacks.FGSM()}, ModelSource("hooked", module=unsendable))
    outcome = run(cells, tmp_path, 2, progress=False)
    assert [failure.names.attack for failure in outcome.failures] == ["b", "c"]
    assert "build: got 'no.such:net'" in outcome.failures[0].error and "pickle" in outcome.failures[1].error
    assert [record.names.attack for record in outcome.records] == ["a"]


BAD = {
    "no cells": (lambda folder: run([], folder), "cells: got none"),
    "one name twice": (
        lambda folder: run(matrix() + matrix(), folder),
        "cells: got two called 'FGSM' on 'mnist-mlp'",
    ),
    "no worker": (
        lambda folder: run(matrix(), folder, workers=0),
        "workers: got 0; allowed is an integer >= 1",
    ),
    "no scheduler": (
        lambda folder: run(matrix(), folder, scheduler="tcp://127.0.0.1:9", progress=False),
        "scheduler: got 'tcp://127.0.0.1:9'; allowed is the address of a dask scheduler",
    ),
    "a file as folder": (
        lambda folder: run(matrix(), __file__),
        "folder: got .*; allowed is a folder to write to",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_told_before_anything_runs(kind, tmp_path):
    """The sentences, written out by hand; and nothing was written."""
    call, message = BAD[kind]
    with pytest.raises(InputError, match=message):
        call(tmp_path)
    assert list(tmp_path.iterdir()) == []


# Who computes


def test_two_processes_give_the_same(here, tmp_path):
    """Every number of the records that one process made, bit for bit."""
    records, _ = here
    outcome = run(matrix(), tmp_path, workers=2, progress=False)
    assert outcome.computed == len(SPREAD) and outcome.failures == []
    assert_equal(outcome.records, records)


@pytest.mark.slow
def test_a_dask_cluster_gives_the_same(here, tmp_path):
    """A cluster of two processes, found by its address: every number bit for bit; a failing cell is told, too."""
    distributed = pytest.importorskip("distributed")
    records, _ = here
    cells = [*matrix(), *matrix({"x": attacks.FGSM()}, moody("raises"))]
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        outcome = run(cells, tmp_path, scheduler=cluster.scheduler_address, progress=False)
        assert outcome.computed == len(cells)
        assert [failure.error for failure in outcome.failures] == ["RuntimeError: out of order"]
        assert_equal(outcome.records, records)
        assert run(matrix(), tmp_path, scheduler=cluster.scheduler_address, progress=False).computed == 0


def test_the_bar_tells_the_time_left(tmp_path, capsys, monkeypatch):
    """The bar's text: how many of how many, and, between the first and the last cell, about how long it takes still."""
    module = importlib.import_module("advcourse.evaluation.matrix")

    class Eager(module.tqdm):  # drawn after each cell, however quick the machine is
        def __init__(self, *args, **settings):
            super().__init__(*args, mininterval=0, miniters=1, **settings)

    monkeypatch.setattr(module, "tqdm", Eager)
    run(matrix(), tmp_path)
    told = capsys.readouterr().err
    assert f"0/{len(SPREAD)} cells" in told and f"{len(SPREAD)}/{len(SPREAD)} cells" in told
    assert "about 00:" in told and "left" in told
