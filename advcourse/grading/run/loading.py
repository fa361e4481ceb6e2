"""Inside the sandbox: turn a student's chosen statements into a function, in a module that offers what a notebook offers."""

import __future__

import ast
import asyncio
import builtins
import contextlib
import inspect
import linecache
import re
import signal
import sys
import types
from typing import TYPE_CHECKING

from advcourse.grading.run.notebook import ELSEWHERE, elsewhere, offer
from advcourse.labs.running import failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

SECONDS = {
    signal.ITIMER_PROF: 2,
    signal.ITIMER_REAL: 6,
}  # seconds that a statement may take if the whole notebook is run


def load(
    program: "dict[str, Any]", tasks: "Iterable[str]"
) -> "tuple[Callable | None, str, list[list], dict[str, str], list[str]]":
    """Execute the statements of a program and return its function.

    A statement that fails is tried again after the others, as long as that helps: what it needs may come further down. If the
    program is the `whole` notebook, a statement that takes long is interrupted, as a student would do.

    Args:
        program: see `slicing.Program.as_plain`.
        tasks: the names of the lab's tasks.

    Returns:
        The function, or None; why there is none, or ""; the statements that took too long, each by its cell's label and its
        place there; the errors that left names unbound, name -> trace; and which of the `tasks` have become functions that the
        lab did not give.
    """
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    shell = offer(module)
    waiting = [statement for cell in program["cells"] for statement in _statements(cell)]
    errors, execute = {}, _Execution(shell, program.get("whole", False))
    while waiting:
        failed = []
        for statement in waiting:
            try:
                execute(*statement)
            except BaseException as error:  # an answer may also call exit(): the others still count
                errors[statement] = error
                failed.append(statement)
        if len(failed) == len(waiting):
            break
        waiting = [statement for statement in failed if not isinstance(errors[statement], KeyboardInterrupt)]
    late = [list(where) for (_, *where), error in errors.items() if isinstance(error, KeyboardInterrupt)]
    task = program["task"]
    function = module.__dict__.get(task, getattr(builtins, task, None))
    lost = {name: failure(errors[one]).detail for one in waiting[::-1] for name in _bound(one[0])}
    stubs = {cell["label"] for cell in program["cells"] if cell["given"]}
    spaces = module.__dict__, vars(builtins)
    bound = [one for one in tasks if any(_is_own(space.get(one), stubs) for space in spaces)]
    if callable(function):
        return function, "", late, lost, bound
    return None, with_cause(failure(errors[waiting[0]]).detail, lost) if waiting else "", late, lost, bound


def _is_own(function, stubs):
    """Return whether this is a function, and not one that the lab's cells, `stubs`, have defined."""
    return callable(function) and getattr(getattr(function, "__code__", None), "co_filename", "") not in stubs


def with_cause(trace: str, lost: dict[str, str]) -> str:
    """Return a trace, after that of the statement that should have bound the missing name. For `lost` see `load`."""
    match = re.search(r"NameError: name '(\w+)' is not defined[^\n]*$", trace)
    cause = match and lost.get(match[1])
    return f"{cause}\nSo `{match[1]}` is missing:\n{trace}" if cause else trace


def _bound(node):
    """Yield the names that a statement binds, as far as its syntax shows them."""
    for part in ast.walk(node):
        if isinstance(part, ast.alias):
            yield part.asname or part.name.split(".")[0]
        elif isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
            yield part.id
    yield getattr(node, "name", "")


def _statements(cell):
    """Return the chosen statements of a cell, each with its cell's label, whose lines a traceback can show, and its place."""
    name, source = cell["label"], cell["source"]
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    body = ast.parse(source, name).body
    return [(body[place], name, place) for place in cell["statements"]]


class _Execution:
    """Executes statements in one namespace; those of a `whole` notebook only for a limited time."""

    def __init__(self, shell, whole):
        self._shell, self._space = shell, shell.user_ns
        self._loop, self._flags = None, ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        self._patience = 1 if whole else 0  # less after each statement that was interrupted

    def __call__(self, node, name, _):
        try:
            with _interrupted(self._patience):
                self._run(node, name, self._flags)
        except NameError:
            if not _is_annotated(node):
                raise
            self._run(node, name, self._flags | __future__.annotations.compiler_flag)
        except ModuleNotFoundError as error:
            if not (
                isinstance(node, ast.Import | ast.ImportFrom) and f"{error.name}".split(".")[0] == ELSEWHERE
            ):
                raise
            with elsewhere():
                self._run(node, name, self._flags)
        except KeyboardInterrupt:
            self._patience = self._patience and max(self._patience / 2, 1 / 8)
            raise
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            for alias in node.names:  # in a notebook it also holds for later cells
                self._flags |= getattr(__future__, alias.name).compiler_flag

    def _run(self, node, name, flags):
        kind, part = "exec", ast.Module([node], [])
        if isinstance(node, ast.Expr):  # a notebook remembers the value of a cell's last line
            kind, part = "eval", ast.Expression(node.value)
        code = compile(part, name, kind, flags=flags, dont_inherit=True)
        try:
            value = eval(code, self._space)
        except RuntimeError as error:
            if "no running event loop" not in str(error):
                raise
            value = self._loop_of_its_own().run_until_complete(self._begun(code))
        if code.co_flags & inspect.CO_COROUTINE:
            value = self._loop_of_its_own().run_until_complete(value)
        self._shell.remember(value)

    def _loop_of_its_own(self):
        self._loop = self._loop or asyncio.new_event_loop()
        return self._loop

    async def _begun(self, code):
        """Execute a statement while a loop is running, as it is in a notebook. What it begins there goes on later."""
        return eval(code, self._space)


def _is_annotated(node):
    """Return whether there are annotations. One may use a name that is missing because its cell was not needed."""
    return any(getattr(n, "annotation", None) or getattr(n, "returns", None) for n in ast.walk(node))


@contextlib.contextmanager
def _interrupted(patience):
    """Interrupt what takes long, and again if it goes on; nothing if `patience` is 0."""
    if not patience:
        yield
        return
    running = True

    def interrupt(*_):
        if running:
            raise KeyboardInterrupt

    for number in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(number, interrupt)
    try:
        for timer, seconds in SECONDS.items():
            signal.setitimer(timer, patience * seconds, patience * seconds)
        yield
    finally:
        running = False  # a signal that comes now is too late to interrupt anything
        for timer in SECONDS:
            signal.setitimer(timer, 0)
        for number in (signal.SIGPROF, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
