"""The command `advcourse audit`: what it prints and writes, its exit status, and how models and attacks are named."""

import json

import pytest
from typer.testing import CliRunner

from advcourse import cli, models
from advcourse.attacks import FGSM, PGD
from advcourse.course import auditing
from advcourse.evaluation.audit.findings import CHECKS
from advcourse.zoo import deployed

OWN = """
import torch
from torch import nn

def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))

def attack(model, x, y, eps=0.1):
    return x
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """`run(*arguments)`: the result of `advcourse audit ARGUMENTS` in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return lambda *arguments: CliRunner().invoke(cli.app, ["audit", *arguments])


def test_it_prints_lights_and_writes_a_page(run, tmp_path):
    """Four digits and a single step, whose lights stand in the JSON as they do on the screen; status 1 means red."""
    result = run("mnist-nat", "FGSM(eps=0.3)", "--images", "4", "--out", "here")
    content = json.loads((tmp_path / "here" / "audit.json").read_text(encoding="utf-8"))
    assert content["images"] == 4 and [one["check"] for one in content["findings"]] == list(CHECKS)
    for finding in content["findings"]:
        assert f"{finding['light']:<6} {finding['check']:>6}  {finding['sentence']}" in result.output
    assert result.exit_code == (content["light"] == "red")
    assert {path.name for path in (tmp_path / "here").iterdir()} == {
        "audit.html",
        "audit.md",
        "audit.json",
        "cells",
    }
    page = (tmp_path / "here" / "audit.html").read_text(encoding="utf-8")
    assert "FGSM(eps=0.3) on mnist-nat" in page


def test_a_model_and_an_attack_of_a_file_are_red(run, tmp_path):
    """A function that changes nothing: the budget is not used, and the status is 1. One that can't be loaded is told."""
    (tmp_path / "own_audit.py").write_text(OWN, encoding="utf-8")
    result = run("own_audit.py:net", "own_audit.py:attack", "--images", "4")
    assert result.exit_code in (0, 1), result.output
    assert "the median change is 0: less than half" in result.output or "leaves no image" in result.output


def test_attacks_are_named_in_three_ways():
    """Against the attacks that the names stand for."""
    assert auditing.read_attack("FGSM", "mnist-mlp") == FGSM()
    assert auditing.read_attack("PGD(eps=8/255, steps=3)", "mnist-mlp") == PGD(8 / 255, steps=3)
    assert auditing.read_attack("PGD 100 x 10", "PAT") is deployed.DEFENSES["PAT"].adaptive["PGD 100 x 10"]


def test_models_are_named_in_two_ways():
    """Against the types of a shipped network and of a defense around one."""
    assert type(auditing.read_model("mnist-mlp")) is type(models.load("mnist-mlp"))
    assert type(auditing.read_model("RT")) is type(deployed.load("RT"))
