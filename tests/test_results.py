"""Stored results: that they are up to date, that they are what one measures, and that what is out of date is noticed."""

import ast
import json
import math
import shutil

import pytest
import torch
from test_layers import FILES, IMPORTS, module_name
from torch import nn
from torch.nn import functional as F
from typer.testing import CliRunner

from advcourse import attacks, cli, data, models
from advcourse.core.errors import InputError
from advcourse.core.intervals import counted
from advcourse.course import results
from advcourse.course.results import ch02, ch03, measured, sources, stored, transfer

CHAPTERS = results.chapters()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The results of chapter 02 in a folder of their own, with two of its measurements."""
    for name in ("ch02.py", "ch02.json"):
        shutil.copy(stored._FOLDER / name, tmp_path)
    monkeypatch.setattr(stored, "_FOLDER", tmp_path)
    two = [item for item in ch02.MEASURED if item.name in ("FGSM at 0.3", "LLC at 0.3, target reached")]
    monkeypatch.setattr(ch02, "MEASURED", two)
    results.refresh("02", tell=lambda line: pytest.fail(f"both were up to date: {line}"))
    return tmp_path


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_no_result_is_out_of_date(chapter):
    """Against the code, settings, weights and images as they are now. If this fails, it says which command to run."""
    assert results.stale(chapter) == {}


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_what_is_printed_in_the_file_follows_from_its_values(chapter):
    """By the values beside it: the file's readable line is what they give, and every measurement has one."""
    file = json.loads((stored._FOLDER / f"ch{chapter}.json").read_text(encoding="utf-8"))
    assert {name: str(result) for name, result in results.load(chapter).items()} == {
        name: entry["printed"] for name, entry in file.items()
    }


@pytest.mark.parametrize(
    "name", ["random signs at 0.3", "R+FGSM at 0.2", "LLC at 0.3, target reached", "FGSM at 8/255 on signs"]
)
def test_a_sample_measured_again_is_what_is_stored(name):
    """Against a new run, image by image. Rounding on another processor may move a borderline image or two of 100 across."""
    result = results.load("02")[name]
    assert (result.measurement.measure(100) != result.values[:100]).sum() <= 2
    assert abs(result.again(100).value - result.on_first(100).value) <= 0.02 and result.again(100).n == 100


def test_a_smallest_budget_measured_again_is_what_is_stored():
    """Against a new run on 50 digits: the same step of the grid, but for a borderline image or two."""
    result = results.load("01")["smallest eps, FGSM, mnist-mlp"]
    assert (result.measurement.measure(50) != result.values[:50]).sum() <= 2


def test_the_stored_rate_of_fgsm_is_fgsm_by_hand():
    """Against the formula x + eps sign grad J, written out in float64, on 200 digits; again but for a borderline image or two."""
    result = results.load("02")["FGSM at 0.2"]
    model, x, y = models.load("mnist-cnn").double(), *(part for part in data.load("mnist-5k").first(400))
    x = x.double()
    right = model(x).argmax(1) == y
    x, y = x[right][:200].requires_grad_(), y[right][:200]
    (gradient,) = torch.autograd.grad(F.cross_entropy(model(x), y, reduction="sum"), x)
    fooled = model((x + 0.2 * gradient.sign()).clamp(0, 1)).argmax(1) != y
    assert (fooled != result.values[:200]).sum() <= 2
    assert result.estimate == counted(int(result.values.sum()), 985)


def test_a_stored_transfer_is_one_by_hand():
    """Against FGSM written out in float64 on one network and read by another, on digits that all four read rightly; again but
    for a borderline image or two."""
    result = results.load("03")["FGSM, mnist-small to mnist-mlp"]
    x, y = data.load("mnist-5k").first(250)
    right = torch.stack([models.load(name)(x).argmax(1) == y for name in ch03.NETWORKS]).all(0)
    x, y = x[right][:200].double().requires_grad_(), y[right][:200]
    made_on, reader = (models.load(f"mnist-{name}").double() for name in ("small", "mlp"))
    (gradient,) = torch.autograd.grad(F.cross_entropy(made_on(x), y, reduction="sum"), x)
    misread = reader((x + 0.25 * gradient.sign()).clamp(0, 1)).argmax(1) != y
    assert len(x) == 200 and (misread != result.values[:200]).sum() <= 2


def test_three_networks_together_are_attacked_through_the_mean_of_their_logits():
    """Against the mean by hand; and a sample measured again is what is stored, but for a borderline image or two."""
    x = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    networks = [models.load(name) for name in ("mnist-small", "mnist-mlp")]
    torch.testing.assert_close(transfer.MeanLogits(networks)(x), (networks[0](x) + networks[1](x)) / 2)
    result = results.load("03")["three together, the others to mnist-cnn"]
    assert (result.measurement.measure(50) != result.values[:50]).sum() <= 2


def test_the_key_of_a_transfer_follows_each_of_its_networks():
    """By pairs that differ in the attacked network, in the one that reads, or in those that must be right: another key."""
    settings = {"name": "a", "attack": attacks.FGSM(0.1), "made_on": ("mnist-small",), "model": "mnist-mlp"}
    key = results.Transfer(**settings).identity()
    assert results.Transfer(**settings).identity() == key
    for other in ({"made_on": ("mnist-wide",)}, {"model": "mnist-wide"}, {"read_by": ("mnist-wide",)}):
        assert results.Transfer(**settings | other).identity()["weights"] != key["weights"], other
    with pytest.raises(InputError, match="made_on: got no network"):
        results.Transfer(**settings | {"made_on": ()})


def test_the_smallest_budget_of_a_linear_network_is_the_closed_form(monkeypatch):
    """Against |margin| / ||w||_1, which FGSM needs exactly on two linear classes, rounded up to the grid."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(6, 2)).double().requires_grad_(False)
    net[1].weight[:] = torch.tensor([[2, -1, 0, 1, 0, 0.5], [0, 0, 0, 0, 0, 0]])
    net[1].bias[:] = torch.tensor([-1.25, 0])  # so that the boundary passes through the middle of the box
    generator = torch.Generator().manual_seed(0)
    x = 0.4 + 0.2 * torch.rand(40, 1, 2, 3, generator=generator, dtype=torch.float64)
    y = net(x).argmax(1)
    monkeypatch.setattr(measured, "_subjects", lambda *_: (net, x, y))
    item = results.SmallestEps(name="linear", kind=attacks.FGSM, grid=(0.01, 0.02, 0.03, 0.04))
    exact = (net(x)[:, 0] - net(x)[:, 1]).abs() / 4.5
    expected = [next((eps for eps in item.grid if eps > value), math.inf) for value in exact.tolist()]
    assert item.measure().tolist() == expected
    assert set(expected) == {0.01, 0.02, 0.03, 0.04, math.inf}


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("code", "the code of its attack, network or count changed"),
        ("settings", "its settings changed"),
        ("weights", "the weights changed"),
        ("images", "the images changed"),
    ],
)
def test_each_change_is_noticed_and_named(folder, part, said):
    """By hand: another key in the file, and the sentence that says what changed and what to run."""
    content = json.loads((folder / "ch02.json").read_text(encoding="utf-8"))
    content["FGSM at 0.3"]["identity"][part] = "another"
    (folder / "ch02.json").write_text(json.dumps(content), encoding="utf-8")
    assert results.stale("02") == {
        "FGSM at 0.3": f"FGSM at 0.3: {said} since it was measured; run `python -m advcourse refresh --results 02`"
    }


def test_refreshing_measures_what_is_out_of_date_and_drops_what_is_not_measured(folder, monkeypatch):
    """By counting the runs: one for the one that is missing; the file is complete again, and a name too many has gone."""
    file = folder / "ch02.json"
    before = json.loads(file.read_text(encoding="utf-8"))
    changed = {"FGSM at 0.3": before["FGSM at 0.3"], "no more": before["FGSM at 0.3"]}
    file.write_text(json.dumps(changed), encoding="utf-8")
    assert sorted(results.stale("02")) == ["LLC at 0.3, target reached", "no more"]
    with pytest.raises(InputError, match="LLC at 0.3, target reached was never measured; run `python -m adv"):
        results.load("02")
    told = CliRunner().invoke(cli.app, ["refresh", "--results", "02"])
    assert told.exit_code == 0 and told.stdout.count("chapter 02, ") == 1, told.output
    after = json.loads(file.read_text(encoding="utf-8"))
    assert list(after) == ["FGSM at 0.3", "LLC at 0.3, target reached"]
    assert after["FGSM at 0.3"] == before["FGSM at 0.3"]


def test_the_key_follows_each_setting():
    """By pairs that differ in one thing: the key of that thing differs, and no other."""
    fgsm = results.Rate(name="a", attack=attacks.FGSM(0.1))
    key = fgsm.identity()
    others = {
        "settings": results.Rate(name="a", attack=attacks.FGSM(0.2)),
        "weights": results.Rate(name="a", attack=attacks.FGSM(0.1), model="mnist-distilled"),
        "code": results.Rate(name="a", attack=attacks.DeepFool()),
    }
    for part, other in others.items():
        assert other.identity()[part] != key[part], part
    assert results.Rate(name="a", attack=attacks.FGSM(0.1)).identity() == key
    assert others["settings"].identity() | {"settings": key["settings"]} == key


def test_the_imports_are_read_rightly():
    """Against the reader of imports in tests/test_layers.py, which was written apart, on all modules that attacks may import."""
    for path in FILES:
        name = module_name(path)
        if name.split(".")[1:2] in (["attacks"], ["core"], ["metrics"], ["models"]):
            assert sources._imported(name) == IMPORTS[name], name


def test_code_counts_and_words_do_not(monkeypatch):
    """By hand: comments and docstrings leave the text as it is; a number does not. Only what is imported counts."""
    code = "def f(x):\n    return x + 1\n"
    worded = '"""A module."""\n\n# Why.\ndef f(x):\n    """Add\n    one."""\n\n    return x + 1\n'
    assert sources.without_words(worded) == sources.without_words(code) == code.strip()
    assert sources.without_words(code.replace("1", "2")) != code.strip()
    in_a_string = 'x = """\n# one\n"""'
    assert sources.without_words(in_a_string) == in_a_string
    assert ast.dump(ast.parse(sources.without_words(worded))) == ast.dump(ast.parse(code))

    text, start = sources._code, ["advcourse.attacks.gradient_sign"]
    key = sources.code_of(start)
    for module, counts in {
        "attacks.base": True,
        "core.inputs": True,
        "attacks.uap": False,
        "core.files": False,
    }.items():
        changed = f"advcourse.{module}"
        monkeypatch.setattr(
            sources, "_code", lambda name, changed=changed: text(name) + "#" * (name == changed)
        )
        assert (sources.code_of(start) != key) is counts, module


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: results.load("99"), "chapter: got '99'; allowed are '01', '02'"),
        (lambda: results.load("02")["FGSM at 0.3"].again(986), "n: .*985"),
        (lambda: results.Rate(name="a", attack=attacks.FGSM(0.1), counted="all"), "counted: got 'all'"),
        (lambda: results.Rate(name="a", attack=attacks.FGSM(0.1), images="cifar10"), "images: got 'cifar10'"),
        (lambda: results.SmallestEps(name="a", kind=attacks.FGSM, grid=(0.2, 0.1)), "grid: got"),
    ],
)
def test_what_is_asked_wrongly_is_said(wrong, said):
    """By hand: the message names the argument, what was given and what is allowed."""
    with pytest.raises(InputError, match=said):
        wrong()
