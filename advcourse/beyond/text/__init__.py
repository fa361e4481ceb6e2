"""Sentences: attacks that swap words, and their controls. Nets: `models.load("reviews-bag")`, `models.load("reviews-gru")`.

>>> model = models.load("reviews-bag")
>>> sentences = text.read_rightly(model, data.load("reviews")).pick(100)
>>> result = text.HotFlip(text.synonyms(guard=True)).run(model, sentences.sentences, sentences.labels)
>>> print(printed(result.success_rate), result.altered[0])
"""

from advcourse.beyond.text.record import SwapResult, read, read_rightly
from advcourse.beyond.text.substitutes import Substitutes, any_word, polarity, similarity, synonyms
from advcourse.beyond.text.swaps import HotFlip, RandomSwaps, TextFooler
from advcourse.beyond.text.training import train_reader

__all__ = [
    "HotFlip",
    "RandomSwaps",
    "Substitutes",
    "SwapResult",
    "TextFooler",
    "any_word",
    "polarity",
    "read",
    "read_rightly",
    "similarity",
    "synonyms",
    "train_reader",
]
