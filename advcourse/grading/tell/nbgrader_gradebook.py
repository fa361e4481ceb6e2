"""Write grades for those who keep theirs in nbgrader: the database that `nbgrader formgrader` and `nbgrader export` read."""

import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

import nbformat

from advcourse.core.inputs import InputError
from advcourse.grading.tell.report import Report
from advcourse.grading.tell.written import Points
from advcourse.labs.release import ROOT

COURSE = "advcourse"  # as in nbgrader_config.py


def nbgrader_gradebook(
    reports: Sequence[Report], database: Path | str, written: Points | None = None
) -> None:
    """Write the grades into an nbgrader gradebook. Called again, it brings them up to date.

    Each task gets its points as the automatic score, and the verdict as the comment. What a person has entered in nbgrader
    stays, and is marked for a second look. A written question waits for a person until it has points. Submissions at which the
    grader itself failed (no digest) are left out.

    Args:
        reports: of one lab.
        database: path of the file; created if missing.
        written: points that a person gave, as in `advcourse.grading.tell.written.written_points`.

    Raises:
        InputError: if nbgrader is missing, the file is not a gradebook, or the lab in it has other tasks.
    """
    try:
        from nbgrader.api import Gradebook
        from sqlalchemy.exc import DatabaseError, SAWarning
    except ImportError as error:
        message = f"nbgrader is not installed ({error}); install it with: pip install nbgrader"
        raise InputError(message) from error
    url = f"sqlite:///{Path(database).resolve()}"
    try:
        with _alembic_on_path(), warnings.catch_warnings(), Gradebook(url, COURSE) as gradebook:
            warnings.simplefilter("ignore", SAWarning)  # nbgrader's own, about how it adds a submission
            for lab in {report.lab for report in reports}:
                _make_known(lab, gradebook, url)
            for report in [report for report in reports if report.digest]:
                _write(gradebook, report, (written or {}).get(report.student, {}), database)
            gradebook.db.commit()
    except DatabaseError as error:
        message = str(error.orig)
        raise InputError(
            f"database: {database} cannot be written ({message}); allowed is an nbgrader gradebook"
        ) from error


@contextmanager
def _alembic_on_path():
    """Let nbgrader find `alembic`, which lies beside the interpreter and is off the path if the environment is not activated."""
    before = os.environ.get("PATH", "")
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), before])
    try:
        yield
    finally:
        os.environ["PATH"] = before


def _make_known(lab, gradebook, url):
    """Enter the lab's cells as `nbgrader generate_assignment` does, if that has not been run."""
    from nbgrader.api import MissingEntry
    from nbgrader.preprocessors import SaveCells

    try:
        gradebook.find_notebook(lab, lab)
    except MissingEntry:
        gradebook.update_or_create_assignment(lab)
        notebook = nbformat.read(ROOT / "exercises" / lab / f"{lab}.ipynb", as_version=4)
        resources = {"nbgrader": {"notebook": lab, "assignment": lab, "db_url": url}}
        SaveCells().preprocess(notebook, resources)


def _write(gradebook, report, given, database):
    """Enter one submission: every task, and the written questions that have points."""
    gradebook.update_or_create_student(report.student)
    submission = gradebook.update_or_create_submission(report.lab, report.student)
    [notebook] = [one for one in submission.notebooks if one.name == report.lab]
    grades = {grade.name: grade for grade in notebook.grades}
    comments = {comment.name: comment for comment in notebook.comments}
    names = {f"{task.task}-points" for task in report.tasks} | {q.name for q in report.written}
    if names - set(grades):
        missing = ", ".join(sorted(names - set(grades)))
        message = f"database: {database} has another {report.lab}, without {missing}; allowed is a gradebook of this one"
        raise InputError(message)
    for task in report.tasks:
        grade = grades[f"{task.task}-points"]
        grade.auto_score = task.points
        grade.needs_manual_grade = grade.manual_score is not None  # as nbgrader does it
        if task.task in comments:
            comments[task.task].auto_comment = task.message
    for question in report.written:
        grade = grades[question.name]
        grade.manual_score = given.get(question.name, grade.manual_score)
        grade.needs_manual_grade = grade.manual_score is None
