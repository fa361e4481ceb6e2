"""Types in the source: each public function says what it takes and gives, in names that are there."""

import ast
import importlib
import typing
from functools import cached_property
from types import ModuleType

import pytest
from test_layers import MODULES, room_of

ROOMS = (
    "_moved attacks beyond cases cli core course data defenses evaluation grading labs lifecycle metrics models plots practice "
    "training zoo"
).split()
PLACES = [name for name in MODULES if room_of(name) in ROOMS]
TASK = """
@exercise("One step", 2)
def fgsm(model, x, y, eps): ...
def towards(model, x): ...
def other_case(task: Task, draw) -> Case: ...
def right_case(task: Task, draw: Draw) -> Case: ...
"""
CODE = """
def right(a: int, *b: int, c: int = 0, **d: int) -> int: ...
def no_return(a: int): ...
def no_parameter(a) -> int: ...
def no_keyword(*, a=0) -> int: ...
def no_others(*a, **b) -> int: ...
def _private(a): ...
class Right:
    size: int
    def __init__(self, a: int): ...
    def __call__(self) -> int: ...
    def __len__(self): ...
    @property
    def a(self) -> int: ...
    @a.setter
    def a(self, value): ...
    @staticmethod
    def b(c): ...
class _Private:
    def a(self): ...
"""


def public(body, owner=""):
    """(name, node) of each public function and class in the code, and in those classes; a method's name is Class.method."""
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            if node.name in ("__init__", "__call__") or not node.name.startswith("_"):
                yield owner + node.name, node
                if isinstance(node, ast.ClassDef):
                    yield from public(node.body, f"{owner}{node.name}.")


def parsed(module):
    return ast.parse(MODULES[module].read_text(encoding="utf-8")).body


def of_the_judge(node):
    """Whether a function in the file of a lab's task is the judge's, by its first parameter: not an answer, nor a part of one."""
    return [one.arg for one in node.args.args][:1] in (["student"], ["task"], ["draw"], ["case"])


def untyped(body):
    """The names of those functions that lack the type of a parameter, or of what they return.

    In the file of a lab's task stand answers as students write them, without types.
    """
    answers = any("exercise(" in ast.unparse(d) for _, node in public(body) for d in node.decorator_list)
    for name, node in public(body):
        if isinstance(node, ast.FunctionDef) and (of_the_judge(node) or not answers):
            own = node.args
            given = [*own.posonlyargs, *own.args, own.vararg, *own.kwonlyargs, own.kwarg]
            typed = all(one.annotation for one in given if one and one.arg not in ("self", "cls"))
            if not (typed and (node.returns or node.name == "__init__")):
                yield name


def parts(thing):
    """The functions behind what a class or module holds under one name; a class stands for the types of its fields."""
    if isinstance(thing, property):
        return [one for one in (thing.fget, thing.fset) if one]
    if isinstance(thing, cached_property):
        return [thing.func]
    if isinstance(
        thing, type
    ):  # its own fields, without those of another library's class that it is based on
        fields = {"__annotations__": vars(thing).get("__annotations__", {}), "__module__": thing.__module__}
        return [type(thing.__name__, (), fields)]
    return [getattr(thing, "__func__", thing)]


def imported_for_types(body):
    """What the code imports if TYPE_CHECKING: name -> object."""
    names = {}
    for node in body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            exec(compile(ast.Module(node.body, []), "types", "exec"), names)
    return names


def unresolved(module, body):
    """(name, error) of the functions and classes in `body`, the module's code, whose types name something that is not there."""
    names = imported_for_types(body)
    for name in dict(public(body)):  # a property's setter has the name of its getter
        thing = module
        for part in name.split("."):
            thing = vars(thing)[part]
        for one in parts(thing):
            try:
                typing.get_type_hints(one, localns=names)
            except NameError as error:
                yield name, str(error)


def test_every_room_is_there():
    """Checks the names at the top against the rooms that have files."""
    assert {room_of(name) for name in PLACES} == set(ROOMS)


@pytest.mark.parametrize("module", PLACES)
def test_public_functions_are_typed(module):
    """Checks the annotations that stand in the source."""
    assert list(untyped(parsed(module))) == []


@pytest.mark.parametrize("module", PLACES)
def test_types_name_what_is_there(module):
    """Checks with the standard library, which looks each name up."""
    assert list(unresolved(importlib.import_module(module), parsed(module))) == []


def test_a_missing_type_would_be_seen():
    """Checks the reader on code whose gaps are known, one of each kind."""
    missing = ["no_return", "no_parameter", "no_keyword", "no_others", "Right.a", "Right.b"]
    assert list(untyped(ast.parse(CODE).body)) == missing
    assert list(untyped(ast.parse(TASK).body)) == ["other_case"]


def test_a_name_that_is_not_there_would_be_seen():
    """Checks the look-up on the same code, one type at a time put into quotes and misspelt."""
    for place in range(CODE.count("int")):
        pieces = CODE.split("int")
        code = "int".join(pieces[: place + 1]) + "'Whole'" + "int".join(pieces[place + 1 :])
        module = ModuleType("code")
        exec(code, vars(module))
        assert len(list(unresolved(module, ast.parse(code).body))) == 1
