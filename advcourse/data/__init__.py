"""Data sets: `load(name, split)` gives an `ImageSet`, and `photo(path)` a photograph of your own."""

from advcourse.data.base import ImageSet
from advcourse.data.catalogue import load, names, photo

__all__ = ["ImageSet", "load", "names", "photo"]
