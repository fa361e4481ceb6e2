"""What whoever grades is told about files that are no notebooks, about nobody's files, and about what is still to be read."""

import json
import os
import zipfile
from html import unescape

import pytest

from advcourse.core import workers
from advcourse.grading import classroom
from advcourse.grading.read import folders
from advcourse.grading.read.owners import Nobodys
from advcourse.grading.read.submission import Unreadable, Written, read
from advcourse.grading.tell import overview, writing
from advcourse.grading.tell.feedback import page
from advcourse.grading.tell.report import BUBBLEWRAP, Report, TaskResult

NOTEBOOK = b'{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'
FILES = {
    "Ann/lab4.ipynb": NOTEBOOK,
    "Bob/lab4.py": b"import torch",
    "Cy/lab4.html": b"<html>",
    "Dee/lab4.ipynb": NOTEBOOK[:9],
    "Copy of lab4.ipynb": NOTEBOOK,
}


def grade(content, lab, student, secret, limits, isolation):
    """Reads the notebook, as the grader does; the answer to the question is there, and the task right, for whoever has one."""
    task = TaskResult("rate", "Rate", "right", "", 2, 2, 1)
    report = Report(student, lab, classroom._digest(content), BUBBLEWRAP, (task,))
    try:
        read(content)
        report = Report(**{**vars(report), "written": (Written("question-1", "Why", 3, "Because."),)})
    except Unreadable as error:
        report = Report(**{**vars(report), "error": str(error)})
    return report.as_json()


@pytest.fixture
def graded(tmp_path, monkeypatch):
    """A class, graded: the outcome, and the folder of what is written."""
    monkeypatch.setattr(classroom, "in_processes", lambda tasks, count, seconds: workers.here(tasks))
    for name, content in FILES.items():
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    outcome = classroom.run(tmp_path / "in", 4, tmp_path / "out", progress=False, grade=grade)
    return outcome, tmp_path / "out"


def _section(text, title, following):
    start = text.index(f">{title}</h2>")
    return text[start : text.index(f">{following}</h2>", start)]


def test_each_file_that_cannot_be_graded_is_in_both_lists(graded):
    """Checks the overview against the files, laid out by hand: a script, a page, a damaged notebook, and nobody's."""
    outcome, out = graded
    path, told = writing.write(outcome, out)
    text = unescape(path.read_text(encoding="utf-8"))
    looks, files = (
        _section(text, "Worth a look", "Students"),
        _section(text, "About the files", "Isolation"),
    )
    for name in ("Bob", "Cy", "Dee"):
        assert name in looks and f"{name}/lab4" in files
    assert "Ann" not in looks and "Ann" not in files
    assert any("Dee/lab4.ipynb: the file begins like a notebook" in line for line in told)
    (nobodys,) = [line for line in outcome.told if isinstance(line, Nobodys)]
    for place in (looks, files):
        assert "Copy of lab4.ipynb" in place and "Rename it to the student's name, and grade again." in place
    assert "Copy of lab4.ipynb" in overview.page(outcome.reports, "Lab 4", nobodys=[nobodys])


def test_answers_that_nobody_has_read_are_told_until_they_have_points(graded):
    """Checks the last sentence by hand: Ann has one written answer, until its points stand in the table."""
    outcome, out = graded
    *_, last = writing.write(outcome, out)[1]
    assert last.startswith("1 written answer has no points yet") and "the program alone" in last
    enter(2, "Ann", out / "written.csv")
    assert not [line for line in writing.write(outcome, out)[1] if "no points yet" in line]


def enter(points, student, path):
    """Enter points for a student's answer as a person does, in the sheet's second column."""
    text = path.read_text(encoding="utf-8-sig")
    assert text.count(f'"{student}",,') == 1
    path.write_text(text.replace(f'"{student}",,', f'"{student}",{points},'), encoding="utf-8-sig")


def test_the_points_of_a_person_go_back_to_the_student(tmp_path, monkeypatch):
    """Checks all that Ann and Moodle get against 2 of 2 and 2.5 of 3, by hand; what Bo gets is as it was."""
    monkeypatch.setattr(classroom, "in_processes", lambda tasks, count, seconds: workers.here(tasks))
    for name in ("Ann_7", "Bo_8"):
        path = tmp_path / "in" / f"{name}_assignsubmission_file_" / "lab4.ipynb"
        path.parent.mkdir(parents=True)
        path.write_bytes(NOTEBOOK)
    out = tmp_path / "out"
    outcome = classroom.run(tmp_path / "in", 4, out, progress=False, grade=grade)
    writing.write(outcome, out)
    before = (out / "feedback" / "Bo.html").read_bytes()
    enter(2.5, "Ann", out / "written.csv")
    overview, _ = writing.write(outcome, out)
    told = "4.5 of 5 points: 2 of 2 by program, 2.5 of 3 by a person."
    page = (out / "feedback" / "Ann.html").read_text(encoding="utf-8")
    assert told in page and "A person has read this: 2.5 of 3 points." in page
    with zipfile.ZipFile(out / "moodle-feedback.zip") as archive:
        assert archive.read("Ann_7_assignsubmission_file_/feedback.html").decode() == page
    moodle = (out / "moodle.csv").read_text(encoding="utf-8")
    assert f"(right). Read by a person: Why 2.5 of 3. Together {told}" in moodle and '"Ann",4.5,5,' in moodle
    assert moodle.count("by a person") == 2 and (out / "feedback" / "Bo.html").read_bytes() == before
    assert "<td>up to 3</td><td>1</td><td>1</td><td>0</td>" in overview.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("this is a Python script, not a notebook; hand in the .ipynb file", "ends in .ipynb"),
        ("this is a web page, not a notebook: export it as a notebook", "ends in .ipynb"),
        ("the ZIP archive holds no notebook (found: a.py); hand in the .ipynb file", "ends in .ipynb"),
        ("the file begins like a notebook, but is damaged or cut off", "Open the notebook in JupyterLab"),
    ],
)
def test_only_a_notebook_is_to_be_opened(error, told):
    """Checks the student's page by hand: where there is none to open, the file is asked for."""
    text = page(Report("Ann", "lab4", "0", BUBBLEWRAP, error=error))
    assert told in text and ("Open the notebook" in text) == ("begins like" in error)


TYPED = {
    "Moodle": (
        "Bo Li_7_assignsubmission_onlinetext_/onlinetext.html",
        "Bo Li_7_assignsubmission_file_/lab4.ipynb",
    ),
    "Moodle, flat": (
        "Bo Li_7_assignsubmission_onlinetext_onlinetext.html",
        "Bo Li_7_assignsubmission_file_lab4.ipynb",
    ),
    "Moodle in French": (
        "Bo Li_7_assignsubmission_onlinetext_/texte.html",
        "Bo Li_7_assignsubmission_file_/lab4.ipynb",
    ),
    "Canvas": ("libo_7_text.html", "libo_7_98_lab4.ipynb".replace("98", "98000")),
}


@pytest.mark.parametrize("system", TYPED)
def test_a_text_that_was_typed_in_is_no_file(tmp_path, system):
    """Checks by hand, beside a notebook, and alone: no grade, and the reason."""
    text, notebook = TYPED[system]
    for name, content in {text: b"<p>Please be kind.", notebook: NOTEBOOK, "Ann.ipynb": NOTEBOOK}.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    found, told = folders.find(tmp_path, "lab4")
    assert [json.loads(one.read())["cells"] for one in found] == [[], []] and not told
    os.remove(tmp_path / notebook)
    found, told = folders.find(tmp_path, "lab4")
    assert [one.student for one in found] == ["Ann"]
    (missing,) = [line for line in told if isinstance(line, folders.Missing)]
    assert missing.reason == "no notebook of lab4 (only a text was typed in)"


def test_the_bar_says_that_some_are_tried_again(tmp_path, monkeypatch):
    """Checks what the bar is called during the second try of one submission that fails, beside one that does not."""
    monkeypatch.setattr(classroom, "in_processes", lambda tasks, count, seconds: workers.here(tasks))
    called = []
    monkeypatch.setattr(classroom.tqdm, "set_description", lambda self, told, *_: called.append(told))
    (tmp_path / "in").mkdir()
    for name in ("Ann", "Bob"):
        (tmp_path / "in" / f"{name}.ipynb").write_bytes(NOTEBOOK)

    def fails(content, lab, student, *rest):
        if student == "Bob":
            raise RuntimeError("out of order")
        return grade(content, lab, student, *rest)

    classroom.run(tmp_path / "in", 4, tmp_path / "out", grade=fails)
    assert called == ["grading, 1 tried again"]
