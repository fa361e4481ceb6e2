"""Finding a class's notebooks, and whose each is: in the folders that nbgrader, Canvas and Moodle make, or made by hand."""

import importlib
import os
import re
import stat
import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from advcourse.grading.submission import labs
from advcourse.inputs import InputError, check_choice

_NOTEBOOK = re.compile(r"\.ipynb(\.txt|\.json)?$", re.I)  # some browsers add an ending of their own
_CANVAS = re.compile(r"(?P<student>.+?)_(?:LATE_)?(?P<canvas>\d+)_(?P<attachment>\d{3,})_(?P<file>.+)")
_MOODLE = re.compile(r"(?P<student>.+?)_(?P<moodle>\d+)_assignsubmission_[a-z]+_?(?P<file>.*)")
_COPY = re.compile(r"( \(\d+\)|-Copy\d+)$")
_NOBODYS = {"__macosx", "thumbs.db", "desktop.ini", "timestamp.txt", "onlinetext.html"}
LAYOUTS = (
    "a folder with STUDENT/lab3/lab3.ipynb (nbgrader), STUDENT/any.ipynb, STUDENT.ipynb, or what Canvas or Moodle lets you "
    "download, unpacked"
)


@dataclass(frozen=True)
class Found:
    """One submission: whose it is, the file, and the student's number in Canvas and in Moodle where a name tells it."""

    student: str
    path: Path
    canvas: str = ""
    moodle: str = ""


class _Owner(NamedTuple):
    student: str
    canvas: str = ""
    moodle: str = ""

    @property
    def number(self):
        return self.canvas or self.moodle


def find(folder, lab):
    """The submissions of one lab in a folder: a tuple of `Found`, sorted by student, and sentences about what is odd.

    Each student has one: where there are several notebooks, one of this lab comes before others, and a newer before an older
    one. Links are not followed. Students of one name have their number behind it. Raises `InputError` where there is no folder,
    or no notebook in it.
    """
    root, told = Path(folder), []
    if not root.is_dir():
        raise InputError(f"submissions: got {str(folder)!r}; allowed is {LAYOUTS}")
    owners = {}
    for path in _files(root, told):
        parts, is_folder = path.relative_to(root).parts, path.is_dir()
        owner = _owner(parts, is_folder)
        if owner and not is_folder:
            owners.setdefault(owner, []).append(path)
        elif owner:
            owners.setdefault(owner, [])
        elif not is_folder:
            told.append(f"{shown(path, root)}: whose it is cannot be told from its name; passed over.")
    names = Counter(owner.student for owner in owners)
    found = []
    for owner, paths in owners.items():
        alone = names[owner.student] == 1 or not owner.number
        student = owner.student if alone else f"{owner.student} ({owner.number})"
        path = _chosen(student, paths, root, lab, told)
        if path:
            found.append(Found(student, path, owner.canvas, owner.moodle))
    if not found:
        raise InputError(f"submissions: no notebook of {lab} in {str(folder)!r}; allowed is {LAYOUTS}")
    return tuple(sorted(found, key=lambda one: one.student)), tuple(told)


def _files(root, told):
    """All files, and the folders right below `root`; links and what is no file at all are told and left out."""
    for folder, below, files in os.walk(root, onerror=lambda error: told.append(f"{error}")):
        for name in [*below, *files]:
            path = Path(folder, name)
            kind = path.lstat().st_mode
            mine = not (name.startswith(".") or name.casefold() in _NOBODYS)
            if mine and not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
                link = stat.S_ISLNK(kind)
                told.append(f"{shown(path, root)}: {'a link' if link else 'no file'}; passed over.")
                mine = False
            if mine and (stat.S_ISREG(kind) or path.parent == root):
                yield path
            if not mine and name in below:
                below.remove(name)


def _owner(parts, is_folder):
    """Whose the file (or folder) is whose path has these parts; None where they do not say."""
    if len(parts) > 1 and _lab_in(parts[0]) == _squeezed(parts[0]):
        return _owner(parts[1:], is_folder)  # a folder for each lab, and the students in it
    name = _spelled(parts[0])
    alone = len(parts) == 1 and not is_folder
    match = _MOODLE.fullmatch(name) or (_CANVAS.fullmatch(name) if alone else None)
    if match:
        told = match.groupdict()
        return _Owner(told["student"].strip(), told.get("canvas", ""), told.get("moodle", ""))
    if alone:
        name = _COPY.sub("", _NOTEBOOK.sub("", name) if _NOTEBOOK.search(name) else Path(name).stem)
        name = re.sub(r"^lab[ _-]?\d+[ _-]+|[ _-]+lab[ _-]?\d+$", "", name, flags=re.I)
    name = name.strip(" _-")
    return None if not name or _lab_in(name) == _squeezed(name) else _Owner(name)


def _chosen(student, paths, root, lab, told):
    """The notebook of this lab that counts, or None."""
    notebooks = [path for path in paths if _NOTEBOOK.search(path.name)]
    mine = [path for path in notebooks if not _of_another_lab(path, root, lab)]
    if not mine:
        others = ", ".join(shown(path, root) for path in (notebooks or paths)[:3])
        what = f"found: {others}" if others else "the folder is empty"
        told.append(f"{student}: no notebook of {lab} ({what}).")
        return None
    if len(mine) == 1:
        return mine[0]
    mine.sort(key=lambda path: (_speaks_of(path, lab), _attachment(path), path.stat().st_mtime_ns, path))
    told.append(f"{student}: {len(mine)} notebooks; {shown(mine[-1], root)} counts.")
    return mine[-1]


def _attachment(path):
    match = _CANVAS.fullmatch(path.name)
    return int(match["attachment"]) if match else 0


def _of_another_lab(path, root, lab):
    """Whether a folder's name or the file's says so, and the contents do not say otherwise."""
    *above, name = path.relative_to(root).parts
    if any(_lab_in(part) == _squeezed(part) != lab for part in above):
        return True
    return _lab_in(_NOTEBOOK.sub("", name)) not in ("", lab) and not _speaks_of(path, lab)


def _squeezed(name):
    return re.sub(r"[ _-]", "", name).casefold()


def _lab_in(name):
    """The lab that stands in a name, "" if none does."""
    found = [f"lab{number}" for number in re.findall(r"(?<![a-z])lab[ _-]?(\d+)(?!\d)", name, re.I)]
    return next((lab for lab in found if lab in labs()), "")


def _speaks_of(path, lab):
    """Whether a file imports this lab or defines one of its tasks."""
    try:
        content = path.read_bytes()
    except OSError:
        return False
    return f"advcourse.labs.{lab}".encode() in content or bool(_tasks_in(content, lab))


def _tasks_in(content, lab):
    tasks = importlib.import_module(f"advcourse.labs.{lab}").LAB.tasks
    return [task for task in tasks if f"def {task}(".encode() in content]


def _spelled(name):
    """A name of the file system as text: composed letters, and no bytes that are none."""
    text = os.fsencode(name).decode("utf-8", "replace")
    return unicodedata.normalize(
        "NFC", "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
    )


def shown(path, root):
    """The path below `root` as a message can show it."""
    return "/".join(map(_spelled, Path(path).relative_to(root).parts))


def check_lab(lab):
    """The lab's name, "lab3", for 3, "3", "lab3" or "Lab 3". Raises `InputError` for an unknown lab."""
    name = _squeezed(f"{lab}")
    return check_choice(name if name.startswith("lab") else f"lab{name}", "lab", labs())


def lab_of(path, content):
    """The lab that a notebook is of: by its import, else by its file's name, else by the tasks in it.

    Raises `InputError` where none of them tells it.
    """
    known = labs()
    imports = re.findall(rb"advcourse\.labs\.(lab\d+)", content)
    counts = Counter(lab.decode() for lab in imports if lab.decode() in known)
    if not counts and (named := _lab_in(_NOTEBOOK.sub("", Path(path).name))):
        return named
    counts = counts or Counter({lab: len(_tasks_in(content, lab)) for lab in known})
    first, *others = counts.most_common(2)
    if not first[1] or (others and others[0][1] == first[1]):
        raise InputError(f"lab: {path} does not say which it is of; allowed are {', '.join(known)}")
    return first[0]
