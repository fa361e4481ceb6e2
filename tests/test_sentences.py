"""What chapter 21 shows: struck sentences, players of sounds, and the explorer of sentences, driven as a user drives it."""

import io
import re
import wave
from html import unescape

import pytest
import torch

from advcourse import models
from advcourse.beyond import text
from advcourse.core.inputs import InputError
from advcourse.course.players import players, wav
from advcourse.course.sentence_explorer import sentence_explorer
from advcourse.course.sentences import struck

BAD = "What a dull, dull film! Don’t go."


def plain(page, tag):
    """The text of a page without what stands in one kind of tag."""
    page = re.sub(rf"<{tag}[^>]*>.*?</{tag}>", "", page)
    return unescape(re.sub(r"<[^>]+>", "", page))


def test_both_sentences_can_be_read_off():
    """Against the sentence before and after, written out: without what came it is the old one, without what went the new one."""
    shown = struck([BAD], [{2: ("dull", "bright"), 0: ("what", "such")}])
    page = shown._repr_html_()
    assert plain(page, "del").split() == "Such a bright, dull film! Don’t go.".split()
    assert "".join(old for row in shown.rows for old, _ in row) == BAD
    assert (
        "".join(new or old for row in shown.rows for old, new in row) == "Such a bright, dull film! Don’t go."
    )
    assert page.count("<del") == page.count("<ins") == 2 and "[-What-] {+Such+}" in repr(shown)


def test_letters_that_html_would_take_for_its_own_are_shown():
    """By hand: a sentence and a note with signs of HTML in them."""
    page = struck(["<b>Good</b> & bad"], [{1: ("good", "<i>")}], ["a < b"])._repr_html_()
    assert "<b>" not in page and "&lt;i&gt;" in page and "a &lt; b" in page and "&amp; bad" in page


def test_swaps_of_an_attack_can_be_shown():
    """Against the attack's own altered sentences."""
    sentences = ("A dull film.", "It's a lovely film, with lovely performances.")
    net = models.load("reviews-bag")
    run = text.HotFlip(text.any_word(), share=0.5).run(net, list(sentences), torch.tensor([0, 1]))
    shown = struck(sentences, [run.swaps(i) for i in range(2)])
    for row, before, after in zip(shown.rows, sentences, run.altered, strict=True):
        assert "".join(old for old, _ in row) == before
        assert "".join(new or old for old, new in row) == after


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (([BAD], []), "swaps: got 0; allowed are 1"),
        (([BAD], [{}], ["a", "b"]), "notes: got 2; allowed are 1"),
        (([BAD], [{9: ("a", "b")}]), "swaps: got word 9; allowed are 0 to 6"),
    ],
)
def test_what_does_not_fit_is_refused(given, message):
    """By hand: each message says what is allowed."""
    with pytest.raises(InputError, match=re.escape(message)):
        struck(*given)


# ---- players ----


def test_a_wav_file_holds_the_wave():
    """Against Python's own reader of such files: rate, length and samples, to half a step of 16 bits."""
    samples = torch.linspace(-1.2, 1.2, 600)
    with wave.open(io.BytesIO(wav(samples, 8000))) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8000, 1, 2)
        read = torch.frombuffer(bytearray(file.readframes(600)), dtype=torch.int16) / 32767
    torch.testing.assert_close(read, samples.clamp(-1, 1), rtol=0, atol=0.51 / 32767)


def test_each_sound_has_a_button_and_all_share_a_picture():
    """By counting: a named player for each, one picture with its text, and the text alone where nothing can be shown."""
    told = "two sounds that are silent"
    shown = players({"first <one>": torch.zeros(800), "second": torch.zeros(800)}, 8000, told)
    page = shown._repr_html_()
    assert page.count("<audio controls") == 2 and page.count("<img") == 1 and f'alt="{told}"' in page
    assert 'aria-label="first &lt;one&gt;"' in page and "autoplay" not in page and repr(shown) == told
    for bad in ({"a": torch.zeros(2, 2)}, {"a": torch.tensor([float("nan")])}):
        with pytest.raises(InputError, match="waves"):
            players(bad, 8000, told)


# ---- the explorer ----


@pytest.fixture(scope="module")
def explorer():
    nets = {"bag": models.load("reviews-bag"), "GRU": models.load("reviews-gru")}
    return sentence_explorer(nets, ["A dull film, but a good one.", "A lovely film."])


def test_the_explorer_shows_what_the_attack_does(explorer):
    """Against the attack, called by itself with the same settings."""
    explorer.words.value, explorer.share.value = "any word", 0.5
    net = models.load("reviews-bag")
    label = text.read(net, [explorer.sentence.value]).argmax(1)
    run = text.HotFlip(text.any_word(), share=0.5).run(net, [explorer.sentence.value], label)
    assert explorer.result.altered == run.altered and run.success.all()
    assert explorer.shown.value.count("<del") == int(run.edits)
    assert (explorer.before > 0.5) == bool(label) != (explorer.after > 0.5)
    assert "now reads it as" in explorer.message.value


def test_every_control_asks_again(explorer):
    """By what changes: another example, another net, no words to swap, another attack, and a sentence of the reader's own."""
    explorer.words.value, explorer.share.value = "guarded synonyms", 0.3
    explorer.example.value = "A lovely film."
    assert explorer.sentence.value == "A lovely film."
    before = explorer.before
    explorer.net.value = "GRU"
    assert explorer.before != before
    explorer.share.value = 0.0
    assert (
        "with 0 words swapped it still does" in explorer.message.value and "<del" not in explorer.shown.value
    )
    explorer.attack.value = "at random"
    assert isinstance(explorer.result.attack, text.RandomSwaps)
    explorer.sentence.value = "..."
    assert explorer.result is None and "at least one word" in explorer.message.value
    explorer.sentence.value, explorer.attack.value = "I loved it & <b>laughed</b>.", "only asking"
    assert isinstance(explorer.result.attack, text.TextFooler) and "<b>" not in explorer.shown.value
    explorer.words.value = "any word"
    assert explorer.result is None and "choose synonyms" in explorer.message.value


@pytest.mark.parametrize(
    ("nets", "sentences", "share", "message"),
    [
        ({}, ["good"], 0.3, "nets: got no mapping"),
        ({"a": 3}, ["good"], 0.3, "nets: got no mapping"),
        ({"a": torch.nn.Identity()}, [], 0.3, "sentences: got none"),
        ({"a": torch.nn.Identity()}, ["..."], 0.3, "sentences: got none"),
        ({"a": torch.nn.Identity()}, ["good"], 1.3, "share"),
    ],
)
def test_what_cannot_be_explored_is_refused(nets, sentences, share, message):
    """By hand: each message names the argument."""
    with pytest.raises(InputError, match=message):
        sentence_explorer(nets, sentences, share=share)
