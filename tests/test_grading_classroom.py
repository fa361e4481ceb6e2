"""A class: each submission is graded once, whatever is killed or broken."""

import os
import signal
import stat
import time
from pathlib import Path

import pytest

from advcourse.core import workers
from advcourse.core.inputs import InputError
from advcourse.grading import classroom
from advcourse.grading.read import folders
from advcourse.grading.tell.report import BUBBLEWRAP, WEAK, Report, TaskResult


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
    (folder / "in").mkdir()
    for number, given in enumerate(points):
        (folder / "in" / f"s{number:03d}.ipynb").write_text(f"{log}\n{given}\n{pause}\n{number}")
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


# Bad input

BAD = {
    "no folder": (lambda f, out: run(f / "none", out), "submissions: got '.*none'; allowed is a folder"),
    "an empty folder": (lambda f, out: run(out.parent / "empty", out), "submissions: no notebook of lab4 in"),
    "an unknown lab": (lambda f, out: classroom.run(f, 0, out), "lab: got 'lab0'; allowed are 'lab1', "),
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
