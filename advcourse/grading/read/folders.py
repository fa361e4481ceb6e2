"""Find a class's notebooks and their owners, in the downloads of learning systems or in folders made by hand."""

import importlib
import os
import re
from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from advcourse.core.inputs import InputError, check_choice
from advcourse.grading.read.archives import TOTAL, ZIP, File, Refused, files, inside, spelled
from advcourse.grading.read.layouts import METADATA, STAMP, stamped
from advcourse.grading.read.owners import NOTEBOOK, Sorting, is_lab, lab_in, squeezed, tree
from advcourse.grading.read.submission import LARGEST, labs

LAYOUTS = (
    "a folder, or a ZIP archive, with what Moodle, Canvas, Blackboard, Brightspace, Gradescope, ILIAS or nbgrader lets you "
    "download, or with STUDENT/lab3.ipynb or STUDENT.ipynb"
)
_NOTE = re.compile(r"_attempt_[\d-]+\.txt$")  # what Blackboard writes about an attempt
_BESIDE = {STAMP, METADATA, "index.html", "index.htm"}
_KINDS = {
    "a Python script": "py",
    "a web page": "html htm",
    "a PDF": "pdf",
    "a text document": "doc docx odt rtf txt md",
    "an archive of a kind that is not opened (only ZIP is)": "7z rar tar gz tgz bz2 xz",
    "a picture": "png jpg jpeg gif heic",
}


@dataclass(frozen=True)
class Found:
    """What one student handed in: the owner, and the file that counts.

    Args:
        student: the name, unique in the class.
        path: the file on disk, or the archive that holds it.
        canvas: the student's number in Canvas, if a name tells it.
        moodle: the same for Moodle.
        moodle_name: the name in Moodle's download.
        file: the `File`.
        when: when it was handed in, according to `clock`.
        clock: "its name", "timestamp.txt" or "the file's own time".
        late: whether Canvas marks it as late.
        reason: why it cannot be graded, or "".
        earlier: the student's other notebooks of the lab, newest first.
    """

    student: str
    path: Path
    canvas: str = ""
    moodle: str = ""
    moodle_name: str = ""
    file: File | None = None
    when: datetime | None = None
    clock: str = ""
    late: bool = False
    reason: str = ""
    earlier: tuple["Found", ...] = ()

    def note_of_choice(self, chosen: "Found", rule: str) -> str:
        """Return what a student with several notebooks is told: that the `chosen` one counts, by this `rule`; "" for one."""
        number, name = len(self.earlier) + 1, chosen.file.name if chosen.file else chosen.path.name
        told = f"You handed in {number} notebooks of this lab; {name} counts, the {rule}."
        return told if self.earlier else ""

    def read(self, most: int = LARGEST + 1) -> bytes:
        """Return the first `most` bytes of the file. Raises `OSError`."""
        try:
            return (self.file or File((), self.path)).read(most)
        except Refused as error:
            raise OSError(f"{error}") from error


class Missing(str):
    """A sentence about a `student` with nothing handed in for the lab, and so no grade; `reason` says why."""

    def __new__(cls, student, reason):
        made = super().__new__(cls, f"{student}: {reason}.")
        made.student, made.reason = student, reason
        return made


def find(folder: Path | str, lab: str) -> tuple[tuple[Found, ...], tuple[str, ...]]:
    """Return what was handed in for one lab, sorted by student, and sentences about anything unusual.

    Each student has one `Found`. Of several notebooks, one of this lab is preferred to others, and a newer to an older one.
    Owners are never guessed: each file whose owner cannot be determined is reported, and so is each student whose folder has
    nothing of this lab in it (a `Missing`). Links are not followed. Students of the same name get their number appended.

    Args:
        folder: a folder, or a ZIP archive, which is not unpacked to disk.
        lab: the lab's name.

    Raises:
        InputError: if there is no such folder, or nothing handed in is found in it.
    """
    root, told = Path(folder), []
    if not (os.path.isdir(root) or (os.path.isfile(root) and ZIP.search(root.name))):
        raise InputError(f"submissions: got {str(folder)!r}; allowed is {LAYOUTS}")
    try:
        there = files(root, told)
    except (Refused, OSError) as error:
        raise InputError(f"submissions: {folder}: {error}; allowed is {LAYOUTS}") from error
    sorting = Sorting(tree(there, told), root.resolve())
    stamps = {file.parts[:-1]: file for file in there if file.name == STAMP}
    names, found = _names(sorting.owners), []
    for owner, mine in sorting.owners.items():
        ids = {owner.system.casefold(): owner.number} if owner.system in ("Canvas", "Moodle") else {}
        ids |= {"moodle_name": owner.student} if owner.system == "Moodle" else {}
        one = _chosen(Found(names[owner], root, **ids), mine, stamps, lab, told)
        found += [one] if one else []
    told = tuple(dict.fromkeys([*told, *sorting.told]))
    if not found:
        why = " ".join([".", *told[:3], f"({len(told) - 3} more of the kind.)" if told[3:] else ""]).strip(
            " ."
        )
        raise InputError(
            f"submissions: no notebook of {lab} in {str(folder)!r}; allowed is {LAYOUTS}{'. ' if why else ''}{why}"
        )
    return tuple(sorted(found, key=lambda one: one.student)), told


def _names(owners):
    """Return owner -> unique name: the student's, followed if need be by the number, or by the system and the number."""
    times = Counter(owner.student for owner in owners)
    names, taken = {}, {name for name, count in times.items() if count == 1}
    for owner in sorted(owners, key=lambda one: (one.student, one.number, one.system)):
        if times[owner.student] == 1:
            names[owner] = owner.student
            continue
        number = f" ({owner.number})" if owner.number else ""
        choices = [owner.student + number, f"{owner.student} ({owner.system or 'by hand'} {owner.number})"]
        choices += [f"{choices[0]} {count}" for count in range(2, len(owners) + 2)]
        names[owner] = next(name for name in choices if name not in taken)
        taken.add(names[owner])
    return names


@dataclass(frozen=True)
class _Attempt:
    """A file, when it was handed in by which clock, the attempt's number, whether it is late, and why it cannot be graded."""

    file: File
    when: datetime | None
    clock: str
    attempt: int
    late: bool
    reason: str = ""

    def as_found(self, student, earlier=()):
        values = {name: getattr(self, name) for name in ("file", "when", "clock", "late", "reason")}
        return replace(student, path=self.file.path, **values, earlier=earlier)


def _chosen(student, mine, stamps, lab, told):
    """Return `student`, a `Found` without a file, with the notebook that counts; else with a file that is not one, and why;
    else None.
    """
    attempts, others = [], []
    for file, sign in mine:
        note = sign.typed or (sign.when and _NOTE.search(file.name))
        if file.name.casefold() not in _BESIDE and not note:
            for one, reason in _opened(file, lab, told):
                if not reason and _of_another_lab(one, lab):
                    others.append(one)
                else:
                    attempts.append(_attempt(one, file, sign, stamps, reason))
    good = sorted((one for one in attempts if not one.reason), key=lambda one: _rank(one, lab), reverse=True)
    bad = sorted(
        (one for one in attempts if one.reason), key=lambda one: _rank(one, lab, False), reverse=True
    )
    if good:
        if len(good) > 1:
            told.append(f"{student.student}: {len(good)} notebooks; {good[0].file.shown} counts.")
        told += [
            f"{student.student}: {one.file.shown}: {one.reason}." for one in bad if ZIP.search(one.file.name)
        ]
        return good[0].as_found(student, tuple(one.as_found(student) for one in good[1:]))
    if bad and not others:
        told.append(f"{student.student}: {bad[0].file.shown}: {bad[0].reason}.")
        return bad[0].as_found(student)
    typed = any(sign.typed for _, sign in mine)
    what = "only a text was typed in" if typed else "the folder is empty"
    what = f"found: {', '.join(one.shown for one in others[:3])}" if others else what
    told.append(Missing(student.student, f"no notebook of {lab} ({what})"))
    return None


def _opened(file, lab, told):
    """Return the notebooks in a handed-in file, as (file, ""); or the file itself, and why there is none."""
    if NOTEBOOK.search(file.name):
        return [(file, "")]
    if not ZIP.search(file.name):
        ending = file.name.rpartition(".")[2].casefold()
        what = next((kind for kind, endings in _KINDS.items() if ending in endings.split()), "no notebook")
        negated = "" if what == "no notebook" else ", not a notebook"
        return [(file, f"this is {what}{negated}; hand in the .ipynb file")]
    try:
        entries = [one for one in inside(file, told, TOTAL) if not one.folder]
        notebooks = [one for one in entries if NOTEBOOK.search(one.name)]
        mine = [one for one in notebooks if not _of_another_lab(one, lab)]
        best = (
            [one for one in mine if _speaks_of(one, lab)] or [one for one in mine if lab_in(one.name)] or mine
        )
        for one in best[:1]:
            one.read()
    except (Refused, OSError) as error:
        return [(file, f"{error}")]
    if len(best) == 1:  # the student controls the times inside; the archive's own time is the system's
        return [(replace(best[0], changed=file.changed), "")]
    if best:
        shown = ", ".join(one.name for one in best[:3])
        return [(file, f"the ZIP archive holds {len(best)} notebooks ({shown}); hand in one")]
    if notebooks:
        return [(replace(notebooks[0], changed=file.changed), "")]
    shown = ", ".join(one.name for one in entries[:3]) or "nothing"
    return [(file, f"the ZIP archive holds no notebook (found: {shown}); hand in the .ipynb file")]


def _attempt(file, handed_in, sign, stamps, reason):
    """Return the `_Attempt` for a file.

    handed_in: the file that the system has named, or the ZIP archive around it. Only its name is trusted: the student controls
    all others, and also timestamp.txt, unless the folder is nbgrader's.
    """
    system = next((owner.system for owner in sign.owners), "")
    stamp = None if system else stamps.get(handed_in.parts[:-1])
    name = handed_in.name if system == "ILIAS" else ""
    try:
        when, clock = stamped(name, stamp.read(100).decode("utf-8", "replace") if stamp else ""), STAMP
    except (OSError, Refused):
        when = None
    if sign.when or (when and not stamp):
        when, clock = sign.when or when, "its name"
    if not when and file.changed > 0:
        when, clock = datetime.fromtimestamp(file.changed).astimezone(), "the file's own time"
    return _Attempt(file, when, clock if when else "", sign.attempt, sign.late, reason)


def _rank(one, lab, notebook=True):
    """Return a sort key, highest for the best: of this lab, the system's time, the system's number, the file's time, the name."""
    time = 0 if one.clock == "the file's own time" or not one.when else one.when.timestamp()
    speaks = notebook and _speaks_of(one.file, lab)
    return speaks, time, one.attempt, one.file.changed, one.file.parts


def lateness(one: Found, deadline: datetime | None = None) -> str:
    """Return in words how late something was handed in, by Canvas's mark and by a deadline; "" if not late."""
    parts = ["marked late by Canvas"] if one.late else []
    if deadline and one.when and one.when > deadline:
        minutes = int((one.when - deadline).total_seconds() // 60)
        days, hours = divmod(minutes // 60, 24)
        spent = (
            f"{days} d {hours} h" if days else f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"
        )
        parts.append(f"late by {spent} ({one.clock})")
    return "; ".join(parts)


def moodle_folder(one: Found) -> str:
    """Return the name of a student's folder in Moodle's downloads, by which Moodle takes feedback back."""
    return f"{one.moodle_name or one.student}_{one.moodle}_assignsubmission_file_"


def check_deadline(text: str | None) -> datetime | None:
    """Return the time in "2026-11-20 23:59", in local time unless it has an offset; None for None. Raises `InputError`."""
    try:
        when = datetime.fromisoformat(text.strip()) if text else None
        if not when or not re.search(r"\d[ T]\d", text):
            raise ValueError(text)
        return when.astimezone()
    except (ValueError, OverflowError) as error:
        if text is None:
            return None
        allowed = 'a date with a time, such as "2026-11-20 23:59" or "2026-11-20T23:59+01:00"'
        raise InputError(f"deadline: got {text!r}; allowed is {allowed}") from error


def _of_another_lab(file, lab):
    """Return whether the file is of another lab: a folder's name says so, or its own does and the contents do not object."""
    *above, name = file.parts
    if any(is_lab(part) and squeezed(part) != lab for part in above):
        return True
    return lab_in(NOTEBOOK.sub("", name)) not in ("", lab) and not _speaks_of(file, lab)


def _speaks_of(file, lab):
    """Return whether a file imports this lab or defines one of its tasks. A file that is too large to be graded is not read."""
    try:
        content = file.read() if file.size <= LARGEST else b""
    except (OSError, Refused):
        return False
    return f"advcourse.labs.{lab}".encode() in content or bool(_tasks_in(content, lab))


def _tasks_in(content, lab):
    tasks = importlib.import_module(f"advcourse.labs.{lab}").LAB.tasks
    return [task for task in tasks if f"def {task}(".encode() in content]


def shown(path: Path | str, root: Path | str) -> str:
    """Return the path below `root` as a message can show it."""
    return "/".join(map(spelled, Path(path).relative_to(root).parts))


def check_lab(lab: str | int) -> str:
    """Return the lab's name, "lab3", for 3, "3", "lab3" or "Lab 3". Raises `InputError` for an unknown lab."""
    name = squeezed(f"{lab}")
    return check_choice(name if name.startswith("lab") else f"lab{name}", "lab", labs())


def lab_of(path: Path | str, content: bytes) -> str:
    """Return the lab that a notebook belongs to, by its import, else by its file's name, else by the tasks in it.

    Raises:
        InputError: if none of them determines it.
    """
    known = labs()
    imports = re.findall(rb"advcourse\.labs\.(lab\d+)", content)
    counts = Counter(lab.decode() for lab in imports if lab.decode() in known)
    if not counts and (named := lab_in(NOTEBOOK.sub("", Path(path).name))):
        return named
    counts = counts or Counter({lab: len(_tasks_in(content, lab)) for lab in known})
    first, *others = counts.most_common(2)
    if not first[1] or (others and others[0][1] == first[1]):
        raise InputError(f"lab: {path} does not say which it is of; allowed are {', '.join(known)}")
    return first[0]
