"""Answers as a student's notebook holds them: one cell for each, with what it calls and imports."""

import ast
import importlib
import inspect
from functools import cache
from itertools import zip_longest

from deciding import FOLLOWED, is_module
from grading_tests import answer, content, exercise


def unwritten(task):
    """The function in the students' copy, of a `Task`."""
    space = {}
    exec(f"def {task.name}({', '.join(task.parameters)}):\n    raise NotImplementedError()", space)
    return space[task.name]


def submissions(rooms):
    """Submissions that together hold all answers of these `rooms`, each a dictionary task -> answer.

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
    """The bytes of a student's copy of a `Lab` that has these answers: task -> function."""
    notebook = exercise(lab.name)
    for task, function in answers.items():
        answer(notebook, task, cell(function, task, tuple(lab.tasks)))
    return content(notebook)


def cell(function, task, tasks):
    """The source of a cell that defines `task` as `function`, an answer in the file of a task, does.

    What the function calls comes along. A helper that bears the name of one of the `tasks` gets another, so that the cell stands
    for itself.
    """
    needed, imports, modules = {}, {}, set()
    waiting = [(function.__module__, function.__name__)]
    while waiting:
        module, name = waiting.pop()
        definitions, lines, followed = _parts(module)
        if name in definitions and name not in needed:
            needed[name] = module, definitions[name]
            waiting += [(module, other) for other in _names(definitions[name])]
            waiting += [
                (followed[a.value.id][0], a.attr)
                for a in ast.walk(definitions[name])
                if isinstance(a, ast.Attribute) and isinstance(a.value, ast.Name) and a.value.id in followed
            ]
        elif name in definitions:
            assert needed[name][0] == module, f"two helpers are called {name}"
        elif name in followed:
            inner, original = followed[name]
            if original and _is_given(inner, original):
                continue  # the notebook imports it
            modules |= {name} if original is None else set()
            waiting += [(inner, original)] if original else []
        elif name in lines:
            imports[lines[name]] = None
    rename = _Rename({name: f"my_{name}" for name in tasks} | {function.__name__: task}, modules)
    body = [ast.parse(line).body[0] for line in sorted(imports)]
    own = function.__module__
    placed = {(module == own, module, node.lineno): node for module, node in needed.values()}
    body += [rename.visit(_copy(placed[place])) for place in sorted(placed)]  # helpers of other files first
    return ast.unparse(ast.Module(body, []))


def _is_given(module, name):
    """Whether the notebook of a lab gives `name`, of this module, to the answers."""
    lab, _, file = module.rpartition(".")
    return file == "given" and name in importlib.import_module(lab).__all__


@cache
def _parts(module):
    """Of a module: name -> definition; name -> line that imports it; name -> (module of the labs, original name or None)."""
    definitions, lines, followed = {}, {}, {}
    for node in ast.parse(inspect.getsource(importlib.import_module(module))).body:
        if isinstance(node, ast.ImportFrom) and node.module.startswith(FOLLOWED):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                known = alias.asname or alias.name
                followed[known] = (inner, None) if is_module(inner) else (node.module, alias.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                one = _copy(node)
                one.names = [alias]
                lines[(alias.asname or alias.name).split(".")[0]] = ast.unparse(one)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            node.decorator_list = [d for d in node.decorator_list if not _hangs(d)]
            definitions[node.name] = node
        elif isinstance(node, ast.Assign):
            for name in (
                n.id for target in node.targets for n in ast.walk(target) if isinstance(n, ast.Name)
            ):
                definitions[name] = node
    return definitions, lines, followed


def _hangs(decorator):
    """Whether a decorator makes an answer of a function: @exercise(...), @task.slip(...), @room.right."""
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    if isinstance(called, ast.Attribute):
        return called.attr in ("slip", "right", "wrong")
    return isinstance(called, ast.Name) and called.id == "exercise"


def _copy(node):
    return ast.parse(ast.unparse(node)).body[0]


def _names(node):
    """All names in a definition, each once, in their order."""
    return list(dict.fromkeys(n.id for n in ast.walk(node) if isinstance(n, ast.Name)))


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
