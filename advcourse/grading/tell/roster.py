"""A class list as Canvas or Moodle exports it: rows are found by student, and cells that are not filled in keep their bytes."""

import csv
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from advcourse.core.files import contents, replacing
from advcourse.core.inputs import InputError

_BOM = "\ufeff"
_BLANK = r"[^\S\r\n]|[\x00-\x08\x0e-\x1f\u200b-\u200f\u2060\ufeff\"]"  # what a program may pass over before a formula
_SIGNS = "=+\\-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b\u2212"  # = + - @, in other widths as well
_FORMULA = re.compile(rf"(^|[,;\t\r\n])(?=(?:{_BLANK}){{0,200}}[{_SIGNS}])|^(?=[\t\r\n])")
_NUMBER = re.compile(r"\d+([.,]\d+)?")


def plain(text: str) -> str:
    """Return `text` as a cell in which no spreadsheet finds a formula: an apostrophe goes in front of = + - @.

    It also does behind a comma, a semicolon, a tab and a line end: a program that uses another separator begins a new cell
    there, whatever the quotation marks say.
    """
    return text if text == "-" else _FORMULA.sub(r"\g<0>'", text)


def write_rows(
    path: Path | str, rows: Iterable[Iterable[str | int | float]], encoding: str = "utf-8"
) -> None:
    """Write a CSV file in which all text is quoted, and none of it a formula; numbers stand as they are."""
    rows = [[plain(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
    with replacing(path) as partial:
        with open(partial, "w", encoding=encoding, newline="") as file:
            csv.writer(file, quoting=csv.QUOTE_NONNUMERIC).writerows(rows)


class Sheet:
    """A CSV file to be filled in. Cells that are not set keep their bytes, and so do line ends and the byte-order mark.

    `columns` are the names in the first line; `told` names the file in messages; rows are numbered from 0, after the first
    line.

    Args:
        path: the file, with a comma, semicolon or tab between the cells.
        needed: the columns that it must have.
        name: the argument that the path comes from, for messages.
        source: what file it should be, for messages.

    Raises:
        InputError: if the file cannot be read or lacks a column.
    """

    def __init__(
        self, path: Path | str, needed: Sequence[str], name: str = "roster", source: str = "a CSV file"
    ):
        self.told = f"{name}: {path}"
        text = self._text(path, source)
        self._bom = _BOM if text.startswith(_BOM) else ""
        text = text.removeprefix(_BOM)
        for self._separator in ",;\t":
            lines = self._lines(text)
            with suppress(InputError):  # quotes that make no sense with this separator
                self._header = next(lines, ([], ""))
                self.columns = [_unquoted(cell).strip() for cell in self._header[0]]
                if set(needed) <= set(self.columns):
                    break
        else:
            columns = ", ".join(map(repr, needed))
            raise InputError(
                f"{self.told} lacks columns; allowed is {source}, whose first line has {columns}"
            )
        self._rows = list(lines)

    def _text(self, path, source):
        try:
            return contents(path).decode("utf-8")
        except OSError as error:
            raise InputError(f"{self.told} cannot be read ({error.strerror}); allowed is {source}") from error
        except UnicodeDecodeError as error:
            raise InputError(
                f"{self.told} is not in UTF-8; allowed is {source} (in Excel: save as 'CSV UTF-8')"
            ) from error

    def _lines(self, text):
        """Yield (cells with their quotes, line end) for each line."""
        s = self._separator
        cell = re.compile(rf'("(?:[^"]|"")*+"|[^"{s}\r\n][^{s}\r\n]*|)({s}|\r\n|\n|\r|\Z)')
        cells, at = [], 0
        while at < len(text) or cells:
            part = cell.match(text, at)
            if not part:
                number = 1 + text.count("\n", 0, at)
                raise InputError(
                    f"{self.told}, line {number}: a quotation mark is not closed, or not doubled"
                )
            cells.append(part[1])
            at = part.end()
            if part[2] != s:
                yield cells, part[2]
                cells = []

    def __len__(self):
        return len(self._rows)

    def value(self, row: int, column: str) -> str:
        """Return the text in a cell, without its quotes and the spaces around it; "" if there is no such cell."""
        cells = self._rows[row][0]
        at = self.columns.index(column) if column in self.columns else len(cells)
        return _unquoted(cells[at]).strip() if at < len(cells) else ""

    def set(self, row: int, column: str, value: str) -> None:
        """Put text into a cell of an existing column."""
        self._put(self._rows[row][0], self.columns.index(column), value)

    def add(self, column: str) -> str:
        """Add an empty column at the end. Returns its name."""
        self._put(self._header[0], len(self.columns), column)
        self.columns.append(column)
        return column

    def append(self) -> int:
        """Add an empty row at the end. Returns its number."""
        end = self._header[1] or "\n"
        lines = [self._header, *self._rows]
        lines[-1] = (lines[-1][0], lines[-1][1] or end)
        self._header, *self._rows = *lines, ([""] * len(self.columns), end)
        return len(self) - 1

    def _put(self, cells, at, value):
        value = plain(value)
        if value and (self._separator in value or not _NUMBER.fullmatch(value)):
            value = '"' + value.replace('"', '""') + '"'
        cells += [""] * (at + 1 - len(cells))
        cells[at] = value

    def write(self, path: Path | str) -> None:
        """Write the sheet to `path`, which may be the file that it comes from."""
        lines = [self._header, *self._rows]
        text = self._bom + "".join(self._separator.join(cells) + end for cells, end in lines)
        with replacing(path) as partial:
            partial.write_bytes(text.encode("utf-8"))


def _unquoted(cell):
    return cell[1:-1].replace('""', '"') if cell.startswith('"') else cell


@dataclass(frozen=True)
class ListedStudent:
    """A student's row of a class list.

    Args:
        row: its number.
        id: the id that file names hold.
        keys: other ids, login, e-mail address.
        name: the student's name.
    """

    row: int
    id: str
    keys: tuple[str, ...]
    name: str


def match(
    students: Iterable[str], entries: Iterable[ListedStudent], ids: Mapping[str, str]
) -> tuple[dict[str, int], list[str]]:
    """Find the rows of students.

    A student is found by the id in `ids` and, if one is known, by nothing else; otherwise by login, e-mail address or its part
    before the @; otherwise by name, "Mia Müller" or "Müller, Mia". Capitals do not matter.

    Args:
        students: their names.
        entries: the class list.
        ids: student -> id.

    Returns:
        Student -> row number; and sentences about the others: who fits no row, several rows, or another student's row, gets
        none.
    """
    by_id, by_key, by_name = {}, {}, {}
    for entry in entries:
        by_id.setdefault(entry.id, set()).add(entry.row)
        for key in entry.keys:
            for one in {_folded(key), _folded(key).partition("@")[0]} - {""}:
                by_key.setdefault(one, set()).add(entry.row)
        for name in _names(entry.name):
            by_name.setdefault(name, set()).add(entry.row)
    rows, sentences = {}, []
    for student in students:
        if ids.get(student):
            hits = by_id.get(ids[student], set())
        else:
            named = set().union(*(by_name.get(name, set()) for name in _names(student)))
            hits = by_key.get(_folded(student)) or named
        if len(hits) == 1:
            rows[student] = min(hits)
        else:
            sentences.append(
                f"{student}: {'no row fits' if not hits else f'{len(hits)} rows fit'}; not filled in."
            )
    times = Counter(rows.values())
    shared = [student for student, row in rows.items() if times[row] > 1]
    sentences += [f"{student}: the row fits another submission as well; not filled in." for student in shared]
    return {student: row for student, row in rows.items() if student not in shared}, sentences


def _folded(text):
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).strip()


def _names(name):
    """Return a name as it is, and with the part after its comma first; without what stands between the words."""
    last, _, first = _folded(name).partition(",")
    return {re.sub(r"[\s_.'’-]", "", order) for order in (last + first, first + last)} - {""}
