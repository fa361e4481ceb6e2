"""What certain kinds of objects consist of besides their attributes, and which of their attributes only record use."""

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

# Attributes that functools.wraps, caches and functools.singledispatch set on a function.
WRAPPING = frozenset(
    "__wrapped__ __module__ __name__ __qualname__ __doc__ __annotations__ __type_params__".split()
)
CACHING = WRAPPING | {"cache_parameters"}
DISPATCHING = WRAPPING | {"register", "dispatch", "registry", "_clear_cache"}
# Attributes that only record use.
NOTES = {np.vectorize: frozenset({"_ufunc", "_doc", "__doc__"})}
_DISPATCH = functools.singledispatch(lambda _: None).__code__
_SETTING_THE_MODE = ("train", "eval", "children", "named_children")
# Hooks of nn.Module that act when weights are saved or loaded, and not on an answer.
OF_STATES = {
    f"_{kind}_hooks"
    for kind in ("state_dict", "state_dict_pre", "load_state_dict_pre", "load_state_dict_post")
}
# torch's registers of hooks for all modules: the same dictionaries as long as the program runs.
_FOR_ALL_MODULES = {
    name: held
    for name, held in sorted(vars(nn.modules.module).items())
    if name.startswith("_global_") and name.endswith("_hooks")
}
_BACKENDS = ("_torchdynamo_orig_backend", "_torchdynamo_orig_callable", "compiler_fn")


def is_dispatching(function: types.FunctionType) -> bool:
    """Whether a function was made by functools.singledispatch, which remembers the types that it was called with."""
    return function.__code__ is _DISPATCH


def is_compiled(kind: type) -> bool:
    """Whether a class is the one that torch.compile returns: a wrapper around the model."""
    return kind.__module__ == "torch._dynamo.eval_frame"


def modes_set(model: object) -> frozenset[int]:
    """Return the ids of the modules whose mode `model.eval()` sets, except where a class overrides how modes are set."""
    reached, waiting = set(), [model] if isinstance(model, nn.Module) else []
    while waiting:
        part = waiting.pop()
        kind, held = type(part), vars(part)
        of_torch = all(
            name not in held and getattr(kind, name) is getattr(nn.Module, name) for name in _SETTING_THE_MODE
        )
        if id(part) in reached or not of_torch:
            continue
        reached.add(id(part))
        parts = [part._orig_mod] if is_compiled(kind) else held.get("_modules", {}).values()
        waiting += [inner for inner in parts if isinstance(inner, nn.Module)]
    return frozenset(reached)


def cells(function: types.FunctionType) -> list:
    """Return the cells of a function's closure that its answers may depend on.

    A parametrized module's class holds the module that it was made for, but only to look up a cache; a copy of the module
    keeps that class, and would be told from the original by it.
    """
    held = zip(function.__code__.co_freevars, function.__closure__ or ())
    of_torch = function.__module__ == "torch.nn.utils.parametrize"
    return [cell for name, cell in held if not (of_torch and name == "module")]


def global_hooks() -> list:
    """Return the hooks that torch calls for every module, such as those of `register_module_forward_hook`, by kind."""
    return [part for name, held in _FOR_ALL_MODULES.items() if held for part in (name, *held.values())]


def own_backend(compiled: nn.Module) -> list:
    """Return the torch.compile backend of a model if it is the user's own; [] for torch's, which keep the answers."""
    if is_compiled(type(compiled)):
        step = compiled.dynamo_ctx.callback
    else:  # compiled in place, by its own method `compile`
        call = vars(compiled)["_compiled_call_impl"]
        held = dict(zip(call.__code__.co_freevars, call.__closure__ or ()))
        step = held["callback"].cell_contents if "callback" in held else None
    known = step
    while step is not None:
        known = step
        step = next((held for name in _BACKENDS if (held := getattr(step, name, None)) is not None), None)
    return [known] if is_foreign(known) else []


def ufunc_parts(function: np.ufunc) -> tuple[str, list]:
    """Return the name of a ufunc of an installed package, or "" and the function that `frompyfunc` made it from."""
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
    """Return (name, member) for each slot of a class outside the `__dict__`. Slots of standard library classes are left out."""
    bases = [base for base in kind.__mro__ if "__slots__" in vars(base) and not is_standard_class(base)]
    members = [pair for base in bases for pair in vars(base).items()]
    return tuple(pair for pair in members if isinstance(pair[1], types.MemberDescriptorType))


_PLAIN_OBJECTS = set()  # classes whose objects pickle saves by their attributes alone


def reduced(value: object, own: bool) -> tuple | str | None:
    """Return what `pickle` would save of an object; None if that is no more than its attributes.

    Args:
        value: the object.
        own: whether its class defines how it is pickled.
    """
    kind = type(value)
    if kind in _PLAIN_OBJECTS and not own:
        return None
    try:
        reduce = copyreg.dispatch_table.get(kind)
        state = reduce(value) if reduce else value.__reduce_ex__(4)
    except Exception as error:  # an object that cannot be copied may raise anything
        raise Unknown(f"a {kind.__module__}.{kind.__qualname__}") from error
    asked = any(hasattr(kind, name) for name in ("__getnewargs__", "__getnewargs_ex__"))
    if own or asked or isinstance(value, CONTENT) or kind.__getstate__ is not object.__getstate__:
        return state
    if state[0] is copyreg.__newobj__ and state[1] == (kind,) and not any(state[3:]):
        _PLAIN_OBJECTS.add(kind)
        return None
    return state


def content(holder: object, member: types.MemberDescriptorType | None = None) -> list:
    """Return the content of a cell, or of the slot `member` of an object, as a list; [] if it is empty."""
    try:
        return [holder.cell_contents if member is None else member.__get__(holder)]
    except (ValueError, AttributeError):
        return []
