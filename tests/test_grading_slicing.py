"""Slicing a notebook: which of its statements an answer needs, whatever became of the rest."""

import ast
import importlib
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from notebook_files import LABS, file, stored

from advcourse.grading.read.submission import program, read, released
from advcourse.labs import lab4

pytestmark = pytest.mark.filterwarnings("ignore:invalid escape")
TASKS = ("double", "shift")
STUB = 'def {}(x):\n    """A number."""\n    # YOUR CODE HERE\n    raise NotImplementedError()'
GIVEN = (
    "import math\nfrom advcourse.labs.lab1 import check",
    "def half(x):\n    return x / 2",
    *map(STUB.format, TASKS),
)


def sliced(*cells, task="double", given=GIVEN):
    return program(task, TASKS, read(file(*cells)), read(file(*given)))


def loaded(found):
    """The function of a program, executed as a worker does: what fails is tried again after the others."""
    namespace, waiting = {"__name__": "__main__"}, []
    for cell in found.as_plain()["cells"]:
        body = ast.parse(cell["source"]).body
        waiting += [compile(ast.Module([body[i]], []), cell["label"], "exec") for i in cell["statements"]]
    while waiting:
        failed = []
        for statement in waiting:
            try:
                exec(statement, namespace)
            except Exception:
                failed.append(statement)
        if len(failed) == len(waiting):
            break
        waiting = failed
    return namespace[found.task]


def tasks_of(lab):
    return importlib.import_module(f"advcourse.labs.{lab}").LAB.tasks


ANSWER = "def double(x):\n    return 2 * x"
WRONG = "def double(x):\n    return 3 * x"
BOOM = "raise SystemExit('an experiment was run')"

# Each doubles its argument, thought through by hand.
DOUBLES = {
    "alone": [ANSWER],
    "the stub after it": [ANSWER, STUB.format("double")],
    "the stub before it": [STUB.format("double"), ANSWER],
    "two written ones": [WRONG, ANSWER],
    "two in one cell": [WRONG + "\n\n" + ANSWER],
    "a helper before it": ["def twice(x):\n    return 2 * x", "def double(x):\n    return twice(x)"],
    "a helper after it": ["def double(x):\n    return twice(x)", "def twice(x):\n    return 2 * x"],
    "a helper of the same name for another task": [
        "def step(x):\n    return 2 * x",
        "def double(x):\n    return step(x)",
        "def step(x, y):\n    return x\n\ndef shift(x):\n    return step(x, 1)",
    ],
    "a constant from another cell": ["FACTOR = 2", "def double(x):\n    return FACTOR * x"],
    "a constant that a later experiment changes": [
        "FACTOR = 2",
        "def double(x):\n    return FACTOR * x",
        "for FACTOR in (3, 4):\n    print(FACTOR)",
    ],
    "a constant in its own cell": ["FACTOR = 3", "FACTOR = 2\ndef double(x):\n    return FACTOR * x"],
    "a constant made in steps": ["FACTOR = 1", "FACTOR += 1\ndef double(x):\n    return FACTOR * x"],
    "a constant from a tuple": ["ONE, TWO = 1, 2", "def double(x):\n    return TWO * x"],
    "a constant from a walrus": ["print(TWO := 2)", "def double(x):\n    return TWO * x"],
    "a constant from %time": ["%time TWO = 2", "def double(x):\n    return TWO * x"],
    "a table filled by a loop": [
        "table = {}\nfor i in range(9):\n    table[i] = 2 * i",
        "def double(x):\n    return table[x]",
    ],
    "a setting beside its import": [
        "import decimal\ndecimal.setcontext(decimal.Context(prec=30))",
        "def double(x):\n    return 2 * x if decimal.getcontext().prec == 30 else 0",
    ],
    "a table filled by calls": ["table = []\ndef double(x):\n    return table[0] * x\ntable.append(2)"],
    "imports in its cell": ["import operator\ndef double(x):\n    return operator.mul(2, x)"],
    "a conditional import": [
        "try:\n    from no_such_package import mul\nexcept ImportError:\n    from operator import mul",
        "def double(x):\n    return mul(2, x)",
    ],
    "a star import": ["from operator import *", "def double(x):\n    return mul(2, x)"],
    "a star import over a builtin": ["from operator import *", "def double(x):\n    return pow(x, 1) * 2"],
    "a submodule": ["import os.path", "import os", "def double(x):\n    return 2 * x if os.path.sep else 0"],
    "no import cell": ["def double(x):\n    return math.floor(2 * x)"],
    "a given function deleted": ["def double(x):\n    return 4 * half(x)"],
    "a given function of its own": ["def half(x):\n    return x", "def double(x):\n    return 2 * half(x)"],
    "a lambda": ["double = lambda x: 2 * x"],
    "a partial": ["from functools import partial\nfrom operator import mul\ndouble = partial(mul, 2)"],
    "another name": ["def mine(x):\n    return 2 * x", "double = mine", STUB.format("double")],
    "a class": ["class Twice:\n    def __call__(self, x):\n        return 2 * x", "double = Twice()"],
    "a class that is called": [
        "class Helper:\n    factor = 2\n    def of(self, x):\n        return self.factor * x",
        "def double(x):\n    return Helper().of(x)",
    ],
    "a decorator": [
        "import functools\ndef doubled(f):\n    return lambda x: 2 * f(x)",
        "@doubled\ndef double(x):\n    return x",
    ],
    "decorated by hand": [
        "def doubled(f):\n    return lambda x: 2 * f(x)",
        "def double(x):\n    return x\n\ndouble = doubled(double)",
    ],
    "a default": ["TWO = 2", "def double(x, factor=TWO):\n    return factor * x"],
    "an annotation": ["from numbers import Number", "def double(x: Number) -> Number:\n    return 2 * x"],
    "recursion": ["def double(x):\n    return 0 if x == 0 else 2 + double(x - 1)"],
    "a counter": ["COUNT = 0", "def double(x):\n    global COUNT\n    COUNT += 1\n    return 2 * x"],
    "a comprehension": ["TWOS = [2, 2]", "def double(x):\n    return sum([x for _ in TWOS])"],
    "another task": ["def shift(x):\n    return x + 1", "def double(x):\n    return 2 * shift(x) - 2"],
    "both tasks in one cell": [
        "def double(x):\n    return 2 * shift(x) - 2\n\ndef shift(x):\n    return x + 1"
    ],
    "deleted afterwards": [ANSWER + "\ndel double"],
    "a block": ["if __name__ == '__main__':\n    def double(x):\n        return 2 * x"],
    "a dead block": [ANSWER, "if False:\n    def double(x):\n        return 3 * x"],
    "an unreachable raise": [ANSWER + "\n    # YOUR CODE HERE\n    raise NotImplementedError()"],
    "magics": ["%matplotlib inline\n!pip install tqdm\nprint?", "%%time\n\n" + ANSWER + "\n\ndouble(3);"],
    "magics inside": ["%%capture out\n%load_ext autoreload\n" + ANSWER + "\n%timeit double(1)\ndouble?"],
    "prompts": [">>> def double(x):\n...     return 2 * x"],
    "indented": ["    def double(x):\n        return 2 * x"],
    "another cell that does not compile": ["def broken(:", ANSWER],
    "a crash": ["1 / 0", ANSWER],
    "the name for a result": [ANSWER, "double = double(4)"],
    "the name for a result in its own cell": [ANSWER + "\nprint(double(2))\ndouble = double(2)"],
    "the name for a counter": [ANSWER, "for double in range(3):\n    pass"],
    "the name for a number": [ANSWER, "double = 4"],
    "the name imported": [ANSWER, "from operator import neg as double"],
    "a builtin overwritten elsewhere": ["sum = 0\nmax = 3", "def double(x):\n    return sum([x, x])"],
    "a markdown cell": [{"cell_type": "markdown", "source": ANSWER}, STUB.format("double")],
    "a raw cell with its helper": [
        {"cell_type": "raw", "source": "TWO = 2\ndef double(x):\n    return TWO * x"}
    ],
    "a draft put aside": [ANSWER, {"cell_type": "raw", "source": WRONG}],
    "a docstring with a backslash": ['def double(x):\n    """\\epsilon"""\n    return 2 * x'],
    "letters of other alphabets": ["δ = 2", "def double(x):\n    return δ * x  # удвоить"],
}


@pytest.mark.parametrize("cells", DOUBLES.values(), ids=DOUBLES)
def test_the_answer_is_found(cells):
    """Checks what the function returns against 2 * x; an experiment that ran would end the test."""
    experiments = [
        f"check(double)\n{BOOM}",
        f"result = double(4)\n{BOOM}",
        "double(3).points",
        "x = 7; print(x)",
    ]
    for around in ([], experiments):
        found = sliced(*around, *cells, *around)
        assert found.found and not found.stub and not found.broken
        assert [loaded(found)(x) for x in (0, 3, 8)] == [0, 6, 16]


@pytest.mark.parametrize(
    "name", ["alone", "a helper before it", "a constant made in steps", "decorated by hand"]
)
def test_the_answer_is_what_a_run_from_top_to_bottom_gives(name):
    """Checks the function against the one that Python has after all cells are executed in order."""
    namespace = {"__name__": "__main__"}
    for cell in DOUBLES[name]:
        exec(cell, namespace)
    assert loaded(sliced(*DOUBLES[name]))(21) == namespace["double"](21)


@pytest.mark.parametrize(
    "body",
    [
        "raise NotImplementedError",
        "raise NotImplementedError('later')",
        "pass",
        "...",
        "return None",
        "'''To do.'''",
        "raise NotImplementedError()\n    return 2 * x",
    ],
)
def test_stubs_are_no_answers(body):
    """Checks functions that do nothing: they are stubs, and never beat a written one."""
    stub = f"def double(x):\n    {body}"
    alone = sliced(stub)
    assert (alone.found, alone.stub, alone.broken, alone.cells) == (False, True, "", ())
    assert loaded(sliced(ANSWER, stub))(4) == 8
    nothing = sliced("double = 3", "x = 1")
    assert (nothing.found, nothing.stub) == (False, False)


def test_a_broken_answer_says_where():
    """Checks the message against the line that does not compile, by the parser or only by the compiler."""
    found = sliced("x = 1", "def double(x):\n    return 2 *")
    told = "cell 2 does not compile: invalid syntax (SyntaxError in line 2, `return 2 *`)"
    assert found.broken == told and not found.found
    found = sliced("def double(x, x):\n    return 2 * x")
    told = "duplicate argument 'x' in function definition (SyntaxError in line 1, `def double(x, x):`)"
    assert found.broken == f"cell 1 does not compile: {told}"
    found = sliced("Def double(x):\n    return 2 * x")
    assert found.broken.endswith("invalid syntax (SyntaxError in line 1, `Def double(x):`)")
    assert loaded(sliced(ANSWER, "def double(x:\n    return 3"))(1) == 2
    assert "does not compile" in read(file("def double(x:\n    return 3")).notes[0]


def test_a_helper_in_a_cell_that_does_not_compile_is_told():
    """Checks the helpers that an answer misses, by name and cell; a whole one, and one that it does not need, are not named."""
    answer = "def double(x):\n    return left(x) + right(x)"
    cells = ["def left(x) return x", "def right(x):\nreturn x", "def other(x) return x", answer]
    assert sliced(*cells).lost == (
        "`left`, but cell 1 does not compile: expected ':' (SyntaxError in line 1, `def left(x) return x`)",
        "`right`, but cell 2 does not compile: expected an indented block after function definition on line 1 "
        "(IndentationError in line 2, `return x`)",
    )
    assert sliced("def left(x):\n    return x", "right = left", *cells[:3], answer).lost == ()
    [lost] = sliced("def left(x):\n    return x", "def right(x, x):\n    return x", answer).lost
    assert lost.startswith("`right`, but cell 2 does not compile: duplicate argument 'x'")


def test_experiments_are_left_out():
    """Checks the statements by hand: of two cells with six and four statements, those that the answer needs."""
    found = sliced(
        "import operator\nTWO = 2\noperator.add(x, x)\nx = TWO + 1\nfor i in range(10**9):\n    pass\ncheck(1)",
        "def double(x):\n    return operator.mul(TWO, x)\nprint(double(3))\nassert double(1) == 2\nimport math",
    )
    assert [(part.label, part.statements) for part in found.cells] == [("cell 1", (0, 1)), ("cell 2", (0,))]


def test_local_names_are_not_global_ones():
    """Checks that parameters and local variables lead nowhere, by the rules of Python's scopes."""
    found = sliced(
        "x = 1\nloss = 2\ni = 3\nrow = 4",
        "def double(x):\n    loss = [i for i in (x, x)]\n    return sum((lambda row: row)(r) for r in loss)",
    )
    assert [part.label for part in found.cells] == ["cell 2"]


def test_other_tasks_are_named():
    """Checks which other answers an answer reaches, also through a helper, also as a stub, also deleted."""
    helper, answer = "def through(x):\n    return shift(x)", "def double(x):\n    return through(x)"
    for cells in ([STUB.format("shift")], ["def shift(x):\n    return x"], []):
        assert sliced(*cells, helper, answer).uses == ("shift",)
    assert sliced(ANSWER).uses == ()
    with pytest.raises(NotImplementedError):
        loaded(sliced(helper, answer))(1)


def test_several_answers_are_told():
    """Checks the note of two written answers, and of one outside the code cells; one answer alone needs none."""
    assert sliced(WRONG, "x = 1", ANSWER).note == (
        "double is written in the cells 1, 3. What stands in cell 3 counts."
    )
    assert "cell 1, which is no code cell" in sliced({"cell_type": "raw", "source": ANSWER}).note
    assert sliced(STUB.format("double"), ANSWER).note == ""


# The labs


@pytest.mark.parametrize("lab", LABS)
def test_the_authors_answers_are_found(lab):
    """Checks every task's cells against nbgrader's metadata: its own answer, others by their ids, and cells that are given."""
    submitted, copy, tasks = read(stored(lab)), released(lab), tuple(tasks_of(lab))
    given_cells = {cell.source for cell in copy.cells}
    for task in tasks:
        found = program(task, tasks, submitted, copy)
        assert found.found and not found.note
        cells = [submitted.cells[int(part.label.split()[1]) - 1] for part in found.cells]
        answers = {c.grade_id for c in cells if c.solution and c.grade_id in tasks}
        assert answers == {task, *found.uses}  # lab 1 has a cell for a helper, too, which has no points
        assert all(c.solution or c.source in given_cells for c in cells)
        untouched = program(task, tasks, copy, copy)
        assert untouched.stub and not untouched.found
    assert submitted.notes == copy.notes == ()


def test_the_authors_answers_are_right():
    """Checks the functions of lab 4's programs against the lab's own check."""
    submitted, tasks = read(stored("lab4")), tuple(lab4.TASKS)
    for task in tasks:
        verdict = lab4.check(loaded(program(task, tasks, submitted, released("lab4"))), task, seed=5)
        assert verdict.right, verdict


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_damage_costs_no_answer(data):
    """Checks lab 4's solutions, damaged at random, against the lab's own check: order, ids, metadata, copies, deletions."""
    draw = data.draw
    book, tasks = json.loads(stored("lab4")), tuple(lab4.TASKS)
    stubs = [c for c in json.loads(stored("lab4", "exercises"))["cells"] if c["cell_type"] == "code"]
    cells = [c for c in book["cells"] if c["id"] in tasks or draw(st.booleans())]
    cells += draw(st.lists(st.sampled_from(stubs + book["cells"]), max_size=8))
    cells = [dict(cell) for cell in draw(st.permutations(cells))]  # one that came twice is not damaged twice
    for cell in cells:
        for key in draw(st.sets(st.sampled_from(["id", "metadata", "outputs", "execution_count"]))):
            cell.pop(key, None)
        if draw(st.booleans()):
            cell["source"] = "".join(cell["source"]).splitlines() or ""
    submitted = read(json.dumps({**book, "cells": cells}).encode())
    task = draw(st.sampled_from(tasks))
    verdict = lab4.check(loaded(program(task, tasks, submitted, released("lab4"))), task)
    assert verdict.right, verdict


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.text(alphabet="double(x):=\n\t %!?'\"[]{}#@\\0;lambda returnimpo*\x00\ud800é", max_size=60))
)
def test_any_source_is_sliced(cells):
    """Checks that no text in a cell stops the search, and that what is found beside it is found."""
    assert sliced(ANSWER, *[f"if True:\n    {cell}" for cell in cells]).found
    for book in (cells, ["def double(x):\n    return x\n" + "\n".join(cells), *cells]):
        assert sliced(*book).task == "double"


@pytest.mark.parametrize(
    "source",
    ["x = " + "+".join("a" * 40_000), "(" * 20_000, "x = " + "-" * 50_000 + "1", "x = a" + ".b" * 40_000]
    + [
        "a = 1\n" * 20_000,
        "%time x\n" * 10_000,
        "y = 3\n" * 200_000,
        "def double(x):\n    return 2**9999999999",
    ],
)
def test_outsize_code_costs_nothing_else(source):
    """Checks that code too deep, too long or too heavy to read leaves the other cells' answer as it is."""
    assert loaded(sliced(ANSWER, source, ANSWER))(2) == 4
