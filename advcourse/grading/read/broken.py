"""Explain why a notebook that tries to define an answer has none: it does not compile, or it is split over cells."""

import ast
import re
import warnings
from collections.abc import Sequence
from itertools import takewhile

from advcourse.grading.read.parsing import DEFINED, IMPORTS, UNPARSABLE, Code, compiler_says, standing, why

# A cell tries to define a name where this stands, the words "Def" and "function" in place of "def" included.
_TRIES = r"(def|class)\s+{0}\b|^{0}\s*=|^\w+[ \t]+{0}[ \t]*\(.*[:{{][ \t]*(#.*)?$"


def cause(task: str, submitted: Sequence[Code]) -> str:
    """Return why the last cell that tries to define the task fails; "" if no cell tries."""
    if reason := split(task, submitted):
        return reason
    for code in submitted:
        if code.error and re.search(_TRIES.format(task), code.source, re.M):
            reason = f"cell {code.index} does not compile: {code.error}"
        for statement in code.statements:
            if task in statement.binds and not isinstance(statement.node, IMPORTS):
                if error := compiler_says(statement.node):
                    reason = f"cell {code.index} does not compile: {why(error, code.written)}"
    return reason


def split(task: str, submitted: Sequence[Code]) -> str:
    """Return a sentence if the last definition of the task goes on in the next cells, which cannot stand alone; "" if not."""
    codes = [code for code in submitted if not code.drafted and code.written.strip()]
    for place, code in reversed(list(enumerate(codes))):
        if re.search(rf"^(async +def|def|class) +{task}\b", code.written, re.M):
            parts = [code, *takewhile(_goes_on, codes[place + 1 :])]
            if len(parts) > 1:
                return _told(task, parts)
            if any(standing(statement, task) == DEFINED for statement in code.statements):
                break
    return ""


def _goes_on(code):
    """Return whether the first line of the cell is indented, comments aside."""
    return bool(re.match(r"([ \t]*(#.*)?\n)*[ \t]+[^\s#]", code.written))


def _told(task, parts):
    if all(map(_stands_alone, parts)) or not _is_one(task, [part.written for part in parts]):
        return ""
    *first, last = [str(part.index) for part in parts]
    cells = f"{', '.join(first)} and {last}"
    return f"the function `{task}` is split over the cells {cells}: put them together (Edit, Merge Selected Cells)"


def _stands_alone(code):
    return not (code.error or code.flaw)


def _is_one(task, texts):
    """Return whether the texts make one program, in which the definition reaches from the first into the last."""
    ends = "\n".join(texts[:-1]).count("\n") + 1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse("\n".join(texts))
            compile(tree, "cells", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    except UNPARSABLE:
        return False
    return any(
        getattr(n, "name", "") == task and n.lineno <= texts[0].count("\n") + 1 and n.end_lineno > ends
        for n in tree.body
    )
