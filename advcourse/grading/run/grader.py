"""The trusted grader: it calls the student's function over the wire, judges on its own copies, and reports the verdicts.

Nothing from the student's process counts except the arrays that its function returned.
"""

import base64
import hashlib
import hmac
import importlib
import secrets
import threading
import time
from dataclasses import replace

from advcourse.core.inputs import check_choice
from advcourse.core.workers import torch_threads
from advcourse.grading.read import reading
from advcourse.grading.read.submission import Unreadable, labs
from advcourse.grading.run.asking import PipeRunner, Unwritten, words
from advcourse.grading.run.sandbox import Limits, Sandbox, SandboxError
from advcourse.grading.run.staging import ALLOWED
from advcourse.grading.run.wire import Broken, Late, Starved
from advcourse.grading.tell.report import SYNTAX, Report, TaskResult
from advcourse.labs.checks import judge
from advcourse.labs.verdicts import CRASHED, NO_PYTHON, NOT_ATTEMPTED, RIGHT, Finding, Verdict

UNLOADED = "no function"  # the key if the student's cells ran and left no function
WAITED = "time to wait"  # why a task was stopped that did not work, but waited


class Grader:
    """Grades one submission after the other: `with Grader() as grader: report = grader.grade(content, "lab3", "Ada")`.

    Args:
        limits: what the code of one task may take.
        isolation: "bubblewrap", "process" or "auto" (default), see `Sandbox`, whose errors it raises.
    """

    def __init__(self, limits: Limits | None = None, isolation: str = "auto"):
        self._sandbox = Sandbox(limits, isolation)
        self._one_at_a_time = threading.Lock()
        # Of one notebook: the lab's tasks; what took too long in a try, and is not waited for again; and, for each set of the
        # student's statements that was executed, which of the lab's functions it has left, and whether a statement failed.
        self._tasks, self._late, self._bound, self._failed = [], set(), {}, {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def isolation(self) -> str:
        """ "bubblewrap" or "weak isolation"."""
        return self._sandbox.isolation

    def close(self) -> None:
        """End the sandbox."""
        self._sandbox.close()

    def grade(
        self,
        content: bytes,
        lab: str,
        student: str = "",
        secret: bytes | None = None,
        seed: int | None = None,
    ) -> Report:
        """Grade the notebook in `content`. Nothing in the notebook makes this raise an error.

        Args:
            content: the file's bytes.
            lab: "lab1", "lab2"...
            student: whose it is.
            secret: bytes from which the seed of each task follows, together with lab, student, task and file; default: new
                ones.
            seed: one seed for all tasks instead, which repeats an earlier check.

        Raises:
            InputError: for an unknown lab.
        """
        began = time.monotonic()
        tasks = importlib.import_module(f"advcourse.labs.{check_choice(lab, 'lab', labs())}").LAB.tasks
        digest = hashlib.sha256(content).hexdigest()
        secret = secrets.token_bytes(32) if secret is None else secret

        def seed_of(task):
            message = "\0".join((lab, student, task, digest))
            drawn = hmac.digest(secret, message.encode("utf-8", "surrogatepass"), "sha256")
            return int.from_bytes(drawn[:4], "big") % 2**31 if seed is None else seed

        report = Report(student, lab, digest, self.isolation)
        try:
            notebook = reading.read(content, lab, tasks)
        except Unreadable as error:
            message = "The notebook could not be read."
            none = [
                _result(task, Verdict(name, CRASHED, message, 0, task.points, 0))
                for name, task in tasks.items()
            ]
            return replace(report, tasks=tuple(none), error=str(error), seconds=time.monotonic() - began)
        programs = {program.task: program for program in notebook.programs}
        with self._one_at_a_time, torch_threads(1):  # several graders work side by side
            results, seen = self._all(tasks, programs, seed_of)
        return replace(
            report,
            tasks=tuple(results),
            written=notebook.written,
            notes=(*notebook.notes, *(program.note for program in notebook.programs if program.note)),
            signs=(*notebook.signs, *seen),
            seconds=round(time.monotonic() - began, 3),
        )

    def _all(self, tasks, programs, seed_of):
        """Return the results of all tasks, and what else the grader saw."""
        results, seen = {}, []
        self._tasks = list(tasks)
        self._late.clear()
        self._bound.clear()
        self._failed.clear()
        for name, task in tasks.items():
            verdict, remarks = self._verdict(task, programs[name], seed_of(name))
            results[name] = replace(_result(task, verdict), answer=programs[name].checksum)
            seen += [f"Task {name}: {line}" for line in remarks]
        if not self._sandbox.strong:
            self._sandbox.close()  # what one student's code did to a plain process must not reach the next student's
        return [_advised(results[name], programs[name], results) for name in tasks], seen

    def _verdict(self, task, program, seed):
        """Return the `Verdict` on one task, and what else was seen.

        If the statements found by name give no right answer, wider tries follow, with the same questions. The best verdict
        counts; of equally good ones, that of the try closest to the notebook. An answer that only waited may have waited for
        what was left out, so that one wider try follows.
        """
        if program.found:
            first = self._tried_again(task, program, seed)
        else:
            first = self._without_a_function(task, program, seed), [], ""
        tried = [first]
        for wider in () if first[2] not in ("", WAITED) else program.tries(self._late):
            if any(verdict.right for verdict, *_ in tried) or (first[2] and len(tried) > 1):
                break
            if not program.found and task.name not in self._bound.get(wider.own(), {task.name}):
                continue  # these statements were executed for another task, and left no function for this one
            found = self._tried(task, wider, seed)
            if self._failed.get(wider.own(self._late)) and not (found[0].right or found[2]):
                tried.append(self._tried(task, replace(wider, strict=True), seed))
            tried.append(found)
        verdict, remarks, reason = max([*tried[1:], first] if program.apart else tried, key=_worth)
        if program.broken and not verdict.right:
            verdict = _broken(task, program, seed)
        elif program.lost:
            verdict = _lacking(verdict, program.lost)
        return verdict, [*remarks, *([f"it was stopped ({reason})."] if reason else [])]

    def _without_a_function(self, task, program, seed):
        if program.broken:
            return _broken(task, program, seed)
        if program.stub:
            return judge(task, Unwritten(task), seed)
        message = f"There is no function `{task.name}` in the notebook."
        return Verdict(task.name, NOT_ATTEMPTED, message, 0, task.points, seed, key="missing")

    def _tried_again(self, task, program, seed):
        result = self._tried(task, program, seed)
        if result[2] == "died":  # maybe the machine did it; a function that ends its process does so again
            self._sandbox.renew()
            return self._tried(task, program, seed)
        return result

    def _tried(self, task, program, seed):
        """Return the `Verdict` on a function in a process of its own, what else was seen, and why it was stopped, or ""."""
        limits, remarks = self._sandbox.limits, []
        with self._sandbox.task() as (wire, watch):
            runner = PipeRunner(wire, watch, limits, task)
            try:
                verdict = self._judged(task, runner, wire, program, seed)
            except Finding as finding:
                verdict = Verdict(
                    task.name, finding.outcome, finding.message, 0, task.points, seed, finding.key
                )
            except Starved as error:
                raise SandboxError("the machine gave a task too little time of its processors") from error
            except Exception as error:  # of the judge itself, caused by something that nobody has thought of
                lost = "What came back could not be judged."
                verdict = Verdict(task.name, CRASHED, lost, 0, task.points, seed, key="protocol")
                remarks.append(f"the judge failed with {type(error).__name__}: {error}")
        if watch.left:
            remarks.append(f"{watch.left} more processes were running at the end, and were ended.")
        return verdict, remarks, WAITED if runner.waited else runner.reason

    def _judged(self, task, runner, wire, program, seed):
        try:
            wire.send({"program": program.as_plain(), "tasks": self._tasks})
            loaded, _ = wire.receive()
            there, trace = loaded["loaded"] is True, words(loaded["trace"])
            self._late |= {(str(label), place) for label, place in loaded["late"] if isinstance(place, int)}
            if not program.strict:
                self._bound[program.own(self._late)] = set(map(str, loaded["bound"]))
                self._failed[program.own(self._late)] = loaded["failed"] is True
        except (Broken, Late, TypeError, KeyError, ValueError) as error:
            raise runner.stopped(error) from error
        if there:
            return judge(task, runner, seed)
        message = f"The cells with `{task.name}` stopped with an error before there was a function to try."
        return Verdict(task.name, CRASHED, message, 0, task.points, seed, key=UNLOADED, trace=trace)


def _worth(found):
    """Return a sort key for the verdicts on one answer: whether a function was judged at all, then whether it is right."""
    verdict, _, reason = found
    return not reason and verdict.key != UNLOADED, verdict.right


def _broken(task, program, seed):
    message = f"{program.broken[:1].upper()}{program.broken[1:]}."
    return Verdict(task.name, NO_PYTHON, message, 0, task.points, seed, key=SYNTAX)


def _lacking(verdict, lost):
    """Return the verdict on an answer that needs what is lost, see `Program`; it says so if that is why the answer failed."""
    reason = f"It needs {'; and '.join(lost)}."
    if verdict.key == "not attempted":  # by the stub in the students' copy, which stood in
        return replace(verdict, outcome=CRASHED, key=SYNTAX, message=reason)
    return (
        replace(verdict, message=f"{verdict.message} {reason}") if "NameError" in verdict.trace else verdict
    )


def _result(task, verdict):
    picture, alt = _shown(verdict.picture) if verdict.picture else ("", "")
    fields = {
        name: getattr(verdict, name) for name in ("outcome", "message", "points", "possible", "seed", "key")
    }
    return TaskResult(task.name, task.title, **fields, trace=verdict.trace, picture=picture, alt=alt)


def _shown(picture):
    """Return a picture in base64, and in words."""
    try:
        return base64.b64encode(picture.png()).decode(), picture.alt
    except (ValueError, ArithmeticError, RuntimeError):  # its numbers are not those of an image
        return "", picture.alt


def _advised(result, program, results):
    """Return the result with advice on what it calls: answers that are not right, or a package that is missing in grading."""
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
