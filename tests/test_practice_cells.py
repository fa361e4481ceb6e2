"""The cells to fill in as they stand in the chapters: held equal to the tasks that they are checked by."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

from advcourse import practice
from advcourse.course import notebooks
from advcourse.practice import checking

ROOT = Path(__file__).resolve().parent.parent


def problems(book, chapter):
    """What is wrong with the cells of a chapter, such as "ch02", in sentences."""
    places = [i for i, cell in enumerate(book.cells) if "practice" in cell.metadata.get("tags", [])]
    found, names = [], []
    for place in places:
        before, cell, after = book.cells[place - 1], book.cells[place], book.cells[place + 1]
        check = re.fullmatch(r"practice\.check\((\w+)\)", cell.source.splitlines()[-1])
        if not check or check[1] not in checking.tasks():
            found.append(f"cell {cell.id}: its last line must be practice.check(...) of a task")
            continue
        names.append(name := check[1])
        found += [f"{name}: {problem}" for problem in of_one(name, before, cell, after)]
    if sorted(names) != sorted(checking.tasks_of(chapter) if chapter in checking.chapters() else ()):
        found.append(f"{chapter}: its cells are {names}, each once, and its folder has others")
    return found


def of_one(name, before, cell, after):
    """What is wrong with the three cells of one task."""
    if cell.cell_type != "code":
        return ["the tag belongs to the code cell"]
    wrong = []
    head, comment, *_ = practice.stub(name).splitlines()
    if not before.source.startswith(practice.heading(name) + "\n"):
        wrong.append(f"the cell above must begin with {practice.heading(name)}")
    if head not in cell.source.splitlines():
        wrong.append(f"the code must have the line {head}")
    if "    raise NotImplementedError()" not in cell.source.splitlines():
        wrong.append("the code must be unwritten: raise NotImplementedError()")
    if practice.fold(name) not in after.source:
        wrong.append("the cell below must hold the author's answer, practice.fold(...)")
    if cell.metadata.get("jupyter", {}).get("source_hidden"):
        wrong.append("the code must not be folded")
    shown = [output.get("data", {}).get("text/plain", "") for output in cell.outputs]
    if shown != [repr(practice.check(unwritten(cell, name)))]:
        wrong.append("the stored output must be that of an unwritten cell")
    return wrong


def unwritten(cell, name):
    """The function of a stored cell."""
    space = {"practice": practice}
    exec(cell.source, space)
    return space[name]


def called(book, names):
    """Which of the functions the other cells call: they are unwritten when a chapter runs by itself."""
    others = [
        c.source for c in book.cells if c.cell_type == "code" and "practice" not in c.metadata.get("tags", [])
    ]
    nodes = [node for code in others for node in ast.walk(ast.parse(code))]
    return {node.id for node in nodes if isinstance(node, ast.Name)} & {*names}


@pytest.mark.parametrize("path", notebooks.chapters(ROOT), ids=lambda path: path.stem)
def test_a_chapters_cells_are_those_of_its_tasks(path):
    """Checks minutes and level, the line of the function, the folded answer and the stored verdict against the tasks; and that no
    other cell needs what the reader has to write."""
    book = nbformat.read(path, as_version=4)
    assert problems(book, f"ch{path.stem[:2]}") == []
    assert not called(book, checking.tasks())


def a_chapter(name):
    """A chapter with the cells of one task, rightly placed."""
    book = nbformat.v4.new_notebook()
    cell = nbformat.v4.new_code_cell(practice.stub(name), metadata={"tags": ["practice"]})
    verdict = repr(practice.check(unwritten(cell, name)))
    cell.outputs = [nbformat.v4.new_output("execute_result", {"text/plain": verdict})]
    above = nbformat.v4.new_markdown_cell(f"{practice.heading(name)}\n\nWrite it.")
    book.cells = [above, cell, nbformat.v4.new_markdown_cell(f"{practice.fold(name)}\n\nWhy.")]
    return book


@pytest.mark.parametrize(
    ("place", "old", "new", "problem"),
    [
        (0, "3 minutes", "4 minutes", "must begin with **Your turn** · 3 minutes · easy"),
        (1, "gradient, eps", "slope, eps", "must have the line def fgsm_step(x, gradient, eps):"),
        (1, "raise NotImplementedError()", "return x", "must be unwritten"),
        (1, "practice.check(fgsm_step)", "fgsm_step", "its last line must be practice.check"),
        (2, "eps * gradient", "2 * eps * gradient", "must hold the author's answer"),
    ],
)
def test_a_cell_that_differs_is_seen(place, old, new, problem):
    """Checks the reader of chapters on one whose cells are right, and on the same with one thing changed."""
    book = a_chapter("fgsm_step")
    alone = "ch02: its cells are ['fgsm_step']"
    assert [text.partition(", each")[0] for text in problems(book, "ch02")] == [alone]
    assert called(book, ["fgsm_step"]) == set()
    book.cells[place].source = book.cells[place].source.replace(old, new)
    assert any(problem in text for text in problems(book, "ch02"))


def test_a_cell_that_needs_the_readers_function_is_seen():
    """Checks a chapter with one more cell, which calls it."""
    book = a_chapter("fgsm_step")
    book.cells.append(nbformat.v4.new_code_cell("y = fgsm_step(x, x, 0.1)"))
    assert called(book, ["fgsm_step"]) == {"fgsm_step"}
