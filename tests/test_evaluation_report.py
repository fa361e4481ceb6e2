"""The report on records made by hand: what it says, that it needs nothing but itself, and its numbers as CSV and JSON."""

import base64
import io
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from reports import EVIL, LEAST, LEAST_LINF, LINF, LONG, SMALL, Page, matrix, measured

from advcourse.core.inputs import InputError
from advcourse.core.intervals import Interval, counted, printed
from advcourse.evaluation import FailedCell, Names, Outcome, report, tables

FILES = ("report.html", "results.csv", "results.json")
WHOLE, LEFT = "Accuracy that is left inside a budget", "The smallest change, without a budget"


def written(folder, *records, failures=(), title="A title"):
    """The page of these records."""
    path = report.write(Outcome(list(records), list(failures), 0), folder, title)
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    assert report.write(matrix(), folder, "Attacks & models") == folder / "report.html"
    return folder


@pytest.fixture(scope="module")
def page(folder):
    return Page((folder / "report.html").read_text(encoding="utf-8"))


# The page alone


def test_the_page_needs_nothing_but_itself(folder, page):
    """Checks every address in the page, as Python's own parser reads it: pictures are inside, links stay on it, nothing runs."""
    assert {path.name for path in folder.iterdir()} == set(FILES)
    assert not page.all("script") and not page.all("link") and not page.all("iframe")
    sources = [value for _, attributes in page.tags for name, value in attributes.items() if name == "src"]
    assert sources and all(source.startswith("data:image/png;base64,") for source in sources)
    targets = [attributes["href"] for attributes in page.all("a")]
    places = {attributes.get("id") for attributes in page.all("section")}
    assert targets and {target.removeprefix("#") for target in targets} == places
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert "://" not in text and "url(" not in text and "@import" not in text
    policy = next(tag["content"] for tag in page.all("meta") if "http-equiv" in tag)
    assert "default-src 'none'" in policy


def test_every_picture_has_its_text_and_can_be_read(page):
    """Checks with Pillow that each picture is a PNG as wide as the page says, and that its text says more than its name."""
    for tag in page.all("img"):
        assert len(tag["alt"].split()) > 5
        picture = Image.open(io.BytesIO(base64.b64decode(tag["src"].split(",")[1])))
        assert picture.format == "PNG" and abs(picture.width - int(tag["width"])) <= 1


def test_the_order_of_the_sections(folder):
    """The order: what was run, what failed, overview, strongest, figures, the four properties, common images, pictures."""
    text = (folder / "report.html").read_text(encoding="utf-8")
    heads = [part.split("</h2>")[0] for part in text.split("<h2>")[1:]]
    assert heads == [
        "What was run",
        "What failed",
        "Accuracy under attack",
        "The strongest attack for each model",
        "Success against the budget",
        "How large the changes are",
        "What outlives noise, blur and compression",
        "Misclassification",
        "Imperceptibility",
        "Robustness",
        "Efficiency",
        "On the same images",
        "Pictures",
    ]


def test_what_was_run_is_told(page):
    """The identity that the records were made with, and 4 of 5 images read correctly."""
    told = page.row("Models and images", "wide net")
    assert (told["images"], told["read correctly, and attacked"]) == ("5", "4")
    assert told["clean accuracy"] == printed(counted(4, 5))
    assert told["identity of the model"] == "wide net wei"
    for text in (
        "random, seed 7",
        "Images: 5 drawn by seed 0",
        "torch: 2.99",
        "Noise()",
        "Device: cpu",
        "checksum of ",
    ):
        assert text in page.text
    assert "10 cells were measured, each an attack on a model; 1 failed." in page.text


def test_failures_are_told_with_their_error(page):
    """The failed cell, its error and where, as they were given."""
    assert "JSMA on net, images: ValueError: no" in page.text
    assert "Traceback\n  <frame> & more" in page.text


# Numbers


def test_the_tables_hold_the_numbers(page):
    """By hand, from `matrix`: rates, medians with failures at infinity, means over the successes."""
    fgsm = page.row("Misclassification: net", "FGSM", "L∞ ≤ 0.3, untargeted")
    assert fgsm["success"] == printed(counted(1, 4)) and fgsm["images"] == "4"
    assert fgsm["confidence in the wrong label"] == "75 %"
    llc = page.row("Misclassification: net", "LLC", "L∞ ≤ 0.3, targeted")
    assert llc["success"].startswith("50 % ") and llc["any wrong label"] == "75 %"
    deepfool = page.row("Imperceptibility: net", "DeepFool", "least L2, untargeted")
    assert deepfool["median in its norm"].startswith("∞ ") and deepfool["median L2"] == "∞"
    assert deepfool["mean L2 of successes"] == "0.50"
    assert page.row("Imperceptibility: net", "CWL2", "least L2, untargeted")["median L2"] == "2.5"
    pgd = page.row("Robustness: wide net", "PGD", "L∞ ≤ 0.3, untargeted")
    assert pgd["successes"] == "3" and pgd["noise: survival"].startswith("67 % ")
    assert pgd["noise: clean"] == "75 %"
    cost = page.row("Efficiency, for one image: net", "PGD", "L∞ ≤ 0.3, untargeted")
    assert (cost["seconds"], cost["forward passes"], cost["memory of a batch, MiB"]) == ("0.50", "3.0", "1.0")


def test_every_table_of_a_property_has_the_rate(page):
    """Checks the heads of the tables: success with its interval stands beside whatever is averaged."""
    for caption in ("Misclassification", "Imperceptibility", "Robustness", "Efficiency, for one image"):
        for model in ("net", "wide net"):
            head, *rows = page.tables[f"{caption}: {model}"]
            assert head[:3] == ["attack", "images", "success"]
            assert all(len(re.findall(r"\d+", row[2])) >= 3 for row in rows if len(row) > 1)
    assert "success" in page.tables["On the images where all attacks of a threat model succeed: net"][0]


def test_the_strongest_is_the_minimum_for_each_image(page):
    """By hand. net: PGD alone fools all four; wide net: PGD fools three, the targeted attack none of the rest: 1 of 5 is left."""
    net = page.row(WHOLE, "L∞ ≤ 0.3", "net")
    assert (net["strongest attack alone"], net["which"]) == ("0 %", "PGD")
    assert net["per-image minimum"] == printed(counted(0, 5))
    wide = page.row(WHOLE, "L∞ ≤ 0.3", "wide net")
    assert wide["per-image minimum"].startswith("20 % ") and wide["clean accuracy"] == "80 %"


def test_two_attacks_together_beat_each_alone(tmp_path):
    """By hand: each fools one other half of four images; alone 2 of 4 are left, together none. Their mean would say 2 of 4."""
    parts = ([1, 1, 0, 0], [0, 0, 1, 1])
    budgeted = [measured(part, attack=f"b{i}", threat=LINF, size=[0.3] * 4) for i, part in enumerate(parts)]
    least = [measured(part, attack=f"l{i}", threat=LEAST, size=[1, 2, 3, 4]) for i, part in enumerate(parts)]
    page = written(tmp_path, *budgeted, *least)
    row = page.row(WHOLE, "L∞ ≤ 0.3")
    assert row["strongest attack alone"] == "50 %" and row["per-image minimum"].startswith("0 % ")
    row = page.row(LEFT, "least L2, untargeted")
    assert row["smallest median of one attack"] == "∞"
    assert row["median of the per-image minimum"].startswith("2.5 ")


def test_common_successes(page):
    """By hand: DeepFool and C&W share image 0 alone, where their changes are 0.5 and 1."""
    caption = "On the images where all attacks of a threat model succeed"
    for name, mean in (("DeepFool", "0.50"), ("CWL2", "1.0")):
        row = page.row(f"{caption}: net", name, "least L2, untargeted")
        assert (row["common images"], row["mean L2"]) == ("1", mean)


# Hard cases


def test_names_are_text_and_nothing_else(tmp_path):
    """Checks that markup in names, errors and titles reaches the reader as the text that it is, and becomes no tag."""
    names = {"attack": f"{EVIL} {LONG}", "model": f"{EVIL} {LONG * 3}"}
    records = [measured([1, 1], threat=threat, **names) for threat in (LINF, LEAST)]
    records[1] = replace(records[1], attack=EVIL, names=replace(records[1].names, attack="other"))
    failure = FailedCell(Names(EVIL, EVIL, EVIL, EVIL), EVIL, EVIL)
    page = written(tmp_path, *records, failures=[failure], title=EVIL)
    assert not page.all("script") and page.text.count(EVIL) > 10
    assert (tmp_path / "report.html").read_text(encoding="utf-8").count("<script") == 0
    told = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert told["title"] == EVIL and told["cells"][0]["attack"] == names["attack"]
    assert pd.read_csv(tmp_path / "results.csv")["model"][0] == names["model"]


def test_no_success_is_no_zero(tmp_path):
    """By hand: without a success the rate is 0 %, medians are infinite, and what is averaged over successes is "n/a"."""
    page = written(tmp_path, measured([0, 0, 0], attack="FGSM", threat=LINF))
    row = page.row("Misclassification", "FGSM")
    assert row["success"].startswith("0 % ") and row["confidence in the wrong label"] == "n/a"
    row = page.row("Imperceptibility", "FGSM")
    assert (
        row["median in its norm"] == printed(Interval(math.inf, math.inf, math.inf, 3), "")
        and row["mean L2 of successes"] == "n/a"
    )
    assert row["mean SSIM of successes"] == "n/a"
    row = page.row("Robustness", "FGSM")
    assert (row["successes"], row["noise: destruction"]) == ("0", "n/a")
    assert row["noise: survival"] == printed(counted(0, 0))
    assert page.row(WHOLE, "L∞ ≤ 0.3")["per-image minimum"].startswith("100 % ")


def test_a_model_that_reads_nothing(tmp_path):
    """By hand: no image is attacked, so nothing is measured; the model's accuracy is 0 of 3, with and without the attack."""
    records = [
        measured([], attack=name, threat=threat, picked=3)
        for name, threat in (("FGSM", LINF), ("weak", SMALL), ("CWLinf", LEAST_LINF))
    ]
    page = written(tmp_path, *records)
    assert page.row("Misclassification", "FGSM")["success"] == printed(counted(0, 0))
    assert page.row("Imperceptibility", "CWLinf")["median in its norm"] == printed(counted(0, 0))
    assert page.row("Models and images", "net")["clean accuracy"].startswith("0 % ")
    assert "No pictures were kept." in page.text


def test_one_image(tmp_path):
    """By hand: the share is that of one success in one image, and its size is the median and both ends."""
    page = written(tmp_path, measured([1], attack="CWL2", threat=LEAST, size=[2]))
    assert page.row("Misclassification", "CWL2")["success"] == printed(counted(1, 1))
    row = page.row(LEFT, "least L2, untargeted")
    assert row["median of the per-image minimum"] == printed(Interval(2, 2, 2, 1), "")


def test_failures_only(tmp_path):
    """Checks a matrix in which all failed: the errors are told once with their cells, and the files can be read."""
    failures = [FailedCell(Names("PGD", model, "images"), "OSError: no disk") for model in ("a", "b")]
    page = written(tmp_path, failures=failures)
    assert "0 cells were measured, each an attack on a model; 2 failed." in page.text
    assert "PGD on a, images; PGD on b, images: OSError: no disk" in page.text
    assert page.text.count("OSError") == 1 and not page.all("img") and not page.all("table")
    frame = pd.read_csv(tmp_path / "results.csv")
    assert len(frame) == 0 and list(frame) == ["model", "data", "attack", "threat model"]
    told = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert told["cells"] == [] and [one["model"] for one in told["failures"]] == ["a", "b"]


def test_several_data_sets_are_named(tmp_path):
    """Checks that one model on two data sets is two columns and two groups."""
    first = measured([1, 0], attack="FGSM", threat=LINF)
    second = replace(first, names=replace(first.names, data="other images"))
    page = written(tmp_path, first, second)
    assert page.row("Misclassification: net, images", "FGSM", "L∞ ≤ 0.3, untargeted")
    assert page.row("Misclassification: net, other images", "FGSM", "L∞ ≤ 0.3, untargeted")


def test_images_of_many_channels(tmp_path):
    """Checks that images which have no colours are shown too, as the mean of their channels."""
    made = measured([1, 0])
    images = np.zeros((2, 5, 8, 8), dtype=np.float32)
    page = written(tmp_path, replace(made, pictures={"clean": images, "attacked": images + 1}))
    assert any("attacked images, by attack" in tag["alt"] for tag in page.all("img"))


def test_long_tables_are_closed_but_for_the_first_model(tmp_path):
    """By hand: 62 rows are more than a reader wants at once, 20 are not; either way each model has its own table."""
    for count, shown in ((31, [True, False]), (10, [True, True])):
        records = [
            measured([1], model, attack=f"a{i}", threat=LINF) for model in ("a", "b") for i in range(count)
        ]
        page = written(tmp_path, *records)
        parts = [tag for tag in page.all("details") if tag.keys() <= {"open"}][
            1:
        ]  # the first has the settings
        assert [["open" in tag for tag in parts[i : i + 2]] for i in range(0, 8, 2)] == [shown] * 4
        assert len(page.tables["Robustness: b"]) == count + 2


# The files


def test_csv_is_the_table(folder):
    """Checks pandas' reading of the file against the table: the same names, numbers, infinities and NaN, to the last digit."""
    read = pd.read_csv(folder / "results.csv", engine="python")
    pd.testing.assert_frame_equal(read, tables.everything(matrix().records), check_exact=True)
    assert np.isinf(read["median size"]).any()


def test_json_is_strict_and_holds_the_table(folder):
    """Checks with a reader that refuses NaN and Infinity; translated back by its own notation it is the table again."""

    def refuse(word):
        raise AssertionError(word)

    told = json.loads((folder / "results.json").read_text(encoding="utf-8"), parse_constant=refuse)
    back = {None: math.nan, "inf": math.inf, "-inf": -math.inf}
    rows = [
        {
            name: back.get(value, value) if not isinstance(value, list | dict) else value
            for name, value in row.items()
        }
        for row in (cell["measured"] for cell in told["cells"])
    ]
    outcome = matrix()
    pd.testing.assert_frame_equal(pd.DataFrame(rows), tables.everything(outcome.records), check_exact=True)
    assert [cell["identity"] for cell in told["cells"]] == [record.identity for record in outcome.records]
    assert told["failures"][0]["error"] == "ValueError: no" and told["format"] == report.FORMAT
    assert told["cells"][0]["clean accuracy"] == 0.8 and "infinity" in told["notation"]


def test_json_of_what_was_not_measured(tmp_path):
    """Checks null for NaN: the mean over no successes."""
    written(tmp_path, measured([0, 0]))
    text = (tmp_path / "results.json").read_text(encoding="utf-8")
    measures = json.loads(text)["cells"][0]["measured"]
    assert measures["mean L2"] is None and measures["median L2"] == "inf"


def test_the_same_outcome_gives_the_same_files(folder, tmp_path):
    """Checks the bytes of a second writing, over an older report."""
    written(tmp_path, measured([1]))
    report.write(matrix(), tmp_path, "Attacks & models")
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.parametrize("at", range(3))
def test_an_interruption_leaves_no_half_file(tmp_path, monkeypatch, at):
    """Interrupts the writing of each file in its middle: each is the whole old one or the whole new one; there is no other."""
    written(tmp_path / "old", measured([1]))
    written(tmp_path / "new", measured([0, 1]))
    written(tmp_path / "both", measured([1]))
    calls, write = [], Path.write_text

    def interrupted(path, text, **settings):
        calls.append(path)
        if len(calls) == at + 1:
            write(path, text[: len(text) // 2], **settings)
            raise KeyboardInterrupt
        return write(path, text, **settings)

    monkeypatch.setattr(Path, "write_text", interrupted)
    with pytest.raises(KeyboardInterrupt):
        written(tmp_path / "both", measured([0, 1]))
    assert {path.name for path in (tmp_path / "both").iterdir()} == set(FILES)
    new = [
        (tmp_path / "both" / name).read_bytes() == (tmp_path / "new" / name).read_bytes() for name in FILES
    ]
    old = [
        (tmp_path / "both" / name).read_bytes() == (tmp_path / "old" / name).read_bytes() for name in FILES
    ]
    assert all(a or b for a, b in zip(old, new)) and sum(new) == at


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda folder: report.write(matrix(), folder, " "), ["title", "' '", "text"]),
        (lambda folder: report.write(matrix(), folder / "file" / "below"), ["folder", "below", "write to"]),
    ],
)
def test_bad_input(tmp_path, call, words):
    """Checks that the message names the argument, what was given and what is allowed."""
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError) as error:
        call(tmp_path)
    assert all(word in str(error.value) for word in words)
