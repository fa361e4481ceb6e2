"""The part of the walk that covers code: functions, classes, and what they use from modules."""

import types
from contextlib import contextmanager

import torch
from torch import Tensor

from advcourse.core.identity import parts
from advcourse.core.identity.code import NOISE, OF_A_MODULE, imported, is_standard, needs, origin, top_of
from advcourse.core.identity.known import BUILTINS, OPERATORS, named, place, places, unfollowed
from advcourse.core.identity.values import Unknown


class CodeWalk:
    """How `walk.identity` hashes code: library code by name, with any replacements of it, and other code by its bytecode."""

    def _named(self, value):
        """Hash code that counts by its name, with replacements of what it uses. Return whether it is such code."""
        text = named(value)
        if text:
            self._known_to_nobody(value)
            self.mark("named", text)
            self._replaced(value)
        return text is not None

    def _replaced(self, used):
        """Hash whatever has been patched into the modules and classes that a library object uses."""
        for there in places(used):
            if there not in self.seen:
                self.seen.add(there)
                for name in there.replaced():
                    self._replacement(there, name)

    def _replacement(self, there, name):
        self.mark("replaced", f"{there.name} {name}")
        with self._elsewhere():
            self.add(there.held.get(name))

    def _known_to_nobody(self, value, whole=False):
        reason = unfollowed(value, whole)
        if reason:
            raise Unknown(f"{reason}, which gives values that are named when it runs")

    def _function(self, value):
        if self._named(value) or not self._is_new(value, self.code, "again code"):
            return
        self.mark("function", value.__qualname__)
        self._replaced(Tensor)  # any code may call its methods
        dispatching = parts.is_dispatching(value)
        with self._elsewhere(value):
            self._attributes(value, parts.DISPATCHING if dispatching else ())
            if dispatching:
                return self._set(frozenset(value.registry.items()), frozenset)
            self._bytecode(value.__code__)
            self._items("closure", parts.cells(value))
            self._items("defaults", (value.__defaults__, value.__kwdefaults__))
        with self._elsewhere():
            self._needed(needs(value.__code__), value.__globals__)

    def _needed(self, needed, held):
        """Hash what code reads from its module and from the builtins, and what it imports when it runs."""
        if needed.dark:
            raise Unknown(
                f"code that reads {needed.dark[0]}, through which it can reach anything in the program"
            )
        for name in needed.globals:
            self.mark("global", name)
            if name in held:
                self._reached(held[name], needed.chains[name])
            elif name in BUILTINS.held:
                self._known_to_nobody(BUILTINS.held[name])
                if BUILTINS.is_replaced(name) or BUILTINS.is_added(name):
                    self._replacement(BUILTINS, name)
        for level, module, part, variable in needed.imports:
            self.mark("import", f"{module} {part}")
            chains = needed.chains.get(variable, ()) if variable else ((),)
            self._reached(imported(level, module, part, held.get("__package__")), chains)

    def _reached(self, value, chains):
        if isinstance(value, types.ModuleType):
            for chain in chains:
                self._taken(value, chain)
        else:
            self.add(value)

    def _taken(self, module, chain):
        """Hash what code takes from a module by a chain of names: the value from a user's module, else any replacement."""
        name, *rest = chain or ("__dict__",)
        if name in ("__dict__", "__getattribute__"):
            return self._python_module(module)
        if module is torch.ops and name not in OPERATORS:
            raise Unknown(f"an operator of torch.ops.{name}, which was registered when the program ran")
        text = origin(module.__name__, library=False)
        self.mark("name", name)
        if text is None:
            if name not in vars(module) and "__getattr__" in vars(module):
                self.add(vars(module)["__getattr__"])
            if not hasattr(module, name):
                return self.mark("absent")
            return self._reached(getattr(module, name), [rest])
        self.mark("module", text)
        held, there = vars(module).get(name), place(module)
        self._known_to_nobody(held)
        if isinstance(held, types.ModuleType):
            return self._taken(held, rest)
        if there.is_replaced(name, not is_standard(top_of(module.__name__))) or there.is_added(name):
            self._replacement(there, name)
        elif isinstance(held, type | types.FunctionType):
            self._replaced(held)
        return None

    def _python_module(self, module):
        """Hash a module of which anything may be used: by name, with its changes, if it is installed, else all of it."""
        self._known_to_nobody(module, whole=True)
        text = origin(module.__name__, library=False)
        if text:
            self.mark("module", text)
            there = place(module)
            added = filter(there.is_added, vars(module).keys() - there.before.keys())
            for name in sorted({*there.replaced(), *added}):
                self._replacement(there, name)
        elif self._is_new(module, self.code, "again code"):
            self.mark("whole module")
            for name in sorted(vars(module).keys() - OF_A_MODULE):
                self.mark("name", name)
                self.add(vars(module)[name])

    def _class(self, value):
        if self._named(value) or not self._is_new(value, self.code, "again code"):
            return
        self.mark("class", value.__qualname__)
        self._items("bases", (type(value), *value.__bases__))
        with self._elsewhere(value):
            for name, member in sorted(vars(value).items()):
                if name not in NOISE:
                    self.mark("member", name)
                    self.add(member)

    def _cache(self, value):
        self._items("cache", (value.__wrapped__, *sorted(value.cache_parameters().items())))
        self._attributes(value, parts.CACHING)

    def _bytecode(self, code):
        shape = (code.co_flags, code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount)
        names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        self._items("code", (code.co_code, code.co_exceptiontable, shape, names))
        self.mark("constants", b"%d" % len(code.co_consts))
        for constant in code.co_consts:
            self._bytecode(constant) if isinstance(constant, types.CodeType) else self.add(constant)

    def _builtin(self, value):
        self._known_to_nobody(value)
        self.mark("builtin", f"{getattr(value, '__module__', None)} {value.__qualname__}")
        for owner in (getattr(value, "__objclass__", None), getattr(value, "__self__", None)):
            if (
                owner is not None
                and not isinstance(owner, types.ModuleType)
                and type(owner).__name__ != "PyCapsule"
            ):
                self.add(owner)

    @contextmanager
    def _elsewhere(self, value=None):
        """Inside the block, data are numbered as module data, unless `value` is code made in a function, with its own data."""
        before = self.data
        self.data = before if value and "<locals>" in value.__qualname__ else self.shared
        try:
            yield
        finally:
            self.data = before
