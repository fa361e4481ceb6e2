"""Right in the notebook is right in the grader, and wrong is wrong for the same reason, however a notebook is written."""

import json

import pytest
from amounts import amount
from grading_tests import needs_bubblewrap
from jupyter_client.manager import start_new_kernel
from notebook_files import file
from styles import BODIES, DEFINITIONS, SUPPLIES, drawn, style

from advcourse.grading.run.grader import Grader

SEED = 20
MARK = "@@@"
IMPORTS = (
    "import torch\nfrom torch.nn.functional import cross_entropy\n\n"
    "from advcourse.labs.lab1 import check, hint, measure"
)
CLEAN = """
import builtins, os, tempfile, torch
os.chdir(tempfile.mkdtemp())
get_ipython().compile.reset_compiler_flags()
for name in ("project", "fgsm", "llc", "bim"):
    vars(builtins).pop(name, None)
torch.set_grad_enabled(True)
"""
STYLES = drawn(amount(150, 1000))


class Kernel:
    """One kernel of Jupyter, which runs a notebook after the other."""

    def __init__(self):
        self._manager, self._client = start_new_kernel(kernel_name="python3")

    def close(self):
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)

    def run(self, source):
        """What the cell prints."""
        asked, printed = self._client.execute(source, allow_stdin=False), []
        while True:
            message = self._client.get_iopub_msg(timeout=120)
            if message["parent_header"].get("msg_id") != asked:
                continue
            content = message["content"]
            if message["msg_type"] == "stream":
                printed.append(content["text"])
            elif message["msg_type"] == "status" and content["execution_state"] == "idle":
                return "".join(printed)

    def verdict(self, cells, task):
        """What `check` says after the cells have been run, one after the other, in an empty namespace."""
        self.run("%reset -f")
        self.run(CLEAN)
        for cell in (IMPORTS, *cells):
            if isinstance(cell, str):
                self.run(cell)
        told = f"check({task}, '{task}', seed={SEED}).as_dict()"
        printed = self.run(f"import json as _json\nprint({MARK!r} + _json.dumps({told}) + {MARK!r})")
        return json.loads(printed.split(MARK)[1])


@pytest.fixture(scope="module")
def kernel():
    kernel = Kernel()
    yield kernel
    kernel.close()


@pytest.fixture(scope="module")
def grader():
    with Grader() as grader:
        yield grader


def test_many_styles_are_drawn():
    """Checks the number of notebooks by their text, and that each way to define an answer and to supply it is among them."""
    assert len({repr(style.cells) for style in STYLES}) == len(STYLES) >= 150
    assert {style.definition for style in STYLES} == set(DEFINITIONS)
    assert {style.supply for style in STYLES} == set(SUPPLIES)
    assert {style.body for style in STYLES} == {0, 1, 2}


@needs_bubblewrap
@pytest.mark.long
@pytest.mark.parametrize("style", STYLES, ids=str)
def test_notebook_and_grader_say_the_same(style, kernel, grader):
    """Checks the grader's verdict against that of `check` in a kernel of Jupyter, which has run the same cells in order."""
    verdict = kernel.verdict(style.cells, style.task)
    report = grader.grade(file(IMPORTS, *style.cells, f"check({style.task})"), "lab1", seed=SEED)
    (graded,) = [task for task in report.tasks if task.task == style.task]
    for name in ("outcome", "key", "message", "points"):
        assert getattr(graded, name) == verdict[name], (graded, verdict)


@pytest.mark.parametrize("supply", ["written out", "a class attribute set elsewhere", "a helper that fills"])
@pytest.mark.parametrize("task", BODIES)
def test_the_first_body_is_right_and_the_others_are_not(task, supply, kernel):
    """Checks the bodies that the styles are made of against the notebook's own check."""
    for body in range(len(BODIES[task]) - 1):
        verdict = kernel.verdict(style(task, body, "def", supply, "z").cells, task)
        assert (verdict["outcome"] == "right") == (body == 0), verdict
