"""Reading a submission: which file is a notebook, what is in it, and the answers to written questions."""

import ast
import json
import re
import sys

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lab_tests import ROOT
from notebook_files import LABS, file, stored

from advcourse.core.inputs import InputError
from advcourse.grading.read import submission
from advcourse.grading.read.submission import Unreadable, read, released, written

pytestmark = pytest.mark.filterwarnings(
    "ignore::nbformat.warnings.DuplicateCellId", "ignore::nbformat.warnings.MissingIDFieldWarning"
)
CODE = "def double(x):\n    return 2 * x"


def test_all_ways_to_save_a_notebook_read_the_same():
    """Checks the cells against those of nbformat's own reading, for each encoding, line end and version of the format."""
    book = nbformat.read(ROOT / "solutions" / "lab4" / "lab4.ipynb", as_version=4)
    sources = [cell.source for cell in book.cells]
    text = stored("lab4").decode()
    old = nbformat.writes(nbformat.convert(nbformat.from_dict(book), 3), version=3)
    windows = json.dumps(
        {**book, "cells": [{**c, "source": c.source.replace("\n", "\r\n")} for c in book.cells]}
    )
    for content in (
        text.encode(),
        text.encode("utf-8-sig"),
        text.encode("utf-16"),
        text.replace("\n", "\r\n").encode(),
        json.dumps(json.loads(text), ensure_ascii=True).encode(),
        windows.encode(),
        nbformat.writes(book, version=4).encode(),
        old.encode(),
    ):
        submitted = read(content)
        assert [cell.source for cell in submitted.cells] == sources
        assert [cell.kind for cell in submitted.cells] == [cell.cell_type for cell in book.cells]


def test_odd_notebooks_are_read():
    """Checks files that nbformat's validator refuses, and the cells that can be had of them, counted by hand."""
    odd = file(
        {"cell_type": "code", "source": ["a = 1", "b = 2"], "id": 7, "metadata": None},
        {"cell_type": "code", "id": "twice", "source": "c"},
        {"cell_type": "code", "id": "twice", "source": None, "surprise": [1]},
        {"source": "no kind", "metadata": {"nbgrader": "yes"}},
        {"cell_type": "raw", "source": "\ud800"},
        nbformat="four",
    )
    with pytest.raises(nbformat.ValidationError):
        nbformat.validate(json.loads(odd) | {"nbformat": 4})
    assert [(c.kind, c.id, c.source) for c in read(odd).cells] == [
        ("code", "", "a = 1\nb = 2"),
        ("code", "twice", "c"),
        ("code", "twice", ""),
        ("markdown", "", "no kind"),
        ("raw", "", "?"),
    ]
    assert read(file()).cells == () and read(b'{"cells": []}').notes == ()
    assert read(b'{"cells": [3, "x"]}').notes == ("Parts of the file are no cells. They were passed over.",)


def test_large_outputs_are_passed_over():
    """Checks a file of 50 MB of outputs against the same file without them."""
    picture = {"output_type": "display_data", "data": {"image/png": "A" * 50_000_000}, "metadata": {}}
    cell = {"cell_type": "code", "source": CODE, "outputs": [picture]}
    assert read(file(cell)).cells == read(file(CODE)).cells


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "the file is empty"),
        (b"\xef\xbb\xbf \n", "the file is empty"),
        (b"import torch\ndef fgsm(x):\n    pass", "this is a Python script"),
        (b'<<<<<<< HEAD\n{"cells"\n=======\n>>>>>>> x\n', "merge conflict"),
        (b'{\n<<<<<<< HEAD\n "cells": 1\n=======\n>>>>>>> x\n}', "merge conflict"),
        (b"<!DOCTYPE html><html>", "this is a web page"),
        (b"%PDF-1.7 \xff\xfe", "this is a PDF"),
        (b"PK\x03\x04", "this is a ZIP archive"),
        (b'{"cells": [', "damaged or cut off"),
        (b"hello", "this is no notebook"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "this is no notebook"),
        (b"[1, 2]", "it holds no cells"),
        (b'{"a": 1}', "it holds no cells"),
        (b'{"cells": 3}', "it holds no cells"),
        (b"[" * 200_000, "nested too deep"),
        (b'{"cells": ' + b"[" * 100_000, "nested too deep"),
        (b'{"a": ' + b"9" * 5000 + b"}", "damaged"),
    ],
)
def test_what_is_no_notebook_is_told(content, told):
    """Checks the message for what a student may hand in by mistake, which names the file."""
    with pytest.raises(Unreadable, match=told) as error:
        read(content, "Größe 1.ipynb")
    assert str(error.value).startswith("Größe 1.ipynb: ") and isinstance(error.value, InputError)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(content):
    """Checks that nothing but `Unreadable` is raised, for bytes at random."""
    try:
        assert isinstance(read(content).cells, tuple)
    except Unreadable:
        pass


def test_too_large_files_are_refused(monkeypatch):
    """Checks the cap on a file's size, lowered for the test."""
    monkeypatch.setattr(submission, "LARGEST", 2**20)
    with pytest.raises(Unreadable, match="the file has 2 MB; allowed are 1"):
        read(b"x" * 2**21)


def test_of_a_file_that_is_too_large_only_enough_is_read(monkeypatch, tmp_path):
    """Checks a file of a hundred gigabytes that takes no room on the disk: it is refused, and its size is not claimed."""
    monkeypatch.setattr(submission, "LARGEST", 2**20)
    with open(tmp_path / "sparse.ipynb", "wb") as sparse:
        sparse.truncate(100 * 2**30)
    found = submission.content(tmp_path / "sparse.ipynb")
    assert len(found) == 2**20 + 1
    with pytest.raises(Unreadable, match="the file has 2 MB or more; allowed are 1"):
        read(found)


def test_the_released_copy_is_of_a_lab():
    """Checks the copy's cells against the file, and the error for a lab and for a clone that are not there."""
    assert [c.id for c in released("lab1").cells] == [
        c["id"] for c in json.loads(stored("lab1", "exercises"))["cells"]
    ]
    with pytest.raises(InputError, match="lab: got 'lab0'.*exercises"):
        released("lab0")
    with pytest.raises(InputError, match="elsewhere"):
        released("lab1", "elsewhere")


# Sentences that name the cause

NEWER = (
    "def f[T](x):\n    return x",
    "type X = int",
    "class A[T]:\n    pass",
    'x = f"{"a"}"',
    "x = f'{'\\n'.join(y)}'",
    "x = f'{\ny}'",
    "try:\n    x\nexcept A, B:\n    y",
    "x = t'{a}'",
)
OURS = f"{sys.version_info.major}.{sys.version_info.minor}"


def cell_and_metadata(source, **metadata):
    return file(source, metadata=metadata)


def compiles(source):
    try:
        return bool(ast.parse(source).body)
    except SyntaxError:
        return False


@pytest.mark.parametrize("source", NEWER)
def test_syntax_of_a_newer_python_is_told(source):
    """Checks code that CPython 3.12 or 3.14 reads: where this one does not, the message names this one's version."""
    submitted = read(file(source))
    assert compiles(source) or f"the grader runs Python {OURS}" in submitted.notes[0]
    assert not compiles(source) or submitted.notes == ()


@pytest.mark.parametrize(
    ("version", "named"), [("3.99.2", True), ("2.7.18", True), (OURS, False), ("3.8", False), (3, False)]
)
def test_the_notebooks_version_is_told(version, named):
    """Checks both versions in the note and in the task's own sentence, where a cell does not compile."""
    about = {"language_info": {"name": "python", "version": version}}
    submitted = read(cell_and_metadata("def fgsm(x):\n    return x x", **about))
    told = submission.program("fgsm", ("fgsm",), submitted, released("lab1")).broken
    sentence = f"The notebook was written with Python {version}; the grader runs Python {OURS}"
    assert (sentence in told) == (sentence in " ".join(submitted.notes)) == named
    assert read(cell_and_metadata("def fgsm(x):\n    return x", **about)).notes == ()


@pytest.mark.parametrize(
    ("kernel", "language", "told"),
    [
        ("ir", "R", "written in R (kernel ir); the lab needs Python"),
        ("julia-1.10", "julia", "written in julia (kernel julia-1.10)"),
        ("deno", "typescript", "written in typescript (kernel deno)"),
        ("", "R", "written in R; the lab needs Python"),
    ],
)
def test_another_language_is_told(kernel, language, told):
    """Checks notebooks of R, Julia and TypeScript: refused with the language, unless functions of Python are in them."""
    for about in (
        {"kernelspec": {"name": kernel, "language": language}},
        {"kernelspec": {"name": kernel}, "language_info": {"name": language}},
    ):
        with pytest.raises(Unreadable, match=re.escape(told)):
            read(cell_and_metadata("fgsm <- function(x) { x }", **about))
        mixed = read(cell_and_metadata("def fgsm(x):\n    return x", **about))
        assert mixed.code[0].statements and told in mixed.notes[0]


@pytest.mark.parametrize("name", ["python", "python3", "ipython", "Python 3", "sage", None, 3])
def test_python_under_any_name_is_no_other_language(name):
    """Checks the names that Python's own kernels have, and metadata that are none."""
    about = {"kernelspec": {"name": "python3", "language": name}, "language_info": {"name": name}}
    assert read(cell_and_metadata("x = 1", **about)).notes == ()


# Written questions


@pytest.mark.parametrize("lab", LABS)
def test_written_answers_are_the_authors(lab):
    """Checks ids, points and answers against nbgrader's metadata, and that an untouched copy has no answer."""
    copy, book = released(lab), json.loads(stored(lab))
    marks = [(c["metadata"].get("nbgrader", {}), c) for c in book["cells"] if c["cell_type"] == "markdown"]
    asked = [
        (m["grade_id"], m["points"], "".join(c["source"]))
        for m, c in marks
        if m.get("solution") and m["grade"]
    ]
    found = written(read(stored(lab)), copy)
    assert [(w.name, w.possible, w.answer) for w in found] == asked
    assert [w.title for w in found] == [f"Question {i}" for i in range(1, len(found) + 1)]
    assert {w.answer for w in written(copy, copy)} == {""}


def test_written_answers_survive_damage():
    """Checks one answer after each accident: metadata lost, a new cell below the question, a copy, the old text left in."""
    book = json.loads(stored("lab4"))
    (place,) = [i for i, c in enumerate(book["cells"]) if c["id"] == "question-1"]
    answer = "".join(book["cells"][place]["source"])

    def first(cells):
        return written(read(json.dumps({"cells": cells}).encode()), released("lab4"))[0].answer

    before, own, after = book["cells"][:place], book["cells"][place], book["cells"][place + 1 :]
    empty = {**own, "source": "YOUR ANSWER HERE"}
    bare = {"cell_type": "markdown", "source": answer}
    plain = [{"cell_type": c["cell_type"], "source": c["source"]} for c in book["cells"]]
    assert first([*before, {**own, "metadata": {}}, *after]) == answer
    assert first(plain) == answer
    assert first([*before, empty, bare, *after]) == answer
    assert first([*before, own, empty, *after]) == answer
    assert first([*before, {**own, "source": f"YOUR ANSWER HERE\n\n{answer}"}, *after]) == answer
    assert first([*before, {**own, "cell_type": "raw"}, *after]) == answer
    assert first([*before, *after]) == ""
