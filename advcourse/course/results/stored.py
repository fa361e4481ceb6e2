"""The results of a chapter in a file beside its definitions: writing, reading, and telling which ones are out of date."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from advcourse.core.files import replacing
from advcourse.core.inputs import InputError, check_choice
from advcourse.core.intervals import Interval, printed
from advcourse.course.results.measured import Measurement

_FOLDER = Path(__file__).parent
_CHANGED = {
    "code": "the code of its attack, network or count",
    "settings": "its settings",
    "weights": "the weights",
    "images": "the images",
}


@dataclass(frozen=True)
class Result:
    """What was measured once on all held-out images. As text it is its estimate: "96 % (941 of 985; 94 to 97 %)".

    `values` is what was measured on each image, (N,) bool for a rate, else float64; `estimate` sums them up.
    """

    measurement: Measurement
    values: Tensor

    @property
    def estimate(self) -> Interval:
        """The estimate on all images."""
        return self.measurement.estimate(self.values)

    def on_first(self, n: int) -> Interval:
        """Return the stored estimate on the first n images alone, with which `again(n)` is to be compared."""
        return self.measurement.estimate(self.values[:n])

    def again(self, n: int = 100) -> Interval:
        """Measure anew, now, on the first n of the same images (default 100). The CPU is used, as for the stored result."""
        return self.measurement.estimate(self.measurement.measure(n))

    def __str__(self) -> str:
        return printed(self.estimate, self.measurement.unit)


def chapters() -> tuple[str, ...]:
    """Return the numbers of the chapters that have stored results, such as "02"."""
    return tuple(sorted(path.stem.removeprefix("ch") for path in _FOLDER.glob("ch[0-9][0-9].py")))


def load(chapter: str) -> dict[str, Result]:
    """Read the stored results of a chapter, by name.

    >>> print(load("02")["FGSM at 0.3"])
    96 % (941 of 985; 94 to 97 %)

    Args:
        chapter: its number, "02".

    Raises:
        InputError: the chapter has no results, or one of them was never measured.
    """
    stored = _read(chapter)
    if missing := [item.name for item in _measurements(chapter) if item.name not in stored]:
        raise InputError(f"chapter {chapter}: {', '.join(missing)} was never measured; {_advice(chapter)}")
    return {
        item.name: Result(item, _unpacked(stored[item.name]["values"])) for item in _measurements(chapter)
    }


def stale(chapter: str) -> dict[str, str]:
    """Return what is out of date: name -> a sentence that says why, and what to run. Nothing is measured.

    Raises:
        InputError: the chapter has no results.
    """
    stored, found = _read(chapter), {}
    for item in _measurements(chapter):
        if item.name not in stored:
            found[item.name] = f"{item.name} was never measured; {_advice(chapter)}"
            continue
        was = stored[item.name]["identity"]
        changed = [_CHANGED[part] for part, key in item.identity().items() if was.get(part) != key]
        if changed:
            found[item.name] = (
                f"{item.name}: {' and '.join(changed)} changed since it was measured; {_advice(chapter)}"
            )
    for name in stored.keys() - {item.name for item in _measurements(chapter)}:
        found[name] = (
            f"{name} is stored, but chapter {chapter} does not measure it any more; {_advice(chapter)}"
        )
    return found


def refresh(chapter: str, tell: Callable[[str], None] = print) -> None:
    """Measure what is out of date, and store it; what is up to date is kept. After each result the file is written.

    Args:
        chapter: its number, "02".
        tell: is called with a line for each new result (default: `print`).

    Raises:
        InputError: the chapter has no results.
    """
    out_of_date, stored, items = stale(chapter), _read(chapter), _measurements(chapter)
    kept = {item.name: stored[item.name] for item in items if item.name not in out_of_date}
    for item in items:
        if item.name in out_of_date:
            values = item.measure()
            result = Result(item, values)
            kept[item.name] = {"printed": str(result), "identity": item.identity(), "values": _packed(values)}
            _write(chapter, kept)
            tell(f"chapter {chapter}, {item.name}: {result}")
    if out_of_date:
        _write(chapter, kept)  # without what is measured no more


def _measurements(chapter):
    check_choice(chapter, "chapter", chapters())
    return import_module(f"{__package__}.ch{chapter}").MEASURED


def _path(chapter):
    return _FOLDER / f"ch{chapter}.json"


def _read(chapter):
    path = _path(check_choice(chapter, "chapter", chapters()))
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _write(chapter, content):
    ordered = {item.name: content[item.name] for item in _measurements(chapter) if item.name in content}
    with replacing(_path(chapter)) as partial:
        partial.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _packed(values):
    """Flags as "985:" and hexadecimal digits, four flags each; other numbers as text, one after the other."""
    if values.dtype == torch.bool:
        return f"{len(values)}:{np.packbits(values.numpy()).tobytes().hex()}"
    return " ".join(f"{value:g}" for value in values.tolist())


def _unpacked(text):
    if ":" not in text:
        return torch.tensor([float(value) for value in text.split()], dtype=torch.float64)
    n, digits = text.split(":")
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(digits), dtype=np.uint8), count=int(n))
    return torch.from_numpy(bits).bool()


def _advice(chapter):
    return f"run `python -m advcourse refresh --results {chapter}`"
