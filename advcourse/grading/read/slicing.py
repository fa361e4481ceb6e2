"""Find the statements of a notebook that an answer needs, by name, whatever became of the cells' order, ids and metadata.

Nothing is run here. The answer is the last written definition of the task's name. From there names are followed to helpers,
constants and imports, in the answer's own cell before others, and in the students' copy if the notebook no longer has them.
"""

import ast
import builtins
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from advcourse.grading.read.broken import cause, split
from advcourse.grading.read.everything import runs
from advcourse.grading.read.parsing import (
    ASSIGNED,
    BLOCKS,
    DEFINED,
    DEFINITIONS,
    IMPORTS,
    UNWRITTEN,
    Code,
    compiler_says,
    inside,
    standing,
)

TRIED = re.compile(r"^(?:async +)?\w+ +(\w+) *[(:]", re.M)  # what a cell that does not compile was to define
MOST_LOST = 3  # of which the reason is told
BUILTINS = frozenset(dir(builtins))
ASSIGNMENTS = (ast.Assign, ast.AugAssign, ast.AnnAssign)
PERHAPS_A_FUNCTION = (
    ast.Name,
    ast.Attribute,
    ast.Call,
    ast.Subscript,
    ast.IfExp,
    ast.BoolOp,
    ast.Tuple,
    ast.Lambda,
)


@dataclass(frozen=True)
class Part:
    """The statements of one cell that are to be executed.

    Args:
        label: the cell's name, such as "cell 3".
        source: the cell's code.
        statements: their places in `ast.parse(source).body`, in order.
        given: whether the cell is the lab's own, and not the student's.
        number: how the notebook counts the cell, if all are run in their order; 0 for the lab's own.
    """

    label: str
    source: str
    statements: tuple[int, ...]
    given: bool = False
    number: int = 0


@dataclass(frozen=True)
class Program:
    """What to execute so that the function `task` exists.

    Args:
        task: the function's name.
        cells: in the order of the notebook; a statement may need one that comes after it.
        wider: the cells of further tries, each with more of the notebook, for what names do not show (see `everything`).
        apart: whether the first of these tries, and not `cells`, is what the notebook executes before it first checks the
            answer.
        whole: whether this is such a try.
        strict: whether an error ends its cell, as in a notebook.
        uses: the other tasks' functions that it reaches.
        broken: why there is no usable definition, or why the existing one may be no good, such as "cell 7 does not compile:
            invalid syntax (SyntaxError in line 3, `x = = 2`)"; or "".
        lost: what the answer needs and a cell that does not compile was to define, such as "`helper`, but cell 6 does not
            compile: ...".
        found: whether there is a definition that is not a stub.
        stub: whether there is only a stub.
        note: a sentence for the student about which of several definitions counts, or "".
        checksum: of the answer, see `likeness`; "" until `reading` has computed it.
    """

    task: str
    cells: tuple[Part, ...] = ()
    wider: tuple[tuple[Part, ...], ...] = ()
    apart: bool = False
    whole: bool = False
    strict: bool = False
    uses: tuple[str, ...] = ()
    broken: str = ""
    lost: tuple[str, ...] = ()
    found: bool = False
    stub: bool = False
    note: str = ""
    checksum: str = ""

    def as_plain(self) -> dict[str, Any]:
        """Return what the sandbox needs, as values that JSON can hold."""
        cells = [asdict(part) | {"statements": list(part.statements)} for part in self.cells]
        return {"task": self.task, "cells": cells, "whole": self.whole, "strict": self.strict}

    def own(self, late: Iterable[tuple[str, int]] = ()) -> frozenset[tuple[str, int]]:
        """Return which of the student's statements are executed, without those that took too long (`late`)."""
        places = {(part.label, i) for part in self.cells if not part.given for i in part.statements}
        return frozenset(places - set(late))

    def tries(self, late: Collection[tuple[str, int]] = ()) -> Iterator[Self]:
        """Yield the programs of the further tries, without the pairs of label and place in `late`, which took too long."""
        for cells in self.wider:
            left = [
                replace(part, statements=tuple(i for i in part.statements if (part.label, i) not in late))
                for part in cells
            ]
            yield replace(self, cells=tuple(left), wider=(), whole=True, found=True)


def program(task: str, tasks: Collection[str], submitted: Sequence[Code], given: Sequence[Code]) -> Program:
    """Return what to execute for the function `task`.

    Args:
        task: the function's name.
        tasks: the names of all tasks of its lab.
        submitted: the code of the student's notebook.
        given: that of the released notebook.
    """
    names = _Names(tasks, submitted, given)
    winner = names.winner(task)
    closure = _Closure(task, names)
    taken, uses = closure.of(winner) if winner else (set(), ())
    further, apart = runs(task, names, winner, taken)
    wider = tuple(_parts(run, names, submitted, given) for run in further)
    if winner is None:
        return Program(
            task, wider=wider, apart=apart, broken=cause(task, submitted), stub=names.has_stub(task)
        )
    cells, note = _parts(taken, names, submitted, given), names.note(task, winner)
    return Program(
        task,
        cells,
        wider,
        apart,
        uses=tuple(sorted(uses)),
        broken=split(task, submitted),
        lost=_lost(closure, submitted),
        found=True,
        note=note,
    )


def _lost(closure, submitted):
    """Return which of the names that an answer misses a cell that does not compile was to define, and why it does not."""
    tried = {name for code in submitted if code.error for name in TRIED.findall(code.source)}
    names = sorted(closure.missing & tried | closure.unusable)
    reasons = [(name, cause(name, submitted)) for name in names[:MOST_LOST]]
    return tuple(f"`{name}`, but {reason}" for name, reason in reasons if reason)


def _parts(taken, names, submitted, given):
    """Return the statements that were taken, as parts of the released cells and of the student's."""
    parts = []
    run = [code.index for code in submitted if not code.drafted and code.written.strip()]
    numbers = {index: number for number, index in enumerate(run, 1)}
    for codes, among, label in (
        (given, names.released, "cell {} of the lab's notebook"),
        (submitted, names.own | names.drafts, "cell {}"),
    ):
        for code in codes:
            places = tuple(s.place for s in code.statements if s in taken and s in among)
            if places:
                number = numbers.get(code.index, 0) if codes is submitted else 0
                parts.append(Part(label.format(code.index), code.source, places, codes is given, number))
    return tuple(parts)


class _Names:
    """Where the names of a notebook are bound."""

    def __init__(self, tasks, submitted, given):
        self.tasks = tasks
        self.own = _statements(submitted, drafted=False)
        self.drafts = _statements(submitted, drafted=True)
        self.released = _statements(given, drafted=False)
        self.binding = {}
        for statement in self.own:
            for name in statement.binds:
                self.binding.setdefault(name, []).append(statement)
        everywhere = [*self.own, *self.released]
        self.tools = {name for s in everywhere if _is_lab_import(s.node) for name in s.binds}

    def winner(self, task):
        """Return the statement that defines a task: the last written function, else the last value that may be one, else None."""
        ranked = [
            (self._rank(s, task), s.cell, s.place, s) for s in [*self.binding.get(task, ()), *self.drafts]
        ]
        best = max(ranked, key=lambda row: row[:3], default=(0, None))
        return best[-1] if best[0] else None

    def _rank(self, statement, task):
        """Return 3 for a function, 2 for a value that may be one, 1 for a function outside code cells, 0 for everything else."""
        node, kind = statement.node, standing(statement, task)
        if kind not in (DEFINED, ASSIGNED) or compiler_says(node):
            return 0
        if kind == ASSIGNED or isinstance(node, IMPORTS):
            good = isinstance(node, IMPORTS) or self._may_be_a_function(node, task)
            return 2 if good and statement in self.own else 0
        return 3 if statement in self.own else 1

    def _may_be_a_function(self, node, task):
        for line in inside(node):
            targets = [
                n.id for n in ast.walk(line) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
            ]
            if (
                isinstance(line, ASSIGNMENTS)
                and task in targets
                and isinstance(line.value, PERHAPS_A_FUNCTION)
            ):
                return not _calls(line.value, self.tools | {task})
        return False

    def is_result(self, statement):
        """Return whether a statement gives a written function's name to something else, as double = double(4) does."""
        for task in statement.binds & set(self.tasks):
            if not self._rank(statement, task) and self._rank(self.winner(task) or statement, task) == 3:
                return True
        return False

    def has_stub(self, task):
        """Return whether one of the code cells has a stub of the task."""
        return any(standing(s, task) == UNWRITTEN for s in self.binding.get(task, ()))

    def note(self, task, winner):
        """Return a sentence about which definition counts if that may surprise; else "".

        It may surprise if there are several, or if the one that counts is not in a code cell.
        """
        if winner in self.drafts:
            return f"{task} stands in cell {winner.cell}, which is no code cell. It counts all the same."
        cells = sorted({s.cell for s in self.binding.get(task, ()) if self._rank(s, task) == 3})
        if len(cells) < 2:
            return ""
        return f"{task} is written in the cells {', '.join(map(str, cells))}. What stands in cell {winner.cell} counts."

    def is_experiment(self, statement):
        """Return whether a statement tries an answer out: no definition or import, it uses a task or a lab's tool at once."""
        used = statement.now - statement.changes if isinstance(statement.node, ASSIGNMENTS) else statement.now
        return not isinstance(statement.node, (*DEFINITIONS, *IMPORTS)) and bool(
            used & (self.tools | set(self.tasks))
        )

    def definition(self, task):
        """Return the winner, and what rebinds its name in its cell, as f = torch.no_grad()(f) does; [] if there is no winner."""
        winner = self.winner(task)
        return [winner, *self._anew(task, winner.cell)] if winner else []

    def _anew(self, name, cell=None):
        statements = [s for s in self.binding.get(name, ()) if isinstance(s.node, ast.Assign)]
        statements = [
            s for s in statements if name in s.now and not _calls(s.node.value, self.tools | {name})
        ]
        return [s for s in statements if cell in (None, s.cell)]

    def bindings(self, name, home):
        """Return the statements that bind `name` for a function of the cell `home`; None stands for a released cell.

        The function's own cell comes first, then the nearest before it, then the nearest after it. A function is preferred to
        a value of the same name, such as a loop's counter, unless that value is in the cell `home`.
        """
        candidates = list(self.binding.get(name, ()))
        candidates += [s for s in self.drafts if name in s.binds and s.cell == home]
        candidates = [s for s in candidates if standing(s, name) != UNWRITTEN] or candidates
        candidates = [s for s in candidates if not self.is_experiment(s)] or candidates
        here = [s for s in candidates if s.cell == home]
        packages = [s for s in candidates if isinstance(s.node, ast.Import)]  # `import a.b` adds to `a`
        if not here or all(name in s.now for s in here):
            near = [s for s in candidates if home is None or s.cell < home]
            near = near or [s for s in candidates if s.cell > home][::-1]
            functions = [s for s in near if standing(s, name) == DEFINED]
            if functions or hasattr(builtins, name):
                near = functions[-1:] + self._anew(name, functions[-1].cell if functions else home)
            here += _back_to_the_first(near, name)
        return here + packages or self._elsewhere(name)

    def _elsewhere(self, name):
        """Return all star imports, and what the students' copy binds under this name."""
        stars = [s for s in self.own if isinstance(s.node, ast.ImportFrom) and s.node.names[0].name == "*"]
        return stars if hasattr(builtins, name) else [s for s in self.released if name in s.binds] + stars


def _back_to_the_first(statements, name):
    """Return the last statement; also the one before it if the last may bind nothing or needs the name itself; and so on."""
    chosen = []
    for statement in reversed(statements):
        chosen.append(statement)
        if name not in statement.now and not isinstance(statement.node, BLOCKS):
            break
    return chosen


def _statements(codes, drafted):
    """Return the statements in order, as a dictionary, in which they are quick to look up."""
    return dict.fromkeys(s for code in codes if code.drafted == drafted for s in code.statements)


def _is_lab_import(node):
    return isinstance(node, ast.ImportFrom) and (node.module or "").startswith("advcourse")


def _calls(value, names):
    """Return whether one of the functions `names` is called in the expression."""
    called = [n.func for n in ast.walk(value) if isinstance(n, ast.Call)]
    return any(isinstance(function, ast.Name) and function.id in names for function in called)


def _is_value(statement, name, cell):
    """Return whether the cell uses a task's name for something else."""
    return statement.cell == cell and standing(statement, name) == ASSIGNED and name not in statement.now


class _Closure:
    """Collects all that an answer needs."""

    def __init__(self, task, names):
        self.task, self.names = task, names
        self.taken, self.uses, self._asked, self._waiting = set(), set(), set(), []
        # Names that nothing defines, and those whose definition does not compile.
        self.missing, self.unusable = set(), set()

    def of(self, winner):
        """Return the statements that define the winner and what it needs, and the names of the other tasks that it reaches."""
        self.home = winner.cell
        for statement in self.names.definition(self.task):
            self._take(statement)
        while self._waiting:
            while self._waiting:
                self._ask(*self._waiting.pop())
            self._take_changes()
        return self.taken, self.uses

    def _take(self, statement):
        if statement in self.taken:
            return
        if compiler_says(statement.node):
            self.unusable |= statement.binds
        else:
            self.taken.add(statement)
            home = None if statement in self.names.released else statement.cell
            self._waiting += [(name, home) for name in statement.uses]

    def _ask(self, name, home):
        if name == self.task or (name, home) in self._asked:
            return
        self._asked.add((name, home))
        statements = self.names.bindings(name, home)
        if name in self.names.tasks and not any(_is_value(s, name, home) for s in statements):
            self.uses.add(name)
            statements = self.names.definition(name) or statements
        if all(s in self.names.released and standing(s, name) == UNWRITTEN for s in statements):
            self.missing.add(name)
        for statement in statements:
            self._take(statement)

    def _take_changes(self):
        """Take what changes a needed name's object, such as table.append(1): where it is bound, and from there to the answer."""
        where = {self.task: {self.home}}
        for statement in self.taken - self.names.released.keys():
            for name in statement.binds:
                where.setdefault(name, set()).add(statement.cell)
        imported = {name for s in self.taken if isinstance(s.node, IMPORTS) for name in s.binds}
        for statement in self.names.own:
            names = {name for name in statement.changes if name in where}
            if not isinstance(statement.node, ast.Expr) or statement.uses - imported - BUILTINS:
                names -= imported  # torch.manual_seed(0) is a setting; torch.allclose(a, b) is not
            near = any(self._is_between(statement.cell, where[name]) for name in names)
            if near and not self.names.is_experiment(statement):
                self._take(statement)

    def _is_between(self, cell, bound):
        """Return whether a cell binds the name, holds the answer, or lies between them."""
        return cell in bound | {self.home} or min(bound) < cell < self.home
