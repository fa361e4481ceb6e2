"""What decides a verdict: the code that a task or an answer to it reaches, and a digest of it.

Names are followed from definition to definition, through the modules of `advcourse.labs`; in which module a definition stands
does not matter. What carries a call to the student's function and back decides nothing, nor does what errors are explained with.
Comments, docstrings, types, layout and long texts (what a student is told) do not count, so that a better sentence asks for no
new measurement.
"""

import ast
import importlib
import inspect
from functools import cache
from hashlib import sha256

FOLLOWED = ("advcourse.labs", "probe")  # the second are those that the tests make
WORDS = "advcourse.labs.advice"  # gives a verdict more words, and no other key
TEXT = 40  # characters: a longer string is a sentence, no key


def digest(*starts):
    """Ten hexadecimal digits of all code that `starts`, pairs of (module, name), reach."""
    return sha256("\n".join(_reached(starts)).encode()).hexdigest()[:10]


def of_task(task):
    """The place where a task is defined: the module and the variable's name."""
    return task.solution.__module__, task.name


def _reached(starts):
    """The texts of all definitions that are reached, sorted."""
    seen, waiting = {}, list(starts)
    while waiting:
        place = waiting.pop()
        module, name = place
        if place in seen or module == WORDS or not module.startswith(FOLLOWED):
            continue
        definitions, imports = _parts(module)
        if name in definitions:
            text, used = definitions[name]
            seen[place] = text
            waiting += [(module, other) for other in used]
            waiting += [target for used_name in used for target in _imported(imports, used_name, used)]
        elif name in imports:
            seen[place] = ""
            waiting += _imported(imports, name, ())
    return sorted(set(filter(None, seen.values())))


def _imported(imports, name, used):
    """Where an imported name is defined; of an imported module, each name in `used` that it defines."""
    if name not in imports:
        return []
    module, original = imports[name]
    if original is None:
        return [(module, other) for other in used if other in _parts(module)[0]] if _ours(module) else []
    return [(module, original)]


def _ours(module):
    return module.startswith(FOLLOWED)


@cache
def _parts(module):
    """Of a module: name -> (text, names used) of its definitions; name -> (module, original name, None for a module)."""
    tree = ast.parse(inspect.getsource(importlib.import_module(module)))
    definitions, imports = {}, {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found = (inner, None) if _ours(inner) and is_module(inner) else (node.module, alias.name)
                imports[alias.asname or alias.name] = found
        for name in _bound(node):
            text, used = definitions.get(name, ("", frozenset()))
            definitions[name] = text + ast.unparse(_Bare().visit(node)), used | _names(node)
    return definitions, imports


def is_module(name):
    """Whether a module of this name can be imported."""
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _bound(node):
    """The names that a statement of a module binds, or adds to: a slip of a task belongs to the task, and so do its checks."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name, *(owner for owner in map(_owner, node.decorator_list) if owner)]
    if isinstance(node, ast.Expr) and (owner := _owner(node.value)):
        return [owner]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [n.id for target in targets if target for n in ast.walk(target) if isinstance(n, ast.Name)]


def _owner(node):
    """The task in task.slip(...) and task.checks(...)."""
    called = node.func if isinstance(node, ast.Call) else None
    if isinstance(called, ast.Attribute) and called.attr in ("slip", "checks"):
        return called.value.id
    return None


def _names(node):
    """All names and attributes in a definition."""
    names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    return frozenset(names | {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)})


class _Bare(ast.NodeTransformer):
    """Takes docstrings, long texts and the types of parameters and results away."""

    def visit_FunctionDef(self, node):
        node.returns = None
        return self.generic_visit(node)

    def visit_arg(self, node):
        node.annotation = None
        return node

    def visit_Expr(self, node):
        text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if text else self.generic_visit(node)

    def visit_Constant(self, node):
        long = isinstance(node.value, str) and len(node.value) > TEXT
        return ast.Constant("…") if long else node
