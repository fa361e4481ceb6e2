"""The trusted grader: it asks the student's function behind the wire, judges on its own copies, and says what came of it.

Nothing that the student's process says counts but the arrays that its function returned.
"""

import base64
import hashlib
import hmac
import importlib
import secrets
import threading
import time
from dataclasses import asdict, replace

from advcourse.grading import submission
from advcourse.grading.asking import PipeRunner, Unwritten, words
from advcourse.grading.report import SYNTAX, Report, TaskResult
from advcourse.grading.sandbox import Sandbox
from advcourse.grading.signs import signs
from advcourse.grading.staging import ALLOWED
from advcourse.grading.submission import labs
from advcourse.grading.wire import Broken, Late
from advcourse.inputs import check_choice
from advcourse.labs.checks import judge
from advcourse.labs.verdicts import CRASHED, NOT_ATTEMPTED, RIGHT, Finding, Verdict
from advcourse.workers import torch_threads


class Grader:
    """Grades one submission after the other: `with Grader() as grader: report = grader.grade(content, "lab3", "Ada")`.

    Args:
        limits: what the code of one task may take (`advcourse.grading.sandbox.Limits`).
        isolation: "bubblewrap", "process" or "auto" (default), see `Sandbox`, whose errors it raises.
    """

    def __init__(self, limits=None, isolation="auto"):
        self._sandbox = Sandbox(limits, isolation)
        self._one_at_a_time = threading.Lock()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def isolation(self):
        """ "bubblewrap" or "weak isolation"."""
        return self._sandbox.isolation

    def close(self):
        """End the sandbox."""
        self._sandbox.close()

    def grade(self, content, lab, student="", secret=None, seed=None):
        """Grade the notebook in `content`; returns a `Report`. Nothing that is in the notebook makes it raise an error.

        Args:
            content: the file's bytes.
            lab: "lab1", "lab2"...
            student: whose it is.
            secret: bytes that the seed of each task follows from, together with lab, student, task and file; default: a new one.
            seed: one seed for all tasks instead, which repeats an earlier check.

        Raises `InputError` for an unknown lab.
        """
        began = time.monotonic()
        tasks = importlib.import_module(f"advcourse.labs.{check_choice(lab, 'lab', labs())}").LAB.tasks
        digest = hashlib.sha256(content).hexdigest()
        secret = secrets.token_bytes(32) if secret is None else secret

        def seed_of(task):
            told = "\0".join((lab, student, task, digest))
            drawn = hmac.digest(secret, told.encode("utf-8", "surrogatepass"), "sha256")
            return int.from_bytes(drawn[:4], "big") % 2**31 if seed is None else seed

        report = Report(student, lab, digest, self.isolation)
        try:
            submitted = submission.read(content)
        except submission.Unreadable as error:
            told = "The notebook could not be read."
            none = [
                _result(task, Verdict(name, CRASHED, told, 0, task.points, 0)) for name, task in tasks.items()
            ]
            return replace(report, tasks=tuple(none), error=str(error), seconds=time.monotonic() - began)
        with self._one_at_a_time, torch_threads(1):  # several graders work side by side
            results, notes, seen = self._all(tasks, submitted, lab, seed_of)
        given = submission.released(lab)
        return replace(
            report,
            tasks=tuple(results),
            written=submission.written(submitted, given),
            notes=(*submitted.notes, *notes),
            signs=(*signs(submitted, given), *seen),
            seconds=round(time.monotonic() - began, 3),
        )

    def _all(self, tasks, submitted, lab, seed_of):
        """The results of all tasks, notes on where the answers were found, and what the grader saw beside them."""
        given, results, programs, seen = submission.released(lab), {}, {}, []
        for name, task in tasks.items():
            programs[name] = submission.program(name, tuple(tasks), submitted, given)
            verdict, told = self._verdict(task, programs[name], seed_of(name))
            results[name] = _result(task, verdict)
            seen += [f"Task {name}: {line}" for line in told]
        if not self._sandbox.strong:
            self._sandbox.close()  # what one student's code did to a plain process is not the next one's business
        notes = [program.note for program in programs.values() if program.note]
        return [_advised(results[name], programs[name], results) for name in tasks], notes, seen

    def _verdict(self, task, program, seed):
        """The `Verdict` on one task, and what else was seen."""
        if program.broken:
            told = f"{program.broken[:1].upper()}{program.broken[1:]}."
            return Verdict(task.name, CRASHED, told, 0, task.points, seed, key=SYNTAX), []
        if program.stub:
            return judge(task, Unwritten(task), seed), []
        if not program.found:
            told = f"There is no function `{task.name}` in the notebook."
            return Verdict(task.name, NOT_ATTEMPTED, told, 0, task.points, seed, key="missing"), []
        verdict, told, reason = self._tried(task, program, seed)
        if reason == "died":  # the machine may have done it; a function that ends its process does it again
            verdict, told, reason = self._tried(task, program, seed)
        return verdict, [*told, *([f"it was stopped ({reason})."] if reason else [])]

    def _tried(self, task, program, seed):
        """The `Verdict` on a function in a process of its own, what else was seen, and why that was stopped, or ""."""
        limits, told = self._sandbox.limits, []
        with self._sandbox.task() as (wire, watch):
            runner = PipeRunner(wire, watch, limits, task)
            try:
                verdict = self._judged(task, runner, wire, program, seed)
            except Finding as finding:
                verdict = Verdict(task.name, CRASHED, finding.message, 0, task.points, seed, finding.key)
            except Exception as error:  # of the judge itself, at something that nobody has thought of
                lost = "What came back could not be judged."
                verdict = Verdict(task.name, CRASHED, lost, 0, task.points, seed, key="protocol")
                told.append(f"the judge failed with {type(error).__name__}: {error}")
        if watch.left:
            told.append(f"{watch.left} more processes were running at the end, and were ended.")
        return verdict, told, runner.reason

    def _judged(self, task, runner, wire, program, seed):
        try:
            wire.send({"limits": asdict(self._sandbox.limits), "program": program.as_plain()})
            loaded, _ = wire.receive()
            there, trace = loaded["loaded"] is True, words(loaded["trace"])
        except (Broken, Late, TypeError, KeyError) as error:
            raise runner.stopped(error) from error
        if there:
            return judge(task, runner, seed)
        told = f"The cells with `{task.name}` stopped with an error before there was a function to try."
        return Verdict(task.name, CRASHED, told, 0, task.points, seed, key="crash", trace=trace)


def _result(task, verdict):
    picture, alt = _shown(verdict.picture) if verdict.picture else ("", "")
    told = {
        name: getattr(verdict, name) for name in ("outcome", "message", "points", "possible", "seed", "key")
    }
    return TaskResult(task.name, task.title, **told, trace=verdict.trace, picture=picture, alt=alt)


def _shown(picture):
    """A picture in base64, and in words."""
    try:
        return base64.b64encode(picture.png()).decode(), picture.alt
    except (ValueError, ArithmeticError, RuntimeError):  # of numbers that no image has
        return "", picture.alt


def _advised(result, program, results):
    """The result, with a word on what it calls: answers that are not right, or a package that is not there in grading."""
    if "ModuleNotFoundError" in result.trace or "ImportError" in result.trace:
        there = ", ".join(name for name in ALLOWED if name != "safetensors")
        return replace(
            result, advice=f"When answers are graded there are {there}, and of advcourse what the lab gives."
        )
    wrong = [f"`{name}`" for name in program.uses if name in results and results[name].outcome != RIGHT]
    if result.outcome == RIGHT or not wrong:
        return result
    is_not = (
        "is not right yet. Mend that first." if len(wrong) == 1 else "are not right yet. Mend those first."
    )
    return replace(result, advice=f"It calls {' and '.join(wrong)}, which {is_not}")
