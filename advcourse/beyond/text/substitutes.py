"""Which words may stand for which (`any_word`, `synonyms`), and how much of a sentence is left (`similarity`)."""

import math
from collections.abc import Mapping, Sequence
from functools import cache

import torch
from torch import Tensor

from advcourse.core.inputs import InputError, check_flag
from advcourse.data import reviews
from advcourse.data.words import UNKNOWN, WordList, check_texts, words_of

LARGEST_SHIFT = 1.5  # in valence, from -4 to 4, that the polarity guard allows


class Substitutes:
    """For each word of a list, the words that may stand for it.

    Args:
        words: the list that the attacked net knows.
        table: word -> its substitutes; None (default) allows every word of the list for every word.
        name: a description, such as "synonyms".

    Raises:
        InputError: no word of the list has a substitute in it.
    """

    def __init__(
        self, words: WordList, table: Mapping[str, Sequence[str]] | None = None, name: str = "any word"
    ):
        if not isinstance(words, WordList):
            raise InputError(f"words: got {type(words).__name__}; allowed is a WordList")
        if not isinstance(name, str):
            raise InputError(f"name: got {name!r}; allowed is a text")
        self.words, self.name, self.numbers = words, name, None
        if table is None:
            return
        _check_table(table)
        rows = {
            words.number(word): [words.number(other) for other in others if other in words and other != word]
            for word, others in table.items()
            if word in words
        }
        widest = max(map(len, rows.values()), default=0)
        if not widest:
            raise InputError("table: got no pair of two words of the list; allowed is at least one")
        self.numbers = torch.zeros(len(words), widest, dtype=torch.int64)
        for number, others in rows.items():
            self.numbers[number, : len(others)] = torch.tensor(others, dtype=torch.int64)

    def __repr__(self) -> str:
        return f"Substitutes({self.name!r}, {self.words})"

    def of(self, word: str) -> tuple[str, ...]:
        """Return the substitutes of a word."""
        if not isinstance(word, str):
            raise InputError(f"word: got {word!r}; allowed is a text")
        if self.numbers is None:
            return tuple(other for other in self.words.words if other != word)
        numbers = self.numbers[self.words.number(word)].tolist()
        return tuple(self.words.word(number) for number in numbers if number)


@cache
def any_word() -> Substitutes:
    """Every word of `reviews.word_list` for every other: what the letters of a sentence allow, whatever it then means."""
    return Substitutes(reviews.word_list())


def synonyms(guard: bool = False) -> Substitutes:
    """WordNet's synonyms of the words of `reviews.word_list`.

    Args:
        guard: keep only pairs of like polarity (default False): the valences of the two words, 0 for a word that the lexicon does
            not have, have no opposite signs, and differ by at most 1.5. Without it "bad" may become "big".
    """
    return _synonyms(check_flag(guard, "guard"))


@cache
def _synonyms(guard):
    table = reviews.synonyms()
    if guard:
        rated = reviews.valence()
        table = {
            word: [other for other in others if _alike(rated.get(word, 0.0), rated.get(other, 0.0))]
            for word, others in table.items()
        }
    return Substitutes(reviews.word_list(), table, "guarded synonyms" if guard else "synonyms")


def _check_table(table):
    if not isinstance(table, Mapping):
        raise InputError(
            f"table: got {type(table).__name__}; allowed is a dictionary word -> its substitutes"
        )
    for word, others in table.items():
        if not isinstance(word, str):
            raise InputError(f"table: got the key {word!r}; allowed are words")
        check_texts(others, f"table[{word!r}]")


def _alike(first, second):
    return first * second >= 0 and abs(first - second) <= LARGEST_SHIFT


def polarity(sentences: Sequence[str]) -> Tensor:
    """Return the sum of the valences of the words of each sentence, float64 (N,): a judge that no net has a part in."""
    check_texts(sentences)
    rated = reviews.valence()
    sums = [math.fsum(rated.get(word, 0.0) for word in words_of(text)) for text in sentences]
    return torch.tensor(sums, dtype=torch.float64)


@cache
def _weights():
    """Return the inverse document frequency of each number of `reviews.word_list`, float64, in the training sentences."""
    words, training = reviews.word_list(), reviews.load("train")
    counts = torch.zeros(len(words), dtype=torch.float64)
    for row in words.encode(training.sentences):
        counts[row.unique()] += 1
    counts[UNKNOWN] = 0
    weights = ((1 + len(training)) / (1 + counts)).log() + 1
    weights[0] = 0
    return weights


def similarity(numbers: Tensor, others: Tensor) -> Tensor:
    """Return the cosine of the tf-idf vectors of two batches of sentences, (N,) in [0, 1], as numbers (N, L) of words each.

    A word weighs ln((1 + n) / (1 + n_w)) + 1, where n_w of the n training sentences have it: rare words weigh most. A synonym
    counts as another word, as an antonym does: what a sentence means is for people to judge. Sentences without words have 0.

    Raises:
        InputError: not two tensors of numbers of one shape.
    """
    for name, rows in (("numbers", numbers), ("others", others)):
        whole = isinstance(rows, Tensor) and rows.dtype == torch.int64 and rows.dim() == 2
        if not whole or len(rows) != len(numbers) or (rows.numel() and not _known(rows)):
            raise InputError(
                f"{name}: got something else; allowed are the numbers of words, int64 (N, L), 0 to {len(_weights()) - 1}, N "
                "the same for both"
            )
    if numbers.shape[1] != others.shape[1]:
        raise InputError(
            f"others: got {others.shape[1]} places; allowed are {numbers.shape[1]}, as in numbers"
        )
    if not numbers.numel():
        return torch.zeros(len(numbers), dtype=torch.float64)
    both, place = torch.cat([numbers, others], 1).cpu().unique(return_inverse=True)
    weights = _weights()[both]
    first, second = (_bag(each, len(both)) * weights for each in place.split(numbers.shape[1], 1))
    return torch.cosine_similarity(first, second, dim=1).clamp(0, 1)


def _known(rows):
    return 0 <= int(rows.min()) and int(rows.max()) < len(_weights())


def _bag(places, size):
    counts = torch.zeros(len(places), size, dtype=torch.float64)
    return counts.scatter_add_(1, places, torch.ones(places.shape, dtype=torch.float64))
