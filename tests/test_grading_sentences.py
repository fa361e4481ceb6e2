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
    assert read(file(*["x x"] * 11)).notes[-1] == "So it is with 1 more cell."


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("x = 1\ndef f(x:\n    return x", "'(' was never closed (SyntaxError in line 2, `def f(x:`)"),
        ("if x = 3:\n    y = 1", "instead of '='? (SyntaxError in line 1, `if x = 3:`)"),
        ("def f(x):\nreturn x", "function definition on line 1 (IndentationError in line 2, `return x`)"),
        ("x = 1\n    y = 2", "unexpected indent (IndentationError in line 2, `y = 2`)"),
        ("if x:\n\ty = 1\n        z = 2", "tabs and spaces in indentation (TabError in line 3, `z = 2`)"),
        ("x = 'abc", "unterminated string literal (SyntaxError in line 1, `x = 'abc`)"),
        ('y = 1\nx = """abc\nend', '(detected at line 3) (SyntaxError in line 2, `x = """abc`)'),
        ("y = 1\nx\0= 1", "cannot contain null bytes (SyntaxError in line 2, `x\\x00= 1`)"),
        ("x\u00a0= 1", "non-printable character U+00A0 (SyntaxError in line 1, `x\\xa0= 1`)"),
        ("x = 1 \u202e 1", "character U+202E (SyntaxError in line 1, `x = 1 \\u202e 1`)"),
        ("The loss rises.\nIt does so fast.", "invalid syntax (SyntaxError in line 1, `The loss rises.`)"),
        ("x = `a`", 'invalid syntax (SyntaxError in line 1, "x = `a`")'),
        ("<b>x</b>", "invalid syntax (SyntaxError in line 1, `<b>x</b>`)"),
        ("%run a \\\n  b\nx y\n", "invalid syntax (SyntaxError in line 3, `x y`)"),
        ("%%time\n\nx y", "invalid syntax (SyntaxError in line 3, `x y`)"),
    ],
)
def test_a_cell_that_does_not_compile_is_told_with_its_line(source, told):
    """Checks the kind of error, the number counted by hand, and the line as it was written, with nothing invisible in it."""
    (note,) = read(file(source)).notes
    assert note.startswith("Cell 1 does not compile, so that nothing in it counts: ") and note.endswith(
        f"{told}."
    )


@pytest.mark.parametrize(
    "source", ["x = 1 " + "+ 1 " * 900 + "2 3" + " + 1" * 900, f"def f({'x' * 9999}, {'x' * 9999}): 0"]
)
def test_a_long_line_is_cut_around_the_error(source):
    """Checks that of a line of thousands of characters some eighty are quoted, those that the compiler points at among them."""
    (note,) = read(file(source)).notes
    assert len(note) < 500 and "…" in note and ("2 3" in note or "duplicate argument" in note)


def test_a_cell_of_which_a_part_compiles_is_told():
    """Checks `return` behind a function, which a notebook refuses: the note has the line, and the rest of the cell is read."""
    submitted = read(file("def f(x):\n    y = x\nreturn y"))
    assert submitted.notes == (
        "Cell 1 does not compile: 'return' outside function (SyntaxError in line 3, `return y`). "
        "The rest of it was read all the same.",
    )
    assert (
        len(submitted.code[0].statements) == 2 and read(file("await f()\nasync for x in y: pass")).notes == ()
    )


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
