"""What makes two things the same: `identity(value)`, one key for equal things, another for all others.

Everything counts: values, types, names of attributes (private ones, too), which parts are one and the same object, and the code,
with the globals that it names, of functions and classes. What is known not to count:

- where a tensor is and how it lies in memory, `requires_grad`, gradients; a `torch.device`;
- the mode (`training`) of a module that is asked for, and of its registered parts: whoever uses it sets the mode. The mode of a
  module that is hidden in a list, a closure or an argument counts;
- whether a number is Python's own or numpy's of the same precision: `np.float64(0.3)` is 0.3, `np.int64(3)` is 3;
- whether, and how, `torch.compile` keeps a model compiled, beyond that it does;
- loggers; the numbers of hooks, the order of attributes and of sets, annotations, `__doc__`, line numbers, the names of modules;
- the version of Python and of torch: their functions and classes count by name. Those of other installed packages count by name
  and version, this library's by name and the library's text, which is its version.

Code counts as bytecode, so a key of something with code of its own holds for one version of Python.
What a thing reads when it runs (a file, the clock, the environment) cannot be seen.
"""

import copyreg
import hashlib
import types
import uuid
import warnings
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import contextmanager
from functools import lru_cache
from weakref import ref

import numpy as np
import torch
from torch import Tensor, nn

from advcourse.identity.code import NOISE, imported, is_standard, named, needs, origin
from advcourse.identity.values import BUILTIN, CONTENT, PLAIN, PYTHONS_PRECISION, WRAPPERS, tensor_bytes

FRESH = "fresh-"


class IdentityWarning(UserWarning):
    """Something that cannot be told from others: its key matches nothing."""


def identity(value: object, *, apart_from: Iterable[Tensor] = (), quiet: bool = False) -> str:
    """The key of `value`, any Python object: 64 hexadecimal digits.

    It is the same in every process, after save and load, and on every device. Two things that can answer differently have
    different keys. What cannot be told from others, such as an open file, a lock or a TorchScript module, gets a fresh key each
    time, which matches nothing (see `is_fresh`), and an `IdentityWarning`.

    Args:
        apart_from: tensors that count by shape and type, not by value: a model's weights where they are compared elsewhere.
        quiet: no warning, for a key that may never be compared.
    """
    evaluated = {id(part) for part in value.modules()} if isinstance(value, nn.Module) else ()
    walk = _Walk(frozenset(evaluated), frozenset(map(id, apart_from)))
    try:
        walk.add(value)
        return walk.hash.hexdigest()
    except _Unknown as unknown:
        reason = unknown.args[0]
    except RecursionError:
        reason = "parts nested too deeply"
    if not quiet:
        warnings.warn(
            f"{type(value).__qualname__}: holds {reason}, which cannot be told from another; no result that is kept "
            "for it is found again, and no two results of it count as those of one thing",
            IdentityWarning,
            stacklevel=2,
        )
    return FRESH + uuid.uuid4().hex


def is_fresh(key: str) -> bool:
    """Whether an identity is one that matches nothing, not even the same thing's next."""
    return key.startswith(FRESH)


class _Unknown(Exception):
    """Something whose content cannot be read; the argument says what it is."""


class _Walk:
    """A walk over all that a value is made of; `hash` takes in every step.

    What can be changed is numbered when it is first met, and a second mention is that number: two parts that share a list are
    not two parts with equal lists. The data of a module, and of its functions and classes, are numbered apart: in a process that
    imports the module and gets a copy of the rest, the two share nothing.
    """

    def __init__(self, evaluated, apart):
        self.evaluated, self.apart = evaluated, apart
        self.hash = hashlib.sha256()
        self.data, self.code, self.kept = {}, {}, []

    def mark(self, kind, content=b""):
        """Take in one step. The length stands before the content, so that no two walks read alike."""
        content = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
        self.hash.update(b"%s %d:" % (kind.encode(), len(content)))
        self.hash.update(content)

    def add(self, value):
        """Take in a value with all its parts."""
        kind = type(value)
        if kind in PLAIN:
            self.mark(kind.__name__, PLAIN[kind](value))
        elif kind in PYTHONS_PRECISION:
            self.add(value.item())
        elif kind is tuple:
            self._items("tuple", value)
        elif isinstance(value, set | frozenset):
            self._set(value)
        elif isinstance(value, np.generic):
            self.mark("scalar", value.dtype.str.encode() + value.tobytes())
        elif isinstance(value, type):
            self._class(value)
        elif isinstance(value, types.FunctionType):
            self._function(value)
        elif isinstance(value, types.ModuleType):
            self._python_module(value)
        elif isinstance(value, BUILTIN):
            self._builtin(value)
        elif kind in WRAPPERS:
            self.mark(kind.__name__)
            for name in WRAPPERS[kind]:
                self.add(getattr(value, name))
        elif self._is_new(value, self.data):
            self._changeable(value, kind)

    def _changeable(self, value, kind):
        if kind in (dict, OrderedDict, types.MappingProxyType):
            self._items(kind.__name__, [part for pair in value.items() for part in pair])
        elif kind is list:
            self._items("list", value)
        elif isinstance(value, Tensor):
            self._tensor(value, kind)
        elif isinstance(value, nn.Module):
            self._module(value, kind)
        elif kind is np.ndarray:
            self._array(value)
        elif kind is types.MethodType:
            self._items("method", (value.__func__, value.__self__))
        elif kind is types.CodeType:
            self._bytecode(value)
        elif kind is types.CellType:
            self._items("cell", _content(value))
        elif kind is ref:
            self._items("weak", [value()])
        elif kind is torch.Generator:
            self._items("generator", [value.get_state()])
        else:
            self._object(value)

    def _is_new(self, value, numbers):
        """Whether a value is met for the first time; if not, its number is all there is to say."""
        if id(value) in numbers:
            self.mark("again", b"%d" % numbers[id(value)])
            return False
        numbers[id(value)] = len(numbers)
        self.kept.append(value)  # alive, so that no other gets its id
        return True

    def _items(self, kind, values):
        self.mark(kind, b"%d" % len(values))
        for value in values:
            self.add(value)

    def _set(self, value):
        """The parts in an order of their own, for that of a set differs from process to process."""
        parts = []
        for part in value:
            walk = _Walk(self.evaluated, self.apart)
            walk.add(part)
            parts.append(walk.hash.digest())
        self.mark("set", b"".join(sorted(parts)))
        self.add(type(value))
        if type(value) not in (set, frozenset):
            self._attributes(value)

    # Tensors and models

    def _tensor(self, value, kind):
        self.mark("tensor", f"{value.dtype} {tuple(value.shape)} {value.layout}")
        if kind not in (Tensor, nn.Parameter, nn.Buffer):
            if kind.__torch_dispatch__ is not Tensor.__torch_dispatch__:
                raise _Unknown(f"a {kind.__name__}")
            self.add(kind)
        self._attributes(value)
        for hooks in (value._backward_hooks, getattr(value, "_post_accumulate_grad_hooks", None)):
            self._items("hooks", list((hooks or {}).values()))
        if id(value) in self.apart:
            return
        try:
            if value.layout == torch.strided:
                parts = [value.as_subclass(Tensor)]
            else:
                sparse = value.detach().to_sparse_coo().coalesce()
                parts = [sparse.indices(), sparse.values()]
            for part in parts:
                self.mark("values", memoryview(tensor_bytes(part)))
        except (
            RuntimeError,
            TypeError,
            ValueError,
        ) as error:  # a tensor without values, or of a kind without bytes
            raise _Unknown(f"a tensor whose values cannot be read ({error})") from error

    def _array(self, value):
        self.mark("array", f"{value.shape} {value.dtype.descr}")
        if value.dtype.hasobject:
            self._items("values", value.reshape(-1).tolist())
        else:
            self.mark("values", np.ascontiguousarray(value).tobytes())

    def _module(self, value, kind):
        if (
            kind.__module__ == "torch._dynamo.eval_frame"
        ):  # what torch.compile gives: the model, and machinery
            return self._items("compiled", [value._orig_mod])
        hooks = {
            name: held for name, held in vars(value).items() if "_hooks" in name and isinstance(held, dict)
        }
        place = {number: rank for rank, number in enumerate(sorted(set().union(*hooks.values())))}
        skipped = {*hooks, "_compiled_call_impl"} | ({"training"} if id(value) in self.evaluated else set())
        for name in sorted(name for name, held in hooks.items() if held):
            self.mark("hooks", name)
            self._items(
                "hooks", [part for number, hook in hooks[name].items() for part in (place[number], hook)]
            )
        self._object(value, skipped)

    # Objects

    def _object(self, value, skipped=()):
        """Any other object: its class, its attributes, and what pickling it would keep beyond them."""
        kind = type(value)
        self.mark("object")
        self.add(kind)
        own = (
            kind in copyreg.dispatch_table
            or kind.__reduce_ex__ is not object.__reduce_ex__
            or kind.__reduce__ is not object.__reduce__
        )
        # Attributes of the standard library's own classes may be notes, such as a hash, which differs from process to process.
        if not (own and is_standard(kind)):
            self._attributes(value, skipped)
            for name, member in _slots(kind):
                self.mark("slot", name)
                self._items("slot", _content(value, member))
        if isinstance(value, nn.Module) and not isinstance(value, CONTENT):
            return  # its attributes are all there is, and some modules refuse to be pickled
        # Object's own state tells no more than the attributes do.
        self._reduced(_reduced(value), with_state=own or kind.__getstate__ is not object.__getstate__)

    def _reduced(self, reduced, with_state):
        """What pickling would keep: a name, or a function, its arguments, a state, and the items of a list or dictionary."""
        self.kept.append(reduced)
        if isinstance(reduced, str):
            return self.mark("global", reduced)
        function, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
        self._items("made", (function, arguments, state if with_state else None))
        self._items("items", list(items or ()))
        self._items("pairs", [part for pair in pairs or () for part in pair])
        return None

    def _attributes(self, value, skipped=()):
        held = getattr(value, "__dict__", {})
        for name in sorted(held, key=str):
            if name not in skipped:
                self.mark("attribute", str(name))
                self.add(held[name])

    # Code

    def _function(self, value):
        text = named(value)
        if text:
            return self.mark("named", text)
        if not self._is_new(value, self.code):
            return None
        self.mark("function", value.__qualname__)
        self._bytecode(value.__code__)
        with self._elsewhere(value):
            self._attributes(value)
            self._items("closure", value.__closure__ or ())
            self._items("defaults", (value.__defaults__, value.__kwdefaults__))
            names, imports, words = needs(value.__code__)
            for name in names:
                if name in value.__globals__:
                    self.mark("global", name)
                    self._global(value.__globals__[name], words)
            for module in imported(imports, value.__globals__.get("__package__")):
                self._python_module(module, words)
        return None

    def _global(self, value, words):
        if isinstance(value, types.ModuleType):
            self._python_module(value, words)
        else:
            self.add(value)

    def _class(self, value):
        text = named(value)
        if text:
            return self.mark("named", text)
        if not self._is_new(value, self.code):
            return None
        self.mark("class", value.__qualname__)
        self._items("bases", (type(value), *value.__bases__))
        with self._elsewhere(value):
            for name, member in sorted(vars(value).items()):
                if name not in NOISE:
                    self.mark("member", name)
                    self.add(member)
        return None

    def _bytecode(self, code):
        shape = (code.co_flags, code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount)
        names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        self._items("code", (code.co_code, code.co_exceptiontable, shape, names))
        self.mark("constants", b"%d" % len(code.co_consts))
        for constant in code.co_consts:
            self._bytecode(constant) if isinstance(constant, types.CodeType) else self.add(constant)

    def _python_module(self, module, words=None):
        """A module: by name where it is installed, else what the code that names it, by `words`, may take from it."""
        text = origin(module.__name__, library=False)
        if text:
            return self.mark("module", text)
        words = frozenset(name for name in vars(module) if name[:2] != "__") if words is None else words
        if (id(module), words) in self.code:
            return None
        self.code[id(module), words] = len(self.code)
        self.kept.append(module)
        for word in sorted(words):
            try:
                held = getattr(module, word)
            except AttributeError:
                continue
            self.mark("word", word)
            self._global(held, words)
        return None

    def _builtin(self, value):
        self.mark("builtin", f"{getattr(value, '__module__', None)} {value.__qualname__}")
        owner = getattr(value, "__objclass__", getattr(value, "__self__", None))
        if not isinstance(owner, types.ModuleType) and type(owner).__name__ != "PyCapsule":
            self.add(owner)

    @contextmanager
    def _elsewhere(self, value):
        """Inside, data are numbered anew, unless `value` is code made in a function, which takes its data along."""
        before = self.data
        self.data = before if "<locals>" in value.__qualname__ else {}
        try:
            yield
        finally:
            self.data = before


@lru_cache(maxsize=4096)
def _slots(kind):
    """(name, member) of what objects of a class hold beside their `__dict__`. Those of classes in C are no values."""
    bases = [base for base in kind.__mro__ if "__slots__" in vars(base) and not is_standard(base)]
    members = [pair for base in bases for pair in vars(base).items()]
    return tuple(pair for pair in members if isinstance(pair[1], types.MemberDescriptorType))


def _reduced(value):
    """What `pickle` would ask an object for."""
    kind = type(value)
    try:
        reduce = copyreg.dispatch_table.get(kind)
        return reduce(value) if reduce else value.__reduce_ex__(4)
    except Exception as error:  # whatever an object says that cannot be copied
        raise _Unknown(f"a {kind.__module__}.{kind.__qualname__}") from error


def _content(holder, member=None):
    """What a cell, or the slot `member` of an object, holds, as a list; [] if it is empty."""
    try:
        return [holder.cell_contents if member is None else member.__get__(holder)]
    except (ValueError, AttributeError):
        return []
