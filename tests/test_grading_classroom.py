"""A class: whose each notebook is; and each submission is graded once, whatever is killed or broken."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from advcourse import workers
from advcourse.grading import classroom, folders
from advcourse.grading.report import BUBBLEWRAP, WEAK, Report, TaskResult
from advcourse.inputs import InputError

NOTEBOOK = b'{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'
OF_LAB4 = NOTEBOOK.replace(
    b"[]", b'[{"cell_type": "code", "source": "from advcourse.labs.lab4 import check"}]'
)


def lay(folder, *names, content=NOTEBOOK):
    """Notebooks of these names below `folder`; of two with one owner the later one is newer."""
    for age, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (age + 1e9, age + 1e9))
    return folder


def found(folder, lab="lab4"):
    """student -> path below the folder, and the sentences."""
    submissions, told = folders.find(folder, lab)
    return {one.student: one.path.relative_to(folder).as_posix() for one in submissions}, told


# Whose is it

LAYOUTS = {
    "nbgrader": {"ada/lab4/lab4.ipynb": "ada", "bob/lab4/lab4.ipynb": "bob"},
    "by hand": {
        "ada.ipynb": "ada",
        "lab4_bob.ipynb": "bob",
        "cy lab4 (1).ipynb": "cy",
        "dee/any.ipynb": "dee",
    },
    "other endings": {"ada.ipynb.txt": "ada", "bob.IPYNB": "bob", "cy/lab4.ipynb.json": "cy"},
    "a folder for each lab": {"lab4/ada.ipynb": "ada", "Lab 4/bob/work.ipynb": "bob"},
    "names": {
        "Zoë O'Neil-Smith/lab 4.ipynb": "Zoë O'Neil-Smith",
        "李小龙.ipynb": "李小龙",
        "Ёлка Ч/a/b/c.ipynb": "Ёлка Ч",
        "Zo\u0308.ipynb": "Zö",
        "محمد/lab4.ipynb": "محمد",
    },
    "Canvas": {
        "doejane_123_45678_lab4.ipynb": "doejane",
        "roerichard_LATE_124_45679_lab4-1.ipynb": "roerichard",
        "ørsted_125_45680_my_12_345_final.ipynb": "ørsted",
    },
    "Moodle": {
        "Mia Müller_7001_assignsubmission_file_/lab4.ipynb": "Mia Müller",
        "李 小龙_7002_assignsubmission_file/lab4 (2).ipynb": "李 小龙",
        "Bo Li_7003_assignsubmission_file_lab4.ipynb": "Bo Li",
    },
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_tells_whose_a_notebook_is(tmp_path, layout):
    """Checks against names written out by hand, after the folders that nbgrader, Canvas and Moodle make."""
    files = LAYOUTS[layout]
    students, told = found(lay(tmp_path, *files))
    assert students == {student: name for name, student in files.items()} and told == ()


def test_numbers_of_the_systems_are_kept(tmp_path):
    """Checks against the numbers in the names; two of one name are told apart by them."""
    canvas = lay(
        tmp_path / "c", "doejane_123_45678_a.ipynb", "doejane_LATE_99_45670_a.ipynb", "doejane/a.ipynb"
    )
    submissions, _ = folders.find(canvas, "lab4")
    assert {one.student: (one.canvas, one.moodle) for one in submissions} == {
        "doejane (123)": ("123", ""),
        "doejane (99)": ("99", ""),
        "doejane": ("", ""),
    }
    moodle = lay(
        tmp_path / "m",
        "Jan Berg_7_assignsubmission_file_/a.ipynb",
        "Jan Berg_8_assignsubmission_file_/a.ipynb",
    )
    submissions, _ = folders.find(moodle, "lab4")
    assert {one.student: one.moodle for one in submissions} == {"Jan Berg (7)": "7", "Jan Berg (8)": "8"}


def test_of_several_notebooks_the_newest_of_the_lab_counts(tmp_path):
    """Checks times of change, Canvas's numbers, which grow, and contents: a newer notebook about something else is not it."""
    lay(tmp_path, "ada/old.ipynb", "ada/new.ipynb")
    lay(tmp_path, "bob/answers.ipynb", content=OF_LAB4)
    lay(tmp_path, "bob/older.ipynb", "bob/newer.ipynb")
    lay(tmp_path, "cy_5_1002_lab4-2.ipynb", "cy_5_999_lab4-10.ipynb")
    students, told = found(tmp_path)
    assert students == {"ada": "ada/new.ipynb", "bob": "bob/answers.ipynb", "cy": "cy_5_1002_lab4-2.ipynb"}
    assert "ada: 2 notebooks; ada/new.ipynb counts." in told and len(told) == 3


def test_other_labs_are_not_taken_for_this_one(tmp_path):
    """Checks folders and names of other labs beside this one's; a wrong name of a file whose contents are this lab's is none."""
    lay(
        tmp_path,
        "ada/lab3/lab3.ipynb",
        "ada/lab4/lab4.ipynb",
        "bob/lab3/lab3.ipynb",
        "cy_lab3.ipynb",
        "cy_lab4.ipynb",
    )
    lay(tmp_path, "dee/lab3.ipynb", content=OF_LAB4)
    students, told = found(tmp_path)
    assert students == {"ada": "ada/lab4/lab4.ipynb", "cy": "cy_lab4.ipynb", "dee": "dee/lab3.ipynb"}
    assert told == ("bob: no notebook of lab4 (found: bob/lab3/lab3.ipynb).",)
    assert found(tmp_path, "lab3")[0].keys() == {"ada", "bob", "cy", "dee"}


@pytest.mark.skipif(os.name == "nt", reason="POSIX links and pipes")
def test_what_is_no_notebook_is_told_and_stops_nothing(tmp_path):
    """Checks links out of the folder and inside it, a pipe, an empty folder, other files, hidden ones, a name of no text."""
    root = lay(
        tmp_path / "in",
        "ada/lab4.ipynb",
        "ada/.ipynb_checkpoints/lab4.ipynb",
        "__MACOSX/x.ipynb",
        "lab4.ipynb",
    )
    secret = lay(tmp_path / "out", "lab4.ipynb") / "lab4.ipynb"
    (root / "bob").mkdir()
    (root / "bob" / "lab4.ipynb").symlink_to(secret)
    (root / "cy").symlink_to(secret.parent)
    (root / "dee.ipynb").symlink_to(root / "ada" / "lab4.ipynb")
    (root / "empty").mkdir()
    os.mkfifo(root / "pipe.ipynb")
    (root / "essay").mkdir()
    (root / "essay" / "lab4.pdf").touch()
    (root / "names.txt").touch()
    lay(root, os.fsdecode(b"caf\xe9.ipynb"), "bell\a.ipynb")
    students, told = found(root)
    assert [*students] == ["ada", "bell\ufffd", "caf\ufffd"]
    assert set(told) == {
        "bob/lab4.ipynb: a link; passed over.",
        "cy: a link; passed over.",
        "dee.ipynb: a link; passed over.",
        "pipe.ipynb: no file; passed over.",
        "lab4.ipynb: whose it is cannot be told from its name; passed over.",
        "bob: no notebook of lab4 (the folder is empty).",
        "empty: no notebook of lab4 (the folder is empty).",
        "essay: no notebook of lab4 (found: essay/lab4.pdf).",
        "names: no notebook of lab4 (found: names.txt).",
    }


def test_a_notebook_says_which_lab_it_is_of():
    """Checks its import, else its name, else its tasks' names; where nothing tells, the message names the labs."""
    assert folders.lab_of("x/lab3.ipynb", OF_LAB4) == "lab4"
    assert folders.lab_of("x/Lab 3-Copy1.ipynb", NOTEBOOK) == "lab3"
    assert (
        folders.lab_of(
            "x/mine.ipynb", b'"def fgsm(model, x, y, eps):\\n", "def pgd(model'.replace(b"pgd", b"bim")
        )
        == "lab1"
    )
    with pytest.raises(InputError, match="mine.ipynb does not say which it is of; allowed are lab1, lab2"):
        folders.lab_of("x/mine.ipynb", NOTEBOOK)


# Graded once


def stand_in(content, lab, student, secret, limits, isolation):
    """Grades at once, and leaves a line in a log beside the submission's contents' number of points."""
    log, points, pause = content.decode().split("\n")[:3]
    with open(log, "a", encoding="utf-8") as file:
        file.write(f"{student}\n")
    if points == "raise":
        raise RuntimeError("out of order\nfor today")
    if points == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(float(pause))
    task = TaskResult("fgsm", "FGSM", "right", "", int(points), 10, 1)
    weak = WEAK if isolation == "process" else BUBBLEWRAP
    return Report(student, lab, classroom._digest(content), weak, (task,)).as_json()


def school(folder, points, pause=0.0):
    """A folder with a submission of each of these points; returns it and the log of what is graded."""
    log = folder / "log.txt"
    for number, given in enumerate(points):
        lay(folder / "in", f"s{number:03d}.ipynb", content=f"{log}\n{given}\n{pause}\n{number}".encode())
    return folder / "in", log


def run(folder, out, **changes):
    return classroom.run(folder, 4, out, **{"progress": False, "grade": stand_in, **changes})


@pytest.fixture
def at_hand(monkeypatch):
    """Grade in this process, where it does not matter who grades."""
    monkeypatch.setattr(classroom, "in_processes", lambda tasks, count, seconds: workers.here(tasks))


def test_a_second_run_grades_only_what_is_new(tmp_path, at_hand):
    """Checks the log of the grader: one line a submission; then none; then those alone whose file is new, changed or damaged."""
    folder, log = school(tmp_path, [3, 5, 7, 9])
    first = run(folder, tmp_path / "out", workers=2)
    assert not first.failed
    assert [report.points for report in first.reports] == [3, 5, 7, 9] and first.graded == 4
    assert sorted(log.read_text().split()) == ["s000", "s001", "s002", "s003"]
    log.unlink()
    again = run(folder, tmp_path / "out")
    assert again.reports == first.reports and again.graded == 0 and not log.exists()
    kept = {Report.from_json(path.read_text()).student: path for path in (tmp_path / "out/results").iterdir()}
    kept["s000"].write_bytes(kept["s000"].read_bytes()[:-9])
    kept["s002"].write_bytes(kept["s003"].read_bytes())
    (folder / "s001.ipynb").write_text(f"{log}\n6\n0\nchanged")
    (folder / "s004.ipynb").write_bytes((folder / "s003.ipynb").read_bytes())
    third = run(folder, tmp_path / "out")
    assert [report.points for report in third.reports] == [3, 6, 7, 9, 9] and third.graded == 4
    assert sorted(log.read_text().split()) == ["s000", "s001", "s002", "s004"]


def test_another_secret_lab_or_limit_is_another_grading(tmp_path, at_hand):
    """Checks the count of submissions graded anew when one thing of many has changed."""
    folder, _ = school(tmp_path, [1, 2])
    (tmp_path / "secret").write_bytes(bytes(16))
    out = tmp_path / "out"
    assert run(folder, out).graded == 2
    assert run(folder, out, secret=tmp_path / "secret").graded == 2
    assert run(folder, out, limits=classroom.Limits(seconds=3)).graded == 2
    assert classroom.run(folder, "lab3", out, progress=False, grade=stand_in).graded == 2
    assert run(folder, out).graded == 0


def test_the_secret_is_made_once_for_its_owner(tmp_path, at_hand):
    """Checks the file's mode and that its bytes stay, and a random secret's length."""
    folder, _ = school(tmp_path, [1])
    run(folder, tmp_path / "out")
    secret = tmp_path / "out" / "secret"
    before = secret.read_bytes()
    assert len(before) == 32 and (os.name == "nt" or stat.S_IMODE(secret.stat().st_mode) == 0o600)
    run(folder, tmp_path / "out")
    assert secret.read_bytes() == before


def test_weak_results_are_replaced_where_there_is_better(tmp_path, at_hand, monkeypatch):
    """Checks the count: results of plain processes are kept as long as there is nothing else, and the better ones always."""
    folder, _ = school(tmp_path, [1])
    monkeypatch.setattr(classroom, "why_no_bubblewrap", lambda: "not here")
    assert run(folder, tmp_path / "out", isolation="process").graded == 1
    assert run(folder, tmp_path / "out").graded == 0
    monkeypatch.setattr(classroom, "why_no_bubblewrap", lambda: "")
    assert run(folder, tmp_path / "out").graded == 1
    assert run(folder, tmp_path / "out", isolation="process").graded == 0


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_what_the_grader_fails_at_is_tried_twice_and_told(tmp_path):
    """Checks submissions at which it raises, or dies by a signal: no points, the reason, the others graded; tried again later."""
    folder, log = school(tmp_path, [4, "raise", "die", 8])
    outcome = run(folder, tmp_path / "out", workers=2)
    assert [report.points for report in outcome.reports] == [4, 0, 0, 8]
    assert sorted(log.read_text().split()) == ["s000", "s001", "s001", "s002", "s002", "s003"]
    assert outcome.failed["s001"].error == "RuntimeError: out of order"
    assert "in stand_in" in outcome.failed["s001"].trace and "status -9" in outcome.failed["s002"].error
    bad = outcome.reports[1]
    assert bad.error == "not graded: RuntimeError: out of order" and bad.possible == 26
    assert {task.outcome for task in bad.tasks} == {"crashed"}
    log.unlink()
    (folder / "s002.ipynb").write_text(f"{log}\n6\n0")
    again = run(folder, tmp_path / "out")
    assert [report.points for report in again.reports] == [4, 0, 6, 8] and again.failed.keys() == {"s001"}
    assert sorted(log.read_text().split()) == ["s001", "s001", "s002"]


def test_a_file_that_vanishes_is_told(tmp_path, at_hand, monkeypatch):
    """Checks a submission that is there when the class is counted, and gone when it is to be graded."""
    folder, _ = school(tmp_path, [4, 5])
    submissions, told = folders.find(folder, "lab4")
    (folder / "s000.ipynb").unlink()
    monkeypatch.setattr(classroom, "find", lambda *_: (submissions, told))
    outcome = run(folder, tmp_path / "out")
    assert [report.points for report in outcome.reports] == [0, 5]
    assert "the file cannot be read" in outcome.failed["s000"].error


def test_only_the_files_at_work_are_in_memory(tmp_path, monkeypatch):
    """Counts how many files have been read when the first result arrives: as many as work, and no more."""
    folder, log = school(tmp_path, [1] * 12)
    read, before = [], classroom._read
    monkeypatch.setattr(classroom, "_read", lambda path: read.append(path) or before(path))
    settings = classroom._Settings("lab4", bytes(16), classroom.Limits(), "auto")
    kept = classroom._Kept(tmp_path / "results", settings, False)
    submissions, _ = folders.find(folder, "lab4")
    graded = classroom._graded(submissions, kept, stand_in, 2, None, "")
    next(graded)
    graded.close()
    assert len(read) == 2


KILLED = """
import os, random, signal, sys, time
sys.path[:0] = {path!r}
if __name__ == "__main__":
    from pathlib import Path
    from test_grading_classroom import run

    folder, out, chance = Path(sys.argv[1]), Path(sys.argv[2]), random.Random(0)
    finished = lambda: {{p.name: p.stat().st_mtime_ns for p in out.glob("results/[0-9a-f]*.json")}}
    for _ in range(10):
        before, child = finished(), os.fork()
        if not child:
            run(folder, out, workers=2)
            os._exit(0)
        while len(finished()) < len(before) + 2:
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.15))
        os.kill(child, signal.SIGKILL)
        how = os.waitpid(child, 0)[1]
        print(len(before), len(finished()), before.items() <= finished().items(), os.WIFSIGNALED(how))
    outcome = run(folder, out, workers=2)
    print(len(outcome.reports), outcome.graded, len(outcome.failed))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="POSIX processes")
def test_killed_ten_times_a_class_of_200_loses_none(tmp_path):
    """SIGKILL at ten random moments. Checks that what was finished stays, that nothing finished is graded again, and that in the
    end every submission has its own points."""
    points = [number % 11 for number in range(200)]
    folder, log = school(tmp_path, points, pause=0.02)
    out, script = tmp_path / "out", tmp_path / "script.py"
    script.write_text(KILLED.format(path=[path for path in sys.path if path]))
    command = [sys.executable, str(script), str(folder), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    *kills, end = (line.split() for line in done.stdout.splitlines())
    assert len(kills) == 10 and all(kept == killed == "True" for _, _, kept, killed in kills), kills
    last = int(kills[-1][1])
    assert 20 <= last < 200, "killed before the end"
    assert end == ["200", f"{200 - last}", "0"]
    again = run(folder, out)
    assert again.graded == 0 and [report.points for report in again.reports] == points
    assert len(log.read_text().split()) <= 200 + 10 * 2, (
        "beyond the two that were under way at each of ten kills"
    )


# Bad input

BAD = {
    "no folder": (lambda f, out: run(f / "none", out), "submissions: got '.*none'; allowed is a folder"),
    "an empty folder": (lambda f, out: run(out.parent / "empty", out), "submissions: no notebook of lab4 in"),
    "an unknown lab": (lambda f, out: classroom.run(f, 99, out), "lab: got 'lab99'; allowed are 'lab1', "),
    "no worker": (lambda f, out: run(f, out, workers=0), "workers: got 0; allowed is an integer >= 1"),
    "an unknown isolation": (
        lambda f, out: run(f, out, isolation="none"),
        "isolation: got 'none'; allowed are 'auto'",
    ),
    "no secret": (
        lambda f, out: run(f, out, secret="none"),
        "secret: got 'none'; allowed is a file that can be read",
    ),
    "a short secret": (
        lambda f, out: run(f, out, secret=f.parent / "short"),
        "short has 15 bytes; allowed are 16 or more",
    ),
    "a file as folder": (
        lambda f, out: run(f, f / "s000.ipynb"),
        "out: got .*; allowed is a folder to write to",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_told_before_anything_runs(kind, tmp_path):
    """The sentences, written out by hand; nothing was graded, and nothing written."""
    folder, log = school(tmp_path, [1])
    (tmp_path / "empty").mkdir()
    (tmp_path / "short").write_bytes(bytes(15))
    call, message = BAD[kind]
    with pytest.raises(InputError, match=message):
        call(folder, tmp_path / "out")
    assert not log.exists() and not (tmp_path / "out").exists()


@pytest.mark.skipif(not Path("/proc").exists(), reason="Linux")
def test_bubblewrap_that_does_not_work_is_bad_input(tmp_path, monkeypatch):
    """The sentence for a machine without it, which is told in place of grading with less than was asked for."""
    folder, _ = school(tmp_path, [1])
    monkeypatch.setattr(classroom, "why_no_bubblewrap", lambda: "it is not installed")
    with pytest.raises(InputError, match="got 'bubblewrap', which does not work here: it is not installed"):
        run(folder, tmp_path / "out", isolation="bubblewrap")
