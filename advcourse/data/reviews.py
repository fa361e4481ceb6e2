"""reviews: 10 041 sentences from film reviews with the mean rating of at least 20 people, synonyms, and words' valences.

`load` reads the sentences, `word_list` the words that the shipped nets know, `synonyms` what may stand for a word, and `valence`
how people rate single words, which is a judge that no net has a part in. All of it is in one file, made by
`python -m advcourse.data.make_reviews`; the licences are in `files/reviews-licences.txt`.

Sources: Hutto and Gilbert, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text", ICWSM 2014
(ratings and valences); Pang and Lee, "Seeing stars", ACL 2005 (the sentences); Miller, "WordNet: a lexical database for English",
Communications of the ACM 38, 1995 (synonyms).
"""

import hashlib
import json
import lzma
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from advcourse.core.inputs import InputError, check_choice, check_range
from advcourse.data.balanced import draw_balanced
from advcourse.data.places import check_place, check_places
from advcourse.data.words import WordList, words_of

NAME = "reviews"
FILE = Path(__file__).parent / "files" / "reviews.json.xz"
CLASSES = ("negative", "positive")
LICENCE = (
    "MIT (ratings and valences: C.J. Hutto, vaderSentiment); the sentences are quotations from film reviews, collected by "
    "Pang and Lee; WordNet 3.0 licence (synonyms: Princeton University)"
)
SPLITS = ("train", "test")
LEAST = 2  # a word that occurs less often in the training sentences is unknown to the nets
CHECKSUMS = {
    "train": "d75616d4c75147a4117a228737377321b4606bac273e7606efa710e755b839c4",
    "test": "aaee31389728ae4655e7160dc7c76a3bfa92431f678fa7df2bffd861e48407cd",
    "synonyms": "e40bc0bb2e8eff6ee83b38d66ba35ebec388d68c036b32f0d81a4824c2b87e64",
    "valence": "19656f39570d8f2f7895afb6345fc54cabd319a8065a904f4577f4e927ff845a",
}


class SentenceSet(Dataset):
    """Rated sentences: a torch `Dataset` of (sentence, label).

    Args:
        sentences: N texts.
        ratings: float64 (N,), the mean rating of each, from -4 (very negative) to 4, never 0.
        name, split, licence: where the sentences come from, and on what terms.

    Attributes:
        labels: int64 (N,), 1 for a rating above 0, else 0: indices into `classes`.

    Raises:
        InputError: the ratings do not fit the sentences.
    """

    classes = CLASSES

    def __init__(self, sentences: Sequence[str], ratings: Tensor, *, name: str, split: str, licence: str):
        self.sentences, self.ratings = tuple(sentences), torch.as_tensor(ratings, dtype=torch.float64)
        if (
            self.ratings.shape != (len(self.sentences),)
            or not ((self.ratings.abs() <= 4) & (self.ratings != 0)).all()
        ):
            raise InputError(
                f"ratings: got shape {tuple(self.ratings.shape)}; allowed is ({len(self.sentences)},), from -4 to 4, without 0"
            )
        self.labels = (self.ratings > 0).long()
        self.name, self.split, self.licence = name, split, licence

    def __len__(self) -> int:
        return len(self.sentences)

    def __getitem__(self, i: int) -> tuple[str, int]:
        i = check_place(i, len(self))
        return self.sentences[i], int(self.labels[i])

    def __iter__(self) -> Iterator[tuple[str, int]]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"SentenceSet({self.name!r}, {self.split!r}: {len(self)} sentences, {int(self.labels.sum())} positive)"

    @property
    def checksum(self) -> str:
        """The SHA-256 (hex) of a line "RATING<tab>SENTENCE" for each sentence, in UTF-8: equal for equal sets."""
        return checksum_of(
            [[round(rating, 2), text] for rating, text in zip(self.ratings.tolist(), self.sentences)]
        )

    def subset(self, indices: Sequence[int] | Tensor) -> "SentenceSet":
        """Return a new set of the sentences at `indices` (numbers, or a bool for each sentence), in that order.

        Raises:
            InputError: there is no such place, or `indices` has another form.
        """
        indices = check_places(indices, len(self))
        chosen = [self.sentences[i] for i in indices.tolist()]
        return SentenceSet(
            chosen, self.ratings[indices], name=self.name, split=self.split, licence=self.licence
        )

    def first(self, n: int) -> "SentenceSet":
        """Return the set of the first n sentences."""
        check_range(n, "n", 0, len(self), integer=True)
        return self.subset(range(n))

    def pick(self, n: int, seed: int = 0) -> "SentenceSet":
        """Draw n sentences without replacement, half of them positive (the odd one negative), as far as there are so many.

        Raises:
            InputError: n or seed out of range.
        """
        return self.subset(draw_balanced(self.labels, n, seed))


def checksum_of(part: list | dict) -> str:
    """Return the SHA-256 (hex) of a part of the file: of a line for each of its pairs, the two separated by a tab."""
    pairs = sorted(part.items()) if isinstance(part, dict) else part
    lines = (f"{key}\t{value}\n" for key, value in pairs)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def load(split: str = "test") -> SentenceSet:
    """Load 8 000 training or 2 041 test sentences, in a fixed random order; half of them are positive.

    Sentences whose mean rating is between -0.5 and 0.5 are left out.

    Raises:
        InputError: the split is unknown, or the file is missing or damaged.
    """
    check_choice(split, "split", SPLITS)
    pairs = _part(split)
    ratings = torch.tensor([rating for rating, _ in pairs], dtype=torch.float64)
    return SentenceSet([text for _, text in pairs], ratings, name=NAME, split=split, licence=LICENCE)


@cache
def word_list() -> WordList:
    """Return the words that the shipped nets know: those that occur at least twice in the training sentences, by alphabet."""
    counts = Counter(word for _, text in _part("train") for word in words_of(text))
    return WordList(sorted(word for word, count in counts.items() if count >= LEAST))


def synonyms() -> dict[str, tuple[str, ...]]:
    """Return word -> words that WordNet lists as synonyms of it, in the same form (plural, past, ...), nearest sense first.

    They are synonyms in one of the first two senses of the word's most frequent part of speech, whatever it means in the
    sentence: "bad" has "big". Both are in `word_list`.
    """
    return {word: tuple(others.split()) for word, others in _part("synonyms").items()}


def valence() -> dict[str, float]:
    """Return word -> the mean rating that ten people gave it without a context, from -4 to 4, for 7 239 words, none neutral."""
    return dict(_part("valence"))


@cache
def _content():
    try:
        return json.loads(lzma.decompress(FILE.read_bytes()))
    except FileNotFoundError:
        raise InputError(f"data file {FILE} is missing; install the package again") from None
    except (OSError, ValueError, lzma.LZMAError) as error:
        raise InputError(f"data file {FILE} is damaged ({error}); install the package again") from error


@cache
def _part(name):
    content = _content()
    part = content.get(name) if isinstance(content, dict) else None
    if not isinstance(part, list | dict) or checksum_of(part) != CHECKSUMS[name]:
        raise InputError(
            f"data file {FILE} is damaged: part {name!r} has another checksum; install the package again"
        )
    return part
