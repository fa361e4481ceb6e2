"""The people who do not exist: geometry of their heads, photographs, glasses, and the shipped set."""

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.nn import functional as F

from advcourse import data
from advcourse.core.inputs import InputError
from advcourse.data import face_scenes, face_shapes, faces, glasses, heads

ZERO = torch.zeros(1, 1, 1)


def person(number=0):
    return faces.chosen(faces.people(), torch.tensor([number]))


def bald():
    """A person without hair, whose head is symmetric."""
    return person(int((faces.people()["hair_cover"][:, 0, 0] == 0).nonzero()[0]))


def angle(degrees):
    return torch.full((1, 1, 1), math.radians(degrees))


# ---- geometry ----


def test_normals_of_a_sphere_point_away_from_its_middle():
    """Against the closed form: the normal of a sphere of radius r at (u, v, h) is (u, v, h) / r."""
    u, v = face_shapes.plane()
    height = (2.0**2 - u**2 - v**2).clamp(min=0.01).sqrt()
    expected = torch.stack([u, v, height], 1) / 2
    inner = (u**2 + v**2 < 1.4**2)[:, None]
    assert ((face_shapes.normals(height) - expected) * inner).abs().max() < 2e-3


def test_unproject_undoes_the_projection():
    """Against the projection itself, of points on a smooth hill, with both turns at once."""
    u, v = face_shapes.plane()
    height = 0.5 * torch.exp(-(u**2) - v**2)
    yaw, pitch, pivot = angle(20), angle(-10), 0.3
    x = u * yaw.cos() + (height - pivot) * yaw.sin()
    y = v * pitch.cos() + (height - pivot) * pitch.sin()
    back_u, back_v = face_shapes.unproject(x, y, height, yaw, pitch, pivot, rounds=60)
    inner = (u.abs() < 1.1) & (v.abs() < 1.1)
    assert (back_u - u)[inner].abs().max() < 3e-3 and (back_v - v)[inner].abs().max() < 3e-3


def test_unproject_on_a_plate_is_the_closed_form():
    """Against u = (x - (h - pivot) sin) / cos, exact for constant height; the damped steps halve the error each time."""
    x, y = face_shapes.plane(9)
    height, yaw = torch.full((1, 96, 96), 0.7), angle(25)
    exact = (x - 0.4 * yaw.sin()) / yaw.cos()
    u, v = face_shapes.unproject(x, y, height, yaw, ZERO, pivot=0.3, rounds=6)
    assert torch.allclose((u - exact), (x - exact) / 2**6, atol=1e-5) and torch.equal(v, y)


def test_without_a_turn_the_face_stays_where_it_is():
    """Against the identity, bit by bit, on a rugged height map."""
    x, y = face_shapes.plane(33)
    u, v = face_shapes.unproject(x, y, torch.rand(1, 96, 96), ZERO, ZERO, pivot=0.34)
    assert torch.equal(u, x) and torch.equal(v, y)


def test_heads_are_symmetric():
    """Against the mirror image: of the height map of every bald head, and of its picture when turn and light are mirrored too."""
    view = heads.posed(0, 0, 0, 0.5)
    height, maps = face_scenes.head_maps(bald(), view)
    assert torch.allclose(height, height.flip(2), atol=1e-5)
    assert torch.allclose(maps[:, 0], -maps[:, 0].flip(2), atol=1e-4)
    name = int((faces.people()["hair_cover"][:, 0, 0] == 0).nonzero()[0])
    one, other = heads.render_head(name, 20, 5, 30), heads.render_head(name, -20, 5, -30).flip(2)
    assert (one - other).abs().mean() < 0.01 < (one - other.flip(2)).abs().mean()


def test_no_spike_at_crown_or_chin():
    """Against the outline of an ellipse near its ends: as narrow as sqrt(1 - v^2) there, and nothing beyond."""
    people = faces.people()
    u = torch.linspace(-0.2, 0.2, 81)[None, None]
    for v in (-1.02, 1.02):
        assert (face_shapes.outline(u, torch.full_like(u, v), people) > 1).all()
    wide = torch.linspace(-1, 1, 801)[None, None]
    for v in (-0.99, 0.98):
        width = (face_shapes.outline(wide, torch.full_like(wide, v), people) < 1).float().mean(2) * 2
        assert (width > 0.08).all() and (width < 0.5).all()


def test_light_from_the_side_falls_on_that_side():
    """Against Lambert's law: a plate turned by 30 degrees towards the light is as bright as one facing it from ahead."""
    view = heads.posed(30, 0, 30, 0) | {"ambient": ZERO, "light_up": ZERO}
    ahead = heads.posed(0, 0, 0, 0) | {"ambient": ZERO, "light_up": ZERO}
    assert torch.allclose(face_scenes.flat_light(view), face_scenes.flat_light(ahead), atol=1e-6)
    left, right = heads.render_head("Kim", light=-60), heads.render_head("Kim", light=60)
    assert left[:, 40:100, 30:60].mean() > right[:, 40:100, 30:60].mean() + 0.05


# ---- glasses ----


@pytest.mark.parametrize("yaw, pitch", [(0, 0), (25, 0), (-20, 8), (10, -12)])
def test_a_mark_on_the_glasses_moves_as_its_plane_is_projected(yaw, pitch):
    """Against x = s cos + (h - pivot) sin of the mark's place on the front, seen in the picture by its centre of mass."""
    who, view, size = bald(), heads.posed(yaw, pitch, 0, 0), 256
    row, column = 8, 26  # on the left rim
    sheet = torch.zeros(3, glasses.ROWS, glasses.COLUMNS)
    black = torch.zeros(1, 3, size, size)
    fitting = glasses.fit_glasses(who, view, size)
    marked = sheet.clone()
    marked[:, row, column] = 1
    bright = (glasses.wear(black, fitting, marked) - glasses.wear(black, fitting, sheet))[0, 0].double()
    centres = ((torch.arange(size) + 0.5) / size * 2 - 1).double() * face_scenes.HALF
    x = (bright.sum(0) * centres).sum() / bright.sum()
    y = (bright.sum(1) * (centres + face_scenes.MIDDLE)).sum() / bright.sum()
    s, t = (
        (place + 0.5 - n / 2) * glasses.CELL for place, n in ((column, glasses.COLUMNS), (row, glasses.ROWS))
    )
    t = t + float(who["eye_height"]) + glasses.BELOW
    zoom, ahead = heads.CALM["zoom"], glasses.HEIGHT - face_scenes.PIVOT
    turn, nod = math.radians(yaw), math.radians(pitch)
    assert float(x) == pytest.approx(zoom * (s * math.cos(turn) + ahead * math.sin(turn)), abs=0.012)
    expected = zoom * (t * math.cos(nod) + ahead * math.sin(nod)) + heads.CALM["dy"]
    assert float(y) == pytest.approx(expected, abs=0.012)


def test_wearing_changes_the_frame_alone():
    """Against the photograph: equal where the frame is not; and of the paper's size, 6.5 % of the picture, to a point."""
    x, fitting = data.load("faces").images[:40], glasses.fit_split("test", torch.arange(40))
    worn = glasses.wear(x, fitting, torch.rand(3, glasses.ROWS, glasses.COLUMNS))
    outside = (fitting.cover == 0).expand_as(x)
    assert torch.equal(worn[outside], x[outside]) and not torch.equal(worn, x)
    assert fitting.cover.mean().item() == pytest.approx(0.065, abs=0.01)
    assert 0 <= worn.min() and worn.max() <= 1


def test_wearing_is_differentiable():
    """Against finite differences, in float64, of two photographs with respect to some cells."""
    fitting = glasses.fit_split("test", torch.arange(2)).to(torch.zeros((), dtype=torch.float64))
    x = data.load("faces").images[:2].double()
    sheet = torch.full((3, glasses.ROWS, glasses.COLUMNS), 0.4, dtype=torch.float64)

    def mean_with(patch):
        return (
            glasses.wear(x, fitting, torch.cat([sheet[:, :, :29], patch, sheet[:, :, 30:]], 2))
            .square()
            .mean()
        )

    assert torch.autograd.gradcheck(mean_with, sheet[:, :, 29:30].clone().requires_grad_())


def test_a_third_wears_glasses():
    """By counting: of the three copies of each photograph, exactly one differs from it."""
    photographs = data.load("faces")
    worn = glasses.with_glasses(photographs, "test", copies=3, seed=1)
    changed = (worn.images != photographs.images.repeat(3, 1, 1, 1)).flatten(1).any(1).reshape(3, -1)
    assert len(worn) == 3 * len(photographs) and (changed.sum(0) == 1).all()
    assert changed.sum(1).min() > len(photographs) / 5


@pytest.mark.parametrize(
    "images, sheet, message",
    [
        ((2, 3, 64, 64), (3, 16, 88), "x: got shape"),
        ((3, 3, 32, 32), (3, 16, 88), "x: got shape"),
        ((3, 3, 64, 64), (3, 16, 80), "colours: got shape"),
        ((3, 3, 64, 64), (2, 3, 16, 88), "colours: got shape"),
    ],
)
def test_what_does_not_fit_is_refused(images, sheet, message):
    """Against the argument that the message must name."""
    with pytest.raises(InputError, match=message):
        glasses.wear(torch.rand(images), glasses.fit_split("test", torch.arange(3)), torch.rand(sheet))


# ---- the set ----


@pytest.mark.parametrize("split", ["train", "test"])
def test_shipped_set(split):
    """Against the set's description: shapes, range, balance, checksum, size on disk."""
    shipped = data.load("faces", split)
    assert len(shipped) == faces.SPLITS[split][0] and shipped.images.shape[1:] == (3, 64, 64)
    assert shipped.images.dtype == torch.float32 and 0 <= shipped.images.min() and shipped.images.max() <= 1
    counts = shipped.labels.bincount(minlength=40)
    assert counts.min() == counts.max() == faces.SPLITS[split][0] / 40
    assert shipped.classes == faces.CLASSES and len(set(faces.CLASSES)) == 40
    assert shipped.checksum == faces.CHECKSUMS[split]
    assert sum(path.stat().st_size for path in faces.FOLDER.glob("faces-*")) < 3.2e6


@pytest.mark.parametrize("split", ["train", "test"])
def test_shipped_photographs_are_what_the_seed_draws(split):
    """Against a fresh rendering: the stored ones differ by what compression costs, some 3 of 255 levels on average."""
    images, labels = faces.render(40, faces.SPLITS[split][1])
    shipped = data.load("faces", split)
    assert torch.equal(labels, shipped.labels[:40])
    difference = (images - shipped.images[:40]).abs().mean((1, 2, 3)) * 255
    assert difference.mean() < 4 and difference.max() < 8
    assert (images[:39] - shipped.images[1:40]).abs().mean() * 255 > 20


def test_a_seed_decides_everything():
    """Against a second call, bit by bit; fewer photographs are the first of more; another seed gives others."""
    state = torch.get_rng_state()
    first, labels = faces.render(5, 3)
    again, _ = faces.render(5, 3)
    more, others = faces.render(8, 3)
    assert torch.equal(first, again) and torch.equal(labels, others[:5])
    assert torch.allclose(first, more[:5], atol=1e-5)
    assert (first - faces.render(5, 4)[0]).abs().mean() > 0.05
    assert torch.equal(torch.get_rng_state(), state) and len(faces.render(0)[0]) == 0


def test_a_sheet_is_cut_as_it_was_laid_out():
    """Against the photographs themselves, and one pixel's place worked out by hand: photograph 21 is the second of row 1."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 3, 4, 4), dtype=np.uint8)
    sheet = faces.stacked(pixels)
    assert sheet.shape == (8, 80, 3) and sheet[4 + 1, 4 + 2, 0] == pixels[21, 0, 1, 2]
    assert np.array_equal(faces.unstacked(sheet, side=4), pixels)


@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")  # sixty steps are enough for its accuracy
def test_a_linear_model_cannot_tell_everybody_apart():
    """Against logistic regression on thumbnails of 16 x 16: well above chance, but not above nine of ten."""
    train, test = data.load("faces", "train"), data.load("faces")
    small, small_test = (F.avg_pool2d(one.images, 4).flatten(1).numpy() for one in (train, test))
    linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=60)).fit(small, train.labels)
    assert 0.4 < linear.score(small_test, test.labels.numpy()) <= 0.9


def test_damaged_or_missing_files_are_told(monkeypatch, tmp_path):
    """Against a folder without files, one with half a file, and one with another picture; each message names the file."""
    monkeypatch.setattr(faces, "FOLDER", tmp_path)
    monkeypatch.setattr(faces, "_pixels", faces._pixels.__wrapped__)
    with pytest.raises(InputError, match=r"faces-test\.webp is missing"):
        data.load("faces")
    whole = (faces.Path(faces.__file__).parent / "files" / "faces-test.webp").read_bytes()
    (tmp_path / "faces-test.webp").write_bytes(whole[:100])
    with pytest.raises(InputError, match=r"faces-test\.webp is damaged"):
        data.load("faces")
    (tmp_path / "faces-test.webp").write_bytes(
        (faces.Path(faces.__file__).parent / "files" / "faces-train.webp").read_bytes()
    )
    with pytest.raises(InputError, match="checksum"):
        data.load("faces")


# ---- a head to turn ----


def test_a_head_turns_and_smiles():
    """Against the projection: the nose's shadowed tip moves right with the yaw; a smile changes the mouth, not the forehead."""
    plain, smiling = heads.render_head("Kim"), heads.render_head("Kim", smile=1.0)
    change = (plain - smiling).abs().mean(0)
    assert change[80:110, 45:83].mean() > 10 * change[20:45].mean()
    assert (heads.render_head("Kim", yaw=25) - plain).abs().mean() > 0.03
    assert plain.shape == (3, 128, 128) and torch.equal(plain, heads.render_head(faces.CLASSES.index("Kim")))
    frame = torch.zeros(3, glasses.ROWS, glasses.COLUMNS)
    worn = heads.render_head("Kim", frame=frame, size=64)
    changed = (worn - heads.render_head("Kim", size=64)).abs().sum(0) > 0.02
    assert 0.03 < changed.float().mean() < 0.13


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"person": "Nobody"}, "person: got 'Nobody'; allowed are Alex"),
        ({"person": 40}, "person: got 40"),
        ({"yaw": 90}, "yaw: got 90"),
        ({"smile": -1}, "smile: got -1"),
        ({"size": 0}, "size: got 0"),
        ({"light": float("nan")}, "light: got nan"),
    ],
)
def test_a_head_that_cannot_be_drawn(wrong, message):
    """Against the argument that the message must name."""
    with pytest.raises(InputError, match=message):
        heads.render_head(**{"person": 0} | wrong)


@pytest.mark.parametrize("wrong", [{"n": -1}, {"n": 1.5}, {"n": 1, "seed": -1}])
def test_photographs_that_cannot_be_drawn(wrong):
    """Against the check of ranges: nothing but whole numbers from 0 on."""
    with pytest.raises(InputError):
        faces.render(**wrong)
