"""Windows itself, played by an interpreter that lacks what Python lacks there: one good sentence, and no traceback."""

import subprocess
import sys

import pytest
from lab_tests import ROOT

# psutil comes first: its part for Linux needs `resource`, and it has another for Windows.
WINDOWS = """
import os, sys
import psutil
for name in ("resource", "fcntl", "pwd", "grp", "termios", "tty", "pty", "posix_ipc"):
    sys.modules[name] = None
for name in ("fork", "getuid", "geteuid", "setsid", "killpg", "setuid", "WNOHANG", "sched_setaffinity"):
    if hasattr(os, name):
        delattr(os, name)
sys.argv = ["advcourse", *sys.argv[1:]]
from advcourse.cli import main
main()
"""
SENTENCE = "advcourse: isolation: grading needs Linux, macOS, or Windows with its subsystem for Linux\n"


def on_windows(*arguments):
    return subprocess.run(
        [sys.executable, "-c", WINDOWS, *arguments], capture_output=True, text=True, cwd=ROOT
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "exercises/lab1/lab1.ipynb"),
        ("check", "exercises/lab1/lab1.ipynb", "--isolation", "process"),
        ("grade", "exercises", "--lab", "1"),
        ("grade", "exercises", "--lab", "1", "--isolation", "bubblewrap"),
    ],
    ids=" ".join,
)
def test_grading_says_what_it_needs(arguments, tmp_path):
    """Checks the commands' one line and their status: nothing is graded, and no folder is made."""
    out = ("--out", str(tmp_path / "out")) if arguments[0] == "grade" else ()
    done = on_windows(*arguments, *out)
    assert (done.stderr, done.stdout, done.returncode) == (SENTENCE, "", 2)
    assert not list(tmp_path.iterdir())


def test_other_commands_work():
    """Checks that those which grade nothing do without what Windows has not."""
    done = on_windows("--version")
    assert done.returncode == 0 and done.stdout.startswith("advcourse "), done.stderr
    done = on_windows("coverage", "--json")
    assert done.returncode == 0 and done.stdout.startswith(("{", "[")), done.stderr
