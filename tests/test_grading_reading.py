"""Reading in a process of its own: the same as here, and a reason within bounds for files made to take time and memory."""

import json
import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace

import psutil
import pytest
from grading_tests import content, exercise, outcomes
from notebook_files import LABS, ROOT, file, stored

from advcourse.grading.read import reading, submission
from advcourse.grading.read.likeness import fingerprint
from advcourse.grading.read.reading import Reading, ReadingError, read
from advcourse.grading.read.signs import signs
from advcourse.grading.read.submission import Unreadable, released, written
from advcourse.grading.run.grader import Grader

TASKS = ("fgsm", "bim")
# Each statement changes what the next one needs, so that the whole chain is found link by link.
CHAIN = "".join(f"a{i} = []\na{i}.append(a{i + 1})\n" for i in range(2400)) + "def fgsm(x):\n    return a0\n"


def lab1_with(source, kind="code"):
    """The bytes of a student's copy of lab 1 with one more cell, and an answer."""
    book = exercise("lab1")
    for cell in book.cells:
        if cell.id == "bim":
            cell.source = "def bim(x):\n    return x"
    book.cells.append({"cell_type": kind, "source": source, "metadata": {}, "id": "more"})
    if kind == "code":
        book.cells[-1] |= {"outputs": [], "execution_count": None}
    return json.dumps(book).encode()


@pytest.mark.parametrize("lab", LABS)
@pytest.mark.parametrize("folder", ["solutions", "exercises"])
def test_what_is_read_there_is_what_is_read_here(lab, folder):
    """Checks all that comes back against the same functions, called in this process."""
    tasks = tuple(c.id for c in released(lab).cells if c.solution and c.kind == "code")
    book = submission.read(stored(lab, folder))
    programs = [submission.program(task, tasks, book, released(lab)) for task in tasks]
    assert all(program.found or program.stub for program in programs)
    programs = tuple(replace(program, checksum=fingerprint(program)) for program in programs)
    assert read(stored(lab, folder), lab, tasks) == Reading(
        programs, written(book, released(lab)), book.notes, signs(book, released(lab))
    )


def test_a_failure_of_the_signs_costs_nothing(monkeypatch):
    """Checks the programs of a notebook at which the search for signs fails, and that the instructor is told."""
    monkeypatch.setattr(reading, "signs", lambda *_: [][0])
    found = reading._found(stored("lab1"), list(TASKS), released("lab1"))
    assert all(program["found"] for program in found["programs"])
    assert found["signs"] == ("Looking for signs failed: IndexError. Have a look at the notebook yourself.",)


def test_what_is_no_notebook_is_told_from_there():
    """Checks the message against that of reading here."""
    for wrong in (b"", b"%PDF-1.7", b'{"cells": [', b"[" * 10**6):
        with pytest.raises(Unreadable) as here:
            submission.read(wrong)
        with pytest.raises(Unreadable) as there:
            read(wrong, "lab1", TASKS)
        assert str(there.value) == str(here.value)


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("def " + "a" * 90_000, "markdown"),
        ("def " + "a" * 1_600_000, "markdown"),
        ("def " + "a" * 90_000, "code"),
        ("!x" + "\n" * 49_000 + "é é", "code"),
        ("\n" * 90_000 + "%time", "code"),
        (" " * 90_000 + "%time x", "code"),
        ("!x\n" * 39 + "x = 1 # y\n" * 4900, "code"),
        ("!x\n" * 16_000, "code"),
        ("x = 1\n" * 80_000, "code"),
        ("if 1:\n" + " a = a\n" * 12_000, "code"),
        ("x = " + "(" * 40_000, "code"),
        ("x = " + "-" * 90_000 + "1", "code"),
        ("a" + ".os" * 30_000, "code"),
        ("[" + "lambda: " * 11_000 + "0]", "code"),
        ("\0" * 90_000, "code"),
    ],
    ids=range(15),
)
def test_a_cell_that_takes_long_costs_itself_alone(source, kind):
    """Checks cells on which reading took time that grows with the square of their length: the answer beside them is found."""
    found = {program.task: program.found for program in read(lab1_with(source, kind), "lab1", TASKS).programs}
    assert found == {"fgsm": False, "bim": True}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'{"cells":[' + b'{"a":1},' * 7_500_000 + b"{}]}", "takes more than 1024 MB of memory to read"),
        (b'{"cells":[' + b"{}," * 1_300_000 + b"{}]}", "1300001 cells; allowed are 10000"),
        (b'{"cells":[' + b'{"a":[],"source":[[]]},' * 100_000 + b"{}]}", "100001 cells"),
    ],
    ids=range(3),
)
def test_small_cells_without_number_are_refused(content, told):
    """Checks the reason, and that this process does not grow: 60 MB of small cells took 5.5 GB."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(Unreadable, match=told):
        read(content, "lab1", TASKS)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * 2**10  # KiB, on Linux


def test_a_long_chain_is_read_or_refused():
    """Checks statements each of which leads to another: they are all found, or the file is refused for the time it takes."""
    try:
        assert read(file(CHAIN), "lab1", TASKS, seconds=4).programs[0].found
    except Unreadable as error:
        assert "takes more than 4 seconds to read" in str(error)


def slow(monkeypatch, body, limited=True):
    """Let the process that reads do something else in the place of finding answers."""
    start = textwrap.dedent(f"""
        import os, signal, socket, sys, time
        sys.path[:0] = {[str(ROOT), *sys.path]!r}
        from advcourse.grading.read import reading
        if not {limited}:
            reading._limit = lambda asked: None
        def found(content, tasks, given):
        {textwrap.indent(textwrap.dedent(body), " " * 12).strip()}
        reading._found = found
        reading.main()
    """)
    start = start.replace("def found(content, tasks, given):\n", "def found(content, tasks, given):\n    ")
    monkeypatch.setattr(reading, "_command", lambda: [sys.executable, "-c", start])


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("while True: pass", "takes more than 1 seconds to read"),
        ("return [0] * 2**28", "takes more than 100 MB of memory"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "could not be read.* status -9"),
        ("os._exit(0)", "could not be read.* status 0"),
        ("raise SystemExit", "could not be read.* status 0"),
        ("return {}", "could not be read"),
        ("return None", "could not be read"),
        ("return [1]", "could not be read"),
        ("return {'programs': [], 'written': [], 'notes': [1], 'signs': []}", "could not be read"),
        ("return {'programs': [{}], 'written': [], 'notes': [], 'signs': []}", "could not be read"),
        ("return 'x' * 2**27", "takes more than 100 MB of memory"),
        ("return 'what is wrong'", "^what is wrong$"),
        ("while True: os.write(0, b'x' * 2**20)", "there is too much in it"),
        ("os.write(0, b'{') and os._exit(0)", "could not be read"),
    ],
    ids=range(14),
)
def test_whatever_the_process_does_there_is_a_reason(monkeypatch, body, told):
    """Checks a process that takes too much, dies, or answers what is no answer: the file is unreadable, for that reason."""
    slow(monkeypatch, body)
    # A slow machine takes more than a second for what is refused for another reason.
    seconds = 1 if "seconds" in told else 30
    with pytest.raises(Unreadable, match=told):
        read(file("x = 1"), "lab1", TASKS, seconds=seconds, by_the_clock=60, memory=100 * 2**20)


def test_a_machine_that_does_not_get_on_is_no_fault_of_the_file(monkeypatch):
    """Checks a process that gets no processor time: the error is the grader's, so that nobody gets 0 points for it."""
    slow(monkeypatch, "time.sleep(1000)")
    with pytest.raises(ReadingError, match="the machine took more than 6 seconds"):
        read(file("x = 1"), "lab1", TASKS, by_the_clock=6)


def test_memory_is_watched_where_it_cannot_be_limited(monkeypatch):
    """Checks a process without any limit of the system's: the grader sees what it takes, and ends it."""
    slow(monkeypatch, "kept = b'x' * 2**29\ntime.sleep(1000)", limited=False)
    with pytest.raises(Unreadable, match="takes more than 50 MB of memory"):
        read(file("x = 1"), "lab1", TASKS, memory=50 * 2**20)


def test_a_reader_that_does_not_start_is_no_students_fault(monkeypatch):
    """Checks that a broken installation is an error, and no unreadable file."""
    monkeypatch.setattr(reading, "_command", lambda: [sys.executable, "-c", "import nothing_of_this_name"])
    with pytest.raises(RuntimeError, match="did not start"):
        read(file("x = 1"), "lab1", TASKS)


def test_nothing_is_left_when_the_grader_is_killed():
    """Checks that the process that reads ends after its parent is killed, which can end nothing any more."""
    code = f"from advcourse.grading.read.reading import read; read({file(CHAIN)!r}, 'lab1', ('fgsm',), seconds=2)"
    grader = psutil.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)})
    while not (children := grader.children()):
        time.sleep(0.01)
    grader.send_signal(signal.SIGKILL)
    grader.wait()
    assert psutil.wait_procs(children, timeout=120)[1] == []


def test_one_students_file_is_nothing_to_the_next():
    """Checks, with one grader: a file that takes too much gets a report with the reason, and the next its points as ever."""
    with Grader() as grader:
        report = grader.grade(b'{"cells":[' + b"{}," * 3_000_000 + b"{}]}", "lab4", "Eve")
        assert "allowed are 10000" in report.error and set(outcomes(report).values()) == {"crashed"}
        ada = grader.grade(stored("lab4"), "lab4", "Ada")
        assert set(outcomes(ada).values()) == {"right"} and ada.points == ada.possible
        report = grader.grade(content(exercise("lab4")), "lab4", "Bob")
        assert not report.error and set(outcomes(report).values()) == {"not attempted yet"}


def test_reading_needs_no_torch():
    """Checks in a fresh interpreter that what reads a notebook imports neither torch nor numpy: it starts for every file."""
    code = "import sys, advcourse.grading.read.reading as r; r.submission.labs(); "
    code += "print({'torch', 'numpy', 'nbformat'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "set()\n", done.stderr
