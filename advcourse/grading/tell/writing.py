"""Write the files for a class that has been graded: gradebooks, a page for each student, and the overview."""

import hashlib
import importlib.util
import re
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from advcourse.core.files import check_target, replacing
from advcourse.core.inputs import InputError
from advcourse.grading.classroom import GradedClass, alone_in, make_folder
from advcourse.grading.read.folders import Missing, lateness, moodle_folder
from advcourse.grading.read.owners import Nobodys
from advcourse.grading.tell import feedback, gradebook, overview
from advcourse.grading.tell.nbgrader_gradebook import nbgrader_gradebook
from advcourse.grading.tell.report import WEAK, Report
from advcourse.grading.tell.roster import Sheet
from advcourse.grading.tell.written import written_points

WEAKNESS = "What these notebooks do can reach this machine's files and network: grade only those of people whom you trust."
_MARKED = re.compile(r"-[0-9a-f]{12}$", re.I)
_LONGEST = 60  # characters of a page's name, which may take four bytes each
_RESERVED = {"con", "prn", "aux", "nul", *(f"{kind}{n}" for kind in ("com", "lpt") for n in range(10))}
_ROSTERS = {"canvas": ("ID", "Section"), "moodle": ("Identifier", "Grade", "Last modified (grade)")}


def write(
    outcome: GradedClass,
    out: Path | str,
    roster: Path | str | None = None,
    nbgrader: Path | str | None = None,
    deadline: datetime | None = None,
) -> tuple[Path, list[str]]:
    """Write all results of a class into `out`, bringing files that are there up to date.

    grades.csv is for people; in written.csv a person enters points for the written questions, see `written.written_points`;
    canvas.csv or moodle.csv is written depending on roster or file names; feedback/ has a page for each student, and
    moodle-feedback.zip all of them if the submissions are Moodle's; overview.html is for the instructor.

    Args:
        outcome: of `classroom.run`.
        out: the folder.
        roster: Canvas's export of its gradebook, or Moodle's grading worksheet, which is filled in.
        nbgrader: an nbgrader gradebook (a database) that gets the grades, too.
        deadline: what was handed in later is called late, which costs nothing.

    Returns:
        The path of the overview, and sentences about what to look at.

    Raises:
        InputError: as the functions that it calls, and if a file cannot be written, whose old contents then stay.
    """
    with alone_in(out):
        return _write_all(outcome, Path(out), roster, nbgrader, deadline)


def _write_all(outcome, out, roster, nbgrader, deadline):
    reports = outcome.reports
    make_folder(out / "feedback")
    written, sentences = written_points(reports, out / "written.csv")
    late = {one.student: words for one in outcome.found if (words := lateness(one, deadline))}
    missing = [line for line in outcome.told if isinstance(line, Missing)]
    rows = [*reports, *(Report(line.student, outcome.lab, "", "", error=line.reason) for line in missing)]
    gradebook.grades_csv(rows, out / "grades.csv", written, late)
    names = page_names([report.student for report in reports])
    for report in reports:
        page = feedback.page(report, written.get(report.student))
        _write(out / "feedback" / names[report.student], page)
    _for_moodle(outcome, out, written)
    pages = {student: f"feedback/{name}" for student, name in names.items()}
    unread = [
        f"{one.student}: {one.file.shown if one.file else one.path.name}: {report.error}."
        for one, report in zip(outcome.found, reports)
        if report.error and not one.reason and one.student not in outcome.failed
    ]
    others = [*(line for line in outcome.told if not isinstance(line, Missing)), *unread]
    nobodys = [line for line in others if isinstance(line, Nobodys)]
    title = feedback.lab_title(outcome.lab)
    page = overview.page(reports, title, pages, late, missing, others, nobodys, written)
    _write(out / "overview.html", page)
    # What depends on other people's files comes last: an error there leaves the rest in order.
    sentences = [
        *unread,
        *sentences,
        *_for_systems(outcome, out, roster, written),
        *_to_read(reports, written),
    ]
    if nbgrader:
        nbgrader_gradebook(reports, nbgrader, written)
    return out / "overview.html", sentences


def _to_read(reports, written):
    """Return a sentence about the answers that nobody has given points to, if there are any."""
    open_to = [
        report.student
        for report in reports
        for question in report.written
        if question.answer.strip() and question.name not in written.get(report.student, {})
    ]
    if not open_to:
        return []
    count = f"{len(open_to)} written {'answer has' if len(open_to) == 1 else 'answers have'}"
    return [
        f"{count} no points yet: until you enter them into written.csv and grade again, tables and pages hold the points of the "
        "program alone."
    ]


def _for_systems(outcome, out, roster, written):
    """Write the CSV for the system that the roster, or else the file names, come from."""
    kind = roster and roster_of(roster)
    ids = {
        system: {one.student: getattr(one, system) for one in outcome.found if getattr(one, system)}
        for system in _ROSTERS
    }
    sentences = []
    if kind == "canvas" or (kind is None and not ids["moodle"]):
        sentences += gradebook.canvas_csv(
            outcome.reports, out / "canvas.csv", roster, ids=ids["canvas"], written=written
        )
    if kind == "moodle" or (kind is None and ids["moodle"]):
        sentences += gradebook.moodle_csv(
            outcome.reports, out / "moodle.csv", roster, ids=ids["moodle"], written=written
        )
    return sentences


def _for_moodle(outcome, out, written):
    """Write the pages as the ZIP archive that Moodle takes back, in the folders of its own download."""
    pages = {
        one.student: feedback.page(report, written.get(one.student))
        for one, report in zip(outcome.found, outcome.reports)
        if report.digest
    }
    folders = {
        one.student: moodle_folder(one) for one in outcome.found if one.moodle and one.student in pages
    }
    if not folders:
        return
    with replacing(out / "moodle-feedback.zip") as partial:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
            for student, folder in folders.items():
                archive.writestr(
                    zipfile.ZipInfo(f"{folder}/feedback.html"), pages[student], zipfile.ZIP_DEFLATED
                )


def summary(outcome: GradedClass) -> str:
    """Return the results of the class in a few sentences."""
    reports, failed = outcome.reports, outcome.failed
    points = [report.points for report in reports if report.student not in failed]
    most = max(report.possible for report in reports)
    whose = "of them" if outcome.graded <= len(reports) else "notebooks"  # all attempts of each student
    submissions = "1 submission" if len(reports) == 1 else f"{len(reports)} submissions"
    sentences = [f"{feedback.lab_title(outcome.lab)}: {submissions}, {outcome.graded} {whose} graded now."]
    if points:
        sentences.append(
            f"Mean: {sum(points) / len(points):.1f} of {most} points for what is graded by program."
        )
    unread = sum(bool(report.error) for report in reports) - len(failed)
    if unread:
        sentences.append(f"Could not be read: {unread}.")
    weak = sum(report.isolation == WEAK for report in reports)
    if weak:
        sentences.append(f"Weak isolation: {weak}.")
    return " ".join(sentences)


def roster_of(path: Path | str) -> str:
    """Return which system a class list comes from, "canvas" or "moodle". Raises `InputError` if it is neither's."""
    source = "Canvas's export of its gradebook, or Moodle's grading worksheet (in English)"
    for system, columns in _ROSTERS.items():
        try:
            Sheet(path, columns, source=source)
            return system
        except InputError as error:
            problem = error
    raise problem


def check_written(roster: Path | str | None = None, nbgrader: Path | str | None = None) -> None:
    """Raise `InputError` if `write` could not use these arguments, so that this shows before hours of work."""
    if roster:
        roster_of(roster)
    if nbgrader and not importlib.util.find_spec("nbgrader"):
        raise InputError("nbgrader: it is not installed; install it with: pip install nbgrader")
    if nbgrader:
        check_target(nbgrader, "nbgrader")
        if _begin_of(nbgrader) not in (b"", b"SQLite format 3\0"):
            raise InputError(
                f"nbgrader: got {str(nbgrader)!r}, no database; allowed is an nbgrader gradebook, or a new file"
            )


def _begin_of(path):
    """Return the first 16 bytes of a file; none if there is no file."""
    if not Path(path).exists():
        return b""
    with open(path, "rb") as file:
        return file.read(16)


def page_names(students: Iterable[str]) -> dict[str, str]:
    """Return student -> file name of the page: readable, allowed on every file system, and distinct on all of them.

    Letters of all scripts stay. If a name had to be changed or is taken, a piece of its checksum follows.
    """
    plain = {student: _cleaned(student) for student in students}
    taken = Counter(map(_folded, plain.values()))
    names = {}
    for student, name in plain.items():
        changed = name != student.replace(" ", "_") or taken[_folded(name)] > 1 or _MARKED.search(name)
        mark = f"-{hashlib.sha256(student.encode()).hexdigest()[:12]}" if changed else ""
        names[student] = f"{name}{mark}.html"
    return names


def _folded(name):
    """Return the name as it looks to a file system that ignores capitals and the ways to write an accent."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _cleaned(student):
    name = re.sub(r"[^\w.@+,-]+", "_", student)[:_LONGEST].strip("._-")
    return f"_{name}" if not name or name.split(".")[0].casefold() in _RESERVED else name


def _write(path, text):
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")
