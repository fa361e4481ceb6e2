"""Places in a data set: which element is meant by `data[i]`, and which by `data.subset(indices)`."""

from collections.abc import Sequence
from numbers import Integral

import torch
from torch import Tensor

from advcourse.core.inputs import InputError


class NoSuchPlace(InputError, IndexError):
    """There is no such place. It is an IndexError as well, since that ends Python's loops over what has only `[i]`."""


def check_place(i: int, length: int) -> int:
    """Return the place `i` of a set of that length as an int; as in a list, -1 is the last one.

    Raises:
        NoSuchPlace: there is no such place, or `i` is no whole number.
    """
    whole = i.item() if isinstance(i, Tensor) and i.dim() == 0 else i
    if isinstance(whole, slice):
        raise NoSuchPlace(f"i: got {i!r}; allowed is one whole number. For several use subset(range(...))")
    if isinstance(whole, bool) or not isinstance(whole, Integral) or not -length <= whole < length:
        raise NoSuchPlace(f"i: got {i!r}; {_allowed(length)}")
    return int(whole)


def check_places(indices: Sequence[int] | Tensor, length: int) -> Tensor:
    """Return the places of a set of that length, int64 (n,), that `indices` names: whole numbers, or a bool for each element.

    Raises:
        NoSuchPlace: there is no such place, or `indices` has another form.
    """
    try:
        places = torch.as_tensor(indices, device="cpu")
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise NoSuchPlace(
            f"indices: got {indices!r}; allowed are whole numbers, or True or False for each of {length}"
        ) from None
    if places.dim() == 1 and len(places) == 0 and places.dtype != torch.bool:
        return places.long()
    whole = not (places.is_floating_point() or places.is_complex())
    if places.dim() != 1 or not whole:
        given = f"{places.dtype} of shape {tuple(places.shape)}"
        raise NoSuchPlace(
            f"indices: got {given}; allowed are whole numbers (n,), or True or False for each of {length}"
        )
    if places.dtype == torch.bool:
        if len(places) != length:
            raise NoSuchPlace(
                f"indices: got True or False for {len(places)}; allowed is one for each of {length}"
            )
        return places.nonzero()[:, 0]
    places = places.long()
    outside = (places < -length) | (places >= length)
    if outside.any():
        raise NoSuchPlace(f"indices: got {int(places[outside][0])}; {_allowed(length)}")
    return places


def _allowed(length):
    return f"allowed is a whole number from {-length} to {length - 1}" if length else "the set is empty"
