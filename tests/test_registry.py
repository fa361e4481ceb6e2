"""The two registries: all attacks, and those of the survey's Table 1, which stay the survey's whatever is added."""

import runpy
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import find
from settings_files import BASE, write

from advcourse import attacks
from advcourse.attacks.hyperparameters import number
from advcourse.course import coverage
from advcourse.evaluation.settings import read

DRAWN = Path(__file__).with_name("drawn_attacks.py")


@dataclass(frozen=True)
class Grey(attacks.Attack):
    """Everything a little greyer: an attack that no survey has, with a field that no other attack has."""

    greyness: float = number(0.1, low=0, high=0.25)
    kind: ClassVar[str] = "budgeted"
    norm: ClassVar[str] = "L2"


@pytest.fixture
def grey(tmp_path, monkeypatch):
    """`Grey`, registered; and an empty folder to write files in."""
    monkeypatch.setitem(attacks.REGISTRY, "Grey", Grey)
    monkeypatch.chdir(tmp_path)
    return Grey


def measured(word):
    return {cell.name: cell.attack for cell in read(write(f"{BASE}attacks: {word}\n")).cells}


def test_table_1_is_the_surveys():
    """Against the ids of docs/survey.md, each with its class, in order: 18, and all of them are registered."""
    covered = [entry.code for key, entry in coverage.REGISTRY.items() if key.startswith("attack.")]
    assert covered == [f"advcourse.attacks:{name}" for name in attacks.TABLE_1] and len(covered) == 18
    assert list(attacks.REGISTRY)[:18] == list(attacks.TABLE_1)
    assert all(
        attacks.REGISTRY[name] is cls is getattr(attacks, name) for name, cls in attacks.TABLE_1.items()
    )


def test_an_attack_beyond_table_1_is_measured_where_all_are(grey):
    """By hand: `all` has it beside the others, its name alone is enough, and `table 1` is as it was."""
    survey = {name: kind() for name, kind in attacks.TABLE_1.items()}
    assert measured("all").items() >= ({"Grey": grey()} | survey).items()
    assert measured("{attack: Grey, greyness: 0.2}") == {"Grey": grey(0.2)}
    assert measured("table 1") == survey and "Grey" not in survey


def test_an_attack_beyond_table_1_takes_the_contracts_tests(grey):
    """By hand: the decorator of those tests, made anew, has its class and name, and its field is drawn over the whole range."""
    drawn = runpy.run_path(str(DRAWN))
    mark = drawn["ATTACKS"].mark
    assert grey in mark.args[1] and "Grey" in mark.kwargs["ids"]
    assert set(attacks.REGISTRY.values()) <= set(mark.args[1])
    for wanted in (
        lambda one: one.greyness == 0,
        lambda one: one.greyness == 0.25,
        lambda one: 0 < one.greyness < 0.1,
    ):
        assert 0 <= find(drawn["attacks_of"](grey), wanted).greyness <= 0.25


def test_an_attack_beyond_table_1_leaves_the_surveys_coverage_alone(grey):
    """Against the README's table, which was written without it."""
    readme = (DRAWN.parent.parent / "README.md").read_text(encoding="utf-8")
    assert coverage.as_markdown() in readme
