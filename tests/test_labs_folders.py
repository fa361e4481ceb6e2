"""The labs are found by their folders: nothing lists their names, and each has all its parts."""

import importlib
import re

import pytest
from lab_tests import ROOT, LabTests
from notebook_files import LABS, stored

from advcourse.grading.read import submission
from advcourse.grading.run.staging import stage
from advcourse.labs import release

PLACES = {
    "the tasks": "advcourse/labs/*/__init__.py",
    "the author's notebook": "solutions/*/*.ipynb",
    "the students' copy": "exercises/*/*.ipynb",
}


@pytest.mark.parametrize("place", PLACES)
def test_every_lab_has_all_its_parts(place):
    """Checks the folders of each kind against those of the authors' notebooks, and that each is named lab and a number."""
    assert sorted({path.parent.name for path in ROOT.glob(PLACES[place])}) == sorted(LABS)
    assert LABS and all(re.fullmatch(r"lab[1-9]\d*", lab) for lab in LABS)


@pytest.mark.parametrize("lab", LABS)
def test_the_parts_name_each_other(lab):
    """Checks the name that the tasks give the lab, and that the lab's own test file takes the common tests over."""
    package = importlib.import_module(f"advcourse.labs.{lab}")
    tests = importlib.import_module(f"test_{lab}")
    shared = [one for one in vars(tests).values() if isinstance(one, type) and issubclass(one, LabTests)]
    assert package.LAB.name == lab and lab in submission.labs()
    assert [one.lab.name for one in shared if one is not LabTests] == [lab]


def test_labs_are_in_the_order_of_their_numbers(tmp_path):
    """Checks two numbers that the alphabet puts the other way round."""
    for lab in ("lab10", "lab2"):
        (tmp_path / "solutions" / lab).mkdir(parents=True)
        (tmp_path / "solutions" / lab / f"{lab}.ipynb").touch()
    assert release.labs(tmp_path) == ("lab2", "lab10")


def test_a_notebook_without_tasks_is_no_lab(tmp_path, monkeypatch):
    """Checks a folder of exercises/ whose lab is not written yet: the other labs are graded as if it were not there."""
    for lab in ("lab4", "lab999"):
        (tmp_path / "exercises" / lab).mkdir(parents=True)
        (tmp_path / "exercises" / lab / f"{lab}.ipynb").write_bytes(stored("lab4", "exercises"))
    monkeypatch.setattr(release, "ROOT", tmp_path)
    assert release.labs(kept="exercises") == ("lab4", "lab999") and submission.labs() == ("lab4",)
    stage(tmp_path / "staged")
    labs = tmp_path / "staged" / "advcourse" / "labs"
    assert [path.name for path in labs.iterdir() if path.is_dir()] == ["lab4"]
