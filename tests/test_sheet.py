"""Printed sheets and photographs of them: the published bits of the markers, known views, and everything that can go wrong."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from amounts import LONG
from PIL import Image, ImageFilter
from typer.testing import CliRunner

from advcourse import models
from advcourse.cases import markers, reading
from advcourse.cases import sheet as sheets
from advcourse.cases.desk import Desk
from advcourse.cases.geometry import homography, transformed
from advcourse.cli import app
from advcourse.core.inputs import InputError, predict

OUTER = sheets.marker_corners()[np.arange(4), np.arange(4)]


@pytest.fixture(scope="module")
def made():
    """A sheet of signs, its images and its first page."""
    sheet, images = sheets.compose("signs-phone", "FGSM", seed=1)
    return sheet, images, sheets.draw(sheet, images)[0]


@pytest.fixture(scope="module")
def photograph(made):
    """A photograph of it, tilted by 25 and turned by 20 degrees, and where the outer corners of the markers are."""
    return Desk(tilt=25, turn=20, seed=3).photograph(made[2], OUTER / sheets.PAGE)


def right(result, treatment):
    """The share of the cells with this treatment that were read rightly."""
    pairs = zip(result.sheet.cells, result.answers, strict=True)
    return np.mean([answer == cell.label for cell, answer in pairs if cell.treatment == treatment])


def grey(picture):
    return np.asarray(picture.convert("RGB"), dtype=np.float32).mean(2) / 255


# The markers


def test_markers_are_the_dictionarys():
    """The 4 x 4 dictionary's first four entries, as published: 0xB532, 0x0F9A, 0x332D, 0x9946, row by row, 1 for white."""
    words = [int("".join(map(str, bits.ravel())), 2) for bits in markers.BITS]
    assert words == [0xB532, 0x0F9A, 0x332D, 0x9946]
    assert markers.pattern(0).tolist()[1] == [0, 1, 0, 1, 1, 0] and markers.pattern(2).shape == (6, 6)
    assert markers.pattern(3).sum() == markers.BITS[3].sum()  # a black border


def test_markers_cannot_be_taken_for_one_another():
    """At least three of 16 bits differ between any two, however they are turned; so a wrong bit does no harm."""
    turned = [np.rot90(bits, k) for bits in markers.BITS for k in range(4)]
    for number, bits in enumerate(markers.BITS):
        differences = [(bits != other).sum() for k, other in enumerate(turned) if k != 4 * number]
        assert min(differences) >= 3


@pytest.mark.parametrize("turn", [0, 1, 2, 3])
def test_a_marker_is_found_where_it_is(turn):
    """Drawn by Pillow at a known place and turned by quarters: the corners to half a pixel, from the marker's own top left."""
    page = Image.new("L", (400, 300), 240)
    square = Image.fromarray(np.uint8(240 * markers.pattern(2) + 10)).resize((90, 90), 0).rotate(90 * turn)
    page.paste(square, (200, 120))
    [marker] = markers.find(np.asarray(page.filter(ImageFilter.GaussianBlur(1.2)), dtype=float) / 255)
    corners = np.roll([[200, 120], [290, 120], [290, 210], [200, 210]], turn, axis=0)
    assert marker.number == 2 and np.abs(marker.corners - corners).max() < 0.5
    assert marker.blur == pytest.approx(1.2 / 15, abs=0.04)  # a module has 15 pixels


def test_no_marker_where_there_is_none():
    """Noise, a blank page, and squares without bits."""
    rng = np.random.default_rng(0)
    squares = np.ones((300, 300))
    squares[100:200, 100:200] = 0
    for picture in (rng.random((200, 300)), np.ones((100, 100)), np.zeros((50, 50)), squares):
        assert markers.find(picture) == []


# The sheet


def test_what_is_on_the_sheet(made):
    """Ten images three times: all clean ones are read rightly, noise and attack stay within 16/255 of them."""
    sheet, images, page = made
    kinds = [cell.treatment for cell in sheet.cells]
    assert kinds == (["clean"] * 5 + ["noise"] * 5 + ["FGSM"] * 5) * 2
    assert all(cell.label == cell.on_screen for cell in sheet.cells if cell.treatment == "clean")
    assert [cell.on_screen for cell in sheet.cells] == predict(models.load("signs-phone"), images).argmax(
        1
    ).tolist()
    for block in images.split(15):
        assert (block[5:] - block[:5].repeat(2, 1, 1, 1)).abs().max() <= 16 / 255 + 1e-6
    assert page.size == (2480, 3508)
    again, same = sheets.compose("signs-phone", "FGSM", seed=1)
    assert again == sheet and torch.equal(same, images)
    assert sheets.compose("signs-phone", "FGSM", seed=2)[0].id != sheet.id


def test_nothing_overlaps():
    """The boxes of markers, images and code, in millimetres: all on the page, with white between any two."""
    boxes = [(x, y, x + 22, y + 22) for x, y in sheets.MARKERS]
    boxes += [(x, y, x + 30, y + 30) for x, y in map(sheets.cell_corner, range(30))]
    boxes.append((*sheets.CODE, sheets.CODE[0] + 26 * 4.5, sheets.CODE[1] + 4.5))
    for k, (left, top, to_right, bottom) in enumerate(boxes):
        assert left >= 6 and top >= 6 and to_right <= 204 and bottom <= 291
        for other in boxes[:k]:
            apart = max(left - other[2], other[0] - to_right, top - other[3], other[1] - bottom)
            assert apart >= 22 / 6  # a module of a marker


def test_pixels_are_printed_as_blocks(made):
    """The page's pixels at the middle of some blocks against the images'."""
    sheet, images, page = made
    pixels = np.asarray(page)
    for number, row, column in ((0, 0, 0), (7, 13, 30), (29, 31, 31)):
        x, y = sheets.cell_corner(number)
        place = [round((start + 30 * (k + 0.5) / 32) * 300 / 25.4) for start, k in ((y, row), (x, column))]
        assert pixels[place[0], place[1]].tolist() == images[number, :, row, column].mul(255).round().tolist()


def test_files(made, tmp_path):
    """A PDF of two pages of A4, by its own text, and a JSON file that describes the same sheet."""
    sheet, images, _ = made
    beside = sheets.write(tmp_path / "a.pdf", sheet, images)
    text = (tmp_path / "a.pdf").read_bytes()
    assert text.startswith(b"%PDF") and b"/Count 2" in text
    for box in re.findall(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", text):
        assert [float(side) / 72 * 25.4 for side in box] == pytest.approx([210, 297], abs=0.1)
    assert sheets.load(beside) == sheet
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "a.pdf"]


def test_a_failure_leaves_no_half_a_sheet(made, tmp_path, monkeypatch):
    """The writer of the PDF fails after some bytes: neither file is there."""

    def fail(self, file, *_, **__):
        file.write_bytes(b"%PDF half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="No space"):
        sheets.write(tmp_path / "a.pdf", made[0], made[1])
    assert list(tmp_path.iterdir()) == []


def test_code_and_checksum():
    """The code's squares give the id back; any single wrong square is noticed."""
    bits = sheets.code_bits("2ac4")
    assert sheets.code_id(bits) == "2ac4" and len(bits) == 26
    for k in range(26):
        wrong = bits.copy()
        wrong[k] = 1 - wrong[k]
        assert sheets.code_id(wrong) != "2ac4"


# Photographs


def test_photographs_known_points(made):
    """A homography of the four corners tells where other points of the simulated view are, without a lens."""
    inner = np.array([[0.3, 0.2], [0.5, 0.5], [0.9, 0.7]])
    _, seen = Desk(tilt=40, lens=0, size=400).photograph(
        made[2], np.concatenate([OUTER / sheets.PAGE, inner])
    )
    assert np.allclose(transformed(homography(OUTER / sheets.PAGE, seen[:4]), inner), seen[4:], atol=1e-6)
    assert (seen > 0).all() and (seen < [300, 400]).all()


def test_a_photograph_is_read(made, photograph):
    """What was printed: each image that is cut out is most like its own, and nearly all clean ones are read rightly."""
    sheet, images, _ = made
    result = reading.read(photograph[0], sheet)
    assert right(result, "clean") >= 0.8 and right(result, "noise") >= 0.6
    assert np.abs(transformed(result.to_photograph, OUTER) - photograph[1]).max() < 2.5
    clean = [number for number, cell in enumerate(sheet.cells) if cell.treatment == "clean"]
    alike = np.corrcoef(images[clean].flatten(1), result.images[clean].flatten(1))[:10, 10:]
    assert (alike.argmax(0) == np.arange(10)).all()
    assert result.images.shape == images.shape
    assert list(result.summary().index) == ["clean", "noise", "FGSM"] and len(result.table()) == 30
    assert result.summary()["destroyed"]["clean"] == "n/a (none measured)"


def test_a_turned_photograph_is_read_alike(made, photograph):
    """The photograph turned by quarters shows the same images: the markers tell what is up."""
    expected = reading.read(photograph[0], made[0]).images
    for turn in (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180):
        seen = reading.read(photograph[0].transpose(turn), made[0])
        assert (seen.images - expected).abs().mean() < 0.01


def test_corners_by_hand(made, photograph):
    """With the true corners the images are nearly the same as with those that are found."""
    sheet, picture, corners = made[0], *photograph
    by_hand = reading.read(picture, sheet, corners=corners)
    assert (by_hand.images - reading.read(picture, sheet).images).abs().mean() < 0.05
    assert right(by_hand, "clean") >= 0.8


def test_the_camera_that_looks_straight_down(made, photograph):
    """The rectified photograph has the sheet's markers where the sheet has them, to a millimetre."""
    result = reading.read(photograph[0], made[0])
    found = markers.find(grey(reading.rectified(result, dots=4)))
    assert sorted(marker.number for marker in found) == [0, 1, 2, 3]
    for marker in found:
        assert np.abs(marker.corners / 4 - sheets.marker_corners()[marker.number]).max() < 1
    assert result.framed().size == photograph[0].size


@pytest.mark.long
def test_photographs_from_all_sides(made):
    """Sheets at tilts of 0 to 55 degrees, turned anyhow: at most 2 of 30 are missed, and nine of ten clean cells are right."""
    sheet, _, page = made
    results, tried = [], range(0, 30, 1 if LONG else 7)
    for k in tried:
        rng = np.random.default_rng(k)
        turn, lens, blur = rng.uniform(-180, 180), rng.uniform(-0.03, 0.03), rng.uniform(0.5, 1.2)
        desk = Desk(55 * k / 29, turn, lens, blur, quality=int(rng.integers(75, 95)), seed=k)
        try:
            results.append(reading.read(desk.photograph(page, OUTER / sheets.PAGE)[0], sheet))
        except InputError:
            continue
    assert len(tried) - len(results) <= len(tried) // 15
    assert np.mean([right(result, "clean") for result in results]) >= 0.9


def test_digits_go_through_it_too():
    """A sheet of grey images: nearly all clean digits are read, after the average of red, green and blue."""
    sheet, images = sheets.compose("mnist-cnn", "PGD")
    picture, _ = Desk(tilt=15, seed=1).photograph(sheets.draw(sheet, images)[0], OUTER / sheets.PAGE)
    result = reading.read(picture, sheet)
    assert result.images.shape == (30, 1, 28, 28) and right(result, "clean") >= 0.8


# What can go wrong


def covered(picture, corners, number):
    """The photograph with a white paper on one marker."""
    picture = picture.copy()
    x, y = corners[number] + 0.06 * (corners.mean(0) - corners[number])
    size = round(0.13 * np.linalg.norm(corners[0] - corners[1]))
    picture.paste((230, 230, 230), (int(x) - size, int(y) - size, int(x) + size, int(y) + size))
    return picture


def twice(picture):
    both = Image.new("RGB", (2 * picture.width, picture.height))
    both.paste(picture, (0, 0))
    both.paste(picture, (picture.width, 0))
    return both


FAULTS = {
    "a marker is covered": (
        lambda p, c: covered(p, c, 2),
        "lacks the marker at the sheet's bottom right: cut off",
    ),
    "half the page": (lambda p, c: p.crop((0, 0, p.width, p.height // 2)), "lacks the marker at the sheet's"),
    "two sheets": (lambda p, c: twice(p), "shows two sheets, or a marker twice"),
    "nothing": (
        lambda p, c: Image.new("RGB", (800, 600), (90, 120, 60)),
        "shows none of the sheet's markers",
    ),
    "blurred": (lambda p, c: p.filter(ImageFilter.GaussianBlur(6)), "is blurred"),
    "very blurred": (
        lambda p, c: p.filter(ImageFilter.GaussianBlur(40)),
        "shows none of the sheet's markers",
    ),
    "tiny": (lambda p, c: p.resize((p.width // 5, p.height // 5), Image.Resampling.BOX), "too small"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_photograph_is_refused_in_words(fault, made, photograph):
    """One sentence says what is wrong with it."""
    change, words = FAULTS[fault]
    with pytest.raises(InputError, match="^photo: ") as error:
        reading.read(change(*photograph), made[0])
    assert words in str(error.value)


def test_a_bent_sheet_is_refused(made):
    """One marker is printed 12 mm from its place: no flat sheet looks like that. The page as it is, is read."""
    dots = 6
    page = made[2].resize(tuple(round(dots * side) for side in sheets.PAGE))
    assert right(reading.read(page, made[0]), "clean") == 1
    x, y = (round(dots * start) - 18 for start in sheets.MARKERS[2])
    part = page.crop((x, y, x + 168, y + 168))
    page.paste("white", (x, y, x + 168, y + 168))
    page.paste(part, (x - 12 * dots, y - 12 * dots))
    with pytest.raises(InputError, match="shows a sheet that is not flat"):
        reading.read(page, made[0])


def test_another_sheet_is_refused(made, photograph):
    """The JSON file of another run: both ids are told."""
    with pytest.raises(InputError, match=f"shows sheet {made[0].id.upper()}; allowed is sheet 0F0F"):
        reading.read(photograph[0], replace(made[0], id="0f0f"))


@pytest.mark.parametrize(
    "corners, words",
    [
        ([[1, 2], [3, 4]], "got shape (2, 2)"),
        ([[0, 0], [9e5, 0], [9e5, 9e5], [0, 9e5]], "outside the photograph"),
        ([[10, 10], [10, 500], [500, 500], [500, 10]], "in another order"),
        ([[10, 10], [300, 10], [300, 500], [10, 500]], "code, under its images, cannot be read"),
        ([[10, 10], [20, 10], [20, 20], [10, 20]], "too small"),
    ],
)
def test_bad_corners_are_refused_in_words(corners, words, made, photograph):
    """Too few, outside, anticlockwise, at the wrong places, and too near to one another."""
    with pytest.raises(InputError) as error:
        reading.read(photograph[0], made[0], corners=np.array(corners))
    assert words in str(error.value)


def changed(sheet, **fields):
    return json.dumps(json.loads(sheet.as_json()) | fields)


@pytest.mark.parametrize(
    "text, words",
    [
        (lambda s: "no json", "this is not JSON"),
        (lambda s: "[" * 100000, "this is not JSON"),
        (lambda s: "[1, 2]", "another file"),
        (lambda s: "{}", "another file"),
        (lambda s: changed(s, format="advcourse printed sheet 2"), "another file"),
        (lambda s: changed(s, id="xyz!"), "another file"),
        (lambda s: changed(s, model="../../secret"), "another file"),
        (lambda s: changed(s, cells=[]), "another file"),
        (
            lambda s: changed(s, cells=[{"label": 99, "treatment": "clean", "on_screen": 0}] * 30),
            "another file",
        ),
        (lambda s: changed(s, shape=[3, 10**9, 32]), "another file"),
        (lambda s: changed(s, more=1), "another file"),
    ],
)
def test_another_json_file_is_refused(text, words, made, tmp_path):
    """Files that are not JSON, not of this kind, or were changed."""
    path = tmp_path / "sheet.json"
    path.write_text(text(made[0]))
    with pytest.raises(InputError, match="^sheet: got ") as error:
        sheets.load(path)
    assert words in str(error.value)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: sheets.compose("signs-net"), ["model", "signs-net", "signs-cnn"]),
        (lambda: sheets.compose("signs-cnn", "CWL2"), ["attack", "CWL2", "EOT-PGD"]),
        (lambda: sheets.compose("signs-cnn", eps=0), ["eps", "0", "> 0"]),
        (lambda: sheets.compose("signs-cnn", seed=-1), ["seed", "-1"]),
        (lambda: Desk(tilt=80), ["tilt", "80", "<= 70"]),
        (lambda: Desk(quality=0), ["quality", "0", ">= 1"]),
    ],
)
def test_bad_input(call, words):
    """Checks that the message names the argument, what was given and what is allowed."""
    with pytest.raises(InputError) as error:
        call()
    assert all(word in str(error.value) for word in words)


# The commands


def test_commands_print_and_read(tmp_path, monkeypatch, made, photograph):
    """From the command to the table, with the sheet that was photographed: it follows from model, attack and seed."""
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["print", "s.pdf", "--attack", "FGSM", "--seed", "1"])
    assert done.exit_code == 0 and f"Sheet {made[0].id.upper()}: s.pdf" in done.output
    assert "Never put any of it on a real road sign" in done.output
    photograph[0].convert("RGB").save("photo.jpg", quality=95)
    done = CliRunner().invoke(app, ["read", "photo.jpg", "--sheet", "s.json", "--out", "framed.png"])
    assert done.exit_code == 0 and "in the photograph" in done.output and "destroyed" in done.output
    assert Image.open("framed.png").size == photograph[0].size
    by_hand = [f"{x:.1f},{y:.1f}" for x, y in photograph[1]]
    done = CliRunner().invoke(app, ["read", "photo.jpg", "--sheet", "s.json", "--corners", *by_hand])
    assert done.exit_code == 0 and "clean" in done.output
