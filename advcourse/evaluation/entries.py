"""Read a small YAML file as entries that know their line and key, so that an error message can say where the mistake is."""

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

_MOST = 20  # problems that one message lists
_LARGEST = 2**63 - 1  # the largest whole number, as for seeds
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_NUMBER = re.compile(
    r"[-+]?((\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?|\.(inf|Inf|INF))|\.(nan|NaN|NAN)"
)
_FRACTION = re.compile(r"([-+]?[0-9]+(?:\.[0-9]*)?) ?/ ?([0-9]+)")
_OCTAL = re.compile(r"[-+]?0[0-9]+(\.[0-9]*)?")  # an octal number to some programs
_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}
_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = 80


@dataclass(frozen=True)
class YamlEntry:
    """A value in the file.

    Attributes:
        value: None, a bool, int, float or str, a list of entries, or a dictionary of entries by name.
        line: its line, counted from 1.
        key: its place, such as "attacks[1].eps"; empty for the whole file.
    """

    value: object
    line: int
    key: str

    @property
    def as_text(self) -> str:
        """The value as messages show it."""
        if self.value is None or isinstance(self.value, bool):
            return {None: "nothing", True: "true", False: "false"}[self.value]
        named = {list: "a list", dict: "a mapping"}
        return named.get(type(self.value)) or _REPR.repr(self.value)

    @property
    def items(self) -> list["YamlEntry"]:
        """The entries of a list; for any other value, a list of this entry alone."""
        return self.value if isinstance(self.value, list) else [self]


class Problems:
    """Collects everything that is wrong with the file at `path`, to report it in one message."""

    def __init__(self, path: Path | str):
        self.path, self._found = path, {}

    def add(self, entry: YamlEntry, text: str, part: str | None = None) -> None:
        """Add a problem of the entry, or of its missing `part`. Only the first problem of each is reported.

        Args:
            entry: where the problem is.
            text: what is wrong.
            part: the name of a part that the entry lacks (default None).
        """
        key = ".".join(filter(None, (entry.key, part)))
        self._found.setdefault((entry.line, key), " ".join(text.split()))

    def stop(self) -> None:
        """Raise an `InputError` that lists all problems by line, if there are any."""
        places = sorted(self._found, key=lambda place: place[0])
        lines = [
            f"{self.path}, line {line}{f', {key}' if key else ''}: {self._found[line, key]}"
            for line, key in places
        ]
        rest = [f"{self.path}: and {len(lines) - _MOST} more"] if len(lines) > _MOST else []
        if lines:
            raise InputError("\n".join(lines[:_MOST] + rest))

    @contextmanager
    def collecting(self, entry: YamlEntry, parts: Mapping[str, YamlEntry]) -> Iterator[None]:
        """Turn an `InputError` inside the block into a problem of the part that it names, or else of `entry`.

        Args:
            entry: the entry that the block deals with.
            parts: the entries by the names that the error uses for them.
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
        """Return the parts of a mapping by name. An unknown key and a missing one are problems.

        Args:
            entry: the mapping.
            allowed: the names that may be there.
            required: the names that must be there, and which value each may have.

        Returns:
            name -> entry, for the allowed names.
        """
        if not isinstance(entry.value, dict):
            self.add(entry, f"got {entry.as_text}; allowed is a mapping of {', '.join(allowed)}")
            return {}
        for name, part in entry.value.items():
            if name not in allowed:
                self.add(part, f"unknown key; allowed are {_listed(name, allowed)}")
        for name, what in required.items():
            if name not in entry.value:
                self.add(entry, f"missing; allowed is {what}", name)
        return {name: part for name, part in entry.value.items() if name in allowed}

    def choice(self, entry: YamlEntry, allowed: Collection[str]) -> bool:
        """Return whether the value is one of the `allowed` words; if not, add a problem."""
        if isinstance(entry.value, str) and entry.value in allowed:
            return True
        self.add(entry, f"got {entry.as_text}; allowed are {_listed(entry.value, allowed)}")
        return False

    def single(self, entry: YamlEntry, allowed: str = "one value") -> bool:
        """Return whether the value is a single one: no list, no mapping, and not left out. If not, add a problem."""
        if entry.value is not None and not isinstance(entry.value, list | dict):
            return True
        self.add(entry, f"got {entry.as_text}; allowed is {allowed}")
        return False

    def text(self, entry: YamlEntry) -> bool:
        """Return whether the value is text and not empty; if not, add a problem."""
        if isinstance(entry.value, str) and entry.value.strip():
            return True
        hint = f", in quotes: '{entry.as_text}'" if isinstance(entry.value, bool | int | float) else ""
        self.add(entry, f"got {entry.as_text}; allowed is text{hint}")
        return False

    def new(self, entry: YamlEntry, name: str, lines: dict[str, int]) -> bool:
        """Return whether `name` is new, and remember its line in `lines`; if it is not new, add a problem."""
        if name in lines:
            self.add(entry, f"got {name!r} again, first on line {lines[name]}; allowed is each name once")
            return False
        lines[name] = entry.line
        return True


def _listed(given, allowed):
    """Return the `allowed` words as text, with the one that `given` may have been meant to be."""
    folded = {word.casefold(): word for word in allowed}
    near = difflib.get_close_matches(given.casefold(), folded, 1) if isinstance(given, str) else []
    return ", ".join(allowed) + (f"; did you mean {folded[near[0]]}?" if near else "")


def parse(path: Path | str) -> tuple[YamlEntry, Problems]:
    """Read the YAML file at `path`.

    No objects are ever constructed from tags. Words and numbers that programs read in different ways (yes, 010, 1:30) are
    problems.

    Returns:
        the whole file as a `YamlEntry`, and its `Problems` so far, such as keys that occur twice.

    Raises:
        InputError: the file does not exist, is empty, not in UTF-8, or not valid YAML.
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
            f"{path}: got lists that are nested too deeply to read; allowed are a few levels"
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
    message = ", ".join(filter(None, (error.context, error.problem)))
    if error.context_mark and error.context_mark.line != error.problem_mark.line:
        message += f"; it began on line {error.context_mark.line + 1}"
    return f"{path}, line {error.problem_mark.line + 1}: got text that is not valid YAML ({message})"


class _Refused(yaml.MarkedYAMLError):
    """Raised for what YAML allows but these files do not."""


class _Loader(yaml.SafeLoader):
    """Composes nodes without tags, each of which occurs only once in the file."""

    def compose_node(self, parent, index):
        event = self.peek_event()
        if event.anchor or event.tag:  # an alias has an anchor, too
            message = "got a tag, an anchor or an alias (!, & or *); allowed are plain values"
            raise _Refused(problem=message, problem_mark=event.start_mark)
        return super().compose_node(parent, index)


def _entry(node, line, key, problems):
    """Return a node of PyYAML as a `YamlEntry`."""
    if isinstance(node, yaml.SequenceNode):
        items = [
            _entry(item, item.start_mark.line + 1, f"{key}[{place}]", problems)
            for place, item in enumerate(node.value)
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
                part, f"given twice, first on line {parts[name.value].line}; allowed is each key once"
            )
        parts.setdefault(name.value, part)
    return parts


def _scalar(node, entry, problems):
    """Return the entry with its word or number as a Python value. Quoted values stay text."""
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
