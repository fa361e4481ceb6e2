"""Modules that have moved are still there under their old names, which nothing in the project uses."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from advcourse._moved import MOVED

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("old", MOVED)
def test_an_old_name_gives_the_module_itself(old):
    """Checks that both names lead to one object, whose own name is the new one."""
    module = importlib.import_module(MOVED[old])
    spec = module.__spec__
    assert importlib.import_module(old) is module
    assert module.__spec__ is spec and spec.name == module.__name__ == MOVED[old]


def test_old_names_work_in_each_kind_of_import():
    """Checks a fresh process, where nothing has been imported under the new names."""
    code = """
from advcourse.inputs import InputError
from advcourse import identity, transformations, zoo
import advcourse.attacks.penalty
from advcourse.grading import submission
from advcourse.identity.walk import identity as key
import advcourse
assert InputError.__module__ == "advcourse.core.errors" and key is identity.identity
assert advcourse.rounding.percent(0.5) == "50 %" and advcourse.attacks.penalty is advcourse.attacks.search
assert submission.__name__ == "advcourse.grading.read.submission" and "PAT" in zoo.names()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_the_project_uses_the_new_names():
    """Reads all code, notebooks and pages of documentation."""
    used = []
    old = re.compile("|".join(rf"{re.escape(name)}\b" for name in MOVED))
    for folder, pattern in (
        ("advcourse", "*.py"),
        ("tests", "*.py"),
        ("chapters", "*.ipynb"),
        ("docs", "*.md"),
    ):
        for path in (ROOT / folder).rglob(pattern):
            if path.name not in ("_moved.py", "test_moved.py"):
                used += [f"{path.name}: {name}" for name in old.findall(path.read_text(encoding="utf-8"))]
    assert not used
