"""Signs in a submission that a person should look at. They are found by reading the code, prove nothing, and cost no points."""

import ast
import re

from advcourse.grading.parsing import IMPORTS, NOT_PYTHON, root

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
    "TorchDispatchMode TorchFunctionMode _C cpp_extension ctypeslib distributed fromfile hub load load_library memmap "
    "multiprocessing overrides read_csv read_pickle save tofile".split()
)
SYSTEM = set(
    "_os _sys builtins ctypes gc importlib os shutil socket subprocess sys".split()
)  # other modules hold them, too
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
}  # of the lab's tools those that say how good an answer is
SETTINGS = ("backends", "options", "rcParams")  # of libraries, which are there to be changed
SHELLS = set(NOT_PYTHON) - {"html", "javascript", "js", "latex", "markdown", "svg"}
MAGICS = set("config cd env load run script set_env store sx system writefile".split())
PATH = re.compile(
    r"/proc\b|/etc/|/sys/|/root\b|/home/|/tmp\b|\.ssh\b|site-packages|solutions/|exercises/|gradebook|\.ipynb|\.\./"
)


def signs(submitted, given):
    """Sentences for the instructor about `submitted`, each with cell and line; cells of the `given` copy are left out."""
    known = {cell.source for cell in given.cells if cell.kind == "code"}
    asked = [s.node for code in given.code for s in code.statements if isinstance(s.node, ast.ImportFrom)]
    asked = [node for node in asked if (node.module or "").startswith("advcourse.labs.")]
    tools = {alias.name: node.module for node in asked for alias in node.names}
    imported, found = _imported(submitted.code), []
    codes = {code.index: code for code in submitted.code}
    for cell in submitted.cells:
        if cell.source not in known and cell.index in codes:
            told = {*_magics(cell.source), *_Reader(cell, codes[cell.index], imported, tools).told()}
            found += [f"Cell {cell.index}, line {line}: {what}." for line, what in sorted(told)]
    return (*found[:MOST], *([f"And {len(found) - MOST} more."] if len(found) > MOST else ()))


def _magics(source):
    """Commands to the shell, and magics that reach beyond the notebook, by line."""
    for number, line in enumerate(source.splitlines(), 1):
        name = re.match(r"\s*(%{1,2})(\w+)", line)
        if name and name[2].lower() in (SHELLS if name[1] == "%%" else MAGICS):
            yield number, f"uses the magic {name[0].strip()}"
        command = re.match(r"\s*(?:\w+ *= *)?!+(.*)", line)
        if command and not re.match(r" *(pip3?|conda|mamba|uv|python3? -m pip)\b", command[1]):
            yield number, f"runs a command of the shell: {command[1].strip()[:60]}"


def _imported(codes):
    """The names that stand for imported modules and what is in them, and for parts of those: T after T = torch.Tensor."""
    nodes = [n for code in codes for s in code.statements for n in ast.walk(s.node)]
    imports = [n for n in nodes if isinstance(n, IMPORTS)]
    found = {alias.asname or alias.name.split(".")[0] for n in imports for alias in n.names}
    aliases = [
        n for n in nodes if isinstance(n, ast.Assign) and isinstance(n.value, ast.Attribute | ast.Name)
    ]
    for node in aliases:
        if root(node.value) in found:
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found


class _Reader:
    """Reads the code of one cell."""

    def __init__(self, cell, code, imported, tools):
        self.cell, self.code, self.imported, self.tools = cell, code, imported, tools

    def told(self):
        """What is worth a look: pairs of a line and words."""
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
            if alias.name in PARTS | FRAMES | SYSTEM:
                yield f"imports {alias.name} from {node.module}"
            elif node.module and self.tools.get(alias.name) != node.module:
                yield from self._module(node.module)

    def _module(self, name):
        package = name.split(".")[0]
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
        elif node.id == "get_ipython" and "get_ipython" in self.cell.source:
            yield "uses get_ipython, the notebook's own machinery"

    def _attribute(self, node):
        if _dunder(node.attr) or node.attr in FRAMES:
            yield f"uses .{node.attr}"
        elif not isinstance(node.ctx, ast.Load):
            path = _path(node)
            if root(node) in self.imported and not set(SETTINGS) & set(path.split(".")):
                yield f"changes {path}, which is not the notebook's own"
        elif node.attr in PARTS | SYSTEM and root(node) in self.imported:
            yield f"uses {_path(node)}"

    def _call(self, node):
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        first, second = (*node.args, None, None)[:2]
        if name in ("setattr", "delattr") and first is not None and root(first) in self.imported:
            yield f"changes {_path(first)}, which is not the notebook's own"
        if name in ("getattr", "setattr", "attrgetter"):
            text = getattr(second if name != "attrgetter" else first, "value", None)
            if isinstance(text, str) and any(map(_dunder, text.split("."))):
                yield f"uses {name} with {text!r}"

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


def _dunder(name):
    return name.startswith("__") and name.endswith("__") and len(name) > 4 and name not in ORDINARY


def _path(node):
    """The expression a.b.c as text; of a long one the end."""
    names = []
    while isinstance(node, ast.Attribute | ast.Subscript):
        names.append(node.attr if isinstance(node, ast.Attribute) else "[...]")
        node = node.value
    names.append(getattr(node, "id", "(...)"))
    return ".".join(names[:6][::-1]).replace(".[", "[")
