"""Modules that have moved: their old names still work, in `import` and in `from ... import`, and give the same module."""

import importlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

_CORE = "errors files identity inputs intervals page randomness rounding workers"
_COURSE = "coverage doctor jupyter notebooks widgets"
_READ = "archives broken everything folders layouts likeness owners parsing reading signs slicing submission"
_RUN = "asking grader loading notebook refusals sandbox staging traces watch wire worker"
_TELL = "feedback gradebook nbgrader_gradebook overview report roster writing"


def _into(room, names, above=""):
    """Old name -> new name of modules that have moved from `above` into `room`, which lies there."""
    return {f"advcourse.{above}{name}": f"advcourse.{above}{room}.{name}" for name in names.split()}


MOVED = {
    **_into("core", _CORE),
    **_into("course", _COURSE),
    **_into("training", "augmentation checkpoints"),
    **_into("zoo", "recipes"),
    **_into("data", "transformations"),
    **_into("read", _READ, "grading."),
    **_into("run", _RUN, "grading."),
    **_into("tell", _TELL, "grading."),
    "advcourse.attacks.boundary": "advcourse.attacks.slide",
    "advcourse.attacks.nearest": "advcourse.attacks.best",
    "advcourse.attacks.penalty": "advcourse.attacks.search",
    "advcourse.attacks.saliency": "advcourse.attacks.jsma",
    "advcourse.attacks.spatial": "advcourse.attacks.stadv",
}


class Finder:
    """Finds a moved module, or a module inside of one, under its old name."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not name.startswith("advcourse."):  # as nearly all that a process imports
            return None
        old = next((old for old in MOVED if f"{name}.".startswith(f"{old}.")), None)
        return old and ModuleSpec(name, _Loader(MOVED[old] + name.removeprefix(old)))


class _Loader:
    def __init__(self, new):
        self._new = new

    def create_module(self, spec):
        module = importlib.import_module(self._new)
        self._spec = module.__spec__
        return module

    def exec_module(self, module):
        module.__spec__ = self._spec  # the import system has just put that of the old name there


sys.meta_path.insert(0, Finder())  # before the one that would find a file inside of a moved folder once more
