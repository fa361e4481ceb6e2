"""Write the grades of a class as CSV: for people, for Canvas and for Moodle.

If the grader itself failed, the report has no digest: the student has no grade yet, and nothing is filled in.

A lab's points are those of its tasks, given by program, and those of its written questions. The latter are entered by hand
into the sheet of `written.written_points`; all functions here add them up.
"""

import html
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from advcourse.core.inputs import InputError
from advcourse.grading.tell import feedback
from advcourse.grading.tell.report import Report, by_name
from advcourse.grading.tell.roster import ListedStudent, Sheet, match, write_rows
from advcourse.grading.tell.written import Points, number

_OURS = "Graded by program:"
_NAMED = 5  # students of whom a sentence has the names
_LEFT_ALONE = ("EX", "N/A")  # Canvas: excused; the assignment is not this student's


def grades_csv(
    reports: Sequence[Report],
    path: Path | str,
    written: Points | None = None,
    late: Mapping[str, str] | None = None,
) -> None:
    """Write one row per student, sorted by name: points, every task, how the code was isolated, and all notes.

    `total` is what the gradebooks get, `of` the most that it can be; students who handed in nothing have no points here. The
    file is UTF-8 with a byte-order mark: without it Excel assumes another encoding and breaks every name that is not English.
    A text that could be taken for a formula gets an apostrophe in front.

    Args:
        reports: of one lab.
        path: the file to write.
        written: see `written.written_points`.
        late: student -> how late, in words.
    """
    tasks = {task.task: task.possible for report in reports for task in report.tasks}
    possible = max((report.possible for report in reports), default=0)
    written_possible = max(map(_written_possible, reports), default=0)
    header = ["student", "lab", "total", "of", "points", "possible", "written", "written possible"]
    header += [f"{name} (of {possible})" for name, possible in tasks.items()]
    rows = [[*header, "outcomes", "late", "isolation", "error", "notes", "signs"]]
    for report in by_name(reports):
        points = {task.task: task.points for task in report.tasks}
        given = (written or {}).get(report.student)
        row = [report.student, report.lab, total(report, written), _most(reports)]
        row += [report.points if report.digest or report.tasks else "", possible]
        row += ["" if given is None else number(sum(given.values())), written_possible]
        row += [points.get(name, "") for name in tasks]
        outcomes = [] if report.error else [f"{task.task}: {task.outcome}" for task in report.tasks]
        row += ["; ".join(outcomes), (late or {}).get(report.student, ""), report.isolation]
        row += [report.error, " ".join(report.notes), " ".join(report.signs)]
        rows.append(row)
    write_rows(path, rows, "utf-8-sig")


def total(report: Report, written: Points | None = None) -> int | float | str:
    """Return a student's points: of the tasks, and any that a person gave to the written questions. "" for no grade."""
    if not report.digest:
        return ""
    return number(report.points + sum((written or {}).get(report.student, {}).values()))


def canvas_csv(
    reports: Sequence[Report],
    path: Path | str,
    roster: Path | str | None = None,
    assignment: str | None = None,
    ids: Mapping[str, str] | None = None,
    written: Points | None = None,
) -> tuple[str, ...]:
    """Write the grades in the form that Canvas's gradebook imports.

    For how rows are found, see `advcourse.grading.tell.roster.match`.

    Args:
        reports: of one lab.
        path: the file to write.
        roster: Canvas's own export (Grades, Export). Its cells stay byte for byte; only the lab's column is filled in, for
            those who handed in. Excused students (EX) stay excused. Without a roster, the file has a row for each submission.
        assignment: the name of the column, or what it begins with (default: "Lab 3" for lab3). Capitals, spaces and Canvas's
            number in brackets do not matter. If there is no such column, one is added, from which Canvas makes a new
            assignment.
        ids: student -> Canvas's number for him or her.
        written: see `written.written_points`.

    Returns:
        Sentences: who could not be matched, and what to look at.

    Raises:
        InputError: if the file is not an export of Canvas, or several columns have the name.
    """
    assignment = assignment or _spoken(reports)
    if roster is None:
        return _canvas_from_nothing(reports, path, assignment, ids or {}, written)
    sheet = Sheet(roster, ("ID", "Section"), source="Canvas's own export of its gradebook")
    column, sentences = _canvas_column(sheet, assignment, roster), []
    new = column not in sheet.columns
    if new:
        sheet.add(column)
        sentences.append(f"{roster} has no column {assignment!r}: Canvas will make a new assignment of it.")
    entries = []
    for row in range(len(sheet)):
        first = sheet.value(row, sheet.columns[0])
        if "Points Possible" in first:
            sentences += _canvas_possible(sheet, row, column, _most(reports), new)
        elif first or sheet.value(row, "ID"):
            last = sheet.value(row, "LastName")
            name = sheet.value(row, "Student") or f"{last}, {sheet.value(row, 'FirstName')}"
            keys = ("ID", "SIS User ID", "SIS Login ID", "Integration ID")
            keys = tuple(sheet.value(row, key) for key in keys)
            entries.append(ListedStudent(row, keys[0], keys, name))
    rows, unmatched = match([report.student for report in reports], entries, ids or {})
    for report in reports:
        row = rows.get(report.student)
        if row is not None and not report.digest:
            sentences.append(_ungraded(report))
        elif row is not None and sheet.value(row, column) in _LEFT_ALONE:
            sentences.append(f"{report.student}: {sheet.value(row, column)} in Canvas; left so.")
        elif row is not None:
            sheet.set(row, column, str(total(report, written)))
    sheet.write(path)
    return *sentences, *unmatched, *_without(entries, rows, roster)


def _canvas_column(sheet, assignment, roster):
    """Return the name of the assignment's column, or `assignment` itself if there is none."""
    wanted, squeezed = _squeezed(assignment), {column: _squeezed(column) for column in sheet.columns}
    number = r"(\(\d+\))"  # Canvas's own number of the assignment
    for pattern in (f"{re.escape(wanted)}{number}?", rf"{re.escape(wanted)}(?!\d).*{number}"):
        columns = [column for column in squeezed if re.fullmatch(pattern, squeezed[column])]
        if columns:
            break
    if len(columns) > 1:
        names = ", ".join(map(repr, columns))
        raise InputError(f"assignment: got {assignment!r}; allowed is one of {roster}'s columns {names}")
    return columns[0] if columns else assignment


def _canvas_possible(sheet, row, column, most, new):
    if new:
        sheet.set(row, column, str(most))
    elif (there := sheet.value(row, column)) and _value(there) != most:
        yield f"{column}: {there} points possible in Canvas; the lab has {most}, written questions included."


def _canvas_from_nothing(reports, path, assignment, ids, written):
    rows = [["Student", "ID", "SIS User ID", "SIS Login ID", "Section", assignment]]
    rows += [["    Points Possible", "", "", "", "", _most(reports)]]
    sentences, unknown = [], 0
    for report in by_name(reports):
        if report.digest:
            name, number = report.student, ids.get(report.student, "")
            rows.append([name, number, "", "" if number else name, "", total(report, written)])
            unknown += not number
        else:
            sentences.append(_ungraded(report))
    write_rows(path, rows)
    if unknown:
        whom = (
            "1 student: Canvas looks for him or her"
            if unknown == 1
            else f"{unknown} students: Canvas looks for them"
        )
        sentences.append(f"No Canvas number is known of {whom} by login and name.")
    return tuple(sentences)


def moodle_csv(
    reports: Sequence[Report],
    path: Path | str,
    roster: Path | str | None = None,
    ids: Mapping[str, str] | None = None,
    written: Points | None = None,
) -> tuple[str, ...]:
    """Write the grades in the form that Moodle imports: as a grading worksheet.

    Args:
        reports: of one lab.
        path: the file to write.
        roster: Moodle's own grading worksheet, in English. Its cells stay byte for byte, except the grade, and the feedback
            comment if it is empty or from an earlier grading. Without a roster, the file has a row for each submission whose
            number is known.
        ids: student -> the number after "Participant", which the folder names of Moodle's download hold.
        written: see `written.written_points`.

    Returns:
        Sentences, as `canvas_csv` does.

    Raises:
        InputError: if the file is not a grading worksheet.
    """
    ids = ids or {}
    if roster is None:
        return _moodle_from_nothing(reports, path, ids, written)
    needed = ("Identifier", "Grade", "Last modified (grade)")
    sheet = Sheet(roster, needed, source="Moodle's grading worksheet, downloaded with Moodle in English")
    entries = []
    for row in range(len(sheet)):
        number = re.sub(r"^\D*", "", sheet.value(row, "Identifier"))
        if number:
            keys = tuple(sheet.value(row, key) for key in ("ID number", "Username", "Email address"))
            entries.append(ListedStudent(row, number, keys, sheet.value(row, "Full name")))
    rows, sentences = match([report.student for report in reports], entries, ids)
    for report in reports:
        row = rows.get(report.student)
        if row is not None and not report.digest:
            sentences.append(_ungraded(report))
        elif row is not None:
            sheet.set(row, "Grade", str(total(report, written)))
            comment = sheet.value(row, "Feedback comments")
            if "Feedback comments" in sheet.columns and (not comment or _OURS in comment):
                sheet.set(row, "Feedback comments", _comment(report, written))
    sheet.write(path)
    most = _most(reports)
    for there in sorted({sheet.value(row, "Maximum Grade") for row in rows.values()} - {""}):
        if _value(there) != most:
            sentences.append(
                f"Maximum Grade: {there} in Moodle; the lab has {most}, written questions included."
            )
    return *sentences, *_without(entries, rows, roster)


_WORKSHEET = (
    "Identifier",
    "Full name",
    "Grade",
    "Maximum Grade",
    "Last modified (grade)",
    "Feedback comments",
)


def _moodle_from_nothing(reports, path, ids, written):
    graded = [report for report in by_name(reports) if report.digest]
    known = [report for report in graded if ids.get(report.student)]
    sentences = [_ungraded(report) for report in reports if not report.digest]
    if not known:
        return *sentences, f"No Moodle number is known of any student: {path} is not written."
    rows = []
    for report in known:
        row = [f"Participant {ids[report.student]}", report.student, total(report, written), _most(reports)]
        rows.append([*row, "-", _comment(report, written)])
    write_rows(path, [_WORKSHEET, *rows])
    others = [report.student for report in graded if report not in known]
    sentences += [f"{student}: no Moodle number is known; not in {path}." for student in others]
    return tuple(sentences)


def _comment(report, written):
    """Return what Moodle shows to the student, as HTML."""
    if report.error:
        return html.escape(f"{_OURS} {report.error}")
    given = (written or {}).get(report.student, {})
    tasks = "; ".join(
        f"{task.task} {task.points} of {task.possible} ({task.outcome})" for task in report.tasks
    )
    told = f"{_OURS} {report.points} of {report.possible} points. {tasks}."
    if given:
        read = "; ".join(
            f"{question.title} {number(given[question.name])} of {question.possible}"
            for question in report.written
            if question.name in given
        )
        told += f" Read by a person: {read}. Together {feedback.total(report, given)}"
    return html.escape(told)


def _ungraded(report):
    return f"{report.student}: {report.error}; not filled in."


def _without(entries, rows, roster):
    """Return a sentence about students who handed in nothing, or under another name, if there are any."""
    names = [entry.name or entry.id for entry in entries if entry.row not in rows.values()]
    if not names:
        return ()
    who = "1 student has" if len(names) == 1 else f"{len(names)} students have"
    more = [f"and {len(names) - _NAMED} more"] if len(names) > _NAMED else []
    cells = "the cell stays as it was" if len(names) == 1 else "their cells stay as they were"
    return (f"{roster}: {who} no submission that fits, so {cells}: {'; '.join([*names[:_NAMED], *more])}.",)


def _most(reports):
    """Return the most points that the lab can give, by program and by hand. The report of an unreadable file may know of none."""
    return max((report.possible + _written_possible(report) for report in reports), default=0)


def _written_possible(report):
    return sum(question.possible for question in report.written)


def _value(text):
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return None


def _spoken(reports):
    lab = reports[0].lab if reports else "lab"
    return re.sub(r"(?<=\D)(?=\d)", " ", lab, count=1).capitalize()


def _squeezed(name):
    return re.sub(r"[\s_-]", "", name).casefold()
