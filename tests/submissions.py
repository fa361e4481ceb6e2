"""The museum's answers as a student's notebook holds them: one cell for each, with what it calls and imports."""

import ast
import importlib
import inspect
from functools import cache
from itertools import zip_longest

from grading_tests import answer, content, exercise


def unwritten(task):
    """The function in the students' copy, of a `Task`."""
    space = {}
    exec(f"def {task.name}({', '.join(task.parameters)}):\n    raise NotImplementedError()", space)
    return space[task.name]


def museum(rooms):
    """Submissions that together hold all `rooms` of a lab's museum, each a dictionary task -> answer.

    Each has one right answer, another every time until all have been there, and wrong ones for the other tasks; a task whose
    wrong answers are used up is left unwritten.
    """
    rows = zip_longest(*([(room.task, right) for right in room.rights] for room in rooms))
    rights = [pair for row in rows for pair in row if pair]
    wrongs = {room.task: [wrong for _, wrong in room.wrongs] for room in rooms}
    found = []
    while any(wrongs.values()) or len(found) < len(rights):
        task, right = rights[len(found) % len(rights)]
        answers = {other: waiting.pop() for other, waiting in wrongs.items() if waiting and other != task}
        found.append({**answers, task: right})
    return found


def holding(lab, answers):
    """The bytes of a student's copy of a `Lab` that has these answers: task -> function of the museum."""
    notebook = exercise(lab.name)
    for task, function in answers.items():
        answer(notebook, task, cell(function, task, tuple(lab.tasks)))
    return content(notebook)


def cell(function, task, tasks):
    """The source of a cell that defines `task` as `function`, a function of the museum, does.

    What the function calls comes along. A helper that bears the name of one of the `tasks` gets another, so that the cell stands
    for itself.
    """
    own, imports, given = _parts(function.__module__)
    helpers = {}
    for module, _ in given:
        helpers |= _parts(module)[0]
        imports = imports + _parts(module)[1]
    assert not set(helpers) & set(own), "two helpers share a name"
    known = {**helpers, **own}
    rename = _Rename(
        {name: f"my_{name}" for name in tasks} | {function.__name__: task}, {a for _, a in given}
    )
    needed, waiting = [], [function.__name__]
    while waiting:
        name = waiting.pop()
        if name in known and name not in needed:
            needed.append(name)
            waiting += _names(known[name], {alias for _, alias in given})
    body = [ast.parse(line).body[0] for line in dict.fromkeys(map(ast.unparse, imports))]
    body += [rename.visit(_copy(node)) for name, node in known.items() if name in needed]
    return ast.unparse(ast.Module(body, []))


@cache
def _parts(module):
    """Of a module of the museum: name -> definition; its imports; the modules of the museum that it uses, and their alias."""
    own, imports, given = {}, [], []
    for node in ast.parse(inspect.getsource(importlib.import_module(module))).body:
        if isinstance(node, ast.ImportFrom) and node.module.startswith("museum"):
            if node.module.endswith(".given"):
                given.append((node.module, ""))
            elif node.module != "museum":
                given += [(f"{node.module}.{alias.name}", alias.name) for alias in node.names]
        elif isinstance(node, ast.Import | ast.ImportFrom):
            imports.append(node)
        elif isinstance(node, ast.FunctionDef):
            node.decorator_list = [d for d in node.decorator_list if not ast.unparse(d).startswith("room.")]
            own[node.name] = node
        elif isinstance(node, ast.Assign) and node.targets[0].id != "room":
            own[node.targets[0].id] = node
    return own, tuple(imports), tuple(given)


def _copy(node):
    return ast.parse(ast.unparse(node)).body[0]


def _names(node, aliases):
    """The names in a definition; of given.name, the name."""
    found = [n.id for n in ast.walk(node) if isinstance(n, ast.Name)]
    attributes = [n for n in ast.walk(node) if isinstance(n, ast.Attribute)]
    return found + [n.attr for n in attributes if isinstance(n.value, ast.Name) and n.value.id in aliases]


class _Rename(ast.NodeTransformer):
    """Gives names others, and takes away the module in module.name."""

    def __init__(self, names, aliases):
        self.names, self.aliases = names, aliases

    def visit_Attribute(self, node):
        if isinstance(node.value, ast.Name) and node.value.id in self.aliases:
            return ast.Name(self.names.get(node.attr, node.attr), node.ctx)
        return self.generic_visit(node)

    def visit_Name(self, node):
        return ast.Name(self.names.get(node.id, node.id), node.ctx)

    def visit_arg(self, node):
        node.arg = self.names.get(node.arg, node.arg)
        return node

    def visit_FunctionDef(self, node):
        node.name = self.names.get(node.name, node.name)
        return self.generic_visit(node)
