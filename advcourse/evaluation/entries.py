"""A small YAML file as entries that know their line and key, so that whatever is wrong with one can be told where it stands."""

import difflib
import re
import reprlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from advcourse.inputs import InputError

_MOST = 20  # problems that are told together
_LARGEST = 2**63 - 1
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}
_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = 80


@dataclass(frozen=True)
class Entry:
    """A value of the file. value: None, a bool, int, float or str, a list of entries, or a dictionary of entries.

    line: from 1. key: the way to it, "attacks[1].eps"; empty for the whole file.
    """

    value: object
    line: int
    key: str

    @property
    def told(self):
        """The value as a message tells it."""
        named = {list: "a list", dict: "a mapping", type(None): "nothing", bool: str(self.value).lower()}
        return named.get(type(self.value)) or _REPR.repr(self.value)

    @property
    def items(self):
        """The entries of a list; of anything else, itself alone."""
        return self.value if isinstance(self.value, list) else [self]


class Problems:
    """What is wrong with the file at `path`, collected, to be told all at once."""

    def __init__(self, path):
        self.path, self._found = path, []

    def add(self, entry, text, key=None):
        """`text` is wrong with the entry, or with its part `key`, which it lacks."""
        key = ".".join(filter(None, (entry.key, key)))
        place = f"{self.path}, line {entry.line}{f', {key}' if key else ''}"
        self._found.append((entry.line, f"{place}: {' '.join(text.split())}"))

    def stop(self):
        """Raise an `InputError` of all problems, in the order of their lines, if there are any."""
        lines = [text for _, text in sorted(self._found, key=lambda found: found[0])]
        if lines:
            rest = [f"{self.path}: and {len(lines) - _MOST} more"] if len(lines) > _MOST else []
            raise InputError("\n".join(lines[:_MOST] + rest))

    @contextmanager
    def told_of(self, entry, parts=None, renamed=None):
        """An `InputError` inside the block becomes a problem of the part that it names, else of `entry`.

        `parts`: names to entries. `renamed`: what the error calls a part -> what the file calls it.
        """
        try:
            yield
        except InputError as error:
            name, _, text = str(error).partition(": ")
            name = (renamed or {}).get(name, name)
            if name in (parts or {}):
                self.add(parts[name], text)
            elif name.isidentifier() and text:
                self.add(entry, text, name)
            else:
                self.add(entry, str(error))

    def parts(self, entry, allowed, required=()):
        """The entries of a mapping by name. Keys not `allowed`, and `required` ones that are missing, are problems."""
        for name, part in entry.value.items():
            if name not in allowed:
                self.add(part, f"unknown key; allowed are {_listed(allowed)}{_meant(name, allowed)}")
        for name in required:
            if name not in entry.value:
                self.add(entry, "is missing", name)
        return {name: part for name, part in entry.value.items() if name in allowed}

    def choice(self, entry, allowed):
        """Whether the value is one of the `allowed` words; a problem if not."""
        if isinstance(entry.value, str) and entry.value in allowed:
            return True
        meant = _meant(entry.value, allowed) if isinstance(entry.value, str) else ""
        self.add(entry, f"got {entry.told}; allowed are {_listed(allowed)}{meant}")
        return False

    def text(self, entry):
        """Whether the value is text, and not empty; a problem if not."""
        if isinstance(entry.value, str) and entry.value.strip():
            return True
        self.add(entry, f"got {entry.told}; allowed is text (a number or an empty text needs quotes, and letters)")
        return False

    def once(self, entry, name, seen):
        """Whether `name` is new to `seen`, a dictionary of names to lines, which remembers it; a problem if not."""
        if seen.setdefault(name, entry.line) is not entry.line or (name, entry) in seen:
            self.add(entry, f"a second {name!r}, the first is on line {seen[name]}; allowed is one of a name")
            return False
        seen[name, entry] = entry.line
        return True
