"""The full public data sets, read by torchvision from a folder: MNIST, CIFAR-10 and GTSRB."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from advcourse.core.inputs import InputError, check_choice
from advcourse.data.base import ImageSet

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

GTSRB_CLASSES = (
    "speed limit 20 km/h",
    "speed limit 30 km/h",
    "speed limit 50 km/h",
    "speed limit 60 km/h",
    "speed limit 70 km/h",
    "speed limit 80 km/h",
    "end of speed limit 80 km/h",
    "speed limit 100 km/h",
    "speed limit 120 km/h",
    "no passing",
    "no passing for trucks",
    "right of way at the next crossing",
    "priority road",
    "give way",
    "stop",
    "no vehicles",
    "no trucks",
    "no entry",
    "danger",
    "bend to the left",
    "bend to the right",
    "double bend",
    "bumpy road",
    "slippery road",
    "road narrows on the right",
    "road works",
    "traffic lights",
    "pedestrians",
    "children crossing",
    "bicycles crossing",
    "ice or snow",
    "wild animals crossing",
    "end of all restrictions",
    "turn right ahead",
    "turn left ahead",
    "straight ahead only",
    "straight ahead or right",
    "straight ahead or left",
    "keep right",
    "keep left",
    "roundabout",
    "end of no passing",
    "end of no passing for trucks",
)

GTSRB_SIDE = 32


def _mnist(root: Path, split: str, download: bool) -> tuple[np.ndarray, np.ndarray]:
    from torchvision.datasets import MNIST

    source = MNIST(root, train=split == "train", download=download)
    return source.data.numpy()[:, None], source.targets.numpy()


def _cifar10(root: Path, split: str, download: bool) -> tuple[np.ndarray, np.ndarray]:
    from torchvision.datasets import CIFAR10

    source = CIFAR10(root, train=split == "train", download=download)
    return source.data.transpose(0, 3, 1, 2), np.asarray(source.targets)


def _gtsrb(root: Path, split: str, download: bool) -> tuple[np.ndarray, np.ndarray]:
    """Read GTSRB with each whole image, sign and border, resized to 32 x 32 (bilinear, antialiased)."""
    from torchvision.datasets import GTSRB

    source = GTSRB(root, split=split, download=download)
    pixels = np.empty((len(source), GTSRB_SIDE, GTSRB_SIDE, 3), dtype=np.uint8)
    labels = np.empty(len(source), dtype=np.int64)
    for i, (image, label) in enumerate(source):
        pixels[i], labels[i] = image.resize((GTSRB_SIDE, GTSRB_SIDE), Image.Resampling.BILINEAR), label
    return pixels.transpose(0, 3, 1, 2), labels


class Source(NamedTuple):
    read: Callable[[Path, str, bool], tuple[np.ndarray, np.ndarray]]
    classes: tuple[str, ...]
    licence: str


SOURCES = {
    "mnist": Source(_mnist, tuple("0123456789"), "CC BY-SA 3.0 (Yann LeCun and Corinna Cortes)"),
    "cifar10": Source(_cifar10, CIFAR10_CLASSES, "none stated; cite A. Krizhevsky, 2009"),
    "gtsrb": Source(_gtsrb, GTSRB_CLASSES, "none stated; cite Stallkamp, Schlipsing, Salmen and Igel, 2012"),
}


def default_root() -> Path:
    """Return $ADVCOURSE_DATA, or ~/.cache/advcourse if it is not set."""
    return Path(os.environ.get("ADVCOURSE_DATA") or "~/.cache/advcourse").expanduser()


def load(name: str, split: str = "test", root: str | Path | None = None, download: bool = False) -> ImageSet:
    """Load the full data set "mnist", "cifar10" or "gtsrb", in the order in which torchvision reads it.

    Sizes (train / test): mnist 60 000 / 10 000 of 1 x 28 x 28; cifar10 50 000 / 10 000 of 3 x 32 x 32; gtsrb 26 640 /
    12 630, resized to 3 x 32 x 32, with the training images sorted by class.

    Args:
        name: "mnist", "cifar10" or "gtsrb".
        split: "train" or "test" (default).
        root: the folder that torchvision downloads to and reads from; default `default_root()`.
        download: fetch the files if they are missing (default False).

    Raises:
        InputError: the name or split is unknown, or files are missing, damaged, or could not be fetched.
    """
    check_choice(name, "name", tuple(SOURCES))
    check_choice(split, "split", ("train", "test"))
    source, root = SOURCES[name], default_root() if root is None else Path(root)
    try:
        pixels, labels = source.read(root, split, download)
        return ImageSet.from_pixels(
            pixels, labels, source.classes, name=name, split=split, licence=source.licence
        )
    except (RuntimeError, OSError, ValueError, AssertionError, KeyError, pickle.UnpicklingError) as error:
        advice = (
            f"it could not be fetched into {root} ({error})"
            if download
            else f"it is not in {root}, or damaged ({error}); data.load({name!r}, {split!r}, download=True) "
            "downloads it there; or set root, or the environment variable ADVCOURSE_DATA, to the folder that has it"
        )
        raise InputError(f"name: {name!r} cannot be read: {advice}") from error
