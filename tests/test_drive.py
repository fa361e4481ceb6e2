"""The drive past a sign, driven as a user drives it: by setting the value of a control."""

import io
from html import unescape

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from advcourse.cases.driveby import RoadTable, drive_by
from advcourse.core.inputs import InputError
from advcourse.course.drive import drive_by_explorer

DISTANCES, ANGLES = (5.0, 10.0, 40.0), (0.0, 30.0)
HITS = torch.tensor([[8, 0], [4, 2], [0, 6]])


class Redness(nn.Module):
    """Sixteen classes: the first one wins where the middle of the photograph is red, the third one where it is not."""

    def forward(self, x):
        middle = x[:, :, 12:20, 12:20].mean((2, 3))
        red = 20 * (middle[:, 0] - middle[:, 2] - 0.1)
        logits = x.new_full((len(x), 16), -9.0)
        return torch.cat([red[:, None], logits[:, 1:2], -red[:, None], logits[:, 3:]], 1)


def plate(red):
    """A plate of one colour, red or blue."""
    colours = torch.tensor([red, 0.1, 1 - red])[:, None, None].expand(3, 64, 64)
    return torch.cat([colours, torch.ones(1, 64, 64)])


@pytest.fixture
def plates():
    return {"red <plate>": plate(0.9), "blue plate": plate(0.1)}


@pytest.fixture
def tables(plates):
    return {name: RoadTable(DISTANCES, ANGLES, HITS if i else 8 - HITS, 8) for i, name in enumerate(plates)}


@pytest.fixture
def explorer(plates, tables):
    return drive_by_explorer(Redness(), plates, tables, "no entry")


def text(explorer):
    return unescape(explorer.message.value)


def picture(explorer):
    return np.asarray(Image.open(io.BytesIO(explorer.picture.value)).convert("RGB")).astype(int)


def test_the_plate_decides_what_is_read(explorer):
    """Checks against the network's own rule: a red middle is "stop", its first class, a blue one "no entry", its third."""
    assert "red <plate>" in text(explorer) and "reads “stop”" in text(explorer)
    explorer.plate.value = "blue plate"
    assert "blue plate" in text(explorer) and "reads “no entry”" in text(explorer)


def test_it_shows_one_photograph_from_where_one_stands(explorer, plates):
    """Checks the photograph and its labels against one taken from the same place outside the explorer."""
    explorer.distance.value, explorer.angle.value, explorer.scene.value = 12.5, -20.0, 3
    expected = drive_by(Redness(), plates["red <plate>"], 12.5, -20.0, 3)
    assert torch.equal(explorer.glimpse.crop, expected.crop)
    assert explorer.glimpse.labels == expected.labels and len(expected.labels) == 3
    assert "from 12.5 m, 20 degrees from the left" in text(explorer)
    explorer.angle.value = 0
    assert "from the front" in text(explorer)


def test_the_controls_span_the_table(explorer):
    """Checks the ends of the sliders against the table's: both sides of the sign, and no place outside."""
    assert (explorer.distance.min, explorer.distance.max) == (5, 40)
    assert (explorer.angle.min, explorer.angle.max) == (-30, 30)


def test_the_dot_stands_between_the_rows(explorer):
    """Checks the dot by hand: 7.5 m is half way from the first row to the second, 15 degrees half way across, on both sides."""
    for angle in (15.0, -15.0):
        explorer.distance.value, explorer.angle.value = 7.5, angle
        x, y = (float(values[0]) for values in explorer._dot.get_data())
        assert (x, y) == (0.5, 0.5)


def test_the_table_is_that_of_the_plate(explorer):
    """Checks the numbers shown against the counts: of 8 photographs."""
    explorer.plate.value = "blue plate"
    shown = [[cell.get_text() for cell in row] for row in explorer._numbers]
    assert shown == [["100 %", "0 %"], ["50 %", "25 %"], ["0 %", "75 %"]]


def test_the_picture_follows_the_car(explorer):
    """Checks that each control changes the picture, and that the way back leads to the same one."""
    before = picture(explorer)
    for control, value in (("distance", 20.0), ("angle", 25.0), ("scene", 5), ("plate", "blue plate")):
        old = getattr(explorer, control).value
        getattr(explorer, control).value = value
        assert np.abs(picture(explorer) - before).max() > 30, control
        getattr(explorer, control).value = old
        assert np.array_equal(picture(explorer), before)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda tables: tables.pop("blue plate"), "one for each plate"),
        (
            lambda tables: tables.update({"blue plate": RoadTable((1.0,), ANGLES, HITS[:1], 8)}),
            "other places",
        ),
        (
            lambda tables: tables.update(
                {name: RoadTable(DISTANCES[::-1], ANGLES, HITS, 8) for name in tables}
            ),
            "rising",
        ),
    ],
)
def test_tables_that_do_not_fit_are_told(plates, tables, change, told):
    """Checks the message for a missing table, one from other places, and one whose rows fall."""
    change(tables)
    with pytest.raises(InputError, match=told):
        drive_by_explorer(Redness(), plates, tables, "no entry")
