"""A small YAML file as entries that know their line and key, so that what is wrong with one can be told where it stands."""

import difflib
import re
import reprlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from advcourse.core.files import contents
from advcourse.core.inputs import InputError

_MOST = 20  # problems that are told together
_LARGEST = 2**63 - 1  # of whole numbers, as seeds are held
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_NUMBER = re.compile(
    r"[-+]?((\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?|\.(inf|Inf|INF))|\.(nan|NaN|NAN)"
)
_FRACTION = re.compile(r"([-+]?[0-9]+(?:\.[0-9]*)?) ?/ ?([0-9]+)")
_OCTAL = re.compile(r"[-+]?0[0-9]+(\.[0-9]*)?")  # to some programs
_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}
_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = 80


@dataclass(frozen=True)
class YamlEntry:
    """A value of the file: None, a bool, int, float or str, a list of entries, or a dictionary of entries by name.

    line: from 1. key: the way to it, "attacks[1].eps"; empty for the whole file.
    """

    value: object
    line: int
    key: str

    @property
    def told(self) -> str:
        """The value as a message tells it."""
        if self.value is None or isinstance(self.value, bool):
            return {None: "nothing", True: "true", False: "false"}[self.value]
        named = {list: "a list", dict: "a mapping"}
        return named.get(type(self.value)) or _REPR.repr(self.value)

    @property
    def items(self) -> list["YamlEntry"]:
        """The entries of a list; of anything else, itself alone."""
        return self.value if isinstance(self.value, list) else [self]


class Problems:
    """What is wrong with the file at `path`, collected, to be told all at once."""

    def __init__(self, path: Path | str):
        self.path, self._found = path, {}

    def add(self, entry: YamlEntry, text: str, part: str | None = None) -> None:
        """`text` is wrong with the entry; or with its `part`, which it lacks. The first problem of an entry is told, no more."""
        key = ".".join(filter(None, (entry.key, part)))
        self._found.setdefault((entry.line, key), " ".join(text.split()))

    def stop(self) -> None:
        """Raise an `InputError` of all problems, in the order of their lines, if there are any."""
        places = sorted(self._found, key=lambda place: place[0])
        lines = [
            f"{self.path}, line {line}{f', {key}' if key else ''}: {self._found[line, key]}"
            for line, key in places
        ]
        rest = [f"{self.path}: and {len(lines) - _MOST} more"] if len(lines) > _MOST else []
        if lines:
            raise InputError("\n".join(lines[:_MOST] + rest))

    @contextmanager
    def told_of(self, entry: YamlEntry, parts: Mapping[str, YamlEntry]) -> Iterator[None]:
        """An `InputError` inside the block becomes a problem of the one of the `parts` that it names, else of `entry`.

        `parts`: the entries by what the error calls them.
        """
        try:
            yield
        except InputError as error:
            name, _, text = str(error).partition(": ")
            if name in parts:
                self.add(parts[name], text)
            elif name.isidentifier():
                self.add(entry, text, name)
            else:
                self.add(entry, str(error))

    def parts(
        self, entry: YamlEntry, allowed: Collection[str], required: Mapping[str, str]
    ) -> dict[str, YamlEntry]:
        """The entries of a mapping by name. A key that is not `allowed` is a problem, and a missing one that is `required`.

        `required`: the names that have to be there, and what each may be.
        """
        if not isinstance(entry.value, dict):
            self.add(entry, f"got {entry.told}; allowed is a mapping of {', '.join(allowed)}")
            return {}
        for name, part in entry.value.items():
            if name not in allowed:
                self.add(part, f"unknown key; allowed are {_listed(name, allowed)}")
        for name, what in required.items():
            if name not in entry.value:
                self.add(entry, f"missing; allowed is {what}", name)
        return {name: part for name, part in entry.value.items() if name in allowed}

    def choice(self, entry: YamlEntry, allowed: Collection[str]) -> bool:
        """Whether the value is one of the `allowed` words; a problem if not."""
        if isinstance(entry.value, str) and entry.value in allowed:
            return True
        self.add(entry, f"got {entry.told}; allowed are {_listed(entry.value, allowed)}")
        return False

    def single(self, entry: YamlEntry, allowed: str = "one value") -> bool:
        """Whether the value is neither a list nor a mapping, nor left out; a problem if it is."""
        if entry.value is not None and not isinstance(entry.value, list | dict):
            return True
        self.add(entry, f"got {entry.told}; allowed is {allowed}")
        return False

    def text(self, entry: YamlEntry) -> bool:
        """Whether the value is text, and not empty; a problem if not."""
        if isinstance(entry.value, str) and entry.value.strip():
            return True
        hint = f", in quotes: '{entry.told}'" if isinstance(entry.value, bool | int | float) else ""
        self.add(entry, f"got {entry.told}; allowed is text{hint}")
        return False

    def new(self, entry: YamlEntry, name: str, lines: dict[str, int]) -> bool:
        """Whether `name` is new to `lines`, a dictionary that remembers the line of each name; a problem if not."""
        if name in lines:
            self.add(entry, f"got {name!r} again, first on line {lines[name]}; allowed is one of a name")
            return False
        lines[name] = entry.line
        return True


def _listed(given, allowed):
    """The `allowed` words, and the one that may have been meant by `given`."""
    folded = {word.casefold(): word for word in allowed}
    near = difflib.get_close_matches(given.casefold(), folded, 1) if isinstance(given, str) else []
    return ", ".join(allowed) + (f"; did you mean {folded[near[0]]}?" if near else "")


def parse(path: Path | str) -> tuple[YamlEntry, Problems]:
    """The YAML file at `path` as its whole `YamlEntry`, and its `Problems` so far, such as keys that are given twice.

    Nothing is ever constructed from a tag. Words and numbers that programs read differently (yes, 010, 1:30) are problems.

    Raises:
        InputError: no such file, not UTF-8, no YAML, or an empty file.
    """
    problems, text = Problems(path), _text(path)
    try:
        node = yaml.compose(text, Loader=_Loader)
        if node is not None:
            return _entry(node, node.start_mark.line + 1, "", problems), problems
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise InputError(
            f"{path}, line {line}: got the character {chr(error.character)!r}; allowed is text"
        ) from None
    except _Refused as error:
        raise InputError(f"{path}, line {error.problem_mark.line + 1}: {error.problem}") from None
    except yaml.MarkedYAMLError as error:
        raise InputError(_syntax(path, error)) from None
    except RecursionError:
        raise InputError(
            f"{path}: got lists in lists in lists, too deep to read; allowed are few levels"
        ) from None
    raise InputError(f"{path}: got an empty file; allowed is YAML")


def _text(path):
    try:
        content = contents(path)
    except OSError as error:
        raise InputError(
            f"file: got {str(path)!r}; allowed is a YAML file that can be read ({error.strerror})"
        ) from error
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}, line {line}: got the byte {content[error.start]:#04x}; allowed is text in UTF-8"
        ) from None


def _syntax(path, error):
    told = ", ".join(filter(None, (error.context, error.problem)))
    if error.context_mark and error.context_mark.line != error.problem_mark.line:
        told += f"; it began on line {error.context_mark.line + 1}"
    return f"{path}, line {error.problem_mark.line + 1}: got what is no YAML ({told})"


class _Refused(yaml.MarkedYAMLError):
    """What YAML has, and these files have not."""


class _Loader(yaml.SafeLoader):
    """Composes nodes that stand in the file once, without tags."""

    def compose_node(self, parent, index):
        event = self.peek_event()
        if event.anchor or event.tag:  # an alias has an anchor, too
            told = "got a tag, an anchor or an alias (!, & or *); allowed are values as they stand"
            raise _Refused(problem=told, problem_mark=event.start_mark)
        return super().compose_node(parent, index)


def _entry(node, line, key, problems):
    """A node of PyYAML as a `YamlEntry`."""
    if isinstance(node, yaml.SequenceNode):
        items = [
            _entry(one, one.start_mark.line + 1, f"{key}[{place}]", problems)
            for place, one in enumerate(node.value)
        ]
        return YamlEntry(items, line, key)
    if isinstance(node, yaml.MappingNode):
        return YamlEntry(_mapping(node, key, problems), line, key)
    return _scalar(node, YamlEntry(node.value, line, key), problems)


def _mapping(node, key, problems):
    parts = {}
    for name, value in node.value:
        line = name.start_mark.line + 1
        if not isinstance(name, yaml.ScalarNode):
            problems.add(YamlEntry(None, line, key), "got a list or a mapping as a key; allowed is a word")
            continue
        way = f"{key}.{name.value}" if key else name.value
        part = _entry(value, line, way, problems)
        if name.value in parts:
            problems.add(
                part, f"given twice, first on line {parts[name.value].line}; allowed is one key of a name"
            )
        parts.setdefault(name.value, part)
    return parts


def _scalar(node, entry, problems):
    """The entry with its word or number as it is meant: quoted ones are text."""
    text, (line, key) = node.value, (entry.line, entry.key)
    if node.style is not None:
        return entry
    if text.lower() in _WORDS:
        return YamlEntry(_WORDS[text.lower()], line, key)
    if _INTEGER.fullmatch(text) and len(text) <= 20 and abs(int(text)) <= _LARGEST:
        return YamlEntry(int(text), line, key)
    if _NUMBER.fullmatch(text) and not _INTEGER.fullmatch(text):
        return YamlEntry(float(re.sub(r"\.(?=[a-zA-Z])", "", text)), line, key)
    if fraction := _FRACTION.fullmatch(text):
        above, below = map(float, fraction.groups())
        if below:
            return YamlEntry(above / below, line, key)
        problems.add(entry, f"got {text}; allowed is a fraction such as 8/255, of a number that is not 0")
    elif _INTEGER.fullmatch(text):
        problems.add(entry, f"got {_REPR.repr(text)[1:-1]}; allowed are whole numbers from -2^63 to 2^63 - 1")
    elif node.tag.rpartition(":")[2] in ("bool", "int", "float") or _OCTAL.fullmatch(text):
        given = f"got {_REPR.repr(text)[1:-1]}, which programs read in different ways"
        problems.add(entry, f"{given}; allowed are true, false, decimal numbers, and text in quotes")
    return entry
