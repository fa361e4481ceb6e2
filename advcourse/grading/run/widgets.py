"""Inside the sandbox: stand-ins for what a notebook shows. They show nothing, but hold values and call what they are told to.

A widget has its initial value, until the notebook's own code gives it another one: nobody is there to move a slider.
"""

import inspect
import io
import sys
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

BEGINNINGS = {  # how a kind of widget begins, by the beginning of its name
    **dict.fromkeys(("Int", "BoundedInt", "Play"), 0),
    **dict.fromkeys(("Float", "BoundedFloat"), 0.0),
    **dict.fromkeys(("Checkbox", "ToggleButton", "Valid"), False),
    **dict.fromkeys(("Text", "HTML", "Label", "Password", "Combobox"), ""),
}
MANY = ("SelectMultiple", "TagsInput")  # their value is a tuple of choices


class _Kind(type):
    def __getattr__(cls, name):
        return anything(name)


class Anything(metaclass=_Kind):
    """An object of a stand-in, such as a slider: it has the attributes that it is given, and accepts any other use.

    Functions that observe it, or that wait for a click, are called if the notebook's own code changes or clicks it.
    """

    def __new__(cls, *args, **named):
        """Return a new object; used as a decorator, what it decorates."""
        return _decorated(args, named) or super().__new__(cls)

    def __init__(self, *args: object, **named: object):
        self.__dict__.update(_beginning(type(self).__name__, args, named), _observers=[], _clicked=[])

    def __setattr__(self, name, value):
        old = self.__dict__.get(name)
        super().__setattr__(name, value)
        change = Change(owner=self, name=name, old=old, new=value, type="change")
        for function, names in [*self.__dict__.get("_observers", ())]:
            if name in names and not _is_same(old, value):
                function(change)

    def observe(self, function: "Callable", names: object = "value", **_: object) -> None:
        """Have the function called when code changes one of the attributes."""
        told = [names] if isinstance(names, str) else names
        self._observers.append((function, told if isinstance(told, list | tuple) else ["value"]))

    def on_click(self, function: "Callable", **_: object) -> None:
        """Have the function called when code clicks."""
        self._clicked.append(function)

    def click(self) -> None:
        for function in self._clicked:
            function(self)

    def __call__(self, *args: object, **named: object) -> object:
        return _decorated(args, named) or Anything()

    def __getattr__(self, name):
        return anything(name)()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False

    def __iter__(self):
        return iter(())

    def __getitem__(self, _):
        return Anything()

    def __setitem__(self, *_):
        pass


def _decorated(args, named):
    alone = args[0] if len(args) == 1 and not named else None
    return alone if inspect.isfunction(alone) or inspect.isclass(alone) else None


class Change(dict):
    """What an observer is told: its entries are its attributes, too."""

    __getattr__ = dict.__getitem__


def _is_same(old, new):
    try:
        return bool(old == new)
    except Exception:  # of arrays, which have no single truth
        return False


def _beginning(kind, args, named):
    """Return the attributes with which a widget of this kind begins."""
    held = dict(named)
    if args:
        held.setdefault("children" if isinstance(args[0], list | tuple) else "value", args[0])
    if "value" not in held and "options" in held and kind not in MANY:
        held["value"] = _first_choice(held["options"])
    starts = [value for start, value in BEGINNINGS.items() if kind.startswith(start) and "Range" not in kind]
    if "value" not in held and starts:
        held["value"] = starts[0]
        for end, nearer in (("min", max), ("max", min)):
            if isinstance(held.get(end), int | float):
                held["value"] = nearer(held["value"], held[end])
    return held


def _first_choice(options):
    """Return the value of the first of a widget's options: of a dictionary, of pairs of a label and a value, or of values."""
    choices = [*(options.items() if isinstance(options, dict) else options)]
    pairs = all(isinstance(choice, tuple) and len(choice) == 2 for choice in choices)
    return (choices[0][1] if pairs else choices[0]) if choices else None


@cache
def anything(name: str) -> type:
    """Return the class that stands in for everything with this name."""
    if name.startswith("__"):
        raise AttributeError(name)
    return _Kind(name, (Anything,), {})


def display(*_: object, display_id: object = None, **__: object) -> Anything | None:
    """Show nothing."""
    return Anything() if display_id else None


def _ignore(*_, **__):
    return None


def interact(function: "Callable | None" = None, **settings: object) -> "Callable":
    """Call the function once with the initial values of its settings, as a notebook does, and return it unchanged."""
    if function is None:
        return lambda decorated: interact(decorated, **settings)
    _shown(function, settings)
    return function


def interactive(function: "Callable", *_: object, **settings: object) -> Anything:
    """Return a widget, and call its function once."""
    return Anything(kwargs=_values(function, settings), result=_shown(function, settings))


def interactive_output(function: "Callable", controls: dict[str, object]) -> Anything:
    """Call the function once with the values of the widgets, and again when code changes one of them."""
    _shown(function, controls)
    return Anything()


def _shown(function, settings):
    """Call the function with its settings' values, now and whenever code changes one; return what it returns now.

    An error is only shown in a notebook, so that the cell goes on.
    """
    for setting in settings.values():
        if isinstance(setting, Anything):
            setting.observe(lambda _: function(**_values(function, settings)))
    with suppress(Exception):
        return function(**_values(function, settings))


def _values(function, settings):
    """Return the values of the settings: a default that the function itself gives is where a range or a choice begins."""
    try:
        defaults = {p.name: p.default for p in inspect.signature(function).parameters.values()}
    except (TypeError, ValueError):
        defaults = {}
    values = {}
    for name, setting in settings.items():
        own = defaults.get(name, inspect.Parameter.empty)
        ranged = isinstance(setting, tuple | list | dict) and own is not inspect.Parameter.empty
        values[name] = own if ranged else _first(setting)
    return values


def _by_hand(function=None, *_, **__):
    """Call nothing, since a notebook would wait for a click."""
    return (lambda decorated: decorated) if function is None else function


def fixed(value: object) -> Anything:
    """Return a setting that is not a widget."""
    return Anything(value=value)


def _first(setting):
    """Return the initial value of a setting of `interact`: of a widget, a range, a choice, or a single value."""
    if isinstance(setting, Anything):
        return setting.value
    if (
        isinstance(setting, tuple)
        and len(setting) in (2, 3)
        and all(isinstance(n, int | float) for n in setting)
    ):
        low, high = setting[:2]
        return (low + high) // 2 if all(isinstance(n, int) for n in setting) else (low + high) / 2
    if isinstance(setting, dict):
        return next(iter(setting.values()))
    return setting[0] if isinstance(setting, list | tuple) else setting


class Captured:
    """Keeps what is printed inside the block, as IPython's `capture_output` and %%capture do."""

    outputs = ()

    def __init__(self, *_: object, **__: object):
        self._texts, self._before = (io.StringIO(), io.StringIO()), ()

    def __enter__(self):
        self._before = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = self._texts
        return self

    def __exit__(self, *_):
        sys.stdout, sys.stderr = self._before

    @property
    def stdout(self) -> str:
        return self._texts[0].getvalue()

    @property
    def stderr(self) -> str:
        return self._texts[1].getvalue()

    def show(self) -> None:
        sys.stdout.write(self.stdout)

    __call__ = show

    def __str__(self):
        return self.stdout


KNOWN = {
    "capture_output": Captured,
    "clear_output": _ignore,
    "display": display,
    "fixed": fixed,
    "interact": interact,
    "interact_manual": _by_hand,
    "interactive": interactive,
    "interactive_output": interactive_output,
}
