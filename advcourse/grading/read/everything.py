"""Decide what else of a notebook to execute if following names is not enough.

A dictionary filled by a helper, a registry, an attribute that is set elsewhere, `exec`, `globals()`: an object can be changed,
or a name bound, in many ways that reading the names does not show. So if the statements found by name give no right answer,
the whole notebook is executed as "Run All" does it.
"""

import ast
import re
from collections.abc import Collection
from typing import Protocol

from advcourse.grading.read.parsing import DEFINITIONS, FUNCTIONS, IMPORTS, UNWRITTEN, Statement, standing

UNSEEN = set(  # names that can reach or bind others without spelling them out
    "exec eval compile globals locals vars setattr sys modules inspect builtins __builtins__ __main__ importlib "
    "__import__ get_ipython".split()
)
# A notebook's names for its cells, and for what they show.
SHOWN = re.compile(r"_{1,3}|_i{1,3}|_i?\d+|In|Out|_ih|_oh")
OF_THE_NOTEBOOK = ("__dict__", "__globals__", "user_ns", "run_cell", "ex", "push")  # attributes
HAPPENS = (ast.Call, ast.Await, ast.NamedExpr, ast.Yield, ast.YieldFrom)


class Names(Protocol):
    """What has to be known of a notebook's names, see `slicing`.

    `tasks` are the names of the lab's tasks, and `tools` those that are imported from the lab. `own` are the statements of the
    student's code cells, and `released` those of the students' copy, each in order.
    """

    tasks: Collection[str]
    tools: set[str]
    own: dict[Statement, None]
    released: dict[Statement, None]

    def is_result(self, statement: Statement) -> bool:
        """Return whether a statement gives a written function's name to something else."""


def runs(
    task: str, names: Names, winner: Statement | None, taken: set[Statement]
) -> tuple[list[set[Statement]], bool]:
    """Return sets of statements to execute, one set after the other, if `taken` gives no right answer.

    They cover the notebook up to the first check of the answer, up to the last check, and to its end; each once as it stands,
    and once without results that take an answer's name. A set that could make no difference is left out, so there may be
    fewer, or none.

    Args:
        task: the function's name.
        names: the names of the notebook.
        winner: the statement that defines the task, or None.
        taken: the statements found by name.

    Returns:
        The sets, and whether the first of them is what the notebook executes before the answer is first checked. If not, that
        is `taken`, as far as it makes a difference.
    """
    chosen = [s for s in names.own if s in taken or not _is_idle(s, names)]
    if winner is None:
        chosen = _with_its_stub(task, names, chosen)
    results = {s for s in chosen if s not in taken and names.is_result(s)}
    matters = _telling(task, names, winner, taken)
    matter = _not_released([s for s in chosen if s not in taken and matters(s)], names)
    checks = [s for s in names.own if winner and _checks(s, task, names) and _place(s) > _place(winner)]
    sets, seen, first = [], {frozenset()}, None
    for end in [*checks[:1], *checks[-1:], None]:
        for left_out in (set(), results):
            run = {
                s
                for s in chosen
                if s in taken or (s not in left_out and (not end or _place(s) < _place(end)))
            }
            difference = frozenset(run & matter)
            first = bool(difference) if first is None else first
            if difference not in seen:
                seen.add(difference)
                sets.append(run | taken | (set() if winner else _stand_ins(task, names)))
    return sets, first


def _not_released(statements, names):
    """Return the statements that the student has written; those in every notebook are known to change nothing."""
    released = {ast.dump(s.node) for s in names.released} if statements else ()
    return {s for s in statements if ast.dump(s.node) not in released}


def _place(statement):
    return statement.cell, statement.place


def _checks(statement, task, names):
    return task in statement.now and bool(statement.now & names.tools)


def _is_idle(statement, names):
    """Return whether a statement is left out of every run: a stub, or a call of the lab's tools."""
    if any(standing(statement, name) == UNWRITTEN for name in statement.binds & set(names.tasks)):
        return True
    return isinstance(statement.node, ast.Expr) and bool(statement.now & names.tools)


def _with_its_stub(task, names, chosen):
    """Return the statements with the task's own stub, if it is decorated, or if one of them uses it: it may become an answer."""
    stubs = {s for s in names.own if standing(s, task) == UNWRITTEN}
    if any(map(_is_decorated, stubs)) or any(task in s.uses for s in chosen):
        return [s for s in names.own if s in stubs or s in set(chosen)]
    return chosen


def _is_decorated(statement):
    return bool(getattr(statement.node, "decorator_list", ()))


def _telling(task, names, winner, taken):
    """Return a test for whether a statement that was not taken may make a difference."""
    if winner is None:
        return lambda statement: _may_bind(statement, task)
    if any(s.uses & UNSEEN or getattr(s.node, "module", "") == "__main__" for s in taken):
        return lambda statement: True
    if any(SHOWN.fullmatch(name) for s in taken for name in s.uses):
        return lambda statement: True
    needed = {task}.union(*(s.uses | s.binds for s in taken))
    return lambda statement: _acts(statement.node) or bool(statement.binds & needed)


def _may_bind(statement, task):
    """Return whether a statement may bind the task's name, or make its stub a function, in a way that names do not show."""
    if standing(statement, task) == UNWRITTEN:
        return _is_decorated(statement)
    if task in statement.binds | statement.changes or statement.uses & (
        UNSEEN - {"get_ipython"}
    ):  # every magic has that
        return True
    for node in ast.walk(statement.node):
        if isinstance(node, ast.Global) and task in node.names:
            return True
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and task in node.value:
            return True
        if isinstance(node, ast.Attribute) and node.attr in (*OF_THE_NOTEBOOK, task):
            return True
    return False


def _acts(node):
    """Return whether a statement may do more than bind its names."""
    if isinstance(node, FUNCTIONS):
        return bool(node.decorator_list)
    if isinstance(node, ast.ClassDef):
        return bool(node.bases or node.keywords or node.decorator_list) or any(map(_acts, node.body))
    if isinstance(node, (*IMPORTS, ast.Pass)):
        return False
    if isinstance(node, ast.Expr | ast.Assign | ast.AnnAssign):
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        plain = all(isinstance(target, ast.Name | None) for target in targets)
        return not plain or any(isinstance(part, HAPPENS) for part in ast.walk(node))
    return True


def _stand_ins(task, names):
    """Return what the students' copy gives to an answer that no statement defines: imports and functions, but not its stub."""
    return {
        s
        for s in names.released
        if isinstance(s.node, (*DEFINITIONS, *IMPORTS)) and standing(s, task) != UNWRITTEN
    }
