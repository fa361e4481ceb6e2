"""The commands `advcourse grade` and `advcourse check`: what they print and write, and what an interruption leaves."""

import csv
import os
import re
import subprocess
import sys
import unicodedata
from dataclasses import replace
from pathlib import Path

import nbformat
import psutil
import pytest
from interrupting import interrupted

from advcourse import cli
from advcourse.grading import dryrun
from advcourse.grading.run.sandbox import why_no_bubblewrap
from advcourse.grading.tell import writing
from advcourse.grading.tell.report import BUBBLEWRAP, Report, TaskResult
from advcourse.labs.lab4 import LAB
from advcourse.labs.release import ROOT

COMMAND = [sys.executable, "-c", "from advcourse.cli import main; main()"]
SOLVED = ROOT / "solutions" / "lab4" / "lab4.ipynb"
EMPTY = ROOT / "exercises" / "lab4" / "lab4.ipynb"
TASKS = tuple(LAB.tasks)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(*arguments):
    """A finished process of the command."""
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=500)


@pytest.fixture
def advcourse(monkeypatch, capsys):
    """`advcourse(*arguments)`: (status, stdout, stderr) of the command, in this process."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["advcourse", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        return stopped.value.code or 0, *capsys.readouterr()

    return run


def hand_in(name, source=SOLVED, without=(), line="1 / 0"):
    """A submission: the author's notebook, in which the answers to some tasks begin with a line that ends them."""
    notebook = nbformat.read(source, as_version=4)
    for cell in notebook.cells:
        for task in without:
            cell.source = re.sub(rf"(def {task}\(.*\):\n)", rf"\1    {line}\n", cell.source)
    path = Path("in") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


def rows(path):
    """Rows of a CSV file as dictionaries."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def grades():
    return {row["student"]: int(row["points"]) for row in rows("build/grades/lab4/grades.csv")}


FIRST, *OTHERS = LAB.tasks.values()


def class_of_four():
    hand_in("Zoë O'Neil.ipynb")
    hand_in("李 小龙/lab4.ipynb", EMPTY)
    hand_in("bob/lab4/lab4.ipynb", without=[FIRST.name])
    path = hand_in("broken.ipynb")
    path.write_bytes(path.read_bytes()[:1000])


def test_a_class_is_graded_from_end_to_end():
    """Checks real processes: the points that solution, copy and one error deserve by the tasks' own points; pages and sheets for
    each; a second run grades none, and all files are the same."""
    class_of_four()
    first = command("grade", "in", "--lab", "4", "--workers", "2")
    assert first.returncode == 0, first.stderr
    assert "Lab 4: 4 submissions, 4 of them graded now." in first.stdout and "4/4" in first.stderr
    assert grades() == {
        "Zoë O'Neil": LAB.points,
        "李 小龙": 0,
        "bob": LAB.points - FIRST.points,
        "broken": 0,
    }
    out = Path("build/grades/lab4")
    pages = {path.name for path in (out / "feedback").iterdir()}
    assert len(pages) == 4 and {"李_小龙.html", "bob.html", "broken.html"} < pages
    assert "ZeroDivisionError" in (out / "feedback" / "bob.html").read_text(encoding="utf-8")
    told = (out / "overview.html").read_text(encoding="utf-8")
    assert all(f'href="feedback/{name}"' in told for name in pages) and "<h1>Lab 4" in told
    canvas = {row["Student"]: row["Lab 4"] for row in rows(out / "canvas.csv")}
    assert canvas["Zoë O'Neil"] == f"{LAB.points}" and canvas["李 小龙"] == "0"
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    second = command("grade", "in", "--lab", "lab4")
    assert second.returncode == 0 and "4 submissions, 0 of them graded now." in second.stdout
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_rosters_are_filled_in(advcourse):
    """Checks downloads of both systems with their own lists: the grade stands in the row of the number in the file's name."""
    hand_in("doejane_LATE_17_4711_lab4-1.ipynb", EMPTY)
    hand_in("Mia Müller_7001_assignsubmission_file_/lab 4.ipynb", EMPTY)
    Path("canvas.csv").write_text('Student,ID,SIS Login ID,Section,Lab 4 (12)\n"Doe, Jane",17,jd,A,\n')
    Path("moodle.csv").write_text(
        "Identifier,Full name,Grade,Last modified (grade)\nParticipant 7001,M M,,-\n"
    )
    status, _, _ = advcourse("grade", "in", "--lab", 4, "--roster", "canvas.csv")
    assert status == 0 and rows("build/grades/lab4/canvas.csv")[0]["Lab 4 (12)"] == "0"
    assert not Path("build/grades/lab4/moodle.csv").exists()
    status, _, _ = advcourse("grade", "in", "--lab", 4, "--roster", "moodle.csv")
    assert status == 0 and rows("build/grades/lab4/moodle.csv")[0]["Grade"] == "0"


def test_what_the_grader_fails_at_is_told(advcourse, monkeypatch):
    """Checks a grader that raises at one of two: status 1, who and why, a row and a page for both."""
    from advcourse.core import workers
    from advcourse.grading import classroom

    def moody(content, lab, student, *_):
        if student == "bob":
            raise OSError("no disk")
        return Report(student, lab, classroom._digest(content), BUBBLEWRAP).as_json()

    hand_in("ada.ipynb", EMPTY)
    hand_in("bob.ipynb", EMPTY)
    run = classroom.run
    monkeypatch.setattr(classroom, "in_processes", lambda tasks, *_: workers.here(tasks))
    monkeypatch.setattr(classroom, "run", lambda *a, **b: run(*a, **b, grade=moody))
    status, output, errors = advcourse("grade", "in", "--lab", "4")
    assert status == 1 and "Failed: bob: OSError: no disk\n" in errors and "Lab 4: 2 submissions" in output
    assert grades() == {"ada": 0, "bob": 0} and len(list(Path("build/grades/lab4/feedback").iterdir())) == 2


def test_bad_input_is_told_in_a_line_and_nothing_is_written(advcourse):
    """Checks each option with a value that it cannot have: status 2, the sentence, no traceback, no folder."""
    hand_in("ada.ipynb", EMPTY)
    Path("list.csv").write_text("a,b\n1,2\n")
    wrong = {
        ("none", "--lab", "4"): "submissions: got 'none'",
        ("in", "--lab", "0"): "lab: got 'lab0'",
        ("in", "--lab", "4", "--workers", "0"): "workers: got 0",
        ("in", "--lab", "4", "--roster", "list.csv"): "roster: list.csv lacks columns",
        ("in", "--lab", "4", "--roster", "no.csv"): "roster: no.csv cannot be read",
        ("in", "--lab", "4", "--secret", "list.csv"): "secret: list.csv has 8 bytes",
        ("in", "--lab", "4", "--isolation", "prayer"): "isolation: got 'prayer'",
        (
            "in",
            "--lab",
            "4",
            "--deadline",
            "tomorrow",
        ): "deadline: got 'tomorrow'; allowed is a date with a time",
        ("in", "--lab", "4", "--attempts", "last"): "attempts: got 'last'; allowed are 'newest', 'best'",
    }
    for arguments, message in wrong.items():
        status, output, errors = advcourse("grade", *arguments)
        assert (status, output) == (2, "") and errors.startswith(f"advcourse: {message}")
        assert errors.count("\n") == 1
    assert not Path("build").exists()


def test_weak_isolation_is_said_first(advcourse):
    """Checks the command with plain processes: the warning before the bar, and in the summary, the sheet and the overview."""
    hand_in("ada.ipynb")
    status, output, errors = advcourse("grade", "in", "--lab", "4", "--isolation", "process")
    assert status == 0 and grades() == {"ada": LAB.points}
    assert errors.startswith("Weak isolation: isolation is 'process'. What these notebooks do can reach")
    assert "Weak isolation: 1." in output
    assert rows("build/grades/lab4/grades.csv")[0]["isolation"] == "weak isolation"


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_interrupt_keeps_what_is_graded():
    """Checks with a real Ctrl-C, which reaches all processes of the terminal: status 130, no traceback, no process left; the same
    command grades only the rest."""
    for name in ("ada", "bob"):
        hand_in(f"{name}.ipynb")
    hand_in("cy.ipynb", without=[FIRST.name], line="import time; time.sleep(600)")
    results = Path("build/grades/lab4/results")
    running, output, errors, children = interrupted(
        [*COMMAND, "grade", "in", "--lab", "4"],
        lambda: len(list(results.glob("[0-9a-f]*.json"))) >= 2,
        pause=1,
    )
    assert running.returncode == 130 and output == "" and "Traceback" not in errors, errors
    kept = f"The submissions that were graded are kept in {results}"
    assert errors.endswith(f"Interrupted. {kept}; the same command goes on from there.\n")
    assert children and not psutil.wait_procs(children, timeout=60)[1]
    hand_in("cy.ipynb")
    again = command("grade", "in", "--lab", "4")
    assert again.returncode == 0 and "3 submissions, 1 of them graded now." in again.stdout
    assert grades() == dict.fromkeys(["ada", "bob", "cy"], LAB.points)


@pytest.mark.slow
def test_a_cluster_grades_as_one_machine_does(advcourse):
    """Checks a dask cluster of two processes: the points of one machine, from the same seeds, whose results it finds."""
    distributed = pytest.importorskip("distributed")
    class_of_four()
    Path("secret").write_bytes(bytes(range(32)))
    options = ("--lab", "4", "--secret", "secret")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        address = cluster.scheduler_address
        status, output, errors = advcourse("grade", "in", *options, "--scheduler", address)
        assert status == 0 and "4 of them graded now" in output, errors
    sheet = rows("build/grades/lab4/grades.csv")
    status, output, _ = advcourse("grade", "in", *options)
    assert status == 0 and "0 of them graded now" in output
    status, output, _ = advcourse("grade", "in", *options, "--out", "alone")
    assert status == 0 and "4 of them graded now" in output
    assert rows("alone/grades.csv") == sheet


# Names of pages

ODD = [
    "ada",
    "Ada",
    "a/b",
    "a:b",
    "a_b",
    "a b",
    "..",
    "con",
    "CON.x",
    "",
    "x" * 300,
    "é" * 300,
    "李 小龙",
    "<b>&'\"",
    "名.",
    "🙂",
]


def test_pages_have_names_that_every_file_system_takes(tmp_path):
    """Checks odd names against what Windows, macOS and ext4 refuse, written out here, and with files that are really made."""
    names = writing.page_names(ODD)
    assert len({unicodedata.normalize("NFC", name).casefold() for name in names.values()}) == len(ODD)
    for name in names.values():
        assert not re.search(r"[\x00-\x1f<>:\"/\\|?*\s]", name) and len(name.encode()) <= 255
        assert not re.match(r"(con|prn|aux|nul|com\d|lpt\d)\.", name, re.I) and name[0] not in ".-~"
        (tmp_path / name).touch(exist_ok=False)
    assert names["李 小龙"] == "李_小龙.html" or names["李 小龙"].startswith("李_小龙-")
    assert writing.page_names(["Zoë Ny"]) == {"Zoë Ny": "Zoë_Ny.html"}
    assert writing.page_names(ODD[::-1]) == names


# The student's dry run


def test_check_tells_every_verdict_in_words(advcourse):
    """Checks a notebook with one wrong answer of a class's own name: each task's outcome, points, the error, how to repeat it."""
    path = hand_in("моя работа.ipynb", without=[FIRST.name])
    status, output, errors = advcourse("check", path, "--page", "page.html")
    assert (status, errors) == (0, "")
    assert f"{FIRST.name}: crashed (0 of {FIRST.points} points)" in output
    assert "ZeroDivisionError" in output
    repeat = re.search(rf"check\({FIRST.name}, seed=(\d+)\)", output)
    assert repeat and all(f"{task.name}: right ({task.points} of" in output for task in OTHERS)
    assert f"lab4: {LAB.points - FIRST.points} of {LAB.points} points" in output
    assert "ZeroDivisionError" in Path("page.html").read_text(encoding="utf-8")
    assert "weak isolation" not in output or why_no_bubblewrap()


def test_check_says_where_the_pictures_are():
    """Checks the words in a terminal for a verdict with a picture, and for one without: nothing that cannot be seen there."""
    alt = "Three pictures: the clean image; yours, with values from 0.00 to 1.00; and the change, from -0.100 to +0.100."
    task = TaskResult("fgsm", "One step", "wrong", "It fails.", 0, 2, 7, key="box", picture="AAAA", alt=alt)
    text = dryrun.as_text(Report("", "lab1", "ab", "bubblewrap", (task,)))
    assert (
        "The notebook also shows a picture: the clean image; yours, with values" in text
        and "Three" not in text
    )
    assert (
        "To see the pictures, repeat a check in the notebook, or add --page verdicts.html and open that file."
        in text
    )
    assert "picture" not in dryrun.as_text(
        Report("", "lab1", "ab", "bubblewrap", (replace(task, picture="", alt=""),))
    )


def test_check_repeats_an_earlier_check(advcourse):
    """Checks the seed in what it prints, for an answer that is always wrong, and the copy that nobody has written in."""
    path = hand_in("lab4.ipynb", EMPTY)
    status, output, _ = advcourse("check", path, "--lab", "4", "--seed", "5")
    assert status == 0 and f"{FIRST.name}: not attempted yet (0 of {FIRST.points} points)" in output
    path = hand_in("lab4.ipynb", without=[FIRST.name])
    status, output, _ = advcourse("check", path, "--seed", "5")
    assert status == 0 and f"check({FIRST.name}, seed=5)" in output


def test_check_of_a_damaged_file_says_what_it_is(advcourse):
    """Checks a web page under a notebook's name: graded with 0 points and the reason; and what is bad input, with status 2."""
    Path("lab4.ipynb").write_text("<!DOCTYPE html><p>Log in")
    status, output, _ = advcourse("check", "lab4.ipynb")
    assert status == 0 and "this is a web page, not a notebook" in output and f"0 of {LAB.points}" in output
    for arguments, message in {
        ("none.ipynb",): "notebook: got 'none.ipynb'",
        ("lab4.ipynb", "--lab", "x"): "lab: got 'labx'",
        ("lab4.ipynb", "--seed", "-1"): "seed: got -1",
    }.items():
        status, output, errors = advcourse("check", *arguments)
        assert (status, output) == (2, "") and errors.startswith(f"advcourse: {message}")
