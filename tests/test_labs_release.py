"""The students' copies of the labs: what is taken out, what stays, and that nbgrader makes the same."""

import sys

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError

from advcourse.core.inputs import InputError
from advcourse.course.notebooks import METADATA
from advcourse.labs import release as releasing


def author_notebook():
    """A small lab with an answer, a hidden test, outputs and a written question."""

    def marked(cell, **nbgrader):
        given = {"grade": False, "solution": False, "locked": False, "task": False, "schema_version": 3}
        cell.metadata["nbgrader"] = {**given, **nbgrader}
        return cell

    answer = nbformat.v4.new_code_cell(
        "def f(x):\n    ### BEGIN SOLUTION\n    return x + 1\n    ### END SOLUTION", id="answer-1"
    )
    test = nbformat.v4.new_code_cell(
        "f(1)\n### BEGIN HIDDEN TESTS\nassert f(41) == 42\n### END HIDDEN TESTS",
        id="test-1",
        outputs=[nbformat.v4.new_output("stream", text="an output")],
        execution_count=3,
    )
    question = nbformat.v4.new_markdown_cell("It is forty-two.", id="question-1")
    cells = [
        marked(answer, solution=True, grade_id="f"),
        marked(test, grade=True, locked=True, points=2, grade_id="f-points"),
        marked(question, grade=True, solution=True, points=1, grade_id="why"),
    ]
    return nbformat.v4.new_notebook(cells=cells)


@pytest.fixture
def clone(tmp_path):
    """A clone with one small lab."""
    folder = tmp_path / "solutions" / "lab9"
    folder.mkdir(parents=True)
    nbformat.write(author_notebook(), folder / "lab9.ipynb")
    return tmp_path


def test_release_takes_out_all_that_tells(clone):
    """Checks the copy's text: no answer, hidden test or output; ids, points and the locked test remain."""
    (path,) = releasing.release(root=clone)
    assert path == clone / "exercises" / "lab9" / "lab9.ipynb"
    text = path.read_text(encoding="utf-8")
    for secret in ("x + 1", "BEGIN SOLUTION", "HIDDEN", "f(41)", "an output", "forty"):
        assert secret not in text
    copy = nbformat.read(path, as_version=4)
    assert [cell.id for cell in copy.cells] == ["answer-1", "test-1", "question-1"]
    assert copy.cells[0].source.endswith("raise NotImplementedError()")
    assert copy.cells[1].metadata["editable"] is False and copy.cells[1].metadata.nbgrader.points == 2


def test_release_is_what_nbgrader_makes(clone):
    """Checks the bytes against nbgrader's own `generate_assignment`, run on the same clone."""
    from nbgrader.converters import GenerateAssignment
    from nbgrader.coursedir import CourseDirectory
    from nbgrader.preprocessors import SaveCells

    notebook = nbformat.read(clone / "solutions" / "lab9" / "lab9.ipynb", as_version=4)
    notebook.metadata = nbformat.from_dict(METADATA)
    nbformat.write(notebook, clone / "solutions" / "lab9" / "lab9.ipynb")
    course = CourseDirectory(root=str(clone), source_directory="solutions", release_directory="theirs")
    course.assignment_id = "lab9"
    converter = GenerateAssignment(coursedir=course, no_database=True)
    converter.preprocessors = [
        step for step in converter.preprocessors if step is not SaveCells
    ]  # needs a gradebook
    converter.start()
    (ours,) = releasing.release("lab9", root=clone)
    assert ours.read_bytes() == (clone / "theirs" / "lab9" / "lab9.ipynb").read_bytes()


def test_release_twice_gives_the_same_bytes(clone):
    """Checks two releases against each other, the second over the first, with nothing else left in the folder."""
    (path,) = releasing.release("lab9", root=clone)
    first = path.read_bytes()
    (path,) = releasing.release("lab9", out=clone / "exercises", root=clone)
    assert path.read_bytes() == first and [p.name for p in path.parent.iterdir()] == ["lab9.ipynb"]


def test_refresh_stores_what_a_run_shows(clone):
    """Checks the author's notebook after a run: new outputs for old ones, ids kept; where a cell fails, nothing changes."""
    path = clone / "solutions" / "lab9" / "lab9.ipynb"
    book = nbformat.read(path, as_version=4)
    book.cells.append(nbformat.v4.new_code_cell("print(f(1))", id="shown"))
    nbformat.write(book, path)
    assert releasing.refresh(root=clone) == [path]
    ran = nbformat.read(path, as_version=4)
    assert [cell.id for cell in ran.cells] == ["answer-1", "test-1", "question-1", "shown"]
    assert ran.cells[1].outputs == [] and ran.cells[3].outputs[0].text == "2\n"
    assert [cell.execution_count for cell in ran.cells if cell.cell_type == "code"] == [1, 2, 3]
    ran.cells[0].source = "1 / 0"
    nbformat.write(ran, path)
    before = path.read_bytes()
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        releasing.refresh("lab9", clone)
    assert path.read_bytes() == before


def test_release_tells_bad_input(clone, tmp_path, monkeypatch):
    """Checks the errors for an unknown lab, for no clone, and for a missing nbgrader; nothing is written then."""
    with pytest.raises(InputError, match="lab: got 'lab8'; allowed are 'lab9'"):
        releasing.release("lab8", root=clone)
    with pytest.raises(InputError, match="solutions is not there"):
        releasing.release(root=tmp_path / "elsewhere")
    monkeypatch.setitem(sys.modules, "nbgrader", None)
    with pytest.raises(InputError, match="nbgrader is not installed .*pip install nbgrader"):
        releasing.release(root=clone)
    assert not list(clone.glob("exercises/**/*.ipynb"))
