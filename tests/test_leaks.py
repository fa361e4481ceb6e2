"""What leaks from which training: the stored measurements against what is known, and one of them measured again."""

import pytest
import torch

from advcourse.core.inputs import InputError
from advcourse.lifecycle import load_shadows
from advcourse.zoo import life, shipped

STORED = life.load_leaks()


def values(name, attack, key):
    """One number of an attack for each seed."""
    return [found[attack][key] for found in STORED[name]]


def mean(numbers):
    return sum(numbers) / len(numbers)


def test_every_training_was_measured_with_its_seeds():
    """By the names and the number of seeds; all numbers are shares."""
    assert {name: len(found) for name, found in STORED.items()} == {
        name: len(training.seeds) for name, training in life.TRAININGS.items()
    }
    for found in (one for seeds in STORED.values() for one in seeds):
        rates = [rate for attack in life.ATTACKS for rate in found[attack].values()]
        assert len(rates) == 3 * len(life.ATTACKS) and 0 <= min(rates) <= max(rates) <= 1


def test_more_data_leak_less():
    """Against what Yeom et al. 2018 and Carlini et al. 2022 find: with more data the gap closes and every attack loses, for each
    seed; and at each size LiRA is certain of at least three times as many members as one threshold."""
    sizes = ("plain", "1000 digits", "2500 digits")
    for seed in range(3):
        rows = [STORED[name][seed] for name in sizes]
        outside = [row["outside"] for row in rows]
        assert outside == sorted(outside) and all(row["inside"] >= 0.99 for row in rows)
        for attack in ("threshold", "LiRA online", "LiRA offline"):
            falling = [row[attack]["auc"] for row in rows]
            assert falling == sorted(falling, reverse=True), attack
        for row in rows:
            assert row["LiRA online"]["tpr_at_1"] >= 3 * row["threshold"]["tpr_at_1"]


def test_each_defense_has_its_cost():
    """Against what the papers say: DP-SGD leaks least, and costs most accuracy (Abadi et al. 2016); short training leaks less and
    costs some; PGD training leaks more than plain training, although it reads more unseen digits (Song et al. 2019)."""
    tpr = {name: mean(values(name, "LiRA online", "tpr_at_1")) for name in STORED}
    outside = {name: mean([found["outside"] for found in seeds]) for name, seeds in STORED.items()}
    assert min(tpr, key=tpr.get) == "private" and min(outside, key=outside.get) == "private"
    assert tpr["5 epochs"] <= tpr["plain"] / 2 and outside["5 epochs"] <= outside["plain"] - 0.03
    area = {name: mean(values(name, "LiRA online", "auc")) for name in STORED}
    assert area["PGD"] >= area["plain"] + 0.02 and outside["PGD"] > outside["plain"]


@pytest.mark.slow
def test_one_measurement_again():
    """Against a new run of 16 short trainings. Other rounding would train other nets; other seeds differ by 0.01 in the AUC."""
    again, stored = life.leaks(life.TRAININGS["5 epochs"].shadows(0)), STORED["5 epochs"][0]
    within = life.ARTEFACTS["leaks"].within
    assert again["outside"] == pytest.approx(stored["outside"], abs=within)
    for attack in life.ATTACKS:
        assert again[attack]["auc"] == pytest.approx(stored[attack]["auc"], abs=within), attack


def test_the_pool_is_the_training_digits_first():
    """Against the shipped set, whose labels are the first 500 of the same pool; all 5 000 digits are there."""
    x, y = life.pool(5000)
    assert x.shape == (5000, 1, 28, 28) and torch.equal(y[:500], load_shadows().labels)


def test_an_artefact_is_made_where_one_says(tmp_path, monkeypatch):
    """By an artefact whose making is known: it is written into the folder, and compared with the shipped one."""
    made = life.Artefact(
        "leaks.json", "x", lambda path: path.write_text("{}"), lambda path: len(path.read_text()), 0.0
    )
    before, now = made.again(tmp_path / "new")
    assert (tmp_path / "new" / "leaks.json").read_text() == "{}" and now == 2 < before
    monkeypatch.setitem(life.ARTEFACTS, "made", made)
    assert shipped.again("made", tmp_path) == ("x", before, 2)
    assert set(life.ARTEFACTS) < set(shipped.names()) and "mnist-small" in shipped.names()
    with pytest.raises(InputError, match="name: got 'nothing'"):
        shipped.again("nothing", tmp_path)
