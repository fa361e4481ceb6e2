"""mnist-5k: 5 000 handwritten digits of MNIST, shipped with the package.

The file is made by `python -m advcourse.data.make_digits`. Source: LeCun, Bottou, Bengio and Haffner,
"Gradient-based learning applied to document recognition", Proceedings of the IEEE 86(11), 1998.
"""

from functools import cache
from pathlib import Path

from advcourse.core.inputs import check_choice
from advcourse.data.base import ImageSet
from advcourse.data.packed import read_packed

NAME = "mnist-5k"
FILE = Path(__file__).parent / "files" / "mnist-5k.npz"
CLASSES = tuple("0123456789")
LICENCE = "CC BY-SA 3.0 (MNIST: Yann LeCun and Corinna Cortes)"
CHECKSUMS = {
    "train": "1eaeef618c5d52224a7dc950f52a3d2da6b97b9c2a939bbaf90b6b33cc6e1638",
    "test": "c1c23abe5c372643d8892d5ddde0d5d16f8872530bd91ae18fbdbfb990a259b0",
}


@cache
def _pixels(split: str):
    return read_packed(FILE, split, CHECKSUMS[split])


def load(split: str = "test") -> ImageSet:
    """Load 4 000 training or 1 000 test digits, 400 or 100 per class, in a fixed random order; images (N, 1, 28, 28).

    Raises:
        InputError: the split is unknown, or the file is missing or damaged.
    """
    check_choice(split, "split", tuple(CHECKSUMS))
    pixels, labels = _pixels(split)
    return ImageSet.from_pixels(pixels, labels, CLASSES, name=NAME, split=split, licence=LICENCE)
