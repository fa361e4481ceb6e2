"""Texts in figures: drawn letter by letter, in fonts that have their characters.

matplotlib reads a text between two dollar signs as a formula, leaves curves whose name begins with "_" out of a legend, and
draws boxes for characters that its own font lacks. The names of models, classes and curves come from the user, and may contain
all three.
"""

import unicodedata
import warnings
from collections.abc import Iterable
from functools import cache

import matplotlib
from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, fontManager, get_font
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, FuncFormatter

_warned = set()  # characters that no installed font has, and that a warning has named already


class PlainFigure(Figure):
    """A figure without formulas: each text in it, whoever added it, is drawn letter by letter.

    Only the numbers that matplotlib writes at ticks keep their powers of ten. If the font of a text lacks characters, an
    installed font that has them is used. If there is none, a warning says so once, and says what to install.
    """

    def draw(self, renderer: RendererBase) -> None:
        """Prepare the texts, then draw the figure as matplotlib does."""
        _name_ticks_plainly(self)
        lost = prepare(_plain_texts(self))
        with warnings.catch_warnings():
            if lost:  # a warning has named them already
                warnings.filterwarnings("ignore", r"Glyph \d+ .* missing", UserWarning)
            super().draw(renderer)


def prepare(texts: Iterable[Text]) -> set[str]:
    """Have texts drawn, and measured, letter by letter in fonts that have their characters. Return the characters without one."""
    texts = list(texts)
    for text in texts:
        text.set_parse_math(False)
        if not text.get_text().isascii() or not text.get_text().isprintable():
            text.set_text(_drawable(text.get_text()))
    return _choose_fonts(text for text in texts if not text.get_text().isascii())


def legend_name(name: object) -> str:
    """Return the name of a curve for a legend. A name that begins with "_" gets a space in front, or it would be left out."""
    return f" {name}" if str(name).startswith("_") else str(name)


def letters_across(text: str) -> int:
    """Return the width of the text in letters; a Chinese, Japanese or Korean character counts as two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def inches(text: str, size: float, weight: str = "normal") -> tuple[float, float]:
    """Return the width and the height of a text as it is drawn, of letters of `size` points, in inches; none: (0, 0).

    At another resolution letters are rounded to other pixels, so the width has 4 % to spare.
    """
    if not text.strip():
        return 0.0, 0.0
    written = PlainFigure(dpi=100).text(0, 0, text, fontsize=size, fontweight=weight)
    prepare([written])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing", UserWarning)  # `prepare` has named them
        box = written.get_window_extent()
    return 1.04 * box.width / 100, box.height / 100


def fitting_size(text: str, width: float, size: float) -> float:
    """Return the size, in points, at which a text is at most `width` inches wide: `size`, or less if it is longer than that."""
    return size * min(1.0, width / max(inches(text, size)[0], 1e-9))


def _name_ticks_plainly(figure):
    """Make the functions that name ticks return text that can be drawn; matplotlib calls them in each drawing."""
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        formatter = axis.get_major_formatter()
        if isinstance(formatter, FuncFormatter) and not isinstance(formatter.func, _Plainly):
            formatter.func = _Plainly(formatter.func)


class _Plainly:
    def __init__(self, name):
        self.name = name

    def __call__(self, value, place=None):
        return _drawable(str(self.name(value, place)))


def _plain_texts(figure):
    """Return all texts except the numbers at ticks, in which matplotlib writes powers of ten as formulas."""
    numbers = {
        id(text)
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        if not isinstance(axis.get_major_formatter(), FixedFormatter | FuncFormatter)
        for text in axis.findobj(Text)
        if text is not axis.label
    }
    return [text for text in figure.findobj(Text) if id(text) not in numbers]


def _drawable(text):
    """Return the text with U+FFFD in place of characters without a shape.

    These are control characters except line ends, and lone surrogates, which occur in names of files.
    """
    return "".join("\ufffd" if c != "\n" and unicodedata.category(c) in ("Cc", "Cs") else c for c in text)


def _choose_fonts(texts):
    """Add fonts to texts that need them. Return the characters that no font has, after a warning if some of them are new."""
    lost = set()
    for text in texts:
        if lacking := _lacking(text):
            families, none = _fonts_with(lacking)
            text.set_fontfamily([*text.get_fontfamily(), *families])
            lost |= none
    if lost - _warned:
        _warned.update(lost)
        warnings.warn(
            f"figure: no installed font has {' '.join(sorted(lost))}, drawn as boxes. Install one, such as Noto Sans CJK "
            "for Chinese, Japanese and Korean (Debian, Ubuntu: apt install fonts-noto-cjk), and remove fontlist-*.json "
            f"from {matplotlib.get_cachedir()}, where matplotlib keeps the list of fonts",
            stacklevel=3,
        )
    return lost


def _lacking(text):
    """Return the characters that no font of this text has."""
    lacking = {c for c in text.get_text() if not c.isspace()}
    for family in text.get_fontfamily():
        wanted = text.get_fontproperties().copy()
        wanted.set_family(family)
        lacking -= _of_font(findfont(wanted), lacking)
    return frozenset(lacking)


@cache
def _fonts_with(characters):
    """Return the names of as few installed fonts as possible that have the characters, and the characters that none has."""
    # In this order the upright file of regular weight comes last in each family, and overwrites the others.
    usable = {entry.name: entry.fname for entry in sorted(fontManager.ttflist, key=_upright_and_regular)}
    chosen, rest = [], set(characters)
    while rest:
        having = {name: _of_font(path, rest) for name, path in usable.items()}
        best = max(having, key=lambda name: len(having[name]))
        if not having[best]:
            break
        chosen.append(best)
        rest -= having[best]
    return tuple(chosen), frozenset(rest)


def _upright_and_regular(entry):
    return entry.style == "normal", str(entry.weight) in ("400", "normal", "regular")


def _of_font(path, characters):
    """Return those of the characters that the font in this file has; none if matplotlib cannot draw with it."""
    try:
        font = get_font(path)
    except (OSError, RuntimeError):
        return set()
    if (
        not font.scalable or "LastResort" in font.postscript_name
    ):  # a font of bitmaps, or one that has only boxes
        return set()
    return {c for c in characters if font.get_char_index(ord(c))}
