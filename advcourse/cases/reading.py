"""Read a photograph of a printed sheet: find its markers, rectify it, cut out the images, and ask the model about each.

The sheet is flat, so one homography, fitted to the sixteen corners of its markers, tells where each point of it is.
"""

import os
import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageDraw, ImageOps
from torch import Tensor, nn

from advcourse import models
from advcourse.cases import markers
from advcourse.cases import sheet as sheets
from advcourse.cases.geometry import homography, transformed
from advcourse.cases.markers import Marker
from advcourse.cases.optics import LUMA
from advcourse.cases.sheet import Sheet
from advcourse.core.errors import InputError
from advcourse.core.files import contents
from advcourse.core.inputs import predict
from advcourse.core.intervals import counted, printed

LONGEST = 2400  # pixels of a photograph's long side: larger ones are reduced first
BLURRED = 0.20  # blur of the markers' edges, in modules, that still lets images be read
_BENT = 0.006  # error of a fitted corner, in diagonals of the sheet: a lens of 10 % distortion causes half of that
_CORNERS = ("top left", "top right", "bottom right", "bottom left")
_AGAIN = "Take the photograph again"

_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")  # brands that stand in the file


@dataclass(frozen=True)
class Reading:
    """A photograph that was read.

    photograph: as it was read, upright or not, perhaps reduced. to_photograph: homography from millimetres on the sheet to its
    pixels. images: what was cut out, (30, C, H, W). answers: the class that the model reads in each.
    """

    sheet: Sheet
    photograph: Image.Image
    to_photograph: np.ndarray
    images: Tensor
    answers: tuple[int, ...]

    def table(self) -> pd.DataFrame:
        """Return what each cell is, and how it was read on the screen and in the photograph."""
        names = self.sheet.classes
        rows = [
            (number, names[cell.label], cell.treatment, names[cell.on_screen], names[answer])
            for number, (cell, answer) in enumerate(zip(self.sheet.cells, self.answers, strict=True), start=1)
        ]
        heads = ["cell", "what it is", "treatment", "on screen", "in the photograph"]
        return pd.DataFrame(rows, columns=heads).set_index("cell")

    def summary(self) -> pd.DataFrame:
        """Return for each treatment how many images were read wrongly on screen and in the photograph, and were destroyed."""
        rows = {}
        for kind in dict.fromkeys(cell.treatment for cell in self.sheet.cells):
            pairs = [
                (c, a) for c, a in zip(self.sheet.cells, self.answers, strict=True) if c.treatment == kind
            ]
            fooled = [(c, a) for c, a in pairs if c.on_screen != c.label]
            counts = (
                (len(fooled), len(pairs)),
                (sum(a != c.label for c, a in pairs), len(pairs)),
                (sum(a == c.label for c, a in fooled), len(fooled)),
            )
            rows[kind] = [printed(counted(*count)) for count in counts]
        heads = ["read wrongly on screen", "in the photograph", "destroyed"]
        return pd.DataFrame.from_dict(rows, orient="index", columns=heads)

    def framed(self) -> Image.Image:
        """Return the photograph with each image framed, blue if it was read rightly, else orange, and the answer below it."""
        picture = self.photograph.copy()
        pen = ImageDraw.Draw(picture)
        for number, (cell, answer) in enumerate(zip(self.sheet.cells, self.answers, strict=True)):
            box = sheets.cell_corner(number) + sheets.CELL * markers.SQUARE
            corners = transformed(self.to_photograph, box)
            colour = (30, 110, 220) if answer == cell.label else (230, 110, 0)
            outline = [tuple(point) for point in (*corners, *corners[:2])]
            scale = np.sqrt(abs(markers.signed_area(corners))) / sheets.CELL  # pixels per millimetre, here
            pen.line(outline, fill=colour, width=max(2, round(0.7 * scale)), joint="curve")
            place = transformed(self.to_photograph, np.array([[box[:, 0].mean(), box[2, 1] + 3.2]]))[0]
            words = self.sheet.classes[answer]
            size = min(
                3.8, 100 * (sheets.PITCH - 2) / sheets.font(100).getlength(words)
            )  # millimetres: no wider than a cell
            font = sheets.font(max(8, round(size * scale)))
            pen.text(
                tuple(place), words, fill=colour, font=font, anchor="mm", stroke_width=2, stroke_fill="white"
            )
        return picture


def read(
    photograph: str | os.PathLike | Image.Image,
    sheet: Sheet,
    corners: np.ndarray | None = None,
    model: nn.Module | None = None,
) -> Reading:
    """Read a photograph of a sheet.

    Args:
        photograph: a picture, or the path of its file. It may be turned.
        sheet: the sheet, from `sheet.load`.
        corners: where the outer corners of the four markers are, (4, 2), x and y in pixels, at the sheet's top left, top right,
            bottom right and bottom left (default None: the markers are found).
        model: the model to ask (default None: the shipped one that the sheet was made for).

    Raises:
        InputError: the file is no picture, or the photograph shows no sheet, only a part of one, two of them, another one, or is
            too small or too blurred. The message says which.
    """
    picture, reduced = _reduced(opened(photograph))
    light = np.asarray(picture, dtype=np.float32) / 255
    grey = light @ np.float32(LUMA)
    chosen = _chosen(markers.find(grey)) if corners is None else {}
    to_photograph = _fitted(chosen) if corners is None else _by_hand(corners, reduced, picture.size)
    _check_size(to_photograph)
    _check_sharpness(chosen.values())
    _check_code(grey, to_photograph, sheet)
    images = _cut(light, to_photograph, sheet)
    net = models.load(sheet.model) if model is None else model
    return Reading(sheet, picture, to_photograph, images, tuple(predict(net, images).argmax(1).tolist()))


def rectified(reading: Reading, dots: float = 4.0) -> Image.Image:
    """Return the photograph as if the camera had looked straight at the sheet, with `dots` pixels per millimetre."""
    width, height = (round(dots * side) for side in sheets.PAGE)
    points = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), -1) / dots
    light = np.asarray(reading.photograph, dtype=np.float32) / 255
    pixels = _sample(light, transformed(reading.to_photograph, points.reshape(-1, 2)))
    return Image.fromarray(np.uint8(255 * pixels.reshape(height, width, 3)))


def opened(photograph: str | os.PathLike | Image.Image) -> Image.Image:
    """Return a photograph, or the one in this file, in colour and upright; `InputError` if it is no picture."""
    if not isinstance(photograph, Image.Image):
        text = f"photo: got {str(photograph)!r}; allowed is a picture, such as a JPEG"
        damaged = "this is none, or it is damaged"
        try:
            content = contents(photograph)
            damaged = _told_by_signature(content) or damaged
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore", Image.DecompressionBombWarning
                )  # some phones take 108 megapixels
                photograph = _upright(Image.open(BytesIO(content)))
        except OSError as error:
            raise InputError(f"{text} ({error.strerror or damaged})") from error
        except Image.DecompressionBombError as error:
            most = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6
            raise InputError(
                f"{text} of at most {most} megapixels (this one has more: make it smaller)"
            ) from error
        except (ValueError, SyntaxError, EOFError, struct.error) as error:
            raise InputError(f"{text} ({damaged})") from error
    return _upright(photograph)


def _told_by_signature(content):
    """Return in words what the first bytes of a file say of a format that Pillow does not read; "" for any other."""
    if content[:5] == b"%PDF-":
        return "this is a PDF: photograph its printed page"
    if content[4:8] != b"ftyp":
        return ""
    if content[8:12] in _HEIC:
        return (
            "this is HEIC, an iPhone's format: export it as JPEG, or set Camera, Formats to Most Compatible"
        )
    return "this is a film or another format of that kind: take a photograph, and save it as JPEG"


def _upright(picture):
    """Return a picture in colour, with 8 bits for each, turned as its EXIF data say."""
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I;16"):  # Pillow would clip what exceeds 8 bits
        picture = Image.fromarray(np.uint8(np.asarray(picture) >> 8))
    return picture.convert("RGB")


def _reduced(picture):
    """Return a picture, reduced to `LONGEST` if it is larger, and the factor by which it was reduced."""
    reduced = min(1.0, LONGEST / max(picture.size))
    if reduced == 1:
        return picture, 1.0
    size = tuple(max(1, round(reduced * side)) for side in picture.size)
    return picture.resize(size, Image.Resampling.BOX), reduced


def _chosen(found: list[Marker]) -> Mapping[int, Marker]:
    """Return the four markers by number, or say what is wrong with those that were found."""
    numbers = [marker.number for marker in found]
    if not found:
        raise InputError(
            f"photo: shows none of the sheet's markers, or too small, blurred or mirrored. {_AGAIN}."
        )
    if len(set(numbers)) < len(numbers):
        raise InputError(f"photo: shows two sheets, or a marker twice. {_AGAIN}, of one sheet alone.")
    missing = [_CORNERS[number] for number in range(4) if number not in numbers]
    if missing:
        raise InputError(
            f"photo: lacks the marker at the sheet's {' and '.join(missing)}: cut off, covered, or blurred. {_AGAIN}."
        )
    return {marker.number: marker for marker in found}


def _fitted(chosen):
    """Return the homography from millimetres to pixels that fits the sixteen corners best."""
    seen = np.concatenate([chosen[number].corners for number in range(4)])
    places = sheets.marker_corners().reshape(-1, 2)
    to_photograph = homography(places, seen)
    error = np.linalg.norm(transformed(to_photograph, places) - seen, axis=1).max()
    if error > _BENT * np.linalg.norm(seen[0] - seen[10]):
        raise InputError(f"photo: shows a sheet that is not flat, or parts of several. {_AGAIN}.")
    return to_photograph


def _by_hand(corners, reduced, size):
    """Return the homography for the outer corners of the markers, given in pixels of the photograph before it was reduced."""
    corners = np.asarray(corners, dtype=float)
    if corners.shape != (4, 2):
        raise InputError(f"corners: got shape {corners.shape}; allowed is (4, 2), x and y of four points")
    if not np.isfinite(corners).all():
        raise InputError("corners: got NaN or infinite coordinates; allowed are finite ones, in pixels")
    corners = corners * reduced
    if (corners < 0).any() or (corners > size).any():
        raise InputError("corners: got a point outside the photograph; allowed are points in it")
    outer = sheets.marker_corners()[np.arange(4), np.arange(4)]
    edges = np.roll(corners, -1, 0) - corners
    turns = edges[:, 0] * np.roll(edges[:, 1], -1) - edges[:, 1] * np.roll(edges[:, 0], -1)
    if not (turns > 0).all():
        raise InputError(
            "corners: got points in another order; allowed are the sheet's top left, top right, bottom right, bottom left"
        )
    return homography(outer, corners)


def _check_size(to_photograph):
    """Raise `InputError` if an image of the sheet has too few pixels in the photograph."""
    boxes = np.array([sheets.cell_corner(n) + sheets.CELL * markers.SQUARE for n in range(30)])
    seen = transformed(to_photograph, boxes.reshape(-1, 2)).reshape(boxes.shape)
    side = np.linalg.norm(seen - np.roll(seen, 1, 1), axis=2).min()
    if side < 24:
        raise InputError(
            f"photo: is too small: an image on the sheet has {side:.0f} pixels; allowed are at least 24. Come closer."
        )


def _check_sharpness(found):
    """Raise `InputError` if a marker's edges are blurred."""
    blur = max((marker.blur for marker in found), default=0)
    if blur > BLURRED:
        raise InputError(
            f"photo: is blurred: edges are {blur:.2f} modules of a marker wide; allowed is {BLURRED:g}. {_AGAIN}."
        )


def _check_code(grey, to_photograph, sheet):
    """Raise `InputError` unless the code under the images is that of the sheet."""
    steps = (np.arange(sheets.CODE_BITS)[:, None] + np.linspace(0.3, 0.7, 5)).ravel()
    heights = np.linspace(0.3, 0.7, 5)
    points = np.array(sheets.CODE) + sheets.CODE_CELL * np.stack(np.meshgrid(steps, heights), -1).reshape(
        -1, 2
    )
    light = _sample(grey[..., None], transformed(to_photograph, points)).reshape(5, sheets.CODE_BITS, 5)
    light = light.mean((0, 2))
    found = sheets.code_id(light > (light.min() + light.max()) / 2)
    if found is None:
        raise InputError(
            f"photo: the sheet's code, under its images, cannot be read: blurred, covered, or wrong corners. {_AGAIN}."
        )
    if found != sheet.id:
        raise InputError(
            f"photo: shows sheet {found.upper()}; allowed is sheet {sheet.id.upper()}, which the JSON file describes"
        )


def _cut(light, to_photograph, sheet):
    """Return the images (30, C, H, W): the mean of the photograph over each of their pixels."""
    channels, height, width = sheet.shape
    scale = np.sqrt(abs(np.linalg.det(to_photograph[:2, :2])))  # pixels of the photograph per millimetre
    points = int(np.clip(np.ceil(scale * sheets.CELL / max(height, width)), 3, 12))  # for each pixel and axis
    across, down = ((np.arange(side * points) + 0.5) / (side * points) for side in (width, height))
    grid = sheets.CELL * np.stack(np.meshgrid(across, down), -1).reshape(-1, 2)
    images = []
    for number in range(len(sheet.cells)):
        seen = _sample(light, transformed(to_photograph, grid + sheets.cell_corner(number)))
        images.append(seen.reshape(height, points, width, points, 3).mean((1, 3)))
    cut = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float()
    if channels == 1:
        cut = (cut * torch.tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
    return cut.clamp(0, 1).contiguous()


def _sample(light, points):
    """Return the light (H, W, C) at points (K, 2), x and y in pixels, bilinearly, (K, C)."""
    height, width = light.shape[:2]
    x, y = (np.clip(points[:, k] - 0.5, 0, side - 1.001) for k, side in enumerate((width, height)))
    left, top = x.astype(int), y.astype(int)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    x, y = (x - left)[:, None].astype(light.dtype), (y - top)[:, None].astype(light.dtype)
    above = light[top, left] * (1 - x) + light[top, right] * x
    below = light[bottom, left] * (1 - x) + light[bottom, right] * x
    return above * (1 - y) + below * y
