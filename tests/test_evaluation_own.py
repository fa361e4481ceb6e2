"""Attacks of one's own in a settings file, and budgets as fractions."""

import sys

import pytest
import torch
from settings_files import BASE, told, write

from advcourse import models
from advcourse.attacks import FGSM
from advcourse.cases.phone import HELD_OUT
from advcourse.core.inputs import InputError, predict
from advcourse.evaluation import compare, run, tables
from advcourse.evaluation.settings import read

CODE = """
from dataclasses import dataclass
from advcourse.attacks import FGSM, PGD

@dataclass(frozen=True)
class Mine(FGSM):
    pass

@dataclass(frozen=True)
class Described(FGSM):
    weight: "float" = 2.0
    loud: "bool" = False

ready = PGD(0.25, steps=3)
number = 3

def attack():
    return FGSM(0.2)

def raises():
    raise KeyError("lost")

def nothing():
    return None
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder with the code above in own_attacks.py."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "own_attacks", raising=False)
    (tmp_path / "own_attacks.py").write_text(CODE)


def cells(attacks):
    return read(write(f"{BASE}attacks: {attacks}\n")).cells


@pytest.mark.parametrize("module", ["own_attacks", "own_attacks.py"])
def test_a_class_takes_settings_and_a_list_of_budgets(module):
    """By hand: a cell for each of two budgets, named after the class; the fields are the settings."""
    found = cells(f'{{build: "{module}:Mine", eps: [0.1, 8/255], targeted: true}}')
    assert [(cell.names.attack, cell.names.variant) for cell in found] == [
        ("Mine", "eps 0.1"),
        ("Mine", "eps 0.0313725"),
    ]
    assert [cell.attack.eps for cell in found] == [0.1, 8 / 255] and all(
        cell.attack.targeted for cell in found
    )
    assert {type(cell.attack).__name__ for cell in found} == {"Mine"}


def test_types_may_be_written_as_texts():
    """As with `from __future__ import annotations`. By hand: 1 is the weight 1.0 there, and a flag is no number."""
    [cell] = cells('{build: "own_attacks:Described", weight: 1}')
    assert repr(cell.attack) == "Described(eps=0.3, targeted=False, weight=1.0, loud=False)"
    [line] = told(BASE + 'attacks: {build: "own_attacks:Described", loud: 1}\n')
    assert line.endswith("attacks.loud: got 1; allowed are true and false")


def test_an_attack_and_a_function_that_returns_one():
    """The attacks in the file, by hand, with the names of what made them or those that were given."""
    found = cells('[{build: "own_attacks:ready"}, {build: "own_attacks:attack", name: by hand}]')
    assert [cell.names.attack for cell in found] == ["ready", "by hand"]
    assert found[0].attack.steps == 3 and found[1].attack == FGSM(0.2)


def test_ones_own_attack_is_measured_as_any(tmp_path):
    """Checks the record against that of the library's attack which it returns: equal numbers."""
    outcome = run(cells('[{build: "own_attacks:attack"}, {attack: FGSM, eps: 1/5}]'), tmp_path / "cells")
    own, library = outcome.records
    assert (own.size == library.size).all() and (own.success == library.success).all()


def test_a_physical_attack_is_judged_on_photographs_and_kept_apart(tmp_path):
    """Checks the record against photographs of its own pictures, taken by hand, and that `compare` refuses to rank it."""
    settings = "steps: 3, eps: 0.2, alpha: 0.1"
    given = f"[{{attack: PhonePGD, draws: 1, {settings}}}, {{attack: PGD, {settings}}}]"
    paper, screen = run(cells(given), tmp_path / "cells").records
    assert (paper.threat_model.name, screen.threat_model.name) == (
        "L∞ ≤ 0.2, untargeted, physical",
        "L∞ ≤ 0.2, untargeted",
    )
    pictures = HELD_OUT(torch.from_numpy(paper.pictures["attacked"]))
    read = predict(models.load("mnist-mlp"), pictures).argmax(1)
    assert paper.values["prediction"].tolist() == read.tolist()
    assert tables.strongest([paper, screen])["attacks"].tolist() == [1, 1]
    with pytest.raises(InputError, match="2 threat models"):
        compare({"paper": paper, "screen": screen}, "success")
    [again] = run(cells(given)[:1], tmp_path / "cells").records  # as it was stored
    assert again.threat_model == paper.threat_model


MISTAKES = {
    '{build: "own_absent:Mine"}': "build: got 'own_absent:Mine'; allowed is 'package.module:function', which can be imported",
    '{build: "own_attacks:none"}': "build: got 'own_attacks:none'; allowed is",
    '{build: "own_attacks:number"}': "build: got 'own_attacks:number', which raises TypeError",
    '{build: "own_attacks:raises"}': "build: got 'own_attacks:raises', which raises KeyError: 'lost'",
    '{build: "own_attacks:nothing"}': "build: 'own_attacks:nothing' returned NoneType; allowed is an attack",
    '{build: "own_attacks:ready", eps: 0.1}': "eps: unknown key; allowed are build, name",
    '{build: "own_attacks:Mine", attack: FGSM}': "attack: unknown key; allowed are build, name, eps",
    '{build: "own_attacks:Mine", eps: -1}': "eps: got -1; allowed is a number >= 0",
    "{build: 3}": "build: got 3; allowed is text",
    "{name: x}": "attack: missing; allowed are FGSM",
    "{attack: FGSM, eps: 8/0}": "eps: got 8/0; allowed is a fraction such as 8/255",
    "{attack: FGSM, eps: -8/255}": "eps: got -0.0313",
    "{attack: PGD, steps: 1/2}": "steps: got 0.5; allowed is an integer",
}


@pytest.mark.parametrize("attack", MISTAKES)
def test_a_mistake_is_told_by_its_key(attack):
    """The sentences, written out by hand."""
    [line] = told(f"{BASE}attacks: {attack}\n")
    assert line.startswith(f"m.yml, line 3, attacks.{MISTAKES[attack]}"), line


@pytest.mark.parametrize(
    "text, value", [("8/255", 8 / 255), ("8 / 255", 8 / 255), ("0.5/2", 0.25), ("+1/4", 0.25)]
)
def test_a_budget_may_be_a_fraction(text, value):
    """Python's own quotient."""
    [cell] = cells(f"{{attack: FGSM, eps: {text}}}")
    assert cell.attack == FGSM(value)


def test_text_with_a_slash_stays_text():
    """The title and the name, by hand: what is in quotes, or more than a fraction, is text."""
    found = read(write(f'title: "8/255"\n{BASE}attacks: {{attack: FGSM, name: eps 8/255}}\n'))
    assert found.title == "8/255" and found.cells[0].names.attack == "eps 8/255"
