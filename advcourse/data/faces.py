"""faces: photographs, 3 x 64 x 64, of 40 people who do not exist, drawn by this package.

`load` reads the shipped set, `render` draws new photographs, `people` returns the numbers that make the 40 people, and
`circumstances` those that make each photograph. The files are made by `python -m advcourse.data.faces`. No image shows a real
person, so nobody had to be asked, and nobody can be found with one.
"""

import io
import sys
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from advcourse.core.files import replacing
from advcourse.core.inputs import InputError, check_choice, check_range
from advcourse.data.base import ImageSet, pixel_checksum
from advcourse.data.face_hair import COLOURS, STYLES, haircut
from advcourse.data.face_scenes import photograph, views
from advcourse.data.face_shapes import Traits, spread
from advcourse.data.sign_scenes import COLUMNS, Draws, balanced_labels, frozen_random

NAME = "faces"
SIZE = 64
FOLDER = Path(__file__).parent / "files"
LICENCE = "that of this package (images drawn by it, of people who do not exist)"
CLASSES = tuple(
    """Alex Andrea Ariel Ashley Billie Blair Cameron Charlie Chris Dana Drew Eden Ellis Erin Francis Gale Glenn Harper Jamie Jess
    Jordan Jules Kai Kim Lee Leslie Lou Marley Max Morgan Noa Quinn Ray Riley Robin Sasha Sidney Taylor Terry Yuki""".split()
)
SPLITS = {"train": (1200, 1), "test": (480, 2)}  # photographs and seed
CHECKSUMS = {
    "train": "480f30bdb2d4e5f4a513116b8b1f3bafaf7aaac287d46def638c4d830cae0b29",
    "test": "a3e1a19bdc08415322984224559e1635dc1a22f34171bc8b3d98a3e8de651933",
}
CHUNK = 40  # photographs rendered together, which limits the memory
ACROSS, QUALITY = 20, 95  # of the sheets of photographs: how many stand side by side, and WebP's quality

# Few haircuts and few tones, each shared by several people: the face must tell who it is.
_HAIRCUTS = (
    "crop",
    "long",
    "side part",
    "fringe",
    "tied",
    "long parted",
    "curly",
    "buzz",
    "side part",
    "bald",
)
_BEARDED = ("crop", "side part", "buzz", "bald", "curly")
_TONES = 5
_HAIR = {  # by tone of the skin, from the lightest; one colour for each haircut, as `STYLES` lists them
    0: (5, 4, 3, 5, 6, 2, 2, 4, 2),
    1: (2, 3, 5, 6, 1, 2, 7, 1, 1),
    2: (1, 7, 2, 1, 3, 0, 1, 2, 1),
    3: (0, 1, 0, 2, 1, 1, 0, 0, 0),
    4: (0, 0, 7, 1, 0, 1, 0, 0, 0),
}


@cache
def people() -> Traits:
    """Return the traits of the 40 people, in the order of `CLASSES`: (40, 1, 1) each, the colour "hair" (40, 3, 1, 1)."""
    n, random = len(CLASSES), frozen_random(7, 0)
    person = spread(n, random)
    draws = torch.from_numpy(random.random_sample((2, n))).float()[:, :, None, None]
    cuts = [_HAIRCUTS[i % len(_HAIRCUTS)] for i in range(n)]
    tone = (person["skin"] * _TONES).long().clamp(max=_TONES - 1)
    person["skin"] = (tone + 0.35) / _TONES
    colours = [_HAIR[int(t)][list(STYLES).index(cut)] for t, cut in zip(tone.flatten(), cuts, strict=True)]
    person["hair"] = COLOURS[colours][:, :, None, None]
    dark = person["skin"] > 0.5  # the darker the skin, the darker the eyes
    person["iris"] = person["iris"] * torch.where(dark, 0.35, 1.0)
    person["freckles"] = person["freckles"] - torch.where(dark, 0.6, 0.0)
    bearded = torch.tensor([cut in _BEARDED for cut in cuts])[:, None, None]
    person["beard"] = bearded * (draws[0] - 0.35).clamp(min=0) * 1.35
    person["brow_cover"] = 0.70 + 0.22 * draws[1]
    return person | haircut(cuts)


def chosen(traits: Traits, rows: Tensor) -> Traits:
    """Return the traits of some people, or the circumstances of some photographs: those at `rows`."""
    return {name: values[rows] for name, values in traits.items()}


def circumstances(n: int, seed: int = 0) -> Traits:
    """Return what makes the first n photographs of a seed: pose, mood, light, colours, lens, each (n, 1, 1)."""
    check_range(n, "n", 0, None, integer=True)
    check_range(seed, "seed", 0, 2**32 - 1, integer=True)
    return views(Draws(frozen_random(seed, 1).random_sample((n, COLUMNS))))


def render(n: int, seed: int = 0, person: int | None = None) -> tuple[Tensor, Tensor]:
    """Draw n new photographs, of all 40 people in turn (their counts differ by at most one) or of one of them.

    Args:
        n: how many.
        seed: the same seed draws the same photographs; a smaller n gives the first ones of a larger n (default 0).
        person: index into `CLASSES` of who is on all of them; None (default) for everybody.

    Returns:
        images, float32 in [0, 1], shape (n, 3, 64, 64), and labels, int64, shape (n,), indices into `CLASSES`.

    Raises:
        InputError: n, seed or person is out of range.
    """
    view, grain = circumstances(n, seed), frozen_random(seed, 2)
    who = _labels(n, seed)
    if person is not None:
        who = torch.full((n,), check_range(person, "person", 0, len(CLASSES) - 1, integer=True))
    images = [torch.empty(0, 3, SIZE, SIZE)]
    for rows in torch.arange(n).split(CHUNK) if n else ():
        noise = torch.from_numpy(grain.standard_normal((len(rows), 3, SIZE, SIZE))).float()
        images.append(photograph(chosen(people(), who[rows]), chosen(view, rows), noise, SIZE))
    return torch.cat(images), who


def load(split: str = "test") -> ImageSet:
    """Load 1 200 training or 480 test photographs, 30 or 12 of each person; images (N, 3, 64, 64).

    Raises:
        InputError: the split is unknown, or the file is missing or damaged.
    """
    check_choice(split, "split", tuple(SPLITS))
    return ImageSet.from_pixels(
        _pixels(split), labels(split).numpy(), CLASSES, name=NAME, split=split, licence=LICENCE
    )


def labels(split: str) -> Tensor:
    """Return who is on each photograph of a split, (N,), indices into `CLASSES`."""
    return _labels(*SPLITS[split])


def _labels(n: int, seed: int) -> Tensor:
    return balanced_labels(n, list(range(len(CLASSES))), seed)


@cache
def _pixels(split: str) -> np.ndarray:
    """Return the uint8 pixels (N, 3, 64, 64) of a split: one sheet of photographs, as a camera stores it, compressed."""
    from PIL import Image, UnidentifiedImageError

    path = FOLDER / f"faces-{split}.webp"
    try:
        with Image.open(path) as sheet:
            pixels = unstacked(np.asarray(sheet.convert("RGB")))
    except FileNotFoundError:
        raise InputError(f"data file {path} is missing; install the package again") from None
    except (OSError, ValueError, UnidentifiedImageError) as error:
        raise InputError(f"data file {path} is damaged ({error}); install the package again") from error
    checksum = pixel_checksum(pixels, labels(split).numpy())
    if checksum != CHECKSUMS[split]:
        raise InputError(
            f"data file {path} is damaged: checksum {checksum[:12]}..., {CHECKSUMS[split][:12]}... expected; "
            "install the package again"
        )
    return pixels


def stacked(pixels: np.ndarray) -> np.ndarray:
    """Lay photographs (N, 3, S, S) out on one sheet (rows * S, ACROSS * S, 3), row by row; N must fill the rows."""
    n, _, side, _ = pixels.shape
    return (
        pixels.reshape(n // ACROSS, ACROSS, 3, side, side)
        .transpose(0, 3, 1, 4, 2)
        .reshape(-1, ACROSS * side, 3)
    )


def unstacked(sheet: np.ndarray, side: int = SIZE) -> np.ndarray:
    """Cut a sheet into photographs (N, 3, side, side): the inverse of `stacked`."""
    parts = sheet.reshape(-1, side, ACROSS, side, 3).transpose(0, 2, 4, 1, 3)
    return np.ascontiguousarray(parts.reshape(-1, 3, side, side))


def make(folder: Path = FOLDER) -> dict[str, str]:
    """Write the files of the shipped set; return the checksum of each split."""
    from PIL import Image

    checksums = {}
    for split, (n, seed) in SPLITS.items():
        images, who = render(n, seed)
        sheet = stacked((images * 255).round().to(torch.uint8).numpy())
        stored = io.BytesIO()
        Image.fromarray(sheet).save(stored, "WEBP", quality=QUALITY, method=6)
        with replacing(folder / f"faces-{split}.webp") as partial:
            partial.write_bytes(stored.getvalue())
        kept = unstacked(np.asarray(Image.open(stored).convert("RGB")))
        checksums[split] = pixel_checksum(kept, who.numpy())
    return checksums


def main() -> int:
    checksums = make()
    for split, checksum in checksums.items():
        print(f"{split}: {checksum}")
    if checksums != CHECKSUMS:
        print("these differ from faces.CHECKSUMS: another processor rounds a few pixels differently")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
