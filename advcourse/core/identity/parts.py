"""What things of certain kinds are made of, beside their attributes, and which of their attributes are notes of their use."""

import copyreg
import functools
import gc
import sys
import types
from functools import lru_cache

import numpy as np
from torch import nn

from advcourse.core.identity.code import is_installed, origin
from advcourse.core.identity.known import is_foreign, is_standard_class, place
from advcourse.core.identity.values import CONTENT, Unknown

# What wrapping writes on a function, and what a function that goes by types has of its own.
WRAPPING = frozenset(
    "__wrapped__ __module__ __name__ __qualname__ __doc__ __annotations__ __type_params__".split()
)
CACHING = WRAPPING | {"cache_parameters"}
DISPATCHING = WRAPPING | {"register", "dispatch", "registry", "_clear_cache"}
# Attributes that are notes of use alone.
NOTES = {np.vectorize: frozenset({"_ufunc", "_doc", "__doc__"})}
_DISPATCH = functools.singledispatch(lambda _: None).__code__
_SETTING_THE_MODE = ("train", "eval", "children", "named_children")
_BACKENDS = ("_torchdynamo_orig_backend", "_torchdynamo_orig_callable", "compiler_fn")


def is_dispatching(function: types.FunctionType) -> bool:
    """Whether a function is one of functools.singledispatch, which takes notes of the types that it was called with."""
    return function.__code__ is _DISPATCH


def is_compiled(kind: type) -> bool:
    """Whether a class is that of what torch.compile gives: the model, and machinery."""
    return kind.__module__ == "torch._dynamo.eval_frame"


def modes_set(model: object) -> frozenset[int]:
    """The ids of the modules whose mode `model.eval()` sets, as far as no code of somebody else's has a say in it."""
    found, waiting = set(), [model] if isinstance(model, nn.Module) else []
    while waiting:
        part = waiting.pop()
        kind, held = type(part), vars(part)
        of_torch = all(
            name not in held and getattr(kind, name) is getattr(nn.Module, name) for name in _SETTING_THE_MODE
        )
        if id(part) in found or not of_torch:
            continue
        found.add(id(part))
        parts = [part._orig_mod] if is_compiled(kind) else held.get("_modules", {}).values()
        waiting += [inner for inner in parts if isinstance(inner, nn.Module)]
    return frozenset(found)


def own_backend(compiled: nn.Module) -> list:
    """What compiles a model for torch.compile, where it is the user's own; [] for torch's, which leave the answers."""
    step = compiled.dynamo_ctx.callback
    known = step
    while step is not None:
        known = step
        step = next((held for name in _BACKENDS if (held := getattr(step, name, None)) is not None), None)
    return [known] if is_foreign(known) else []


def ufunc_parts(function: np.ufunc) -> tuple[str, list]:
    """The name of one of an installed package, or "" and the function that `frompyfunc` made it from."""
    name = function.__name__
    if place(np).own(name) is function:
        return f"numpy {name}", []
    called = [part for part in gc.get_referents(function) if callable(part)]
    if called:
        return "", called
    modules = [module for module in list(sys.modules.values()) if isinstance(module, types.ModuleType)]
    homes = [module.__name__ for module in modules if vars(module).get(name) is function]
    homes = sorted((home for home in homes if is_installed(home)), key=lambda home: (len(home), home))
    if not homes or not origin(homes[0]):
        raise Unknown(f"a numpy.ufunc {name}")
    return f"{origin(homes[0])} {name}", []


@lru_cache(maxsize=4096)
def slots(kind: type) -> tuple[tuple[str, types.MemberDescriptorType], ...]:
    """(name, member) of what objects of a class hold beside their `__dict__`. Those of classes in C are no values."""
    bases = [base for base in kind.__mro__ if "__slots__" in vars(base) and not is_standard_class(base)]
    members = [pair for base in bases for pair in vars(base).items()]
    return tuple(pair for pair in members if isinstance(pair[1], types.MemberDescriptorType))


_PLAIN_OBJECTS = set()  # classes whose objects pickle keeps by attributes alone


def reduced(value: object, own: bool) -> tuple | str | None:
    """What `pickle` would ask an object for; None where that tells no more than the attributes. `own`: it has a say in that."""
    kind = type(value)
    if kind in _PLAIN_OBJECTS and not own:
        return None
    try:
        reduce = copyreg.dispatch_table.get(kind)
        found = reduce(value) if reduce else value.__reduce_ex__(4)
    except Exception as error:  # whatever an object says that cannot be copied
        raise Unknown(f"a {kind.__module__}.{kind.__qualname__}") from error
    asked = any(hasattr(kind, name) for name in ("__getnewargs__", "__getnewargs_ex__"))
    if own or asked or isinstance(value, CONTENT) or kind.__getstate__ is not object.__getstate__:
        return found
    if found[0] is copyreg.__newobj__ and found[1] == (kind,) and not any(found[3:]):
        _PLAIN_OBJECTS.add(kind)
        return None
    return found


def content(holder: object, member: types.MemberDescriptorType | None = None) -> list:
    """What a cell, or the slot `member` of an object, holds, as a list; [] if it is empty."""
    try:
        return [holder.cell_contents if member is None else member.__get__(holder)]
    except (ValueError, AttributeError):
        return []
