"""Which code counts by its name, and what other code needs of the module that it stands in."""

import dis
import hashlib
import importlib
import sys
import sysconfig
import types
from collections.abc import Iterator
from functools import cache, lru_cache
from importlib.util import find_spec, resolve_name
from pathlib import Path

_LIBRARY = __name__.partition(".")[0]
_HEAP_TYPE = 1 << 9  # a flag that classes written in Python have, and most types written in C have not
# The files whose text decides what is computed, below the library's folder.
_DECISIVE = "attacks augmentation.py checkpoints.py data defenses evaluation/cells.py evaluation/record.py identity inputs.py"
_DECISIVE += " metrics models randomness.py training.py transformations.py zoo.py"
_LOADS = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}

# What a class has beside its own members: numbered by the process, made by the interpreter, or for readers alone.
NOISE = frozenset(
    """__module__ __dict__ __weakref__ __doc__ __slotnames__ __firstlineno__ __static_attributes__ __annotations__
    __annotate__ __annotate_func__ __annotations_cache__ __orig_bases__ __parameters__ __type_params__
    __dataclass_params__ __abstractmethods__ _abc_impl _backward_cls _autograd_function_id""".split()
)


def _is_importable(value: type | types.FunctionType) -> bool:
    """Whether another process that imports the module of a function or class finds it there by its name."""
    found = sys.modules.get(value.__module__)
    for part in value.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is value


def named(value: type | types.FunctionType) -> str | None:
    """What stands for code that counts by its name; None for code that counts by what it says."""
    known = origin(value.__module__) if isinstance(value.__module__, str) else None
    written_in_c = isinstance(value, type) and not value.__flags__ & _HEAP_TYPE
    return f"{known} {value.__qualname__}" if known and (written_in_c or _is_importable(value)) else None


@cache
def origin(module: str, library: bool = True) -> str | None:
    """The name of a module whose text needs no look, with its version; None for code of the user's own.

    The version of this library is its text, see `code_digest`, and that of the module itself. With `library=False` its modules
    are taken as the user's.
    """
    top = module.partition(".")[0]
    if top == _LIBRARY:
        return (
            f"{module} {code_digest()} {_checksum(Path(sys.modules[module].__file__))}" if library else None
        )
    if top == "torch" or _is_standard(top):
        return module
    version = getattr(sys.modules.get(top), "__version__", None)
    return f"{module} {version}" if version and _is_installed(top) else None


@cache
def code_digest() -> str:
    """SHA-256 (hex) of the library's source, as far as it decides what is computed."""
    root = Path(__file__).resolve().parent.parent
    places = [root / name for name in _DECISIVE.split()]
    files = [sorted(place.rglob("*.py")) if place.is_dir() else [place] for place in places]
    return _checksum(*(file for group in files for file in group), root=root)


def _checksum(*files, root=None):
    total = hashlib.sha256()
    for file in files:
        total.update(file.relative_to(root).as_posix().encode() if root else b"")
        total.update(file.read_bytes())
    return total.hexdigest()


def is_standard(kind: type) -> bool:
    """Whether a class is one of Python's standard library."""
    return named(kind) is not None and _is_standard(kind.__module__.partition(".")[0])


def _is_standard(top):
    if top not in sys.stdlib_module_names:
        return False
    file = getattr(sys.modules.get(top), "__file__", None)  # a file of the user's may have such a name
    return file is None or _is_below(file, "stdlib", "platstdlib")


@cache
def _is_installed(top):
    try:
        file = getattr(find_spec(top), "origin", None)
    except (ImportError, ValueError):
        return False
    return file is not None and not {"site-packages", "dist-packages"}.isdisjoint(Path(file).parts)


def _is_below(file, *places):
    return any(
        Path(file).resolve().is_relative_to(Path(sysconfig.get_path(place)).resolve()) for place in places
    )


@lru_cache(maxsize=4096)
def needs(code: types.CodeType) -> tuple[tuple[str, ...], tuple[str, ...], frozenset[str]]:
    """What a function takes from elsewhere: the globals it reads, the modules it imports, and all names that it mentions."""
    names, imports, words = set(), set(), set(code.co_names)
    for step in dis.get_instructions(code):
        if (
            step.opname in _LOADS and step.argval[:2] != "__"
        ):  # __name__ and its like differ from process to process
            names.add(step.argval)
        elif step.opname == "IMPORT_NAME":
            imports.add(step.argval)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            inner = needs(constant)
            names, imports, words = names | set(inner[0]), imports | set(inner[1]), words | inner[2]
    return tuple(sorted(names)), tuple(sorted(imports)), frozenset(words)


def imported(names: tuple[str, ...], package: str | None) -> Iterator[types.ModuleType]:
    """The user's own modules among those that a function imports when it runs; installed ones count by their names."""
    for name in names:
        for full in (f"{package}.{name}" if package and name else package, name):
            top = (full or "").partition(".")[0]
            if not top or top == "torch" or top in sys.stdlib_module_names or _is_installed(top):
                continue
            try:
                yield importlib.import_module(resolve_name(full, package))
                break
            except ImportError:
                continue
