"""Points that a person gives to the written questions, and the sheet in which they are entered."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from advcourse.core.inputs import InputError
from advcourse.grading.tell.report import Report, by_name
from advcourse.grading.tell.roster import Sheet, plain, write_rows

Points = Mapping[str, Mapping[str, float]]  # student -> written question -> points that a person gave


def number(points: float) -> int | float:
    """Return points as they are shown: 2 or 2.5, even if that is a sum of floating-point numbers."""
    short = float(f"{points:g}")
    return int(short) if short.is_integer() else short


def written_points(reports: Sequence[Report], path: Path | str) -> tuple[Points, tuple[str, ...]]:
    """Return the points that a person gave to the written questions, from a sheet that is created and kept up to date here.

    The CSV file at `path` has a row per student, with each answer and a column for its points. Fill the points in and save it
    as CSV again. Nothing that was entered is ever removed: new students are added, changed answers replaced. An answer that
    begins like a formula gets an apostrophe in front.

    Args:
        reports: of one lab; a sheet can hold several labs.
        path: the sheet.

    Returns:
        Student -> question -> points, for students with at least one entry; and sentences about what to look at again.

    Raises:
        InputError: for an entry that is not a number from 0 to the question's points.
    """
    questions = {q.name: q for report in reports for q in report.written}
    if not questions:
        return {}, ()
    if not Path(path).exists():
        write_rows(path, [["student"]], "utf-8-sig")
    sheet = Sheet(path, ["student"], "written", "the sheet that an earlier grading wrote")
    columns = {q.name: _points_column(sheet, reports[0].lab, q) for q in questions.values()}
    answers = {name: _answers_column(sheet, reports[0].lab, name) for name in questions}
    rows = {sheet.value(row, "student"): row for row in range(len(sheet))}
    sentences = []
    for student in sorted(set(rows) - {_key(report) for report in reports}):
        if any(sheet.value(rows[student], column) for column in columns.values()):
            sentences.append(f"{student}: has points in {path}, but is not among the submissions.")
    for report in by_name(reports):
        if _key(report) not in rows:
            rows[_key(report)] = sheet.append()
            sheet.set(rows[_key(report)], "student", _key(report))
        sentences += _bring_up_to_date(sheet, rows[_key(report)], report, columns, answers)
    sheet.write(path)
    given = {report.student: _given(sheet, rows[_key(report)], report, columns) for report in reports}
    return {student: points for student, points in given.items() if points}, tuple(sentences)


def _points_column(sheet, lab, question):
    """Return the column for a question's points, even if the question once had another maximum. It is added if missing."""
    start = f"{lab} {question.name} (of "
    columns = [column for column in sheet.columns if column.startswith(start)]
    return columns[0] if columns else sheet.add(f"{start}{question.possible})")


def _answers_column(sheet, lab, name):
    column = f"{lab} answer to {name}"
    return column if column in sheet.columns else sheet.add(column)


def _key(report):
    return plain(report.student.strip())


def _bring_up_to_date(sheet, row, report, columns, answers):
    """Put the answers into the sheet. Yields a sentence for each that changed after it was graded."""
    for question in report.written:
        answer, old = plain(question.answer.strip()), sheet.value(row, answers[question.name])
        if old.replace("'", "").split() != answer.replace("'", "").split():
            sheet.set(row, answers[question.name], answer)
            if sheet.value(row, columns[question.name]):
                yield f"{report.student}: the answer to {question.name} changed after it was graded; look at it again."


def _given(sheet, row, report, columns):
    """Return question -> points, as far as they are entered."""
    entries = {q: sheet.value(row, columns[q.name]) for q in report.written}
    return {q.name: _points(text, q, sheet, report.student) for q, text in entries.items() if text}


def _points(text, question, sheet, student):
    if re.fullmatch(r"\d+([.,]\d+)?", text) and float(text.replace(",", ".")) <= question.possible:
        return float(text.replace(",", "."))
    message = f"{sheet.told}, {student}, {question.name}: got {text!r}"
    raise InputError(f"{message}; allowed is a number from 0 to {question.possible}, or nothing")
