"""Which values the fields of an attack allow. Each field declares them itself, and both `Attack` and the tests read them.

eps: float = number(0.3, low=0)              a finite number >= 0
alpha: float | None = number(None, low=0)    the same, or None
steps: int = number(40, low=1)               a whole number, because its type is int
targeted: bool = False                       True or False
norm: Literal["Linf", "L2"] = "Linf"         one of these words
"""

import math
from dataclasses import dataclass, field, fields
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from advcourse.core.inputs import InputError, check_choice, check_flag, check_range

LARGEST = 1e12  # for numbers without an upper limit of their own; far above it float32 overflows

_Number = TypeVar("_Number", bound=float | None)


def number(
    default: _Number, low: float | None = None, high: float | None = None, *, exclusive_low: bool = False
) -> _Number:
    """Declare a dataclass field for numbers in a range.

    Like `dataclasses.field`, it claims to return a number, so that `eps: float = number(0.3, low=0)` passes type checkers.

    Args:
        default: the field's default.
        low, high: the limits, both allowed (default None: no limit).
        exclusive_low: True if `low` itself is not allowed (default False).

    Returns:
        the field.
    """
    limits = {"low": low, "high": high, "exclusive_low": exclusive_low}
    return field(default=default, metadata={"limits": limits})


@dataclass(frozen=True)
class Allowed:
    """Which values a field allows.

    Args:
        kind: the type of the values, bool, int or float; None if it is not known, and then any value is allowed.
        choices: the only values that are allowed; () if there is no such list.
        optional: whether None is allowed, too.
        low, high, exclusive_low: the range of a number, as for `number`.
    """

    kind: type | None = None
    choices: tuple = ()
    optional: bool = False
    low: float | None = None
    high: float | None = None
    exclusive_low: bool = False

    def check(self, value: Any, name: str) -> Any:
        """Check the value of the field `name`.

        Returns:
            the value, converted to Python's own type.

        Raises:
            InputError: the field does not allow this value.
        """
        if value is None and self.optional:
            return None
        if self.choices and (self.kind is None or value in self.choices):
            return check_choice(value, name, self.choices)
        if self.kind is bool:
            return check_flag(value, name)
        if (
            self.kind is int and isinstance(value, int) and value.bit_length() > 1000
        ):  # more than a float holds
            digits = int(value.bit_length() * math.log10(2)) + 1
            raise InputError(
                f"{name}: got a number of {digits} digits; allowed are numbers up to {LARGEST:g}"
            )
        if self.kind in (int, float):
            whole, exclusive = self.kind is int, self.exclusive_low
            value = check_range(value, name, self.low, self.high, integer=whole, exclusive_low=exclusive)
            if self.high is None and abs(value) > LARGEST:
                raise InputError(f"{name}: got {value:.3g}; allowed are numbers up to {LARGEST:g}")
        return value


@cache
def allowed(cls: type) -> dict[str, Allowed]:
    """Return field name -> `Allowed` for the dataclass `cls`, from the fields' types, defaults and calls of `number`."""
    return {each.name: _allowed(_type(cls, each.name), each) for each in fields(cls)}


def _type(cls, name):
    """Return the type of one field, or `object` if only the function that made the class knows the name of that type."""
    owner = next(base for base in cls.__mro__ if name in vars(base).get("__annotations__", {}))
    alone = {"__annotations__": {name: owner.__annotations__[name]}, "__module__": owner.__module__}
    try:
        return get_type_hints(type("Field", (), alone))[name]
    except NameError:
        return object


def _allowed(kind, declared):
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    choices = tuple(choice for type_ in kinds if get_origin(type_) is Literal for choice in get_args(type_))
    limits = declared.metadata.get("limits", {})
    # A field with limits holds a number, whatever its type is called.
    known = next((type_ for type_ in (float, int, bool) if type_ in kinds), float if limits else None)
    optional = NoneType in kinds or declared.default is None  # many write `alpha: float = None`
    return Allowed(known, choices, optional, **limits)
