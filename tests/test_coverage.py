"""The coverage map: every id of the survey has an entry, and every entry points at something that is there."""

import ast
import importlib
import json
import re
from pathlib import Path

import nbformat
import pytest

from advcourse.core.inputs import InputError
from advcourse.course import coverage
from advcourse.course.coverage import REGISTRY

ROOT = Path(__file__).resolve().parent.parent
SURVEY = (ROOT / "docs" / "survey.md").read_text(encoding="utf-8")
KINDS = ("intro", "attack", "metric", "case", "defense", "challenge", "lifecycle")
COVERED = [identifier for identifier, entry in REGISTRY.items() if entry.covered]


def test_every_id_of_the_survey_has_an_entry():
    """Checks the registry against the ids in docs/survey.md, both ways, and their order."""
    ids = re.findall(rf"`((?:{'|'.join(KINDS)})\.[a-z0-9_]+)`", SURVEY)
    assert len(ids) == len(set(ids)) and set(ids) == set(REGISTRY)


def test_what_the_chapters_show_is_covered():
    """Checks the registry against the tags of the chapters' cells: an id that is shown has an entry, and so none gets lost."""
    notebooks = [nbformat.read(path, as_version=4) for path in sorted((ROOT / "chapters").glob("*.ipynb"))]
    tags = {tag for notebook in notebooks for cell in notebook.cells for tag in cell.metadata.get("tags", [])}
    assert tags & REGISTRY.keys() == set(COVERED)


def test_an_entry_is_whole_or_empty():
    """Checks that no entry has a chapter without a test, or the like: half an entry would count as not covered."""
    for identifier, entry in REGISTRY.items():
        parts = {entry.code is None, entry.chapter is None, entry.cell is None, entry.test is None}
        assert len(parts) == 1, identifier


@pytest.mark.parametrize("identifier", COVERED)
def test_code_can_be_imported(identifier):
    """Checks the entry's code against the library: the name is importable, callable and documented."""
    module, name = REGISTRY[identifier].code.split(":")
    assert callable(getattr(importlib.import_module(module), name))


@pytest.mark.parametrize("identifier", COVERED)
def test_chapter_has_the_cell(identifier):
    """Checks the entry's chapter against the notebook: it has a cell with the entry's tag."""
    entry = REGISTRY[identifier]
    notebook = nbformat.read(ROOT / "chapters" / f"{entry.chapter}.ipynb", as_version=4)
    assert entry.cell in {tag for cell in notebook.cells for tag in cell.metadata.get("tags", [])}


@pytest.mark.parametrize("identifier", COVERED)
def test_test_exists(identifier):
    """Checks the entry's test against the test files, read as source: the function is there and is a test."""
    file, name = REGISTRY[identifier].test.split("::")
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert name.startswith("test_")
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("lab", sorted({entry.lab for entry in REGISTRY.values() if entry.lab}))
def test_lab_exists(lab):
    """Checks that the labs named in the registry are there, as authored and as handed to students."""
    assert list((ROOT / "solutions" / lab).glob("*.ipynb")) and list(
        (ROOT / "exercises" / lab).glob("*.ipynb")
    )


def test_the_three_forms_say_the_same():
    """Checks the text, JSON and Markdown forms against the registry: each names every id, and JSON gives its fields."""
    rows = json.loads(coverage.as_json())
    assert {identifier: row["covered"] for identifier, row in rows.items()} == {
        i: e.covered for i, e in REGISTRY.items()
    }
    for identifier in REGISTRY:
        assert identifier in coverage.as_text() and f"`{identifier}`" in coverage.as_markdown()
    assert (
        coverage.as_text().count("not yet")
        == coverage.as_markdown().count("not yet")
        == len(coverage.not_yet())
    )


def test_readme_is_up_to_date():
    """Checks the README's table against the registry that it is made from."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    written = text.split(coverage.BEGIN)[1].split(coverage.END)[0].strip()
    assert written == coverage.as_markdown(), "run: advcourse coverage --write README.md"


def test_the_map_in_chapter_00_is_up_to_date():
    """Checks the map that chapter 00 stores among its outputs against the registry."""
    cells = nbformat.read(ROOT / "chapters" / "00_start_here.ipynb", as_version=4).cells
    maps = [
        output.get("data", {}).get("text/markdown") for cell in cells for output in cell.get("outputs", [])
    ]
    assert coverage.as_markdown("../") in maps, "run: advcourse refresh 0"


def test_write_keeps_what_stands_around(tmp_path):
    """Checks `write` on a file whose other lines are known, and that a file without markers is refused and left alone."""
    page = tmp_path / "page.md"
    page.write_text(f"above\n{coverage.BEGIN}\nold\n{coverage.END}\nbelow\n", encoding="utf-8")
    coverage.write(page)
    text = page.read_text(encoding="utf-8")
    assert (
        text.startswith("above\n")
        and text.endswith("\nbelow\n")
        and "old" not in text
        and "`attack.fgsm`" in text
    )
    page.write_text("no markers", encoding="utf-8")
    with pytest.raises(InputError, match="page.md"):
        coverage.write(page)
    assert page.read_text(encoding="utf-8") == "no markers" and list(tmp_path.iterdir()) == [page]
