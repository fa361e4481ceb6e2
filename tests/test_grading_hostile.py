"""Submissions that try to get more than their answers deserve: what each gets, whom it harms, and what the instructor is told."""

import json
import os
import re
import subprocess
import sys
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import psutil
import pytest
import torch
from amounts import some
from grading_tests import answer, content, exercise, needs_bubblewrap
from hostile import CHEATS, seeds
from hostile.books import BY_NAME, FAMILIES, HONEST, NAMES, honest, source_of, submission
from hostile.records import FILES
from hostile.witness import second
from hostile.world import LIMITS, World

from advcourse.grading.read.slicing import Part, Program
from advcourse.grading.run.asking import PipeRunner
from advcourse.grading.run.grader import Grader
from advcourse.grading.tell import feedback, overview
from advcourse.grading.tell.report import BUBBLEWRAP, Report
from advcourse.labs.checks import judge
from advcourse.labs.running import Call, LocalRunner
from advcourse.labs.victims import BlackBox, Victim


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        world = World(tmp_path_factory.mktemp("planted"), stack)
        patch.setenv("ADVCOURSE_SECRET", world.mark)
        yield world
    os.close(world.held)


def is_well_formed(report):
    """A report that can be written, read again, and shown in a terminal, and whose sum is the tasks'."""
    text = report.as_json()
    assert Report.from_json(text) == report and text.encode("utf-8")
    assert "\x1b" not in "".join(task.trace + task.message for task in report.tasks)
    assert report.points == sum(task.points for task in report.tasks) and report.isolation == BUBBLEWRAP
    assert all(task.points in (0, task.possible) and task.seed < 2**31 for task in report.tasks)
    assert len(text) < 500_000


def points(report):
    """Task -> True for full points, False for none."""
    return {task.task: task.points == task.possible for task in report.tasks}


@pytest.fixture(scope="module")
def alone(world):
    """What the second student gets from a grader that has met nobody else, by the name of its limits."""

    @cache
    def graded(limits):
        with Grader(LIMITS[limits], "bubblewrap") as fresh:
            report = fresh.grade(second(), "lab4", "Ada", world.mark.encode())
        seen = {task.task: task for task in report.tasks}
        assert seen["rate"].points > 0 and "RuntimeError: me:" in seen["interval"].trace
        return report.tasks

    return graded


@pytest.mark.long
@needs_bubblewrap
@pytest.mark.parametrize("name", some(NAMES, 5))
def test_a_cheat_gets_what_its_answer_deserves(world, alone, name):
    """Checks points, verdict, signs, other tasks, files and processes against what the submission was written to be.

    And the next student's submission, graded by the same grader, against what it gets from one that has met nobody else.
    """
    cheat, before = BY_NAME[name], world.taken()
    report = world.grade(submission(world, cheat), cheat.lab, cheat.limits)
    is_well_formed(report)
    (verdict,) = [task for task in report.tasks if task.task == cheat.task]
    got = points(report)
    told = f"{verdict.outcome} ({verdict.key}): {verdict.message}\n{verdict.trace}\n" + "\n".join(
        report.signs
    )
    assert cheat.deserves == "either" or got[cheat.task] == (cheat.deserves == "all"), told
    assert not cheat.keys or verdict.key in cheat.keys, told
    expected = {task: task in HONEST[cheat.lab] for task in got} | {cheat.task: got[cheat.task]}
    assert got == expected, report.tasks
    assert not re.search(f"LEAK|{world.mark}", report.as_json()), told
    assert report.signs or not cheat.told, "nobody is told"
    assert world.taken() == before
    assert not [p for p in psutil.process_iter(["name"]) if p.info["name"] == world.stays]
    assert world.grade(second(), "lab4", cheat.limits, student="Ada").tasks == alone(cheat.limits)


# What stands around them


def test_there_are_enough_and_each_has_a_name_of_its_own():
    """Checks the list against what was promised: forty, of every family, no name twice."""
    assert len(NAMES) == len(set(NAMES)) >= 40
    assert all(family.__doc__.startswith("They ") for family in FAMILIES)


@needs_bubblewrap
@pytest.mark.parametrize("lab", HONEST)
def test_an_honest_submission_gets_all_and_no_sign(world, lab):
    """Checks the same notebooks without a cheat: full points for the right answers, and nothing for the instructor to look at."""
    report = world.grade(content(honest(lab)), lab)
    is_well_formed(report)
    assert points(report) == {task.task: task.task in HONEST[lab] for task in report.tasks}
    assert report.signs == () and report.error == ""


@pytest.fixture(scope="module")
def unprotected(world):
    """What each cheat that says so gets where nothing protects: name -> (points, words)."""
    tried = [cheat for cheat in CHEATS if cheat.succeeds]
    rows = [
        (cheat.name, cheat.lab, cheat.task, world.source(source_of(cheat.name), cheat.lab, cheat.task))
        for cheat in tried
    ]
    before, out = world.taken(), world.folder.parent / "unprotected.json"
    script = Path(__file__).parent / "hostile" / "unprotected.py"
    done = subprocess.run(
        [sys.executable, script, out],
        input=json.dumps(rows),
        text=True,
        capture_output=True,
        pass_fds=[world.held],
        cwd=world.folder.parent,
        timeout=300,
    )
    for path, data in before.items():
        Path(path).write_bytes(data)  # one of them changes the gradebook
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", [cheat.name for cheat in CHEATS if cheat.succeeds])
def test_a_cheat_would_succeed_without_protection(world, unprotected, name):
    """Checks that the cheats are no straw men: in one process with the judge, as in a notebook, each gets what it is after."""
    cheat, (got, told) = BY_NAME[name], unprotected[name]
    assert got > 0 if cheat.succeeds == "points" else "LEAK" in told, told


@needs_bubblewrap
@pytest.mark.parametrize("change", FILES, ids=lambda change: change.__name__)
def test_what_a_file_claims_counts_nothing(world, change):
    """Checks notebooks whose metadata or outputs promise points: a wrong answer gets 0, the others get theirs, the sum stays."""
    book = answer(honest("lab4"), "rate", "def rate(clean_logits, logits, y, target):\n    return 0.5")
    cells = json.loads(content(book))
    change(cells, [cell for cell in cells["cells"] if cell["id"] == "rate"][0])
    report = world.grade(json.dumps(cells).encode(), "lab4")
    is_well_formed(report)
    assert points(report) == {
        task.task: task.task in HONEST["lab4"] and task.task != "rate" for task in report.tasks
    }
    assert report.possible == sum(
        task.possible for task in world.grade(content(honest("lab4")), "lab4").tasks
    )


@needs_bubblewrap
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"cells": ' + b"[" * 100_000,
        b'{"cells": 5, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}',
        b'{"cells": [5, null, {"source": 7, "cell_type": []}], "metadata": 1, "nbformat": 4, "nbformat_minor": 5}',
        b'{"nbformat": 1e999, "cells": [], "metadata": {}, "nbformat_minor": NaN}',
        b'{"cells": ['
        + b'{"cell_type": "code", "source": "x = 1"},' * 20_000
        + b'{"cell_type": "code"}], "metadata": {}, "nbformat": 4}',
        b"\x80\x04\x95\x1f\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x04true\x94\x85\x94R\x94.",
    ],
    ids=["empty", "bytes", "brackets", "cells", "number", "odd", "version", "many", "pickle"],
)
def test_a_file_that_is_no_notebook_stops_nothing(world, data):
    """Checks bytes that are no notebook, or hardly: a report with 0 points comes back, and no exception."""
    report = world.grade(data, "lab4")
    is_well_formed(report)
    assert report.points == 0 and len(report.tasks) == 8


@needs_bubblewrap
def test_no_words_of_a_student_are_markup(world):
    """Checks the pages of student and class: as many scripts and pictures as without the words, which stand there as text."""
    tag = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    book = honest("lab4")
    (question,) = [cell for cell in book.cells if cell.id == "question-1"]
    plain = world.grade(content(book), "lab4")
    question.source = f"{tag} ` [{tag}](javascript:alert(3)) `"
    answer(
        book, "rate", f"!echo {tag}\nimport os\n\n\ndef rate(*values):\n    return type({tag!r}, (), {{}})()"
    )
    answer(book, "interval", f"def interval(successes, n):\n    raise RuntimeError({tag!r})")
    answer(book, "similarity", f"def similarity(x, x_adv):\n    {tag}")
    report = world.grade(content(book), "lab4", student=tag)
    pages = [
        [feedback.page(one), overview.page([one], one.student, {one.student: "page.html"})]
        for one in (plain, report)
    ]
    for clean, found in zip(*pages):
        assert "alert(1)" in found and "<script>alert" not in found and "<img src=x" not in found
        assert not re.search(r"<[^>]*(javascript:|onerror)", found)
        assert found.count("<script") == clean.count("<script")


# The seed of an earlier check


@needs_bubblewrap
def test_the_seed_of_a_report_is_worth_nothing_in_the_next(world):
    """Checks a student who learns the numbers of his report's seed by heart: right in a notebook, 0 in the next grading."""
    wrong = answer(honest("lab4"), "rate", "def rate(clean_logits, logits, y, target):\n    return 0.5")
    first = world.grade(content(wrong), "lab4")
    seed = first.tasks[0].seed
    source, own = seeds.by_heart(seed), {}
    exec(source, own)
    assert judge(seeds.TASKS["rate"], LocalRunner(own["rate"]), seed).right
    second = world.grade(content(answer(wrong, "rate", source)), "lab4")
    assert first.tasks[0].task == "rate" and second.tasks[0].points == 0
    assert second.tasks[0].seed != seed


@needs_bubblewrap
def test_seeds_follow_from_secret_student_and_file(world):
    """Checks the seeds of one notebook: the same for the same secret and student, others for another of either."""
    book = content(exercise("lab1"))

    def drawn(**how):
        return [task.seed for task in world.grade(book, "lab1", **how).tasks]

    same, other, another = drawn(), drawn(student="Ada"), drawn(secret=b"another")
    assert same == drawn()
    assert len({*same, *other, *another}) == 3 * len(same)


# Questions to a model that may only be asked

_ASKS_MORE = """
import torch


def ask(model, x):
    model.most, told = 10**9, 0
    for images in (x, x, x, x[0], x[:, :, :3], x.long(), x[:0], x.double(), x * torch.nan):
        try:
            model(images)
            told += 1
        except RuntimeError:
            model.asked = 0
    return torch.tensor(float(told))
"""


@needs_bubblewrap
def test_the_grader_counts_the_questions(world):
    """Checks a function that sets its own counter back: of 5 images it may ask, it gets to know 3, and all are counted.

    By hand: six times it sends 3 floating-point images, of whatever shape; once none; what are no images does not count.
    """
    sandbox = world.grader("usual")._sandbox
    program = Program("ask", (Part("cell 1", _ASKS_MORE, (0, 1)),)).as_plain()
    call = Call(BlackBox(Victim("smooth", 3), 5), {"x": torch.rand(3, 1, 28, 28)})
    with sandbox.task() as (wire, watch):
        wire.send({"program": program, "tasks": ["ask"]})
        assert wire.receive()[0]["loaded"]
        reply = PipeRunner(wire, watch, sandbox.limits, None)(call)
    assert reply.value == 1 and reply.asked == 18


@needs_bubblewrap
def test_nothing_is_left_when_the_grader_is_closed(world):
    """Checks the processes of this machine below the test before and after a grader that met one which stays."""
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    with Grader(LIMITS["usual"], "bubblewrap") as grader:
        cheat = BY_NAME["leaves_a_process_behind"]
        grader.grade(submission(world, cheat), cheat.lab)
        assert {process.pid for process in psutil.Process().children(recursive=True)} - before
    assert {process.pid for process in psutil.Process().children(recursive=True)} <= before
