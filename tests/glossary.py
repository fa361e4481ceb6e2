"""The glossary, docs/glossary.md: its entries and symbols, and where the chapters use each of them first.

    python tests/glossary.py --write docs/glossary.md

This fills in every "First used", from the chapters as they are; all other words of the page are written by hand. An entry's name,
and the names after "Also" in it, are looked for in the text cells; what stands after "But not" is no use of the term.
"""

import argparse
import json
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "glossary.md"
LINK = re.compile(r"\]\(\.\./docs/glossary\.md#([^)]*)\)")
_ENTRY = re.compile(r"^### (.+)\n\n(.*?)\n\n(First used.*)\n", re.M)
_SPELLINGS = {r"\\epsilon": r"\\varepsilon", r"\\[lr]?Vert": r"\\|", r"\\[lr]?vert": "|"}
_MAKES_ANOTHER = {"_", r"\mathcal", r"\mathbb", r"\hat", r"\tilde"}
_ROW = re.compile(r"^(\| \$(.+?)\$ \| (.+?) \| )(.*?) \|$", re.M)


@dataclass(frozen=True)
class Entry:
    """A term: its name, its other names, what looks like it and is something else, its Chinese name, and what it means."""

    name: str
    others: tuple[str, ...]
    unlike: tuple[str, ...]
    chinese: str
    meaning: str

    @property
    def anchor(self):
        """The name of the entry in a link, as GitHub and JupyterLab make it of a heading."""
        return re.sub(r"[^\w\- ]", "", self.name.lower()).replace(" ", "-")

    def used_in(self, text):
        """True if the text uses the term: any of its names, one or many of it, across line breaks and hyphens."""
        for other in self.unlike:
            text = re.sub(_names(other), " ", text, flags=re.I)
        return any(re.search(_names(name), text, re.I) for name in (self.name, *self.others))


def entries(page):
    """The entries of the page, in its order."""
    return [_entry(*found) for found in _ENTRY.findall(page)]


def symbols(page):
    """(LaTeX, meaning) of each row of the page's table of symbols."""
    return [(latex, meaning) for _, latex, meaning, _ in _ROW.findall(page)]


def chapters():
    """The chapters' paths in the course's order."""
    return sorted((ROOT / "chapters").glob("[0-9][0-9]_*.ipynb"))


def sections(path):
    """(heading, text) of each part of a chapter, without its first cell, which says what is to come, and its references."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    heading, parts = "", []
    for cell in cells[1:]:
        if cell["cell_type"] == "markdown":
            before, *rest = re.split(r"^#+ (.+)$", "".join(cell["source"]), flags=re.M)
            parts.append((heading, before))
            for heading, text in zip(rest[::2], rest[1::2], strict=True):
                parts.append((heading, f"{heading}\n{text}"))
    return [(heading, text) for heading, text in parts if heading != "References"]


def first_use(used, books):
    """(path, heading) of the first section for which `used(text)` holds, or None; a book is a path and its sections."""
    return next(((path, heading) for path, parts in books for heading, text in parts if used(text)), None)


def words(text):
    """A text without its formulas, code, link targets and stars: what a reader reads as words."""
    text = re.sub(r"\$\$.*?\$\$|\$[^$]*\$|`[^`]*`", " ", text, flags=re.S)
    return re.sub(r"\]\([^)]*\)|[*\[\]]", "", text)


def tokens(latex):
    """A formula as a tuple of its signs, without spaces and names in upright letters; equal signs have one spelling."""
    latex = re.sub(r"\\(?:mathrm|text|operatorname)\{[^}]*\}|\\[,;:!]|\\[bB]igg?[lr]?\b|\\q?quad", " ", latex)
    for spelling, sign in _SPELLINGS.items():
        latex = re.sub(spelling, sign, latex)
    return tuple(re.findall(r"\\[A-Za-z]+|\\?\S", latex))


def formula_in(latex, text):
    """True if a formula of the text holds `latex`. A letter with another index or hat, or in other type, is another symbol."""
    wanted = tokens(latex)
    for block, line in re.findall(r"\$\$(.*?)\$\$|\$([^$]+)\$", text, re.S):
        signs = ("", *tokens(block or line), "")
        for i in range(1, len(signs) - len(wanted)):
            before, after = signs[i - 1], signs[i + len(wanted)]
            if signs[i : i + len(wanted)] == wanted and before not in _MAKES_ANOTHER and after != "_":
                return True
    return False


def filled(page):
    """The page with every "First used" filled in from the chapters."""
    books = [(path, sections(path)) for path in chapters()]
    plain = [(path, [(heading, words(text)) for heading, text in parts]) for path, parts in books]

    def entry(found):
        item = _entry(*found.groups())
        return found[0].replace(found[3], f"First used in {_where(first_use(item.used_in, plain))}.")

    def row(found):
        place = first_use(lambda text: formula_in(found[2], text), books)
        return f"{found[1]}{_where(place)} |"

    return _ROW.sub(row, _ENTRY.sub(entry, page))


def _where(place):
    if place is None:
        return "no chapter"
    path, heading = place
    heading = re.sub(r" \[\d+\]", "", heading)  # the survey's number of the paper
    return f"[chapter {path.name[:2]}](../chapters/{path.name}), *{heading}*"


def _entry(name, text, _=None):
    chinese, _, meaning = text.partition(". ")
    also = re.search(r"\bAlso ((?:\*[^*]+\*(?:, )?)+)\.", meaning)
    unlike = re.search(r"\bBut not ((?:\*[^*]+\*(?:, )?)+)\.", meaning)
    named = [tuple(re.findall(r"\*([^*]+)\*", found[1])) if found else () for found in (also, unlike)]
    return Entry(name, *named, chinese, meaning)


def _names(name):
    return r"(?<!\w)" + r"[\s-]+".join(map(re.escape, re.split(r"[ -]", name))) + r"(?:s|es)?(?!\w)"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--write", type=Path, default=PAGE, help="the page to fill in (default: docs/glossary.md)"
    )
    where = parser.parse_args().write
    where.write_text(filled(where.read_text(encoding="utf-8")), encoding="utf-8")
