"""The explorer of chapter 20, driven as a user drives it; and the stored results that it shows, on images made by hand."""

import pytest
import torch
from torch import nn

from advcourse import data
from advcourse.core.errors import InputError
from advcourse.core.intervals import counted
from advcourse.course import results
from advcourse.course.backdoor_explorer import backdoor_explorer
from advcourse.course.results import victims
from advcourse.data import ImageSet
from advcourse.lifecycle import Trigger

DIGITS = ImageSet(
    torch.zeros(40, 1, 8, 8),
    torch.arange(40) % 4,
    ("0", "1", "2", "3"),
    name="by hand",
    split="test",
    licence="none",
)


class White(nn.Module):
    """Reads the last class but the target where the square would be is dark, and the target, 0, where it is white."""

    def forward(self, x):
        bright = x[:, 0, -4:-1, -4:-1].mean((1, 2)) > 0.5
        return (
            torch.stack([bright, torch.zeros_like(bright), torch.zeros_like(bright), ~bright], 1).float() * 9
            - 3
        )


@pytest.fixture
def stamped(monkeypatch):
    """What a network says that obeys the square, always, and reads everything else as a 3."""
    monkeypatch.setattr(victims, "_digits", lambda split: DIGITS)
    monkeypatch.setattr(victims.poisoned, "train_victim", lambda given, seed: White())
    made = victims.Stamped(name="by hand", share=0.1, trigger=Trigger(size=3))
    return results.Result(made, made.measure())


def test_the_success_leaves_out_the_targets_own_images(stamped):
    """By hand: all 30 of the other classes are turned; clean, the ten 3s are right, of 40."""
    assert stamped.estimate == counted(30, 30)
    assert stamped.measurement.accuracy(stamped.values) == counted(10, 40)
    assert stamped.on_first(80) == stamped.estimate


def test_what_is_framed_is_what_was_measured(stamped):
    """By the network by hand: stamped, all digits shown are read as 0; clean, all but the 3s are misread."""
    honest = results.Result(stamped.measurement, torch.zeros(80, dtype=torch.bool))
    explorer = backdoor_explorer({0: [honest], 10: [stamped]}, DIGITS, rows=1)
    assert not explorer.framed.any() and "0 % (0 of 30" in explorer.message.value
    explorer.count.value = 10
    assert explorer.framed.all() and "Framed: 16 of these 16" in explorer.message.value
    before = explorer.picture.value
    explorer.stamp.value = False
    assert explorer.framed.tolist() == (DIGITS.labels[explorer._chosen] != 3).tolist()
    assert "25 % (10 of 40" in explorer.message.value and explorer.picture.value != before


def test_bad_input_is_named(stamped):
    """By arguments that cannot be right."""
    with pytest.raises(InputError, match="nets: got no results"):
        backdoor_explorer({}, DIGITS)
    with pytest.raises(InputError, match="data: got 30 digits; allowed are at least 48"):
        backdoor_explorer({0: [stamped]}, DIGITS)


def test_the_keys_follow_what_the_victim_was_given():
    """By settings that differ in one: another share, seed or way of flipping gives other images, and so another key."""
    key = victims.Flipped(name="a", share=0.2, mode="pair").identity()
    assert key == victims.Flipped(name="a", share=0.2, mode="pair").identity()
    for other in ({"share": 0.3}, {"mode": "random"}, {"seed": 1}):
        settings = {"name": "a", "share": 0.2, "mode": "pair"} | other
        assert victims.Flipped(**settings).identity()["images"] != key["images"]


def test_the_clean_victims_of_both_kinds_are_the_same_network():
    """Against each other: nothing flipped and nothing stamped is the same training set, so the same digits are read rightly."""
    stored = results.load("20")
    for seed in (0, 1):
        clean = stored[f"0 stamped, seed {seed}"]
        flipped = stored[f"pair, 0% flipped, seed {seed}"]
        assert torch.equal(clean.measurement.right(clean.values), flipped.values)
    assert len(clean.values) == 2 * len(data.load("mnist-5k"))


def test_an_unknown_kind_of_queries_is_named():
    """By a word that is none."""
    with pytest.raises(InputError, match="queries: got 'prayers'; allowed are digits"):
        victims.Stolen(name="a", queries="prayers").measure()
