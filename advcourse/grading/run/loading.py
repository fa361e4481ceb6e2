"""Inside the sandbox: a student's chosen statements become a function, in a module that offers what a notebook offers."""

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

from advcourse.grading.run.notebook import ELSEWHERE, elsewhere, offer
from advcourse.labs.running import failure

SECONDS = {
    signal.ITIMER_PROF: 2,
    signal.ITIMER_REAL: 6,
}  # that a statement may take where the whole notebook is run


def load(program, tasks):
    """Execute the statements of a program, and return its function, or None; why there is none, or ""; what took too long; the
    errors that left names unbound, name -> trace; and which of the `tasks` have become functions that the lab did not give.

    A statement that fails is tried again after the others, as long as that helps: what it needs may stand further down. Where
    the program is the `whole` notebook, a statement that takes long is interrupted, as a student would do. It is told by the
    label of its cell and its place there.
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
            except BaseException as error:  # an answer may also end the program: the others still count
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
    """Whether it is a function, and none of those that the lab's cells, `stubs`, have defined."""
    return callable(function) and getattr(getattr(function, "__code__", None), "co_filename", "") not in stubs


def with_cause(trace, lost):
    """A trace, after that of the statement which should have bound the name that it misses; see `load` for `lost`."""
    found = re.search(r"NameError: name '(\w+)' is not defined[^\n]*$", trace)
    cause = found and lost.get(found[1])
    return f"{cause}\nSo `{found[1]}` is missing:\n{trace}" if cause else trace


def _bound(node):
    """The names that a statement binds, as far as it says so."""
    for part in ast.walk(node):
        if isinstance(part, ast.alias):
            yield part.asname or part.name.split(".")[0]
        elif isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
            yield part.id
    yield getattr(node, "name", "")


def _statements(cell):
    """The chosen statements of a cell, each with its cell's label, whose lines a traceback can show, and its place."""
    name, source = cell["label"], cell["source"]
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    body = ast.parse(source, name).body
    return [(body[place], name, place) for place in cell["statements"]]


class _Execution:
    """Executes statements in one namespace, those of a `whole` notebook not for long."""

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
            for alias in node.names:  # in a notebook it holds for the cells that follow
                self._flags |= getattr(__future__, alias.name).compiler_flag

    def _run(self, node, name, flags):
        kind, part = "exec", ast.Module([node], [])
        if isinstance(node, ast.Expr):  # a notebook remembers the value of a cell's last line
            kind, part = "eval", ast.Expression(node.value)
        code = compile(part, name, kind, flags=flags, dont_inherit=True)
        try:
            found = eval(code, self._space)
        except RuntimeError as error:
            if "no running event loop" not in str(error):
                raise
            found = self._loop_of_its_own().run_until_complete(self._begun(code))
        if code.co_flags & inspect.CO_COROUTINE:
            found = self._loop_of_its_own().run_until_complete(found)
        self._shell.showed(found)

    def _loop_of_its_own(self):
        self._loop = self._loop or asyncio.new_event_loop()
        return self._loop

    async def _begun(self, code):
        """Execute a statement where a loop is running, as it is in a notebook; what it begins there goes on later."""
        return eval(code, self._space)


def _is_annotated(node):
    """Whether there are annotations. One may be of a cell that was not needed, and so be a name that is not there."""
    return any(getattr(n, "annotation", None) or getattr(n, "returns", None) for n in ast.walk(node))


@contextlib.contextmanager
def _interrupted(patience):
    """What takes long is interrupted, and again if it goes on; nothing is where there is no `patience` to measure it by."""
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
