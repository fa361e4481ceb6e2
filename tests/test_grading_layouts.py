"""Whose the files in a download of a learning system are: classes drawn at random, written as each system names them."""

import json
import os
import random
import unicodedata
from datetime import datetime, timedelta

import layouts
import pytest
from amounts import amount

from advcourse.core.inputs import InputError
from advcourse.grading.read import folders
from advcourse.grading.tell import writing

NAMES = (
    "Mia Müller", "mia müller", "Ann Lee", "Ann Lee-Smith", "O'Neil Leo", "李 小龙", "李小龙", "Zoë 2", "Jon_Doe", "Ольга Ч",
    "Bo", "Copy Cat", "Jan (871)", "Ann Lee 2", "A. B. Cee", "محمد علي", "Lab Rat", "Max LATE", "Ø", "von der Heide Eva-Maria",
    "Mia Müller (871)", "3rd Student", "J",
)  # fmt: skip


def a_class(chance):
    """(name, number) -> contents of the attempts: all differ, and name the owner."""
    names = [chance.choice(NAMES) for _ in range(chance.randint(1, 8))]
    numbers = chance.sample(range(800, 2000), len(names))
    return {
        (name, number): [
            json.dumps(
                {"cells": [], "metadata": {"of": [name, number, i]}, "nbformat": 4, "nbformat_minor": 5}
            ).encode()
            for i in range(chance.randint(1, 3))
        ]
        for name, number in zip(names, numbers)
    }


@pytest.mark.long
@pytest.mark.parametrize("system", layouts.SYSTEMS)
@pytest.mark.parametrize("seed", range(amount(12, 300)))
def test_every_student_is_found_with_the_newest_attempt(tmp_path, system, seed):
    """Checks classes drawn at random against themselves: one submission for each student, the newest, whether the download is
    unpacked or not, in a folder of its own or not; no two of one name, and nobody's file under somebody else's name."""
    chance = random.Random(f"{system} {seed}")
    students = a_class(chance)
    files = layouts.SYSTEMS[system](students)
    around = "".join(chance.choice(["", "", "AdvML-Lab 1-12345/", "submissions/", "x/"]) for _ in range(2))
    files = {f"{around}{name}": content for name, content in files.items()}
    if around and chance.random() < 0.5:
        files[f"__MACOSX/{around}._x.ipynb"] = b"\0"
    folder, how = tmp_path / "in", chance.choice(["unpacked", "archive", "archive in a folder"])
    if how == "unpacked":
        layouts.lay(folder, files)
    else:
        folder = layouts.lay(tmp_path / "zip", {"down load (1).zip": layouts.packed(files)})
        folder = folder / "down load (1).zip" if how == "archive" else folder
    try:
        submissions, _ = folders.find(folder, "lab1")
    except InputError as error:  # one folder in another: a student's in the class's, or a student's own
        assert "whose it is cannot be told" in str(error) and system == "nbgrader" and len(students) == 1
        return
    found = {tuple(json.loads(one.read())["metadata"]["of"]): one for one in submissions}
    assert set(found) == {(*who, len(attempts) - 1) for who, attempts in students.items()}
    assert len({one.student for one in submissions}) == len(students)
    for (name, number, _), one in found.items():
        if system.startswith(("moodle", "brightspace", "gradescope")):
            assert one.student.startswith(name.replace("_", " ") if system.startswith("moodle") else name)
        elif system in ("canvas", "blackboard"):
            assert one.student.startswith(layouts.login(name))
        else:
            assert all(
                part in one.student for part in name.replace("_", "-" if system == "ilias" else "_").split()
            )
        if system.startswith(("moodle", "canvas")):
            assert getattr(one, system.split("_")[0]) == str(number)


BY_HAND = {
    "folders": lambda name: [f"{name}/lab1.ipynb"],
    "files": lambda name: [f"{name}.ipynb"],
    "copies": lambda name: [f"lab1 {name}.ipynb", f"lab1 {name} - Copy.ipynb", f"{name} lab1 (2).ipynb"],
    "archives": lambda name: [f"{name}.zip"],
    "folders with copies": lambda name: [f"{name}/lab1.ipynb", f"{name}/Copy of lab1.ipynb"],
    "folders of folders": lambda name: [f"{name}/lab1/lab1.ipynb"],
}


@pytest.mark.long
@pytest.mark.parametrize("kind", BY_HAND)
@pytest.mark.parametrize("seed", range(amount(12, 300)))
def test_names_given_by_hand_are_read_or_asked(tmp_path, kind, seed):
    """Checks classes drawn at random against themselves: whoever is found has the own name and the newest file, and of whom
    nobody is found there is a sentence, or an error for all."""
    chance = random.Random(f"{kind} {seed}")
    names = chance.sample(NAMES, chance.randint(1, 8))
    files = {}
    for name in names:
        for path in BY_HAND[kind](name):
            cells = {"cells": [], "metadata": {"of": name, "path": path}, "nbformat": 4, "nbformat_minor": 5}
            content = json.dumps(cells).encode()
            files[path] = layouts.packed({"lab1.ipynb": content}) if kind == "archives" else content
    around = "".join(chance.choice(["", "submissions/", "Lab 1/", "x/"]) for _ in range(2))
    files = {f"{around}{name}": content for name, content in files.items()}
    folder = layouts.lay(tmp_path / "in", files)
    if chance.random() < 0.5:
        folder = layouts.lay(tmp_path / "zip", {"in.zip": layouts.packed(files)})
    try:
        submissions, told = folders.find(folder, "lab1")
    except InputError as error:
        assert "whose it is cannot be told" in str(error)
        return
    for one in submissions:
        of = json.loads(one.read())["metadata"]
        assert (one.student, of["path"]) == (of["of"], BY_HAND[kind](of["of"])[-1])
    lost = set(names) - {one.student for one in submissions}
    assert all(any(name in line and "cannot be told" in line for line in told) for name in lost)
    assert lost <= {"Ann Lee 2"}


def test_what_nbgrader_makes_is_nobodys(tmp_path):
    """Checks nbgrader's folders beside each other: only what was submitted counts, although what it made of it is newer."""
    places = ("source", "submitted", "autograded", "feedback")
    names = [f"{place}/{name}/lab1/lab1.ipynb" for place in places for name in ("ann", "bob")]
    layouts.lay(tmp_path, dict.fromkeys(names, layouts.NOTEBOOK))
    submissions, told = folders.find(tmp_path, "lab1")
    assert [one.path.relative_to(tmp_path).parts[:2] for one in submissions] == [
        ("submitted", "ann"),
        ("submitted", "bob"),
    ]
    assert told == ()


# What nobody can tell

ASKED = {
    "a folder that may be anybody's": ["WS26 AdvML/ann.ipynb", "WS26 AdvML/bob.ipynb"],
    "two levels of names": ["WS26 AdvML/ann/lab1.ipynb", "WS26 AdvML/bob/lab1.ipynb"],
    "one in another": ["WS26 AdvML/ann/lab1.ipynb"],
    "groups": ["group A/ann.ipynb", "group A/bob.ipynb", "group B/cy.ipynb"],
    "one that looks like nbgrader's": ["bob.ipynb", "ada/x/lab1/lab1.ipynb", "ada/y/lab1/lab1.ipynb"],
    "an archive of several": ["WS26 AdvML.zip"],
    "copies": ["Copy of lab1.ipynb", "Kopie von lab1.ipynb", "Copie de lab1 (2).ipynb", "Copy of Copy of lab1.ipynb"],
    "more copies": ["lab1 copy.ipynb", "lab1 - Copy.ipynb", "lab1 - Kopie (2).ipynb", "lab1-Copy1.ipynb", "lab1 2.ipynb"],
    "names that say nothing": ["lab1_final.ipynb", "Untitled1.ipynb", "solution.ipynb", "lab1 (1).ipynb", "lab1 new v2.ipynb"],
    "Gradescope without its list": ["assignment_1_export/submission_1/lab1.ipynb"],
    "Blackboard with too many underscores": ["HW_ann_lee_attempt_2026-11-20-10-11-12_lab1.ipynb"],
    "a page of Brightspace": ["index.html"],
}  # fmt: skip


@pytest.mark.parametrize("case", ASKED)
def test_nobody_is_guessed(tmp_path, case):
    """Checks names that two readings fit, or none: an error that names the file, or the folder to give, and no student."""
    files = dict.fromkeys(ASKED[case], layouts.NOTEBOOK)
    if "WS26 AdvML.zip" in files:
        files["WS26 AdvML.zip"] = layouts.packed(
            {"ann/lab1.ipynb": layouts.NOTEBOOK, "bob/lab1.ipynb": layouts.NOTEBOOK}
        )
    layouts.lay(tmp_path / "in", files)
    if "bob.ipynb" in files:
        [bob], told = folders.find(tmp_path / "in", "lab1")
        assert bob.student == "bob" and told[0].startswith("ada: whose it is cannot be told")
        return
    with pytest.raises(InputError) as error:
        folders.find(tmp_path / "in", "lab1")
    told = str(error.value)
    if case != "a page of Brightspace":
        assert "whose it is cannot be told" in told
        assert any(name.split("/")[0] in told for name in ASKED[case])
    if case in ("a folder that may be anybody's", "two levels of names", "an archive of several"):
        assert f"give {tmp_path / 'in' / ASKED[case][0].split('/')[0]} as the submissions" in told
        submissions, _ = folders.find(tmp_path / "in" / ASKED[case][0].split("/")[0], "lab1")
        assert [one.student for one in submissions] == ["ann", "bob"]


@pytest.mark.parametrize("root", ["WS26 AdvML", "WS26 AdvML.zip"])
def test_a_folder_in_one_of_the_same_name_only_wraps(tmp_path, root):
    """Checks what unpacking makes of an archive, and packing of a folder: the same name twice; one student's, and a class's."""
    for files, students in (
        (
            {"WS26 AdvML/ann.ipynb": layouts.NOTEBOOK, "WS26 AdvML/bob.ipynb": layouts.NOTEBOOK},
            ["ann", "bob"],
        ),
        ({"WS26 AdvML/lab1.ipynb": layouts.NOTEBOOK}, ["WS26 AdvML"]),
    ):
        place = tmp_path / str(len(students)) / root
        if root.endswith(".zip"):
            layouts.lay(place.parent, {root: layouts.packed(files)})
        else:
            layouts.lay(place, files)
        assert [one.student for one in folders.find(place, "lab1")[0]] == students


def test_an_attempt_of_somebody_or_somebody_else_is_asked(tmp_path):
    """Checks "Ann Lee 2" beside "Ann Lee", which are one person or two; alone it is a name; "Ann Lee - Copy" is hers."""
    names = ("Ann Lee.ipynb", "Ann Lee 2.ipynb", "Ann Lee - Copy.ipynb", "Zoë 2.ipynb")
    layouts.lay(tmp_path, dict.fromkeys(names, layouts.NOTEBOOK))
    submissions, told = folders.find(tmp_path, "lab1")
    assert {one.student: one.path.name for one in submissions} == {
        "Ann Lee": "Ann Lee - Copy.ipynb", "Zoë 2": "Zoë 2.ipynb",
    }  # fmt: skip
    assert [line for line in told if line.startswith("Ann Lee 2.ipynb: whose it is cannot be told")]


def test_names_are_unique_at_the_end(tmp_path):
    """Checks two people of one name in Moodle, and two who are called as those are then: four rows, four pages."""
    people = [("Mia Müller", 871), ("Mia Müller", 872), ("Mia Müller (871)", 5), ("mia müller (871)", 6)]
    names = [f"{name}_{number}_assignsubmission_file_/lab1.ipynb" for name, number in people]
    layouts.lay(tmp_path, dict.fromkeys(names, layouts.NOTEBOOK))
    submissions, _ = folders.find(tmp_path, "lab1")
    students = [one.student for one in submissions]
    assert sorted(one.moodle for one in submissions) == ["5", "6", "871", "872"] and len(set(students)) == 4
    pages = writing.page_names(students).values()
    assert len({unicodedata.normalize("NFD", page).casefold() for page in pages}) == 4
    assert {folders.moodle_folder(one) for one in submissions} == {
        f"{name}_{number}_assignsubmission_file_" for name, number in people
    }


def test_pages_of_names_that_look_like_marked_ones():
    """Checks a student who is called what another's page is called, and two ways to write one accent."""
    first = writing.page_names(["a/b"])["a/b"].removesuffix(".html")
    students = ["a/b", first, first.upper(), "Zo\u00eb", "Zoe\u0308", "ZO\u00cb"]
    pages = writing.page_names(students).values()
    assert len({unicodedata.normalize("NFD", page).casefold() for page in pages}) == len(students)


# What each name tells


def test_a_group_of_gradescope_is_two_students(tmp_path):
    """Checks the list of submitters, which says that one notebook is two people's."""
    told = "submission_7:\n  :submitters:\n  - :name: Ann Lee\n    :email: a@u\n  - :name: Bob\n    :email: b@u\n"
    layouts.lay(
        tmp_path, {"submission_7/lab1.ipynb": layouts.NOTEBOOK, "submission_metadata.yml": told.encode()}
    )
    assert [one.student for one in folders.find(tmp_path, "lab1")[0]] == ["Ann Lee", "Bob"]


@pytest.mark.parametrize(
    "told", [b"&a [" * 2000, b"a: &a [x]\nb: {<<: *a}\n", b"submission_7: 3", b"\xff\xfe", b"- " * 10**6]
)
def test_a_damaged_list_of_gradescope_names_nobody(tmp_path, told):
    """Checks lists that are none, and ones that want memory: an error that says what is missing."""
    layouts.lay(tmp_path, {"submission_7/lab1.ipynb": layouts.NOTEBOOK, "submission_metadata.yml": told})
    with pytest.raises(InputError, match="submission_metadata.yml, which says whose it is, is missing"):
        folders.find(tmp_path, "lab1")


def test_the_text_of_blackboard_tells_where_the_name_begins(tmp_path):
    """Checks a user's name with an underscore in it, which the file beside it holds in brackets."""
    head = "Home_work_ann_lee_attempt_2026-11-20-10-11-12"
    note = b"Name: Ann Lee (ann_lee)\r\nAssignment: Home_work\r\n"
    layouts.lay(tmp_path, {f"{head}_lab1.ipynb": layouts.NOTEBOOK, f"{head}.txt": note})
    assert [one.student for one in folders.find(tmp_path, "lab1")[0]] == ["ann_lee"]


@pytest.mark.parametrize(
    "name, when, clock",
    [
        ("Lab 1_ann_attempt_2026-11-20-22-11-12_lab1.ipynb", "2026-11-20 22:11:12", "its name"),
        ("1-2 - Ann Lee - Nov 20, 2026 1011 PM - lab1.ipynb", "2026-11-20 22:11:00", "its name"),
        ("1-2 - Ann Lee- 20 November, 2026 2211/lab1.ipynb", "2026-11-20 22:11:00", "its name"),
        ("ann/lab1/lab1.ipynb", "2026-11-20 22:11:12+00:00", "timestamp.txt"),
        ("Ann Lee.ipynb", "2001-09-09 01:46:40+00:00", "the file's own time"),
    ],
)
def test_when_it_was_handed_in(tmp_path, name, when, clock):
    """Checks the time that each system writes, by hand, and a deadline of a minute before, of the same second, and none."""
    layouts.lay(tmp_path, {name: layouts.NOTEBOOK})
    if clock == "timestamp.txt":
        layouts.lay(tmp_path, {"ann/lab1/timestamp.txt": b"2026-11-20 22:11:12.000000 UTC\n"})
    [one] = folders.find(tmp_path, "lab1")[0]
    at = datetime.fromisoformat(when).astimezone()
    assert (one.when, one.clock) == (at, clock)
    assert folders.lateness(one, at - timedelta(minutes=61)) == f"late by 1 h 1 min ({clock})"
    assert folders.lateness(one, at - timedelta(hours=50)) == f"late by 2 d 2 h ({clock})"
    assert folders.lateness(one, at) == folders.lateness(one) == ""


def test_canvas_marks_what_is_late(tmp_path):
    """Checks the mark in Canvas's names, for that attempt alone which counts."""
    names = (
        "a_LATE_1_1001_x.ipynb",
        "b_2_1002_x.ipynb",
        "b_LATE_2_1003_x-1.ipynb",
        "c_LATE_3_1004_x.ipynb",
        "c_3_1005_x.ipynb",
    )
    layouts.lay(tmp_path, dict.fromkeys(names, layouts.NOTEBOOK))
    late = {one.student: folders.lateness(one) for one in folders.find(tmp_path, "lab1")[0]}
    assert late == {"a": "marked late by Canvas", "b": "marked late by Canvas", "c": ""}


@pytest.mark.parametrize("text", ["", "tomorrow", "2026-11-20", "2026-13-01 10:00", "23:59"])
def test_a_deadline_is_a_date_with_a_time(text):
    """Checks what has no day, no time, or neither; and one with an offset against itself in another."""
    with pytest.raises(InputError, match="deadline: got .* allowed is a date with a time, such as"):
        folders.check_deadline(text)
    same = [folders.check_deadline(one) for one in ("2026-11-20T23:59+01:00", "2026-11-20 22:59+00:00")]
    assert same[0] == same[1] and folders.check_deadline(None) is None


# What is no notebook


@pytest.mark.parametrize(
    "name, told",
    [
        ("lab1.py", "this is a Python script, not a notebook; hand in the .ipynb file"),
        ("lab1.html", "this is a web page"),
        ("lab1.docx", "this is a text document"),
        ("lab1.tar.gz", "this is an archive of a kind that is not opened (only ZIP is)"),
        ("lab1.7z", "this is an archive of a kind that is not opened"),
        ("lab1", "this is no notebook; hand in"),
    ],
)
@pytest.mark.parametrize("owner", ["Mia_871_assignsubmission_file_/", "mia_4711_98765_", "Mia/"])
def test_every_hand_in_is_found_with_its_reason(tmp_path, owner, name, told):
    """Checks files of other kinds in names of three sorts: the student is there, with the reason, and the terminal is told it."""
    layouts.lay(tmp_path, {f"{owner}{name}": b"x", "Ann Lee/lab1.ipynb": layouts.NOTEBOOK})
    (one,) = [one for one in folders.find(tmp_path, "lab1")[0] if one.student != "Ann Lee"]
    assert one.student.casefold() == "mia" and told in one.reason and one.read() == b"x"


def test_a_notebook_counts_before_what_is_none(tmp_path):
    """Checks that a script or a picture beside the notebook, newer than it, changes nothing."""
    names = ("Mia/lab1.ipynb", "Mia/helpers.py", "Mia/plot.png", "Mia/data.zip")
    layouts.lay(tmp_path, dict.fromkeys(names, layouts.NOTEBOOK))
    [one], _ = folders.find(tmp_path, "lab1")
    assert one.path.name == "lab1.ipynb" and not one.reason


def test_who_handed_in_nothing_is_named(tmp_path):
    """Checks an empty folder, and one with another lab's notebook alone: no submission, and a sentence about each."""
    layouts.lay(tmp_path, {"ann/lab1.ipynb": layouts.NOTEBOOK, "bob/lab2/lab2.ipynb": layouts.NOTEBOOK})
    (tmp_path / "cy").mkdir()
    submissions, told = folders.find(tmp_path, "lab1")
    missing = {line.student: line.reason for line in told if isinstance(line, folders.Missing)}
    assert [one.student for one in submissions] == ["ann"] and set(missing) == {"bob", "cy"}
    assert missing["cy"] == "no notebook of lab1 (the folder is empty)"


@pytest.mark.skipif(os.name == "nt", reason="sparse files")
def test_a_file_of_a_hundred_gigabytes_stops_nobody(tmp_path):
    """Checks sparse files beside a good notebook, and alone: they are not read to find out what they are, others are found."""
    layouts.lay(tmp_path, {"ann/lab1.ipynb": layouts.NOTEBOOK, "bob/lab1.ipynb": layouts.NOTEBOOK})
    for name in ("ann/huge.ipynb", "cy.ipynb", "cy - Copy.ipynb", "bob/lab1.zip"):
        with open(tmp_path / name, "wb") as file:
            file.truncate(100 * 2**30)
        os.utime(tmp_path / name, (1, 1))
    found = {one.student: one for one in folders.find(tmp_path, "lab1")[0]}
    assert {student: one.path.name for student, one in found.items() if student != "cy"} == {
        "ann": "lab1.ipynb", "bob": "lab1.ipynb",
    }  # fmt: skip
    assert len(found["cy"].read(1000)) == 1000
