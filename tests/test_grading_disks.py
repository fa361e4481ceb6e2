"""A class on disks that are full or cannot be written, among files of others, and files that are damaged or change."""

import codecs
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from test_grading_classroom import at_hand, run, school
from test_grading_faults import RESULTS, kept, whole

from advcourse.core.inputs import InputError
from advcourse.grading import classroom
from advcourse.grading.tell import writing
from advcourse.grading.tell.report import Report

pytestmark = pytest.mark.skipif(os.name == "nt", reason="grading needs POSIX")
__all__ = ["at_hand"]  # a fixture


def contents(out):
    return {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}


def is_clear(error, out):
    """Checks a message: it names a file of the folder, and says what to do."""
    told = str(error.value)
    assert re.match(
        rf"out: {re.escape(str(out))}/\S+ cannot be written \(.+\)\. (Free some space|Make sure)", told
    )
    assert told.endswith("What has been graded is kept; the same command goes on from there"), told
    return told


def test_a_disk_that_fills_up_costs_no_result_and_no_grade(tmp_path, at_hand, at_most):
    """Makes the largest possible file smaller and smaller, by one byte less than each of the files needs. Checks that each time
    a sentence names a file that has no room, all others are as they were, also the points entered by hand, and that with room
    the same run goes on."""
    folder, log = school(tmp_path, [1, 2, 3])
    out = tmp_path / "out"
    with at_most(20), pytest.raises(InputError) as error:
        run(folder, out)
    assert "secret" in is_clear(error, out) and contents(out).keys() <= {out / ".lock"} and not log.exists()
    with at_most(100), pytest.raises(InputError) as error:
        run(folder, out)
    assert "results/" in is_clear(error, out) and contents(out).keys() <= {out / "secret", out / ".lock"}
    full = run(folder, out)
    assert full.graded == 3
    (out / "written.csv").write_bytes(b"student,lab4 question-1 (of 3)\r\ns000,2\r\n")
    asked = [
        {**json.loads(path.read_text()), "written": QUESTION} for path in (out / "results").glob(RESULTS)
    ]
    outcome = classroom.GradedClass(
        "lab4", tuple(Report.from_json(json.dumps(one)) for one in asked), full.found, {}, 3, ()
    )
    writing.write(outcome, out)
    before = contents(out)
    assert b"s000,2" in before[out / "written.csv"] and len(before) >= 10
    sizes = {len(data) - 1 for path, data in before.items() if path.parent != out / "results"} - {-1}
    for size in sorted(sizes):
        with at_most(size), pytest.raises(InputError) as error:
            writing.write(outcome, out)
        named = Path(is_clear(error, out)[5:].split(" cannot be written")[0])
        assert len(before[named]) > size and contents(out) == before
    writing.write(outcome, out)
    assert contents(out) == before and run(folder, out).graded == 0


QUESTION = [{"name": "question-1", "title": "Why?", "possible": 3, "answer": "because"}]


@contextmanager
def small_disk(folder, size):
    """A disk of its own for `folder`; skips the test where none can be made."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("only root can make a disk, and not everywhere; test_a_disk_that_fills_up... needs none")
    try:
        yield lambda how: subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux")
def test_a_real_disk_without_room(tmp_path, at_hand):
    """Fills a disk of 100 KiB with results, then makes it larger, then read-only. Checks the sentences, which results stayed,
    and that in the end each submission was graded once, but for the one that had no room."""
    folder, log = school(tmp_path, [1] * 40)
    out = tmp_path / "out"
    with small_disk(out, "100k") as remount:
        with pytest.raises(InputError) as error:
            run(folder, out)
        assert "(No space left on device). Free some space" in is_clear(error, out)
        finished = kept(out)
        assert 5 < len(finished) < 40 and len(list((out / "results").iterdir())) == len(finished)
        remount("size=2m")
        outcome = run(folder, out)
        assert outcome.graded == 40 - len(finished) and finished.items() <= kept(out).items()
        whole(outcome, out, 40)
        assert len(log.read_text().split()) == 41
        before = contents(out)
        remount("ro")
        for step in (lambda: run(folder, out), lambda: writing.write(outcome, out)):
            with pytest.raises(InputError) as error:
                step()
            assert "(Read-only file system). Make sure that it can be written to" in is_clear(error, out)
        assert contents(out) == before


# Folders and files of others


@pytest.fixture
def open_folder():
    """A folder into which every user can look."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


def as_ordinary_user(function):
    """What a function tells when a user without root's rights calls it: its text, or that of its `InputError`."""
    codecs.lookup(
        "ascii"
    )  # is imported at its first use, which somebody who may not read the interpreter's folder can't
    reading, writing_end = os.pipe()
    child = os.fork()
    if not child:
        try:
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            told = str(function())
        except InputError as error:
            told = f"InputError: {error}"
        except BaseException as error:
            told = f"not told: {error!r}"
        os.write(writing_end, told.encode())
        os._exit(0)
    os.close(writing_end)
    with open(reading, "rb") as file:
        told = file.read().decode()
    os.waitpid(child, 0)
    return told


@pytest.mark.parametrize("closed", ["results", ".", "feedback"])
def test_a_folder_that_cannot_be_written_is_told(open_folder, at_hand, monkeypatch, closed):
    """Takes the right to write to one folder away, of somebody who is not root. Checks the sentence, that nothing was graded for
    nothing, and that with the right back all goes well."""
    monkeypatch.setattr(classroom, "why_no_bubblewrap", lambda: "")
    folder, log = school(open_folder, [1, 2])
    out = open_folder / "out"
    for place in (out / "results", out / "feedback"):
        place.mkdir(parents=True)
    log.touch()
    (out / "secret").write_bytes(bytes(32))
    for place in (log, out, out / "results", out / "feedback"):
        place.chmod(0o777)
    (out / closed).chmod(0o555)

    def grade():
        outcome = run(folder, out)
        return outcome.graded, writing.write(outcome, out)[0].name

    told = as_ordinary_user(grade)
    assert told.startswith(f"InputError: out: {out if closed == '.' else out / closed}"), told
    assert "cannot be written (Permission denied). Make sure that it can be written to" in told
    assert log.read_text() == ("" if closed != "feedback" else "s000\ns001\n")
    (out / closed).chmod(0o777)
    assert as_ordinary_user(grade) == f"({0 if closed == 'feedback' else 2}, 'overview.html')"


def test_files_that_cannot_be_read_harm_no_other(open_folder, at_hand, monkeypatch):
    """Checks a submission and a result without the right to read, of somebody who is not root: the first is told and has no
    grade, the second is graded again."""
    monkeypatch.setattr(classroom, "why_no_bubblewrap", lambda: "")
    folder, log = school(open_folder, [1, 2, 3])
    log.touch()
    log.chmod(0o666)
    out = open_folder / "out"

    def grade():
        outcome = run(folder, out)
        failed = {student: failure.error for student, failure in outcome.failed.items()}
        return [report.points for report in outcome.reports], failed

    assert as_ordinary_user(grade) == "([1, 2, 3], {})"
    for path in (out / "results").iterdir():
        path.chmod(0)
    (folder / "s001.ipynb").chmod(0)
    log.write_text("")
    told = as_ordinary_user(grade)
    assert told.startswith("([1, 0, 3], {'s001': \"InputError: the file cannot be read: [Errno 13]"), told
    assert log.read_text() == "s000\ns002\n"


@pytest.mark.parametrize(
    "place", ["results", "feedback", "grades.csv", "written.csv", "overview.html", ".lock"]
)
def test_a_file_where_a_folder_should_be_and_the_other_way_round(tmp_path, at_hand, place):
    """Checks the sentence, which names the place; and that without the obstacle the finished results are found again."""
    folder, _ = school(tmp_path, [1, 2])
    obstacle = tmp_path / "out" / place
    obstacle.parent.mkdir()
    obstacle.mkdir() if "." in place else obstacle.touch()
    with pytest.raises(InputError, match=f"^(out|written): .*{re.escape(place)}.* (allowed|Make sure)"):
        outcome = run(folder, tmp_path / "out")
        reports = [Report(**{**vars(one), "written": WRITTEN}) for one in outcome.reports]
        writing.write(
            classroom.GradedClass("lab4", tuple(reports), outcome.found, {}, 2, ()), tmp_path / "out"
        )
    obstacle.rmdir() if obstacle.is_dir() else obstacle.unlink()
    again = run(folder, tmp_path / "out")
    assert again.graded == (2 if place in ("results", ".lock") else 0)
    whole(again, tmp_path / "out", 2)


def test_a_gradebook_of_others_that_is_no_gradebook_keeps_nothing_back(tmp_path, at_hand):
    """Checks a roster that cannot be used and a folder in the place of a database: the sentence, and pages, grades and overview
    are there all the same."""
    folder, _ = school(tmp_path, [1, 2])
    out, other = tmp_path / "out", tmp_path / "other"
    outcome = run(folder, out)
    other.mkdir()
    for more in ({"roster": other}, {"nbgrader": other}):
        with pytest.raises(InputError, match="other.* (allowed|lacks|cannot be)"):
            writing.write(outcome, out, **more)
        assert len(list((out / "feedback").iterdir())) == 2
        for path in (out / "grades.csv", out / "overview.html"):
            path.unlink()
        shutil.rmtree(out / "feedback")


WRITTEN = Report.from_json(
    Report("s", "lab4", "", "").as_json().replace('"written": []', f'"written": {json.dumps(QUESTION)}')
).written
DAMAGES = {
    "empty": lambda text: "",
    "cut off": lambda text: text[:-1],
    "no text": lambda text: text.replace("s000", "\ud800").encode("utf-16", "surrogatepass"),
    "deep": lambda text: "[" * 100_000,
    "a number": lambda text: "7",
    "an empty object": lambda text: "{}",
    "no points": lambda text: text.replace('"points": 5', '"points": null'),
    "points as text": lambda text: text.replace('"points": 5', '"points": "5"'),
    "tasks that are none": lambda text: re.sub(r'"tasks": \[.*?\n \]', '"tasks": ["fgsm"]', text, flags=re.S),
    "notes that are none": lambda text: text.replace('"notes": []', '"notes": [1]'),
    "seconds as text": lambda text: text.replace('"seconds": 0.0', '"seconds": "0"'),
    "zeros": lambda text: "\0" * len(text),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_result_is_graded_again(tmp_path, at_hand, damage):
    """Checks the points of a class in which one result was changed on the disk, and the log of what was graded."""
    folder, log = school(tmp_path, [5, 7])
    run(folder, tmp_path / "out")
    (path,) = [p for p in (tmp_path / "out/results").iterdir() if "s000" in p.read_text()]
    changed = DAMAGES[damage](path.read_text())
    assert changed != path.read_text()
    path.write_bytes(changed if isinstance(changed, bytes) else changed.encode())
    log.unlink()
    again = run(folder, tmp_path / "out")
    assert [report.points for report in again.reports] == [5, 7] and log.read_text() == "s000\n"
    assert run(folder, tmp_path / "out").graded == 0


def test_a_submission_that_changes_is_graded_as_it_was_read(tmp_path, at_hand, monkeypatch):
    """Changes a file after the class was looked through, before it is graded. Checks that the points, and what is kept, are of
    the new contents, and that the old ones are graded if they come back."""
    folder, log = school(tmp_path, [4, 5])
    old, graded = (folder / "s000.ipynb").read_bytes(), classroom._graded

    def change(*arguments):
        (folder / "s000.ipynb").write_text(f"{log}\n9\n0\n0")
        return graded(*arguments)

    monkeypatch.setattr(classroom, "_graded", change)
    assert [report.points for report in run(folder, tmp_path / "out").reports] == [9, 5]
    monkeypatch.setattr(classroom, "_graded", graded)
    assert run(folder, tmp_path / "out").graded == 0
    (folder / "s000.ipynb").write_bytes(old)
    again = run(folder, tmp_path / "out")
    assert again.graded == 1 and [report.points for report in again.reports] == [4, 5]
