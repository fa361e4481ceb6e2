"""What a net answers to sentences, and the record of an attack on them."""

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn

from advcourse.beyond.text.substitutes import similarity
from advcourse.core.inputs import InputError, check_logits, check_model, check_range, evaluating
from advcourse.core.intervals import Interval, counted
from advcourse.data import reviews
from advcourse.data.reviews import SentenceSet
from advcourse.data.words import WordList, with_words, words_of
from advcourse.metrics import succeeded


def asked(model: nn.Module, numbers: Tensor) -> Tensor:
    """Return the logits (N, K) of sentences, the numbers of whose words are (N, L).

    Raises:
        InputError: the answer is no floating-point tensor (N, K), K >= 2.
    """
    logits = model(numbers.clone())
    if (
        not isinstance(logits, Tensor)
        or not logits.is_floating_point()
        or logits.dim() != 2
        or len(logits) != len(numbers)
    ):
        given = (
            f"shape {tuple(logits.shape)} of {logits.dtype}"
            if isinstance(logits, Tensor)
            else type(logits).__name__
        )
        raise InputError(
            f"model: returned {given} for {len(numbers)} sentences; allowed are logits ({len(numbers)}, K)"
        )
    if logits.shape[1] < 2:
        raise InputError(f"model: returned {logits.shape[1]} logit for each sentence; allowed are K >= 2")
    return logits


def read(model: nn.Module, sentences: list[str], words: WordList | None = None) -> Tensor:
    """Return the logits (N, K) of a net for sentences, in eval mode, without gradients.

    Args:
        model: from the numbers of words (N, L) to logits (N, K).
        sentences: N texts, each with a word in it.
        words: the list that gives the words their numbers (default None: `reviews.word_list`, that of the shipped nets).

    Raises:
        InputError: model or sentences break their contract.
    """
    words = reviews.word_list() if words is None else words
    if not isinstance(words, WordList):
        raise InputError(f"words: got {type(words).__name__}; allowed is a WordList, or None")
    _check_fit(model, words)
    return answers(model, words.encode(sentences).to(_device(model)))


def answers(model: nn.Module, numbers: Tensor) -> Tensor:
    """Return the checked logits (N, K) for the numbers (N, L) of words, in eval mode, without gradients."""
    check_model(model, numbers)
    with evaluating(model), torch.inference_mode(False), torch.no_grad():
        if not len(numbers):  # one unknown word gives the number of classes
            return asked(model, numbers.new_ones(1, 1))[:0]
        return check_logits(torch.cat([asked(model, part) for part in numbers.split(256)]))


def read_rightly(model: nn.Module, sentences: SentenceSet) -> SentenceSet:
    """Return those of a set's sentences that the net reads rightly, in order."""
    if not isinstance(sentences, SentenceSet):
        raise InputError(
            f'sentences: got {type(sentences).__name__}; allowed is a SentenceSet, such as data.load("reviews")'
        )
    return sentences.subset(read(model, sentences.sentences).argmax(1).cpu() == sentences.labels)


def _device(model):
    if not isinstance(model, nn.Module):
        raise InputError(f"model: got {type(model).__name__}; allowed is a torch.nn.Module")
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def _check_fit(model, words):
    """Raise `InputError` if the model has an embedding with fewer rows than the list has numbers."""
    embedding = getattr(model, "embedding", None)
    if isinstance(embedding, nn.Embedding) and embedding.num_embeddings < len(words):
        raise InputError(
            f"words: got a list of {len(words)} numbers, but the model knows {embedding.num_embeddings}; allowed is the list "
            "that it was trained with"
        )


def rows_of(words: WordList, sentences: list[str], labels: Tensor, model: nn.Module) -> tuple[Tensor, Tensor]:
    """Return the numbers (N, L) of the sentences' words and their labels (N,), on the model's device.

    Raises:
        InputError: sentences or labels are not valid, or do not fit together.
    """
    numbers = words.encode(sentences)
    if not isinstance(labels, Tensor) or labels.dtype != torch.int64 or labels.shape != (len(numbers),):
        given = (
            f"shape {tuple(labels.shape)} of {labels.dtype}"
            if isinstance(labels, Tensor)
            else type(labels).__name__
        )
        raise InputError(
            f"labels: got {given}; allowed are int64 labels ({len(numbers)},), one for each sentence"
        )
    if len(labels) and int(labels.min()) < 0:
        raise InputError(f"labels: got {int(labels.min())}; allowed are class numbers from 0")
    device = _device(model)
    _check_fit(model, words)
    return numbers.to(device), labels.detach().clone().to(device)


@dataclass(frozen=True)
class SwapResult:
    """The record of one attack on N sentences. It holds its own copies.

    Attributes:
        attack: the attack, with which the run can be repeated.
        words: the list that gives the words their numbers.
        sentences: the N texts before the attack.
        clean, numbers: the numbers (N, L) of their words before and after.
        labels: (N,), the true labels.
        logits: (N, K), the model's answer to the altered sentences, from a new pass.
        queries: (N,), how many questions about each sentence the model answered during the attack, gradients included.
        model: the `identity` of the attacked model; "" if it can't be determined.
    """

    attack: object
    words: WordList = field(repr=False)
    sentences: tuple[str, ...] = field(repr=False)
    clean: Tensor = field(repr=False)
    numbers: Tensor = field(repr=False)
    labels: Tensor = field(repr=False)
    logits: Tensor = field(repr=False)
    queries: Tensor = field(repr=False)
    model: str

    @property
    def success(self) -> Tensor:
        """Whether the model misreads each altered sentence, bool (N,)."""
        return succeeded(self.logits, self.labels)

    @property
    def success_rate(self) -> Interval:
        """The share of the N sentences on which the attack succeeded, with its interval."""
        return counted(int(self.success.sum()), len(self.labels))

    @property
    def edits(self) -> Tensor:
        """How many words of each sentence were swapped, int64 (N,)."""
        return (self.clean != self.numbers).sum(1)

    @property
    def similarity(self) -> Tensor:
        """How similar each altered sentence is to the ORIGINAL one, in [0, 1], float64 (N,): see `text.similarity`."""
        return similarity(self.clean, self.numbers)

    def swaps(self, i: int) -> dict[int, tuple[str, str]]:
        """Return the swaps in sentence i: index of the word -> (the word, its substitute), in lower case."""
        check_range(i, "i", 0, len(self.sentences) - 1, integer=True)
        places = (self.clean[i] != self.numbers[i]).nonzero()[:, 0].tolist()
        own = words_of(self.sentences[i])
        return {place: (own[place], self.words.word(int(self.numbers[i, place]))) for place in places}

    @cached_property
    def altered(self) -> list[str]:
        """The N sentences after the attack, in which all but the swapped words is as it was."""
        swaps = (
            {place: new for place, (_, new) in self.swaps(i).items()} for i in range(len(self.sentences))
        )
        return [with_words(text, swapped) for text, swapped in zip(self.sentences, swaps)]
