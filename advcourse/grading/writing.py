"""What is written when a class has been graded: gradebooks, a page for each student, and the overview."""

import hashlib
import importlib.util
import re
from collections import Counter
from pathlib import Path

from advcourse.files import replacing
from advcourse.grading import feedback, gradebook, overview
from advcourse.grading.nbgrader_gradebook import nbgrader_gradebook
from advcourse.grading.report import WEAK
from advcourse.grading.roster import Sheet
from advcourse.inputs import InputError

WEAKNESS = "What these notebooks do can reach this machine's files and network: grade only those of people whom you trust."
_LONGEST = 60  # letters of a page's name, which may take four bytes each
_RESERVED = {"con", "prn", "aux", "nul", *(f"{kind}{n}" for kind in ("com", "lpt") for n in range(10))}
_ROSTERS = {"canvas": ("ID", "Section"), "moodle": ("Identifier", "Grade", "Last modified (grade)")}


def write(outcome, out, roster=None, nbgrader=None):
    """Write all that comes of a class into `out`; what is there is brought up to date.

    grades.csv for people; written.csv, into which a person enters points for the written questions, see
    `gradebook.written_points`; canvas.csv or moodle.csv, as roster or file names say; a page for each student in feedback/;
    overview.html.

    Args:
        outcome: of `classroom.run`.
        out: the folder, which is there.
        roster: Canvas's export of its gradebook, or Moodle's grading worksheet, which is filled in.
        nbgrader: an nbgrader gradebook (a database) that gets the grades, too.

    Returns the path of the overview, and sentences about what to look at. Raises `InputError` as the functions it calls.
    """
    out, reports = Path(out), outcome.reports
    (out / "feedback").mkdir(exist_ok=True)
    written, told = gradebook.written_points(reports, out / "written.csv")
    gradebook.grades_csv(reports, out / "grades.csv", written)
    told = [*told, *_for_systems(outcome, out, roster, written)]
    if nbgrader:
        nbgrader_gradebook(reports, nbgrader, written)
    names = page_names([report.student for report in reports])
    for report in reports:
        _write(out / "feedback" / names[report.student], feedback.page(report))
    pages = {student: f"feedback/{name}" for student, name in names.items()}
    _write(out / "overview.html", overview.page(reports, feedback.lab_title(outcome.lab), pages))
    return out / "overview.html", told


def _for_systems(outcome, out, roster, written):
    """Write the CSV of the system that the roster, or else the files' names, are of."""
    kind = roster and roster_of(roster)
    ids = {
        system: {one.student: getattr(one, system) for one in outcome.found if getattr(one, system)}
        for system in _ROSTERS
    }
    told = []
    if kind == "canvas" or (kind is None and not ids["moodle"]):
        told += gradebook.canvas_csv(
            outcome.reports, out / "canvas.csv", roster, ids=ids["canvas"], written=written
        )
    if kind == "moodle" or (kind is None and ids["moodle"]):
        told += gradebook.moodle_csv(
            outcome.reports, out / "moodle.csv", roster, ids=ids["moodle"], written=written
        )
    return told


def summary(outcome):
    """What came of the class, in two or three sentences."""
    reports, failed = outcome.reports, outcome.failed
    points = [report.points for report in reports if report.student not in failed]
    most = max(report.possible for report in reports)
    told = [
        f"{feedback.lab_title(outcome.lab)}: {len(reports)} submissions, {outcome.graded} of them graded now."
    ]
    if points:
        told.append(f"Mean: {sum(points) / len(points):.1f} of {most} points for what is graded by program.")
    unread = sum(bool(report.error) for report in reports) - len(failed)
    if unread:
        told.append(f"Could not be read: {unread}.")
    weak = sum(report.isolation == WEAK for report in reports)
    if weak:
        told.append(f"Weak isolation: {weak}.")
    return " ".join(told)


def roster_of(path):
    """Of which system a class list is: "canvas" or "moodle". Raises `InputError` where it is of neither."""
    source = "Canvas's export of its gradebook, or Moodle's grading worksheet (in English)"
    for system, columns in _ROSTERS.items():
        try:
            Sheet(path, columns, source=source)
            return system
        except InputError as error:
            told = error
    raise told


def check_written(roster=None, nbgrader=None):
    """Raise `InputError` where `write` could not use these: for a try before hours of work."""
    if roster:
        roster_of(roster)
    if nbgrader and not importlib.util.find_spec("nbgrader"):
        raise InputError("nbgrader: it is not installed; install it with: pip install nbgrader")


def page_names(students):
    """student -> the name of the page's file: readable, allowed on every file system, and no two that some system takes for one.

    Letters of all scripts stay; where a name had to be changed or is taken, a piece of its checksum follows.
    """
    plain = {student: _cleaned(student) for student in students}
    taken = Counter(name.casefold() for name in plain.values())
    names = {}
    for student, name in plain.items():
        changed = name != student.replace(" ", "_") or taken[name.casefold()] > 1
        mark = f"-{hashlib.sha256(student.encode()).hexdigest()[:8]}" if changed else ""
        names[student] = f"{name}{mark}.html"
    return names


def _cleaned(student):
    name = re.sub(r"[^\w.@+,-]+", "_", student)[:_LONGEST].strip("._-")
    return f"_{name}" if not name or name.split(".")[0].casefold() in _RESERVED else name


def _write(path, text):
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")
