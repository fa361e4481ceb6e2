"""Make the file of `reviews`: `python -m advcourse.data.make_reviews vaderSentiment-3.3.2.tar.gz /usr/share/wordnet`.

The first argument is the source archive of the package vaderSentiment (MIT), which holds the rated sentences in an archive of
its own, and the valences; the second is the folder of WordNet 3.0's dictionary, as Debian's package wordnet-base installs it.
Each run gives the same sentences in the same order.
"""

import io
import json
import lzma
import random
import re
import sys
import tarfile
from collections import Counter, defaultdict
from pathlib import Path

from advcourse.core.files import replacing
from advcourse.data import reviews
from advcourse.data.words import words_of

TEST_FROM, SEED, LEAST_RATING = 8000, 0, 0.5
_INNER = "hutto_ICWSM_2014.tar.gz"
_SENTENCES, _VALENCES = "movieReviewSnippets_GroundTruth.txt", "vaderSentiment/vader_lexicon.txt"
_FORMS = {"noun": ("", "s"), "verb": ("", "s", "ed", "ing"), "adj": ("", "er", "est"), "adv": ("",)}
_KINDS = {
    "1": "noun",
    "2": "verb",
    "3": "adj",
    "4": "adv",
    "5": "adj",
}  # WordNet's ss_type, 5 a satellite adjective
SENSES = 2  # of a word, whose synonyms count


def _member(archive: tarfile.TarFile, ending: str) -> bytes:
    [name] = [name for name in archive.getnames() if name.endswith(ending)]
    return archive.extractfile(name).read()


def read_archive(path: Path) -> tuple[list, dict[str, float]]:
    """Return the rated sentences, a list of [rating, sentence], and the valence of each word, from vaderSentiment's archive."""
    with tarfile.open(path) as outer:
        lexicon = _member(outer, _VALENCES).decode()
        with tarfile.open(fileobj=io.BytesIO(_member(outer, _INNER))) as inner:
            table = _member(inner, _SENTENCES).decode()
    pairs = {}
    for line in table.splitlines():
        _, rating, text = line.split("\t")
        if abs(float(rating)) > LEAST_RATING:
            pairs.setdefault(" ".join(text.split()), round(float(rating), 2))
    rows = [line.split("\t")[:2] for line in lexicon.splitlines()]
    valence = {word: float(value) for word, value in rows if words_of(word) == [word]}
    return [[rating, text] for text, rating in pairs.items()], valence


def inflected(lemma: str, form: str) -> str:
    """Return the regular form of a word: "s", "ed", "ing", "er" or "est" added as English spells it; "" is the word itself."""
    if not form:
        return lemma
    if form == "s":
        if re.search("(s|x|z|ch|sh)$", lemma):
            return f"{lemma}es"
        return f"{lemma[:-1]}ies" if re.search("[^aeiou]y$", lemma) else f"{lemma}s"
    if lemma.endswith("e"):
        lemma = lemma[:-1]
    elif re.search("[^aeiou]y$", lemma) and form != "ing":
        lemma = f"{lemma[:-1]}i"
    elif re.fullmatch("[^aeiou]*[aeiou][bdgmnprt]", lemma):
        lemma += lemma[-1]
    return lemma + form


class WordNet:
    """WordNet's dictionary, read from its files: which words share a sense, and which part of speech a word mostly is."""

    def __init__(self, folder: Path):
        self._synsets, self._senses, self._counts = {}, {}, Counter()
        for part in _FORMS:
            for fields in _lines(folder / f"data.{part}"):
                words = fields[4 : 4 + 2 * int(fields[3], 16) : 2]
                self._synsets[part, int(fields[0])] = [re.sub(r"\(\w+\)$", "", word) for word in words]
            for fields in _lines(folder / f"index.{part}"):
                self._senses[part, fields[0]] = [int(offset) for offset in fields[6 + int(fields[3]) :]]
        for key, _, count in _lines(folder / "cntlist.rev"):
            lemma, kind = key.split("%")
            self._counts[_KINDS[kind[0]], lemma] += int(count)
        self._readings = defaultdict(list)
        for part, lemma in self._senses:
            if lemma.isalpha():
                for form in _FORMS[part]:
                    rank = (self._counts[part, lemma], form == "", lemma, part, form)
                    self._readings[inflected(lemma, form)].append(rank)

    def synonyms(self, word: str) -> list[str]:
        """Return the synonyms of a word in its most frequent part of speech, in the same form, nearest sense first."""
        if word not in self._readings:
            return []
        *_, lemma, part, form = max(self._readings[word])
        senses = self._senses[part, lemma][:SENSES]
        others = [other for sense in senses for other in self._synsets[part, sense]]
        forms = [inflected(other, form) for other in others if other.isalpha() and other.islower()]
        return list(dict.fromkeys(other for other in forms if other != word))


def _lines(path):
    """Yield the fields of each line of one of WordNet's files, without glosses; lines that begin with a space are its licence."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith(" "):
            yield line.partition("|")[0].split()


def build(archive: Path, wordnet: Path, path: Path = reviews.FILE) -> dict[str, str]:
    """Write the file; return the checksum of each part."""
    pairs, valence = read_archive(archive)
    random.Random(SEED).shuffle(pairs)
    content = {"train": pairs[:TEST_FROM], "test": pairs[TEST_FROM:]}
    counts = Counter(word for _, text in content["train"] for word in words_of(text))
    known = {word for word, count in counts.items() if count >= reviews.LEAST}
    dictionary = WordNet(wordnet)
    content["synonyms"] = {
        word: " ".join(others)
        for word in sorted(known)
        if len(word) > 2 and (others := [other for other in dictionary.synonyms(word) if other in known])
    }
    content["valence"] = dict(sorted(valence.items()))
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    with replacing(path) as partial:
        partial.write_bytes(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))
    return {part: reviews.checksum_of(values) for part, values in content.items()}


def main() -> int:
    """Write the file and print its checksums; return 1 if they are not those in the code, else 0."""
    checksums = build(*map(Path, sys.argv[1:3]))
    for part, checksum in checksums.items():
        print(f'"{part}": "{checksum}",')
    if checksums != reviews.CHECKSUMS:
        print(
            "these differ from reviews.CHECKSUMS: the set is no longer the one that the course was measured on"
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
