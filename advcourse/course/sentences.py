"""Sentences as chapter 21 shows them: what an attack took out is struck through, and its substitute stands beside it."""

import html
from collections.abc import Mapping, Sequence

from advcourse.core.inputs import InputError
from advcourse.data.words import with_words, words_of

_OLD = "background:#f6d5cd;color:#111;padding:0 2px"  # colours that can be read on white and on black paper
_NEW = "background:#d7ecd0;color:#111;padding:0 2px;text-decoration:none;font-weight:bold"
_MARK = "\0"


class Struck:
    """Sentences with their swaps, for display: see `struck`. It shows itself in a notebook, and as plain text elsewhere.

    `rows` are lists of pieces, pairs (text, substitute), where the substitute is None for what stayed; `notes` stand below them.
    """

    def __init__(self, rows: list[list[tuple[str, str | None]]], notes: Sequence[str]):
        self.rows, self.notes = rows, tuple(notes)

    def __repr__(self):
        lines = []
        for row, note in zip(self.rows, self.notes, strict=True):
            lines.append("".join(old if new is None else f"[-{old}-] {{+{new}+}}" for old, new in row))
            lines += [f"  {note}"] if note else []
        return "\n".join(lines)

    def _repr_html_(self):
        items = []
        for row, note in zip(self.rows, self.notes, strict=True):
            told = f'<br><small style="opacity:.8">{html.escape(note)}</small>' if note else ""
            items.append(f'<li style="margin:.4em 0">{"".join(map(_piece, row))}{told}</li>')
        return f'<ol style="max-width:52em;line-height:1.5">{"".join(items)}</ol>'


def struck(
    sentences: Sequence[str], swaps: Sequence[Mapping[int, tuple[str, str]]], notes: Sequence[str] = ()
) -> Struck:
    """Return sentences with each swapped word struck through and its substitute beside it, for display.

    Args:
        sentences: the N texts before the attack.
        swaps: for each text, index of a word -> (the word, its substitute), as `SwapResult.swaps` gives them.
        notes: what is told below each text (default: nothing).

    Raises:
        InputError: there are not as many swaps, or notes, as texts; or a text has no word at such a place.
    """
    notes = tuple(notes) or ("",) * len(sentences)
    for name, values in (("swaps", swaps), ("notes", notes)):
        if len(values) != len(sentences):
            raise InputError(
                f"{name}: got {len(values)}; allowed are {len(sentences)}, one for each sentence"
            )
    return Struck([_pieces(text, dict(new)) for text, new in zip(sentences, swaps, strict=True)], notes)


def _pieces(sentence, swaps):
    """Cut a sentence at its swapped words."""
    own = words_of(sentence)
    beyond = [place for place in swaps if not 0 <= place < len(own)]
    if beyond:
        raise InputError(f"swaps: got word {beyond[0]}; allowed are 0 to {len(own) - 1} for {sentence!r}")
    cut = with_words(sentence, {place: f"{_MARK}{place}{_MARK}" for place in swaps}).split(_MARK)
    pieces, end = [], 0
    for i, part in enumerate(cut):
        length = len(own[int(part)]) if i % 2 else len(part)
        old, end = sentence[end : end + length], end + length
        new = with_words(old, {0: swaps[int(part)][1]}) if i % 2 else None
        pieces.append((old, new))
    return [piece for piece in pieces if piece != ("", None)]


def _piece(piece):
    old, new = piece
    if new is None:
        return html.escape(old)
    return f'<del style="{_OLD}">{html.escape(old)}</del> <ins style="{_NEW}">{html.escape(new)}</ins>'
