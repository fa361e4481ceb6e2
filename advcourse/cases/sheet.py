"""A sheet of paper to print and photograph: thirty clean, noisy and attacked images on A4, with markers at its corners.

Lengths are in millimetres from the page's top left corner. `compose` chooses and attacks the images, `write` writes the PDF and
beside it the JSON file that `advcourse.cases.reading` needs to judge a photograph.
"""

import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from advcourse import attacks, data, models
from advcourse.cases import markers
from advcourse.cases.phone import eot_pgd, sign_noise
from advcourse.core.errors import InputError
from advcourse.core.files import check_target, contents, replacing
from advcourse.core.inputs import check_choice, check_range, check_seed, predict

PAGE = (210.0, 297.0)  # A4
DPI = 300
COLUMNS, ROWS = 5, 6
CELL, PITCH = 30.0, 38.0  # side of an image, and from one image to the next
GRID = (14.0, 39.0)  # the first image's top left corner
MARKER = 22.0
MARKERS = ((10.0, 10.0), (178.0, 10.0), (178.0, 265.0), (10.0, 265.0))  # top left corners of 0 to 3
CODE_BITS, CODE_CELL = 26, 4.5  # black, white, 16 bits of the id, 8 bits of its checksum
CODE = (46.5, 272.0)
WARNING = "For photographs of this paper only. Never put any of it on a real road sign, nor beside a road."
ATTACKS = ("FGSM", "BIM", "PGD", "UMIFGSM", "LLC", "ILLC", "EOT-PGD")
_FORMAT = "advcourse printed sheet 1"


@dataclass(frozen=True)
class Cell:
    """One image on a sheet: its label and what the model reads on the screen, both class numbers, and what was done to it."""

    label: int
    treatment: str
    on_screen: int


@dataclass(frozen=True)
class Sheet:
    """What is on a sheet: id (four hexadecimal digits), the model's name and its classes, the attack, and the cells, row by row.

    shape: that of an image, (C, H, W).
    """

    id: str
    model: str
    classes: tuple[str, ...]
    attack: str
    shape: tuple[int, int, int]
    cells: tuple[Cell, ...]

    def as_json(self) -> str:
        """Return the text of the JSON file."""
        return json.dumps({"format": _FORMAT} | asdict(self), indent=1) + "\n"


def compose(model: str, attack: str = "PGD", eps: float | None = None, seed: int = 0) -> tuple[Sheet, Tensor]:
    """Choose ten test images that a shipped model reads rightly, and attack them.

    The first three rows of the sheet are five of them as they are, with noise of the same size, and attacked; the other three
    rows are the other five.

    Args:
        model: name of a shipped model that reads images.
        attack: one of `ATTACKS`; "EOT-PGD" expects the photograph (default "PGD").
        eps: budget in L-infinity (default None: 16/255 for images in colour, 0.3 for grey ones).
        seed: of the choice, the noise and the attack (default 0).

    Returns:
        the sheet, and its images (30, C, H, W), row by row.

    Raises:
        InputError: an argument is unknown or out of range.
    """
    name, seed = check_choice(model, "model", offered()), check_seed(seed)
    attack = check_choice(attack, "attack", ATTACKS)
    net, held_out = models.load(name), data.load(models.card(name)["data"]["name"], "test")
    eps = (16 / 255 if held_out.images.shape[1] == 3 else 0.3) if eps is None else eps
    eps = check_range(eps, "eps", 0, 1, exclusive_low=True)
    x, y = _readable(net, held_out, seed)
    treated = {"clean": x, "noise": sign_noise(x, eps, seed), attack: _attacked(net, x, y, attack, eps, seed)}
    by_row = [(kind, slice(first, first + COLUMNS)) for first in (0, COLUMNS) for kind in treated]
    images = torch.cat([treated[kind][part] for kind, part in by_row])
    labels = torch.cat([y[part] for _, part in by_row]).tolist()
    kinds = [kind for kind, part in by_row for _ in range(COLUMNS)]
    cells = tuple(map(Cell, labels, kinds, predict(net, images).argmax(1).tolist()))
    mark = hashlib.sha256(
        images.mul(255).round().byte().numpy().tobytes() + repr((name, attack, eps)).encode()
    )
    words = f"{attack}, budget {eps:.3g}"
    sheet = Sheet(mark.hexdigest()[:4], name, tuple(held_out.classes), words, tuple(images.shape[1:]), cells)
    return sheet, images


def offered() -> tuple[str, ...]:
    """Return the names of the shipped models whose images can be printed: those of a data set that can be loaded."""
    return tuple(name for name in models.names() if models.card(name)["data"]["name"] in data.names())


def draw(sheet: Sheet, images: Tensor) -> tuple[Image.Image, Image.Image]:
    """Return the sheet, and the page with its labels, as pictures of A4 at `DPI` dots per inch."""
    page = _blank()
    for number, place in enumerate(MARKERS):
        _paste(page, np.uint8(255 * markers.pattern(number)), place, (MARKER, MARKER))
    for number, image in enumerate(images):
        pixels = (255 * image).round().byte().permute(1, 2, 0).numpy()
        _paste(page, pixels.squeeze(), cell_corner(number), (CELL, CELL))
    bits = np.uint8(255 * code_bits(sheet.id))[None]
    _paste(page, bits, CODE, (CODE_BITS * CODE_CELL, CODE_CELL))
    pen = ImageDraw.Draw(page)
    for number in range(len(images)):
        x, y = cell_corner(number)
        _write(pen, (x - 1.2, y + CELL), str(number + 1), 2.6, "rs", (110, 110, 110))
    middle = PAGE[0] / 2
    _write(pen, (middle, 16), f"advcourse: sheet {sheet.id.upper()}", 6, "mm")
    for line, words in enumerate((WARNING[: WARNING.index(" Never")], WARNING[WARNING.index("Never") :])):
        _write(pen, (middle, 23 + 4.6 * line), words, 2.9, "mm", (70, 70, 70))
    _write(
        pen,
        (middle, 282),
        "Photograph the whole page, sharply, with all four markers.",
        3.2,
        "mm",
        (70, 70, 70),
    )
    return page, _labels(sheet)


def write(path: str | os.PathLike, sheet: Sheet, images: Tensor) -> Path:
    """Write a sheet as a PDF of two pages, and beside it, with the suffix .json, what `reading.read` needs; return the latter.

    Raises:
        InputError: no file can be written at one of the two paths, or `path` does not end in .pdf. Neither is then written.
        WriteError: writing failed. No half file is left.
    """
    path, beside = check_path(path)
    first, second = draw(sheet, images)
    with replacing(path) as partial, replacing(beside) as partial_json:
        settings = {
            "resolution": DPI,
            "quality": 95,
            "subsampling": 0,
            "title": f"advcourse sheet {sheet.id}",
        }
        first.save(partial, "PDF", save_all=True, append_images=[second], **settings)
        partial_json.write_text(sheet.as_json(), encoding="utf-8")
    return beside


def check_path(path: str | os.PathLike) -> tuple[Path, Path]:
    """Return the paths of the PDF and of the JSON file beside it.

    Raises:
        InputError: one of them cannot be written, or there is a JSON file already that is not a sheet's, and would be lost.
    """
    path = Path(path)
    if path.suffix.lower() != ".pdf":
        raise InputError(f"path: got {str(path)!r}; allowed is a name that ends in .pdf")
    for target in (path, path.with_suffix(".json")):
        check_target(target)
    beside = path.with_suffix(".json")
    if beside.exists():
        try:
            load(beside)
        except InputError:
            raise InputError(
                f"path: got {str(path)!r}, but {str(beside)!r}, which is written beside it, exists and is not a sheet's; allowed "
                "is another name"
            ) from None
    return path, beside


def load(path: str | os.PathLike) -> Sheet:
    """Return the sheet that a JSON file written by `write` describes.

    Raises:
        InputError: there is no such file, or it is not one of these.
    """
    text = f"sheet: got {str(path)!r}; allowed is a JSON file made by 'advcourse print'"
    try:
        fields = json.loads(contents(path))
    except OSError as error:
        raise InputError(f"{text} ({error.strerror})") from error
    except (ValueError, RecursionError):
        raise InputError(f"{text}: this is not JSON") from None
    try:
        if fields.pop("format") != _FORMAT:
            raise ValueError
        cells = tuple(Cell(**cell) for cell in fields.pop("cells"))
        shape, classes = tuple(fields.pop("shape")), tuple(fields.pop("classes"))
        sheet = Sheet(cells=cells, shape=shape, classes=classes, **fields)
        _check(sheet)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise InputError(f"{text}: this is another file, or it was changed") from None
    return sheet


def cell_corner(number: int) -> tuple[float, float]:
    """Return the top left corner, in millimetres, of the image with this number from 0."""
    return GRID[0] + PITCH * (number % COLUMNS), GRID[1] + PITCH * (number // COLUMNS)


def marker_corners() -> np.ndarray:
    """Return the corners of the four markers, (4, 4, 2), in millimetres, each clockwise from its top left."""
    return np.array(MARKERS)[:, None] + MARKER * markers.SQUARE


def code_bits(sheet_id: str) -> np.ndarray:
    """Return the squares of the code under the images, (26,), 0 black and 1 white: black, white, the id, its checksum."""
    number = np.frombuffer(bytes.fromhex(sheet_id), dtype=np.uint8)
    check = np.frombuffer(hashlib.sha256(number.tobytes()).digest()[:1], dtype=np.uint8)
    return np.concatenate([[0, 1], np.unpackbits(number), np.unpackbits(check)])


def code_id(bits: np.ndarray) -> str | None:
    """Return the id in the squares (26,) of a code, or None if the checksum is wrong."""
    found = np.packbits(np.asarray(bits, dtype=np.uint8)[2:18]).tobytes().hex()
    return found if np.array_equal(code_bits(found), bits) else None


def _readable(net, held_out, seed):
    """Choose test images at random that the net reads rightly, 2 x COLUMNS of them."""
    order = np.random.RandomState([seed % 2**32, 5]).permutation(len(held_out))[:200]
    x, y = held_out.images[order], held_out.labels[order]
    right = predict(net, x).argmax(1) == y
    return x[right][: 2 * COLUMNS], y[right][: 2 * COLUMNS]


def _attacked(net: nn.Module, x, y, attack, eps, seed):
    if attack == "EOT-PGD":
        return eot_pgd(net, x, y, eps, seed=seed)
    kind = attacks.REGISTRY[attack]
    more = {"seed": seed} if "seed" in kind.__dataclass_fields__ else {}
    return kind(eps=eps, **more)(net, x, y)


def _check(sheet):
    """Raise `ValueError` or `TypeError` unless everything about the sheet is as `compose` makes it."""
    check_choice(sheet.model, "model", offered())
    held_out = data.load(models.card(sheet.model)["data"]["name"], "test")
    texts = (sheet.attack, *(cell.treatment for cell in sheet.cells))
    words = all(re.fullmatch(r"[\w .,+-]{1,60}", text) for text in texts)
    made_for = sheet.classes == tuple(held_out.classes) and sheet.shape == tuple(held_out.images.shape[1:])
    numbers = [number for cell in sheet.cells for number in (cell.label, cell.on_screen)]
    whole = all(type(number) is int and 0 <= number < len(sheet.classes) for number in numbers)
    if not (words and made_for and whole and re.fullmatch("[0-9a-f]{4}", sheet.id)):
        raise ValueError
    if len(sheet.cells) != COLUMNS * ROWS:
        raise ValueError


def _blank():
    return Image.new("RGB", tuple(map(_dots, PAGE)), "white")


def _dots(millimetres):
    return round(millimetres * DPI / 25.4)


def _paste(page, pixels, corner, size):
    """Paste pixels as squares into the box with this corner and size, in millimetres."""
    left, top = map(_dots, corner)
    right, bottom = (_dots(start + length) for start, length in zip(corner, size, strict=True))
    picture = Image.fromarray(pixels).resize((right - left, bottom - top), Image.Resampling.NEAREST)
    page.paste(picture.convert("RGB"), (left, top))


@lru_cache
def font(dots: int) -> ImageFont.FreeTypeFont:
    """Return a font of this height, in dots."""
    from matplotlib import font_manager  # slow to import: not needed to read a photograph

    return ImageFont.truetype(font_manager.findfont("DejaVu Sans"), dots)


def _write(pen, place, words, size, anchor="ls", colour=(0, 0, 0)):
    pen.text(tuple(map(_dots, place)), words, fill=colour, font=font(_dots(size)), anchor=anchor)


def _labels(sheet):
    """Draw the second page: what each image is, and how to go on."""
    page = _blank()
    pen = ImageDraw.Draw(page)
    _write(pen, (20, 24), f"Sheet {sheet.id.upper()}: what is on it", 6.5)
    _write(
        pen, (20, 33), f"Model {sheet.model}; attack {sheet.attack} (largest change of a pixel, of 1).", 3.6
    )
    columns = ((20, "cell"), (36, "what it is"), (92, "treatment"), (128, "read on the screen as"))
    for x, head in columns:
        _write(pen, (x, 45), head, 3.6, colour=(110, 110, 110))
    pen.line([*map(_dots, (20, 47.5)), *map(_dots, (190, 47.5))], fill=(150, 150, 150), width=2)
    for number, cell in enumerate(sheet.cells):
        y, wrong = 53.5 + 6.2 * number, cell.label != cell.on_screen
        row = (str(number + 1), sheet.classes[cell.label], cell.treatment, sheet.classes[cell.on_screen])
        for (x, _), words in zip(columns, row, strict=True):
            red = wrong and x == columns[3][0]
            _write(pen, (x, y), words + "  (wrong)" * red, 3.6, colour=(190, 30, 30) if red else (0, 0, 0))
    after = (
        "Print the first page on white paper, photograph all of it, and have the photograph read:",
        "    advcourse read photo.jpg --sheet sheet.json     (sheet.json: the file that was written beside this PDF)",
        WARNING,
    )
    for line, words in enumerate(after):
        _write(pen, (20, 252 + 8 * line), words, 3.4)
    return page
