"""Chapters as pages: what is folded in JupyterLab is folded there, too, and nothing gives an answer away."""

import ast
import re
from html.parser import HTMLParser

import nbformat
import pytest
from nbconvert import HTMLExporter
from typer.testing import CliRunner

from advcourse import cli
from advcourse.course import notebooks
from advcourse.course.exporting import as_page

ASKING = ("00", "01", "02", "03", "08", "09", "10", "11")  # the chapters that ask their readers to guess
CHAPTERS = [path for path in notebooks.chapters(notebooks.checkout()) if path.stem[:2] in ASKING]
NAMES = [path.stem for path in CHAPTERS]


class _Read(HTMLParser):
    """A page as it is read: `text` without opening a fold, `whole` with all of them."""

    def __init__(self, page):
        super().__init__()
        self.folds, self.text, self.whole = [], "", ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        if tag in ("details", "style", "script"):
            self.folds.append(tag == "details" and "open" in dict(attributes))

    def handle_endtag(self, tag):
        if tag in ("details", "style", "script"):
            self.folds.pop()

    def handle_data(self, data):
        self.whole += data
        if all(self.folds):
            self.text += data


def a_notebook():
    """A cell as it is, one whose code is folded, and one whose output is."""
    hidden = ({}, {"source_hidden": True}, {"outputs_hidden": True})
    cells = []
    for name, folded in zip(("plain", "hidden_code", "hidden_output"), hidden):
        output = nbformat.v4.new_output("stream", text=f"{name}_printed")
        metadata = {"jupyter": folded} if folded else {}
        cells.append(nbformat.v4.new_code_cell(f"{name}_source", metadata=metadata, outputs=[output]))
    return nbformat.v4.new_notebook(cells=cells)


def test_what_is_folded_stays_folded(tmp_path):
    """Against nbconvert's own page, on which all six texts are open: on ours the folded code and the folded output are not."""
    nbformat.write(a_notebook(), tmp_path / "a.ipynb")
    texts = [
        f"{name}_{part}"
        for name in ("plain", "hidden_code", "hidden_output")
        for part in ("source", "printed")
    ]
    theirs, ours = _Read(HTMLExporter().from_filename(tmp_path / "a.ipynb")[0]), as_page(tmp_path / "a.ipynb")
    assert [text in theirs.text for text in texts] == [True] * 6
    assert [text in ours for text in texts] == [True] * 6
    assert [text in _Read(ours).text for text in texts] == [True, True, False, True, True, False]


def intuitions(chapter):
    """The sentences on what misleads many, which a chapter's answers keep for its end."""
    calls = [
        node
        for cell in nbformat.read(chapter, 4).cells
        if cell.cell_type == "code"
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.Call)
    ]
    return [
        ast.literal_eval(word.value) for call in calls for word in call.keywords if word.arg == "intuition"
    ]


@pytest.mark.parametrize("chapter", CHAPTERS, ids=NAMES)
def test_no_answer_is_read_before_a_fold_is_opened(chapter):
    """Against the chapter's own answers: each stands in the page, and none in what is read without a click."""
    page, sentences = _Read(as_page(chapter)), intuitions(chapter)
    assert len(sentences) >= 5 and "Guess first." in page.text
    assert "The answer: “" in page.whole and "The answer: “" not in page.text
    for sentence in sentences:
        assert sentence in page.whole and sentence not in page.text


@pytest.mark.parametrize("chapter", CHAPTERS, ids=NAMES)
def test_a_question_does_not_tell_its_intuition(chapter):
    """Checks the cells that ask, since GitHub and some editors show folded code: the sentence stands with the answer."""
    sources = [cell.source for cell in nbformat.read(chapter, 4).cells if cell.cell_type == "code"]
    asking = [
        source
        for source in sources
        if any(f"guess.{kind}(" in source for kind in ("choice", "number", "line"))
    ]
    assert len(asking) >= 6 and not any("intuition" in source for source in asking)


def code_of(chapter):
    """The chapter's code cells: a pair of the source and whether it is folded."""
    cells = [cell for cell in nbformat.read(chapter, 4).cells if cell.cell_type == "code"]
    return [(cell.source, cell.metadata.get("jupyter", {}).get("source_hidden", False)) for cell in cells]


@pytest.mark.parametrize("chapter", CHAPTERS, ids=NAMES)
def test_an_answer_is_folded(chapter):
    """Checks that each cell that compares is folded, and that its first line, which a fold shows, has no sentence."""
    answers = [(source, folded) for source, folded in code_of(chapter) if _compares(source)]
    assert len(answers) >= 5 and all(folded for _, folded in answers)
    firsts = [source.strip().splitlines()[0] for source, _ in answers]
    assert [line for line in firsts if re.search(r"[a-z] [a-z]+ [a-z]+[^(]*[.?]\"", line)] == []


@pytest.mark.parametrize("chapter", CHAPTERS, ids=NAMES)
def test_an_answer_stays_the_same_when_it_is_run_again(chapter):
    """Checks the names that an answer uses: no later cell sets them to something else, since readers guess, and run the answer
    once more, when the whole chapter has been run."""
    sources = [source for source, _ in code_of(chapter)]
    names = [_names(source) for source in sources]
    for i, source in enumerate(sources):
        if _compares(source):
            own, used = names[i]
            later = {name for stored, _ in names[i + 1 :] for name in stored}
            assert (used - own) & later == set(), source


def _compares(source):
    return ".compare(" in source and "intuition=" in source


def _names(source):
    """The names that a cell sets, without those inside comprehensions, and all that it uses."""
    tree = ast.parse(source)
    inner = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.Lambda)
    within = {id(node) for part in ast.walk(tree) if isinstance(part, inner) for node in ast.walk(part)}
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    stored = {node.id for node in names if isinstance(node.ctx, ast.Store) and id(node) not in within}
    bound = {node.id for node in names if isinstance(node.ctx, ast.Store) and id(node) in within}
    return stored, {node.id for node in names if isinstance(node.ctx, ast.Load)} - bound


def test_the_command_writes_pages(tmp_path, monkeypatch, write_chapter):
    """Checks a course of two chapters: one that is named, all, and one that does not exist, for which nothing is written."""
    write_chapter(tmp_path, "00_start_here", "print(seed)")
    write_chapter(tmp_path, "01_next", "print(seed)")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli.app, ["export", "1", "--out", "here"])
    assert result.exit_code == 0 and result.output.split() == ["Wrote", "here/01_next.html"]
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["01_next.html"]
    assert CliRunner().invoke(cli.app, ["export"]).exit_code == 0
    pages = sorted((tmp_path / "build" / "pages").iterdir())
    assert [page.name for page in pages] == ["00_start_here.html", "01_next.html"]
    assert "print" in _Read(pages[0].read_text(encoding="utf-8")).text
