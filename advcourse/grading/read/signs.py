"""Find signs in a submission that a person should look at. They come from reading the code, prove nothing, and cost no points."""

import ast
import re

from advcourse.grading.read.parsing import IMPORTS, NOT_PYTHON, root
from advcourse.grading.read.submission import Submission

MOST = 40
OUTWARD = set(
    "_thread asyncio atexit builtins code codecs concurrent ctypes dis faulthandler fcntl gc glob http importlib inspect "
    "io IPython linecache marshal mmap multiprocessing nbformat nbgrader os pathlib pickle pip pkgutil platform psutil "
    "pty requests resource runpy select shelve shutil signal site socket socketserver ssl subprocess sys sysconfig "
    "tempfile threading traceback types unittest urllib weakref zipfile zipimport".split()
)
PEERS = set("advertorch art autoattack adv_lib cleverhans foolbox robustbench torchattacks".split())
BUILTINS = {
    "open": "opens files",
    "eval": "runs code from text",
    "exec": "runs code from text",
    "compile": "runs code from text",
    "__import__": "imports by a name made at run time",
    "globals": "reaches into the namespace",
    "vars": "reaches into the namespace",
    "exit": "ends the program",
    "quit": "ends the program",
    "SystemExit": "ends the program",
    "breakpoint": "starts the debugger",
}
PARTS = set(
    "DataSource TorchDispatchMode TorchFunctionMode _C cpp_extension ctypeslib distributed fromfile genfromtxt hub load "
    "load_library loadmat loadtxt memmap multiprocessing open_memmap overrides read_csv read_json read_pickle read_table save "
    "savemat savetxt savez savez_compressed to_csv to_pickle tofile".split()
)
SYSTEM = set(
    "_ctypes _os _sys builtins ctypes fcntl gc importlib inspect marshal mmap os pathlib pickle pkgutil psutil resource runpy "
    "shutil socket subprocess sys tempfile threading".split()
)  # modules that other modules hold, too
HIDDEN = PARTS | SYSTEM
NAMING = (
    "getattr",
    "hasattr",
    "setattr",
    "delattr",
    "attrgetter",
    "methodcaller",
)  # functions that take an attribute's name
COMMANDS = re.compile(
    r"(.*\.)?(system|popen|Popen|exec[lv]p?e?|spawn([lv]p?e?)?|posix_spawnp?|check_output|check_call|get(status)?output)"
)
RUNS = ("subprocess.run", "subprocess.call", "sp.run", "sp.call")  # names that other things have, too
MADE = (ast.BinOp, ast.JoinedStr, ast.Call, ast.Subscript, ast.IfExp)  # they make text at run time
SHOWS = ("IPython.display", "IPython.core.display")  # the sandbox offers them, and they do nothing there
SHELL = ("IPython", "IPython.core.getipython")  # modules that hold get_ipython
RUN_MAGICS = ("magic", "run_cell_magic", "run_line_magic")
FORMATTED = re.compile(r"\{\w{0,40}[.\[][^{}]{0,200}__\w{1,40}__")  # "{0.__class__}".format(x)
FRAMES = set(
    "_getframe ast_transformers cr_frame f_back f_builtins f_globals f_locals gi_frame tb_frame user_ns".split()
)
ORDINARY = set(
    "__call__ __class__ __doc__ __enter__ __exit__ __file__ __getitem__ __init__ __iter__ __len__ __main__ __name__ __next__ "
    "__post_init__ __repr__ __str__ __version__".split()
)
VERDICTS = {
    "check",
    "hint",
    "measure",
    "show",
    "train",
}  # the lab's tools that say how good an answer is
SETTINGS = ("backends", "options", "rcParams")  # settings of libraries, which are there to be changed
SHELLS = set(NOT_PYTHON) - {"html", "javascript", "js", "latex", "markdown", "svg"}
MAGICS = set("config cd env load run script set_env store sx system writefile".split())
PATH = re.compile(
    r"/proc\b|/etc/|/sys/|/root\b|/home/|/tmp\b|\.ssh\b|site-packages|solutions/|exercises/|gradebook|\.ipynb|\.\./"
)


def signs(submitted: Submission, given: Submission) -> tuple[str, ...]:
    """Return sentences for the instructor about `submitted`, each with cell and line. Cells of the `given` copy are left out."""
    known = {cell.source for cell in given.cells if cell.kind == "code"}
    asked = [s.node for code in given.code for s in code.statements if isinstance(s.node, ast.ImportFrom)]
    asked = [node for node in asked if (node.module or "").startswith("advcourse.labs.")]
    tools = {alias.name: node.module for node in asked for alias in node.names}
    nodes, sentences = [n for code in submitted.code for s in code.statements for n in ast.walk(s.node)], []
    imported = _imported(nodes)
    bound = {n.id for n in nodes if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
    bound |= imported | {n.arg for n in nodes if isinstance(n, ast.arg)}
    codes = {code.index: code for code in submitted.code}
    for cell in submitted.cells:
        if cell.source not in known and cell.index in codes:
            lines = {*_magics(cell.source), *_Reader(cell, codes[cell.index], imported, tools, bound).told()}
            sentences += [f"Cell {cell.index}, line {line}: {what}." for line, what in sorted(lines)]
    return (*sentences[:MOST], *([f"And {len(sentences) - MOST} more."] if len(sentences) > MOST else ()))


def _magics(source):
    """Yield shell commands, and magics that reach beyond the notebook, as pairs of a line and words."""
    for number, line in enumerate(source.splitlines(), 1):
        name = re.match(r"\s*(%{1,2})(\w+) *(InlineBackend\b)?", line)
        if name and _reaches_out(name[2], name[1] == "%%") and not name[3]:
            yield number, f"uses the magic {name[1]}{name[2]}"
        command = re.match(r"\s*(?:\w+ *= *)?!+(.*)", line)
        if command and not re.match(r" *(pip3?|conda|mamba|uv|python3? -m pip)\b", command[1]):
            yield number, f"runs a command of the shell: {command[1].strip()[:60]}"


def _reaches_out(magic, of_cell):
    return magic.lower() in (SHELLS if of_cell else MAGICS)


def _imported(nodes):
    """Return the names that stand for imported modules, for what is in them, and for parts of those: T after T = torch.Tensor."""
    imports = [n for n in nodes if isinstance(n, IMPORTS)]
    names = {alias.asname or alias.name.split(".")[0] for n in imports for alias in n.names}
    aliases = {}
    for target, value in _bound(nodes):
        if isinstance(target, ast.Name) and isinstance(value, ast.Attribute | ast.Name):
            aliases.setdefault(root(value), set()).add(target.id)
    waiting = list(names)
    while waiting:
        more = aliases.get(waiting.pop(), set()) - names
        names |= more
        waiting += more
    return names


def _bound(nodes):
    """Yield pairs of a target and the value bound to it: a = b, a, c = b, d, (a := b), a: T = b, for a in [b, d]."""
    for node in nodes:
        value = getattr(node, "value", None)
        if isinstance(node, ast.For | ast.comprehension) and isinstance(node.iter, ast.Tuple | ast.List):
            yield from ((node.target, one) for one in node.iter.elts)
        elif isinstance(node, ast.AnnAssign | ast.NamedExpr):
            yield node.target, value
        for target in node.targets if isinstance(node, ast.Assign) else ():
            yield target, value
            if isinstance(target, ast.Tuple | ast.List) and isinstance(value, ast.Tuple | ast.List):
                yield from zip(target.elts, value.elts)


class _Reader:
    """Reads the code of one cell."""

    def __init__(self, cell, code, imported, tools, bound):
        self.cell, self.code, self.imported, self.tools, self.bound = cell, code, imported, tools, bound
        self._ordinary = set()  # harmless uses of get_ipython
        self._called = set()

    def told(self):
        """Yield what is worth a look, as pairs of a line and words."""
        for statement in self.code.statements:
            yield from self._rebound(statement)
            nodes = list(ast.walk(statement.node))
            docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
            for node in nodes:
                ask = getattr(self, f"_{type(node).__name__.lower()}", None)
                if ask and not (isinstance(node, ast.Constant) and id(node) in docstrings):
                    yield from ((node.lineno, what) for what in ask(node))

    def _rebound(self, statement):
        module = getattr(statement.node, "module", None)
        for name in statement.binds & VERDICTS & set(self.tools):
            if module != self.tools[name]:
                yield statement.node.lineno, f"binds {name}, the lab's own, anew"

    def _import(self, node):
        for alias in node.names:
            yield from self._module(alias.name)

    def _importfrom(self, node):
        for alias in node.names:
            if node.module in SHELL and alias.name in ("display", "get_ipython", "version_info"):
                continue  # each use of get_ipython is examined where it occurs
            if alias.name in NAMING and alias.asname:
                yield f"imports {alias.name} under another name"
            elif alias.name in PARTS | FRAMES | SYSTEM:
                yield f"imports {alias.name} from {node.module}"
            elif node.module and self.tools.get(alias.name) != node.module:
                yield from self._module(node.module)

    def _module(self, name):
        package = name.split(".")[0]
        if name in (*SHOWS, *SHELL):
            return
        if package in OUTWARD:
            yield f"imports {name}, which reaches beyond the notebook"
        elif package in PEERS:
            yield f"imports {name}, a library of attacks"
        elif package == "advcourse":
            yield f"imports {name}, which may hold the answers"
        elif PARTS & set(name.split(".")):
            yield f"imports {name}"

    def _name(self, node):
        if isinstance(node.ctx, ast.Load) and node.id in BUILTINS:
            yield f"uses {node.id}, which {BUILTINS[node.id]}"
        elif node.id not in BUILTINS and _dunder(node.id):
            yield f"uses {node.id}"
        elif node.id == "get_ipython" and "get_ipython" in self.cell.source and node not in self._ordinary:
            yield "uses get_ipython, the notebook's own machinery"
        elif node.id in NAMING and node not in self._called:
            yield f"uses {node.id} under another name"
        elif node.id in SYSTEM - self.bound and isinstance(node.ctx, ast.Load):
            yield f"uses {node.id}, which no cell imports"

    def _attribute(self, node):
        if _dunder(node.attr) or node.attr in FRAMES:
            yield f"uses .{node.attr}"
        elif not isinstance(node.ctx, ast.Load):
            path = _path(node)
            if root(node) in self.imported and not set(SETTINGS) & set(path.split(".")):
                yield f"changes {path}, which is not the notebook's own"
        elif node.attr in HIDDEN and root(node) in self.imported:
            yield f"uses {_path(node)}"
        elif node.attr in SYSTEM and getattr(node.value, "id", "") != "self":
            yield f"uses .{node.attr}"
        elif node.attr == "get_ipython" and node not in self._ordinary:
            yield "uses get_ipython, the notebook's own machinery"

    def _call(self, node):
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        first, second = (*node.args, None, None)[:2]
        if name in ("setattr", "delattr") and first is not None and root(first) in self.imported:
            yield f"changes {_path(first)}, which is not the notebook's own"
        self._called.add(node.func)
        path = _path(node.func)
        if root(node.func) in self.imported and node.args and (COMMANDS.fullmatch(path) or path in RUNS):
            yield f"runs a program: {ast.unparse(node)[:60]}"
        self._use_of_ipython(node, name, first)
        if name in NAMING[:4]:
            yield from self._named(name, second, first is not None and root(first) in self.imported)
        elif name in NAMING:
            yield from (what for text in node.args for what in self._named(name, text, True))

    def _use_of_ipython(self, node, name, first):
        """Remember harmless uses: get_ipython().run_line_magic("matplotlib", "inline"), str(get_ipython())."""
        inner = node.func.value if name in RUN_MAGICS and isinstance(node.func, ast.Attribute) else None
        text = getattr(first, "value", None)
        if isinstance(text, str) and _reaches_out(
            (text.strip("% ").split() or [""])[0], name == "run_cell_magic"
        ):
            inner = None
        if not isinstance(text, str) or not text.strip("% "):
            inner = first if name in ("str", "type", "print") else None
        if isinstance(inner, ast.Call):
            self._ordinary.add(inner.func)

    def _named(self, name, text, imported):
        """Yield a sign if an attribute that is asked for by its name, an expression, is worth a look."""
        value = getattr(text, "value", None)
        if isinstance(text, ast.Constant) and isinstance(value, str):
            parts = value.split(".")
            if any(map(_dunder, parts)) or set(parts) & (FRAMES | SYSTEM | (PARTS if imported else set())):
                yield f"uses {name} with {value!r}"
        elif imported or isinstance(text, MADE):
            yield f"uses {name} with a name that is made at run time"

    def _classdef(self, node):
        for base in node.bases:
            if getattr(base, "id", getattr(base, "attr", "")) in ("Tensor", "Parameter"):
                yield f"defines {node.name}, a tensor with methods of its own"

    def _functiondef(self, node):
        if node.name in (
            "__torch_function__",
            "__torch_dispatch__",
            "__reduce__",
            "__reduce_ex__",
            "__del__",
        ):
            yield f"defines {node.name}"

    def _constant(self, node):
        if isinstance(node.value, str) and (path := PATH.search(node.value)):
            yield f"names a path with {path[0]!r}"
        if isinstance(node.value, str) and FORMATTED.search(node.value):
            yield "names what is inside an object in a text for format"


def _dunder(name):
    return name.startswith("__") and name.endswith("__") and len(name) > 4 and name not in ORDINARY


def _path(node):
    """Return the expression a.b.c as text; if it is long, only its end."""
    names = []
    while isinstance(node, ast.Attribute | ast.Subscript):
        names.append(node.attr if isinstance(node, ast.Attribute) else "[...]")
        node = node.value
    names.append(getattr(node, "id", "(...)"))
    return ".".join(names[:6][::-1]).replace(".[", "[")
