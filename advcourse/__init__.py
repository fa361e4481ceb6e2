"""Adversarial attacks on deep learning systems and the defenses against them: the library behind the course."""

import importlib

from advcourse import _moved

__version__ = "0.1.0"

_ROOMS = tuple(
    "attacks core course data defenses evaluation labs lifecycle metrics models plots practice training zoo".split()
)


def __getattr__(name):
    # Subpackages are imported on first use, so that `import advcourse` costs next to nothing.
    if name in _ROOMS or f"{__name__}.{name}" in _moved.MOVED:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *_ROOMS])
