"""The toy language in which the course's apps are written, and its reader.

    class .BootReceiver
      on receive
        ifperm android.permission.READ_CONTACTS 1
        call Contacts.query all
        call HttpURLConnection.post sync.example

`ifperm PERMISSION N` lets the next N calls run only if the app holds the permission. An empty line and what follows a # are
ignored, as is the space before a line.
"""

import functools
from dataclasses import dataclass

from advcourse.core.inputs import InputError
from advcourse.data.apps.android import APIS, STARTS

LARGEST = 2**20  # characters
EVENTS = ("create", "click", "receive", "start", "run")
_FORMS = "'class NAME', 'on EVENT', 'call API ARGUMENT' and 'ifperm PERMISSION N'"


@dataclass(frozen=True)
class Call:
    """A call of an API with one argument; `permission` is that of the `ifperm` before it, "" for none."""

    api: str
    argument: str
    permission: str = ""


@dataclass(frozen=True)
class Program:
    """A parsed program.

    Attributes:
        classes: name as written -> event -> the calls of that handler.
    """

    classes: dict[str, dict[str, tuple[Call, ...]]]

    def calls(self) -> list[Call]:
        """Return all calls of all handlers, in the order of the text."""
        return [call for handlers in self.classes.values() for calls in handlers.values() for call in calls]


def parse_program(text: str) -> Program:
    """Read a program.

    Raises:
        InputError: a line is malformed; the message gives its number and what is allowed. Also for more than 1 MB.
    """
    if not isinstance(text, str):
        raise InputError(f"program: got {type(text).__name__}; allowed is text")
    return _parsed(text)


@functools.lru_cache(maxsize=16)
def _parsed(text):
    if len(text) > LARGEST:
        raise InputError(f"program: got {len(text):,} characters; allowed are at most {LARGEST:,}")
    reader = _Reader()
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if words:
            reader.reads(words, number)
    reader.ends_handler()
    return Program({name: {on: tuple(c) for on, c in own.items()} for name, own in reader.classes.items()})


class _Reader:
    """Gathers a program line by line."""

    def __init__(self):
        self.classes, self.handlers, self.calls = {}, None, None
        self.guard, self.guarded, self.line = "", 0, 0

    def reads(self, words, line):
        forms = {
            "class": (2, self._class),
            "on": (2, self._on),
            "call": (3, self._call),
            "ifperm": (3, self._ifperm),
        }
        length, read = forms.get(words[0], (0, None))
        if len(words) != length:
            raise InputError(f"program: line {line}: got {' '.join(words)[:80]!r}; allowed are {_FORMS}")
        read(*words[1:], line)

    def ends_handler(self):
        if self.guarded:
            raise InputError(
                f"program: line {self.line}: ifperm guards {self.guarded} more calls than its handler has"
            )
        self.calls = None

    def _class(self, name, line):
        self.ends_handler()
        if name in self.classes:
            raise InputError(f"program: line {line}: class {name} is there twice; allowed is once")
        self.handlers = self.classes[name] = {}

    def _on(self, event, line):
        self.ends_handler()
        if self.handlers is None:
            raise InputError(f"program: line {line}: 'on' stands before any class")
        if event not in EVENTS or event in self.handlers:
            again = " a second time" if event in EVENTS else ""
            raise InputError(
                f"program: line {line}: got the event {event!r}{again}; allowed are {', '.join(EVENTS)}"
            )
        self.calls = self.handlers[event] = []

    def _call(self, api, argument, line):
        self._inside(line)
        if api not in APIS and api not in STARTS:
            raise InputError(f"program: line {line}: no API is called {api!r} (android.APIS lists them)")
        self.calls.append(Call(api, argument, self.guard if self.guarded else ""))
        self.guarded = max(0, self.guarded - 1)

    def _ifperm(self, permission, count, line):
        self._inside(line)
        if self.guarded or not (count.isascii() and count.isdigit() and 0 < int(count[:7]) <= 1000):
            raise InputError(
                f"program: line {line}: got ifperm {permission} {count[:20]}; allowed is a number of calls from 1 to 1000 "
                "that follow, without another ifperm among them"
            )
        self.guard, self.guarded, self.line = permission, int(count), line

    def _inside(self, line):
        if self.calls is None:
            raise InputError(
                f"program: line {line}: a call stands outside a handler; allowed is after 'on EVENT'"
            )
