"""Class lists: who is found in them, and that any file keeps its bytes."""

import csv
import io

import pytest
from gradebooks import CANVAS, put, report
from hypothesis import given, settings
from hypothesis import strategies as st

from advcourse.core.inputs import InputError
from advcourse.grading.tell.gradebook import canvas_csv, moodle_csv
from advcourse.grading.tell.roster import ListedStudent, Sheet, match, plain

# Who is who

CLASS = [
    ListedStudent(0, "11", ("11", "s11", "mm@uni.edu"), "Müller, Mia"),
    ListedStudent(1, "12", ("12", "s12", "leo@uni.edu"), "O'Neil, Leo"),
    ListedStudent(2, "13", ("13", "s13", "leo@other.edu"), "Lee, Leo"),
    ListedStudent(3, "14", ("14", "s14", "lw"), "雷, 李"),
    ListedStudent(4, "15", ("15", "s15", "jd1"), "Doe, Jo"),
    ListedStudent(5, "16", ("16", "s16", "jd2"), "Doe, Jo"),
]


@pytest.mark.parametrize(
    "student, row",
    [
        ("s11", 0),
        ("MM", 0),
        ("mm@uni.edu", 0),
        ("Mia Müller", 0),
        ("Mu\u0308ller, Mia", 0),  # as a Mac writes ü
        ("mia_müller", 0),
        ("leo@other.edu", 2),
        ("Leo ONeil", 1),
        ("李雷", 3),
        ("jd2", 5),
    ],
)
def test_a_student_is_found(student, row):
    """Checks ids, logins, e-mail addresses and ways to write a name against the row that a person would choose."""
    assert match([student], CLASS, {}) == ({student: row}, [])


@pytest.mark.parametrize(
    "student, told",
    [("Jo Doe", "2 rows fit"), ("leo", "2 rows fit"), ("Mia", "no row fits"), ("1", "no row fits")],
)
def test_nobody_is_guessed(student, told):
    """Checks names that fit two rows, or none: nothing is filled in, and it is told."""
    assert match([student], CLASS, {}) == ({}, [f"{student}: {told}; not filled in."])


def test_an_id_decides_alone():
    """Checks that a number from the file's name beats the name, also where the class list has no such number."""
    rows, told = match(["Mia Müller", "Leo Lee"], CLASS, {"Mia Müller": "15", "Leo Lee": "99"})
    assert rows == {"Mia Müller": 4} and told == ["Leo Lee: no row fits; not filled in."]


def test_two_submissions_for_one_row():
    """Checks that neither of them is filled in, and both are told."""
    rows, told = match(["s11", "Mia Müller", "s12"], CLASS, {})
    assert rows == {"s12": 1}
    assert told == [
        f"{s}: the row fits another submission as well; not filled in." for s in ("s11", "Mia Müller")
    ]


# Files as they come

cells = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\ufeff"), max_size=6) | st.sampled_from(
    ['a"b', '"', "1,5", ";", "\t", "x\r\ny", " 007 ", "=1"]
)


@settings(deadline=None)
@given(
    st.lists(st.lists(cells, min_size=2, max_size=4), max_size=5),
    st.sampled_from(",;\t"),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["", "\ufeff"]),
)
def test_any_csv_file_is_read_and_keeps_its_bytes(tmp_path_factory, rows, separator, quoting, end, mark):
    """Checks cells against Python's csv module, which wrote them, and the file that is written back against the first."""
    text = io.StringIO()
    kind = {"delimiter": separator, "quoting": quoting, "lineterminator": end}
    csv.writer(text, **kind).writerows([["ID", "b", "c", "d"], *rows])
    path = put(tmp_path_factory.getbasetemp() / "any.csv", mark + text.getvalue())
    before, sheet = path.read_bytes(), Sheet(path, ["ID"])
    found = [[sheet.value(i, column) for column in sheet.columns] for i in range(len(sheet))]
    assert found == [[cell.strip() for cell in (row + ["", ""])[:4]] for row in rows]
    sheet.write(path)
    assert path.read_bytes() == before


def test_one_cell_changes_and_no_other(tmp_path):
    """Checks a file with semicolons, odd quotes, short rows and no last line end against itself with one cell changed by hand."""
    text = 'ID;"Name";x\r\n"007";"a ""b""; c";1,5\r\n8\r\n"9";;\r\n\r\n10;é;"'
    path = put(tmp_path / "a.csv", text + '"')
    sheet = Sheet(path, ["ID", "x"])
    sheet.set(0, "x", 'y;"')
    sheet.set(1, "x", "z")
    sheet.write(path)
    wanted = text.replace("1,5", '"y;"""').replace("\n8\r", '\n8;;"z"\r') + '"'
    assert path.read_bytes().decode() == wanted


@pytest.mark.parametrize(
    "content, told",
    [
        (
            b"",
            "lacks columns; allowed is Canvas's own export of its gradebook, whose first line has 'ID', 'Section'",
        ),
        (b"Name,Grade\nMia,2\n", "lacks columns; allowed is Canvas's own export"),
        (
            CANVAS.encode("latin-1"),
            "is not in UTF-8; allowed is Canvas's own export of its gradebook (in Excel: save",
        ),
        (CANVAS.encode("utf-16"), "is not in UTF-8"),
        ((CANVAS + 'x,"y\n').encode(), ", line 7: a quotation mark is not closed, or not doubled"),
        (None, "cannot be read (No such file or directory)"),
    ],
)
def test_a_roster_that_cannot_be_used(content, told, tmp_path):
    """Checks what is told of files that are no export of Canvas, or were changed by a spreadsheet; nothing is written then."""
    roster = tmp_path / "roster.csv"
    if content is not None:
        roster.write_bytes(content)
    with pytest.raises(InputError) as error:
        canvas_csv([report("leo")], tmp_path / "c.csv", roster)
    assert str(error.value).startswith(f"roster: {roster}") and told in str(error.value)
    assert not (tmp_path / "c.csv").exists()


def test_a_worksheet_in_another_language_is_told(tmp_path):
    """Checks a German Moodle's worksheet: the message says to download it in English."""
    roster = put(tmp_path / "m.csv", "ID,Vollständiger Name,Bewertung,Zuletzt geändert (Bewertung)\n")
    with pytest.raises(
        InputError, match="allowed is Moodle's grading worksheet, downloaded with Moodle in English"
    ):
        moodle_csv([report("Mia")], tmp_path / "m2.csv", roster)


def test_plain_leaves_other_text_alone():
    """Checks texts that a spreadsheet takes for text anyway."""
    assert [plain(text) for text in ("", "Mia", "'=1", "a=1")] == ["", "Mia", "'=1", "a=1"]
