"""The page for one student: the result of each task in words, with the picture, and how to repeat a check."""

import re
from collections.abc import Mapping

from advcourse.core.page import Html, Text, document, element, printable, table
from advcourse.grading.tell.report import WEAK, Report
from advcourse.grading.tell.written import number
from advcourse.labs.verdicts import LOOK, marked_up

_STYLE = """
body { max-width: 52rem; }
.verdict { margin: 1.2rem 0; padding: .1rem .8rem; border-left: 5px solid; }
.verdict h3 { margin: .4rem 0; }
.verdict pre { padding: .4rem .6rem; background: #f5f5f5; font-size: .85rem; }
.answer { padding: .4rem .6rem; border: 1px solid #bbb; font: inherit; white-space: pre-wrap; }
figcaption { margin: .3rem 0 0; font-weight: 400; }
footer { margin-top: 2.5rem; border-top: 1px solid #bbb; font-size: .8rem; color: #444; }
@media print {
  @page { size: A4; margin: 15mm; }
  figure { display: block; width: auto; }
  .verdict { break-inside: avoid; }
  figcaption { font-size: 8.5pt; }
}
"""
_READ_BY, _READ = "a person reads this", "a person has read this"
_NO_NOTEBOOK = re.compile(r"not a notebook|no notebook|hand in the \.ipynb")  # in an error


def page(report: Report, given: Mapping[str, float] | None = None) -> Html:
    """Return the page of a report for its student. The signs are not on it: they are for the instructor.

    Args:
        report: of one submission.
        given: written question -> points that a person gave it (default: none).
    """
    given = given or {}
    title = f"{lab_title(report.lab)}: {report.student}" if report.student else lab_title(report.lab)
    parts = [element("p", element("strong", total(report, given)))]
    if report.error:
        parts.append(_error(report))
    elif report.tasks or report.written:
        parts.append(_contents(report, given))
    if report.notes:
        items = [element("li", marked(note)) for note in report.notes]
        parts.append(element("section", element("h2", "About your file"), element("ul", *items)))
    if report.tasks and not report.error:
        parts.append(element("section", element("h2", "Tasks"), *map(_task, report.tasks)))
    if report.written:
        questions = [_question(question, given.get(question.name)) for question in report.written]
        parts.append(element("section", element("h2", "Written questions"), *questions))
    return document(title, *parts, _foot(report), style=_STYLE)


def lab_title(lab: str) -> str:
    """Return "Lab 3" for "lab3"."""
    return re.sub(r"^lab(?=\d)", "Lab ", lab)


def total(report: Report, given: Mapping[str, float] | None = None) -> str:
    """Return the points in a sentence: "18 of 26 points by program; 6 more are given by a person.".

    With points for a written question, see `page`: "20 of 29 points: 18 of 26 by program, 2 of 3 by a person; 3 more are ...".
    """
    read = sum(question.possible for question in report.written if question.name in (given or {}))
    more = sum(question.possible for question in report.written) - read
    come = f"{'is' if more == 1 else 'are'} given by a person."
    if given:
        by_hand = sum(given.values())
        reached = f"{number(report.points + by_hand)} of {_points(report.possible + read)}"
        by_whom = f"{report.points} of {report.possible} by program, {number(by_hand)} of {read} by a person"
        return f"{reached}: {by_whom}; {more} more {come}" if more else f"{reached}: {by_whom}."
    if not report.possible:
        return "No points." if report.error or not more else f"Up to {_points(more)} {come}"
    by_program = f"{report.points} of {_points(report.possible)}"
    return f"{by_program} by program; {more} more {come}" if more else f"{by_program}."


def marked(text: str) -> Html:
    """Return text whose backticks mark code, as HTML."""
    return Html(marked_up(printable(text)))


def outcome(word: str) -> str:
    """Return the outcome in words, after its symbol."""
    return element("span", f"{LOOK[word][0]} {word}", class_="outcome") if word in LOOK else word


def _points(count):
    return f"{count} point" if count == 1 else f"{count} points"


def _error(report):
    """Return why there are no points, and what the student can do. If the grader itself failed, the report has no digest."""
    reason = element(
        "p", element("strong", "Your file could not be graded: "), f"{report.error.strip().rstrip('.')}."
    )
    advice = (
        "There is no notebook in it to open. Hand in the notebook itself, the file that ends in .ipynb."
        if _NO_NOTEBOOK.search(report.error)
        else "Write your answers into the lab's own notebook, with the Python kernel that it comes with, and hand that in."
        if "the lab needs Python" in report.error
        else "Open the notebook in JupyterLab. If it opens there, save it, and hand it in again. If it does not open, or if this "
        "page comes again, show the page to your instructor."
        if report.digest
        else "The grader itself failed, which costs you nothing. Ask your instructor to have it graded again."
    )
    return element("div", reason, element("p", advice), class_="failures")


def _contents(report, given):
    """Return the table of all tasks and questions, with links to the details."""
    columns = {
        "task": lambda one: element("a", one.title, href=f"#{_place(one)}"),
        Text("outcome"): lambda one: (
            outcome(one.outcome) if hasattr(one, "outcome") else _READ if one.name in given else _READ_BY
        ),
        "points": lambda one: (
            f"{one.points} of {one.possible}"
            if hasattr(one, "points")
            else _reached(one, given.get(one.name))
        ),
    }
    return table("Points", columns, {"": [*report.tasks, *report.written]})


def _reached(question, points):
    return f"up to {question.possible}" if points is None else f"{number(points)} of {question.possible}"


def _place(one):
    return f"task-{one.task}" if hasattr(one, "task") else f"written-{one.name}"


def _task(task):
    parts = [
        element(
            "h3",
            f"{task.title} ",
            element("small", element("code", task.task)),
        ),
        element(
            "p", element("strong", outcome(task.outcome)), f" ({task.points} of {_points(task.possible)})"
        ),
        element("p", marked(task.message)),
    ]
    if task.trace:
        parts.append(element("pre", task.trace))
    if task.picture:
        picture = element("img", alt=task.alt, src=f"data:image/png;base64,{task.picture}")
        parts.append(element("figure", picture, element("figcaption", task.alt, aria_hidden="true")))
    if task.advice:
        parts.append(element("p", marked(task.advice)))
    if task.again:
        prompt = "To repeat this very check, run this in the lab's notebook: "
        parts.append(element("p", prompt, element("code", task.again)))
    colour = LOOK[task.outcome][1]
    return element("article", *parts, class_="verdict", id=_place(task), style=f"border-left-color: {colour}")


def _question(question, points):
    reader = _READ_BY if points is None else _READ
    unit = "point" if question.possible == 1 else "points"
    heading = element("p", f"{reader.capitalize()}: {_reached(question, points)} {unit}.")
    if question.answer.strip():
        answer = element("pre", question.answer, class_="answer", dir="auto")
    else:
        answer = element("p", "No answer was found in your file.")
    return element("article", element("h3", question.title), heading, answer, id=_place(question))


def _foot(report):
    lines = [f"SHA-256 of your file: {report.digest}"] if report.digest else []
    if report.isolation == WEAK:
        lines.append(
            "Weak isolation: the answers ran in processes with limits, but not in a sandbox, which this machine does not have."
        )
    return element("footer", *(element("p", line) for line in lines))
