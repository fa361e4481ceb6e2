"""How the course prints numbers, so that a stored output is the same on another processor.

Processors differ in the last digits of a float32 sum. Printing few digits hides the difference, except on the
boundary between two printed values; so a value is first rounded to six significant digits, and then an exact half is
rounded away from zero. (0.985 measured on 200 images may be 0.98499995 on another processor: both print as "99 %".)
"""

from decimal import ROUND_HALF_UP, Decimal
from typing import SupportsFloat

from advcourse.core.inputs import InputError, check_range


def percent(rate: SupportsFloat, nearest: float = 1) -> str:
    """Format a rate as a percentage: `percent(0.9849) == "98 %"`.

    Args:
        rate: a number, or an array or tensor that holds one; 1 is 100 %.
        nearest: the step of the result in percentage points: 5 rounds to a multiple of 5, 0.1 keeps one decimal
            (default 1).

    Returns:
        the text; "n/a" for NaN.

    Raises:
        InputError: `rate` is not a single number, or `nearest` is not above 0.
    """
    check_range(nearest, "nearest", 0, 100, exclusive_low=True)
    value = 100 * _one_number(rate, "rate")
    if not value.is_finite():
        return _not_finite(value)
    step = Decimal(str(nearest))
    steps = (_settled(value) / step).to_integral_value(ROUND_HALF_UP)
    return f"{_plain((steps * step).quantize(step))} %"


def number(value: SupportsFloat, digits: int = 2) -> str:
    """Format a number with `digits` significant digits, keeping trailing zeros: `number(0.3) == "0.30"`.

    `number(1234) == "1200"`. Numbers below 0.0001 or from a million up are written like 1.2e-05.

    Args:
        value: a number, or an array or tensor that holds one.
        digits: significant digits, 1 to 5 (default 2).

    Returns:
        the text; "n/a" for NaN.

    Raises:
        InputError: `value` is not a single number, or `digits` is out of range.
    """
    check_range(digits, "digits", 1, 5, integer=True)
    value = _one_number(value, "value")
    if not value.is_finite():
        return _not_finite(value)
    value = _settled(value)
    if value == 0:
        return "0"
    rounded = _significant(value, digits)
    if not Decimal("1e-4") <= abs(rounded) < Decimal("1e6"):
        mantissa, exponent = f"{rounded:.{digits - 1}e}".split("e")
        return f"{mantissa}e{int(exponent):+03d}"
    return _plain(rounded)


def size(value: SupportsFloat, digits: int = 2) -> str:
    """`number` for what may be infinite, such as a median over failed attacks: infinity is "∞"."""
    return number(value, digits).replace("inf", "∞")


def _one_number(value, name):
    try:
        return Decimal(float(value))
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{name}: got {value!r}; allowed is one number ({error})") from None


def _settled(value):
    return _significant(value, 6)


def _significant(value, digits):
    if value == 0:
        return value
    rounded = value.quantize(Decimal(1).scaleb(value.adjusted() - digits + 1), ROUND_HALF_UP)
    if rounded.adjusted() > value.adjusted():  # 0.0999 -> 0.100: one digit too many
        rounded = rounded.quantize(Decimal(1).scaleb(rounded.adjusted() - digits + 1))
    return rounded


def _plain(value):
    return f"{value if value else abs(value):f}"  # no "-0"


def _not_finite(value):
    return "n/a" if value.is_nan() else f"{float(value)}"
