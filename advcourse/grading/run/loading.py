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
import time
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
SECONDS_OF_TURNS = 1  # in all, which asyncio's tasks have between two cells


def load(program: "dict[str, Any]", tasks: "Iterable[str]") -> "tuple[Callable | None, dict[str, Any]]":
    """Execute the statements of a program and return its function.

    A statement that fails is tried again after the others, as long as that helps: what it needs may come further down. If the
    program is the `whole` notebook, a statement that takes long is interrupted, as a student would do. If it is `strict`, it is
    as in a notebook: each statement is executed once at most, and an error ends its cell.

    Args:
        program: see `slicing.Program.as_plain`.
        tasks: the names of the lab's tasks.

    Returns:
        The function, or None; and more by name. "trace": why there is no function, or "". "late": the statements that took too
        long, each by its cell's label and its place there. "bound": which of the `tasks` have become functions that the lab did
        not give. "failed": whether a statement failed, so that a strict program may come to something else. "lost": the errors
        that left names unbound, name -> trace.
    """
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    execute = _Execution(offer(module), program)
    cells = [_statements(cell) for cell in program["cells"]]
    errors, failed = _as_run_all(cells, execute) if program.get("strict") else _again(sum(cells, []), execute)
    execute.end()
    late = [list(where) for (_, *where), error in errors.items() if isinstance(error, KeyboardInterrupt)]
    waiting = [one for one in errors if not isinstance(errors[one], KeyboardInterrupt)]
    task = program["task"]
    function = module.__dict__.get(task, getattr(builtins, task, None))
    lost = {name: failure(errors[one]).detail for one in waiting[::-1] for name in _bound(one[0])}
    stubs = {cell["label"] for cell in program["cells"] if cell["given"]}
    spaces = module.__dict__, vars(builtins)
    bound = [one for one in tasks if any(_is_own(space.get(one), stubs) for space in spaces)]
    told = {"trace": "", "late": late, "bound": bound, "failed": failed, "lost": lost}
    if callable(function):
        return function, told
    first = next(iter(waiting or errors), None)
    return None, told | {"trace": with_cause(failure(errors[first]).detail, lost) if first else ""}


def _again(statements, execute):
    """Execute the statements, and those that fail again, as long as that helps.

    Returns the errors that are left, and whether one of several failed at first.
    """
    waiting, errors, failed_once = statements, {}, False
    while waiting:
        failed = []
        for statement in waiting:
            try:
                execute(*statement)
                errors.pop(statement, None)
            except BaseException as error:  # an answer may also call exit(): the others still count
                errors[statement] = error
                failed.append(statement)
        if len(failed) == len(waiting):
            break
        waiting = [statement for statement in failed if not isinstance(errors[statement], KeyboardInterrupt)]
        failed_once = failed_once or bool(waiting)
    return errors, failed_once


def _as_run_all(cells, execute):
    """Execute each cell up to its first error; what takes too long is passed over. Returns the errors, and True."""
    errors = {}
    for cell in cells:
        for statement in cell:
            try:
                execute(*statement)
            except KeyboardInterrupt as error:
                errors[statement] = error
            except BaseException as error:
                errors[statement] = error
                break
    return errors, True


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
    if body and not source.rstrip().endswith(";"):  # which hides the value
        body[-1].is_shown = True
    return [(body[place], name, place) for place in cell["statements"]]


class _Execution:
    """Executes a program's statements in one namespace; those of a `whole` notebook only for a limited time."""

    def __init__(self, shell, program):
        self._shell, self._space = shell, shell.user_ns
        self._loop, self._flags = asyncio.new_event_loop(), ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        asyncio.set_event_loop(self._loop)
        self._patience = 1 if program.get("whole") else 0  # less after each statement that was interrupted
        self._cells, self._cell = {cell["label"]: cell for cell in program["cells"]}, ""
        self._turn = SECONDS_OF_TURNS  # what is left of it

    def __call__(self, node, name, _):
        if name != self._cell:
            self._begin(name)
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
            value = self._loop.run_until_complete(self._begun(code))
        if code.co_flags & inspect.CO_COROUTINE:
            value = self._loop.run_until_complete(value)
        if getattr(node, "is_shown", False):
            self._shell.remember(value)

    def _begin(self, name):
        """Begin with a cell. In a notebook, what has been begun with asyncio goes on between two cells."""
        cell, self._cell = self._cells[name], name
        self._shell.begin(cell["number"], cell["source"])
        tasks, began = asyncio.all_tasks(self._loop), time.monotonic()
        if tasks and self._turn > 0:
            with contextlib.suppress(KeyboardInterrupt), _interrupted(self._patience):
                self._loop.run_until_complete(asyncio.wait(tasks, timeout=min(0.1, self._turn)))
            self._turn -= time.monotonic() - began

    def end(self):
        """End the last cell."""
        self._shell.end()

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
