"""A data set of labelled images in memory, and its checksum."""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from advcourse.core.inputs import InputError, check_images, check_labels, check_range, check_seed
from advcourse.data.places import check_place, check_places


def pixel_checksum(pixels: np.ndarray, labels: np.ndarray) -> str:
    """Return the SHA-256 (hex) of the pixels as uint8, row by row, then of the labels as little-endian int64."""
    digest = hashlib.sha256(np.ascontiguousarray(pixels, dtype=np.uint8))
    digest.update(np.ascontiguousarray(labels, dtype="<i8"))
    return digest.hexdigest()


class ImageSet(Dataset):
    """Labelled images in memory: a torch `Dataset` whose whole tensors are available as `images` and `labels`.

    Args:
        images: float32 in [0, 1], shape (N, C, H, W).
        labels: int64, shape (N,), indices into `classes`.
        classes: the name of each class.
        name, split, licence: where the images come from, and on what terms.

    Raises:
        InputError: the images are invalid, or the labels do not fit the images or the classes.
    """

    def __init__(
        self, images: Tensor, labels: Tensor, classes: Sequence[str], *, name: str, split: str, licence: str
    ):
        check_images(images, "images")
        self.images, self.labels = images, check_labels(labels, images, "labels")
        self.classes = tuple(classes)
        if len(labels) and int(labels.max()) >= len(self.classes):
            raise InputError(
                f"labels: got label {int(labels.max())}; allowed are 0 to {len(self.classes) - 1}"
            )
        self.name, self.split, self.licence = name, split, licence

    @classmethod
    def from_pixels(
        cls,
        pixels: np.ndarray,
        labels: np.ndarray,
        classes: Sequence[str],
        *,
        name: str,
        split: str,
        licence: str,
    ) -> "ImageSet":
        """Make a set from uint8 pixels (N, C, H, W) and integer labels (N,). Both are copied."""
        images = torch.from_numpy(np.ascontiguousarray(pixels)).to(torch.float32).div_(255)
        labels = torch.tensor(np.asarray(labels), dtype=torch.int64)
        return cls(images, labels, classes, name=name, split=split, licence=licence)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        i = check_place(i, len(self))
        return self.images[i], int(self.labels[i])

    def __repr__(self) -> str:
        shape = "x".join(str(side) for side in self.images.shape[1:])
        size = f"{len(self)} images of {shape}, {len(self.classes)} classes"
        return f"ImageSet({self.name!r}, {self.split!r}: {size})"

    @property
    def checksum(self) -> str:
        """The SHA-256 (hex) of the pixels as uint8, then of the labels as int64: equal for equal sets."""
        pixels = self.images.mul(255).round_().to(torch.uint8)
        return pixel_checksum(pixels.cpu().numpy(), self.labels.cpu().numpy())

    def subset(self, indices: Sequence[int] | Tensor) -> "ImageSet":
        """Return a new set with copies of the images at `indices` (numbers, or a bool for each image), in that order.

        Raises:
            InputError: there is no such place, or `indices` has another form.
        """
        indices = check_places(indices, len(self))
        return type(self)(
            self.images[indices],
            self.labels[indices],
            self.classes,
            name=self.name,
            split=self.split,
            licence=self.licence,
        )

    def first(self, n: int) -> tuple[Tensor, Tensor]:
        """Return copies of the first n images (n, C, H, W) and labels (n,)."""
        check_range(n, "n", 0, len(self), integer=True)
        return self.images[:n].clone(), self.labels[:n].clone()

    def pick(self, n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
        """Draw n images (n, C, H, W) and labels (n,) without replacement, with classes as balanced as possible.

        The same seed draws the same images. Classes take turns, so that the first images, however many, are balanced too.

        Raises:
            InputError: n or seed out of range.
        """
        check_range(n, "n", 0, len(self), integer=True)
        generator = torch.Generator().manual_seed(check_seed(seed))
        shuffled = torch.randperm(len(self), generator=generator)
        class_order = torch.randperm(len(self.classes), generator=generator)
        labels = self.labels.cpu()[shuffled]
        turn = torch.empty(len(self), dtype=torch.int64)  # how many images of the same class come earlier
        for label in labels.unique():
            members = labels == label
            turn[members] = torch.arange(int(members.sum()))
        chosen = shuffled[torch.argsort(turn * len(self.classes) + class_order[labels])[:n]]
        return self.images[chosen], self.labels[chosen]
