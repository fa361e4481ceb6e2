"""Image sets packed into one compressed array file: written once by a script, verified on reading."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from advcourse.core.files import replacing
from advcourse.core.inputs import InputError
from advcourse.data.base import pixel_checksum


def write_packed(path: Path, splits: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, str]:
    """Write `{split: (uint8 pixels (N, C, H, W), labels (N,))}`; return the checksum of each split.

    The file is written whole or not at all.
    """
    arrays = {}
    for split, (pixels, labels) in splits.items():
        arrays[f"{split}_images"] = pixels.astype(np.uint8)
        arrays[f"{split}_labels"] = labels.astype(np.uint8)
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)
    return {split: pixel_checksum(*pair) for split, pair in splits.items()}


def read_packed(path: Path, split: str, checksum: str) -> tuple[np.ndarray, np.ndarray]:
    """Read the uint8 pixels (N, C, H, W) and the labels (N,) of one split.

    Raises:
        InputError: the file is missing or unreadable, or its contents do not have the given checksum.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            pixels, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
    except FileNotFoundError:
        raise InputError(f"data file {path} is missing; install the package again") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"data file {path} is damaged ({error}); install the package again") from error
    actual = pixel_checksum(pixels, labels)
    if actual != checksum:
        raise InputError(
            f"data file {path} is damaged: split {split!r} has checksum {actual[:12]}..., "
            f"{checksum[:12]}... expected; install the package again"
        )
    return pixels, labels
