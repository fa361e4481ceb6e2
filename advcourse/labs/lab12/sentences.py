"""The sentences of lab 12's questions: words are numbers, their synonyms are drawn, and so are the nets that read them."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from advcourse.labs.exercises import Case, Draw, Task
from advcourse.labs.lab12.nets import SentenceNet

WORDS = 160  # numbers: 0 stands for no word, 1 for an unknown one
SYNONYMS = 5  # at most, for each word
FIRST = 2  # the first number of a word


class SentenceTask(Task):
    """A task about one sentence: its cases hold no images."""

    def case(
        self, draw: Draw, kind: str = "neighbours", loud: float = 1.0, deep: float = 0.5, **overrides: Any
    ) -> Case:
        """A fresh question: this task's settings, and a drawn net of this `kind`, which reads the sentence rightly.

        `loud`: how many times as large its logits are; `deep`: by how much the right class leads; `overrides` replace settings.
        """
        values = {**self.settings(draw, None), **overrides}
        net = SentenceNet(kind, draw.integer(), words=WORDS, loud=loud)
        net = read_as(net, values["numbers"], values["label"], deep)
        kept = {name: values[name] for name in self.parameters if name != "model"}
        return Case(net, torch.zeros(1), kept)


def a_sentence(draw: Draw, length: int) -> Tensor:
    """Numbers of words, each once, (length,)."""
    return FIRST + draw.uniform((WORDS - FIRST,)).argsort()[:length]


def synonyms_of(draw: Draw) -> Tensor:
    """A table (WORDS, SYNONYMS): up to five other words for each word, 0 for none; a third of the words has no synonym."""
    table = FIRST + draw.uniform((WORDS, WORDS - FIRST)).argsort(1)[:, :SYNONYMS]
    own = torch.arange(WORDS)[:, None]
    amount = (draw.uniform((WORDS, 1)) * (SYNONYMS + 3) - 2).ceil()
    table = table.masked_fill((torch.arange(SYNONYMS) >= amount) | (table == own), 0)
    table[:FIRST] = 0
    return table.sort(1, descending=True).values


def lead_of(net: SentenceNet, numbers: Tensor, label: int) -> Tensor:
    """How far the wrong class leads in sentences (M, L), float64 (M,), on the judge's own copy."""
    with torch.no_grad():
        logits = net.build(torch.float64)(numbers)
    return logits[:, 1 - label] - logits[:, label]


def read_as(net: SentenceNet, numbers: Tensor, label: int, deep: float) -> SentenceNet:
    """The net with a bias such that it reads the sentence (L,) as `label`, and the right class leads by `deep`."""
    right = -lead_of(net, numbers[None], label)[0].item() / net.loud
    return replace(net, shift=net.shift + (deep - right) * (1 if label else -1))


def stopwords_of(draw: Draw) -> Tensor:
    """Which words must stay as they are, bool (WORDS,): a third of them."""
    return draw.uniform((WORDS,)) < 1 / 3
