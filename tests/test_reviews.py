"""Rated sentences: their words, the shipped set, and the script that makes it."""

import hashlib
import io
import json
import lzma
import tarfile

import pytest
import torch

from advcourse import data
from advcourse.core.inputs import InputError
from advcourse.data import make_reviews, reviews
from advcourse.data.words import WordList, with_words, words_of


@pytest.fixture
def fresh_cache():
    for each in (reviews._content, reviews._part, reviews.word_list):
        each.cache_clear()
    yield
    for each in (reviews._content, reviews._part, reviews.word_list):
        each.cache_clear()


# ---- words ----


def test_words_and_swaps_by_hand():
    """Against what a reader would call the words of a sentence; all but the swapped words stays as it is."""
    sentence = "Don't miss (it): “a TOUR-de-force”, 10 out of 10 …"
    assert words_of(sentence) == "don't miss it a tour de force 10 out of 10".split()
    assert words_of("the film’s café") == ["the", "film's", "café"]
    assert with_words(sentence, {}) == sentence
    assert with_words(sentence, {0: "do", 6: "power"}) == "Do miss (it): “a TOUR-de-power”, 10 out of 10 …"
    assert with_words("Bad, bad.", {0: "big"}) == "Big, bad."


def test_word_lists_number_words_by_hand():
    """Against numbers counted by hand: padding 0, unknown 1, the first word 2."""
    known = WordList(["a", "good", "film"])
    assert len(known) == 5 and "good" in known and "bad" not in known
    assert known.encode(["A bad film!", "Good"]).tolist() == [[2, 1, 4], [3, 0, 0]]
    assert [known.word(i) for i in range(5)] == ["", "", "a", "good", "film"] and known.number("bad") == 1
    assert known.encode([]).shape == (0, 0)


@pytest.mark.parametrize(
    "bad, message",
    [
        (lambda: WordList(["a", "a"]), "words: got 2 words, only 1 of them different"),
        (lambda: WordList(["a"]).encode("a film"), "sentences: got something else than texts"),
        (lambda: WordList(["a"]).encode(["a", 3]), "sentences: got something else than texts"),
        (lambda: WordList(["a"]).encode(["a", "..."]), "sentences: got '...', without a word"),
        (lambda: data.load("reviews", "val"), "split: got 'val'; allowed are 'train', 'test'"),
        (lambda: data.load("reviews").first(3000), "n: got 3000"),
        (lambda: data.load("reviews").pick(3, seed=-1), "seed: got -1"),
        (lambda: a_set(["x"], [0.0]), "ratings: got shape"),
        (lambda: a_set(["x"], [1.0, 2.0]), "ratings: got shape"),
        (lambda: a_set(["x"], [5.0]), "ratings: got shape"),
    ],
)
def test_bad_input_is_named(bad, message):
    """Against the sentences that say what is allowed."""
    with pytest.raises(InputError, match=message):
        bad()


# ---- the set ----


def a_set(sentences, ratings):
    return reviews.SentenceSet(sentences, torch.tensor(ratings), name="x", split="test", licence="")


@pytest.mark.parametrize("split, n", [("train", 8000), ("test", 2041)])
def test_the_shipped_set(split, n):
    """Against the promises of a data set, and the source's own figures: 10 041 sentences, 49.6 % positive, none near 0."""
    loaded = data.load("reviews", split)
    assert len(loaded) == n and loaded.classes == ("negative", "positive") and "MIT" in loaded.licence
    assert loaded.checksum == reviews.CHECKSUMS[split]
    assert torch.equal(loaded.labels, (loaded.ratings > 0).long()) and loaded.ratings.abs().min() > 0.5
    assert abs(loaded.labels.double().mean() - 0.496) < 0.02
    assert (
        repr(loaded)
        == f"SentenceSet('reviews', '{split}': {n} sentences, {int(loaded.labels.sum())} positive)"
    )
    other = data.load("reviews", "test" if split == "train" else "train")
    assert not set(loaded.sentences) & set(other.sentences)


def test_checksum_is_sha256_of_lines_laid_out_by_hand():
    """Against hashlib over two lines written out."""
    made = a_set(["It’s good.", "No."], [1.5, -2.25])
    assert made.checksum == hashlib.sha256("1.5\tIt’s good.\n-2.25\tNo.\n".encode()).hexdigest()
    assert made.subset([1, 0]).checksum != made.checksum and list(made) == [("It’s good.", 1), ("No.", 0)]


def test_picks_are_balanced_and_seeded():
    """Against counting."""
    loaded = data.load("reviews")
    picked = loaded.pick(51, seed=1)
    assert int(picked.labels.sum()) == 25 and len(set(picked.sentences)) == 51
    assert picked.sentences == loaded.pick(51, seed=1).sentences != loaded.pick(51, seed=2).sentences
    assert (
        loaded.subset(loaded.labels == 1).labels.all() and loaded.first(2).sentences == loaded.sentences[:2]
    )
    assert loaded.subset([5, 2]).sentences == (loaded.sentences[5], loaded.sentences[2])


def test_valences_and_synonyms_are_those_of_their_sources():
    """Against three valences that VADER's own notes quote, and synonyms that WordNet 3.0 lists; both ends are known words."""
    rated, table, known = reviews.valence(), reviews.synonyms(), reviews.word_list()
    assert (rated["okay"], rated["great"], rated["horrible"]) == (0.9, 3.1, -2.5) and len(rated) > 7000
    assert {"film", "picture"} <= set(table["movie"]) and "big" in table["bad"] and "films" in table["movies"]
    assert len(table) == 3350 and sum(map(len, table.values())) == 6371
    for word, others in table.items():
        assert word in known and word not in others and all(other in known for other in others)


def test_the_notices_of_the_sources_ship():
    """Against the sentences that the two licences demand in every copy."""
    text = reviews.FILE.with_name("reviews-licences.txt").read_text(encoding="utf-8")
    assert (
        "Copyright (c) 2016 C.J. Hutto" in text and "The above copyright notice and this permission" in text
    )
    assert "WordNet 3.0 Copyright 2006 by Princeton University.  All rights reserved." in text
    assert reviews.FILE.stat().st_size < 500_000


@pytest.mark.parametrize("case", ["missing", "no archive", "no JSON", "other sentences"])
def test_a_damaged_file_is_refused(case, tmp_path, monkeypatch, fresh_cache):
    """Against files damaged in four ways; the message names the file."""
    path = tmp_path / "reviews.json.xz"
    contents = {
        "no archive": b"no archive",
        "no JSON": lzma.compress(b"{"),
        "other sentences": lzma.compress(json.dumps({"test": [[1.0, "Good."]]}).encode()),
    }
    if case in contents:
        path.write_bytes(contents[case])
    monkeypatch.setattr(reviews, "FILE", path)
    with pytest.raises(
        InputError, match=f"reviews.json.xz is {'missing' if case == 'missing' else 'damaged'}"
    ):
        data.load("reviews")


# ---- the script ----


@pytest.mark.parametrize(
    "lemma, forms",
    [
        ("film", "films filmed filming"),
        ("miss", "misses missed missing"),
        ("cry", "cries cried crying"),
        ("play", "plays played playing"),
        ("hope", "hopes hoped hoping"),
        ("stop", "stops stopped stopping"),
    ],
)
def test_forms_are_english(lemma, forms):
    """Against a grammar of English: six spelling rules of verbs, and two of adjectives."""
    assert [make_reviews.inflected(lemma, form) for form in ("s", "ed", "ing")] == forms.split()
    assert (
        make_reviews.inflected("big", "est") == "biggest"
        and make_reviews.inflected("silly", "er") == "sillier"
    )


DATA = {  # two synsets each, in WordNet's own format: 1 "film movie", 2 "film"; "bad big" as the second sense of bad
    "data.noun": "00000001 10 n 02 film 0 movie 0 000 | a story\n00000002 06 n 02 film 0 coating 0 000 | a layer\n",
    "index.noun": "film n 2 0 2 1 00000001 00000002\nmovie n 1 0 1 1 00000001\ncoating n 1 0 1 0 00000002\n",
    "data.verb": "00000003 36 v 02 film 0 shoot 1 000 01 + 08 00 | record\n",
    "index.verb": "film v 1 0 1 1 00000003\nshoot v 1 0 1 1 00000003\n",
    "data.adj": "00000004 00 s 02 bad 0 big(p) 0 000 | intense\n",
    "index.adj": "bad a 1 0 1 1 00000004\nbig a 1 0 1 1 00000004\n",
    "data.adv": "  1 a licence\n",
    "index.adv": "  1 a licence\n",
    "cntlist.rev": "film%1:10:00:: 1 9\nfilm%2:36:00:: 1 2\nbad%5:00:00:big:00 1 3\n",
}


@pytest.fixture
def dictionary(tmp_path):
    for name, text in DATA.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_synonyms_of_a_dictionary_written_by_hand(dictionary):
    """Against a dictionary of seven words in WordNet's format: the commoner part of speech decides, the form is kept."""
    found = make_reviews.WordNet(dictionary)
    assert found.synonyms("film") == ["movie", "coating"]  # the noun, which is tagged more often, both senses
    assert found.synonyms("films") == ["movies", "coatings"]
    assert found.synonyms("filmed") == [
        "shooted"
    ]  # regular forms alone: the list of known words drops this one
    assert found.synonyms("bad") == ["big"] and found.synonyms("worse") == []


def packed(files):
    """The bytes of a tar archive with these files."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text))
    return content.getvalue()


def test_the_script_on_an_archive_written_by_hand(dictionary, tmp_path, monkeypatch):
    """Against a source archive of three sentences: those near 0 and doubled ones go, words that are no words too."""
    rows = ("2.2666\tA  film, a movie.", "-0.4\tWell.", *["-1.5\tBad film."] * 2, "-2\tBig, bad, big movie.")
    table = "".join(f"{i}\t{row}\r\n" for i, row in enumerate(rows))
    inner = packed({"h/movieReviewSnippets_GroundTruth.txt": table.encode()})
    lexicon = b"bad\t-2.5\t0.6\t[]\n:)\t2.0\t1\t[]\n"
    outer = packed({"v/hutto_ICWSM_2014.tar.gz": inner, "v/vaderSentiment/vader_lexicon.txt": lexicon})
    (tmp_path / "source.tar").write_bytes(outer)
    made = tmp_path / "made.xz"
    checksums = make_reviews.build(tmp_path / "source.tar", dictionary, made)
    content = json.loads(lzma.decompress(made.read_bytes()))
    assert sorted(content["train"]) == [
        [-2.0, "Big, bad, big movie."],
        [-1.5, "Bad film."],
        [2.27, "A film, a movie."],
    ]
    assert content["test"] == [] and content["valence"] == {"bad": -2.5}
    # "a", "film", "movie", "bad" and "big" occur twice; "coating" does not occur.
    assert content["synonyms"] == {"film": "movie", "movie": "film", "bad": "big", "big": "bad"}
    assert checksums["valence"] == hashlib.sha256(b"bad\t-2.5\n").hexdigest()
