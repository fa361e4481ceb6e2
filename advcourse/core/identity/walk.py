"""When two things count as the same: `identity(value)` gives equal things one key, and all others a different one.

Everything counts: values, types, names of attributes (private ones, too), which parts are the same object, and the code of
functions and classes, with the globals that it names. Only the following does not count:

- the device and memory layout of a tensor, `requires_grad`, gradients; a `torch.device`;
- the mode (`training`) of the module passed in, and of its registered submodules, because whoever uses it sets the mode. The mode
  does count for a module inside a list, a closure or an argument, and for one that overrides `train`, with its submodules;
- whether a number is Python's or numpy's of the same precision: `np.float64(0.3)` is 0.3, `np.int64(3)` is 3;
- the internal state of `torch.compile`. Being compiled counts, and so does the user's own backend;
- what `functools.lru_cache`, `functools.singledispatch` and `numpy.vectorize` remember of their calls;
- which tensors or arrays share memory;
- loggers; hook ids, the order of attributes and of sets, annotations, `__doc__`, line numbers, module names;
- the versions of Python and torch, whose functions and classes count by name. Those of other installed packages count by name and
  version. This library's count by name and by the library's source text, which serves as its version. Replacements of any of
  these count, see `known`.

Code counts as bytecode, so the key of something with code of its own is valid for one version of Python.
What a thing reads when it runs (a file, the clock, the environment) cannot be seen. Code that looks up values by names made at
run time (`eval`, `globals`, `sys.modules`) cannot be told from other code. What a model remembers of its last input counts, so
its key changes with each use.
"""

import copyreg
import hashlib
import itertools
import types
import uuid
import warnings
from collections import OrderedDict
from collections.abc import Iterable
from functools import _lru_cache_wrapper
from weakref import ref

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.utils.hooks import RemovableHandle

from advcourse.core.identity import parts
from advcourse.core.identity.functions import CodeWalk
from advcourse.core.identity.known import is_standard_class
from advcourse.core.identity.values import (
    BUILTIN,
    CONTENT,
    PLAIN,
    PYTHONS_PRECISION,
    WRAPPERS,
    Unknown,
    tensor_bytes,
    tensor_parts,
)

FRESH = "fresh-"
_USUAL = {dict, OrderedDict, list, Tensor, nn.Parameter}


MOST_STEPS = 20_000_000  # tuples and frozensets in one another may hold a part exponentially often


class IdentityWarning(UserWarning):
    """Something cannot be told apart from other things, so its key matches nothing."""


def identity(value: object, *, apart_from: Iterable[Tensor] = (), quiet: bool = False) -> str:
    """Return the key of `value`: 64 hexadecimal digits.

    The key is the same in every process, after saving and loading, and on every device. Two things that can answer differently
    have different keys. What cannot be told apart from other things, such as an open file, a lock or a TorchScript module, gets
    a fresh key each time, which matches nothing (see `is_fresh`), and an `IdentityWarning`.

    Args:
        value: any Python object.
        apart_from: tensors that count by shape and dtype only, such as a model's weights if they are compared elsewhere.
        quiet: give no warning, for a key that may never be compared (default False).
    """
    walk = _Walk(parts.modes_set(value), frozenset(map(id, apart_from)))
    try:
        walk.add(value)
        return walk.hash.hexdigest()
    except Unknown as unknown:
        reason = unknown.args[0]
    except RecursionError:
        reason = "parts nested too deeply"
    if not quiet:
        warnings.warn(
            f"{type(value).__qualname__}: holds {reason}, which cannot be told from another; no stored result for it "
            "will be found again, and no two of its results count as results of the same thing",
            IdentityWarning,
            stacklevel=2,
        )
    return FRESH + uuid.uuid4().hex


def is_fresh(key: str) -> bool:
    """Whether a key matches nothing, not even the next key of the same thing."""
    return key.startswith(FRESH)


class _Walk(CodeWalk):
    """A walk over everything that a value consists of; every step is added to `hash`.

    Mutable objects are numbered when they are first met and later referred to by number, so that two parts that share a list
    differ from two parts with equal lists. The data of modules, and of their functions and classes, are numbered separately,
    because a process that imports the module and unpickles the rest shares nothing between the two. Functions and classes have
    a numbering of their own.
    """

    def __init__(self, evaluated, apart, steps=None):
        self.evaluated, self.apart = evaluated, apart
        self.steps = steps or itertools.count()  # of this walk and of the smaller ones that it makes
        self.hash = hashlib.sha256()
        self.data, self.shared, self.code, self.kept = {}, {}, {}, []
        self.seen = set()

    def mark(self, kind, content=b""):
        """Add one step to the hash. The length precedes the content, so that different walks never hash the same bytes."""
        if next(self.steps) > MOST_STEPS:
            raise Unknown(f"more than {MOST_STEPS} parts, perhaps the same ones again and again")
        content = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
        if len(content) < 1000:
            self.hash.update(b"%b %d:%b" % (kind.encode(), len(content), content))
        else:
            self.hash.update(b"%b %d:" % (kind.encode(), len(content)))
            self.hash.update(content)

    def add(self, value):
        """Add a value with all its parts to the hash."""
        kind = type(value)
        if kind in PLAIN:
            self.mark(kind.__name__, PLAIN[kind](value))
        elif kind in PYTHONS_PRECISION:
            self.add(value.item())
        elif kind is tuple:
            self._items("tuple", value)
        elif kind in _USUAL:  # most parts of a model, so they come before the slower checks
            if self._is_new(value, self.data):
                self._changeable(value, kind)
        elif isinstance(value, set | frozenset):
            self._set(value, kind)
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
        elif kind is RemovableHandle:  # its number says only how many hooks were registered before
            self.mark("handle")
        elif isinstance(value, np.dtype):
            self._dtype(value)
        elif isinstance(value, np.generic) and kind is not np.void:
            self._dtype(value.dtype)
            self.mark("scalar", value.tobytes())
        elif (
            kind is object or kind is _lru_cache_wrapper
        ):  # code may care only about which of two such objects it is
            if self._is_new(value, self.code, "again code"):
                self._object(value) if kind is object else self._cache(value)
        elif self._is_new(value, self.data):
            self._changeable(value, kind)

    def _changeable(self, value, kind):
        if kind in (dict, OrderedDict, types.MappingProxyType):
            self._known_to_nobody(value)
            self._items(kind.__name__, [part for pair in value.items() for part in pair])
        elif kind is list:
            self._items("list", value)
        elif isinstance(value, Tensor):
            self._tensor(value, kind)
        elif isinstance(value, nn.Module):
            self._module(value, kind)
        elif kind is np.ndarray or kind is np.void:
            self.mark(kind.__name__, str(value.shape))
            self._dtype(value.dtype)
            self._entries(np.asarray(value))
        elif kind is np.ufunc:
            name, called = parts.ufunc_parts(value)
            self._items("ufunc", (name, value.nin, value.nout, value.identity, *called))
        elif kind is types.MethodType:
            self._items("method", (value.__func__, value.__self__))
        elif kind is types.CodeType:
            self._bytecode(value)
        elif kind is types.CellType:
            self._items("cell", parts.content(value))
        elif kind is ref:
            self._items("weak", (value(), value.__callback__))
        elif kind is torch.Generator:
            self._items("generator", [value.get_state()])
        else:
            self._object(value, parts.NOTES.get(kind, ()))

    def _is_new(self, value, numbers, again="again"):
        """Whether a value is met for the first time; if not, only its number is added to the hash."""
        if id(value) in numbers:
            self.mark(again, b"%d" % numbers[id(value)])
            return False
        numbers[id(value)] = len(numbers)
        self.kept.append(value)  # keep it alive, so that no other object gets its id
        return True

    def _items(self, kind, values):
        self.mark(kind, b"%d" % len(values))
        for value in values:
            self.add(value)

    def _set(self, value, kind):
        if kind is not frozenset and not self._is_new(value, self.data):
            return
        self.mark("set", b"%d" % len(value))
        self.add(kind)
        for part in sorted(value, key=self._rank):
            self.add(part)
        if kind not in (set, frozenset):
            self._attributes(value)

    def _rank(self, part):
        """Return a sort key for a part of a set, because the set's own order differs from process to process."""
        if type(part) in PLAIN:
            return type(part).__name__, PLAIN[type(part)](part), -1
        walk = _Walk(self.evaluated, self.apart, self.steps)
        walk.add(part)
        return "", walk.hash.digest(), self.data.get(id(part), self.code.get(id(part), -1))

    # Tensors, arrays and models

    def _tensor(self, value, kind):
        try:
            shape = tuple(value.shape)
        except RuntimeError as error:  # nested, or of a lazy layer that has seen no input
            raise Unknown(f"a tensor without a shape ({error})") from error
        self.mark("tensor", f"{value.dtype} {shape} {value.layout}")
        if kind not in (Tensor, nn.Parameter, nn.Buffer):
            if kind.__torch_dispatch__ is not Tensor.__torch_dispatch__:
                raise Unknown(f"a {kind.__name__}")
            self.add(kind)
        self._attributes(
            value, [name for name in getattr(value, "__dict__", ()) if name.startswith("_dynamo_")]
        )
        for hooks in (value._backward_hooks, getattr(value, "_post_accumulate_grad_hooks", None)):
            self._items("hooks", list((hooks or {}).values()))
        if id(value) in self.apart:
            return
        try:
            for part in tensor_parts(value):
                if isinstance(part, Tensor):
                    self.mark("values", memoryview(tensor_bytes(part)))
                else:
                    self.add(part)
        except (
            RuntimeError,
            TypeError,
            ValueError,
        ) as error:  # a tensor without values, or of a kind without bytes
            raise Unknown(f"a tensor whose values cannot be read ({error})") from error

    def _dtype(self, dtype):
        self.mark("dtype", f"{dtype.str} {dtype.name}" if dtype.kind == "V" else dtype.str)
        if dtype.kind == "T":
            self._items("texts", (getattr(dtype, "na_object", None), dtype.coerce))
        if dtype.kind == "V" or dtype.metadata:
            self._items(
                "dtype", (dtype.itemsize, dtype.alignment, dtype.isalignedstruct, dtype.subdtype, dtype.names)
            )
            self._items("metadata", [part for pair in (dtype.metadata or {}).items() for part in pair])
            for name in dtype.names or ():
                self._items("field", dtype.fields[name])

    def _entries(self, array):
        """Add the entries of an array, without the padding between the fields of structured ones."""
        if array.dtype.names:
            for name in array.dtype.names:
                self._entries(array[name])
        elif array.dtype.hasobject:
            self._items("values", array.reshape(-1).tolist())
        else:
            self.mark("values", np.ascontiguousarray(array).tobytes())

    def _module(self, value, kind):
        every = {n: held for n, held in vars(value).items() if "_hooks" in n and isinstance(held, dict)}
        hooks = {n: held for n, held in every.items() if n not in parts.OF_STATES}
        order = {number: rank for rank, number in enumerate(sorted(set().union(*hooks.values())))}
        for name in sorted(name for name, held in hooks.items() if held):
            self.mark("hooks", name)
            self._items(
                "hooks", [part for number, hook in hooks[name].items() for part in (order[number], hook)]
            )
        if everywhere := parts.global_hooks():
            self._items("global hooks", everywhere)
        if isinstance(value, GraphModule):
            return self._traced(value)
        if parts.is_compiled(kind):
            return self._items("compiled", [value._orig_mod, *parts.own_backend(value)])
        if vars(value).get("_compiled_call_impl"):
            self._items("compiled", parts.own_backend(value))
        skipped = {*every, "_compiled_call_impl", "_is_torch_compile"} | (
            {"training"} if id(value) in self.evaluated else set()
        )
        return self._object(value, skipped)

    def _traced(self, value):
        """Add a model of torch.fx: the code of its graph, what that code names, and its parts."""
        code = value.graph.python_code("self")
        self.mark("traced", code.src)
        self._items("names", [part for name in sorted(code.globals) for part in (name, code.globals[name])])
        self._items("parts", (value._parameters, value._buffers, value._modules))

    # Objects

    def _object(self, value, skipped=()):
        """Add any other object: its class, its attributes, and what pickling would save beyond them."""
        kind = type(value)
        self.mark("object")
        self.add(kind)
        own = (
            kind in copyreg.dispatch_table
            or kind.__reduce_ex__ is not object.__reduce_ex__
            or kind.__reduce__ is not object.__reduce__
        )
        # Attributes of standard library classes may be internal, such as a cached hash, which differs from process to process.
        if not (own and is_standard_class(kind)):
            self._attributes(value, skipped)
            for name, member in parts.slots(kind):
                self.mark("slot", name)
                self._items("slot", parts.content(value, member))
        if isinstance(value, nn.Module) and not isinstance(value, CONTENT):
            return  # its attributes are all there is, and some modules refuse to be pickled
        # The default state of an object says no more than its attributes do.
        self._reduced(
            parts.reduced(value, own), with_state=own or kind.__getstate__ is not object.__getstate__
        )

    def _reduced(self, reduced, with_state):
        """Add what pickling would save: a name, or a function, its arguments, a state, and list or dictionary items."""
        self.kept.append(reduced)
        if reduced is None or isinstance(reduced, str):
            return self.mark("global", reduced or "")
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
