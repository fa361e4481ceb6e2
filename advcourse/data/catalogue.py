"""The data sets by name."""

import os
from pathlib import Path

from torch import Tensor

from advcourse.core.inputs import check_choice
from advcourse.data.apps import AppSet
from advcourse.data.base import ImageSet
from advcourse.data.reviews import SentenceSet

SHIPPED = ("mnist-5k", "signs", "faces", "photos")
DOWNLOADED = ("mnist", "cifar10", "gtsrb")
OTHERS = ("apps", "reviews", "spoken")  # shipped, too, but no images


def names() -> tuple[str, ...]:
    """Return the names of the image sets that `load` accepts; the shipped ones, which need no network, come first."""
    return SHIPPED + DOWNLOADED


def load(
    name: str, split: str = "test", root: str | Path | None = None, download: bool = False
) -> ImageSet | AppSet | SentenceSet:
    """Load the data set `name` as an `ImageSet` of float32 images (N, C, H, W) in [0, 1].

    What is no image has a class of its own: "apps" is an `AppSet`, "reviews" a `SentenceSet`, and "spoken" a `WaveSet`, an
    `ImageSet` of sounds as images of height 1.

    The tensors are the caller's own: changing them does not affect later loads.

    Args:
        name: "mnist-5k", "signs", "faces", "photos", "apps", "reviews" or "spoken", which need no network; or "mnist", "cifar10"
            or "gtsrb", which torchvision reads.
        split: "train" or "test" (default); "photos" has "test" alone.
        root: folder of the sets that do not ship; default $ADVCOURSE_DATA, else ~/.cache/advcourse.
        download: fetch a set that is not in `root` (default False).

    Raises:
        InputError: the name or split is unknown, or files are missing or damaged.
    """
    check_choice(name, "name", names() + OTHERS)
    check_choice(split, "split", ("train", "test"))
    if name == "mnist-5k":
        from advcourse.data import digits

        return digits.load(split)
    if name == "signs":
        from advcourse.data import signs

        return signs.load(split)
    if name == "faces":
        from advcourse.data import faces

        return faces.load(split)
    if name == "photos":
        from advcourse.data import photos

        return photos.load(split)
    if name == "apps":
        from advcourse.data.apps import appset

        return appset.load(split)
    if name == "reviews":
        from advcourse.data import reviews

        return reviews.load(split)
    if name == "spoken":
        from advcourse.data import spoken

        return spoken.load(split)
    from advcourse.data import full

    return full.load(name, split, root, download)


def photo(path: str | os.PathLike, size: int = 224) -> Tensor:
    """Read a photograph of your own as a batch of one, (1, 3, size, size) in [0, 1]: see `advcourse.data.photos.photo`."""
    from advcourse.data import photos  # Pillow is needed only here

    return photos.photo(path, size)
