"""Points that a person gives to the written questions: the sheet, and where they are shown."""

import csv
from dataclasses import replace

import pytest
from gradebooks import put, read, report
from reports import Page

from advcourse.core.inputs import InputError
from advcourse.grading.tell import feedback
from advcourse.grading.tell.report import BUBBLEWRAP, Report, Written
from advcourse.grading.tell.written import number, written_points

# The sheet


def test_points_for_written_questions_are_entered_into_a_sheet(tmp_path):
    """Checks the way of a sheet: made empty, filled in as a European Excel saves it, read again: 2,5 is two and a half."""
    path, reports = tmp_path / "written.csv", [report("Mia"), report("Amir", answer='First,\n"second".')]
    assert written_points(reports, path) == ({}, ())
    assert read(path, "utf-8-sig") == [
        ["student", "lab3 question-1 (of 3)", "lab3 answer to question-1"],
        ["Amir", "", 'First,\n"second".'],
        ["Mia", "", "Because."],
    ]
    text = path.read_bytes().decode().replace('"Mia",,', '"Mia";2,5;').replace(",", ";").replace("2;5", "2,5")
    put(path, text.replace("First;", "First,"))
    assert written_points(reports, path) == ({"Mia": {"question-1": 2.5}}, ())
    assert read(path, "utf-8-sig", delimiter=";")[2][:2] == ["Mia", "2,5"]


def test_a_sheet_loses_nothing(tmp_path):
    """Checks a sheet with points and a teacher's column when a student is new, one is gone, and one has changed the answer."""
    path = tmp_path / "written.csv"
    written_points([report("Mia"), report("Leo")], path)
    header, leo, mia = read(path, "utf-8-sig")
    rows = [[*header, "mine"], ["Leo", "1", leo[2], "read"], [*mia[:1], "3", *mia[2:], "read twice"]]
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows(rows)
    points, told = written_points([report("Mia", answer="No: "), report("Zoe")], path)
    assert points == {"Mia": {"question-1": 3.0}}
    assert told == (
        f"Leo: has points in {path}, but is not among the submissions.",
        "Mia: the answer to question-1 changed after it was graded; look at it again.",
    )
    rows[2][2] = "No:"
    assert read(path, "utf-8-sig") == [*rows, ["Zoe", "", "Because.", ""]]
    again = path.read_bytes()
    assert written_points([report("Mia", answer="No: "), report("Zoe")], path)[1] == told[:1]
    assert path.read_bytes() == again


def test_a_sheet_holds_several_labs(tmp_path):
    """Checks that points for one lab's question are not another lab's, whose question has the same name."""
    path = put(
        tmp_path / "w.csv", "student,lab3 question-1 (of 2),lab3 answer to question-1\nMia,1,Because.\n"
    )
    other = replace(report("Mia"), lab="lab4")
    assert written_points([other], path) == ({}, ())
    assert written_points([report("Mia")], path) == ({"Mia": {"question-1": 1}}, ())  # of 2 once, of 3 now
    header = ["student", "lab3 question-1 (of 2)", "lab3 answer to question-1"]
    header += ["lab4 question-1 (of 3)", "lab4 answer to question-1"]
    assert read(path) == [header, ["Mia", "1", "Because.", "", "Because."]]


@pytest.mark.parametrize("entry", ["4", "-1", "3.01", "good", "nan", "1e0", "1,000,0"])
def test_points_that_cannot_be(entry, tmp_path):
    """Checks that what is no number from 0 to 3 is told with file, student, question and what is allowed."""
    path = put(tmp_path / "w.csv", f'student,lab3 question-1 (of 3)\nMia,"{entry}"\n')
    with pytest.raises(InputError) as error:
        written_points([report("Mia")], path)
    told = f"written: {path}, Mia, question-1: got {entry!r}; allowed is a number from 0 to 3, or nothing"
    assert str(error.value) == told


def test_a_lab_without_written_questions_has_no_sheet(tmp_path):
    """Checks that nothing is written then."""
    bare = Report("Mia", "lab3", "d" * 64, BUBBLEWRAP)
    assert written_points([bare], tmp_path / "w.csv") == ({}, ()) and not list(tmp_path.iterdir())


# The student's page


def two_questions():
    """A report with 2 of 7 points by program, and two written questions, of 3 points and of 1."""
    made = report("Mia")
    return replace(made, written=(*made.written, Written("question-2", "How?", 1, "")))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "2 of 7 points by program; 4 more are given by a person."),
        (
            {"question-1": 2.5},
            "4.5 of 10 points: 2 of 7 by program, 2.5 of 3 by a person; 1 more is given by a person.",
        ),
        ({"question-1": 3, "question-2": 0}, "5 of 11 points: 2 of 7 by program, 3 of 4 by a person."),
    ],
)
def test_the_sum_has_the_points_of_a_person(given, told):
    """By hand: none entered, one of two, both, one of them 0; on the page, once."""
    assert feedback.total(two_questions(), given) == told
    assert Page(feedback.page(two_questions(), given)).text.count(told) == 1


def test_a_question_shows_the_points_that_a_person_gave():
    """By hand: in the table at the top and beside the answer; a question that nobody has read yet is as before."""
    page = Page(feedback.page(two_questions(), {"question-1": 2.5}))
    assert page.tables["Points"][-2:] == [
        ["Why?", "a person has read this", "2.5 of 3"],
        ["How?", "a person reads this", "up to 1"],
    ]
    assert "A person has read this: 2.5 of 3 points." in page.text
    assert "A person reads this: up to 1 point." in page.text


@pytest.mark.parametrize(("points", "shown"), [(2.0, "2"), (2.5, "2.5"), (0.1 + 0.2, "0.3"), (0, "0")])
def test_points_are_shown_short(points, shown):
    """By hand: whole numbers have no point, and a sum of binary fractions no tail."""
    assert str(number(points)) == shown
