"""The identity of code: the text of modules and of what they import from this library, apart from comments and docstrings."""

import ast
import hashlib
import tokenize
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec, resolve_name
from io import StringIO
from pathlib import Path

_LIBRARY = __name__.partition(".")[0]
# Rooms and files that name, print, check or store what was computed, and never change it; and the catalogue of all data sets,
# since the images that were measured have an identity of their own.
_BESIDES = ("core.identity", "core.errors", "core.files", "core.intervals", "core.rounding", "data.catalogue")
_DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def code_of(modules: Iterable[str], alone: Iterable[str] = ()) -> str:
    """Return the SHA-256 (hex) of the code of `modules` with all that they import from this library, and of `alone` without.

    Comments, docstrings and empty lines do not count, so that better words leave every result as it is.
    """
    waiting, found = list(modules), set(alone)
    followed = set()
    while waiting:
        module = waiting.pop()
        if module not in followed and not _is_besides(module):
            followed.add(module)
            waiting += _imported(module)
    total = hashlib.sha256()
    for module in sorted(followed | found):
        total.update(f"{module}\n{_code(module)}\n".encode())
    return total.hexdigest()


def without_words(text: str) -> str:
    """The text of a Python file without its docstrings, comments on lines of their own, and empty lines."""
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node) is not None:
            words = node.body[0]
            lines[words.lineno - 1 : words.end_lineno] = [""] * (words.end_lineno - words.lineno + 1)
    for token in tokenize.generate_tokens(StringIO(text).readline):
        if token.type == tokenize.COMMENT and token.line.lstrip().startswith("#"):
            lines[token.start[0] - 1] = ""
    return "\n".join(line for line in lines if line.strip())


def _is_besides(module):
    return any(f"{module}.".startswith(f"{_LIBRARY}.{part}.") for part in _BESIDES)


@cache
def _code(module):
    return without_words(Path(find_spec(module).origin).read_text(encoding="utf-8"))


@cache
def _imported(module):
    """The library's modules that a module imports, wherever in it the import stands."""
    spec = find_spec(module)
    package = module if spec.submodule_search_locations else module.rpartition(".")[0]
    names = set()
    for node in ast.walk(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = (
                resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module
            )
            names |= {full if _is_module(full := f"{base}.{alias.name}") else base for alias in node.names}
    return {name for name in names if name.partition(".")[0] == _LIBRARY}


@cache
def _is_module(name):
    if name.partition(".")[0] != _LIBRARY:
        return False
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # its parent is a module without modules of its own
        return False
