"""What the fields of an attack may be. Each says so in its own declaration; `Attack` and the tests read it there.

eps: float = number(0.3, low=0)              a finite number >= 0
alpha: float | None = number(None, low=0)    the same, or None
steps: int = number(40, low=1)               a whole number, because its type is int
targeted: bool = False                       True or False
norm: Literal["Linf", "L2"] = "Linf"         one of these words
"""

from dataclasses import dataclass, field, fields
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from advcourse.core.inputs import InputError, check_choice, check_flag, check_range

LARGEST = 1e12  # of numbers without a limit of their own: far beyond it float32 overflows

_Number = TypeVar("_Number", bound=float | None)


def number(
    default: _Number, low: float | None = None, high: float | None = None, *, exclusive_low: bool = False
) -> _Number:
    """A dataclass field for numbers from `low` to `high` (default None: no limit), both included; not `low` if `exclusive_low`.

    Like `dataclasses.field` it says that it returns a number, so that `eps: float = number(0.3, low=0)` has the type it shows.
    """
    limits = {"low": low, "high": high, "exclusive_low": exclusive_low}
    return field(default=default, metadata={"limits": limits})


@dataclass(frozen=True)
class Allowed:
    """What one field may be.

    `kind`: bool, int or float, the type of its values; None for those that nothing is known of. `choices`: the only values, () if
    it has no list. `optional`: None is allowed, too. `low`, `high`, `exclusive_low`: the range of a number, as for `number`.
    """

    kind: type | None = None
    choices: tuple = ()
    optional: bool = False
    low: float | None = None
    high: float | None = None
    exclusive_low: bool = False

    def check(self, value: Any, name: str) -> Any:
        """`value` as Python's own type; `InputError` if the field `name` may not be that."""
        if value is None and self.optional:
            return None
        if self.choices and (self.kind is None or value in self.choices):
            return check_choice(value, name, self.choices)
        if self.kind is bool:
            return check_flag(value, name)
        if self.kind in (int, float):
            whole, exclusive = self.kind is int, self.exclusive_low
            value = check_range(value, name, self.low, self.high, integer=whole, exclusive_low=exclusive)
            if self.high is None and abs(value) > LARGEST:
                raise InputError(f"{name}: got {value:.3g}; allowed are numbers up to {LARGEST:g}")
        return value


@cache
def allowed(cls: type) -> dict[str, Allowed]:
    """Name -> what it may be, of all fields of the dataclass `cls`: read from their types, defaults and `number`."""
    return {one.name: _allowed(_type(cls, one.name), one) for one in fields(cls)}


def _type(cls, name):
    """The type of one field; `object` where only the function that made the class knows the name of that type."""
    owner = next(base for base in cls.__mro__ if name in vars(base).get("__annotations__", {}))
    alone = {"__annotations__": {name: owner.__annotations__[name]}, "__module__": owner.__module__}
    try:
        return get_type_hints(type("Field", (), alone))[name]
    except NameError:
        return object


def _allowed(kind, declared):
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    choices = tuple(choice for one in kinds if get_origin(one) is Literal for choice in get_args(one))
    limits = declared.metadata.get("limits", {})
    # What has limits is a number, whatever its type is called.
    known = next((one for one in (float, int, bool) if one in kinds), float if limits else None)
    optional = NoneType in kinds or declared.default is None  # many write `alpha: float = None`
    return Allowed(known, choices, optional, **limits)
