"""The library's floors: who may import whom. The table is the block in CONTRIBUTING.md."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / "advcourse").rglob("*.py"))


def floors():
    """Room -> height of its floor, the ground being 0, from the table in CONTRIBUTING.md."""
    block = re.search(
        r"^```floors\n(.*?)^```", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.M | re.S
    )
    lines = [line.split() for line in block.group(1).splitlines() if line.strip()]
    return {room: height for height, rooms in enumerate(reversed(lines)) for room in rooms}


def module_name(path):
    """advcourse/data/base.py -> advcourse.data.base; a package's __init__.py -> the package."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def room_of(module):
    """advcourse.data.base -> data; advcourse itself -> ''."""
    return [*module.split("."), ""][1]


MODULES = {module_name(path): path for path in FILES}


def imported(tree, module, is_package=False, modules=MODULES):
    """The project's modules that the code imports, wherever in the file the import stands."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module.split(".") if is_package else module.split(".")[:-1]
                above = package[: len(package) - node.level + 1]
                base = ".".join([*above, base]).rstrip(".")
            for alias in node.names:  # a name may be a module or something in one
                full = f"{base}.{alias.name}"
                found.add(full if full in modules else base)
    return {name for name in found if name.split(".")[0] == "advcourse"}


IMPORTS = {
    module: imported(ast.parse(path.read_text(encoding="utf-8")), module, path.name == "__init__.py")
    for module, path in MODULES.items()
}


def too_high(module, imports, table):
    """Those of `imports` that `module` may not import."""
    room = room_of(module)
    return sorted(
        name for name in imports if room_of(name) not in ("", room) and table[room_of(name)] >= table[room]
    )


def test_every_room_stands_in_the_table():
    """Checks the folders on disk against the table: a room that the table does not name has no floor."""
    rooms = {room_of(module) for module in MODULES} - {""}
    assert rooms and not rooms - floors().keys()


@pytest.mark.parametrize("module", [name for name in MODULES if room_of(name)])
def test_imports_go_down(module):
    """Checks the import statements, read from the source, against the table."""
    assert too_high(module, IMPORTS[module], floors()) == []


def test_a_forbidden_import_would_be_seen():
    """Checks the reader of imports on code whose imports are known, in each way of writing them."""
    code = "import advcourse.cli\nfrom advcourse import cli\nfrom ..cli import main\ndef f():\n    from advcourse.cli import app"
    for line in (code, *code.replace("def f():\n    ", "").splitlines()):
        names = imported(ast.parse(line), "advcourse.data.base")
        assert names == {"advcourse.cli"}
        assert too_high("advcourse.data.base", names, floors()) == ["advcourse.cli"]
    assert imported(ast.parse("from .base import x"), "advcourse.data", is_package=True) == {
        "advcourse.data.base"
    }


def test_no_circles():
    """Checks the graph of imports with the standard library's topological sorter, which refuses circles."""
    assert list(TopologicalSorter(IMPORTS).static_order())


def test_package_files_only_hand_names_on():
    """Checks that no __init__.py of a room defines a class or a function other than the lazy `__getattr__`."""
    for path in FILES:
        if path.name == "__init__.py":
            tree = ast.parse(path.read_text(encoding="utf-8"))
            defined = [node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
            assert set(defined) <= {"__getattr__", "__dir__"}, path


def length(function):
    """Lines of a function without those of its docstring."""
    docstring = function.body[0] if ast.get_docstring(function) else None
    return (
        function.end_lineno
        - function.lineno
        + 1
        - (docstring.end_lineno - docstring.lineno + 1 if docstring else 0)
    )


def test_files_and_functions_stay_short():
    """Checks the sizes that CONTRIBUTING.md sets: a file has at most 400 lines, a function at most 50."""
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 400, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert length(node) <= 50, f"{path.name}: {node.name}"
