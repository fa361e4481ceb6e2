"""The settings file of an evaluation: what it becomes, and what is told of one that is wrong."""

import shutil
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from settings_files import BASE, GOOD, told, write

from advcourse import attacks, models
from advcourse.cases.camera import Phone
from advcourse.data.transformations import JPEG, STANDARD, EightBit, GaussianBlur, GaussianNoise
from advcourse.evaluation import Cell, Conditions, DataSource, ModelSource
from advcourse.evaluation.cells import determinants
from advcourse.evaluation.settings import DEFAULT, read

ROOT = Path(__file__).resolve().parent.parent

NETS = """
import torch
from advcourse import models

def right():
    return models.load("mnist-mlp")

def random():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))

def raises():
    raise KeyError("lost")

def number():
    return 7

def three():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 3))
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Every test is in a folder of its own, and `sys.path` is afterwards as it was."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])


# What a file becomes


def test_a_file_becomes_cells():
    """Checks every key against the cells that one would write in Python: in their order, and equal in everything."""
    got = read(write(GOOD))
    transformations = (GaussianNoise(0.2), GaussianBlur(1.0), JPEG(80), EightBit(), Phone(1.0, seed=5))
    conditions = Conditions("next", 2, got.cells[0].conditions.device, 2, 32, transformations, 2)
    source = DataSource("mnist-5k", "test", 4, 3)
    wanted = [
        Cell(name, attack, ModelSource(model), source, conditions, variant)
        for model in ("mnist-mlp", "mnist-cnn")
        for name, attack, variant in (
            ("FGSM", attacks.FGSM(), ""),
            ("PGD", attacks.PGD(eps=0.05, steps=100, restarts=5), "eps 0.05"),
            ("PGD", attacks.PGD(eps=1.0, steps=100, restarts=5), "eps 1"),
            ("C&W L2, targeted", attacks.CWL2(targeted=True), ""),
        )
    ]
    assert got.title == "Table 1 on digits" and list(got.cells) == wanted
    assert repr(got.cells) == repr(tuple(wanted))  # by which a cell is found again: eps 1 is not 1.0 there
    assert got.cells[0].conditions.device in ("cpu", "cuda:0")  # settled, not "auto"


def test_what_is_left_out_is_the_default_of_the_classes():
    """Checks a file of three words against the dataclasses' own defaults."""
    got = read(write("data: mnist-5k\nmodels: mnist-mlp\nattacks: FGSM\n", "short.yml"))
    assert got.title == "short" and got.cells == (Cell("FGSM", attacks.FGSM(), ModelSource("mnist-mlp")),)
    assert got.cells[0].conditions.transformations == STANDARD


def test_a_whole_number_is_the_same_budget():
    """Checks that `eps: 1` gives the cell of `FGSM(eps=1.0)`: the key under which it is kept is made of its `repr`."""
    cells = [
        read(write(BASE + f"attacks: {{attack: FGSM, eps: {one}}}\n")).cells[0] for one in ("1", "1.0", "1e0")
    ]
    keys = {str(determinants(cell)) for cell in cells}
    assert keys == {str(determinants(replace(cells[0], attack=attacks.FGSM(eps=1.0))))}


@pytest.mark.parametrize("words", ["{}", "[{}]", "[{}, {{attack: FGSM, name: again}}]"])
@pytest.mark.parametrize("word, group", [("all", attacks.REGISTRY), ("table 1", attacks.TABLE_1)])
def test_one_word_stands_for_a_group(word, group, words):
    """Checks `all` and `table 1` against the registries, alone and in a list: every attack once, in order, at its defaults."""
    cells = read(write(f"{BASE}attacks: {words.format(word)}\n")).cells
    assert [(c.name, c.attack) for c in cells if c.name != "again"] == [
        (n, kind()) for n, kind in group.items()
    ]


def test_the_shipped_default():
    """Checks the file in the package: 18 attacks at their defaults on three models and 100 digits, and series of budgets."""
    cells = read().cells
    by_model = {
        model: [c for c in cells if c.model.name == model]
        for model in ("mnist-cnn", "mnist-wide", "mnist-mlp")
    }
    assert sum(map(len, by_model.values())) == len(cells) and {c.data for c in cells} == {
        DataSource(images=100)
    }
    for group in by_model.values():
        assert [c.attack for c in group if not c.variant] == [kind() for kind in attacks.TABLE_1.values()]
        series = {c.name: [] for c in group if c.variant}
        for cell in group:
            if cell.variant:
                series[cell.name].append((cell.attack.norm, cell.attack.eps))
        assert {name: {norm for norm, _ in points} for name, points in series.items()} == {
            "FGSM": {"Linf"},
            "BIM": {"Linf"},
            "PGD": {"Linf"},
            "PGD L2": {"L2"},
        }
        assert series["FGSM"] == series["BIM"] == series["PGD"] and min(map(len, series.values())) >= 4
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    [pattern] = project["tool"]["setuptools"]["package-data"]["advcourse.evaluation"]
    assert DEFAULT.match(pattern)  # or it would not be in an installed package


def test_numbers_and_words_are_what_they_look_like():
    """Checks 1e-3 (a text to PyYAML) and quoted words against their plain meaning."""
    text = BASE + "title: 'yes'\nattacks: {attack: FGSM, eps: 1e-3, targeted: True, name: '010'}\n"
    got = read(write(text))
    assert got.title == "yes" and got.cells[0].name == "010"
    assert got.cells[0].attack == attacks.FGSM(eps=0.001, targeted=True)


def test_options_stand_in_for_the_file():
    """Checks images and device of the caller against a file that says otherwise, even what is not to be had."""
    got = read(
        write(BASE.replace("4}", "9999}") + "device: cuda:99\nattacks: FGSM\n"), device="cpu", images=7
    )
    assert got.cells[0].data.images == 7 and got.cells[0].conditions.device == "cpu"
    [line] = told(BASE + "attacks: FGSM\n", images=5000)
    assert line == "m.yml, line 1, data: got 5000 images in place of the file's; allowed are at most 1000"
    assert told(BASE + "attacks: FGSM\n", images=0) == ["images: got 0; allowed is an integer >= 1"]
    [line] = told(BASE + "attacks: FGSM\n", device="abacus")
    assert line.startswith("device: got 'abacus'; allowed is 'auto' or a device of this machine (")


# Models


def test_a_model_that_is_built():
    """Checks a function beside the file, which is in no folder of `sys.path`: the model is the one that it builds."""
    write(NETS, "elsewhere/settings_nets_right.py")
    text = BASE.replace("mnist-mlp", '{name: mine, build: "settings_nets_right:right"}') + "attacks: FGSM\n"
    [cell] = read(write(text, "elsewhere/m.yml")).cells
    assert determinants(cell)["model"] == determinants(replace(cell, model=ModelSource("mnist-mlp")))["model"]
    assert cell.names.model == "mine"


def test_a_folder_of_weights_is_seen_from_the_file():
    """Checks a relative folder: it is below the file's, wherever the caller is; and the weights are those that were put there."""
    folder = Path("project/nets")
    folder.mkdir(parents=True)
    for path in models.store.SHIPPED.glob("mnist-mlp.*"):
        shutil.copy(path, folder / f"copied{path.suffix}")
    text = BASE.replace("mnist-mlp", "{name: copied, folder: nets}") + "attacks: FGSM\n"
    [cell] = read(write(text, "project/m.yml")).cells
    assert Path(cell.model.folder) == folder.resolve()
    assert determinants(cell)["model"] == determinants(replace(cell, model=ModelSource("mnist-mlp")))["model"]
    (folder / "copied.safetensors").unlink()
    [line] = told(text, "project/m.yml")
    assert (
        line.startswith("project/m.yml, line 2, models: weights ")
        and "copied.safetensors are missing" in line
    )


BUILDS = {
    "settings_absent:right": "allowed is 'package.module:function', which can be imported (No module named 'settings_absent')",
    "NAME:wrong": "allowed is 'package.module:function', which can be imported (module 'NAME' has no attribute 'wrong')",
    "NAME": "allowed is 'package.module:function', which can be imported",
    "NAME:number": "returned int; allowed is a torch.nn.Module",
    "NAME:raises": "got 'NAME:raises', which raises KeyError: 'lost'",
    "NAME:random": "which gives a different model each time; allowed is one with fixed weights",
    "NAME:three": "(InputError: y: got label",
}


@pytest.mark.parametrize("build", BUILDS)
def test_a_model_that_cannot_be_built(build):
    """Checks each way in which code of the user's own fails: told in one line, by the key, before anything runs."""
    name = "settings_nets_wrong"  # Python imports a module of one name once
    write(NETS, f"{name}.py")
    text = (
        BASE.replace("mnist-mlp", f'\n  - name: x\n    build: "{build}"'.replace("NAME", name))
        + "attacks: FGSM\n"
    )
    [line] = told(text)
    assert line.startswith("m.yml, line 4, models[0].build: ") and BUILDS[build].replace("NAME", name) in line


def test_a_model_for_other_images():
    """Checks a model of road signs on digits, and digits that the model has no class for: neither is left to fail in the run."""
    [line] = told(BASE.replace("mnist-mlp", "[mnist-mlp, signs-cnn]") + "attacks: FGSM\n")
    assert line.startswith(
        "m.yml, line 2, models[1]: got a model that fails on mnist-5k, images of 1 x 28 x 28 ("
    )
    assert line.endswith("; allowed is a model that gives logits for them")


def test_a_data_set_that_is_not_here(monkeypatch):
    """Checks a public set that was never fetched: told before anything runs, with what to do."""
    monkeypatch.setenv("ADVCOURSE_DATA", "nowhere")
    [line] = told("data: cifar10\nmodels: mnist-mlp\nattacks: FGSM\n")
    assert line.startswith("m.yml, line 1, data: 'cifar10' cannot be read: ") and "download=True" in line
