"""What the modules and classes of libraries held when they came, what somebody has put there since, and what nobody can follow.

A function of torch counts by its name as long as it is the one that came with torch. Whoever puts another in its place changes
what all code that uses it answers, so that the other one counts. It is looked for in what code names itself, in a class of a
library with its bases, in what their code names in its module, and in what torch's layers and this library name in torch. A
replacement that is deeper inside a package is not seen. One that answers as the original does, such as one that takes notes, is
declared by `stands_for`.
"""

import builtins
import re
import sys
import types
from collections.abc import Iterable
from contextlib import suppress
from functools import cache, cached_property, partial
from operator import itemgetter
from weakref import WeakKeyDictionary

import numpy as np
import torch

from advcourse.core.identity.code import (
    HEAP_TYPE,
    NOISE,
    is_installed,
    is_standard,
    library_text,
    needs,
    origin,
    top_of,
)

# What decides no answer: it makes, saves and loads. What is made and loaded counts itself. torch.compile puts its own there.
_HARMLESS = {"torch save", "torch load", "torch manual_seed"}
_HARMLESS |= {f"torch.nn.modules.module.Module {name}" for name in ("__init__", "__setstate__")}
_NOTHING = object()
# Functions whose results nobody knows who has not run them: what they give has a name that is made when they run.
_UNFOLLOWED = frozenset(
    """builtins.eval builtins.exec builtins.globals builtins.__import__ importlib.import_module importlib.__import__
    importlib._bootstrap.__import__ importlib.reload sys._getframe sys._current_frames inspect.currentframe inspect.stack
    inspect.getouterframes gc.get_objects gc.get_referrers gc.get_referents runpy.run_path runpy.run_module
    pkgutil.resolve_name pydoc.locate _pickle.load _pickle.loads pickle._load pickle._loads""".split()
)
_LAYERS = "torch.nn.modules."
_EARLY = set(
    "torch torch.functional torch.nn.functional torch.autograd torch.linalg torch.fft torch.special math random".split()
)
_EARLY |= set("numpy numpy.linalg numpy.fft numpy.random numpy._core.fromnumeric numpy._core.numeric".split())
_OPEN_TO_ALL = {"builtins", "sys", "importlib", "inspect", "gc", "pickle", "_pickle"}
_STANDING = WeakKeyDictionary()
# By the id of what they are of, which they keep.
_PLACES = {}
_NAMED = {}
_MENTIONED = {}


def stands_for(replacement: types.FunctionType | type, original: object) -> types.FunctionType | type:
    """Declare that a function, or a class, answers as the original does in whose place somebody puts it; gives it back."""
    _STANDING[replacement] = original
    return replacement


def unfollowed(value: object, whole: bool = False) -> str | None:
    """The name of what gives values that nobody can follow; None for all else. `whole`: all of a module may be used."""
    if isinstance(value, types.ModuleType):
        return value.__name__ if whole and value.__name__ in _OPEN_TO_ALL else None
    if value is sys.modules:
        return "sys.modules"
    if not isinstance(value, types.FunctionType | types.BuiltinFunctionType):
        return None
    name = f"{value.__module__}.{value.__qualname__}"
    return name if name in _UNFOLLOWED else None


def named(value: type | types.FunctionType) -> str | None:
    """What stands for code that counts by its name; None for code that counts by what it says."""
    found = _NAMED.get(id(value))
    if found is None:
        known = origin(value.__module__) if isinstance(value.__module__, str) else None
        written_in_c = isinstance(value, type) and not value.__flags__ & HEAP_TYPE
        if not known or not (written_in_c or _came_with(value)):
            return None
        found = _NAMED[id(value)] = (value, f"{known} {value.__qualname__}")
    return found[1]


def is_standard_class(kind: type) -> bool:
    """Whether a class is one of Python's standard library."""
    return named(kind) is not None and is_standard(top_of(kind.__module__))


def _came_with(value):
    """Whether another process that imports the module of a function or class finds it there by its name."""
    found = sys.modules.get(value.__module__)
    for part in value.__qualname__.split("."):
        found = place(found).own(part) if isinstance(found, types.ModuleType | type) else None
    return found is value and not is_foreign(value)


class Place:
    """A module or class of a library: what it held when it was first seen, and what stands in its place now."""

    def __init__(self, owner: types.ModuleType | type):
        self.owner, self.held, self.is_class = owner, vars(owner), isinstance(owner, type)
        self.name = f"{owner.__module__}.{owner.__qualname__}" if self.is_class else owner.__name__
        # Somebody may have been there before.
        self.before = {name: _original(value) for name, value in self.held.items()}
        self.last, self.found = [], {}

    def replaced(self) -> list[str]:
        """The names under which another function, class or number stands than the one that came with the library."""
        now = list(self.held.values())
        if not _all_same(now, self.last):
            new = self.held.keys() - self.before.keys() - NOISE if self.is_class else ()
            # What is new in a class hides what it inherits.
            self.found = sorted(
                [name for name in new if _decides(self.held[name])]
                + list(filter(self.is_replaced, self.before))
            )
            self.last = now
        return self.found

    def is_replaced(self, name: str, of_any_kind: bool = False) -> bool:
        """Whether another stands under a name now. `of_any_kind`: of tables and counts, too."""
        was, value = self.before.get(name, _NOTHING), self.held.get(name, _NOTHING)
        if was is value or was is _NOTHING or f"{self.name} {name}" in _HARMLESS or _stands_for(value, was):
            return False
        return of_any_kind or _decides(value) or _decides(was)

    def own(self, name: str) -> object:
        """What came under a name, or None; if somebody was there before, nothing did."""
        found = self.before.get(name, self.held.get(name))  # some modules get a part of their content later
        return found.__func__ if isinstance(found, staticmethod | classmethod) else found

    def is_added(self, name: str) -> bool:
        """Whether somebody has put a new name into the module. What it gets itself, later, are functions, classes and modules."""
        if name not in self.held or name in self.before or name[:2] == "__":
            return False
        value = self.held[name]
        return is_foreign(value) or not callable(value) and not isinstance(value, types.ModuleType)


class Part:
    """Some names of a place: a look at few things costs less than a look at all."""

    def __init__(self, whole: Place, names: Iterable[str]):
        self.whole, self.held, self.name = whole, whole.held, whole.name
        found = whole.before.keys() & names
        self.names = sorted(name for name in found if _decides(whole.before[name]) or whole.is_replaced(name))
        self.values = itemgetter(*self.names, "__name__")
        self.last, self.found = (), []

    def replaced(self) -> list[str]:
        """As that of the whole, of these names alone."""
        try:
            now = self.values(self.held)
        except KeyError:  # somebody took one away
            now = ()
        if not now or not _all_same(now, self.last):
            self.found, self.last = list(filter(self.whole.is_replaced, self.names)), now
        return self.found


def _all_same(now, last):
    try:
        return now == last  # one look at each place in memory, where nothing has changed
    except Exception:  # whatever an object says that is compared
        return False


def place(owner: types.ModuleType | type) -> Place:
    """The place of a module or class, as it was when it was first asked for."""
    found = _PLACES.get(id(owner))
    if found is None:
        found = _PLACES[id(owner)] = Place(owner)
    return found


def places(value: object) -> tuple[Place | Part, ...]:
    """Where to look for replacements when something of a library is used: a class with its bases, or a function."""
    found = _MENTIONED.get(id(value))
    if found is None:
        found = _MENTIONED[id(value)] = (value, tuple(dict.fromkeys(_places(value))))
    return found[1]


def _places(value):
    owners = value.__mro__ if isinstance(value, type) else (_unwrapped(value),)
    for owner in owners:
        module = _module_of(owner)
        if module is None or is_foreign(owner) or is_standard(top_of(module.__name__)):
            continue
        if top_of(module.__name__) in ("torch", "advcourse"):
            yield from _core()
        yield Part(place(module), _words(owner))
        if isinstance(owner, type) and owner.__flags__ & HEAP_TYPE:
            yield place(owner)


def _words(owner):
    """The names in a function's code, or in that of a class."""
    words = set()
    for value in vars(owner).values() if isinstance(owner, type) else (owner,):
        function = getattr(value, "fget", getattr(value, "__func__", value))
        if isinstance(function, types.FunctionType):
            words |= needs(function.__code__).words
    return words


def _module_of(value):
    name = (
        value.__globals__.get("__name__")
        if isinstance(value, types.FunctionType)
        else getattr(value, "__module__", None)
    )
    return sys.modules.get(name) if isinstance(name, str) else None


def _unwrapped(value):
    while isinstance(value, types.FunctionType | type(np.clip)) and "__wrapped__" in vars(value):
        value = value.__wrapped__
    return value


def is_foreign(value: object) -> bool:
    """Whether something is made of code that is no installed package's, whatever it says of itself."""
    while True:
        if isinstance(value, staticmethod | classmethod):
            value = value.__func__
        elif isinstance(value, types.FunctionType):
            if not is_installed(value.__globals__.get("__name__")):
                return True
            if "__wrapped__" not in vars(value):
                return False
            value = value.__wrapped__
        elif type(value) is partial:
            value = value.func
        else:
            kind = value if isinstance(value, type) else type(value)
            return not isinstance(value, types.ModuleType) and not is_installed(kind.__module__)


def _original(value):
    """What came with the library, where a value is now."""
    standing = _declared(value)
    return standing if standing is not None else object() if is_foreign(value) else value


def _declared(value):
    """What a replacement is declared to stand for; None for others, and for what has no hash to be found by."""
    with suppress(TypeError):
        return _STANDING.get(value) if isinstance(value, types.FunctionType | type) else None


def _stands_for(value, original):
    """Whether a replacement is declared to answer as the original, or is what torch.compile makes of it."""
    if original is None or _declared(value) is original:
        return original is not None
    if not isinstance(value, types.FunctionType) or vars(value).get("__wrapped__") is not original:
        return False
    return str(value.__globals__.get("__name__")).startswith("torch._dynamo")


def _decides(value):
    """Whether something may decide an answer: libraries keep counters and tables of their own, too."""
    kinds = (property, staticmethod, classmethod, cached_property, types.ModuleType, float)
    return callable(value) or isinstance(value, kinds)


@cache
def _core():
    """Where all code of torch and of this library comes to: the functions that torch's layers, and this library's text, name."""
    text, functional = library_text(), place(torch.nn.functional)
    of_torch, of_functional = (
        set(re.findall(rf"\b{name}\.(\w+)", text)) for name in ("torch", "(?:F|functional)")
    )
    modules = [module for name, module in sorted(sys.modules.items()) if name.startswith(_LAYERS)]
    for owner in (torch.nn.functional, *modules, *vars(torch.nn).values()):
        for value in list(vars(owner).values()) if isinstance(owner, types.ModuleType | type) else ():
            if isinstance(value, types.FunctionType):
                found = needs(value.__code__)
                of_torch |= {chain[0] for chain in found.chains.get("torch", ()) if chain}
                of_functional |= found.words
    return Part(place(torch), of_torch), Part(functional, of_functional), place(torch.Tensor)


# What is known is known as it was when this library was imported.
for _name, _owner in sorted(sys.modules.items()):
    if _name in _EARLY or _name.startswith(_LAYERS):
        place(_owner)
for _owner in vars(torch.nn).values():
    if isinstance(_owner, type):
        place(_owner)
place(torch.Tensor)
BUILTINS = place(builtins)
