"""The command `advcourse`, mostly as a real process: what it prints, its exit status, and what an interruption leaves."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from interrupting import begun
from typer.testing import CliRunner

from advcourse import __version__, cli, models
from advcourse.course import doctor, notebooks
from advcourse.course.jupyter import server
from advcourse.zoo import life, recipes

COMMAND = [sys.executable, "-c", "from advcourse.cli import main; main()"]


@pytest.fixture
def call(monkeypatch, capsys):
    """`call(folder, *arguments)`: (status, stdout, stderr) of `advcourse ARGUMENTS` in `folder`."""

    def run(folder, *arguments):
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", ["advcourse", *arguments])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        return stopped.value.code, *capsys.readouterr()

    return run


def test_help_names_the_commands_and_loads_nothing():
    """Checks the help text against the list of commands, and that it is printed without importing torch."""
    code = "import sys\nfrom advcourse.cli import app\ntry: app(['--help'])\nfinally: print('torch' in sys.modules)"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert process.returncode == 0 and process.stdout.strip().endswith("False")
    for command in ("lab", "run", "evaluate", "refresh", "export", "train", "doctor", "coverage", "release"):
        assert f" {command} " in process.stdout


def test_version():
    """Checks the printed version against the package's."""
    assert CliRunner().invoke(cli.app, ["--version"]).output == f"advcourse {__version__}\n"


def test_coverage_as_json():
    """Checks that the command prints JSON that has an id of the survey."""
    result = CliRunner().invoke(cli.app, ["coverage", "--json"])
    assert result.exit_code == 0 and json.loads(result.output)["attack.fgsm"]["title"] == "FGSM"


def test_unknown_chapter_is_one_line_and_status_2(call, tmp_path, write_chapter):
    """Checks that bad input gives one line on stderr, status 2, no traceback and no output folder."""
    write_chapter(tmp_path, "00_start_here")
    assert call(tmp_path, "run", "9") == (2, "", "advcourse: chapter: got '9'; allowed are 00_start_here\n")
    assert not (tmp_path / "build").exists()


def test_run_prints_the_table_and_fails_with_a_chapter(call, tmp_path, write_chapter):
    """Checks a course of one good and one failing chapter: both in the table, status 1, notebooks written."""
    write_chapter(tmp_path, "00_start_here", "print(seed)")
    write_chapter(tmp_path, "01_fails", "raise KeyError('lost')")
    status, output, errors = call(tmp_path, "run", "--out", "here")
    assert status == 1 and "00_start_here" in output and "KeyError" in output
    assert {path.name for path in (tmp_path / "here").glob("*.ipynb")} == {
        "00_start_here.ipynb",
        "01_fails.ipynb",
    }
    assert "01_fails" in errors and "100%" in errors  # the progress bar


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_interrupt_leaves_nothing_half_written(tmp_path, write_chapter):
    """Checks with a real SIGINT in the middle of a cell: status 130, the chapter before is whole, of this one nothing is left."""
    write_chapter(tmp_path, "00_start_here", "print('whole')")
    write_chapter(tmp_path, "01_long", "open('started', 'w').close()\nimport time\ntime.sleep(600)")
    process = begun([*COMMAND, "run"], cwd=tmp_path)
    try:
        deadline = time.monotonic() + 120
        while not (tmp_path / "chapters" / "started").exists():
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)
        kernels = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130 and "Traceback" not in errors, errors
    assert {path.name for path in (tmp_path / "build").iterdir()} == {
        "00_start_here.ipynb",
        "chapters.csv",
        "chapters.md",
    }
    assert kernels and not psutil.wait_procs(kernels, timeout=60)[1]


def test_lab_opens_chapter_00(tmp_path, write_chapter, monkeypatch):
    """Checks what JupyterLab is started with, and that the settings in its path are files: the news is silenced, and nbgrader
    hidden from all but instructors. A terminal inside finds this command."""
    write_chapter(tmp_path, "00_start_here")
    monkeypatch.chdir(tmp_path / "chapters")
    monkeypatch.setenv("PATH", "/bin")  # of a shell in which the environment is not active
    started = []
    monkeypatch.setattr(server.Course, "launch_instance", started.append)
    for asked, folders in (((), ["learner", "everyone"]), (("--instructor",), ["everyone"])):
        monkeypatch.setenv("JUPYTER_CONFIG_PATH", "/elsewhere")
        result = CliRunner().invoke(cli.app, ["lab", "--no-browser", "--port", "9001", *asked])
        assert result.exit_code == 0, result.output
        options = started.pop()
        assert {f"--ServerApp.root_dir={tmp_path}", "--port=9001", "--no-browser"} < {*options}
        assert "--LabApp.default_url=/lab/tree/chapters/00_start_here.ipynb" in options
        *ours, theirs = map(Path, os.environ["JUPYTER_CONFIG_PATH"].split(os.pathsep))
        assert theirs == Path("/elsewhere") and [folder.name for folder in ours] == folders
        assert all(any(folder.rglob("*.json")) for folder in ours)
    news = json.loads((ours[-1] / "labconfig" / "default_setting_overrides.json").read_text())
    assert news["@jupyterlab/apputils-extension:notification"]["fetchNews"] == "false"
    assert shutil.which("advcourse") and os.environ["PATH"].endswith(f"{os.pathsep}/bin")


def test_lab_away_from_a_checkout(tmp_path, monkeypatch):
    """Checks that without chapters the command says where to go, and starts nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        notebooks, "__file__", str(tmp_path / "site" / "advcourse" / "course" / "notebooks.py")
    )
    monkeypatch.setattr(server.Course, "launch_instance", lambda *_: pytest.fail("started"))
    result = CliRunner().invoke(cli.app, ["lab"])
    assert result.exit_code != 0 and "go to a clone" in str(result.exception)


def test_doctor_exit_status(monkeypatch):
    """Checks the status against findings that are known: an optional one missing is no failure, a needed one is."""
    optional = doctor.Diagnosis("GPU", False, "none", "buy one", optional=True)
    needed = doctor.Diagnosis("torch", False, "not installed", "pip install torch")
    for findings, status in (([optional], 0), ([optional, needed], 1)):
        monkeypatch.setattr(doctor, "examine", lambda findings=findings: findings)
        result = CliRunner().invoke(cli.app, ["doctor"])
        assert result.exit_code == status and "buy one" in result.output


def test_train_compares_with_the_shipped(monkeypatch, tmp_path):
    """Checks the table of `train` with a training that is known to give 0.5 points less than the shipped model."""
    figures = {recipe.figure for recipe in recipes.RECIPES.values()}
    card = dict.fromkeys(figures, 0.5) | {
        "clean_accuracy": models.card("mnist-mlp")["clean_accuracy"] - 0.005
    }
    trained = []
    monkeypatch.setattr(recipes, "train_shipped", lambda name, out: trained.append((name, out)) or card)
    result = CliRunner().invoke(cli.app, ["train", "mnist-mlp", "--out", str(tmp_path)])
    assert result.exit_code == 0 and "mnist-mlp " in result.output and "-0.0050" in result.output
    assert trained == [("mnist-mlp", tmp_path)]
    monkeypatch.setattr(
        life.Artefact, "again", lambda one, out: trained.append((one.file, out)) or (0.5, 0.25)
    )
    everything = CliRunner().invoke(cli.app, ["train", "--out", str(tmp_path)])
    assert everything.exit_code == 0 and "-0.2500" in everything.output
    files = [one.file for one in life.ARTEFACTS.values()]
    assert [name for name, _ in trained[1:]] == [*recipes.RECIPES, *files]
    wrong = CliRunner().invoke(cli.app, ["train", "resnet-9000"])
    assert wrong.exit_code != 0 and "model: got 'resnet-9000'" in str(wrong.exception)


def test_a_file_that_cannot_be_written_is_one_line_and_status_2(call, tmp_path, monkeypatch):
    """Checks a folder in the place of the table that `run` writes: the sentence, no traceback."""
    (tmp_path / "build" / "chapters.csv").mkdir(parents=True)
    monkeypatch.setattr(notebooks, "checkout", lambda: tmp_path)
    monkeypatch.setattr(notebooks, "select", lambda *_: [])
    monkeypatch.setattr(notebooks, "run_all", lambda paths, out, *_: notebooks.write_table([], out))
    status, output, errors = call(tmp_path, "run")
    told = "build/chapters.csv cannot be written (Is a directory). Make sure that it can be written to"
    assert (status, output) == (2, "") and errors.count("\n") == 1
    assert errors.startswith(f"advcourse: {told}")
