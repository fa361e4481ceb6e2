"""Inside the sandbox: provide what a notebook offers and this process lacks. All of it is harmless, and shows nothing.

`IPython`, `ipywidgets` and their like are replaced by modules in which every name exists: it can be called, entered, used as a
decorator, iterated over and inherited from. What runs a student's code in a notebook runs it here as well.
"""

import builtins
import importlib
import importlib.machinery
import os
import re
import shlex
import sys
import types
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import tqdm

from advcourse.grading.run import widgets
from advcourse.grading.run.widgets import Anything, Captured, anything, display

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STANDS_IN_FOR = ("IPython", "ipykernel", "ipywidgets", "matplotlib_inline", "nest_asyncio")
ELSEWHERE = "google"  # google.colab, which not every notebook has
RUNS_ITS_CELL = ("capture", "prun", "time")  # cell magics that execute the rest of the cell
OPTIONS = re.compile(r"(\s*-([nrp] *\d+|[tcqov])(?=\s|$))*\s*")  # of %timeit


def offer(module: types.ModuleType) -> "ZMQInteractiveShell":
    """Give `module` and this process what a notebook gives to its code. Returns what get_ipython() returns."""
    sys.meta_path.insert(0, _Finder(STANDS_IN_FOR))
    _forget(STANDS_IN_FOR)
    shell = ZMQInteractiveShell(user_ns=module.__dict__, config={"IPKernelApp": {}})
    _KNOWN["get_ipython"] = lambda: shell
    importlib.import_module("IPython.display")  # matplotlib and tqdm check whether it is loaded
    importlib.import_module("ipykernel")
    builtins.__IPYTHON__ = True
    sys.modules["tqdm.notebook"] = tqdm
    sys.path.insert(0, "")  # a notebook can import modules beside it, which %%writefile may have written
    module.display, module.get_ipython = display, _KNOWN["get_ipython"]
    module.exit = module.quit = sys.exit
    module.In = module._ih = shell.inputs = [""]
    module.Out = module._oh = shell.outputs = {}
    module._ = module.__ = module.___ = module._i = module._ii = module._iii = ""
    return shell


@contextmanager
def elsewhere() -> "Iterator[None]":
    """Provide `google.colab` inside the block. Outside of it, importing that fails."""
    finder = _Finder((ELSEWHERE,))
    sys.meta_path.append(finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        _forget((ELSEWHERE,))


def _forget(packages):
    for name in [name for name in sys.modules if name.split(".")[0] in packages]:
        del sys.modules[name]


class ZMQInteractiveShell(Anything):
    """What `get_ipython()` returns: it executes code in the notebook's namespace, and magics that files or names depend on.

    Of the system's shell only `mkdir` does something.
    """

    _reloads = False
    _capture = None

    def begin(self, number: int, source: str) -> None:
        """Begin with a cell: end what the one before it captures, and remember its text, as a notebook does.

        Args:
            number: what the notebook calls it, if its cells are run in their order; 0 for the lab's own.
            source: its text.
        """
        space = self.user_ns
        self.end()
        self._number = number
        if number:
            self.inputs.extend([""] * (number + 1 - len(self.inputs)))
            self.inputs[number] = space[f"_i{number}"] = source
            before = [*self.inputs[:number][::-1], "", ""]
            space.update(zip(("_i", "_ii", "_iii"), before, strict=False))

    def end(self) -> None:
        """End what a cell captures."""
        if self._capture:
            self._capture.__exit__()
            self._capture = None

    def remember(self, value: object) -> None:
        """Remember the value of a cell's last line as Out and _, as a notebook does: if `_` is not the notebook's own by now."""
        if value is None:
            return
        space, last = self.user_ns, self.__dict__.setdefault("_last", ["", "", ""])
        self.outputs[self._number] = space[f"_{self._number}"] = value
        if all(space.get("_" * (i + 1), last[i]) is last[i] for i in range(3)):
            self._last = [value, *last[:2]]
            space.update(zip(("_", "__", "___"), self._last, strict=True))

    def captured(self) -> Captured:
        """Keep what is printed until the next cell begins, as %%capture does."""
        self._capture = Captured()
        return self._capture.__enter__()

    def run_cell(self, source: str, *_: object, **__: object) -> None:
        exec(compile(source, "<cell>", "exec"), self.user_ns)

    ex = run_cell

    def ev(self, source: str) -> object:
        return eval(source, self.user_ns)

    def push(self, variables: dict[str, object], *_: object, **__: object) -> None:
        self.user_ns.update(variables)

    def run_cell_magic(self, name: str, line: str, cell: str) -> object:
        if name in _MAGICS:
            return _MAGICS[name](line, cell)
        if name in RUNS_ITS_CELL:
            self.run_cell(cell)
        elif name == "timeit":
            self._time(cell)
        elif name in ("writefile", "file"):
            self._write(shlex.split(self._filled(line)), cell)

    def run_line_magic(self, name: str, line: str, *_: object, **__: object) -> object:
        line = self._filled(line)
        if name in _MAGICS:
            return _MAGICS[name](line)
        if name in RUNS_ITS_CELL:
            self.run_cell(line)
        elif name == "timeit":
            self._time(OPTIONS.sub("", line, count=1))
        elif name == "run":
            self._run_file(*shlex.split(line))
        elif name == "pylab":
            self.run_cell("import numpy as np\nimport matplotlib.pyplot as plt\nfrom pylab import *")
        elif name in ("env", "set_env"):
            os.environ.update([re.split(r"=| ", line, maxsplit=1)])
        elif name == "autoreload":
            self._reloads = line.strip() in ("2", "3", "all", "complete")
        elif name == "mkdir":
            self.system(f"mkdir {line}")
        elif name == "cd" and (folder := _own(line.strip(" '\""))):
            os.chdir(folder)

    def _filled(self, line):
        """Return the line with values in place of {expressions} and $names; unchanged if one of them has none."""
        try:
            return re.sub(
                r"\{([^{}]+)\}|\$([A-Za-z_]\w*)", lambda found: f"{self.ev(found[1] or found[2])}", line
            )
        except Exception:
            return line

    def _time(self, source):
        """Run timed code as the body of a function, so that its names do not reach the notebook."""
        space = {}
        exec(
            "def timed():\n" + "".join(f" {line}\n" for line in source.split("\n")) + " pass",
            self.user_ns,
            space,
        )
        space["timed"]()

    def _write(self, words, text):
        """Write a file, and create its folder, which a shell command may have done. `words`: the file's name and options."""
        path = Path([word for word in words if not word.startswith("-")][0]).expanduser()
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a" if {"-a", "--append"} & set(words) else "w", encoding="utf-8") as file:
            file.write(text)
        importlib.invalidate_caches()
        for module in list(sys.modules.values()) if self._reloads else ():
            if getattr(module, "__file__", None) and Path(module.__file__).resolve() == path.resolve():
                self._reload(module)

    def _reload(self, module):
        """Reload a module as %autoreload does: the notebook's functions and classes from it become the new ones, too."""
        with suppress(Exception):  # then the old one stays
            importlib.reload(module)
        for name, value in self.user_ns.items():
            if getattr(value, "__module__", None) == module.__name__:
                self.user_ns[name] = getattr(module, getattr(value, "__name__", ""), value)

    def _run_file(self, *words):
        """Run a file on its own, and give its names to the notebook.

        `words`: options, the file's name, and what it finds in `sys.argv`. With -i it sees the notebook's names, with -n it is
        not the main program.
        """
        first = next(place for place, word in enumerate(words) if not word.startswith("-"))
        path, before = Path(words[first]), sys.argv
        space = {"__name__": path.stem if "-n" in words[:first] else "__main__"}
        space = self.user_ns if "-i" in words[:first] else space
        path, sys.argv = path if path.suffix else path.with_suffix(".py"), list(words[first:])
        try:
            exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), space)
        finally:
            sys.argv = before
        self.user_ns.update({name: value for name, value in space.items() if not name.startswith("__")})

    def register_magic_function(
        self, function: "Callable", magic_kind: str = "line", magic_name: str | None = None
    ) -> None:
        _MAGICS[magic_name or function.__name__] = function

    def register_magics(self, *kinds: object) -> None:
        """Register the magics of classes, or of objects."""
        for kind in kinds:
            one = kind(self) if isinstance(kind, type) else kind
            for function in (getattr(one, name, None) for name in dir(one) if not name.startswith("__")):
                if name := getattr(function, "magic_name", ""):
                    _MAGICS[name] = function

    def getoutput(self, line: str = "", *_: object, **__: object) -> list[str]:
        self.system(line)
        return []

    def system(self, line: str = "", *_: object, **__: object) -> None:
        """Create the folders of `mkdir`; do nothing else."""
        command, *words = shlex.split(self._filled(line), comments=True) or [""]
        if command == "mkdir":
            for folder in [_own(word) for word in words if not word.startswith("-")]:
                if folder:
                    folder.mkdir(parents=True, exist_ok=True)

    system_raw = system


def _own(name):
    """Return the path of this name if it is in the folder that a task may write to; else None."""
    path = Path(name).expanduser().resolve()
    return path if path.is_relative_to(Path.home().resolve()) else None


_MAGICS = {}  # magics that the notebook registers


def _own_magic(function, name=""):
    """Register a magic under its own name, or, called as register_line_magic("name"), under that one."""
    if isinstance(function, str):
        return lambda decorated: _own_magic(decorated, function)
    _MAGICS[name or function.__name__] = function
    return function


class Magics:
    """What classes of magics inherit from."""

    def __init__(self, shell: ZMQInteractiveShell | None = None, **_: object):
        self.shell = shell or _KNOWN["get_ipython"]()


def _marked(function):
    """Mark a method as a magic under its own name, or, called as line_magic("name"), under that one."""
    if isinstance(function, str):
        return lambda method: setattr(method, "magic_name", function) or method
    function.magic_name = function.__name__
    return function


_KNOWN = {
    **widgets.KNOWN,
    "Magics": Magics,
    "magics_class": lambda kind: kind,
    **dict.fromkeys(("line_magic", "cell_magic", "line_cell_magic"), _marked),
    **dict.fromkeys(("register_line_magic", "register_cell_magic", "register_line_cell_magic"), _own_magic),
    "version_info": (9, 0, 0),
}


class _Module(types.ModuleType):
    def __getattr__(self, name):
        return _KNOWN[name] if name in _KNOWN else anything(name)


class _Finder:
    """Finds a stand-in for each module of the packages."""

    def __init__(self, packages):
        self._packages = packages

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self._packages:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        return _Module(spec.name)

    def exec_module(self, module):
        pass
