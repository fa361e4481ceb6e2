"""HTML pages that escape what they are given, each in one file that needs no network, no script and no font."""

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import TypeVar

from advcourse.core.intervals import Interval, halves

Row = TypeVar("Row")  # of a table: of any kind

_VOID = ("img", "meta")
_HALF = 600  # pixels of half a page: wider figures stand alone
# What no text needs and a browser should not get: control characters, halves of letters, and marks that reverse what follows.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\ufffe\uffff]")
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light; }
body { margin: 0 auto; padding: 1rem; max-width: 72rem; background: #fff; color: #1b1b1b; font: 1rem/1.5 system-ui, sans-serif;
  overflow-wrap: anywhere; }
h1 { line-height: 1.2; }
h2 { margin-top: 2.5rem; border-bottom: 2px solid #0072b2; }
p, li { max-width: 46rem; }
a { color: #00568a; }
nav ul { padding: 0; display: flex; flex-wrap: wrap; gap: .2rem 1rem; list-style: none; }
.how { padding: .1rem .8rem; border-left: 4px solid #0072b2; background: #f2f6f9; max-width: 46rem; }
.failures { padding: .1rem .8rem; border-left: 4px solid #d55e00; background: #fdf3ec; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .85rem; line-height: 1.3; font-variant-numeric: tabular-nums;
  overflow-wrap: normal; }
caption { text-align: left; padding-bottom: .3rem; font-weight: 600; }
th, td { padding: .25rem .6rem; text-align: right; vertical-align: top; border-bottom: 1px solid #ddd; }
thead th { vertical-align: bottom; border-bottom: 2px solid #555; }
th:first-child, .text { text-align: left; }
thead th { min-width: 4rem; }
tbody th { font-weight: 400; min-width: 7.5rem; max-width: 16rem; overflow-wrap: anywhere; }
tbody th:first-child { position: sticky; left: 0; background: #fff; }
tr.group th { font-weight: 600; background: #eee; max-width: none; }
tr.group span { position: sticky; left: .6rem; display: inline-block; max-width: calc(100vw - 4rem); }
td.text { min-width: 7rem; overflow-wrap: anywhere; }
td small { display: block; color: #555; white-space: nowrap; }
th small { display: block; }
td ul { margin: 0; padding-left: 1.2rem; }
.outcome { white-space: nowrap; }
figure { margin: 0; min-width: 0; }
.wide { grid-column: 1 / -1; }
figure div { overflow-x: auto; }
figcaption { margin-bottom: .3rem; font-size: .9rem; font-weight: 600; }
img { display: block; max-width: 100%; height: auto; }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(28rem, 100%), 1fr)); gap: 1.5rem; margin: 1rem 0; }
summary { margin: .5rem 0; color: #00568a; cursor: pointer; }
pre { white-space: pre-wrap; font-size: .75rem; }
@media print {
  @page { size: A4 landscape; margin: 12mm; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav { display: none; }
  details::details-content { content-visibility: visible; }
  .scroll, figure div { overflow: visible; }
  table { font-size: 7.5pt; }
  th, td { padding: .1rem .35rem; }
  tbody th:first-child { position: static; }
  .figures { display: block; }
  figure { display: inline-block; width: 49%; vertical-align: top; margin-bottom: 4mm; }
  .wide { width: 100%; }
  img { min-width: 0 !important; width: auto; max-height: 160mm; }
  tr, figure, .how, .failures { break-inside: avoid; }
  h2, h3, tr.group { break-after: avoid; }
  thead { display: table-header-group; }
}
"""


class Html(str):
    """Text that is HTML already. Any other text is escaped by `element`."""


@dataclass(frozen=True)
class Drawing:
    """A figure of a report: its PNG, its width in pixels, what it shows for those who cannot see it, and its caption."""

    png: bytes = field(repr=False)
    width: int
    alt: str
    caption: str


def printable(text: object) -> str:
    """The text with � in place of control characters, halves of letters, and marks that turn the direction of writing."""
    return _UNPRINTABLE.sub("\ufffd", str(text).replace("\r\n", "\n"))


def _escaped(text):
    return escape(printable(text))


def element(name: str, /, *content: object, **attributes: object) -> Html:
    """<name>content</name>, with plain text escaped. In attributes `class_` stands for class, `aria_label` for aria-label."""
    words = {key.strip("_").replace("_", "-"): _escaped(value) for key, value in attributes.items()}
    settings = "".join(f' {key}="{value}"' for key, value in words.items())
    inside = "".join(one if isinstance(one, Html) else _escaped(one) for one in content)
    return Html(f"<{name}{settings}>" if name in _VOID else f"<{name}{settings}>{inside}</{name}>")


def document(title: str, *content: object, style: str = "") -> Html:
    """The whole page. Its policy forbids whatever is not in the file itself. `style`: CSS beside what all pages share."""
    head = (
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("title", title),
        element("style", Html(_STYLE + style)),
    )
    body = element("main", element("h1", title), *content)
    return Html(
        "<!doctype html>\n" + element("html", element("head", *head), element("body", body), lang="en") + "\n"
    )


def sections(contents: Mapping[str, Iterable[object]]) -> list[Html]:
    """Title -> a list of what stands below it, as sections, with links to them at the top."""
    places = {name: re.sub(r"\W+", "-", name.lower()).strip("-") for name in contents}
    links = [element("li", element("a", name, href=f"#{place}")) for name, place in places.items()]
    parts = [
        element("section", element("h2", name), *content, id=places[name])
        for name, content in contents.items()
    ]
    return [element("nav", element("ul", *links), aria_label="Contents"), *parts]


def figures(drawings: Iterable[Drawing]) -> Html:
    """Drawings beside each other where there is room. None shrinks below two thirds: it scrolls then."""
    return element("div", *map(_figure, drawings), class_="figures")


def _figure(drawing):
    source = f"data:image/png;base64,{base64.b64encode(drawing.png).decode()}"
    size = {"width": drawing.width, "style": f"min-width: {drawing.width * 2 // 3}px"}
    picture = element("img", alt=drawing.alt, src=source, **size)
    caption = [element("figcaption", drawing.caption)] if drawing.caption else []
    room = {"class_": "wide"} if drawing.width > _HALF else {}
    return element("figure", *caption, element("div", picture), **room)


def table(
    caption: str, columns: Mapping[str, Callable[[Row], object]], groups: Mapping[str, Iterable[Row]]
) -> Html:
    """A table that scrolls in its own box.

    Args:
        caption: what it shows.
        columns: heading -> function of a row that gives the cell's text, or `Html`. The first names the row. A column of words,
            whose heading is a `Text`, stands on the left.
        groups: title -> rows of any kind; a title that is not empty stands in a row of its own.
    """
    heads = element("tr", *(element("th", name, scope="col", **_side(name)) for name in columns))
    parts = [element("caption", caption), element("thead", heads)]
    for title, rows in groups.items():
        lines = [_line(columns, row) for row in rows]
        if title:
            head = element("th", element("span", title), colspan=len(columns), scope="rowgroup")
            lines.insert(0, element("tr", head, class_="group"))
        parts.append(element("tbody", *lines))
    inside = element("table", *parts)
    return element("div", inside, class_="scroll", tabindex=0, role="region", aria_label=caption)


def _line(columns, row):
    first, *others = ((name, show(row)) for name, show in columns.items())
    cells = (element("td", text, **_side(name)) for name, text in others)
    return element("tr", element("th", first[1], scope="row"), *cells)


class Text(str):
    """The heading of a column of words."""


def _side(name):
    return {"class_": "text"} if isinstance(name, Text) else {}


def estimate(interval: Interval, unit: str = "%") -> Html:
    """An estimate, as `intervals.printed` prints it, in a cell of two lines."""
    value, basis = halves(interval, unit)
    return Html(escape(value) + element("small", basis))
