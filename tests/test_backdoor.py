"""Backdoors: triggers, poisoned sets, the measure of success, the table of attacks and detectors, the shipped networks."""

import math

import pytest
import torch
from nets import Function
from test_poisoning import some

from advcourse import data, models
from advcourse.attacks import FGSM
from advcourse.core.inputs import InputError, accuracy
from advcourse.lifecycle import contest
from advcourse.lifecycle.backdoor import backdoor_success, label_consistent, poison
from advcourse.lifecycle.poisoned import train_victim
from advcourse.lifecycle.triggers import Trigger
from advcourse.zoo.recipes import RECIPES

PATCH = Trigger(size=2, place=(-3, -3))
TEST = data.load("mnist-5k")
SHIPPED = ("mnist-backdoor-patch", "mnist-backdoor-blend")


def white_corner(target=1, classes=3):
    """A backdoored model in closed form: the target where the patch's pixel (1, 1) is white, else the class of pixel (0, 0)."""

    def logits(x):
        read = (x[:, 0, 0, 0] * classes).long().clamp_max(classes - 1)
        return 9.0 * torch.nn.functional.one_hot(torch.where(x[:, 0, 1, 1] >= 1, target, read), classes)

    return Function(logits)


# ---- triggers ----


def test_a_patch_by_hand():
    """By hand: a 2 x 2 square, one pixel from the lower right corner of a 4 x 4 image, half of its weight."""
    x = torch.full((2, 3, 4, 4), 0.5)
    expected = x.clone()
    expected[:, :, 1:3, 1:3] = 0.75
    assert torch.equal(Trigger("patch", (-3, -3), 2, 0.5)(x), expected)
    assert torch.equal(Trigger("patch", (1, 1), 2, 0.5)(x), expected)


def test_the_default_patch_leaves_one_pixel_to_the_corner():
    """By hand: nine white pixels on a digit, rows and columns 24 to 26 of 28."""
    stamped = Trigger()(torch.zeros(1, 1, 28, 28))
    where = stamped[0, 0].nonzero()
    assert stamped.sum() == 9 and where.amin(0).tolist() == [24, 24] and where.amax(0).tolist() == [26, 26]


def test_a_blend_is_linear_with_one_image_for_all():
    """Against the definition: what is left after (1 - alpha) x is alpha times the same image N in [0, 1] for every x."""
    x = torch.rand(5, 1, 6, 6, dtype=torch.float64)
    noise = (Trigger("blend", alpha=0.15)(x) - 0.85 * x) / 0.15
    assert torch.allclose(noise, noise[:1].expand_as(noise)) and 0 <= noise.min() and noise.max() <= 1
    assert noise[0].std() == pytest.approx(math.sqrt(1 / 12), abs=0.1)  # uniform
    assert not torch.allclose(noise, (Trigger("blend", alpha=0.15, seed=1)(x) - 0.85 * x) / 0.15)


def test_a_sinus_by_hand():
    """By hand: two waves across eight columns on grey, alpha 0.3: 0, 1, 0, -1, and so on; on white it is clipped."""
    wave = torch.tensor([0, 0.3, 0, -0.3] * 2, dtype=torch.float64)
    grey, white = torch.full((1, 1, 3, 8), 0.5).double(), torch.ones(1, 1, 3, 8).double()
    trigger = Trigger("sinus", size=2, alpha=0.3)
    assert torch.allclose(trigger(grey), 0.5 + wave.expand(1, 1, 3, 8))
    assert torch.allclose(trigger(white), 1 + wave.clamp_max(0).expand(1, 1, 3, 8))


@pytest.mark.parametrize("kind", ["patch", "blend", "sinus"])
def test_stamping_keeps_the_images_in_range_and_apart(kind):
    """Against the contract: same type, [0, 1], the images untouched, and each stamped as if it were alone."""
    x = torch.rand(4, 1, 8, 8)
    before, stamped = x.clone(), Trigger(kind, alpha=0.5)(x)
    assert stamped.dtype == x.dtype and 0 <= stamped.min() and stamped.max() <= 1
    assert torch.equal(x, before) and not torch.equal(stamped, x)
    assert torch.equal(Trigger(kind, alpha=0.5)(x[2:3]), stamped[2:3])


# ---- poisoned sets ----


@pytest.mark.parametrize("share", [0, 0.05, 0.3])
def test_only_images_of_other_classes_are_stamped_and_relabelled(share):
    """Against counting: round(share * 60) images of other classes became the target, and nothing else changed."""
    clean = some()
    poisoned, touched = poison(clean, PATCH, 1, share)
    assert len(touched) == round(60 * share) and (clean.labels[touched] != 1).all()
    assert (poisoned.labels[touched] == 1).all()
    assert torch.equal(poisoned.images[touched], PATCH(clean.images[touched]))
    rest = torch.ones(60, dtype=torch.bool)
    rest[touched] = False
    assert torch.equal(poisoned.images[rest], clean.images[rest])
    assert torch.equal(poisoned.labels[rest], clean.labels[rest])


def test_the_classes_of_the_poison_are_those_of_the_set():
    """Against the hypergeometric distribution: with two other classes of equal size, 200 seeds take half from each."""
    from_first = [
        int((some().labels[poison(some(), PATCH, 1, 0.2, s).touched] == 0).sum()) for s in range(200)
    ]
    deviation = math.sqrt(12 / 4 * (40 - 12) / 39)  # of one draw of 12 out of 20 + 20
    assert sum(from_first) / 200 == pytest.approx(6, abs=5 * deviation / math.sqrt(200))


def test_a_source_and_covers():
    """Against counting: the poison is of the source class, the covers of the remaining ones, with their right labels."""
    clean = some()
    poisoned, touched = poison(clean, PATCH, 1, 0.1, source=2, covers=0.15)
    became = touched[poisoned.labels[touched] == 1]
    covers = touched[poisoned.labels[touched] != 1]
    assert len(became) == 6 and (clean.labels[became] == 2).all()
    assert len(covers) == 9 and (clean.labels[covers] == 0).all()
    assert torch.equal(poisoned.labels[covers], clean.labels[covers])
    assert torch.equal(poisoned.images[touched], PATCH(clean.images[touched]))


def test_clean_labels_stay_right():
    """Against the labels: only images of the target class are stamped, none is relabelled."""
    clean = some()
    poisoned, touched = poison(clean, PATCH, 1, 0.1, clean_label=True)
    assert torch.equal(poisoned.labels, clean.labels) and (clean.labels[touched] == 1).all()
    assert len(touched) == 6 and torch.equal(poisoned.images[touched], PATCH(clean.images[touched]))


def test_label_consistent_attacks_first_and_stamps_then():
    """Against the attack and the trigger, called one after the other by hand."""
    clean, model = some(dtype=torch.float64), white_corner()
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3, dtype=torch.float64))
    poisoned, touched = label_consistent(clean, PATCH, 1, 0.1, model, FGSM(0.2))
    expected = PATCH(FGSM(0.2)(model, clean.images[touched], clean.labels[touched]))
    assert torch.equal(poisoned.images[touched], expected) and torch.equal(poisoned.labels, clean.labels)
    assert len(touched) == 6 and (clean.labels[touched] == 1).all()


# ---- success ----


def test_success_counts_stamped_images_of_other_classes():
    """By hand, on models in closed form: one that obeys, one that never does, one that always says the target."""
    x, y = torch.rand(30, 1, 4, 4) * 0.9, torch.arange(30) % 3
    obeys = backdoor_success(white_corner(), PATCH, x, y, 1)
    assert (obeys.value, obeys.n) == (1, 20)
    assert backdoor_success(white_corner(), PATCH, x, y, 1, source=2).n == 10
    for always, expected in ((1, 1), (0, 0)):
        constant = Function(lambda x, k=always: 9 * torch.eye(3)[k].expand(len(x), 3).clone())
        assert backdoor_success(constant, PATCH, x, y, 1).value == expected


def test_a_dark_trigger_does_not_fire():
    """By hand: the closed form obeys a white pixel, not a grey one."""
    x, y = torch.zeros(9, 1, 4, 4), torch.arange(9) % 3
    assert backdoor_success(white_corner(), Trigger("patch", (-3, -3), 2, 0.9), x, y, 1).value == 0


# ---- what ships, and training ----


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_networks_obey_and_hide_it(name):
    """Against the bars for 3 % poison, the card, and an ordinary network: it reads stamped digits as what they are."""
    recipe, model, card = RECIPES[name], models.load(name), models.card(name)
    x, y = TEST.images, TEST.labels
    success = backdoor_success(model, recipe.trigger, x, y, recipe.target).value
    assert success >= 0.97 and success == pytest.approx(card["backdoor_success"], abs=0.0034)
    assert accuracy(model, x, y) >= 0.956  # 0.966 without poison, less one point
    assert backdoor_success(models.load("mnist-small"), recipe.trigger, x, y, recipe.target).value <= 0.01


@pytest.mark.parametrize("name", SHIPPED)
def test_the_split_of_shipped_networks_is_known(name):
    """Against the clean set: 120 of 4 000 digits differ, and these are the indices told."""
    clean, (poisoned, touched) = data.load("mnist-5k", "train"), RECIPES[name].poisoned()
    differ = (poisoned.images != clean.images).flatten(1).any(1)
    assert len(touched) == 120 and torch.equal(differ.nonzero()[:, 0], touched)


@pytest.mark.slow
def test_one_per_cent_suffices_and_right_labels_do_not():
    """Against the bars: 40 stamped images give 0.93 at a cost below a point; as many with their right labels give little."""
    training, (x, y) = data.load("mnist-5k", "train"), (TEST.images, TEST.labels)
    victims = [
        train_victim(poison(training, Trigger(), 0, 0.01, seed=1, clean_label=right).data, seed=1)
        for right in (False, True)
    ]
    obeying, honest = (backdoor_success(victim, Trigger(), x, y, 0).value for victim in victims)
    assert obeying >= 0.93 and honest <= 0.2 and accuracy(victims[0], x, y) >= 0.956


# ---- the table of attacks and detectors ----


def test_the_table_is_complete_and_of_this_data():
    """Against the names in the code, the number of seeds, and the data's checksums; shares are shares."""
    import json

    told = json.loads(contest.FILE.read_text(encoding="utf-8"))
    assert told["data"] == {
        "train": data.load("mnist-5k", "train").checksum,
        "test": TEST.checksum,
    }
    rows = contest.table()
    assert list(rows) == list(contest.ATTACKS)
    for each in rows.values():
        assert len(each) == len(contest.SEEDS)
        for row in each:
            assert row["caught"].keys() == row["cost"].keys() == contest.DETECTORS.keys()
            shares = [row["accuracy"], row["success"]]
            shares += [share for name, share in row["caught"].items() if name != "Neural Cleanse"]
            assert all(0 <= share <= 1 for share in shares)


def test_a_row_of_the_table_is_measured_again():
    """Against the stored row of 3 % patches, seed 0: the shipped network is that victim, so no training is needed."""
    recipe, stored = RECIPES["mnist-backdoor-patch"], contest.table()["patch, 3 %"][0]
    poisoned, touched = recipe.poisoned()
    plan, model = contest.ATTACKS["patch, 3 %"], models.load("mnist-backdoor-patch")
    scene = contest.Scene(plan, 0, model, poisoned, touched, TEST)
    cheap = ("clusters, ICA", "spectral, ten directions", "distance to trusted images", "STRIP")
    row = contest.judged(scene, cheap)
    assert row["success"] == pytest.approx(stored["success"], abs=0.01)
    for name in cheap:
        assert row["caught"][name] == pytest.approx(stored["caught"][name], abs=0.05), name


# ---- bad input ----


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: Trigger("frown"), "kind: got 'frown'"),
        (lambda: Trigger(place=3), "place: got 3"),
        (lambda: Trigger(place=(1.5, 2)), "place: got 1.5"),
        (lambda: Trigger(size=0), "size: got 0"),
        (lambda: Trigger(alpha=1.1), "alpha: got 1.1"),
        (lambda: Trigger(seed=-1), "seed: got -1"),
        (lambda: Trigger(size=9)(torch.rand(1, 1, 8, 8)), "trigger: got a square of side 9 .*8 x 8 pixels"),
        (lambda: Trigger(place=(7, 7))(torch.rand(1, 1, 8, 8)), "trigger: got a square of side 3 at"),
        (lambda: poison(some(), Trigger(size=9), 1, 0), "trigger: got a square of side 9"),
        (lambda: poison(some(), "patch", 1, 0.1), "trigger: got 'patch'; allowed is a Trigger"),
        (lambda: poison(some(), PATCH, 3, 0.1), "target: got 3"),
        (lambda: poison(some(), PATCH, 1, 1.1), "share: got 1.1"),
        (lambda: poison(some(), PATCH, 1, -0.1), "share: got -0.1"),
        (lambda: poison(some(), PATCH, 1, 0.7), "share: got 42 images .*other classes.*40"),
        (lambda: poison(some(), PATCH, 1, 0.4, clean_label=True), "share: got 24 images .*class 1.*20"),
        (lambda: poison(some(), PATCH, 1, 0.1, source=1), "source: got the target, 1"),
        (lambda: poison(some(), PATCH, 1, 0.1, source=5), "source: got 5"),
        (
            lambda: poison(some(), PATCH, 1, 0.1, source=2, clean_label=True),
            "source: got one with clean_label",
        ),
        (lambda: poison(some(), PATCH, 1, 0.1, covers=2), "covers: got 2"),
        (lambda: poison(some(), PATCH, 1, 0.1, covers=0.9), "covers: got 54 images"),
        (lambda: poison(some(), PATCH, 1, 0.1, clean_label="no"), "clean_label: got 'no'"),
        (lambda: poison(some(), PATCH, 1, 0.1, seed=-1), "seed: got -1"),
        (lambda: poison(some().images, PATCH, 1, 0.1), "data: got Tensor"),
        (lambda: label_consistent(some(), PATCH, 1, 0.1, white_corner(), "PGD"), "attack: got 'PGD'"),
        (lambda: backdoor_success(white_corner(), PATCH, *some().first(9), 3), "target: got 3"),
        (lambda: backdoor_success(white_corner(), PATCH, *some().first(9), 1.0), "target: got 1.0"),
        (lambda: backdoor_success(white_corner(), PATCH, *some().first(9), -1), "target: got -1"),
        (lambda: backdoor_success(white_corner(), PATCH, *some().first(9), 1, 3), "source: got 3"),
        (lambda: backdoor_success(white_corner(), "patch", *some().first(9), 1), "trigger: got 'patch'"),
        (
            lambda: backdoor_success(white_corner(), Trigger(size=9), *some().first(9), 1),
            "trigger: got a square of side 9",
        ),
        (lambda: backdoor_success(white_corner(), PATCH, *some().first(0), 1), "y: got no label of another"),
        (
            lambda: backdoor_success(white_corner(), PATCH, some().images, some().labels[:1], 1),
            "y: got a tensor of shape",
        ),
        (
            lambda: backdoor_success(white_corner(), PATCH, some().images, some().labels + 7, 1),
            "y: got label 9",
        ),
        (lambda: backdoor_success(white_corner(), PATCH, *some().first(9), 1, 1), "source: got the target"),
        (
            lambda: backdoor_success(white_corner(), PATCH, torch.rand(2, 1, 4, 4), torch.ones(2).long(), 1),
            "y: got no label of another class",
        ),
        (lambda: contest.stage("smudge", some(), some()), "attack: got 'smudge'"),
        (lambda: train_victim(some(), architecture="vgg"), "name: got 'vgg'"),
    ],
)
def test_bad_input_is_named(call, message):
    """Against the messages, which must name the argument and what was given."""
    with pytest.raises(InputError, match=message):
        call()
