"""Sentences of the grader that a rare cause brings about: each is reached, and says what was given and what to do."""

import sys
from types import SimpleNamespace

import pytest
from notebook_files import file

from advcourse.core.inputs import InputError
from advcourse.grading import classroom, dryrun
from advcourse.grading.read.slicing import Program
from advcourse.grading.read.submission import read
from advcourse.grading.run import grader as grading
from advcourse.grading.run import sandbox
from advcourse.grading.run.asking import PipeRunner
from advcourse.grading.run.sandbox import Limits, Sandbox
from advcourse.grading.run.wire import Broken, Late
from advcourse.grading.tell.report import Report, TaskResult
from advcourse.labs.lab1 import LAB
from advcourse.labs.verdicts import CRASHED, TIMED_OUT

LIMITS = Limits(seconds=7, cpu_seconds=5, memory=2**30, processes=9)


@pytest.mark.parametrize(
    ("seen", "error", "outcome", "told"),
    [
        (
            "time",
            Broken("nothing more"),
            TIMED_OUT,
            "after 5 seconds of work, or 7 seconds of waiting. Is there a loop",
        ),
        ("", Late(), TIMED_OUT, "Is there a loop that does not end?"),
        ("memory", Broken("nothing more"), CRASHED, "it took more than 1 GiB of memory"),
        ("processes", Broken("nothing more"), CRASHED, "it had started more than 9 processes and threads"),
        (
            "",
            Broken("nothing more"),
            CRASHED,
            "Its process ended before it gave an answer. Does it call exit()",
        ),
        ("", Broken("what is no message"), CRASHED, "What its process sent is no answer of a function"),
        ("", KeyError("kind"), CRASHED, "What its process sent is no answer of a function"),
    ],
)
def test_why_an_answer_was_stopped(seen, error, outcome, told):
    """Checks the sentence and the outcome for each cause, with the numbers of the limits."""
    finding = PipeRunner(None, SimpleNamespace(why=lambda: seen), LIMITS, None).stopped(error)
    assert told in finding.message and finding.outcome == outcome


def test_what_is_odd_in_a_file():
    """Checks the notes on another encoding, too much code, too many magics, and many cells that do not compile."""
    assert read('{"cells": [{"source": "é"}]}'.encode("cp1252")).notes == (
        "The file is not in UTF-8: letters beyond a to z may be wrong.",
    )
    (note,) = read(file(*["x = 1  # " + "x" * 99_000] * 6)).notes
    assert (
        note.startswith("Cell 6 does not compile")
        and "more than 500000 characters or 5000 statements" in note
    )
    (note,) = read(file("x = 1\n" * 5001, "y = 2")).notes
    assert note.startswith("Cell 1 does not compile") and "it has more than 5000 statements" in note
    (note,) = read(file("x = 1\n" * 3000, "x = 1\n" * 3000, "y = 2")).notes
    assert note.startswith("Cell 3 does not compile") and "characters or 5000 statements" in note
    (note,) = read(file("x = 1\n" * 17_000)).notes
    assert note.startswith("Cell 1 does not compile") and "more than 100000 characters" in note
    (note,) = read(file("!x\n" * 300 + "x = 1\n" * 2000)).notes
    assert "it is too long for its 300 lines that may be magics" in note
    assert read(file(*["x x"] * 12)).notes[-1] == "So it is with 2 more cells."


def test_a_cell_with_few_magics_may_be_long_and_a_short_one_have_many():
    """Checks that what honest cells have is read: one magic in 30 kB, a hundred in 2 kB, percent signs by the dozen."""
    for source in (
        "%matplotlib inline\n" + "x = 1\n" * 4000,
        "!pip list\n" * 100 + "x = 1",
        "%time\n" + "print('%d %s' % (x, y))\n" * 60,
    ):
        assert read(file(source)).notes == ()


def test_no_function_and_packages_that_are_not_there():
    """Checks the verdict on a task that no cell defines, and the advice on an import that fails in grading alone."""
    task = LAB.tasks["fgsm"]
    verdict = grading.Grader._without_a_function(None, task, Program("fgsm"), 3)
    assert verdict.message == "There is no function `fgsm` in the notebook."
    crashed = TaskResult(
        "fgsm", "", CRASHED, "", 0, 2, 3, trace="ModuleNotFoundError: No module named 'google'"
    )
    advice = grading._advised(crashed, Program("fgsm"), {}).advice
    assert advice.startswith("When answers are graded there are torch, torchvision")


def test_bubblewrap_that_does_not_work(monkeypatch):
    """Checks what is said on another system, where it is not installed, and where it was asked for in vain."""
    why = sandbox.why_no_bubblewrap.__wrapped__
    monkeypatch.setattr(sandbox, "_bubblewrap", lambda: None)
    if sys.platform == "linux":
        assert why() == "it is not installed (Debian and Ubuntu: apt-get install bubblewrap)"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert why() == "it is for Linux alone"
    monkeypatch.setattr(sandbox, "why_no_bubblewrap", why)
    with pytest.raises(
        InputError, match="got 'bubblewrap', which does not work here: it is for .* is 'process', too"
    ):
        Sandbox(isolation="bubblewrap")


def test_workers_with_another_version_and_pages_that_cannot_be_written(tmp_path):
    """Checks two errors of the surroundings: neither is told as a student's."""
    settings = classroom._Settings("lab1", b"x" * 16, Limits(), "auto")
    with pytest.raises(InputError, match="advcourse: other here than where the work was handed out"):
        classroom._at_work(None, b"", "Ada", settings, "another version")
    with pytest.raises(InputError, match="page: got .*nowhere.* allowed is a file to write to"):
        dryrun.write_page(Report("", "lab1", "", "weak isolation"), tmp_path / "nowhere" / "page.html")
