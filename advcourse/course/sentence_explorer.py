"""An explorer for chapter 21: type a sentence, choose an attack and its budget, and see what the net makes of it."""

import html
from collections.abc import Mapping, Sequence

import ipywidgets
from torch import nn

from advcourse.beyond import text
from advcourse.core.inputs import InputError, check_range
from advcourse.core.rounding import number, percent
from advcourse.core.workers import torch_threads
from advcourse.course.sentences import struck
from advcourse.data.reviews import CLASSES
from advcourse.data.words import words_of

_WIDE = {"style": {"description_width": "90px"}, "layout": {"width": "360px", "max_width": "100%"}}
_LONG = {"style": {"description_width": "90px"}, "layout": {"width": "98%", "height": "64px"}}
ATTACKS = {"gradient": text.HotFlip, "only asking": text.TextFooler, "at random": text.RandomSwaps}
WORDS = ("any word", "synonyms", "guarded synonyms")


class SentenceExplorer(ipywidgets.VBox):
    """See `sentence_explorer`. Its controls are `example`, `sentence`, `net`, `attack`, `words` and `share`.

    `result` is the last attack's `SwapResult`, None if there was nothing to attack; `before` and `after` are the probabilities of
    "positive".
    """

    def __init__(self, nets: Mapping[str, nn.Module], sentences: Sequence[str], share: float):
        self._nets, self.result = dict(nets), None
        self.before = self.after = float("nan")
        short = [(f"{i + 1}: {one[:60]}", one) for i, one in enumerate(sentences)]
        self.example = ipywidgets.Dropdown(options=short, description="example", **_WIDE)
        self.sentence = ipywidgets.Textarea(sentences[0], description="sentence", **_LONG)
        self.net = ipywidgets.Dropdown(options=list(self._nets), description="net", **_WIDE)
        self.attack = ipywidgets.Dropdown(options=list(ATTACKS), description="attack", **_WIDE)
        self.words = ipywidgets.Dropdown(
            options=WORDS, value="guarded synonyms", description="substitutes", **_WIDE
        )
        scale = {"min": 0.0, "max": 1.0, "step": 0.05, "readout_format": ".0%"}
        self.share = ipywidgets.FloatSlider(share, description="words, up to", **scale, **_WIDE)
        self.shown, self.message = ipywidgets.HTML(), ipywidgets.HTML()
        wrap = {"flex_flow": "row wrap"}
        rows = ([self.example, self.net], [self.attack, self.words, self.share])
        controls = [ipywidgets.HBox(row, layout=wrap) for row in rows]
        super().__init__([controls[0], self.sentence, controls[1], self.shown, self.message])
        self.add_class("advcourse-explorer")
        self.example.observe(self._chosen, names="value")
        for control in (self.sentence, self.net, self.attack, self.words, self.share):
            control.observe(self._refresh, names="value")
        self._refresh()

    def _chosen(self, change=None):
        self.sentence.value = self.example.value

    def _substitutes(self):
        chosen = self.words.value
        return text.any_word() if chosen == "any word" else text.synonyms(guard=chosen.startswith("guarded"))

    def _refresh(self, change=None):
        sentence, kind = self.sentence.value, ATTACKS[self.attack.value]
        self.result, self.shown.value = None, ""
        if not words_of(sentence):
            return self._say("Write a sentence with at least one word.")
        if kind is text.TextFooler and self.words.value == "any word":
            return self._say("Who only asks cannot try every word of the list: choose synonyms.")
        model = self._nets[self.net.value]
        with torch_threads(1):
            label = text.read(model, [sentence]).argmax(1).cpu()
            attack = kind(self._substitutes(), share=self.share.value)
            self.result = attack.run(model, [sentence], label)
            both = text.read(model, [sentence, self.result.altered[0]]).double().softmax(1)[:, 1]
        self.before, self.after = both.tolist()
        swaps = self.result.swaps(0)
        self.shown.value = struck([sentence], [swaps])._repr_html_() + "".join(
            _bar(name, share) for name, share in (("before", self.before), ("after", self.after))
        )
        return self._say(self._sentence(int(label), len(swaps)))

    def _sentence(self, label, swapped):
        fooled = bool(self.result.success[0])
        ends = f"it now reads it as {CLASSES[1 - label]}." if fooled else "it still does."
        near = number(self.result.similarity[0].item())
        return (
            f"The net read it as {CLASSES[label]}; with {swapped} word{'s' * (swapped != 1)} swapped {ends} "
            f"Similarity to your sentence: {near}. Questions asked: {int(self.result.queries[0])}."
        )

    def _say(self, told):
        self.message.value = f'<p role="status" aria-live="polite">{html.escape(told)}</p>'


def _bar(name, share):
    """The probability of "positive" as a bar with one half marked."""
    told = f"{name}: positive, {percent(share)}"
    colour = "#56B4E9" if share > 0.5 else "#D55E00"
    return (
        f'<div>{html.escape(told)}</div><div role="meter" aria-label="{html.escape(told)}" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{100 * share:.0f}" style="position:relative;max-width:560px;height:14px;border:1px solid #999">'
        f'<div style="width:{100 * share:.1f}%;height:100%;background:{colour}"></div>'
        '<div style="position:absolute;left:50%;top:-3px;height:20px;border-left:2px dashed currentColor"></div></div>'
    )


def sentence_explorer(
    nets: Mapping[str, nn.Module], sentences: Sequence[str], *, share: float = 0.3
) -> SentenceExplorer:
    """Explore attacks on sentences, the reader's own ones, too: which words go, and what the net then reads.

    The attack turns the net's own reading round, be it right or wrong. Words that the net does not know have no substitutes.

    Args:
        nets: name -> a net that reads sentences, such as `models.load("reviews-bag")`.
        sentences: the examples to begin with, each with a word in it.
        share: of the words that may be swapped at first, at least one, in [0, 1] (default 0.3).

    Returns:
        a `SentenceExplorer`, an ipywidget.

    Raises:
        InputError: there is no net or no sentence, one has no word, or the share is out of range.
    """
    if not isinstance(nets, Mapping) or not nets or not all(isinstance(v, nn.Module) for v in nets.values()):
        raise InputError("nets: got no mapping of names to nets; allowed is {'bag': models.load(...)}")
    if isinstance(sentences, str) or not sentences or not all(map(words_of, sentences)):
        raise InputError("sentences: got none, or one without a word; allowed are one or more texts")
    check_range(share, "share", 0, 1)
    return SentenceExplorer(nets, tuple(sentences), float(share))
