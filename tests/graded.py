"""Reports to make pages of: real verdicts on the labs' answers, in a small class put together by hand."""

import base64
import inspect
from dataclasses import replace
from functools import cache

from answers import rooms

from advcourse.grading.tell.report import BUBBLEWRAP, Report, TaskResult, Written
from advcourse.labs.lab1 import LAB
from advcourse.labs.verdicts import CRASHED, TIMED_OUT

EVIL = (
    "</pre></title><script>alert(1)</script>\"'&`code`\x00\x07\x1b\u202egnorw\u2066\ud800"
    + "y" * 500
    + "\r\nשלום"
)
DIGEST = "0123456789abcdef" * 4
_ROOMS = {room.task: room for room in rooms("lab1")}


@cache
def verdict(task, key=""):
    """Lab 1's verdict on a right answer, or on the wrong one with this key, or on a "stub", or on a "bug"."""
    room = _ROOMS[task]
    named = {wanted: answer for wanted, answer in reversed(room.wrongs)}

    def stub(*_, **__):
        raise NotImplementedError()

    def bug(*_, **__):
        raise ValueError("the <shape> of `x` is no good")

    answer = {"": room.rights[0], "stub": stub, "bug": bug}.get(key) or named[key]
    if key in ("stub", "bug"):
        answer.__signature__ = inspect.signature(room.rights[0])
    return LAB.check(answer, task, seed=123)


def result(task, key="", **changes):
    """The `TaskResult` of `verdict`."""
    found = verdict(task, key)
    told = {name: value for name, value in found.as_dict().items() if name != "task"}
    if found.picture:
        told |= {"picture": base64.b64encode(found.picture.png()).decode(), "alt": found.picture.alt}
    return replace(TaskResult(task, LAB.tasks[task].title, **told), **changes)


def late(task):
    """A task that the time limit stopped."""
    told = "It was stopped after 20 seconds of work."
    return replace(result(task), outcome=TIMED_OUT, points=0, key="time", message=told)


def report(student, *tasks, **settings):
    """A `Report` of lab 1."""
    return Report(student, "lab1", DIGEST, **{"isolation": BUBBLEWRAP, **settings}, tasks=tasks)


def questions(*answers):
    """Written questions of three points each."""
    return tuple(Written(f"question-{i}", f"Question {i}", 3, text) for i, text in enumerate(answers, 1))


def damaged(student="Damaged"):
    """The report of a file that cannot be read."""
    told = "The notebook could not be read."
    zero = (result(name, outcome=CRASHED, points=0, message=told, seed=0) for name in ("fgsm", "llc"))
    return report(student, *zero, error="the file is empty; allowed is a Jupyter notebook (.ipynb)")


def ada(**settings):
    """One of each outcome: 3 of 9 points (fgsm 2, llc 2, rfgsm 3, project 2)."""
    tasks = (result("fgsm", "box"), result("llc", "bug"), result("rfgsm"), result("project", "stub"))
    return report("Ada Müller", *tasks, **{"written": questions("It is **fast**.", " \n"), **settings})


def hostile():
    """Every text that a student has a hand in is hostile."""
    made = replace(ada(), student=EVIL, notes=(EVIL,), signs=(EVIL,) * 9, written=questions(EVIL))
    tasks = (replace(task, message=EVIL, trace=EVIL, advice=EVIL) for task in made.tasks)
    return replace(made, tasks=tuple(tasks))


def a_class(count):
    """`count` students, of whom each fifth has a sign and each seventh ran out of time in llc; each third's fgsm is wrong."""
    right, reports = [result(name) for name in ("fgsm", "llc", "rfgsm", "project")], []
    wrong, stopped = result("fgsm", "box"), late("llc")
    for i in range(count):
        tasks = list(right)
        if i % 3 == 0:
            tasks[0] = wrong
        if i % 7 == 0:
            tasks[1] = stopped
        signs = ("Cell 7, line 1: imports `os`.",) if i % 5 == 0 else ()
        reports.append(report(f"student {i:03d}", *tasks, signs=signs, written=questions("Because.", "")))
    return reports
