"""Which package code belongs to, and what it uses from elsewhere."""

import dis
import hashlib
import importlib
import sys
import sysconfig
import types
from functools import cache, lru_cache
from importlib.util import find_spec, resolve_name
from pathlib import Path
from typing import NamedTuple

_LIBRARY = __name__.partition(".")[0]
HEAP_TYPE = 1 << 9  # a flag that classes written in Python have and most types written in C lack
# The files whose text decides what is computed, relative to the library's folder.
_DECISIVE = "attacks cases core/identity core/inputs.py core/randomness.py data defenses evaluation/cells.py"
_DECISIVE += " evaluation/record.py metrics models training zoo/deployed.py"
_LOADS = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
# Names in every module whose values differ from process to process.
OF_A_MODULE = frozenset(
    "__name__ __file__ __package__ __path__ __cached__ __doc__ __annotations__ __builtins__ __spec__ __loader__".split()
)
# Names through which code can reach anything in the program.
_DARK = frozenset(
    "__globals__ __builtins__ f_globals f_locals f_builtins f_back gi_frame __subclasses__ __spec__ __loader__".split()
)

# Attributes of a class that do not count: process-specific, made by the interpreter, or documentation.
NOISE = frozenset(
    """__module__ __dict__ __weakref__ __doc__ __slotnames__ __firstlineno__ __static_attributes__ __annotations__
    __annotate__ __annotate_func__ __annotations_cache__ __orig_bases__ __parameters__ __type_params__
    __dataclass_params__ __abstractmethods__ _abc_impl _backward_cls _autograd_function_id""".split()
)


@cache
def origin(module: str, library: bool = True) -> str | None:
    """Return the name and version of a module whose code need not be inspected; None for the user's own code.

    For a module of this library, the version is the library's text (see `code_digest`) and the module's own. With
    `library=False` such modules count as the user's code.
    """
    top = top_of(module)
    if top == _LIBRARY:
        return (
            f"{module} {code_digest()} {_checksum(Path(sys.modules[module].__file__))}" if library else None
        )
    if top == "torch" or is_standard(top):
        return module
    version = getattr(sys.modules.get(top), "__version__", None)
    return f"{module} {version}" if version and _is_in_packages(top) else None


@cache
def code_digest() -> str:
    """Return the SHA-256 (hex) of the library's source files that decide what is computed."""
    root, files = _decisive()
    return _checksum(*files, root=root)


def library_text() -> str:
    """Return the text of the library's source files that decide what is computed."""
    return "\n".join(file.read_text("utf-8") for file in _decisive()[1])


def _decisive():
    root = Path(__file__).resolve().parents[2]
    places = [root / name for name in _DECISIVE.split()]
    files = [sorted(place.rglob("*.py")) if place.is_dir() else [place] for place in places]
    return root, [file for group in files for file in group]


def _checksum(*files, root=None):
    total = hashlib.sha256()
    for file in files:
        total.update(file.relative_to(root).as_posix().encode() if root else b"")
        total.update(file.read_bytes())
    return total.hexdigest()


def top_of(module: str) -> str:
    """Return the top-level package of a module."""
    return module.partition(".")[0]


def is_standard(top: str) -> bool:
    """Whether a package belongs to Python's standard library."""
    if top not in sys.stdlib_module_names:
        return False
    file = getattr(sys.modules.get(top), "__file__", None)  # the user may have a file of that name
    return file is None or _is_below(file, "stdlib", "platstdlib")


def is_installed(module: str | None) -> bool:
    """Whether a module belongs to an installed package, Python or this library, and not to the user."""
    top = top_of(module) if isinstance(module, str) else ""
    return top in (_LIBRARY, "torch") or is_standard(top) or _is_in_packages(top)


@cache
def _is_in_packages(top):
    try:
        file = getattr(find_spec(top), "origin", None)
    except (ImportError, ValueError):
        return False
    return file is not None and not {"site-packages", "dist-packages"}.isdisjoint(Path(file).parts)


@cache
def _is_below(file, *places):
    return any(
        Path(file).resolve().is_relative_to(Path(sysconfig.get_path(place)).resolve()) for place in places
    )


class Needs(NamedTuple):
    """What a function uses from elsewhere.

    globals: the global names that it reads. chains: for each name that it reads, the attributes taken from it, such as
    ("nn", "functional", "relu") from torch, or () if it uses the object itself. imports: (level, module, name in it or None,
    variable) for each import that it runs. dark: names through which it can reach anything, so that it cannot be followed.
    words: all names in it.
    """

    globals: tuple[str, ...]
    chains: dict[str, tuple[tuple[str, ...], ...]]
    imports: tuple[tuple[int, str, str | None, str | None], ...]
    dark: tuple[str, ...]
    words: frozenset[str]


@lru_cache(maxsize=4096)
def needs(code: types.CodeType) -> Needs:
    """Return what a function, and the functions inside it, use from elsewhere."""
    names, chains, imports, words = set(), {}, [], set(code.co_names)
    dark = _DARK & {*code.co_names, *(word for word in code.co_consts if isinstance(word, str))}
    steps = [step for step in dis.get_instructions(code) if step.opname not in ("CACHE", "PUSH_NULL")]
    for place, step in enumerate(steps):
        if step.opname in _LOADS and step.argval not in OF_A_MODULE:
            names.add(step.argval)
        if step.opname in _LOADS or "LOAD_FAST" in step.opname or "DEREF" in step.opname:
            *others, last = step.argval if isinstance(step.argval, tuple) else (step.argval,)
            for name in others:
                chains.setdefault(name, set()).add(())
            chains.setdefault(last, set()).add(_chain(steps, place + 1))
        elif step.opname == "IMPORT_NAME":
            imports += _imports(steps, place)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            inner = needs(constant)
            names, imports, dark = (
                names | set(inner.globals),
                imports + list(inner.imports),
                dark | set(inner.dark),
            )
            words |= inner.words
            for name, attributes in inner.chains.items():
                chains.setdefault(name, set()).update(attributes)
    ordered = {name: tuple(sorted(attributes)) for name, attributes in chains.items()}
    return Needs(tuple(sorted(names)), ordered, tuple(imports), tuple(sorted(dark)), frozenset(words))


def _chain(steps, place):
    """Return the chain of attribute names loaded one after the other from the instruction at `place`."""
    chain = []
    while steps[place].opname in ("LOAD_ATTR", "LOAD_METHOD"):
        chain.append(steps[place].argval)
        place += 1
    return tuple(chain)


def _imports(steps, place):
    """Return what one import statement imports: `import a.b` binds a; every other form binds what it names."""
    level, names, module = steps[place - 2].argval, steps[place - 1].argval, steps[place].argval
    following = steps[place + 1 :]
    stored = (step for step in following if step.opname.startswith("STORE"))
    if names is None:
        renamed = following[0].opname == "IMPORT_FROM"
        return [(level, module if renamed else top_of(module), None, _variable(next(stored, None)))]
    return [(level, module, name, _variable(step)) for name, step in zip(names, stored)]


def _variable(step):
    """Return the name that an instruction stores to; newer versions of Python have combined instructions with two names."""
    argument = step.argval if step else None
    return argument[0] if isinstance(argument, tuple) else argument


def imported(level: int, name: str, part: str | None, package: str | None) -> object:
    """Return what an import statement gives: a module or a part of one. None if it fails or the package is not loaded yet."""
    try:
        full = resolve_name("." * level + name, package)
        if full not in sys.modules and is_installed(full) and not is_standard(top_of(full)):
            return None
        module = importlib.import_module(full)
        if part is None or hasattr(module, part):
            return module if part is None else getattr(module, part)
        return importlib.import_module(f"{full}.{part}")
    except ImportError:
        return None
