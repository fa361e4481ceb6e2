"""The page for the instructor: how the class did, which tasks failed most and how, and which submissions are worth a look."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from advcourse import plots
from advcourse.core.page import Drawing, Html, Text, document, element, figures, sections, table
from advcourse.core.rounding import percent
from advcourse.grading.tell.feedback import marked, outcome
from advcourse.grading.tell.report import WEAK, Report
from advcourse.grading.tell.written import Points
from advcourse.labs.verdicts import CRASHED, NO_PYTHON, NOT_ATTEMPTED, RIGHT, TIMED_OUT, WRONG

STOPPED = {
    "time": "took too much time",
    "memory": "took too much memory",
    "processes": "started too many processes",
    "died": "ended its process",
    "protocol": "sent what is no answer",
}
_EMPTY = ("not attempted", "missing")  # the keys of a task that the student has not tried
_MISTAKES = 20  # rows of the table of mistakes
_FEW = 3  # students with the same answer who are pointed out however small the class is
_SHOWN = 5  # reasons for a look that are shown before "more"


def page(
    reports: Iterable[Report],
    title: str,
    links: Mapping[str, str] | None = None,
    late: Mapping[str, str] | None = None,
    missing: Sequence[str] = (),
    told: Sequence[str] = (),
    nobodys: Sequence[str] = (),
    written: Points | None = None,
) -> Html:
    """Return the page of all reports of a lab.

    Args:
        reports: of one lab.
        title: the page's heading.
        links: student -> relative address of the student's page (default: none).
        late: student -> how late, in words.
        missing: sentences about students of whom nothing was found.
        told: sentences about files that were passed over.
        nobodys: those of them whose owner cannot be determined.
        written: the points that a person gave, see `written.written_points`.
    """
    reports, links = sorted(reports, key=lambda report: report.student.casefold()), links or {}
    if not reports:
        return document(title, element("p", "There are no submissions."))
    contents = {"Points": _points(reports)}
    graded = [report for report in reports if not report.error]
    if any(report.tasks for report in graded):
        contents["Tasks"] = _tasks(graded)
    contents["Worth a look"] = _looks(reports, links, nobodys)
    if shared := _identical(reports):
        contents["Identical answers"] = _alike(shared)
    if any(report.written for report in reports):
        contents["Written answers"] = _written(reports, written or {})
    contents["Students"] = [_students(reports, links, late or {})]
    if missing:
        contents["Nothing of this lab"] = [element("p", "They have no grade here."), _shortened(missing)]
    if told:
        contents["About the files"] = [_shortened(told)]
    contents["Isolation"] = [element("p", _isolation(reports))]
    return document(title, *sections(contents))


def _count(number, one, many=None):
    return f"{number} {one if number == 1 else many or one + 's'}"


# Points


def _points(reports):
    values = np.array([report.points for report in reports])
    possible = max(report.possible for report in reports)
    lost = sum(bool(report.error) for report in reports)
    parts = [element("p", _in_words(values, possible))]
    if lost:
        parts.append(
            element(
                "p",
                f"{_count(lost, 'file')} could not be graded and {'has' if lost == 1 else 'have'} 0 points here.",
            )
        )
    more = max(sum(question.possible for question in report.written) for report in reports)
    if more:
        parts.append(element("p", f"Points for written answers, up to {more}, are not in these numbers."))
    if len(reports) > 1 and possible:
        parts.append(figures([_histogram(values, possible)]))
    return parts


def _in_words(values, possible):
    if len(values) == 1:
        return f"One submission, with {values[0]} of {possible} points."
    low, median, high = (
        f"{value:.1f}".removesuffix(".0") for value in np.quantile(values, [0.25, 0.5, 0.75])
    )
    return (
        f"{len(values)} submissions. The median is {median} of {possible} points; the middle half has {low} to {high}; "
        f"the lowest has {values.min()}, the highest {values.max()}."
    )


def _histogram(values, possible):
    figure, counts = plots.histogram(values, possible, "points by program", "submissions")
    counted = "; ".join(f"{points}: {count}" for points, count in counts.items() if count)
    alt = f"Histogram of the points by program, with the number of submissions. {counted}."
    return Drawing(plots.png(figure), 448, alt, "How many submissions have how many points")


# Tasks


def _tasks(reports):
    rows = {}
    for report in reports:
        for task in report.tasks:
            rows.setdefault((task.task, task.title), []).append(task)
    ordered = sorted(rows.items(), key=lambda item: np.mean([task.outcome == RIGHT for task in item[1]]))
    columns = {
        "task": lambda row: _entitled(*row[0]),
        **{outcome(word): _with_share(word) for word in _outcomes(reports)},
    }
    parts = [table("Outcomes, the task with the fewest right answers first", columns, {"": ordered})]
    mistakes = _mistakes(rows)
    if mistakes:
        columns = {
            "task": lambda row: _entitled(row["task"], f"{row['count']} of {row['tried']} who tried"),
            Text("mistake, and what one of them was told"): _told,
        }
        parts.append(table("The most frequent mistakes", columns, {"": mistakes}))
    return parts


def _outcomes(reports):
    """Return the outcomes that have a column. Few classes have an answer that does not compile."""
    seen = {task.outcome for report in reports if not report.error for task in report.tasks}
    rare = [NO_PYTHON] if NO_PYTHON in seen else []
    return [RIGHT, WRONG, CRASHED, *rare, TIMED_OUT, NOT_ATTEMPTED]


def _entitled(name, below):
    return Html(element("code", name) + element("small", below))


def _with_share(word):
    def show(row):
        count = sum(task.outcome == word for task in row[1])
        return Html(f"{count}{element('small', percent(count / len(row[1])))}")

    return show


def _told(row):
    return Html(element("strong", row["key"]) + ": " + marked(row["message"]))


def _mistakes(rows):
    """Return the most frequent keys of all tasks, each with one of its messages."""
    mistakes = []
    for (name, _), results in rows.items():
        tried = [task for task in results if task.key not in _EMPTY]
        messages = {task.key: task.message for task in tried if task.key}
        for key, count in Counter(task.key for task in tried if task.key).items():
            mistakes.append(
                {"task": name, "key": key, "count": count, "tried": len(tried), "message": messages[key]}
            )
    return sorted(mistakes, key=lambda row: -row["count"])[:_MISTAKES]


# Single submissions


def _looks(reports, links, nobodys):
    text = (
        "Errors, tasks that a limit stopped, and signs read off the code. A sign costs no points and proves nothing: it "
        "says where to look."
    )
    parts = [element("p", text, class_="how"), *([_shortened(nobodys)] if nobodys else [])]
    rows = [(report, reasons) for report in reports if (reasons := _reasons(report))]
    if not rows:
        return [*parts, element("p", "No submission stands out.")]
    columns = {
        "student": lambda row: _name(row[0], links),
        Text("what there is to see"): lambda row: _shortened(row[1]),
    }
    return [*parts, table(f"Worth a look: {len(rows)} of {len(reports)}", columns, {"": rows})]


def _reasons(report):
    stopped = [task for task in report.tasks if task.outcome in (CRASHED, TIMED_OUT) and task.key in STOPPED]
    known = tuple(f"Task {task.task}: it was stopped (" for task in stopped)
    reasons = [f"It could not be graded: {report.error}"] if report.error else []
    reasons += [f"Task {task.task} {STOPPED[task.key]}." for task in stopped]
    return reasons + [sign for sign in report.signs if not sign.startswith(known)]


def _shortened(reasons):
    lines = [element("li", marked(reason)) for reason in reasons]
    first = element("ul", *lines[:_SHOWN])
    if not lines[_SHOWN:]:
        return first
    more = element("summary", f"{len(lines) - _SHOWN} more")
    return Html(first + element("details", more, element("ul", *lines[_SHOWN:])))


def _written(reports, written):
    questions = {}
    for report in reports:
        given = written.get(report.student, {})
        for question in report.written:
            state = "read" if question.name in given else "waits" if question.answer.strip() else "empty"
            questions.setdefault((question.title, question.possible), []).append(state)
    columns = {
        "question": lambda row: row[0][0],
        "points": lambda row: f"up to {row[0][1]}",
        "have points": lambda row: row[1].count("read"),
        "to be read": lambda row: row[1].count("waits"),
        "left empty": lambda row: row[1].count("empty"),
    }
    text = "The answers stand on the students' pages and in written.csv, where a person enters their points."
    return [element("p", text), table("Written answers", columns, {"": questions.items()})]


def _identical(reports):
    """Return students, sorted -> what they share: a list of names of tasks, or "the whole file"."""
    groups = {}
    for report in reports:
        if report.digest and not report.error:
            groups.setdefault(("the whole file", report.digest), []).append(report.student)
        for task in report.tasks:
            if task.answer:
                groups.setdefault((task.task, task.answer), []).append(report.student)
    tried = Counter(name for (name, _), students in groups.items() for _ in students)
    shared = {}
    for (name, _), students in groups.items():
        if (
            1 < len(students) <= max(_FEW, tried[name] // 2)
        ):  # what most of a class writes is the obvious answer
            shared.setdefault(tuple(students), []).append(name)
    return shared


def _alike(shared):
    text = (
        "The same text but for comments, docstrings and layout. It costs no points and proves nothing: students may have worked "
        "together as they were allowed to, or have followed the same page of a book. "
        f"Up to {_FEW} students are listed in any class; more only if they are at most half of those who tried the task, since "
        "what most of a class wrote is the obvious answer. Answers of a line or so are not compared."
    )
    columns = {
        Text("students"): lambda row: Html(", ".join(element("bdi", student) for student in row[0])),
        "share": lambda row: ", ".join(row[1]),
    }
    rows = sorted(shared.items(), key=lambda row: (-len(row[1]), row[0]))
    return [element("p", text, class_="how"), table("Identical answers", columns, {"": rows})]


def _students(reports, links, late):
    def count(word):
        return lambda report: "" if report.error else sum(task.outcome == word for task in report.tasks)

    columns = {
        "student": lambda report: _name(report, links),
        "points": lambda report: f"{report.points} of {report.possible}",
        **{word: count(word) for word in _outcomes(reports)},
        "written answers": lambda report: sum(bool(one.answer.strip()) for one in report.written),
        "worth a look": lambda report: len(_reasons(report)) or "",
        **({Text("late"): lambda report: late.get(report.student, "")} if late else {}),
    }
    return table("All submissions, in numbers of tasks", columns, {"": reports})


def _name(report, links):
    name = element("bdi", report.student or "no name")
    link = links.get(report.student)
    return element("a", name, href=link) if link else name


def _isolation(reports):
    weak = sum(report.isolation == WEAK for report in reports)
    if not weak:
        return "All were graded in a sandbox."
    which = "All" if weak == len(reports) else f"{weak} of {len(reports)}"
    return (
        f"{which} were graded with weak isolation: the answers ran in processes with limits, but not in a sandbox. A "
        "hostile answer can then read files of this machine, and harm it."
    )
