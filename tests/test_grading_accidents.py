"""Honest accidents: a notebook of right answers, damaged as notebooks get damaged, keeps all its points."""

import copy
import json
import random

import nbformat
import pytest
from grading_tests import answer, content, exercise, outcomes, solution

from advcourse.grading.run.grader import Grader
from advcourse.labs.lab4 import LAB

LOUD = '''
import warnings
import matplotlib.pyplot as plt
from IPython.display import clear_output
from tqdm.auto import tqdm
from tqdm.notebook import trange


def worst_case(clean: "NotThere", right: Tensor, size, eps) -> Tensor:
    """As the author's, with all the noise that a program can make."""
    accuracies = []
    for budget in tqdm(eps, desc="budgets"):
        print("budget", budget)
        warnings.warn("a warning")
        for _ in trange(3):
            broken = ~right & (size <= budget + 1e-6)
        accuracies.append((clean & ~broken.any(dim=0)).double().mean())
    clear_output()
    display("x" * 100_000)
    plt.plot(accuracies)
    plt.show()
    return torch.stack(accuracies)
'''


@pytest.fixture(scope="module")
def grader():
    with Grader() as grader:
        yield grader


@pytest.fixture
def book():
    """The author's notebook of lab 4: all tasks are right."""
    return solution("lab4")


@pytest.fixture
def assert_all_points(grader):
    """Grades a notebook or its bytes, demands all points, and returns the report."""

    def check(given):
        report = grader.grade(
            given if isinstance(given, bytes) else json.dumps(given).encode(), "lab4", "Ada"
        )
        assert set(outcomes(report).values()) == {"right"} and not report.error, [
            (task.task, task.message, task.trace) for task in report.tasks if task.outcome != "right"
        ]
        assert report.points == report.possible == LAB.points
        return report

    return check


def cell(book, name):
    (found,) = [cell for cell in book.cells if cell.id == name]
    return found


def test_the_authors_notebook(book, assert_all_points):
    """Checks the notebook as it is against the lab's own sum of points; its written answers are there to be read."""
    report = assert_all_points(book)
    assert [(w.name, w.possible, bool(w.answer)) for w in report.written] == [
        ("question-1", 3, True),
        ("question-2", 3, True),
    ]
    assert report.notes == report.signs == ()


def test_check_cells_deleted(book, assert_all_points):
    """Checks the notebook without a single cell that checks, hints, shows or gives points."""
    book.cells = [c for c in book.cells if not c.id.endswith(("-check", "-points", "-guess", "-hint"))]
    assert_all_points(book)


def test_check_cells_copied(book, assert_all_points):
    """Checks a copy of every check and every points cell, metadata and all, which nbgrader gives no points at all for."""
    for c in [c for c in book.cells if c.id.endswith(("-check", "-points"))]:
        book.cells.insert(book.cells.index(c), copy.deepcopy(c))
    assert_all_points(book)


def test_check_cells_edited(book, assert_all_points):
    """Checks points cells that were written over: with an error, with another verdict, with half a line."""
    for name, source in (
        ("rate", "assert False"),
        ("interval", "check(interval).points = 99"),
        ("destruction", "check("),
    ):
        cell(book, f"{name}-points").source = source
    report = assert_all_points(book)
    assert report.notes == (
        "Cell 40 does not compile, so that nothing in it counts: '(' was never closed (SyntaxError in line 1, `check(`).",
    )


def test_answers_copied(book, assert_all_points):
    """Checks copies of answers: the untouched stub behind the answer, and an older wrong version before it."""
    stub = cell(exercise("lab4"), "rate")
    old = copy.deepcopy(cell(book, "interval"))
    old.source = "def interval(successes, n):\n    return n"
    book.cells = [old, *book.cells, stub]
    assert_all_points(book)


def test_cells_reordered(book, assert_all_points):
    """Checks the reversed order of all cells, and a shuffled one."""
    book.cells.reverse()
    assert_all_points(book)
    random.Random(4).shuffle(book.cells)
    assert_all_points(book)


def test_cell_ids_changed(book, assert_all_points):
    """Checks new ids for all cells, and the same id for all without nbgrader's metadata."""
    for place, c in enumerate(book.cells):
        c.id = f"new-{place}"
    assert_all_points(book)
    for c in book.cells:
        c.id, c.metadata = "same", {}
    assert_all_points(book)


def test_an_earlier_cell_crashed(book, assert_all_points):
    """Checks cells before the answers that raise, end the program, never end, or do not compile; none of them is run."""
    for source in ("1 / 0", "raise SystemExit", "while True:\n    pass", "input()", "def broken(:"):
        book.cells.insert(3, nbformat.v4.new_code_cell(source))
    assert_all_points(book)


def test_the_import_cell_is_missing(book, assert_all_points):
    """Checks the notebook without its imports, and with them turned into text by a slip of the finger."""
    cell(book, "lab4-imports").cell_type = "raw"
    assert_all_points(book)
    book.cells.remove(cell(book, "lab4-imports"))
    assert_all_points(book)


def test_prints_progress_bars_and_warnings(book, assert_all_points):
    """Checks an answer that prints, warns and shows progress bars, and a cell that does so beside its answer."""
    answer(book, "worst_case", LOUD)
    cell(
        book, "rate"
    ).source += "\n\nfor i in range(10):\n    print(i)\nimport warnings\nwarnings.warn('again')"
    assert_all_points(book)


def test_outputs_of_50_mb(book, assert_all_points):
    """Checks a file of more than 50 MB, all but a thousandth of it outputs."""
    cell(book, "rate-guess").outputs = [nbformat.v4.new_output("stream", text="A" * 50_000_000)]
    whole = json.dumps(book).encode()
    assert len(whole) > 50_000_000
    assert_all_points(whole)


def test_saved_by_another_tool(book, assert_all_points):
    """Checks the old format 3, a file with a byte order mark and without metadata, and lines without their ends."""
    assert_all_points(nbformat.writes(nbformat.convert(copy.deepcopy(book), 3), version=3).encode())
    whole = {"cells": [{"cell_type": c.cell_type, "source": c.source.split("\n")} for c in book.cells]}
    assert_all_points(json.dumps(whole).encode("utf-8-sig"))
    colab = json.loads(content(book))
    colab["metadata"] = {"colab": {"provenance": []}, "accelerator": "GPU"}
    for c in colab["cells"]:
        c["metadata"]["id"], c["surprise"] = c.pop("id"), 1
    assert_all_points(json.dumps(colab).encode())


def test_windows_line_ends(book, assert_all_points):
    """Checks CRLF between the lines of the file, and in the cells' own text."""
    for c in book.cells:
        c.source = c.source.replace("\n", "\r\n")
    assert_all_points(json.dumps(book, indent=1).replace("\n", "\r\n").encode())


def test_a_name_with_spaces_and_other_letters(book, grader, tmp_path):
    """Checks a student and a file whose names hold spaces and letters of other alphabets."""
    path = tmp_path / "Лаб 4 – José Núñez (копия).ipynb"
    path.write_bytes(content(book))
    report = grader.grade(path.read_bytes(), "lab4", path.stem)
    assert report.points == LAB.points and report.student == "Лаб 4 – José Núñez (копия)"


def test_magics_in_the_answers(book, assert_all_points):
    """Checks IPython's own syntax in and around the answers."""
    for name, head in (("rate", "%%time\n"), ("interval", "%matplotlib inline\n!pip list\n")):
        cell(book, name).source = head + cell(book, name).source + "\n\nrate?"
    assert_all_points(book)


def test_everything_in_one_cell(book, assert_all_points):
    """Checks a notebook of one cell, with all answers of the author and nothing else."""
    whole = "\n\n".join(cell(book, name).source for name in LAB.tasks)
    book.cells = [nbformat.v4.new_code_cell(whole)]
    assert_all_points(book)


def test_what_an_answer_needs_stands_elsewhere(book, assert_all_points):
    """Checks helpers and constants in cells of their own, before and after the answer, and a name used again for a result."""
    body = cell(book, "interval").source.split('"""')[-1]
    cell(
        book, "interval"
    ).source = "def interval(successes, n):\n    return wilson(successes, n) + ZERO\n\n\nZERO = 0"
    book.cells.append(nbformat.v4.new_code_cell(f"def wilson(successes, n):{body}\n\n\nrate = rate(1, 2, 3)"))
    assert_all_points(book)


def test_answers_that_are_no_plain_functions(book, assert_all_points):
    """Checks an answer as a lambda, one as a class with a call, one under another name, and one behind a decorator."""
    answer(book, "on_common", "on_common = lambda size, success: size[:, success.all(dim=0)].mean(dim=1)")
    own = cell(book, "rate").source
    cell(book, "rate").source = own.replace("def rate", "def my_rate") + "\n\nrate = my_rate"
    cell(book, "win_rate").source = "@torch.no_grad()\n" + cell(book, "win_rate").source
    body = (
        cell(book, "destruction")
        .source.replace("\n", "\n    ")
        .replace("def destruction(", "def __call__(self, ")
    )
    cell(book, "destruction").source = f"class D:\n    {body}\n\n\ndestruction = D()"
    assert_all_points(book)
