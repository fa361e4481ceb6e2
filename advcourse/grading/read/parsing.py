"""Parse the code of a notebook, statement by statement: which names each binds, needs and changes."""

import ast
import re
import symtable
import sys
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

DEFINED, ASSIGNED, UNWRITTEN, NEITHER = "defined", "assigned", "unwritten", "neither"
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DEFINITIONS = (*FUNCTIONS, ast.ClassDef)
IMPORTS = (ast.Import, ast.ImportFrom)
BLOCKS = (ast.If, ast.Try, ast.TryStar, ast.With, ast.AsyncWith, ast.For, ast.AsyncFor, ast.While, ast.Match)
UNPARSABLE = (SyntaxError, ValueError, RecursionError, MemoryError)
LONGEST_CELL, LONGEST = 100_000, 500_000  # characters of code
# Characters of a line, and of what the compiler says, in a sentence.
LONGEST_QUOTE, LONGEST_COMPLAINT = 80, 200
MOST_STATEMENTS = 5_000  # in a notebook
MOST_WITH_MAGICS = 500_000  # characters of a cell times its magics: IPython rereads the cell for each of them
ODD = re.compile(r"^\s*([%!?,;/]|>>>|\.\.\. |In \[)|[%!] *\w|\?\s*$")  # lines that may be IPython's syntax
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
YOUNGER = (  # the version that first had it; how an older one's message begins, or else what the line looks like
    ((3, 14), "multiple exception types must be parenthesized", None),
    ((3, 14), "", re.compile(r"\b[tT][rR]?[\"']|\b[rR][tT][\"']")),
    ((3, 12), "f-string", None),
    ((3, 12), "", re.compile(r"\b[fF][rR]?([\"'])[^\"'{}]*\{[^}\"']*(\1|$)")),
    ((3, 12), "", re.compile(r"^\s*(type +\w+ *[\[=]|(async +)?(def|class) +\w+ *\[)")),
)
NOT_PYTHON = (
    "bash cmd file html javascript js latex markdown perl python python2 python3 pypy ruby script sh sql svg system sx "
    "writefile"
).split()
WRITES = ("writefile", "file")  # cell magics


@dataclass(frozen=True, eq=False)
class Statement:
    """A top-level statement of a cell.

    Args:
        cell: the cell's place in the notebook, from 1.
        place: the statement's place in the cell, from 0.
        node: its syntax tree.
        binds: the names that it binds.
        uses: the global names that it needs, at once or when its functions are called.
        now: those that it needs at once.
        changes: the names whose objects it changes.
    """

    cell: int
    place: int
    node: ast.stmt
    binds: frozenset[str]
    uses: frozenset[str]
    now: frozenset[str]
    changes: frozenset[str]


@dataclass(frozen=True)
class Code:
    """The code of one cell.

    Args:
        index: the cell's place in the notebook, from 1.
        source: its code as plain Python.
        statements: its top-level statements.
        error: why it cannot be parsed, so that it has no statements, or "".
        flaw: why it does not compile although it could be parsed, or "".
        drafted: whether the cell is not a code cell.
        written: the text as it stands in the cell.
    """

    index: int
    source: str
    statements: tuple[Statement, ...] = ()
    error: str = ""
    flaw: str = ""
    drafted: bool = False
    written: str = ""


class Cell(Protocol):
    """What has to be known of a cell; a `submission.NotebookCell` has it."""

    index: int
    kind: str
    source: str


def parse(cells: Iterable[Cell]) -> tuple[Code, ...]:
    """Return the code in a notebook's cells. Cells of text count only if a function begins there."""
    codes, length, statements = [], 0, 0
    for cell in cells:
        drafted = cell.kind != "code"
        if drafted and len(cell.source) > LONGEST_CELL:
            continue
        if drafted and not re.search(r"^(def|class|async def) \w.*:", cell.source, re.M):
            continue
        length += len(cell.source) if len(cell.source) <= LONGEST_CELL else 0
        code = _parse_cell(cell, drafted, length > LONGEST or statements > MOST_STATEMENTS)
        statements += len(code.statements)
        if not (drafted and code.error):
            codes.append(code)
    return tuple(codes)


def _parse_cell(cell, drafted, full):
    if full or len(cell.source) > LONGEST_CELL:
        reason = f"the notebook has more than {LONGEST} characters or {MOST_STATEMENTS} statements of code"
        reason = reason if full else f"it has more than {LONGEST_CELL} characters"
        return Code(cell.index, cell.source, error=reason, drafted=drafted, written=cell.source)
    try:
        source = _plain_python(cell.source)
        if len(source) > 2 * LONGEST_CELL:  # IPython's own syntax becomes longer in Python
            raise ValueError(f"it has more than {LONGEST_CELL} characters")
        body = _tree(source).body
        if len(body) > MOST_STATEMENTS:
            raise ValueError(f"it has more than {MOST_STATEMENTS} statements")
        statements = tuple(_statement(cell.index, place, node) for place, node in enumerate(body))
    except UNPARSABLE as error:
        return Code(
            cell.index, cell.source, error=why(error, cell.source), drafted=drafted, written=cell.source
        )
    flaw = compiler_says(*body)
    flaw = why(flaw, cell.source) if flaw else ""
    return Code(cell.index, source, statements, flaw=flaw, drafted=drafted, written=cell.source)


def why(error: Exception, written: str) -> str:
    """Return what the compiler says about a cell, with the line if it is known, and whether a newer Python may understand it.

    Args:
        error: what the compiler raised.
        written: the text as it stands in the cell.
    """
    lines, number = written.split("\n"), 0
    if isinstance(error, SyntaxError):
        number = _line_number(error, lines)
    elif "\0" in written:
        error = SyntaxError(str(error))  # as younger Pythons call it
    if "\0" in written and not number:  # the compiler does not say where
        number = 1 + written[: written.index("\0")].count("\n")
    if not number:
        return str(error) or "it is nested too deep"
    message = error.msg.removesuffix(f" (detected at line {number})").rstrip(". ")
    message = message if len(message) <= LONGEST_COMPLAINT else f"{message[:LONGEST_COMPLAINT]}…"
    quote = _quoted(lines[number - 1], error.offset or 1)
    return f"{message} ({type(error).__name__} in line {number}, {quote}{_newer(error)})"


def _line_number(error, lines):
    """Return the number of the line that the compiler complains about, from 1, or 0 if it is not known.

    A magic that goes on in the next line is one line for the compiler. So the nearest line counts that reads as what it saw.
    """
    number, seen = error.lineno or 0, (error.text or "").strip()
    same = [place for place, line in enumerate(lines, 1) if line.strip() == seen]
    if number and seen and same:
        return min(same, key=lambda place: abs(place - number))
    return number if number <= len(lines) else 0


def _quoted(line, offset):
    """Return a line as code in a sentence: without its indentation, cut around `offset` if it is long, and all of it visible."""
    bare = line.lstrip()
    shown, at = _visible(bare.rstrip()), len(_visible(bare[: max(0, offset - 1 - len(line) + len(bare))]))
    start = max(0, min(at - LONGEST_QUOTE // 2, len(shown) - LONGEST_QUOTE))
    end = start + LONGEST_QUOTE
    shown = "…" * (start > 0) + shown[start:end] + "…" * (end < len(shown))
    return f'"{shown}"' if "`" in shown else f"`{shown}`"


def _visible(text):
    """Return the text with what cannot be seen as Python writes it: a tab is \\t, a byte of zeros \\x00."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _newer(error):
    """Return a remark on the version if the error looks like syntax that is newer than this Python; else ""."""
    line = (error.text or "")[:1000]
    for version, message, code in YOUNGER:
        if sys.version_info < version and (error.msg.startswith(message) if message else code.search(line)):
            return f"; it may be syntax of Python {'.'.join(map(str, version))}, and the grader runs Python {PYTHON}"
    return ""


def compiler_says(*nodes: ast.stmt) -> Exception | None:
    """Return the error that the compiler finds in statements that could be parsed; None if there is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(
                ast.Module([*nodes], []), "cell", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True
            )
    except UNPARSABLE as error:
        return error
    return None


def _tree(source):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as for a docstring with \epsilon
        return ast.parse(source)


def _plain_python(source):
    """Return the source without IPython's own syntax, with each line in its place. Raises `SyntaxError` if that does not help."""
    lines = source.split("\n")
    for place, line in enumerate(lines):
        if line.startswith("%%"):
            magic, _, rest = line[2:].partition(" ")
            if magic in WRITES:
                text = "\n".join(lines[place + 1 :])
                return f"get_ipython().run_cell_magic({magic!r}, {rest!r}, {text!r})"
            if magic.strip().lower() in NOT_PYTHON:
                return ""
            timed = magic.strip() == "timeit"  # names bound there do not reach the notebook
            if timed:
                lines = [
                    *lines[:place],
                    "def _timed():",
                    *(f" {line}" for line in lines[place + 1 :]),
                    " pass",
                    "_timed()",
                ]
                break
            lines[place] = _captured(rest) if magic == "capture" else ""
        elif line.strip():
            break
    source = "\n".join(lines)
    try:
        _tree(source)
        return source
    except SyntaxError:
        odd = [line for line in lines if ODD.search(line)]
        indented = source.lstrip("\n")[:1] in (" ", "\t")
        if not (odd or indented):
            raise
        if len(source) * max(1, len(odd)) > MOST_WITH_MAGICS:
            raise ValueError(f"it is too long for its {len(odd)} lines that may be magics") from None
    return _without_magics(re.sub(r"^([ \t]*)%time +(?=[^\s-])", r"\1", source, flags=re.M))


def _captured(words):
    """Return the Python for the rest of a line %%capture NAME; "" without a name."""
    names = [word for word in words.split() if word.isidentifier()]
    return f"{names[0]} = get_ipython().captured()" if names else ""


def _without_magics(source):
    from IPython.core.inputtransformer2 import TransformerManager  # takes a while

    blank = len(source) - len(source.lstrip("\n"))
    try:
        changed = TransformerManager().transform_cell(source)
    except Exception as error:  # for a cell that is neither Python nor IPython it may raise anything
        raise SyntaxError(str(error)) from error
    return "\n" * blank + changed


def _statement(cell, place, node):
    try:
        binds, uses, now = _global_names(node)
    except UNPARSABLE:  # such as a duplicate argument, which the compiler will report
        named = [n for n in ast.walk(node) if isinstance(n, ast.Name)]
        binds = {n.id for n in named if isinstance(n.ctx, ast.Store)} | {getattr(node, "name", "")}
        uses = now = {n.id for n in named}
    if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
        now, uses = now | {node.target.id}, uses | {node.target.id}
    if isinstance(node, ast.Delete) or (isinstance(node, ast.AnnAssign) and node.value is None):
        binds = set()
    binds, uses, now, changes = map(frozenset, (binds, uses, now, _changes(node)))
    return Statement(cell, place, node, binds, uses, now, changes)


def _global_names(node):
    """Return the global names that a statement binds, those that it and its functions look up, and those that it alone does."""
    table = symtable.symtable(ast.unparse(node), "cell", "exec")
    symbols = table.get_symbols()
    binds = {s.get_name() for s in symbols if s.is_assigned() or s.is_imported()}
    now = {s.get_name() for s in symbols if s.is_referenced()}
    uses, inner = set(now), list(table.get_children())
    while inner:
        scope = inner.pop()
        inner += scope.get_children()
        names = {s.get_name() for s in scope.get_symbols() if s.is_global()}
        uses |= names
        if not isinstance(node, DEFINITIONS):
            now |= names  # a comprehension
    return binds, uses, now


def _at_once(node):
    """Yield the nodes of a statement that are evaluated when it is executed, so no function's body."""
    waiting = [node]
    while waiting:
        part = waiting.pop()
        yield part
        if isinstance(part, DEFINITIONS):
            waiting += part.decorator_list
        elif not isinstance(part, ast.Lambda):
            waiting += ast.iter_child_nodes(part)


def root(node: ast.AST) -> str:
    """Return the name at the beginning of a.b[c].d; "" if there is none."""
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _changes(node):
    names = {
        root(decorator.func if isinstance(decorator, ast.Call) else decorator)
        for decorator in getattr(node, "decorator_list", ())
        if not isinstance(decorator, ast.Name)
    }
    for part in _at_once(node):
        if isinstance(part, (ast.Attribute, ast.Subscript)) and not isinstance(part.ctx, ast.Load):
            names.add(root(part))
        elif isinstance(part, ast.Expr) and isinstance(part.value, ast.Call):
            if isinstance(part.value.func, ast.Attribute):
                names.add(root(part.value.func))
    return names - {""}


def is_stub(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    """Return whether nothing is written: after the docstring comes `raise NotImplementedError`, or nothing that does anything."""
    body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
    for line in body:
        if isinstance(line, ast.Raise):
            raised = line.exc.func if isinstance(line.exc, ast.Call) else line.exc
            return isinstance(raised, ast.Name) and raised.id == "NotImplementedError"
        empty = isinstance(line, ast.Expr | ast.Return) and isinstance(line.value, ast.Constant | None)
        idle = empty and getattr(line.value, "value", None) in (None, ...)
        if not (isinstance(line, ast.Pass) or idle):
            return False
    return True


def standing(statement: Statement, name: str) -> str:
    """Return how a statement binds a name: as a function, DEFINED; a value, ASSIGNED; a stub, UNWRITTEN; or not, NEITHER."""
    return _standing(statement.node, name) if name in statement.binds else NEITHER


def _standing(node, name):
    if isinstance(node, DEFINITIONS):
        return NEITHER if node.name != name else UNWRITTEN if is_stub(node) else DEFINED
    if isinstance(node, IMPORTS):
        bound = any((a.asname or a.name.split(".")[0]) == name for a in node.names)
        return DEFINED if bound else NEITHER
    if isinstance(node, BLOCKS):
        kinds = [_standing(line, name) for line in inside(node)]
        return next((best for best in (DEFINED, UNWRITTEN) if best in kinds), ASSIGNED)
    value = getattr(node, "value", None)
    made = isinstance(value, ast.Lambda) or (isinstance(value, ast.Call) and _last(value.func) == "partial")
    return (
        DEFINED
        if made and isinstance(node, ast.Assign | ast.AnnAssign) and _targets(node, name)
        else ASSIGNED
    )


def _targets(node, name):
    """Return whether an assignment binds the name itself, not a part of it."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return any(isinstance(target, ast.Name) and target.id == name for target in targets)


def _last(function):
    return getattr(function, "attr", getattr(function, "id", ""))


def inside(node: ast.AST) -> Iterator[ast.stmt]:
    """Yield the simple statements of a block at any depth, but in no function; of what is not a block, the statement itself."""
    waiting = deque([node])
    while waiting:
        part = waiting.popleft()
        if isinstance(part, ast.If) and isinstance(part.test, ast.Constant) and not part.test.value:
            waiting += part.orelse  # `if False:` is a way to disable code
        elif isinstance(part, (*BLOCKS, ast.ExceptHandler, ast.match_case)):
            waiting += ast.iter_child_nodes(part)
        elif isinstance(part, ast.stmt):
            yield part
