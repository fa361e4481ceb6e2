"""Running a few lines inside the sandbox, and seeing what comes back."""

import textwrap
from types import SimpleNamespace

import pytest

from advcourse.grading.read.slicing import Part, Program
from advcourse.grading.run.asking import PipeRunner
from advcourse.grading.run.sandbox import Limits, Sandbox
from advcourse.labs.running import Call
from advcourse.labs.verdicts import Finding

SMALL = Limits(seconds=60, cpu_seconds=3, memory=400 * 2**20, processes=8)


class Inside:
    """Functions that run in a sandbox: `inside("return 1.0")` gives the `Reply`; a task that was stopped raises its `Finding`."""

    def __init__(self, sandbox):
        self.sandbox, self.reason, self.left = sandbox, "", 0

    def __call__(self, body, call=None, parameters=""):
        source = (
            f"import os, socket, subprocess, sys, time\nimport torch\ndef f({parameters}):\n"
            + textwrap.indent(textwrap.dedent(body), "    ")
        )
        program = Program("f", (Part("cell 1", source, (0, 1, 2)),)).as_plain()
        with self.sandbox.task() as (wire, watch):
            runner = PipeRunner(wire, watch, self.sandbox.limits, SimpleNamespace(name="f"))
            try:
                wire.send({"program": program, "tasks": ["f"]})
                told, _ = wire.receive()
                assert told["loaded"], told
                reply = runner(call or Call(None, {}))
            finally:
                self.reason = runner.reason
        self.left = watch.left
        return reply

    def number(self, body):
        """The number that the body returns."""
        reply = self(body)
        assert reply.kind in ("number", "tensor"), reply
        return reply.value.item()

    def stopped(self, body):
        """Why a task with this body was stopped."""
        with pytest.raises(Finding) as finding:
            self(body)
        assert finding.value.key == self.reason and finding.value.outcome == (
            "timed out" if self.reason == "time" else "crashed"
        )
        return finding.value.key


_SLOW = (
    '        importlib.import_module("matplotlib.pyplot")\n',
    "        torch.optim.Adam([torch.zeros(1)])  # the first optimizer imports much more of torch\n",
)


def bare(limits, isolation):
    """An `Inside` whose sandbox imports neither matplotlib nor what an optimizer needs before the first task.

    That is half of what a start takes, and most tests of the sandbox need neither.
    """
    sandbox = Sandbox(limits, isolation)
    worker = sandbox._library / "advcourse" / "grading" / "run" / "worker.py"
    source = worker.read_text(encoding="utf-8")
    for line in _SLOW:
        assert line in source
        source = source.replace(line, "")
    worker.write_text(source, encoding="utf-8")
    return Inside(sandbox)


def opened(inside):
    """This `Inside`, closed at the end: the body of a fixture."""
    yield inside
    inside.sandbox.close()
