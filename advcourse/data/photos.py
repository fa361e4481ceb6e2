"""Photographs: a few that other packages ship, and the reader's own, as a network for photographs takes them."""

import os
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from advcourse.core.inputs import InputError, check_choice, check_range
from advcourse.data.base import ImageSet

SIZE = 224
MOST_BYTES, MOST_PIXELS = 64 * 2**20, 64 * 2**20
# What a person sees on them, by ImageNet's names; the file; the part that is shown (left, top, side), in pixels.
_PHOTOS = (
    ("Egyptian cat", "skimage", "chelsea.png", (75, 0, 300)),
    ("espresso", "skimage", "coffee.png", (100, 0, 400)),
    ("tripod", "skimage", "camera.png", (0, 0, 512)),
    ("missile", "skimage", "rocket.jpg", (106, 0, 427)),
    ("palace", "sklearn", "china.jpg", (106, 0, 427)),
)
_FOLDERS = {"skimage": "data", "sklearn": "datasets/images"}
LICENCE = (
    "chelsea.png, coffee.png and camera.png: CC0, by Stefan van der Walt, Rachel Michetti and Lav Varshney; rocket.jpg: public "
    "domain, by SpaceX (all from scikit-image); china.jpg: CC BY 2.0, by danielbuechele (from scikit-learn); cropped and resized"
)


def classes() -> tuple[str, ...]:
    """The names of the 1000 classes of ImageNet, in the order of a network's logits."""
    from torchvision.models import EfficientNet_B0_Weights  # takes a second to import

    return tuple(EfficientNet_B0_Weights.DEFAULT.meta["categories"])


def load(split: str) -> ImageSet:
    """Return the photographs as an `ImageSet` of 3 x 224 x 224. They are all of the split "test": nothing is trained on them."""
    check_choice(split, "split", ("test",))
    names = classes()
    pictures = [_square(Image.open(_path(package, file)), box) for _, package, file, box in _PHOTOS]
    labels = np.array([names.index(label) for label, *_ in _PHOTOS])
    pixels = np.stack(pictures)
    return ImageSet.from_pixels(pixels, labels, names, name="photos", split=split, licence=LICENCE)


def photo(path: str | os.PathLike, size: int = SIZE) -> Tensor:
    """Read a photograph of your own, as networks for photographs take it: upright, square, in colour.

    It is turned as its camera says (EXIF), cropped to the square in its middle, and resized. Transparent places become white;
    of several frames the first counts.

    Args:
        path: a file that Pillow can read: JPEG, PNG, WebP...
        size: side of the result in pixels (default 224).

    Returns:
        float32 in [0, 1], shape (1, 3, size, size): a batch of one.

    Raises:
        InputError: the file is missing, is no image, is damaged, or is too large.
    """
    size = check_range(size, "size", 1, 4096, integer=True)
    path = Path(path)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"path: {path} has {path.stat().st_size} bytes; allowed are {MOST_BYTES}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit below is ours
            with Image.open(path) as image:
                return _read(image, path, size)
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise InputError(
            f"path: got {path}, which cannot be opened ({error.strerror}); allowed is an image file"
        ) from None
    except UnidentifiedImageError:
        raise InputError(
            f"path: got {path}, which is no image that can be read here; allowed are JPEG, PNG, WebP and the like. Save it as "
            "JPEG with an image program, and try again"
        ) from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"path: the image {path} is damaged ({error}); save it anew, and try again"
        ) from None


def _read(image, path, size):
    if image.width * image.height > MOST_PIXELS:
        raise InputError(
            f"path: {path} has {image.width} x {image.height} pixels; allowed are {MOST_PIXELS} in all: make it smaller"
        )
    image = ImageOps.exif_transpose(image)
    side = min(image.size)
    box = (image.width - side) // 2, (image.height - side) // 2, side
    return torch.from_numpy(_square(image, box, size)).float().div_(255)[None]


def _path(package, file):
    """Where a package keeps the file, found without importing the package."""
    from importlib.util import find_spec

    path = Path(find_spec(package).submodule_search_locations[0]) / _FOLDERS[package] / file
    if not path.is_file():
        raise InputError(f"photos: {path} is missing; install the package {package} again")
    return path


def _square(image, box, size=SIZE):
    """The square box (left, top, side) of an image of any kind as uint8 (3, size, size)."""
    left, top, side = box
    image = _in_colour(image).crop((left, top, left + side, top + side))
    image = image.resize((size, size), Image.Resampling.BICUBIC, reducing_gap=3)
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


def _in_colour(image):
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):  # 16 bits a pixel, or real numbers
        values = np.asarray(image, dtype=np.float64)
        top = 65535 if values.max() > 255 else 255 if values.max() > 1 else 1
        image = Image.fromarray((values.clip(0, top) * (255 / top)).round().astype(np.uint8))
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")
