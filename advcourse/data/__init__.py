"""Data sets: `load(name, split)` gives an `ImageSet`."""

from advcourse.data.base import ImageSet
from advcourse.data.catalogue import load, names

__all__ = ["ImageSet", "load", "names"]
