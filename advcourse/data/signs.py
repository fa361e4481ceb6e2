"""signs: road signs of 16 classes with varied view, light, blur and surroundings, 3 x 32 x 32, drawn by this package.

`render` draws new signs, `load` reads the shipped set, `template` returns one sign seen face on (for posters and
stickers). The file is made by `python -m advcourse.data.signs`. None of the images is a photograph: the set measures
what attacks do to a model, not how well a model reads real roads (for that, use `data.load("gtsrb")`).
"""

import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from advcourse.core.inputs import InputError, check_choice, check_range
from advcourse.data.base import ImageSet
from advcourse.data.packed import read_packed, write_packed

NAME = "signs"
FILE = Path(__file__).parent / "files" / "signs.npz"
LICENCE = "that of this package (images drawn by it)"
CLASSES = (
    "stop",
    "yield",
    "no entry",
    "speed limit 30",
    "speed limit 50",
    "speed limit 80",
    "speed limit 120",
    "no overtaking",
    "no parking",
    "priority road",
    "turn left",
    "turn right",
    "straight ahead",
    "roundabout",
    "pedestrian crossing",
    "warning",
)
SPLITS = {"train": (3000, 1), "test": (1000, 2)}  # images and seed
CHECKSUMS = {
    "train": "5bf223b766201242e4db92d64359a34d678d2c4f7af6cc72489e4348129a528a",
    "test": "46ac49a529de284c125ecb7750f86cab1efd965a5df6c3433e0dc2c08d59392c",
}


@cache
def _pixels(split: str):
    return read_packed(FILE, split, CHECKSUMS[split])


def load(split: str = "test") -> ImageSet:
    """Load 3 000 training or 1 000 test signs; class counts differ by at most one; images (N, 3, 32, 32).

    Raises:
        InputError: the split is unknown, or the file is missing or damaged.
    """
    check_choice(split, "split", tuple(CHECKSUMS))
    pixels, labels = _pixels(split)
    return ImageSet.from_pixels(pixels, labels, CLASSES, name=NAME, split=split, licence=LICENCE)


def template(class_index: int, size: int = 128) -> tuple[Tensor, Tensor]:
    """Return the sign of one class seen face on, without background.

    Args:
        class_index: index into `CLASSES`.
        size: pixels per side, 8 to 1024 (default 128).

    Returns:
        RGB, float32 in [0, 1], shape (3, size, size), and alpha, shape (size, size): 1 on the plate, 0 outside it, in
        between on its edge. RGB is 0 wherever alpha is 0. Paste with `alpha * rgb + (1 - alpha) * background`.

    Raises:
        InputError: the class is unknown, or the size is out of range.
    """
    check_range(class_index, "class_index", 0, len(CLASSES) - 1, integer=True)
    check_range(size, "size", 8, 1024, integer=True)
    from advcourse.data.sign_shapes import draw  # matplotlib: not needed to load the shipped set

    rgba = torch.tensor(draw(CLASSES[class_index], size)).permute(2, 0, 1).float() / 255
    return rgba[:3] * (rgba[3] > 0), rgba[3]


def render(
    n: int, seed: int = 0, classes: str | int | Iterable[str | int] | None = None, size: int = 32
) -> tuple[Tensor, Tensor]:
    """Draw n new signs in random order; class counts differ by at most one.

    Args:
        n: how many.
        seed: the same seed draws the same images; a smaller n gives the first images of a larger n (default 0).
        classes: the classes to draw, by name or index (default all); labels remain indices into `CLASSES`.
        size: pixels per side (default 32).

    Returns:
        images, float32 in [0, 1], shape (n, 3, size, size), and labels, int64, shape (n,).

    Raises:
        InputError: n, seed or size is out of range, or a class is unknown.
    """
    check_range(n, "n", 0, None, integer=True)
    check_range(seed, "seed", 0, 2**32 - 1, integer=True)
    check_range(size, "size", 8, 256, integer=True)
    from advcourse.data.sign_scenes import balanced_labels, photograph

    labels = balanced_labels(n, _indices(classes), seed)
    face_size = max(96, 3 * size)
    faces = [
        torch.cat([rgb, alpha[None]]) for rgb, alpha in (template(c, face_size) for c in range(len(CLASSES)))
    ]
    return photograph(torch.stack(faces), labels, seed, size), labels


def _indices(classes) -> list[int]:
    if classes is None:
        return list(range(len(CLASSES)))
    allowed = {**{name: i for i, name in enumerate(CLASSES)}, **{i: i for i in range(len(CLASSES))}}
    chosen = [classes] if isinstance(classes, str | int) else list(classes)
    for item in chosen:
        if item not in allowed:
            raise InputError(
                f"classes: got {item!r}; allowed are {', '.join(CLASSES)} or 0 to {len(CLASSES) - 1}"
            )
    if not chosen:
        raise InputError("classes: got none; allowed is at least one class")
    return sorted({allowed[item] for item in chosen})


def to_pixels(images: Tensor) -> np.ndarray:
    """Return the uint8 pixels of float images in [0, 1]."""
    return (images * 255).round().to(torch.uint8).numpy()


def make(path: Path = FILE) -> dict[str, str]:
    """Write the file of the shipped set; return the checksum of each split."""
    splits = {}
    for split, (n, seed) in SPLITS.items():
        images, labels = render(n, seed)
        splits[split] = to_pixels(images), labels.numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_packed(path, splits)


def main() -> int:
    checksums = make()
    for split, checksum in checksums.items():
        print(f"{split}: {checksum}")
    if checksums != CHECKSUMS:
        print("these differ from signs.CHECKSUMS: another processor rounds a few pixels differently")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
