"""The matrix of attacks x defenses, against the attacks run one by one, and minima taken by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from advcourse import cli, data, metrics
from advcourse.attacks import FGSM, PGD
from advcourse.core.inputs import InputError, predict
from advcourse.evaluation import defended, run
from advcourse.zoo import deployed

X, Y = data.load("mnist-5k").pick(8)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """A network and a detector on 8 digits."""
    cells = defended.cells(8, defenses=("none", "FS"))
    outcome = run(cells, tmp_path_factory.mktemp("cells"), progress=False)
    assert not outcome.failures and len(outcome.records) == len(cells)
    return outcome.records


def test_accuracies_are_those_of_the_attacks_by_themselves(records):
    """Against FGSM and PGD run here on the same digits: right before, and right after."""
    table = defended.accuracies(records)
    model = deployed.load("none")
    right = predict(model, X).argmax(1) == Y
    assert table["clean"]["none"] == right.double().mean()
    for attack in (FGSM(0.3), PGD(0.3, steps=40)):
        left = right & (predict(model, attack(model, X, Y)).argmax(1) == Y)
        assert table[type(attack).__name__]["none"] == pytest.approx(left.double().mean().item(), abs=1e-9)


def test_the_minimum_is_image_by_image(records):
    """By hand from the records: a digit counts where it was read correctly and nothing within the budget fooled the model."""
    table = defended.accuracies(records)
    for name in table.index:
        right = np.zeros(8, dtype=bool)
        group = [record for record in records if record.names.model == name]
        right[group[0].values["index"]] = True
        for record in group:
            fooled = record.values["wrong"] & (record.values["Linf"] <= 0.3 + 1e-6)
            right[record.values["index"][fooled]] = False
        assert (
            table["minimum"][name] == right.mean()
            and table["minimum low"][name] <= right.mean() <= table["minimum high"][name]
        )
        shares = table.loc[name, ["FGSM", "R+FGSM", "U-MI-FGSM", "PGD", "transfer", "adaptive"]].astype(float)
        assert table["minimum"][name] <= shares.min()


def test_who_knows_of_no_detector_is_judged_by_its_flags(records):
    """Against FGSM on the classifier, run here: it wins where the classifier is wrong and the detector says nothing."""
    guarded = deployed.load("FS")
    classifier = guarded.detector.model
    clean = predict(guarded, X).argmax(1) == Y
    attacked = FGSM(0.3)(classifier, X[clean], Y[clean])
    wins = (predict(classifier, attacked).argmax(1) != Y[clean]) & ~guarded.detector.flag(attacked)
    [record] = [r for r in records if r.names.model == "FS" and r.names.attack == "FGSM"]
    assert torch.equal(torch.from_numpy(record.success), wins)
    assert defended.accuracies(records)["clean"]["FS"] == clean.double().mean()  # a false alarm is an error


def test_networks_alone_meet_other_norms(records):
    """Against the medians of the records, failures counted as infinite; a detector is left out."""
    table = defended.sizes(records)
    assert list(table.index) == ["none"] and list(table.columns) == list(defended.other_norms())
    for record in records:
        if record.names.attack in table.columns:
            median = metrics.median_with_failures(record.size, record.success)
            assert table[record.names.attack][record.names.model] == median


def test_the_text_has_a_row_for_each_defense_and_is_written_between_its_marks(records, tmp_path):
    """Against the titles, and a page whose other lines are known; one without marks is refused and left alone."""
    text = defended.as_markdown(records)
    for name in ("none", "FS"):
        assert f"| {deployed.DEFENSES[name].title} |" in text
    page = tmp_path / "page.md"
    page.write_text(f"above\n{defended.BEGIN}\nold\n{defended.END}\nbelow\n", encoding="utf-8")
    defended.write(page, records)
    assert page.read_text(encoding="utf-8") == f"above\n{defended.BEGIN}\n{text}\n{defended.END}\nbelow\n"
    page.write_text("no marks", encoding="utf-8")
    with pytest.raises(InputError, match="page.md"):
        defended.write(page, records)
    assert page.read_text(encoding="utf-8") == "no marks"


def test_the_command_measures_goes_on_and_writes(tmp_path):
    """Against its own second run, which measures nothing, and the page that it writes to."""
    page = tmp_path / "page.md"
    page.write_text(f"{defended.BEGIN}\n{defended.END}\n", encoding="utf-8")
    command = ["matrix", "--images", "2", "--defense", "none", "--out", str(tmp_path / "out")]
    first = CliRunner().invoke(cli.app, [*command, "--write", str(page)])
    assert first.exit_code == 0 and "Measured now: 10 cells" in first.output
    assert (tmp_path / "out" / "report.html").is_file() and "| undefended |" in page.read_text(
        encoding="utf-8"
    )
    again = CliRunner().invoke(cli.app, command)
    assert again.exit_code == 0 and "Measured now: 0 cells" in again.output


def test_every_defense_has_its_cells():
    """Against the zoo: each meets every common attack and all of its own, under names that differ."""
    cells = defended.cells(4)
    assert len({cell.names for cell in cells}) == len(cells)
    for name, one in deployed.DEFENSES.items():
        attacks = {cell.name for cell in cells if cell.model.name == name}
        assert attacks >= {*defended.common(), *(defended.ADAPTIVE + own for own in one.adaptive)}


def test_the_page_has_a_row_for_each_defense():
    """Checks docs/defenses.md against the zoo: one of added, renamed or removed defenses would be missing or left over there."""
    page = (Path(__file__).parent.parent / "docs" / "defenses.md").read_text(encoding="utf-8")
    tables = page.split(defended.BEGIN)[1].split(defended.END)[0].strip().split("\n\n")
    shares, others = ([row.split(" | ")[0] for row in tables[place].splitlines()[2:]] for place in (1, 3))
    every = deployed.DEFENSES.values()
    expected = [one.title for one in every], [one.title for one in every if one.is_network]
    assert (shares, others) == tuple([f"| {title}" for title in titles] for titles in expected), (
        "run: advcourse matrix --write docs/defenses.md"
    )


BAD = {
    "an unknown defense": ({"defenses": ["armour"]}, "defenses: got 'armour'"),
    "no images": ({"images": 0}, "images: got 0"),
    "a seed below 0": ({"seed": -1}, "seed: got -1"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_refused_by_name(kind):
    """The expected sentence is written out by hand for each kind."""
    settings, message = BAD[kind]
    with pytest.raises(InputError, match=message):
        defended.cells(**settings)
