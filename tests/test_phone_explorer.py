"""The explorer of chapter 08 and its figures, against the camera and the pictures' own pixels."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from advcourse import data, models, plots
from advcourse.cases.camera import Phone
from advcourse.cases.printer import printed
from advcourse.core.inputs import InputError, predict
from advcourse.core.rounding import percent
from advcourse.course.phone_explorer import phone_explorer

ROAD = data.load("signs")
X, Y = ROAD.images[:3], ROAD.labels[:3]
NET = models.load("signs-phone")


@pytest.fixture
def explorer():
    """Three signs, clean and black."""
    return phone_explorer(NET, {"clean": X, "black": 0 * X}, Y, ROAD.classes, strength=0.5)


def test_answers_are_those_of_the_cameras_photographs(explorer):
    """Against the phone and the network outside the explorer, for each control."""
    explorer.index.value, explorer.strength.value, explorer.shot.value = 2, 1.25, 7
    for name, images in (("clean", X), ("black", 0 * X)):
        explorer.version.value = name
        pair = torch.cat([images[2:], Phone(1.25, seed=7)(images[2:])])
        torch.testing.assert_close(explorer.logits, predict(NET, pair), rtol=0, atol=1e-4)
        shares, order = explorer.logits[1].double().softmax(0).sort(descending=True)
        words = "; ".join(
            f"{ROAD.classes[k]}, {percent(s)}" for s, k in zip(shares[:3], order[:3], strict=True)
        )
        assert words in explorer.message.value and "at carelessness 1.25" in explorer.message.value


def test_the_picture_changes_with_every_control(explorer):
    """By the bytes of the picture."""
    seen = [explorer.picture.value]
    for control, value in (("strength", 1.5), ("shot", 3), ("index", 1), ("version", "black")):
        getattr(explorer, control).value = value
        seen.append(explorer.picture.value)
    assert len(set(seen)) == 5


def test_a_frame_marks_what_is_misread(explorer):
    """By the frame's colour in the PNG: black squares are misread, on the screen and on paper; a clean sign is not."""
    orange = tuple(bytes.fromhex(plots.FOOLED[1:]))

    def framed():
        return (np.asarray(Image.open(io.BytesIO(explorer.picture.value)))[..., :3] == orange).all(-1).any()

    assert not framed()
    wrong = int((predict(NET, 0 * X).argmax(1) != Y).nonzero()[0])
    explorer.index.value, explorer.version.value = wrong, "black"
    assert framed()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"versions": {}}, "versions: got"),
        ({"versions": {"a": X, "b": X[:2]}}, "versions: got"),
        ({"labels": Y[:2]}, "got"),
        ({"index": 3}, "index: got 3"),
        ({"strength": 2.5}, "strength: got 2.5"),
    ],
)
def test_bad_settings(given, words):
    """Each wrong argument raises an error that names what was given."""
    settings = {"versions": {"clean": X}, "labels": Y, "classes": ROAD.classes} | given
    with pytest.raises(InputError, match=words):
        phone_explorer(NET, **settings)


def test_stages_lead_from_the_ink_to_the_photograph():
    """The last stage is the photograph itself; the first, where the corners are found, is the printer's image in blocks."""
    for camera, x in ((Phone(seed=4), X[:1]), (Phone(seed=4), data.load("mnist-5k").images[:1])):
        stages = camera.stages(x, place=5)
        assert list(stages) == ["ink", "light", "lens", "noise", "tone curve", "file"]
        assert torch.equal(stages["file"], camera.photograph(x, places=[5]))
        assert (
            stages["ink"].shape == (1, 3, 4 * x.shape[2], 4 * x.shape[3]) and stages["lens"].shape == x.shape
        )
    blocks = printed(X[:1]).repeat_interleave(4, 2).repeat_interleave(4, 3)
    ink = Phone(seed=4).stages(X[:1])["ink"]
    around = [blocks.roll((dy, dx), (2, 3)) for dy in (-4, 0, 4) for dx in (-4, 0, 4)]
    off = torch.stack([(ink - shifted).abs().amax(1) for shifted in around]).amin(0)
    assert (
        off[:, 8:-8, 8:-8] < 1e-5
    ).all()  # corners are at most 0.8 pixels off, so each point shows a neighbour
    with pytest.raises(InputError, match="x: got 3 images"):
        Phone().stages(X)


def test_large_pictures_are_drawn_as_they_are():
    """By the pixels of two pictures of one colour each, side by side, in the shape that they have."""
    red, blue = np.tile([1.0, 0, 0], (40, 20, 1)), np.tile([0, 0, 1.0], (40, 60, 1))
    figure = plots.large({"red": red, "blue": blue}, 2)
    shown = np.asarray(Image.open(io.BytesIO(plots.png(figure)))).astype(int)
    reds, blues = ((shown == colour).all(-1) for colour in ((255, 0, 0), (0, 0, 255)))
    assert (
        blues.sum() == pytest.approx(3 * reds.sum(), rel=0.03)
        and reds.any(0).nonzero()[0].max() < blues.any(0).argmax()
    )
    for wrong in ({}, {"grey": red[..., 0]}):
        with pytest.raises(InputError, match="pictures"):
            plots.large(wrong)
