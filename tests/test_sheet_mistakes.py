"""What a hurried hand does to a sheet and its photograph: files in the way, other formats, JSON files that were changed."""

import json
import warnings

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from advcourse.cases import markers, reading
from advcourse.cases import sheet as sheets
from advcourse.cli import app
from advcourse.core.inputs import InputError


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The fields of a sheet's JSON file, and the sheet's first page."""
    sheet, images = sheets.compose("signs-phone", "FGSM")
    return json.loads(sheet.as_json()), sheets.draw(sheet, images)[0]


@pytest.mark.parametrize(
    "changed",
    [
        {"id": "ABCD"},
        {"id": "ab cd"},
        {"classes": [f"class {number}" for number in range(14)]},
        {"classes": [""] * 16},
        {"classes": ["stop\x1b[31m\n"] * 16},
        {"shape": [3, 1, 1]},
        {"shape": [1, 512, 512]},
        {"model": "photo-net"},
        {"attack": "PGD\n\x1b[2J"},
        {"attack": "x" * 10**6},
    ],
)
def test_a_json_file_that_disagrees_with_its_model_is_refused(changed, written, tmp_path):
    """What follows from the model, and what is shown, is as `compose` writes it; the unchanged file is read."""
    path = tmp_path / "sheet.json"
    path.write_text(json.dumps(written[0]), encoding="utf-8")
    sheets.load(path)
    path.write_text(json.dumps(written[0] | changed), encoding="utf-8")
    with pytest.raises(InputError, match="another file, or it was changed"):
        sheets.load(path)


def test_printing_leaves_a_json_file_that_is_not_a_sheets(tmp_path):
    """The name of the JSON file is not given by hand, so what bears it already is not overwritten."""
    (tmp_path / "data.json").write_text('{"mine": 1}', encoding="utf-8")
    with pytest.raises(InputError, match="not a sheet's"):
        sheets.check_path(tmp_path / "data.pdf")
    assert (tmp_path / "data.json").read_text(encoding="utf-8") == '{"mine": 1}'


def test_a_sheet_may_be_printed_again(written, tmp_path):
    """A JSON file of an earlier sheet gives way."""
    (tmp_path / "sheet.json").write_text(json.dumps(written[0]), encoding="utf-8")
    assert sheets.check_path(tmp_path / "sheet.pdf")[1] == tmp_path / "sheet.json"


@pytest.mark.parametrize("name", ["photo.jpg", "link.jpg"])
def test_the_photograph_is_not_overwritten(name, tmp_path, monkeypatch):
    """A photograph cannot be taken twice: `--out` does not replace it, nor by another name."""
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (60, 60)).save("photo.jpg")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "photo.jpg")
    before = (tmp_path / "photo.jpg").read_bytes()
    told = CliRunner().invoke(app, ["read", "photo.jpg", "--out", name])
    assert isinstance(told.exception, InputError)
    assert "the photograph itself" in str(told.exception)
    assert (tmp_path / "photo.jpg").read_bytes() == before


def test_only_models_whose_images_are_there_can_be_printed():
    """A model without a data set is not offered, and the message says which are."""
    with pytest.raises(InputError, match=r"model: got 'photo-net'; allowed are .*'signs-phone'"):
        sheets.compose("photo-net")


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_are_read_as_eight(suffix, tmp_path):
    """A picture of 16 bits shows the brightness k * 257 as the same picture of 8 bits shows k."""
    eight = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(eight.astype(np.uint16) * 257).save(tmp_path / f"grey{suffix}")
    seen = np.asarray(reading.opened(tmp_path / f"grey{suffix}"))
    assert (seen == eight[..., None]).all()


def test_many_pixels_are_told_as_such(tmp_path, monkeypatch):
    """A picture of more pixels than Pillow reads is not called damaged; one of half of that is read without a warning."""
    Image.new("1", (100, 100)).save(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 6000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert reading.opened(tmp_path / "large.png").size == (100, 100)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4000)
    with pytest.raises(InputError, match="megapixels .*make it smaller"):
        reading.opened(tmp_path / "large.png")


def test_damaged_exif_data_are_told(tmp_path):
    """A picture whose EXIF data have no valid header gives one error in words, not Pillow's own."""
    Image.new("RGB", (20, 20)).save(tmp_path / "photo.webp", exif=b"Exif\0\0MM\x80\0*\0\0\0\x08")
    with pytest.raises(InputError, match="damaged"):
        reading.opened(tmp_path / "photo.webp")


def test_a_corner_that_is_no_number_is_called_so(written):
    """NaN is not called a wrong shape."""
    corners = np.array([[0, 0], [np.nan, 0], [9, 9], [0, 9]])
    with pytest.raises(InputError, match="NaN or infinite"):
        reading._by_hand(corners, 1.0, (10, 10))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\0\0\0\x24ftypheic\0\0\0\0mif1heic" + bytes(500), "HEIC, an iPhone's format: export it as JPEG"),
        (b"\0\0\0\x24ftypmif1\0\0\0\0mif1heic" + bytes(500), "HEIC"),
        (b"\0\0\0\x20ftypisom" + bytes(500), "film"),
        (b"%PDF-1.7\n", "PDF"),
    ],
)
def test_a_format_of_another_kind_is_named(content, message, tmp_path):
    """By the files' first bytes as ISO 14496-12, annex B of 23008-12 and 32000-1 define them: none of them is called damaged."""
    (tmp_path / "photo.jpg").write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        reading.opened(tmp_path / "photo.jpg")
    assert "damaged" not in str(caught.value)


def test_a_checkerboard_does_not_hold_the_finder_up(monkeypatch):
    """By counting how many of its 5 800 squares are looked at, in each of three windows."""
    looked = []
    monkeypatch.setattr(markers, "_corners", lambda region: looked.append(region.shape))
    board = (np.indices((1500, 2000)) // 16).sum(0) % 2
    assert markers.find(board) == []
    assert 3 <= len(looked) <= 1500 and min(map(min, looked)) >= 14
