"""Unlucky notebooks: what Jupyter's own kernel makes of them, the grader makes of them, too."""

import pytest
from amounts import some
from grading_tests import needs_bubblewrap
from hostile.unlucky import NOTEBOOKS
from notebook_files import file
from test_grading_styles import IMPORTS, SEED, Kernel

from advcourse.grading.run.grader import Grader
from advcourse.grading.run.sandbox import Limits

TASK = "project"


@pytest.fixture(scope="module")
def kernel():
    kernel = Kernel()
    yield kernel
    kernel.close()


@pytest.fixture(scope="module")
def grader():
    with Grader(
        Limits(seconds=10)
    ) as grader:  # one of them waits without end until the whole notebook is run
        yield grader


@needs_bubblewrap
@pytest.mark.long
@pytest.mark.parametrize("name", some(list(NOTEBOOKS), 3))
def test_notebook_and_grader_agree(name, kernel, grader):
    """Checks the grader's verdict against that of `check` in a kernel of Jupyter which has run the same cells in order."""
    verdict = kernel.verdict(NOTEBOOKS[name], TASK)
    assert verdict["outcome"] == ("not attempted yet" if "fills nothing" in name else "right"), verdict
    report = grader.grade(file(IMPORTS, *NOTEBOOKS[name], f"check({TASK})"), "lab1", seed=SEED)
    (graded,) = [task for task in report.tasks if task.task == TASK]
    for part in ("outcome", "key", "message", "points"):
        assert getattr(graded, part) == verdict[part], (graded, verdict)
