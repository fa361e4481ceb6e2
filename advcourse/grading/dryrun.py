"""A student's dry run: the trusted grader on one notebook, with the verdicts shown in a terminal."""

import textwrap
from pathlib import Path

from advcourse.core.files import replacing
from advcourse.core.inputs import InputError, check_range
from advcourse.grading.read import submission
from advcourse.grading.read.folders import check_lab, lab_of
from advcourse.grading.read.reading import ReadingError
from advcourse.grading.run.grader import Grader
from advcourse.grading.run.sandbox import SandboxError
from advcourse.grading.tell.report import WEAK, Report
from advcourse.labs.verdicts import without_pictures


def check(
    notebook: Path | str, lab: str | int | None = None, seed: int | None = None, isolation: str = "auto"
) -> Report:
    """Grade one notebook, with instances of its own.

    Args:
        notebook: the file.
        lab: "lab3", "3" or 3 (default: what the notebook says, see `folders.lab_of`).
        seed: repeats an earlier check.
        isolation: see `sandbox.Sandbox`.

    Raises:
        InputError: if the file cannot be read, if the lab is unknown or cannot be determined, or if the sandbox fails.
    """
    if seed is not None:
        check_range(seed, "seed", 0, 2**31 - 1, integer=True)
    try:
        content = submission.content(notebook)
    except OSError as error:
        raise InputError(
            f"notebook: got {str(notebook)!r}; allowed is a file that can be read ({error})"
        ) from error
    lab = lab_of(notebook, content) if lab is None else check_lab(lab)
    try:
        with Grader(isolation=isolation) as grader:
            return grader.grade(content, lab, seed=seed)
    except (SandboxError, ReadingError) as error:
        message = (
            "it says nothing about your answers; allowed is to try again when the machine has less to do"
        )
        raise InputError(
            f"isolation: got {isolation!r}, whose sandbox fails here ({error}); {message}"
        ) from error


def as_text(report: Report) -> str:
    """Return the verdicts in words, the notes about the file, and the total."""
    parts = [f"{report.lab}: {report.error}"] if report.error else [_task(task) for task in report.tasks]
    if report.written:
        questions = [
            f"  {q.title}: {'answered' if q.answer.strip() else 'no answer yet'}" for q in report.written
        ]
        parts.append("\n".join(["Questions that a person reads:", *questions]))
    if report.notes:
        parts.append("\n".join(["About the file:", *(f"  {note}" for note in report.notes)]))
    if any(task.alt for task in report.tasks):
        parts.append(
            "To see the pictures, repeat a check in the notebook, or add --page verdicts.html and open that file."
        )
    last = f"{report.lab}: {report.points} of {report.possible} points for what is graded by program."
    last += " Your code ran with weak isolation, which is enough for your own." * (report.isolation == WEAK)
    return "\n\n".join([*parts, last])


def write_page(report: Report, path: Path | str) -> None:
    """Write the verdicts, with pictures, as one HTML file."""
    from advcourse.grading.tell import feedback

    try:
        with replacing(path) as partial:
            partial.write_text(feedback.page(report), encoding="utf-8")
    except OSError as error:
        raise InputError(f"page: got {str(path)!r}; allowed is a file to write to ({error})") from error


def _task(task):
    again = f"To repeat this very check, in the notebook: {task.again}" if task.again else ""
    lines = [task.message, task.trace, without_pictures(task.alt), task.advice, again]
    details = textwrap.indent("\n".join(filter(None, lines)), "  ")
    return f"{task.task}: {task.outcome} ({task.points} of {task.possible} points)\n{details}"
