"""Every chapter: run from the first cell to the last with papermill, its outputs compared with the stored ones as nbval does, and
held against the rules of CONTRIBUTING.md."""

import ast
import json
import re
import shutil
from pathlib import Path

import nbformat
import papermill
import pytest
from nbval.plugin import IPyNbFile, coalesce_streams

from advcourse.course import notebooks

ROOT = Path(__file__).resolve().parents[2]
PARAMETERS = {"profile": "fast", "device": "auto", "seed": 0}
CELL_LIMIT = 900  # seconds for one cell, so that an endless one ends; far above what any should take


# Of the session, so that a chapter is executed once; tests/conftest.py keeps each chapter on one worker.
@pytest.fixture(scope="session", params=notebooks.chapters(ROOT), ids=lambda path: path.stem)
def path(request):
    """The path of a chapter."""
    return request.param


@pytest.fixture(scope="session")
def stored(path):
    """A chapter as it is stored."""
    return nbformat.read(path, as_version=4)


@pytest.fixture(scope="session")
def run(path, tmp_path_factory):
    """The report of running a chapter in the fast profile, in a kernel that watches its pictures, and the executed notebook."""
    out = tmp_path_factory.mktemp(path.stem)
    startup = tmp_path_factory.mktemp("ipython") / "profile_default" / "startup"
    startup.mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("watched.py"), startup)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(startup.parents[1]))
        report = notebooks.run(path, out, **PARAMETERS, timeout=CELL_LIMIT, progress=False)
    return report, nbformat.read(out / path.name, as_version=4)


def code_cells(notebook):
    """The cells with code in them."""
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def tags(cell):
    """The tags of a cell."""
    return cell.metadata.get("tags", [])


def collapsed(cell):
    """True for a cell that the reader has to open to see it."""
    return cell.metadata.get("jupyter", {}).get("source_hidden", False)


def prose(notebook):
    """All text cells as one string."""
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def section(notebook, title):
    """The text from the heading that has `title` in it (any case) to the end of its cell and of those below, up to a heading."""
    found = re.search(rf"^#+ [^\n]*{title}[^\n]*\n(.*?)(?=^#|\Z)", prose(notebook), re.M | re.S | re.I)
    assert found, f"no section {title!r}"
    return found[1]


def pictures(notebook):
    """Every output that holds a picture."""
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    return [output for output in outputs if "<img" in html(output)]


def html(output):
    """The HTML of an output, if any."""
    return "".join(output.get("data", {}).get("text/html", ""))


# What a run shows


def test_runs_in_the_fast_profile(run):
    """Checks that a kernel executes every cell, in order and without an error."""
    report, executed = run
    assert report.error is None
    counts = [cell.execution_count for cell in code_cells(executed)]
    assert counts == list(range(1, len(counts) + 1))
    assert not [
        output for cell in code_cells(executed) for output in cell.outputs if output.output_type == "error"
    ]


def test_the_parameters_are_taken(path, run):
    """Checks that papermill knows all three parameters from the tagged cell (of an unknown one it only warns) and sets them."""
    known = papermill.inspect_notebook(str(path))
    assert known.keys() == PARAMETERS.keys()
    [injected] = [cell for cell in run[1].cells if "injected-parameters" in tags(cell)]
    space = {}
    exec(injected.source, space)
    assert {name: space[name] for name in PARAMETERS} == PARAMETERS


def test_marked_outputs_are_the_stored_ones(request, path, run):
    """Checks the outputs of cells that start with `# NBVAL_CHECK_OUTPUT` by nbval's own comparison, as `--nbval-lax` makes it."""
    file = IPyNbFile.from_parent(request.session, path=path)
    file.compare_outputs = False  # of cells that are not marked
    executed = [cell for cell in run[1].cells if cell.cell_type == "code"]
    executed = [cell for cell in executed if "injected-parameters" not in tags(cell)]
    compared = 0
    for item, cell in zip(file.collect(), executed, strict=True):
        assert item.cell.source == cell.source
        if item.options["check"]:
            outputs = coalesce_streams(cell.outputs)
            assert item.compare_outputs(outputs, item.cell.outputs), "\n".join(item.comparison_traceback)
            compared += 1
    assert compared


def test_nothing_is_said_on_stderr(run):
    """Checks that no cell warns: a warning in a course is a question that nobody answers."""
    for cell in code_cells(run[1]):
        said = [o.text for o in cell.outputs if o.output_type == "stream" and o.name == "stderr"]
        assert [text for text in said if "it/s" not in text and "%|" not in text] == []  # progress bars may


# What is stored


def test_stored_outputs_are_whole(path, stored):
    """Checks that the stored chapter was run from top to bottom, has no error, and is below 1 MB."""
    counts = [cell.execution_count for cell in code_cells(stored)]
    assert counts == list(range(1, len(counts) + 1)), "run: make refresh"
    assert not [o for cell in code_cells(stored) for o in cell.outputs if o.output_type == "error"]
    assert path.stat().st_size < 1e6


def test_stored_metadata_is_clean(path, stored):
    """Checks that refreshing would strip nothing: no timings, no machine, no widget that is dead without its kernel."""
    cleaned = notebooks.clean(nbformat.from_dict(json.loads(json.dumps(stored))))
    assert cleaned == stored, "run: make refresh"
    assert len({cell.id for cell in stored.cells}) == len(stored.cells)


# How it is written


def test_first_two_cells(stored):
    """Checks the first cell's title, section of the survey, abilities and minutes, and the values in the parameters cell."""
    first, second = stored.cells[:2]
    assert first.cell_type == "markdown" and first.source.startswith("# ")
    for wanted in (r"\bsurvey", r"able to", r"\bminutes?\b"):
        assert re.search(wanted, first.source, re.I), wanted
    assert "parameters" in tags(second)
    space = {}
    exec(second.source, space)
    assert {name: space.get(name) for name in PARAMETERS} == PARAMETERS


def test_ends_with_exercises_and_references(stored):
    """Checks the closing sections: three exercises, then, last, references with the survey's numbers."""
    assert len(re.findall(r"^\d+\. ", section(stored, "Exercises"), re.M)) == 3
    assert re.findall(r"\[\d+\]", section(stored, "References"))
    titles = re.findall(r"^#+ (.*)$", prose(stored), re.M)
    order = [
        next(i for i, title in enumerate(titles) if word in title.lower())
        for word in ("exercises", "references")
    ]
    assert order == sorted(order) and titles[-1].lower().startswith("references")
    assert stored.cells[-1].cell_type == "markdown"


def test_exercises_name_what_the_reader_sees(stored):
    """Checks that what stands "under *a title*" is a title of the chapter, and that no exercise counts cells, names one by its
    id, or builds on a name that only a folded cell has."""
    exercises, titles = section(stored, "Exercises"), re.findall(r"^#+ (.*)$", prose(stored), re.M)
    assert {*re.findall(r"[Uu]nder \*([^*]+)\*", exercises)} <= {*titles}
    assert not re.search(r"\b(first|second|third|next|last|code) cell\b", exercises)
    quoted = {*re.findall(r"`([\w-]+)`", exercises)}
    assert not quoted & {cell.id for cell in stored.cells}
    folded, seen = ({*re.findall(r"\w+", code)} for code in codes_by_folding(stored))
    assert not quoted & (folded - seen)


def codes_by_folding(stored):
    """The code of the folded cells, and that of all others."""
    cells = code_cells(stored)
    return ["\n".join(cell.source for cell in cells if collapsed(cell) is one) for one in (True, False)]


def test_nobody_is_sent_to_a_cell_that_fails_alone(path, stored):
    """Checks that the first chapter says how to run all, before its first code; and that no chapter says to run one cell, which
    needs the folded one that imports."""
    if path.stem == notebooks.FIRST:
        assert "Run > Run All Cells" in stored.cells[0].source
    assert not re.search(r"\brun (the|this) (next )?cell\b", prose(stored), re.I)


def test_something_to_see_every_three_cells(stored):
    """Checks the rhythm: between two outputs with something to see lie at most three cells without, collapsed ones apart."""
    shows = [bool(cell.get("outputs")) for cell in stored.cells if cell.get("outputs") or not collapsed(cell)]
    first, last = shows.index(True), len(shows) - shows[::-1].index(True)
    gaps = "".join("x" if show else "." for show in shows[first:last])
    assert "...." not in gaps, gaps


def test_figures_have_alternative_text(stored):
    """Checks that every stored picture carries a text for those who do not see it, and is stored once."""
    assert pictures(stored)
    for output in pictures(stored):
        texts = re.findall(r'<img alt="([^"]*)"', html(output))
        assert len(texts) == html(output).count("<img") and min(map(len, texts)) > 20, output.data[
            "text/plain"
        ]
    outputs = [output for cell in code_cells(stored) for output in cell.get("outputs", [])]
    assert not any("image/png" in output.get("data", {}) for output in outputs)


def test_chapters_define_nothing(stored):
    """Checks the code: no classes, and functions only where the box is opened or the reader fills one in; what is worth a name
    belongs into the library."""
    for cell in code_cells(stored):
        kinds = {type(node) for node in ast.walk(ast.parse(cell.source))}
        assert ast.ClassDef not in kinds
        assert ast.FunctionDef not in kinds or {"open-the-box", "practice"} & {*tags(cell)}, cell.source


def test_the_box_is_opened(stored):
    """Checks that one cell writes the core by hand and asserts that it equals the library's."""
    [box] = [cell for cell in code_cells(stored) if "open-the-box" in tags(cell)]
    assert [
        node for node in ast.walk(ast.parse(box.source)) if isinstance(node, ast.Assert)
    ] or "assert_close" in box.source


def test_code_is_short(stored):
    """Checks that a cell has at most ten lines of code (where the box is opened, and where claims are checked, thirty)."""
    for cell in code_cells(stored):
        lines = [
            line for line in cell.source.splitlines() if line.strip() and not line.strip().startswith("#")
        ]
        assert len(lines) <= (30 if collapsed(cell) or "open-the-box" in tags(cell) else 10), cell.source


def test_the_reader_predicts(stored):
    """Checks that the reader is asked for a guess before a result."""
    assert re.search(r"\bpredict", prose(stored), re.I)


def test_no_prediction_stays_without_an_answer(stored):
    """Checks that the text says what to see after each result that the reader is asked to predict."""
    text = prose(stored)
    asked = [match.start() for match in re.finditer(r"\*\*Predict, then run", text)]
    assert not asked or max(asked) < text.rindex("**What to see"), text[max(asked) :][:200]


def test_chapters_to_come_are_named_as_such(stored):
    """Checks each chapter that the text speaks of against the files: of one that is not there the sentence says so."""
    written = {path.stem[:2] for path in notebooks.chapters(ROOT)}
    text = " ".join(prose(stored).split())
    for sentence, first, last in re.findall(r"(\bchapters? (\d\d)\b(?: to (\d\d))?[^.]*)", text, re.I):
        if not {first, last or first} <= written:
            assert "not written yet" in sentence, sentence
