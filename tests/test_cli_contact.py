"""First contact with the command: without the PATH, with TAB, and with a settings file to begin with."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import advcourse
from advcourse import cli
from advcourse.evaluation import settings

PACKAGE = Path(advcourse.__file__).parent


def python(*arguments, **environment):
    """A finished process of `python -m advcourse ARGUMENTS`."""
    return subprocess.run(
        [sys.executable, "-m", "advcourse", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent), **environment},
    )


def test_python_m_is_the_command():
    """Checks against the package's version, and that messages call the command by its own name."""
    assert python("--version").stdout == f"advcourse {advcourse.__version__}\n"
    wrong = python("no-such-command")
    assert wrong.returncode == 2 and "Usage: advcourse " in wrong.stderr


def test_the_package_says_that_it_is_typed():
    """The marker of PEP 561 beside the code, and in the list of what an installed package has."""
    assert (PACKAGE / "py.typed").read_bytes() == b""
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))
    assert "py.typed" in project["tool"]["setuptools"]["package-data"]["advcourse"]


# TAB

ASK = """
eval "$({command} completion bash)"
complete -p advcourse
COMP_WORDS=({words}); COMP_CWORD={last}
_advcourse_completion advcourse
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
@pytest.mark.parametrize(
    "words, found",
    [
        ("advcourse ev", "evaluate"),
        ("advcourse evaluate --sch", "--scheduler"),
        ("advcourse cov", "coverage"),
    ],
)
def test_tab_in_bash(words, found, tmp_path):
    """A real bash takes the script, asks as for TAB, and gets the one word that begins so."""
    own = tmp_path / "advcourse"
    own.write_text(f'#!/bin/sh\nPYTHONPATH="{PACKAGE.parent}" exec "{sys.executable}" -m advcourse "$@"\n')
    own.chmod(0o755)
    script = ASK.format(command=own, words=words, last=len(words.split()) - 1)
    path = f"{tmp_path}:/usr/bin:/bin"
    shell = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, timeout=300, env={"PATH": path}
    )
    assert shell.stdout.splitlines() == ["complete -o default -F _advcourse_completion advcourse", found], (
        shell
    )


def test_tab_in_zsh():
    """zsh takes the script as that of `advcourse`; asked as the script asks, the command tells the words that begin so."""
    script = python("completion", "zsh").stdout
    assert script.startswith("#compdef advcourse") and "_ADVCOURSE_COMPLETE=complete_zsh" in script
    asked = {"_ADVCOURSE_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "advcourse ev"}
    assert "evaluate" in python(**asked).stdout and "coverage" not in python(**asked).stdout


# A settings file to begin with


@pytest.fixture
def evaluate(tmp_path, monkeypatch, capsys):
    """`evaluate(*arguments)`: (status, stdout, stderr) of `advcourse evaluate ARGUMENTS`, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["advcourse", "evaluate", *arguments])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        return stopped.value.code or 0, *capsys.readouterr()

    return run


def test_init_writes_a_file_and_never_over_one(evaluate):
    """Checks the file against the template that ships; a second time, what was changed meanwhile stays."""
    status, output, errors = evaluate("--init")
    path = Path("evaluation.yml")
    assert (status, errors) == (0, "") and output.startswith("Written: evaluation.yml.")
    assert path.read_bytes() == settings.TEMPLATE.read_bytes()
    path.write_text("mine")
    status, output, errors = evaluate("--init")
    assert (status, output) == (2, "") and "evaluation.yml', which already exists" in errors
    assert path.read_text() == "mine" and [*Path().iterdir()] == [path]
    assert evaluate("other.yml", "--init")[0] == 0 and Path("other.yml").exists()


@pytest.mark.slow
def test_the_template_runs_as_it_stands(evaluate):
    """By hand: two attacks, with two and with three budgets, on each of two models."""
    assert evaluate("--init")[0] == 0
    status, output, errors = evaluate("evaluation.yml")
    assert status == 0 and "Measured now: 10 of 10 cells." in output, errors


def test_what_the_template_leaves_out_is_right_as_well(evaluate):
    """Checks its lines for code of one's own, without their #, with the two files that they name: by hand, 18 attacks and one
    more, and a third model."""
    Path("my_model.py").write_text(
        "from advcourse import models\n\n\ndef build():\n    return models.load('mnist-mlp')\n"
    )
    Path("my_attack.py").write_text("from advcourse.attacks import FGSM as MyAttack\n")
    text = settings.TEMPLATE.read_text(encoding="utf-8")
    assert text.count("# - ") == 3
    Path("mine.yml").write_text(text.replace("# - ", "- "), encoding="utf-8")
    cells = settings.read("mine.yml").cells
    assert {cell.names.model for cell in cells} == {"mnist-cnn", "mnist-pat", "mine"}
    assert len(cells) == 3 * (5 + 18 + 1) and sum(cell.names.attack == "mine" for cell in cells) == 3
