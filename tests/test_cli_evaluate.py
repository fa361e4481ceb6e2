"""The command `advcourse evaluate`: what it prints and writes, its exit status, and what an interruption leaves."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
from interrupting import interrupted

from advcourse import cli

COMMAND = [sys.executable, "-c", "from advcourse.cli import main; main()", "evaluate"]
TINY = """title: Tiny
data: {name: mnist-5k, images: 8}
models: MODELS
attacks: [FGSM, {attack: PGD, eps: 0.1, steps: 5}]
transformations: [8-bit]
"""
NETS = """
import time
from pathlib import Path
from advcourse import models

class Net(models.MnistMLP):
    def forward(self, x):
        if len(x) > 1 and Path("broken").exists():
            raise RuntimeError("out of order\\nfor today")
        if len(x) > 1 and Path("slow").exists():
            Path("started").touch()
            time.sleep(600)
        return super().forward(x)

def build():
    net = Net()
    net.load_state_dict(models.load("mnist-mlp").state_dict())
    return net
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder with tiny.yml, two attacks on a shipped model, and both.yml, also on a model that can be made to fail."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "cli_nets", raising=False)
    (tmp_path / "tiny.yml").write_text(TINY.replace("MODELS", "mnist-mlp"))
    (tmp_path / "both.yml").write_text(
        TINY.replace("MODELS", '[mnist-mlp, {name: mine, build: "cli_nets:build"}]')
    )
    (tmp_path / "cli_nets.py").write_text(NETS)
    return tmp_path


@pytest.fixture
def evaluate(monkeypatch, capsys):
    """`evaluate(*arguments)`: (status, stdout, stderr) of `advcourse evaluate ARGUMENTS`."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["advcourse", "evaluate", *arguments])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        return stopped.value.code, *capsys.readouterr()

    return run


def process(*arguments):
    """A finished process of the command."""
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=300)


def results(out="build/evaluation"):
    """The table that was written, without what differs from run to run."""
    frame = pd.read_csv(Path(out) / "results.csv")
    return frame.drop(columns=["seconds", "memory MiB"])


def test_a_second_run_computes_nothing():
    """Checks two real processes against each other: the second finds both cells, and all their numbers, seconds as well."""
    first = process("tiny.yml")
    assert first.returncode == 0, first.stderr
    page = Path("build/evaluation/report.html")
    assert f"Report: {page}. Measured now: 2 of 2 cells.\n" in first.stdout
    assert "FGSM" in first.stdout and "PGD" in first.stdout and "2/2 cells" in first.stderr
    numbers, text = Path("build/evaluation/results.csv").read_text(), page.read_text(encoding="utf-8")
    assert "<title>Tiny" in text
    second = process("tiny.yml")
    assert second.stdout == first.stdout.replace("now: 2", "now: 0")
    assert Path("build/evaluation/results.csv").read_text() == numbers
    assert len(list(Path("build/evaluation/cells").iterdir())) == 2


def test_a_failed_cell_is_told_and_the_others_are_there(evaluate):
    """Checks a model that raises: status 1, the error in a line, the other's numbers; mended, only its cells are measured."""
    Path("broken").touch()
    status, output, errors = evaluate("both.yml", "--out", "here")
    assert status == 1 and "Measured now: 4 of 4 cells." in output
    told = [line for line in errors.splitlines() if line.startswith("Failed: ")]
    assert told == [
        f"Failed: {attack} on mine, mnist-5k test: RuntimeError: out of order" for attack in ("FGSM", "PGD")
    ]
    frame = results("here")
    assert list(frame["attack"]) == ["FGSM", "PGD"] and set(frame["model"]) == {"mnist-mlp"}
    assert len(json.loads(Path("here/results.json").read_text(encoding="utf-8"))["failures"]) == 2
    Path("broken").unlink()
    status, output, _ = evaluate("both.yml", "--out", "here")
    assert status == 0 and "Measured now: 2 of 4 cells." in output
    both = results("here").set_index("model").drop(columns="data")
    pd.testing.assert_frame_equal(
        both.loc["mine"].reset_index(drop=True), both.loc["mnist-mlp"].reset_index(drop=True)
    )


def test_bad_input_is_told_in_lines_and_nothing_is_written(evaluate):
    """Checks mistakes in the file and in the options: status 2, each in a line, no traceback, no folder."""
    Path("bad.yml").write_text("data: mnist-5k\nmodels: mnist-mpl\nattacks: FGMS\n")
    status, output, errors = evaluate("bad.yml")
    first, second = errors.splitlines()
    assert (status, output) == (2, "")
    assert first.startswith("advcourse: bad.yml, line 2, models: got 'mnist-mpl'; ") and first.endswith(
        "mnist-mlp?"
    )
    assert second.startswith("bad.yml, line 3, attacks: got 'FGMS'; ") and second.endswith("FGSM?")
    status, output, errors = evaluate("tiny.yml", "--workers", "0")
    assert (status, output, errors) == (2, "", "advcourse: workers: got 0; allowed is an integer >= 1\n")
    status, _, errors = evaluate("tiny.yml", "--images", "5000", "--device", "cpu")
    assert status == 2 and errors.startswith(
        "advcourse: tiny.yml, line 2, data: got 5000 images in place of the file's"
    )
    status, _, errors = evaluate("absent.yml")
    assert status == 2 and errors.startswith("advcourse: file: got 'absent.yml'; allowed is")
    assert not Path("build").exists()


def test_options_stand_in_for_the_file(evaluate):
    """Checks --images against the number that the table tells."""
    status, _, _ = evaluate("tiny.yml", "--images", "5", "--device", "cpu")
    assert status == 0 and results()["images"].max() <= 5


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("workers", ["1", "2"])
def test_interrupt_keeps_what_is_finished(workers):
    """Checks with a real Ctrl-C, which reaches all processes of the terminal: status 130, no traceback, no process and no half
    cell left; the same command measures only what was not finished."""
    Path("slow").touch()
    cells = Path("build/evaluation/cells")
    running, output, errors, children = interrupted(
        [*COMMAND, "both.yml", "--workers", workers],
        lambda: Path("started").exists() and len(list(cells.glob("*.safetensors"))) == 2,
    )
    assert running.returncode == 130 and output == "" and "Traceback" not in errors, errors
    kept = f"The cells that were finished are kept in {cells}"
    assert errors.endswith(f"Interrupted. {kept}; the same command goes on from there.\n")
    assert not psutil.wait_procs(children, timeout=60)[1] and (workers == "1" or children)
    assert len(list(cells.iterdir())) == 2 and not (cells.parent / "report.html").exists()
    Path("slow").unlink()
    again = process("both.yml", "--workers", workers)
    assert again.returncode == 0 and "Measured now: 2 of 4 cells." in again.stdout


@pytest.mark.slow
def test_workers_and_a_cluster_give_equal_tables(evaluate):
    """Checks one process against two and against a dask cluster, started as docs/evaluation.md says: the tables are equal."""
    assert evaluate("both.yml", "--out", "one")[0] == 0
    assert evaluate("both.yml", "--out", "two", "--workers", "2")[0] == 0
    pd.testing.assert_frame_equal(results("two"), results("one"))
    place, quiet = Path("scheduler.json"), {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    dask = [sys.executable, "-m", "dask"]
    where = {"env": {**os.environ, "PYTHONPATH": os.getcwd()}, **quiet}
    started = [
        subprocess.Popen(
            [*dask, "scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", place], **quiet
        )
    ]
    try:
        deadline = time.monotonic() + 120
        while not place.exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        address = json.loads(place.read_text())["address"]
        worker = [*dask, "worker", address, "--nworkers", "2", "--nthreads", "1", "--no-dashboard"]
        started.append(subprocess.Popen(worker, **where))
        status, output, errors = evaluate("both.yml", "--out", "cluster", "--scheduler", address)
        assert status == 0 and "Measured now: 4 of 4 cells." in output, errors
    finally:
        for one in reversed(started):
            one.terminate()
            one.wait(timeout=60)
    pd.testing.assert_frame_equal(results("cluster"), results("one"))
