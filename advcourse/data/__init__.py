"""Data sets: `load(name, split)` gives an `ImageSet`, `examples(name)` images chosen by eye, `photo(path)` one of your own."""

from advcourse.data.base import ImageSet
from advcourse.data.catalogue import load, names, photo
from advcourse.data.chosen import examples

__all__ = ["ImageSet", "examples", "load", "names", "photo"]
