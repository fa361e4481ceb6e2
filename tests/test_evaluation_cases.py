"""Attacks of the cases in `advcourse evaluate`: stickers on plates, additions to apps, and what a file may not name."""

import pytest
import torch
from nets import linear

from advcourse import attacks, models
from advcourse.attacks import PGD, choose_target
from advcourse.cases import plates
from advcourse.cases.camera import Road
from advcourse.cases.malware import AddFeatures, rated, train
from advcourse.cases.phone import PhonePGD
from advcourse.cases.plates import RoadStickers
from advcourse.cases.signs import MOST_VIEWS, plate_of, share_of_plate
from advcourse.core.inputs import InputError, predict
from advcourse.data.apps import CODE, appset
from advcourse.evaluation import compare, run
from advcourse.evaluation.settings import read

QUICK = {"steps": 3, "search_steps": 2}


@pytest.fixture(scope="module")
def signs():
    """Four plates, two of them alike, with targets."""
    x, y = (part[[0, 5, 2, 16]] for part in (plates.load().images, plates.load().labels))
    return models.load("signs-cnn"), x, y, torch.tensor([2, 7, 0, 2])


@pytest.fixture(scope="module")
def apps():
    """The plain detector's net, and thirty malicious apps."""
    return rated.Net("mlp")(), *rated.load().first(30)


def settings(tmp_path, text):
    (tmp_path / "own.yml").write_text(text)
    return read(tmp_path / "own.yml").cells


# Stickers


def test_the_set_has_each_plate_ten_times():
    """Against the plates themselves: the sign's colours on the plate, grey beside it; the shipped network reads all of them."""
    shipped = plates.load()
    assert len(shipped) == 160 and (shipped.labels.bincount() == 10).all()
    colours, alpha = plate_of("no entry", 32)[:3], plate_of("no entry", 32)[3]
    torch.testing.assert_close(shipped.images[18], torch.lerp(torch.tensor(0.5), colours, alpha))
    assert (predict(models.load("signs-cnn"), shipped.images).argmax(1) == shipped.labels).all()


def test_stickers_stay_on_the_plate_and_are_judged_from_the_road(signs):
    """Against a photograph taken by hand from a place outside any attack's pool, and the plate's own outline and area."""
    model, x, y, target = signs
    attack = RoadStickers(area=0.2, **QUICK)
    record = attack.run(model, x, y, target)
    assert attack.threat_model.name == "area ≤ 0.2, targeted, physical"
    for i in range(len(x)):
        plate = plate_of(int(y[i]), 32)
        changed = (record.images[i] != x[i]).any(0)
        assert changed.any() and not (changed & (plate[3] == 0)).any()
        assert 0 < record.size[i] <= 0.2 and record.size[i] == pytest.approx(share_of_plate(plate, changed))
        photograph = Road()(torch.cat([record.images[i], plate[3:]])[None], MOST_VIEWS + i)
        torch.testing.assert_close(record.logits[i], predict(model, photograph)[0], rtol=0, atol=1e-3)
    assert not torch.equal(record.images[0], record.images[3])  # the same plate and target, other draws
    part = attack.run(model, x[3:], y[3:], target[3:], first=3)
    torch.testing.assert_close(part.images, record.images[3:], rtol=0, atol=1e-4)
    assert record.forward_passes == record.backward_passes == 4 * 16 * 5


def test_most_stickers_work_where_random_cells_do_not(signs):
    """Stop to no entry, which is chapter 10's, four times: the attack is read so in most photographs, no control in any."""
    model, x, y, _ = signs
    x, y, target = x[:1].repeat(4, 1, 1, 1), y[:1].repeat(4), torch.full((4,), 2)
    rates = {
        pattern: RoadStickers(pattern=pattern, steps=30, search_steps=10)
        .run(model, x, y, target)
        .success_rate
        for pattern in ("attack", "random", "none")
    }
    assert rates["attack"] >= 3 / 4 and rates["random"] == rates["none"] == 0


def test_a_plate_is_cut_out_along_its_own_outline():
    """With two thirds of each plate pasted over in random colours: the photographs of the plates with their own outlines."""
    x, own = plates.load().images[:16], torch.stack([plate_of(i, 32) for i in range(16)])
    colours = torch.rand(x.shape, generator=torch.Generator().manual_seed(3))
    covered = torch.where((own[:, 3:] > 0) & (torch.arange(32)[:, None] > 10), colours, x)
    seen = RoadStickers().as_read(covered, 5)
    assert torch.equal(seen, Road()(torch.cat([covered, own[:, 3:]], 1), MOST_VIEWS + 5))


def test_controls_are_what_they_are_called(signs):
    """By the printed colours: black and white stickers have one colour each; "none" is the plate."""
    model, x, y, target = (part[:1] if torch.is_tensor(part) else part for part in signs)
    for pattern, low, high in (("black", 0.1, 0.13), ("white", 0.92, 0.96)):
        changed = RoadStickers(pattern=pattern, **QUICK)(model, x, y, target)
        pasted = changed[0][:, (changed[0] != x[0]).any(0)]
        assert low < pasted.min() and pasted.max() < high
    assert torch.equal(RoadStickers(pattern="none")(model, x, y, target), x)


def test_other_images_than_plates_are_refused(signs):
    """Each of them would be cut out along a wrong outline."""
    model, x, y, target = signs
    for wrong, labels in ((x + 0.01 * (x < 0.5), y), (x, (y + 1) % 16), (x[:, :, :16, :16], y)):
        with pytest.raises(InputError, match="x, y: got images .* allowed are those of the set 'plates'"):
            RoadStickers(**QUICK)(model, wrong, labels, (labels + 1) % 16)


# Apps


def test_the_set_holds_the_malicious_apps():
    """Against the shipped set: as many, the same features, and the share that the detector finds."""
    shipped, detector = appset.load("test"), train("mlp")
    mine = rated.load()
    assert len(mine) == int(shipped.labels.sum()) and (mine.labels == 1).all()
    assert torch.equal(mine.images.flatten(1), detector.read_all(shipped.subset(shipped.labels == 1)))
    found = predict(detector.net, mine.images).argmax(1) == 1
    assert int(found.sum()) == len(detector.detected(shipped))


@pytest.mark.parametrize("choice", ["slope", "search", "random"])
def test_additions_are_those_of_the_rows(apps, choice):
    """Against `AddFeatures` on the rows themselves: the same features; sizes, success and passes; and however it is split."""
    net, x, y = apps
    record = rated.AppAdditions(budget=5, choice=choice).run(net, x, y)
    assert record.attack.threat_model.name == "additions ≤ 5, to benign, on paper"
    assert ((record.images == x) | ((x == 0) & (record.images == 1))).all()
    assert torch.equal(record.size, (record.images != x).flatten(1).sum(1)) and record.size.max() <= 5
    assert torch.equal(record.success, predict(net, record.images).argmax(1) == 0)
    parts = [
        rated.AppAdditions(budget=5, choice=choice).run(net, x[i:j], y[i:j], first=i)
        for i, j in ((0, 16), (16, 30))
    ]
    assert torch.equal(torch.cat([part.images for part in parts]), record.images)
    if choice != "random":
        rows = AddFeatures(tuple(rated.vocabulary().where().tolist()), 5, choice).run(net, x.flatten(1))
        assert torch.equal(rows.altered, record.images.flatten(1))
        assert record.forward_passes == rows.forward_passes and record.backward_passes == rows.backward_passes
    else:
        assert 0 < record.success_rate < 0.4  # a fifth of 92 apps, where the slope takes three of four


def test_additions_are_never_ranked_with_pixels(apps):
    """Against every attack by its norm, and PGD and JSMA on the same apps: to rank them is refused, and a table shows both."""
    net, x, y = apps[0], apps[1][:4], apps[2][:4]
    assert rated.AppAdditions.norm not in {
        kind.norm for kind in (*attacks.REGISTRY.values(), PhonePGD, RoadStickers)
    }
    added = rated.AppAdditions(budget=1).run(net, x, y)
    for other in (PGD(eps=1, steps=2), attacks.JSMA(gamma=0.01)):
        target = torch.zeros_like(y) if isinstance(other, attacks.JSMA) else None
        both = {"additions": added, "pixels": other.run(net, x, y, target)}
        with pytest.raises(
            InputError, match="2 threat models: additions \\(additions ≤ 1, to benign, on paper\\)"
        ):
            compare(both, by="success")
        assert list(compare(both).index) == ["additions", "pixels"]


def test_code_is_added_to_code_alone(apps):
    """Against the vocabulary: nothing outside S5, S7 and S8 changes."""
    net, x, y = apps
    changed = (rated.AppAdditions(budget=5, sets="code")(net, x, y) != x).flatten(1).any(0)
    assert changed.any() and not (changed & ~rated.vocabulary().where(CODE)).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x * 0.5, y), "x: got .*allowed are zeros and ones"),
        (lambda x, y: (x[..., 1:], y), "x: got .*allowed are zeros and ones"),
        (lambda x, y: (x, y * 0), "y: got honest apps"),
    ],
)
def test_what_is_no_malicious_app_is_refused(apps, change, message):
    """Each mistake is told by the argument's name."""
    _, x, y = apps
    x, y = change(x, y)
    with pytest.raises(InputError, match=message):
        rated.AppAdditions()(linear(2, x.shape[1:], dtype=x.dtype), x, y)


# The settings file


def test_apps_are_measured_and_never_ranked_with_pixels(tmp_path):
    """Against the attack itself; the monotone net is evaded never, as its proof says; no SSIM, no pictures, a report."""
    cells = settings(
        tmp_path,
        "data: {name: apps, images: 30}\nmodels: [apps-mlp, apps-monotone]\n"
        "attacks: {attack: AppAdditions, budget: [1, 10]}\ntransformations: []\n",
    )
    assert [cell.variant for cell in cells[:2]] == ["budget 1", "budget 10"]
    outcome = run(cells, tmp_path / "cells", workers=1)
    assert not outcome.failures
    one, ten, *monotone = outcome.records
    x, y = cells[0].data.load()
    read = predict(train("mlp").net, x).argmax(1) == y
    alone = rated.AppAdditions(budget=10).run(train("mlp").net, x[read], y[read])
    assert ten.success.tolist() == alone.success.tolist() and one.success.sum() < ten.success.sum()
    assert not any(record.success.any() for record in monotone)
    pixels = PGD(0.1, steps=2).run(train("mlp").net, x[read], y[read])
    with pytest.raises(InputError, match="2 threat models"):
        compare({"apps": alone, "pixels": pixels}, "success")


MISTAKES = {
    "data: plates\nmodels: signs-cnn\nattacks: RP2": "attacks: got RP2; it works on one plate: name RoadStickers",
    "data: plates\nmodels: signs-cnn\nattacks: {attack: FrameAttack}": "attacks.attack: got FrameAttack; frames are worn by one",
    "data: plates\nmodels: signs-cnn\nattacks: AddFeatures": "attacks: got AddFeatures; it works on rows of features: name App",
    "data: plates\nmodels: signs-cnn\nattacks: EditApp": "attacks: got EditApp; it edits whole apps: call",
    "data: signs\nmodels: signs-cnn\nattacks: RoadStickers": "attacks: got RoadStickers on signs; it attacks the set plates",
    "data: apps\nmodels: apps-mlp\nattacks: FGSM\ntransformations: []": "attacks: got FGSM on apps; features are there or not",
    "data: apps\nmodels: apps-mlp\nattacks: PhonePGD\ntransformations: []": "attacks: got PhonePGD on apps; features are there",
    "data: apps\nmodels: apps-mlp\nattacks: AppAdditions": "allowed is [] with the set apps, whose features are no pixels",
    "data: apps\nmodels: apps-lint\nattacks: AppAdditions\ntransformations: []": "models: got 'apps-lint'; allowed are mnist-cnn",
    "data: {name: plates, split: train}\nmodels: signs-cnn\nattacks: RoadStickers": "data.split: got 'train'; allowed",
    "data: plates\nmodels: mnist-cnn\nattacks: RoadStickers": "models: got a model that fails on plates",
    "data: apps\nmodels: signs-cnn\nattacks: AppAdditions\ntransformations: []": "models: got a model that fails on apps",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_says_what_to_name_instead(tmp_path, text):
    """The sentences, written out by hand, each the only one that is told."""
    with pytest.raises(InputError) as caught:
        settings(tmp_path, text + "\n")
    [line] = str(caught.value).splitlines()
    assert MISTAKES[text] in line, line


def test_digital_attacks_may_be_measured_on_plates(tmp_path):
    """Their threat model is another one, so all of them can stand in one file, in blocks of their own."""
    cells = settings(
        tmp_path,
        "data: {name: plates, images: 16}\nmodels: signs-cnn\nattacks: [FGSM, PhonePGD, RoadStickers]\n",
    )
    assert [type(cell.attack) for cell in cells][1:] == [PhonePGD, RoadStickers]
    names = [cell.attack.threat_model.name for cell in cells]
    assert len(set(names)) == 3 and [name.endswith("physical") for name in names] == [False, True, True]
    x, y = cells[0].data.load()
    assert choose_target(models.load("signs-cnn"), x, y).shape == y.shape
