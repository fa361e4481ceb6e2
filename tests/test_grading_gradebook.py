"""Grades as CSV: what Canvas, Moodle and a spreadsheet read, and who is found in a class list."""

import re
import unicodedata

import pytest
from gradebooks import CANVAS, MOODLE, put, read, report

from advcourse.core.inputs import InputError
from advcourse.grading.tell.gradebook import canvas_csv, grades_csv, moodle_csv
from advcourse.grading.tell.report import BUBBLEWRAP, Report
from advcourse.grading.tell.written import written_points

# For people


def test_grades_are_one_row_a_student(tmp_path):
    """Checks every cell against the reports, by hand: 2 + 0 + 2.5 of 2 + 5 + 3; sorted by name, whatever the capitals."""
    reports = [
        report("zoë", ead=5, signs=("Cell 3 imports os.",)),
        report("Amir", notes=("Saved by X.", "Old.")),
    ]
    late = {"Amir": "late by 3 min (its name)"}
    grades_csv(reports, tmp_path / "grades.csv", {"Amir": {"question-1": 2.5}}, late)
    header, amir, zoe = read(tmp_path / "grades.csv", "utf-8-sig")
    amir, zoe = dict(zip(header, amir)), dict(zip(header, zoe))
    assert amir == {
        "student": "Amir",
        "lab": "lab3",
        "total": "4.5",
        "of": "10",
        "points": "2",
        "possible": "7",
        "written": "2.5",
        "written possible": "3",
        "to_w (of 2)": "2",
        "ead (of 5)": "0",
        "outcomes": "to_w: right; ead: wrong",
        "late": "late by 3 min (its name)",
        "isolation": BUBBLEWRAP,
        "error": "",
        "notes": "Saved by X. Old.",
        "signs": "",
    }
    assert (zoe["total"], zoe["written"], zoe["signs"]) == ("7", "", "Cell 3 imports os.")


def test_a_file_that_could_not_be_read_is_a_row_as_well(tmp_path):
    """Checks that such a student has 0 of what the others can get, and the reason."""
    unread = Report("bo", "lab3", "e" * 64, BUBBLEWRAP, error="This is a PDF.")
    grades_csv([report("al"), unread], tmp_path / "grades.csv")
    header, _, row = read(tmp_path / "grades.csv", "utf-8-sig")
    row = dict(zip(header, row))
    assert (row["total"], row["of"], row["error"]) == ("0", "10", "This is a PDF.")
    assert (row["possible"], row["written possible"]) == ("7", "3")  # as for the others


def test_a_spreadsheet_reads_the_names(tmp_path):
    """Checks the first bytes against the mark by which Excel knows UTF-8, and names in four scripts against themselves."""
    names = ["Müller", "李雷", "Ольга", "محمد"]
    grades_csv([report(name) for name in names], tmp_path / "grades.csv")
    assert (tmp_path / "grades.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    assert {row[0] for row in read(tmp_path / "grades.csv", "utf-8-sig")} == {"student", *names}


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1", "-1", "@SUM(1)", "\t=1"])
def test_no_name_is_a_formula(name, tmp_path):
    """Checks the cells of all files against what OWASP calls a formula: first letter = + - @, tab or carriage return."""
    reports = [report(name, answer=name, notes=(name,), signs=(name,))]
    grades_csv(reports, tmp_path / "grades.csv")
    written_points(reports, tmp_path / "written.csv")
    canvas_csv(reports, tmp_path / "canvas.csv")
    moodle_csv(reports, tmp_path / "moodle.csv", ids={name: "7"})
    for path in tmp_path.iterdir():
        cells = [cell for row in read(path, "utf-8-sig") for cell in row]
        assert any(name.strip() in cell for cell in cells), path.name
        assert [cell for cell in cells if re.match(r"[=+@\t\r]|-.", cell)] == [], path.name


FORMULAS = [
    "see above;=cmd|' /C calc'!A0", "a\t=1+1", "a,=1", "a\n=1", "a;\n \t+1", "  =1", "\u200b=1", "\ufeff@SUM(1)", "\uff1d1",
    "\uff0b1", 'x";=1', '";"=1', "=DDE(\"cmd\";\"x\")", "\x00=1", "a;-1", "a; \xa0-1", "\r=1",
]  # fmt: skip


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_is_a_formula_whatever_the_separator(text, separator, tmp_path):
    """Checks every table, as a program reads it that takes another separator: no cell begins like a formula (OWASP's list),
    blanks and other widths of letters included; read as it was written, nothing but apostrophes was added."""
    name = f"Mia {text}"
    made = [report(name, answer=text, notes=(text,), signs=(text,)), Report("x", "lab3", "e", "", error=text)]
    canvas, moodle = (
        put(tmp_path / "roster.csv", CANVAS),
        put(tmp_path / "work.csv", MOODLE.replace(",", ";")),
    )
    out = tmp_path / "out"
    out.mkdir()
    grades_csv(made, out / "grades.csv", late={name: text})
    written_points(made, out / "written.csv")
    canvas_csv(made, out / "canvas.csv")
    canvas_csv(made, out / "filled.csv", canvas, "Lab 9", ids={name: "11", "x": "12"})
    moodle_csv(made, out / "moodle.csv", ids={name: "7", "x": "8"})
    moodle_csv(made, out / "worksheet.csv", moodle, ids={name: "871", "x": "872"})
    for path in out.iterdir():
        cells = [cell for row in read(path, "utf-8-sig", delimiter=separator) for cell in row]
        bare = [unicodedata.normalize("NFKC", cell).strip().lstrip("\0\u200b\ufeff\t ") for cell in cells]
        assert [cell for cell in bare if re.match(r"[=+@]|-.", cell)] == [], path.name
    [row] = [row for row in read(out / "written.csv", "utf-8-sig") if row[0].startswith("Mia")]
    assert row[2].replace("'", "").split() == text.strip().replace("'", "").split()


def test_all_text_is_quoted(tmp_path):
    """Checks the bytes of tables that are made: every cell that is no number, and not empty, has quotation marks."""
    grades_csv([report("Mia")], tmp_path / "grades.csv")
    written_points([report("Mia")], tmp_path / "written.csv")
    canvas_csv([report("Mia")], tmp_path / "canvas.csv")
    for path in tmp_path.iterdir():
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        cells = [cell for line in lines for cell in re.findall(r'"[^"]*"|[^,]+', line)]
        assert all(re.fullmatch(r'"[^"]*"|[\d.]+', cell) for cell in cells), path.name


def test_all_numbers_are_numbers(tmp_path):
    """Checks the bytes of every table: points stand without quotation marks, whole or not, and no number is written as text."""
    made, given = (
        [report("Mia"), report("Leo", ead=5)],
        {"Mia": {"question-1": 2.5}, "Leo": {"question-1": 3.0}},
    )
    ids = {"Mia": "871", "Leo": "872"}
    grades_csv(made, tmp_path / "grades.csv", given)
    canvas_csv(made, tmp_path / "canvas.csv", written=given)
    moodle_csv(made, tmp_path / "moodle.csv", ids=ids, written=given)
    for path, mias, leos in (
        ("grades.csv", '"Mia","lab3",4.5,10,2,7,2.5,3,2,0,', '"Leo","lab3",10,10,7,7,3,3,2,5,'),
        ("canvas.csv", '"Mia","","","Mia","",4.5', '"Leo","","","Leo","",10'),
        ("moodle.csv", '"Participant 871","Mia",4.5,10,"-",', '"Participant 872","Leo",10,10,"-",'),
    ):
        text = (tmp_path / path).read_text(encoding="utf-8-sig")
        assert f"\n{mias}" in text and f"\n{leos}" in text
        assert not re.search(r'"[\d.]+"', text)


# Canvas


def canvas_reads(path, delimiter=","):
    """What Canvas's importer takes from a file, by the rules of its source (lib/gradebook_importer.rb).

    Returns ({title: points possible}, {(name, id, login): {title: grade}}).
    """
    header, *rows = read(path, delimiter=delimiter)
    assert len(header) > 3 and "Student" in header[0] and "ID" in header[1]
    count = 3
    if "SIS User ID" in header[2] and "SIS Login ID" in header[3]:
        count = 5
    elif "SIS Login ID" in header[2]:
        count = 4
    assert "Section" in header[count - 1]
    reserved = "(Current|Final|Override) (Score|Points|Grade)"
    titles = [i for i in range(count, len(header)) if not re.search(reserved, header[i])]
    possible, students = {}, {}
    for row in rows:
        grades = {header[i]: row[i].strip() if i < len(row) else "" for i in titles}
        if "Points Possible" in row[0]:
            possible = grades
        elif not all(re.fullmatch(r"\s*(Muted|Manual Posting.*)?\s*", cell, re.I) for cell in row):
            students[row[0], row[1], row[count - 2] if count > 3 else ""] = grades
    return possible, students


def test_canvas_gets_its_own_export_with_the_column_filled_in(tmp_path):
    """Checks the bytes against Canvas's export with two cells changed by hand, and what Canvas's importer reads from them."""
    roster = put(tmp_path / "roster.csv", CANVAS)
    told = canvas_csv([report("mm"), report("0012", ead=5)], tmp_path / "c.csv", roster)
    wanted = CANVAS.replace('"A, B",1.00,,', '"A, B",1.00,2,').replace("leo,A,,1.00,", "leo,A,,7,")
    assert (tmp_path / "c.csv").read_bytes().decode() == wanted
    who = "1 student has no submission that fits, so the cell stays as it was: Student, Test."
    assert told == (f"{roster}: {who}",)
    possible, students = canvas_reads(tmp_path / "c.csv")
    assert possible == {"Homework (4)": "5.00", "Lab 3 (55)": "10.00"}
    assert students["Müller, Mia", "11", "mm@uni.edu"] == {"Homework (4)": "1.00", "Lab 3 (55)": "2"}
    assert students["O'Neil, Leo", "12", "leo"]["Lab 3 (55)"] == "7"


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (0, ""),
        (1, "1 student has no submission that fits, so the cell stays as it was: A1, B."),
        (2, "2 students have no submission that fits, so their cells stay as they were: A1, B; A2, B."),
        (9, "9 students have {}: A1, B; A2, B; A3, B; A4, B; A5, B; and 4 more."),
    ],
)
def test_who_handed_in_nothing_is_named(count, told, tmp_path):
    """By hand: none, one, two, and nine students of a class list, of whom five are named."""
    told = told.format("no submission that fits, so their cells stay as they were")
    rows = "".join(f'"A{i}, B",{20 + i},,,A,,,\r\n' for i in range(1, count + 1))
    roster = put(tmp_path / "roster.csv", "".join(CANVAS.splitlines(True)[:4]) + rows)
    sentences = canvas_csv([report("mm")], tmp_path / "c.csv", roster)
    assert sentences == ((f"{roster}: {told}",) if told else ())


@pytest.mark.parametrize("assignment", [None, "lab3", "LAB 3", "Lab 3 (55)"])
def test_the_column_is_found_by_the_assignments_name(assignment, tmp_path):
    """Checks ways to write the name against the one column of that name; no other is touched."""
    roster = put(tmp_path / "roster.csv", CANVAS)
    canvas_csv([report("leo")], tmp_path / "c.csv", roster, assignment)
    assert (tmp_path / "c.csv").read_bytes().decode() == CANVAS.replace("leo,A,,1.00,", "leo,A,,2,")


def test_the_name_may_go_on(tmp_path):
    """Checks a longer name in Canvas, which is found; lab 31 and the sum of a group of assignments, which are not meant."""
    text = CANVAS.replace("Homework (4)", "Lab 31 (4)").replace("Lab 3 (55)", "Lab 3: Nearest (55)")
    text = text.replace("Current Score", "Lab 3 Current Score")
    roster = put(tmp_path / "roster.csv", text)
    canvas_csv([report("leo")], tmp_path / "c.csv", roster)
    assert (tmp_path / "c.csv").read_bytes().decode() == text.replace("leo,A,,1.00,", "leo,A,,2,")


def test_canvas_gets_a_new_column_where_there_is_none(tmp_path):
    """Checks what Canvas's importer makes of it: a new assignment of 10 points, one grade."""
    roster = put(tmp_path / "roster.csv", CANVAS)
    told = canvas_csv([report("leo")], tmp_path / "c.csv", roster, "Attacks, part 1")
    assert told[0] == f"{roster} has no column 'Attacks, part 1': Canvas will make a new assignment of it."
    possible, students = canvas_reads(tmp_path / "c.csv")
    assert possible["Attacks, part 1"] == "10"
    assert {grades["Attacks, part 1"] for grades in students.values()} == {"2", ""}


def test_two_columns_of_one_name_are_told(tmp_path):
    """Checks that no column is chosen by chance; the message has both, and the number tells them apart."""
    roster = put(tmp_path / "roster.csv", CANVAS.replace("Homework (4)", "Lab 3 (54)"))
    with pytest.raises(
        InputError, match=r"assignment: got 'Lab 3'; allowed is one of .* 'Lab 3 \(54\)', 'Lab 3 "
    ):
        canvas_csv([report("leo")], tmp_path / "c.csv", roster)
    canvas_csv([report("leo")], tmp_path / "c.csv", roster, "Lab 3 (54)")
    assert canvas_reads(tmp_path / "c.csv")[1]["O'Neil, Leo", "12", "leo"]["Lab 3 (54)"] == "2"


def test_canvas_without_its_export(tmp_path):
    """Checks what Canvas's importer reads: its own number of a student where it is known, else the name as a login."""
    reports = [report("Müller, Mia"), report("leo", ead=5)]
    told = canvas_csv(reports, tmp_path / "c.csv", ids={"Müller, Mia": "11"})
    assert told == ("No Canvas number is known of 1 student: Canvas looks for him or her by login and name.",)
    possible, students = canvas_reads(tmp_path / "c.csv")
    assert possible == {"Lab 3": "10"}
    assert students == {("leo", "", "leo"): {"Lab 3": "7"}, ("Müller, Mia", "11", ""): {"Lab 3": "2"}}


def test_an_excuse_stays_and_other_points_are_told(tmp_path):
    """Checks a student whom Canvas excuses, and an assignment of 100 points in Canvas, which the lab has not."""
    text = CANVAS.replace("leo,A,,1.00,", "leo,A,,EX,").replace("5.00,10.00", "5.00,100.00")
    roster = put(tmp_path / "roster.csv", text)
    told = canvas_csv([report("leo")], tmp_path / "c.csv", roster)
    assert told[:2] == (
        "Lab 3 (55): 100.00 points possible in Canvas; the lab has 10, written questions included.",
        "leo: EX in Canvas; left so.",
    )
    assert (tmp_path / "c.csv").read_bytes().decode() == text


def test_canvas_with_two_columns_for_the_name(tmp_path):
    """Checks the other form of Canvas's export, LastName and FirstName, by a student's name."""
    text = (
        "LastName,FirstName,ID,SIS Login ID,Section,Lab 3 (5)\nPoints Possible,,,,,10\nMüller,Mia,11,mm,A,\n"
    )
    roster = put(tmp_path / "roster.csv", text)
    canvas_csv([report("Mia Müller")], tmp_path / "c.csv", roster)
    assert (tmp_path / "c.csv").read_bytes().decode() == text.replace("mm,A,\n", "mm,A,2\n")


# Moodle


def moodle_reads(path):
    """What Moodle's importer takes from a worksheet, by its source (mod/assign/feedback/offline): number -> (grade, comment)."""
    header, *rows = read(path, "utf-8-sig")
    at = [header.index(name) for name in ("Identifier", "Grade", "Feedback comments")]
    assert "Last modified (grade)" in header and all(len(row) == len(header) for row in rows)
    return {row[at[0]][len("Participant ") :]: (row[at[1]], row[at[2]]) for row in rows}


def test_moodle_gets_its_own_worksheet_filled_in(tmp_path):
    """Checks the bytes against Moodle's worksheet with three cells changed by hand; a teacher's own comment stays."""
    roster = put(tmp_path / "roster.csv", MOODLE)
    reports = [report("x", ead=5), report("lei@uni.edu")]
    told = moodle_csv(reports, tmp_path / "m.csv", roster, {"x": "871"}, {"x": {"question-1": 1.5}})
    comment = (
        "Graded by program: 7 of 7 points. to_w 2 of 2 (right); ead 5 of 5 (right). Read by a person: Why? 1.5 of 3. "
        "Together 8.5 of 10 points: 7 of 7 by program, 1.5 of 3 by a person."
    )
    wanted = MOODLE.replace('grading",,10.00', 'grading",8.5,10.00').replace(
        'AM",-,\n', f'AM",-,"{comment}"\n'
    )
    wanted = wanted.replace(",1.00,10.00", ",2,10.00")
    assert (tmp_path / "m.csv").read_bytes().decode() == wanted
    who = "1 student has no submission that fits, so the cell stays as it was: Leo O'Neil."
    assert told == (f"{roster}: {who}",)
    grades = moodle_reads(tmp_path / "m.csv")
    assert grades == {"871": ("8.5", comment), "872": ("2", "Well done."), "873": ("", "")}


def test_a_second_grading_replaces_the_first_ones_comment(tmp_path):
    """Checks a worksheet that has been through once: grade and comment are the second ones."""
    put(tmp_path / "m.csv", MOODLE)
    for ead in (5, 0):
        moodle_csv([report("Mia Müller", ead=ead)], tmp_path / "m.csv", tmp_path / "m.csv")
    grade, comment = moodle_reads(tmp_path / "m.csv")["871"]
    assert grade == "2" and comment.startswith("Graded by program: 2 of 7 points.")


def test_another_maximum_in_moodle_is_told(tmp_path):
    """Checks Moodle's usual 100 points against the lab's 10."""
    roster = put(tmp_path / "roster.csv", MOODLE.replace("10.00", "100.00"))
    told = moodle_csv([report("leo")], tmp_path / "m.csv", roster)
    assert told[0] == "Maximum Grade: 100.00 in Moodle; the lab has 10, written questions included."


def test_moodle_without_its_worksheet(tmp_path):
    """Checks what Moodle's importer reads of students whose number is known, and that the others are named."""
    told = moodle_csv([report("Mia"), report("Leo")], tmp_path / "m.csv", ids={"Mia": "871"})
    assert {k: v[0] for k, v in moodle_reads(tmp_path / "m.csv").items()} == {"871": "2"}
    assert told == (f"Leo: no Moodle number is known; not in {tmp_path / 'm.csv'}.",)
    told = moodle_csv([report("Mia")], tmp_path / "none.csv")
    assert told == (f"No Moodle number is known of any student: {tmp_path / 'none.csv'} is not written.",)
    assert not (tmp_path / "none.csv").exists()


def test_what_moodle_shows_is_no_markup(tmp_path):
    """Checks a comment, which Moodle takes for HTML, against one with a tag in it."""
    unread = Report("Mia", "lab3", "e" * 64, BUBBLEWRAP, error="This is <script>, not a notebook.")
    moodle_csv([unread], tmp_path / "m.csv", ids={"Mia": "1"})
    assert "Graded by program: This is &lt;script&gt;, not" in moodle_reads(tmp_path / "m.csv")["1"][1]


def test_who_has_no_grade_yet_gets_no_zero(tmp_path):
    """Checks a submission at which the grader itself failed: no file holds points for it, not even an empty cell to import."""
    failed = Report("leo", "lab3", "", BUBBLEWRAP, error="not graded: MemoryError")
    reports, told = [report("mm"), failed], "leo: not graded: MemoryError; not filled in."
    canvas, moodle = put(tmp_path / "canvas.csv", CANVAS), put(tmp_path / "moodle.csv", MOODLE)
    ids = {"leo": "873", "mm": "871"}
    assert told in canvas_csv(reports, tmp_path / "c.csv", canvas)
    assert canvas_reads(tmp_path / "c.csv")[1]["O'Neil, Leo", "12", "leo"]["Lab 3 (55)"] == "1.00"
    assert told in canvas_csv(reports, tmp_path / "c.csv") and len(canvas_reads(tmp_path / "c.csv")[1]) == 1
    assert told in moodle_csv(reports, tmp_path / "m.csv", moodle, ids)
    assert moodle_reads(tmp_path / "m.csv")["873"] == ("", "")
    assert told in moodle_csv(reports, tmp_path / "m.csv", ids=ids)
    assert list(moodle_reads(tmp_path / "m.csv")) == ["871"]
    grades_csv(reports, tmp_path / "grades.csv")
    header, leo, _ = read(tmp_path / "grades.csv", "utf-8-sig")
    assert dict(zip(header, leo))["total"] == ""
