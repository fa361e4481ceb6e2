"""Stored readings of people with frames: the counts by hand, and a few photographs measured again."""

import pytest
import torch

from advcourse import models
from advcourse.cases import faces as case
from advcourse.core.errors import InputError
from advcourse.core.intervals import counted
from advcourse.course import results
from advcourse.course.results.ch09 import ATTACK, PAIRS
from advcourse.course.results.frames import EACH, Readings
from advcourse.course.results.untaught import Untaught
from advcourse.data import faces


def test_dodging_and_impersonation_are_counted_by_hand():
    """By hand: of a person's 12 readings 7 are right, 3 the target, 2 a third person: 5 of 12 dodge, 3 of 12 impersonate."""
    kim, alex, noa = (float(faces.CLASSES.index(name)) for name in ("Kim", "Alex", "Noa"))
    values = torch.tensor([kim] * 7 + [alex] * 3 + [noa] * 2, dtype=torch.float64)
    pairs = (("Kim", "Alex"),)
    away, posing = (
        Readings(name="a", pairs=pairs, wearing=wearing, attack=ATTACK)
        for wearing in ("dodging", "impersonation")
    )
    assert away.estimate(values) == counted(5, 12) and posing.estimate(values) == counted(3, 12)
    assert away.right(values).tolist() == [True] * 7 + [False] * 5
    assert posing.reached(values[:8]).tolist() == [False] * 7 + [True]


def test_readings_are_those_of_the_case():
    """Against `case.measure` on the second person, with a plain black frame; rounding may move one photograph of 12 across."""
    values = results.load("09")["black"].values
    person = PAIRS[1][0]
    measured = case.measure(
        models.load("faces-cnn"), case.album(person, "test"), case.plain_frame("black")
    ).dodged
    stored = (values[EACH : 2 * EACH] != faces.CLASSES.index(person)).sum()
    assert abs(round(measured.value * EACH) - int(stored)) <= 1


def test_plain_glasses_measured_again_are_what_is_stored():
    """Against a new reading of 40 photographs by the shipped network; rounding may move one across."""
    result = results.load("09")["black glasses"]
    assert (result.measurement.measure(40) != result.values[:40]).sum() <= 1
    bare = Untaught(name="bare", colour=None, taught=True).measure(40)
    x, y = faces.load("test").first(40)
    with torch.no_grad():
        wrong = models.load("faces-cnn")(x).argmax(1) != y
    assert torch.equal(bare, wrong)


def test_each_setting_has_its_key():
    """By pairs that differ in one thing: the key of the settings differs, and that of the code does not."""
    one = Readings(name="a", pairs=PAIRS, wearing="black", attack=ATTACK).identity()
    other = Readings(name="a", pairs=PAIRS[:3], wearing="black", attack=ATTACK).identity()
    assert one["settings"] != other["settings"] and one["code"] == other["code"]


def test_what_is_asked_wrongly_is_said():
    """By hand: the message names the argument and what was given."""
    with pytest.raises(InputError, match="wearing: got 'pink'"):
        Readings(name="a", pairs=PAIRS, wearing="pink", attack=ATTACK)
    with pytest.raises(InputError, match="n: got 0"):
        Untaught(name="a", colour=None, taught=True).measure(0)
