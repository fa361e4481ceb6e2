"""Running the chapters: on small notebooks made here, whose results are known."""

import csv
import time

import nbformat
import psutil
import pytest

from advcourse.core.inputs import InputError
from advcourse.course import notebooks


@pytest.fixture
def course(tmp_path, write_chapter):
    """A checkout of three chapters; the second fails."""
    write_chapter(tmp_path, "00_start_here", "print(profile, device, seed)")
    write_chapter(tmp_path, "01_fails", "1 / 0")
    write_chapter(tmp_path, "02_one_step", "print(2 * seed)")
    return tmp_path


def printed(path):
    """What the cells of the notebook at `path` wrote to stdout."""
    cells = nbformat.read(path, as_version=4).cells
    return "".join(output.get("text", "") for cell in cells for output in cell.get("outputs", []))


def test_parameters_are_taken(course):
    """Checks that the executed notebook prints the parameters that were given, not those written in it."""
    report = notebooks.run(
        course / "chapters/00_start_here.ipynb", course / "build", "full", "cpu", 7, progress=False
    )
    assert report.error is None and printed(course / "build/00_start_here.ipynb") == "full cpu 7\n"


def test_a_failed_chapter_stops_no_other(course):
    """Checks a course whose second chapter divides by zero: it is reported and written with its error, and the third runs."""
    out = course / "build"
    reports = notebooks.run_all(notebooks.chapters(course), out, seed=4, progress=False)
    assert [report.error for report in reports] == [None, "ZeroDivisionError: division by zero", None]
    assert printed(out / "02_one_step.ipynb") == "8\n"
    assert "ZeroDivisionError" in (out / "01_fails.ipynb").read_text(encoding="utf-8")
    rows = list(csv.DictReader((out / "chapters.csv").open(encoding="utf-8")))
    assert [row["chapter"] for row in rows] == ["00_start_here", "01_fails", "02_one_step"]
    assert all(float(row["seconds"]) > 0 and float(row["memory (MiB)"]) > 0 for row in rows)
    assert (out / "chapters.md").read_text(encoding="utf-8").count("\n") == 5
    assert {path.suffix for path in out.iterdir()} == {".ipynb", ".csv", ".md"}


def test_memory_is_the_kernels(course, write_chapter):
    """Checks the peak against an array of 300 MiB that the cell fills and frees: a kernel without it takes far less."""
    small = notebooks.run(course / "chapters/02_one_step.ipynb", course / "build", progress=False)
    path = write_chapter(course, "03_large", "import time\nx = b'1' * (300 * 2**20)\ntime.sleep(0.5)\ndel x")
    assert 250 < notebooks.run(path, course / "build", progress=False).memory - small.memory < 400


def test_a_cell_that_takes_too_long_is_reported(course, write_chapter):
    """Checks a cell that never ends against a limit of one second, and that its kernel is gone afterwards."""
    path = write_chapter(course, "03_endless", "while True:\n    pass")
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    report = notebooks.run(path, course / "build", timeout=1, progress=False)
    assert "Timeout" in report.error
    deadline = time.monotonic() + 60
    while {child.pid for child in psutil.Process().children(recursive=True)} - before:
        assert time.monotonic() < deadline, "the kernel still runs"
        time.sleep(0.1)


def test_chapters_are_chosen_by_number_and_name(course):
    """Checks each way of naming a chapter against the files; the order is the course's, and nothing is named twice."""
    paths = notebooks.chapters(course)
    for name in ("2", "02", "02_one_step", "one_step", "02_one_step.ipynb", "chapters/02_one_step.ipynb"):
        assert notebooks.select([name], course) == [paths[2]]
    assert notebooks.select([], course) == paths
    assert notebooks.select(["2", "start_here", "02"], course) == [paths[0], paths[2]]


def test_bad_input_is_told_before_anything_runs(course):
    """Checks that a wrong chapter, profile, seed or device raises an error that names it, and that nothing is written."""
    with pytest.raises(
        InputError, match="chapter: got '9'; allowed are 00_start_here, 01_fails, 02_one_step"
    ):
        notebooks.select(["0", "9"], course)
    for wrong in ({"profile": "slow"}, {"seed": -1}, {"device": "abacus"}):
        [name] = wrong
        with pytest.raises(InputError, match=f"{name}: got"):
            notebooks.run_all(notebooks.chapters(course), course / "build", **wrong)
    assert not (course / "build").exists()


def test_the_checkout_is_found_from_below(course, monkeypatch, tmp_path_factory):
    """Checks that the course is found from a folder inside it, and that elsewhere the error says where to go."""
    assert notebooks.checkout(course / "chapters") == course
    monkeypatch.setattr(
        notebooks, "__file__", str(tmp_path_factory.mktemp("site") / "advcourse" / "course" / "notebooks.py")
    )
    with pytest.raises(InputError, match="go to a clone"):
        notebooks.checkout(tmp_path_factory.mktemp("elsewhere"))


def test_refresh_stores_outputs_and_keeps_ids(course, write_chapter):
    """Checks a refreshed notebook against the one before: new outputs, the same ids and tags, no trace of time or machine."""
    path = write_chapter(course, "03_widget", "import ipywidgets\nipywidgets.IntSlider()", "print(6 * 7)")
    before = nbformat.read(path, as_version=4)
    notebooks.refresh(path)
    after = nbformat.read(path, as_version=4)
    assert [cell.id for cell in after.cells] == [cell.id for cell in before.cells]
    assert after.cells[1].metadata == {"tags": ["parameters"]} and after.cells[2].outputs == []
    assert after.cells[3].outputs[0].text == "42\n" and after.cells[3].execution_count == 3
    assert after.metadata.keys() == {"kernelspec", "language_info"} and "iopub" not in path.read_text(
        encoding="utf-8"
    )
    once = path.read_bytes()
    notebooks.refresh(path)
    assert path.read_bytes() == once


def test_a_failing_refresh_changes_nothing(course):
    """Checks that the stored notebook is the same to the byte after a cell failed, and that nothing lies beside it."""
    path = course / "chapters/01_fails.ipynb"
    before, beside = path.read_bytes(), sorted(path.parent.iterdir())
    with pytest.raises(Exception, match="ZeroDivisionError"):
        notebooks.refresh(path)
    assert path.read_bytes() == before and sorted(path.parent.iterdir()) == beside


def test_what_a_cell_prints_is_stored_as_one_output():
    """Against outputs by hand: a slow kernel sends a print in pieces; they are joined, up to another kind of output."""
    pieces = [("stdout", "a\n"), ("stdout", "b\n"), ("stderr", "c\n"), ("stdout", "d\n")]
    outputs = [nbformat.v4.new_output("stream", name=name, text=text) for name, text in pieces]
    outputs.insert(2, nbformat.v4.new_output("display_data", {"text/plain": "e"}))
    outputs.append(nbformat.v4.new_output("stream", name="stdout", text="f\n"))
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("print()", outputs=outputs)])
    cleaned = notebooks.clean(book).cells[0].outputs
    assert [output.get("text", "e") for output in cleaned] == ["a\nb\n", "e", "c\n", "d\nf\n"]
