"""The words of a sentence, and lists of words that nets know by number."""

import re
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from advcourse.core.inputs import InputError, check_range

PADDING, UNKNOWN = 0, 1  # the numbers that stand for no word, and for a word outside the list
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


def words_of(sentence: str) -> list[str]:
    """Return the words of a sentence in lower case: letters and digits, with apostrophes inside ("don't"), no punctuation."""
    return [match[0].lower().replace("’", "'") for match in _WORD.finditer(sentence)]


def with_words(sentence: str, swaps: dict[int, str]) -> str:
    """Return the sentence with other words at the places `swaps` (index of the word -> new word); all else stays as it is.

    A new word takes over the capital letter of the one that it replaces.
    """
    pieces, end = [], 0
    for place, match in enumerate(_WORD.finditer(sentence)):
        new = swaps.get(place, match[0])
        if place in swaps and match[0][0].isupper():
            new = new[:1].upper() + new[1:]
        pieces += [sentence[end : match.start()], new]
        end = match.end()
    return "".join([*pieces, sentence[end:]])


def check_texts(sentences: Sequence[str], name: str = "sentences") -> None:
    """Raise `InputError` unless `sentences` are texts, a sequence of str."""
    texts = isinstance(sentences, Iterable) and not isinstance(sentences, str)
    if (
        not texts
        or getattr(sentences, "ndim", 1) != 1
        or not all(isinstance(each, str) for each in sentences)
    ):
        raise InputError(f"{name}: got something else than texts; allowed is a sequence of str")


class WordList:
    """Words, and the number of each: 0 stands for padding, 1 for a word that is not in the list, 2 for the first word.

    Args:
        words: the words, in lower case, each once.

    Raises:
        InputError: a word is there twice.
    """

    def __init__(self, words: Iterable[str]):
        self.words = tuple(words)
        self._numbers = {word: number for number, word in enumerate(self.words, 2)}
        if len(self._numbers) < len(self.words):
            raise InputError(
                f"words: got {len(self.words)} words, only {len(self._numbers)} of them different"
            )

    def __len__(self) -> int:
        """How many numbers there are: two more than words."""
        return len(self.words) + 2

    def __contains__(self, word: str) -> bool:
        return word in self._numbers

    def __repr__(self) -> str:
        return f"WordList({len(self.words)} words)"

    def number(self, word: str) -> int:
        """Return the number of a word; 1 if it is not in the list."""
        return self._numbers.get(word, UNKNOWN)

    def word(self, number: int) -> str:
        """Return the word of a number; "" for padding and for a word that is not in the list.

        Raises:
            InputError: there is no such number.
        """
        number = check_range(number, "number", 0, len(self) - 1, integer=True)
        return self.words[number - 2] if number >= 2 else ""

    def encode(self, sentences: Sequence[str]) -> Tensor:
        """Return the numbers of the words: int64 (N, L), L the words of the longest sentence; padding follows the others.

        Raises:
            InputError: not a sequence of texts, or one without a single word.
        """
        check_texts(sentences)
        rows = [[self.number(word) for word in words_of(text)] for text in sentences]
        empty = [text for text, row in zip(sentences, rows) if not row]
        if empty:
            raise InputError(f"sentences: got {empty[0]!r}, without a word; allowed are sentences of words")
        numbers = torch.full((len(rows), max(map(len, rows), default=0)), PADDING)
        for place, row in enumerate(rows):
            numbers[place, : len(row)] = torch.tensor(row)
        return numbers
