"""What becomes of every hand-in of a class, notebook or not: a row, a page, a reason; attempts, lateness, Moodle's archive."""

import csv
import hashlib
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from layouts import NOTEBOOK, lay, packed
from reports import Page

from advcourse.core import workers
from advcourse.core.inputs import InputError
from advcourse.grading import classroom
from advcourse.grading.read import folders
from advcourse.grading.tell import writing
from advcourse.grading.tell.report import BUBBLEWRAP, Report, TaskResult


def points(number, time="x"):
    """A notebook that the stand-in grader below gives so many points."""
    return NOTEBOOK.replace(b'"metadata": {}', f'"metadata": {{"points": {number}, "of": "{time}"}}'.encode())


def stand_in(content, lab, student, secret, limits, isolation):
    """Gives the points that the notebook asks for."""
    given = json.loads(content)["metadata"]["points"]
    task = TaskResult("fgsm", "FGSM", "right", "", given, 10, 1)
    return Report(student, lab, hashlib.sha256(content).hexdigest(), BUBBLEWRAP, (task,)).as_json()


@pytest.fixture
def graded(tmp_path, monkeypatch):
    """graded(files, deadline, ...): the outcome and what was written for a class, and the folder of it."""
    monkeypatch.setattr(classroom, "in_processes", lambda tasks, count, seconds: workers.here(tasks))

    def run(files, deadline=None, **settings):
        out = tmp_path / "out"
        outcome = classroom.run(
            lay(tmp_path / "in", files), 1, out, progress=False, grade=stand_in, **settings
        )
        writing.write(outcome, out, deadline=folders.check_deadline(deadline))
        return outcome, out

    return run


def rows(path):
    with open(path, encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


CLASS = {
    "Mia_1_assignsubmission_file_/lab1.ipynb": points(7),
    "Ann_2_assignsubmission_file_/lab1.py": b"import os",
    "Bob_3_assignsubmission_file_/work.zip": packed({"a.txt": b"", "=cmd;+b.txt": b""}),
    "Cy_4_assignsubmission_file_/lab1.7z": b"7z",
    "Dee_5_assignsubmission_file_/lab1.zip": packed({"lab1/lab1.ipynb": points(5)}),
    "Eve_6_assignsubmission_file_/lab2.ipynb": points(9),
    "Copy of lab1.ipynb": points(3),
}
REASONS = {
    "Ann": "this is a Python script, not a notebook; hand in the .ipynb file",
    "Bob": "the ZIP archive holds no notebook (found: a.txt, =cmd;+b.txt); hand in the .ipynb file",
    "Cy": "this is an archive of a kind that is not opened (only ZIP is), not a notebook; hand in the .ipynb file",
}


def test_every_hand_in_is_in_all_tables_with_its_reason(graded):
    """Checks a class of six by hand: points, reasons, who has no grade yet, and the file that is nobody's."""
    outcome, out = graded(CLASS)
    assert {one.student: one.points for one in outcome.reports} == {
        "Mia": 7,
        "Ann": 0,
        "Bob": 0,
        "Cy": 0,
        "Dee": 5,
    }
    table = {row["student"]: row for row in rows(out / "grades.csv")}
    assert {name: row["total"] for name, row in table.items()} == {
        "Mia": "7", "Ann": "0", "Bob": "0", "Cy": "0", "Dee": "5", "Eve": "",
    }  # fmt: skip
    for name, reason in REASONS.items():
        assert table[name]["error"].replace("'", "") == reason
        assert reason in Page((out / "feedback" / f"{name}.html").read_text(encoding="utf-8")).text
    assert (
        table["Eve"]["error"].startswith("no notebook of lab1 (found: Eve_6") and table["Eve"]["points"] == ""
    )
    page = Page((out / "overview.html").read_text(encoding="utf-8"))
    assert all(reason in page.text for reason in REASONS.values())
    assert (
        "Eve: no notebook of lab1" in page.text
        and "Copy of lab1.ipynb: whose it is cannot be told" in page.text
    )
    moodle = {row["Full name"]: row for row in rows(out / "moodle.csv")}
    assert {name: row["Grade"] for name, row in moodle.items()} == {
        "Mia": "7", "Ann": "0", "Bob": "0", "Cy": "0", "Dee": "5",
    }  # fmt: skip
    assert all(
        reason in moodle[name]["Feedback comments"].replace("'", "") for name, reason in REASONS.items()
    )
    assert graded(CLASS)[0].graded == 0


def test_moodle_takes_the_pages_back(graded):
    """Checks the archive against Moodle's importer, which reads the second and the third word of a folder's name (mod/assign/
    feedback/file/importziplib.php): each student's page in the folder of the download, the same bytes a second time."""
    _, out = graded(CLASS)
    with zipfile.ZipFile(out / "moodle-feedback.zip") as archive:
        pages = {name: archive.read(name) for name in archive.namelist()}
    told = {tuple(name.split("/")[0].split("_", 4)): name.split("/")[1:] for name in pages}
    assert told == {
        (name, str(number), "assignsubmission", "file", ""): ["feedback.html"]
        for number, name in enumerate(["Mia", "Ann", "Bob", "Cy", "Dee"], 1)
    }
    for name, page in pages.items():
        assert page == (out / "feedback" / f"{name.split('_')[0]}.html").read_bytes()
    before = (out / "moodle-feedback.zip").read_bytes()
    assert (graded(CLASS)[1] / "moodle-feedback.zip").read_bytes() == before


def test_no_archive_for_moodle_from_other_systems(graded):
    """Checks a class of Canvas."""
    _, out = graded({"mia_4711_98765_lab1.ipynb": points(1)})
    assert not (out / "moodle-feedback.zip").exists()


ATTEMPTS = {
    "mia_7_1001_lab1.ipynb": points(4, "first"),
    "mia_7_1002_lab1-1.ipynb": points(9),
    "mia_7_1003_lab1-2.ipynb": points(9, "again"),
    "mia_7_1004_lab1-3.ipynb": points(2),
    "bob_8_1005_lab1.ipynb": points(5),
    "bob_8_1006_lab1-1.ipynb": points(5),
}


def test_the_newest_attempt_counts_or_the_best(graded):
    """By hand: of 4, 9, 9 and 2 points the last, or the newer of the nines; two files with the same bytes are graded once."""
    outcome, _ = graded(ATTEMPTS)
    assert ([one.points for one in outcome.reports], outcome.graded) == ([5, 2], 2)
    outcome, out = graded(ATTEMPTS, attempts="best")
    assert ([one.points for one in outcome.reports], outcome.graded) == ([5, 9], 3)
    assert [one.path.name for one in outcome.found] == ["bob_8_1006_lab1-1.ipynb", "mia_7_1003_lab1-2.ipynb"]
    assert [row["total"] for row in rows(out / "grades.csv")] == ["5", "9"]
    note = "You handed in 4 notebooks of this lab; mia_7_1003_lab1-2.ipynb counts, the best."
    assert outcome.reports[1].notes[-1] == note and note in (out / "feedback" / "mia.html").read_text(
        encoding="utf-8"
    )
    assert "2 submissions, 3 notebooks graded now" in writing.summary(outcome)
    packed_one = replace(outcome.found[1], path=Path("class.zip"), earlier=(outcome.found[1],))
    assert "; mia_7_1003_lab1-2.ipynb counts," in packed_one.note_of_choice(packed_one, "newest")
    with pytest.raises(InputError, match="attempts: got 'last'; allowed are 'newest', 'best'"):
        graded(ATTEMPTS, attempts="last")


def test_lateness_is_told_and_costs_nothing(graded):
    """By hand: Blackboard's times against a deadline of that day; the points are the same."""
    files = {
        "Lab 1_ann_attempt_2026-11-20-23-59-00_lab1.ipynb": points(5),
        "Lab 1_bob_attempt_2026-11-21-00-02-30_lab1.ipynb": points(6),
    }
    _, out = graded(files, "2026-11-20 23:59")
    assert [(row["total"], row["late"]) for row in rows(out / "grades.csv")] == [
        ("5", ""), ("6", "late by 3 min (its name)"),
    ]  # fmt: skip
    assert "late by 3 min (its name)" in Page((out / "overview.html").read_text(encoding="utf-8")).text
    _, out = graded(files)
    assert [row["late"] for row in rows(out / "grades.csv")] == ["", ""]
