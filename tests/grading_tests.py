"""What the tests of the grader share: a mark for those that need bubblewrap, and notebooks to grade."""

import copy
from functools import cache
from pathlib import Path

import nbformat
import pytest

from advcourse.grading.sandbox import why_no_bubblewrap

ROOT = Path(__file__).resolve().parent.parent
needs_bubblewrap = pytest.mark.skipif(
    bool(why_no_bubblewrap()), reason=f"bubblewrap cannot be used here: {why_no_bubblewrap()}"
)


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
