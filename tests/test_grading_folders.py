"""Whose each notebook of a class is, in the folders that nbgrader, Canvas and Moodle make, or somebody by hand."""

import io
import os
import zipfile
from datetime import datetime

import pytest

from advcourse.core.inputs import InputError
from advcourse.grading import dryrun
from advcourse.grading.read import folders
from advcourse.grading.read.submission import LARGEST

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


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("folder", ["Mia_7_assignsubmission_file_/", "Mia/"])
def test_the_time_is_the_systems_and_not_the_students(tmp_path, folder, packed):
    """Checks archives, with a notebook of another time in each, and names and a stamp that a student can choose, against the
    times that the system gave, written by hand: to the file, or to its entry in the download of the class."""
    notebooks = {
        "old.zip": (2026, 11, 20),
        "new.zip": (2026, 11, 10),
    }  # what stands in the student's archives
    system = {"old.zip": (2026, 11, 12), "new.zip": (2026, 11, 14)}
    named = "20200101000000_lab4.ipynb"
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as download:
        for name, inner in notebooks.items():
            mine = io.BytesIO()
            with zipfile.ZipFile(mine, "w") as file:
                file.writestr(zipfile.ZipInfo(named, (*inner, 0, 0, 0)), OF_LAB4)
            download.writestr(zipfile.ZipInfo(folder + name, (*system[name], 12, 0, 0)), mine.getvalue())
        if folder.startswith("Mia_7"):
            stamp = zipfile.ZipInfo(f"{folder}timestamp.txt", (2026, 11, 14, 12, 0, 0))
            download.writestr(stamp, "2020-01-01 00:00:00")
        download.writestr(
            "Bo_8_assignsubmission_file_/lab4.ipynb" if "_" in folder else "Bo/lab4.ipynb", OF_LAB4
        )
    place = tmp_path / "class.zip"
    place.write_bytes(archive.getvalue())
    if not packed:
        place = tmp_path / "class"
        with zipfile.ZipFile(io.BytesIO(archive.getvalue())) as download:
            for entry in download.infolist():
                path = place / entry.filename
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(download.read(entry))
                os.utime(path, (time := datetime(*entry.date_time).timestamp(), time))
    (mia,) = [one for one in folders.find(place, "lab4")[0] if one.student == "Mia"]
    assert mia.file.parts[-2:] == ("new.zip", named)
    assert (mia.when, mia.clock) == (datetime(2026, 11, 14, 12).astimezone(), "the file's own time")
    assert not folders.lateness(mia, datetime(2026, 11, 15).astimezone())


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


@pytest.mark.skipif(os.name == "nt", reason="names of bytes")
def test_names_that_are_no_text_stay_apart(tmp_path):
    """Checks by hand two names of an old encoding, and two that differ in what cannot be seen: four students."""
    names = [os.fsdecode(b"M\xfcller"), os.fsdecode(b"M\xf6ller"), "Bo\u200cLi", "Bo\u200dLi"]
    students, told = found(lay(tmp_path, *(f"{name}/lab4.ipynb" for name in names)))
    assert [*students] == ["Bo\\u200cLi", "Bo\\u200dLi", "M\\xf6ller", "M\\xfcller"] and not told


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
    assert [*students] == ["ada", "bell\\x07", "caf\\xe9", "essay"]
    assert set(told) == {
        "bob/lab4.ipynb: a link; passed over.",
        "cy: a link; passed over.",
        "dee.ipynb: a link; passed over.",
        "pipe.ipynb: no file; passed over.",
        "lab4.ipynb: whose it is cannot be told from its name; passed over. Rename it to the student's name, and grade again.",
        "bob: no notebook of lab4 (the folder is empty).",
        "empty: no notebook of lab4 (the folder is empty).",
        "essay: essay/lab4.pdf: this is a PDF, not a notebook; hand in the .ipynb file.",
        "names.txt: no notebook; passed over.",
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


@pytest.mark.skipif(os.name == "nt", reason="sparse files")
def test_a_dry_run_reads_no_more_than_the_grader_takes(tmp_path, monkeypatch):
    """Checks how many bytes of a sparse file of a hundred gigabytes the grader is given: one more than it takes."""
    given = []

    class Grader:
        def __init__(self, **_):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def grade(self, content, *_, **__):
            given.append(len(content))

    monkeypatch.setattr(dryrun, "Grader", Grader)
    with open(tmp_path / "lab1.ipynb", "wb") as file:
        file.truncate(100 * 2**30)
    dryrun.check(tmp_path / "lab1.ipynb")
    assert given == [LARGEST + 1]
