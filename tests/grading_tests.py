"""What the tests of the grader share: a mark for those that need bubblewrap, and notebooks to grade."""

import copy
import os
import shutil
import sys
from functools import cache
from pathlib import Path

import nbformat
import pytest

from advcourse.grading.run.sandbox import why_no_bubblewrap

ROOT = Path(__file__).resolve().parent.parent
needs_bubblewrap = pytest.mark.skipif(
    bool(why_no_bubblewrap()), reason=f"bubblewrap cannot be used here: {why_no_bubblewrap()}"
)


def for_an_ordinary_user():
    """The words before a command of root's that make readable what it needs, where a folder above is root's alone."""
    needed = {Path(sys.base_prefix), Path(sys.prefix), ROOT}
    closed = {place: _closed(place) for place in needed if _closed(place)}
    words = [shutil.which("bwrap"), "--dev-bind", "/", "/"]
    for folder in sorted(set(closed.values())):
        words += ["--perms", "0755", "--tmpfs", folder]
    for place, folder in sorted(closed.items()):
        inside = str(Path(folder) / place.relative_to(folder).parts[0])
        words += ["--ro-bind", inside, inside]
    return words


def _closed(place):
    """The first folder above a place that only some may enter; None where all may."""
    above = [*place.parents][::-1]
    return next((str(folder) for folder in above if not os.stat(folder).st_mode & 0o001), None)


@cache
def _stored(folder, lab):
    return nbformat.read(ROOT / folder / lab / f"{lab}.ipynb", as_version=4)


def solution(lab):
    """The author's notebook of a lab, a copy to be changed."""
    return copy.deepcopy(_stored("solutions", lab))


def exercise(lab):
    """The student's untouched copy, a copy to be changed."""
    return copy.deepcopy(_stored("exercises", lab))


def answer(notebook, task, source):
    """Put `source` in the place of the cell with the answer to `task`; returns the notebook."""
    (cell,) = [cell for cell in notebook.cells if cell.id == task]
    cell.source = source
    return notebook


def content(notebook):
    """The bytes of the notebook's file."""
    return nbformat.writes(notebook).encode()


def outcomes(report):
    """Task -> outcome."""
    return {task.task: task.outcome for task in report.tasks}
