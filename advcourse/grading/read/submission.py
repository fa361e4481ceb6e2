"""Read a submitted notebook, whatever tool saved it and whatever became of its metadata, and find the answers in it."""

import json
import math
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from advcourse.core.errors import InputError
from advcourse.grading.read import slicing
from advcourse.grading.read.parsing import DEFINITIONS, PYTHON, Code, parse
from advcourse.grading.read.slicing import Part, Program
from advcourse.labs import release

__all__ = [
    "NotebookCell",
    "Part",
    "Program",
    "Submission",
    "Unreadable",
    "Written",
    "check_size",
    "content",
    "labs",
    "program",
    "read",
    "released",
    "written",
]

LARGEST = 200 * 2**20  # bytes
MOST_CELLS = 10_000
LONGEST_ANSWER = 20_000  # characters
MOST_NOTES = 10
UNANSWERED = "YOUR ANSWER HERE"


class Unreadable(InputError):
    """The file cannot be read as a notebook. The message says what it is, as far as that can be determined."""


@dataclass(frozen=True)
class NotebookCell:
    """One cell, without its outputs.

    Args:
        index: its place in the notebook, from 1.
        id: Jupyter's id, or "".
        grade_id: nbgrader's id, or "".
        kind: "code", "markdown" or "raw".
        solution: whether nbgrader's metadata mark it as an answer.
        source: its text, with lines ending in a line feed.
        points: the points that nbgrader's metadata give for it, or None.
    """

    index: int
    id: str
    grade_id: str
    kind: str
    solution: bool
    source: str
    points: int | None = None


@dataclass(frozen=True)
class Submission:
    """A notebook that was read.

    Args:
        cells: its cells.
        notes: sentences for the student about anything unusual in the file.
        code: the code in the cells.
        written_in: a sentence about the Python version that the notebook was written with, if the grader's may not understand
            it; else "".
    """

    cells: tuple[NotebookCell, ...]
    notes: tuple[str, ...] = ()
    code: tuple[Code, ...] = field(default=(), repr=False)
    written_in: str = ""


@dataclass(frozen=True)
class Written:
    """A written question, which a person grades.

    Args:
        name: its nbgrader id.
        title: its heading.
        possible: the most points for it.
        answer: the student's text.
    """

    name: str
    title: str
    possible: int
    answer: str


def content(path: Path | str) -> bytes:
    """Return the bytes of a file; if it is too large to be read, only enough to show that. Raises `OSError`."""
    with open(path, "rb") as file:
        return file.read(LARGEST + 1)


def check_size(content: bytes) -> None:
    """Raise `Unreadable` if a file with this content is too large to be read."""
    if len(content) > LARGEST:
        more = " or more" if len(content) == LARGEST + 1 else ""  # see `content`
        raise Unreadable(
            f"the file has {math.ceil(len(content) / 2**20)} MB{more}; allowed are {LARGEST // 2**20}. "
            "Clear the outputs, and save it again"
        )


def read(content: bytes, name: str = "") -> Submission:
    """Return the notebook in the bytes of a file.

    All versions of the format are read, with or without nbgrader's metadata; outputs are ignored.

    Args:
        content: the file's bytes.
        name: the file's name, for messages.

    Raises:
        Unreadable: if the content is not a notebook, or exceeds 200 MB or 10,000 cells.
    """
    try:
        notebook, notes = _loaded(content)
        raw = _raw_cells(notebook)
        if len(raw) > MOST_CELLS:
            raise Unreadable(f"the notebook has {len(raw)} cells; allowed are {MOST_CELLS}")
        parsed = [_cell(index, cell) for index, cell in enumerate(raw, 1)]
        cells = tuple(cell for cell in parsed if cell)
        code = parse(cells)
        language = _language(notebook, code)
    except Unreadable as error:
        raise Unreadable(f"{name}: {error}" if name else str(error)) from error
    if len(cells) < len(parsed):
        notes.append("Parts of the file are no cells. They were passed over.")
    notes += [language] if language else []
    broken = [c for c in code if c.error or (c.flaw and not c.drafted)]
    notes += [
        f"Cell {c.index} does not compile, so that nothing in it counts: {c.error}."
        if c.error
        else f"Cell {c.index} does not compile: {c.flaw}. The rest of it was read all the same."
        for c in broken[:MOST_NOTES]
    ]
    if (more := len(broken) - MOST_NOTES) > 0:
        notes.append(f"So it is with {more} more {'cell' if more == 1 else 'cells'}.")
    written_in = _version(notebook)
    notes += [f"{written_in}."] if written_in and broken else []
    return Submission(cells, tuple(notes), code, written_in)


def _loaded(content):
    """Return what the file holds as JSON, and a list of notes."""
    check_size(content)
    notes = []
    try:
        try:
            text = content.decode(json.detect_encoding(content))
        except UnicodeDecodeError:
            text = content.decode("cp1252", errors="replace")
            notes.append("The file is not in UTF-8: letters beyond a to z may be wrong.")
        return json.loads(text.removeprefix("\ufeff")), notes
    except RecursionError as error:
        raise Unreadable("the file is nested too deep; allowed is a Jupyter notebook") from error
    except ValueError as error:
        raise Unreadable(f"{_what_it_is(content, text)}; allowed is a Jupyter notebook (.ipynb)") from error


def _what_it_is(content, text):
    """Return in words what a file that is not JSON seems to be."""
    start = text.lstrip("\ufeff \t\r\n\0")[:2000]
    if not start:
        return "the file is empty"
    for magic, what in ((b"%PDF", "a PDF"), (b"PK", "a ZIP archive"), (b"\x1f\x8b", "a compressed archive")):
        if content.startswith(magic):
            return f"this is {what}, not a notebook"
    if re.search(r"^<{7} ", text, re.M) and re.search(r"^>{7} ", text, re.M):
        return "the file holds a merge conflict of git (lines with <<<<<<<), which has to be resolved first"
    if start.startswith("<"):
        return "this is a web page, not a notebook: export it as a notebook"
    if start.startswith("{"):
        return "the file begins like a notebook, but is damaged or cut off: save it again, and open it once to see"
    if re.search(r"^(import|from|def|class|# In\[|# %%) ?", text, re.M):
        return "this is a Python script, not a notebook"
    return "this is no notebook"


def _raw_cells(notebook):
    """Return the cells as the file has them; in format versions 2 and 3 they are inside worksheets."""
    if isinstance(notebook, dict):
        sheets = notebook.get("worksheets")
        if isinstance(notebook.get("cells"), list):
            return notebook["cells"]
        if isinstance(sheets, list) and all(isinstance(sheet, dict) for sheet in sheets):
            return [cell for sheet in sheets for cell in _listed(sheet.get("cells"))]
    raise Unreadable("the file is JSON, but it holds no cells; allowed is a Jupyter notebook (.ipynb)")


def _language(notebook, code):
    """Return a sentence if the notebook claims another language, but has functions in Python; else "".

    Raises:
        Unreadable: if it claims another language, and has no such functions.
    """
    kernel, about = _of(notebook, "metadata", "kernelspec"), _of(notebook, "metadata", "language_info")
    language = _text(about.get("name")) or _text(kernel.get("language"))
    if not language or re.match(r"i?python|sage", language, re.I):
        return ""
    named = f" (kernel {_text(kernel.get('name'))[:50]})" if _text(kernel.get("name")) else ""
    message = f"this notebook is written in {language[:50]}{named}; the lab needs Python"
    if not any(isinstance(s.node, DEFINITIONS) for c in code for s in c.statements):
        raise Unreadable(message)
    return f"{message[:1].upper()}{message[1:]}. What is Python in it was read all the same."


def _version(notebook):
    """Return a sentence if the notebook's Python is newer than the grader's, or its version is another language's; else ""."""
    version = _text(_of(notebook, "metadata", "language_info").get("version"))[:50]
    match = re.match(r"(\d{1,3})\.(\d{1,3})(?!\d)", version)
    number = tuple(map(int, match.groups())) if match else sys.version_info[:2]
    if sys.version_info[0] == number[0] and number <= sys.version_info[:2]:
        return ""
    message = f"The notebook was written with Python {version}; the grader runs Python {PYTHON}"
    return f"{message}, which does not know all of its syntax"


def _of(value, *names):
    """Return the dictionary at value[name][name]..., or an empty one if there is none."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _listed(value):
    return value if isinstance(value, list) else []


def _cell(index, raw):
    """Return one `NotebookCell`; None if `raw` is not a cell."""
    if not isinstance(raw, dict):
        return None
    metadata = raw.get("metadata") if isinstance(raw.get("metadata"), dict) else {}
    marks = metadata.get("nbgrader") if isinstance(metadata.get("nbgrader"), dict) else {}
    kind = raw.get("cell_type")
    points = marks.get("points") if marks.get("grade") else None
    return NotebookCell(
        index,
        _text(raw.get("id")),
        _text(marks.get("grade_id")),
        kind if kind in ("code", "raw") else "markdown",
        marks.get("solution") is True,
        _text(raw.get("source", raw.get("input", ""))),
        int(points) if isinstance(points, int | float) and 0 <= points < 1000 else None,
    )


def _text(source):
    """Return a cell's source, which may be a list of lines, with or without line ends; "" if it is not text."""
    if isinstance(source, list):
        lines = [line for line in source if isinstance(line, str)]
        bare = len(lines) > 1 and not any(line.endswith(("\n", "\r")) for line in lines[:-1])
        source = ("\n" if bare else "").join(lines)
    if not isinstance(source, str):
        return ""
    source = source.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")
    return source.encode("utf-8", "replace").decode("utf-8")  # half a surrogate pair is not text


def labs() -> tuple[str, ...]:
    """Return the names of the labs that can be graded: those that have a released copy, and tasks in `advcourse.labs`."""
    folder = Path(release.__file__).parent
    return tuple(lab for lab in release.labs(kept="exercises") if (folder / lab / "__init__.py").is_file())


@cache
def released(lab: str, root: Path | str | None = None) -> Submission:
    """Return the students' copy of a lab, such as "lab3".

    Args:
        lab: the lab's name.
        root: the clone (default: the one that the package is installed from).

    Raises:
        InputError: if there is no such copy.
    """
    path = Path(root or release.ROOT) / "exercises" / lab / f"{lab}.ipynb"
    try:
        return read(path.read_bytes(), path.name)
    except OSError as error:
        raise InputError(
            f"lab: got {lab!r}, but {path} is not there; allowed is a lab of a clone of the project, which holds exercises/"
        ) from error


def program(task: str, tasks: Iterable[str], submitted: Submission, given: Submission) -> Program:
    """Return the part of the notebook `submitted` that defines the function `task`.

    Args:
        task: the function's name.
        tasks: the names of all tasks of the lab.
        submitted: the student's notebook.
        given: the released copy, which stands in for what the student has deleted.
    """
    result = slicing.program(task, tuple(tasks), submitted.code, given.code)
    if result.broken and submitted.written_in:
        return replace(result, broken=f"{result.broken}. {submitted.written_in}")
    return result


def written(submitted: Submission, given: Submission) -> tuple[Written, ...]:
    """Return the written questions of the released copy with the student's answers."""
    questions, title = [], ""
    for cell in given.cells:
        if cell.kind == "code":
            continue
        heading = re.findall(r"^#+ +(.+?)(?: *\(\d+ points?\))? *$", cell.source, re.M)
        title = heading[-1] if heading else title
        if cell.solution and cell.points is not None:
            answer = _answer(cell, submitted, given)[:LONGEST_ANSWER]
            questions.append(Written(cell.grade_id, title, cell.points, answer))
    return tuple(questions)


def _answer(question, submitted, given):
    """Return the text in the question's cell; if it is empty or gone, the student's own cells after the question."""
    known = {cell.source for cell in given.cells}
    asked = given.cells[question.index - 2].source
    for name in ("grade_id", "id"):
        wanted = getattr(question, name)
        same = [c for c in submitted.cells if wanted and getattr(c, name) == wanted]
        texts = [_own_words(cell) for cell in same]
        if any(texts):
            return next(text for text in reversed(texts) if text)
    texts, behind = [], False
    for cell in submitted.cells:
        if cell.source == asked:
            behind = True
        elif behind and _own_words(cell):
            if cell.kind == "code" or cell.source in known:
                break
            texts.append(_own_words(cell))
    return "\n\n".join(texts)


def _own_words(cell):
    return cell.source.replace(UNANSWERED, "").strip()
