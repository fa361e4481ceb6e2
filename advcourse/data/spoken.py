"""spoken: 800 spoken digits, "zero" to "nine", of 16 synthetic voices in 5 accents, at 8 000 samples a second.

`load` reads the shipped set. Its file, written by `python -m advcourse.data.make_spoken`, holds each clip in 8-bit mu-law,
without the silence before and after. The synthesiser is eSpeak NG; no person speaks. The voices of the test split are not in
training.
"""

import io
import lzma
import math
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from advcourse.core.inputs import InputError, check_choice
from advcourse.data.base import ImageSet, pixel_checksum

NAME = "spoken"
FILE = Path(__file__).parent / "files" / "spoken.npz.xz"
RATE, LENGTH = 8000, 6000  # samples a second, and of a clip
CLASSES = tuple("zero one two three four five six seven eight nine".split())
LICENCE = (
    "that of this package (speech made with eSpeak NG, whose licence, GPL 3, does not extend to what it says)"
)
CHECKSUMS = {
    "train": "065ccfce461c1a6dee060bebdc02b490c90aeab44f4de7c730c745be453b7af5",
    "test": "c8a7492d4f315d50b1cf95c0ed10ad4a3ede5f56998555bd4d1c808e22e83470",
}
_MU = 255


class WaveSet(ImageSet):
    """Labelled sounds as images of height 1, (N, 1, 1, L): a wave w in [-1, 1] is the image x = (w + 1) / 2, silence is grey.

    So every attack on images works on sounds. Arguments as for `ImageSet`. The checksum is that of the waves in 8-bit mu-law.

    Attributes:
        rate: samples a second.
    """

    rate = RATE

    @property
    def waves(self) -> Tensor:
        """The waves (N, L) in [-1, 1]."""
        return waves_of(self.images)

    @property
    def checksum(self) -> str:
        """The SHA-256 (hex) of the waves in 8-bit mu-law, then of the labels as int64: equal for equal sets."""
        codes = encode(self.images * 2 - 1)
        return pixel_checksum(codes.cpu().numpy(), self.labels.cpu().numpy())

    def __repr__(self) -> str:
        size = f"{len(self)} sounds of {self.images.shape[-1]} samples, {len(self.classes)} classes"
        return f"WaveSet({self.name!r}, {self.split!r}: {size})"


def waves_of(images: Tensor) -> Tensor:
    """Return the waves (N, L) in [-1, 1] of sounds as images (N, 1, 1, L) in [0, 1]."""
    return images.flatten(1) * 2 - 1


def as_images(waves: Tensor) -> Tensor:
    """Return waves (N, L) in [-1, 1] as images (N, 1, 1, L) in [0, 1]."""
    return ((waves + 1) / 2).clamp(0, 1)[:, None, None]


def encode(waves: Tensor) -> Tensor:
    """Return waves in [-1, 1] in 8-bit mu-law, uint8, of the same shape: 128 is silence, 1 and 255 are the largest.

    F(w) = sgn(w) ln(1 + 255 |w|) / ln(256), rounded to 255 levels. Source: ITU-T G.711, in its continuous form.
    """
    pressed = waves.sign() * torch.log1p(_MU * waves.abs()) / math.log(1 + _MU)
    return (pressed * 127).round().add(128).to(torch.uint8)


def decode(codes: Tensor) -> Tensor:
    """Return the waves in [-1, 1], float32, of 8-bit mu-law codes: the inverse of `encode`, up to its rounding."""
    pressed = (codes.double() - 128) / 127
    return (pressed.sign() * torch.expm1(pressed.abs() * math.log(1 + _MU)) / _MU).clamp(-1, 1).float()


def load(split: str = "test") -> WaveSet:
    """Load 600 training or 200 test clips of 0.75 s, (N, 1, 1, 6000), in a fixed random order; as many of each digit.

    Raises:
        InputError: the split is unknown, or the file is missing or damaged.
    """
    check_choice(split, "split", ("train", "test"))
    codes, labels = _clips(split)
    images = as_images(decode(torch.from_numpy(codes)).flatten(1))
    return WaveSet(
        images,
        torch.from_numpy(labels.astype(np.int64)),
        CLASSES,
        name=NAME,
        split=split,
        licence=LICENCE,
    )


def voices(split: str) -> tuple[str, ...]:
    """Return who speaks each clip of a split: a voice of eSpeak NG, such as "en-us+f2", accent and speaker."""
    check_choice(split, "split", ("train", "test"))
    return tuple(_arrays()[f"{split}_voices"].tolist())


@cache
def _arrays():
    try:
        with np.load(io.BytesIO(lzma.decompress(FILE.read_bytes())), allow_pickle=False) as arrays:
            return dict(arrays)
    except FileNotFoundError:
        raise InputError(f"data file {FILE} is missing; install the package again") from None
    except (OSError, ValueError, EOFError, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise InputError(f"data file {FILE} is damaged ({error}); install the package again") from error


@cache
def _clips(split):
    """Return the mu-law codes (N, 1, 1, 6000) and the labels (N,) of a split."""
    arrays = _arrays()
    try:
        codes, starts, ends, labels = (
            arrays[f"{split}_{part}"] for part in ("codes", "starts", "ends", "labels")
        )
        clips = np.full((len(labels), 1, 1, LENGTH), 128, np.uint8)
        pieces = np.split(codes, np.cumsum(ends.astype(int) - starts)[:-1])
        for clip, piece, start, end in zip(clips, pieces, starts, ends):
            clip[0, 0, start:end] = piece
    except (KeyError, ValueError) as error:
        raise InputError(f"data file {FILE} is damaged ({error!r}); install the package again") from error
    if pixel_checksum(clips, labels) != CHECKSUMS[split]:
        raise InputError(
            f"data file {FILE} is damaged: split {split!r} has another checksum; install the package again"
        )
    return clips, labels
