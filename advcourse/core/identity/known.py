"""What library modules and classes held originally, what has been patched since, and which functions cannot be followed.

A torch function counts by its name as long as it is the one that came with torch. A replacement changes the answers of all code
that uses the function, so the replacement counts. Replacements are looked for in what code itself names, in a library class and
its bases, in what their code names in its module, and in what torch's layers and this library name in torch. Replacements deeper
inside a package are not seen. A replacement that gives the same answers as the original, such as one that only logs calls, can be
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

# Functions that decide no answer: they create, save and load, and what they give counts itself. torch.compile replaces some.
_HARMLESS = {"torch save", "torch load", "torch manual_seed"}
_HARMLESS |= {f"torch.nn.modules.module.Module {name}" for name in ("__init__", "__setstate__")}
_NOTHING = object()
# Functions whose results cannot be known without running them, because they look up names made at run time.
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
# Keyed by the id of the object; each value keeps its object alive.
_PLACES = {}
_NAMED = {}
_MENTIONED = {}


def stands_for(replacement: types.FunctionType | type, original: object) -> types.FunctionType | type:
    """Declare that a function or class gives the same answers as the `original` that it replaces; return it."""
    _STANDING[replacement] = original
    return replacement


def unfollowed(value: object, whole: bool = False) -> str | None:
    """Return the name of a function or module whose results cannot be followed, else None.

    Args:
        value: any object.
        whole: whether anything in a module may be used, instead of known names.
    """
    if isinstance(value, types.ModuleType):
        return value.__name__ if whole and value.__name__ in _OPEN_TO_ALL else None
    if value is sys.modules:
        return "sys.modules"
    if not isinstance(value, types.FunctionType | types.BuiltinFunctionType):
        return None
    name = f"{value.__module__}.{value.__qualname__}"
    return name if name in _UNFOLLOWED else None


def named(value: type | types.FunctionType) -> str | None:
    """Return the text that stands for code that counts by its name; None for code that counts by its content."""
    entry = _NAMED.get(id(value))
    if entry is None:
        known = origin(value.__module__) if isinstance(value.__module__, str) else None
        written_in_c = isinstance(value, type) and not value.__flags__ & HEAP_TYPE
        if not known or not (written_in_c or _came_with(value)):
            return None
        entry = _NAMED[id(value)] = (value, f"{known} {value.__qualname__}")
    return entry[1]


def is_standard_class(kind: type) -> bool:
    """Whether a class belongs to Python's standard library."""
    return named(kind) is not None and is_standard(top_of(kind.__module__))


def _came_with(value):
    """Whether another process that imports the module of a function or class finds it there by its name."""
    holder = sys.modules.get(value.__module__)
    for part in value.__qualname__.split("."):
        holder = place(holder).own(part) if isinstance(holder, types.ModuleType | type) else None
    return holder is value and not is_foreign(value)


# The namespaces of torch.ops that torch and torchvision fill themselves.
OPERATORS = ("aten", "image", "mkldnn", "prim", "prims", "quantized", "torchvision")


class Place:
    """A library module or class: what it held when it was first seen, and what has been replaced since."""

    def __init__(self, owner: types.ModuleType | type):
        self.owner, self.held, self.is_class = owner, vars(owner), isinstance(owner, type)
        self.name = f"{owner.__module__}.{owner.__qualname__}" if self.is_class else owner.__name__
        # It may have been patched before it was first seen.
        self.before = {name: _original(value) for name, value in self.held.items()}
        self.last, self.found = [], {}

    def replaced(self) -> list[str]:
        """Return the names whose function, class or number is no longer the one that came with the library."""
        now = list(self.held.values())
        if not _all_same(now, self.last):
            new = self.held.keys() - self.before.keys() - NOISE if self.is_class else ()
            # A new name in a class hides an inherited one.
            self.found = sorted(
                [name for name in new if _decides(self.held[name])]
                + list(filter(self.is_replaced, self.before))
            )
            self.last = now
        return self.found

    def is_replaced(self, name: str, of_any_kind: bool = False) -> bool:
        """Whether the value under a name has been replaced. `of_any_kind`: count tables and counters, too."""
        was, value = self.before.get(name, _NOTHING), self.held.get(name, _NOTHING)
        if was is value or was is _NOTHING or f"{self.name} {name}" in _HARMLESS or _stands_for(value, was):
            return False
        return of_any_kind or _decides(value) or _decides(was)

    def own(self, name: str) -> object:
        """Return the original value of a name, or None. A name patched before it was first seen has no original."""
        value = self.before.get(name, self.held.get(name))  # some modules get a part of their content later
        return value.__func__ if isinstance(value, staticmethod | classmethod) else value

    def is_added(self, name: str) -> bool:
        """Whether a name was added to the module from outside. What a module adds itself are functions, classes and modules."""
        if name not in self.held or name in self.before or name[:2] == "__":
            return False
        value = self.held[name]
        return is_foreign(value) or not callable(value) and not isinstance(value, types.ModuleType)


class SomeNames:
    """Some of the names of a `Place`, because checking few names is cheaper than checking all."""

    def __init__(self, whole: Place, names: Iterable[str]):
        self.whole, self.held, self.name = whole, whole.held, whole.name
        known = whole.before.keys() & names
        self.names = sorted(name for name in known if _decides(whole.before[name]) or whole.is_replaced(name))
        self.values = itemgetter(*self.names, "__name__")
        self.last, self.found = (), []

    def replaced(self) -> list[str]:
        """As `Place.replaced`, for these names only."""
        try:
            now = self.values(self.held)
        except KeyError:  # one has been removed
            now = ()
        if not now or not _all_same(now, self.last):
            self.found, self.last = list(filter(self.whole.is_replaced, self.names)), now
        return self.found


def _all_same(now, last):
    try:
        return now == last  # compares addresses first, so it is fast if nothing has changed
    except Exception:  # an object's own comparison may raise anything
        return False


def place(owner: types.ModuleType | type) -> Place:
    """Return the `Place` of a module or class, as recorded on the first call for it."""
    known = _PLACES.get(id(owner))
    if known is None:
        known = _PLACES[id(owner)] = Place(owner)
    return known


def places(value: object) -> tuple[Place | SomeNames, ...]:
    """Return where to look for replacements if a library class (with its bases) or function is used."""
    entry = _MENTIONED.get(id(value))
    if entry is None:
        entry = _MENTIONED[id(value)] = (value, tuple(dict.fromkeys(_places(value))))
    return entry[1]


def _places(value):
    owners = value.__mro__ if isinstance(value, type) else (_unwrapped(value),)
    for owner in owners:
        module = _module_of(owner)
        if module is None or is_foreign(owner) or is_standard(top_of(module.__name__)):
            continue
        if top_of(module.__name__) in ("torch", "advcourse"):
            yield from _core()
        yield SomeNames(place(module), _words(owner))
        if isinstance(owner, type) and owner.__flags__ & HEAP_TYPE:
            yield place(owner)


def _words(owner):
    """Return the names in the code of a function, or of a class's functions."""
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
    """Whether something is made of code outside all installed packages, whatever its attributes claim."""
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
    """Return what the library had originally in the place of a value."""
    standing = _declared(value)
    return standing if standing is not None else object() if is_foreign(value) else value


def _declared(value):
    """Return what a replacement is declared to stand for; None if it is not declared or not hashable."""
    with suppress(TypeError):
        return _STANDING.get(value) if isinstance(value, types.FunctionType | type) else None


def _stands_for(value, original):
    """Whether a replacement is declared to answer like the original, or is torch.compile's wrapper of it."""
    if original is None or _declared(value) is original:
        return original is not None
    if not isinstance(value, types.FunctionType) or vars(value).get("__wrapped__") is not original:
        return False
    return str(value.__globals__.get("__name__")).startswith("torch._dynamo")


def _decides(value):
    """Whether something may decide an answer, unlike the counters and tables that libraries keep."""
    kinds = (property, staticmethod, classmethod, cached_property, types.ModuleType, float)
    return callable(value) or isinstance(value, kinds)


@cache
def _core():
    """Return the places that all code of torch and this library uses: what torch's layers and this library's text name."""
    text, functional = library_text(), place(torch.nn.functional)
    of_torch, of_functional = (
        set(re.findall(rf"\b{name}\.(\w+)", text)) for name in ("torch", "(?:F|functional)")
    )
    modules = [module for name, module in sorted(sys.modules.items()) if name.startswith(_LAYERS)]
    for owner in (torch.nn.functional, *modules, *vars(torch.nn).values()):
        for value in list(vars(owner).values()) if isinstance(owner, types.ModuleType | type) else ():
            if isinstance(value, types.FunctionType):
                used = needs(value.__code__)
                of_torch |= {chain[0] for chain in used.chains.get("torch", ()) if chain}
                of_functional |= used.words
    return SomeNames(place(torch), of_torch), SomeNames(functional, of_functional), place(torch.Tensor)


# Record these as they are when this library is imported.
for _name, _owner in sorted(sys.modules.items()):
    if _name in _EARLY or _name.startswith(_LAYERS):
        place(_owner)
for _owner in vars(torch.nn).values():
    if isinstance(_owner, type):
        place(_owner)
place(torch.Tensor)
BUILTINS = place(builtins)
