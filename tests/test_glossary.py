"""docs/glossary.md: its form, its truth, and the chapters' links to it."""

import json
import re

import glossary
import pytest

PAGE = glossary.PAGE.read_text(encoding="utf-8")
ENTRIES = glossary.entries(PAGE)
REWRITE = "run `python tests/glossary.py --write docs/glossary.md`"

# Chapters that link each term to the glossary where they are the first to use it; those that are rewritten join them.
LINKING = (
    "00_start_here",
    "01_why_they_exist",
    "02_one_step",
    "03_many_steps",
    "08_phone_camera",
    "09_faces",
    "10_road_signs",
    "11_malware",
    "20_life_cycle",
    "21_beyond_images",
)


def text_of(path):
    """All text cells of a chapter."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def test_every_entry_has_a_name_chinese_and_a_meaning():
    """By the form of the page: as many entries as headings, each with Chinese first and a sentence in English after it."""
    assert len(ENTRIES) == PAGE.count("\n### ") > 90
    assert len(glossary.symbols(PAGE)) == PAGE.count("\n| $") > 50
    for entry in ENTRIES:
        assert re.search(r"[\u4e00-\u9fff]", entry.chinese), f"{entry.name}: no Chinese name"
        assert not re.search(r"[\u4e00-\u9fff]", entry.meaning.replace("深度压缩网络", "")), entry.name
        assert len(entry.meaning.split()) >= 6 and entry.meaning.endswith("."), f"{entry.name}: no sentence"


def test_entries_are_sorted_and_none_is_twice():
    """By Python's own sort: names in the order of the alphabet, and no anchor, name or other name given to two entries."""
    names = [entry.name.lower() for entry in ENTRIES]
    assert names == sorted(names)
    known = [name.lower() for entry in ENTRIES for name in (entry.name, *entry.others)]
    assert len(set(known)) == len(known) and len({entry.anchor for entry in ENTRIES}) == len(ENTRIES)
    formulas = [glossary.tokens(latex) for latex, _ in glossary.symbols(PAGE)]
    assert len(set(formulas)) == len(formulas)


def test_the_chinese_is_the_surveys():
    """Against the list of terms in docs/survey.md: where both have a term, they have the same Chinese for it."""
    survey = (glossary.ROOT / "docs" / "survey.md").read_text(encoding="utf-8").split("## Terms")[1]
    theirs = {}
    for english, chinese in re.findall(r"^\| ([a-z].*?) \| (.*?) \|$", survey, re.M):
        pairs = zip(english.split(", "), chinese.split(", "), strict=True)
        theirs |= {name.replace("-", " "): word for name, word in pairs}
    ours = {entry.name.replace("-", " "): entry.chinese for entry in ENTRIES}
    both = ours.keys() & theirs.keys()
    assert len(both) >= 18
    assert {name: ours[name] for name in both} == {name: theirs[name] for name in both}


def test_each_first_use_is_the_first():
    """Against the chapters as they are: each entry and symbol is used, and "First used" names the first section that does."""
    assert "no chapter" not in glossary.filled(PAGE), (
        f"no chapter uses one of the terms; {REWRITE} to see which"
    )
    assert glossary.filled(PAGE) == PAGE, f"chapters have changed: {REWRITE}"


def test_a_letter_that_is_said_to_clash_has_several_rows():
    """By the table: each letter of the warning above it stands in the symbols of two rows or more."""
    [letters] = re.findall(r"Look twice at (.*?)\. ", PAGE, re.S)
    letters = re.findall(r"\$(.+?)\$", letters)
    assert len(letters) > 10
    for letter in letters:
        rows = [latex for latex, _ in glossary.symbols(PAGE) if letter in glossary.tokens(latex)]
        assert len(rows) >= 2, letter


@pytest.mark.parametrize("path", glossary.chapters(), ids=lambda path: path.stem)
def test_links_to_the_glossary_lead_to_entries(path):
    """Against the headings of the page: every link of the chapter to the glossary leads to one."""
    unknown = set(glossary.LINK.findall(text_of(path))) - {entry.anchor for entry in ENTRIES} - {"symbols"}
    assert not unknown, f"{path.name} links {sorted(unknown)}; docs/glossary.md has no such entry: add it"


def first_uses(name):
    """The anchors of the terms that the page says this chapter is the first to use."""
    mark = f"First used in [chapter {name[:2]}]"
    parts = re.split(r"^(?=### )", PAGE.split("## Symbols")[0], flags=re.M)
    return {entry.anchor for part in parts if mark in part for entry in glossary.entries(part)}


@pytest.mark.parametrize("name", LINKING)
def test_the_terms_that_a_chapter_is_first_to_use_are_linked(name):
    """Against the page's own "First used": a chapter that is held to it links each of its terms at least once."""
    links = glossary.LINK.findall(text_of(glossary.ROOT / "chapters" / f"{name}.ipynb"))
    missing = ", ".join(sorted(first_uses(name) - set(links)))
    assert not missing, (
        f"{name} is the first to use {missing}: link each where it is explained, for example "
        "[non-printability score](../docs/glossary.md#non-printability-score)"
    )


def test_nearly_every_chapter_is_the_first_to_use_some_term():
    """Against the page: so the test above has something to compare."""
    assert sum(bool(first_uses(name)) for name in LINKING) >= len(LINKING) - 1


def test_what_counts_as_a_use():
    """By hand: forms of a term, what only looks like it, formulas and code, and which section is the first."""
    page = "### ball\n\n球. All that is near. Also *cube*, *L∞ body*. But not *tennis ball*.\n\nFirst used in x.\n"
    [ball] = glossary.entries(page)
    assert (ball.anchor, ball.chinese) == ("ball", "球")
    for text in ("two balls.", "A Ball", "the L∞\nbody", "**cube**", "a tennis ball in the ball"):
        assert ball.used_in(glossary.words(text)), text
    for text in ("a tennis ball", "a balloon", "`ball`", "$ball$", "[it](ball.ipynb)", "eyeball"):
        assert not ball.used_in(glossary.words(text)), text
    books = [("a", [("A", "none"), ("B", "a cube")]), ("b", [("C", "a ball")])]
    assert glossary.first_use(ball.used_in, books) == ("a", "B")
    assert glossary.first_use(lambda text: "x" in text, books) is None


@pytest.mark.parametrize(
    ("latex", "text", "held"),
    [
        (r"\varepsilon", r"the budget $\epsilon$", True),
        (r"f(g(x))", "so\n$$ f ( g(x) ) = 1 $$", True),
        (r"1-\delta", r"$\ge\;1-\delta .$", True),
        ("m", "$m_i$ and $n$", False),
        ("N", r"$\mathcal N$", False),
        ("x", r"$\mathrm{max}$", False),
        ("x", "x stands outside", False),
        (r"\lVert x\rVert_1", r"$\|x\|_1$", True),
    ],
)
def test_what_counts_as_a_symbol(latex, text, held):
    """By hand: formulas that hold a symbol, and such as only hold its letter."""
    assert glossary.formula_in(latex, text) is held
