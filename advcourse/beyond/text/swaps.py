"""Attacks on sentences: they swap words. `HotFlip` follows the gradient, `TextFooler` only asks, `RandomSwaps` is the control."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from advcourse.attacks.hyperparameters import allowed, number
from advcourse.beyond.text.record import SwapResult, answers, asked, rows_of
from advcourse.beyond.text.substitutes import Substitutes, similarity
from advcourse.core.errors import NO_GRADIENT
from advcourse.core.identity import identity
from advcourse.core.inputs import LARGEST_SEED, InputError, check_classes, check_model, evaluating
from advcourse.data.words import UNKNOWN
from advcourse.metrics import margin

_AT_ONCE = 32  # sentences


class _State:
    """The sentences under attack: all tensors have the sentences first."""

    def __init__(self, model, numbers, labels, budget):
        self.model, self.labels, self.budget = model, labels, budget
        self.clean, self.numbers = numbers, numbers.clone()
        self.free = numbers > 0  # places where no word has been swapped yet
        self.queries = torch.zeros(len(numbers), dtype=torch.int64, device=numbers.device)
        self.lead = self.ask(torch.arange(len(numbers), device=numbers.device), numbers)
        self.stuck = torch.zeros_like(self.lead, dtype=torch.bool)

    def ask(self, rows, numbers):
        """Return the lead (M,) of the best wrong class in sentences (M, L), variants of those at `rows` (M,), and count."""
        self.queries.index_add_(0, rows, torch.ones_like(rows))
        with torch.no_grad():
            logits = asked(self.model, numbers)
        check_classes(self.labels[rows], logits.shape[1], "labels")
        return -margin(logits, self.labels[rows])

    @property
    def edits(self):
        return (self.numbers != self.clean).sum(1)

    @property
    def going(self):
        """The rows (M,) that still look for a success and may change another word."""
        return ((self.lead <= 0) & (self.edits < self.budget) & ~self.stuck).nonzero()[:, 0]

    def variants(self, rows, places, words):
        """Return copies (M, L) of the sentences at `rows`, with the word at `places` (M,) replaced by `words` (M,)."""
        numbers = self.numbers[rows].clone()
        numbers[torch.arange(len(rows), device=rows.device), places] = words
        return numbers

    def take(self, rows, places, words, leads):
        """Swap one word in each of the sentences at `rows` (M,)."""
        self.numbers[rows, places] = words
        self.free[rows, places] = False
        self.lead[rows] = leads


@dataclass(frozen=True)
class _WordSwaps:
    """Base class: swaps words of a sentence, each by a substitute of the ORIGINAL word, and stops at the first success.

    `attack(model, sentences, labels)` returns the altered sentences, `attack.run(...)` the whole record.
    """

    substitutes: Substitutes
    share: float = number(0.3, low=0, high=1)
    similar: float = number(0.0, low=0, high=1)

    def __post_init__(self):
        if not isinstance(self.substitutes, Substitutes):
            raise InputError(
                f"substitutes: got {self.substitutes!r}; allowed are text.any_word(), text.synonyms(), or Substitutes of your own"
            )
        for name, rule in allowed(type(self)).items():
            if name != "substitutes":
                object.__setattr__(self, name, rule.check(getattr(self, name), name))

    def __call__(self, model: nn.Module, sentences: list[str], labels: Tensor) -> list[str]:
        """Attack the sentences and return them as altered. Arguments as for `run`."""
        return self.run(model, sentences, labels).altered

    def run(
        self, model: nn.Module, sentences: list[str], labels: Tensor, edits: Tensor | None = None
    ) -> SwapResult:
        """Attack the sentences and return the whole record.

        Args:
            model: from the numbers of words (N, L) to logits (N, K), such as `models.load("reviews-bag")`.
            sentences: N texts.
            labels: (N,), the true labels. A sentence that the model misreads is left as it is and counts as a success: attack
                what it reads rightly, `text.read_rightly`.
            edits: (N,), how many words of each sentence may be swapped; None (default) for `share` of its words, at least one.

        Returns:
            a `SwapResult`.

        Raises:
            InputError: model, sentences, labels or edits break their contract.
        """
        numbers, labels = rows_of(self.substitutes.words, sentences, labels, model)
        check_model(model, labels)
        budget, altered, queries = self._budget(numbers, edits), numbers.clone(), torch.zeros_like(labels)
        with evaluating(model), torch.inference_mode(False), torch.enable_grad():
            for first in range(0, len(numbers), _AT_ONCE):
                part = slice(first, first + _AT_ONCE)
                longest = int((numbers[part] > 0).sum(1).max())
                state = _State(model, numbers[part, :longest], labels[part], budget[part])
                self._attack(state, first)
                altered[part, :longest], queries[part] = state.numbers, state.queries
        logits, words = answers(model, altered), self.substitutes.words
        named = identity(model, quiet=True)
        return SwapResult(self, words, tuple(sentences), numbers, altered, labels, logits, queries, named)

    def _budget(self, numbers, edits):
        lengths = (numbers > 0).sum(1)
        if edits is None:
            whole = (self.share * lengths.double() + 1e-9).long()
            return whole.clamp_min(1) if self.share else whole
        try:
            edits = torch.as_tensor(edits, device=numbers.device)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(
                f"edits: got {edits!r}; allowed are whole numbers ({len(lengths)},), or None"
            ) from error
        odd = edits.is_floating_point() or edits.is_complex() or edits.dtype == torch.bool
        if odd or edits.shape != lengths.shape or (edits < 0).any():
            raise InputError(
                f"edits: got shape {tuple(edits.shape)} of {edits.dtype}; allowed are whole numbers ({len(lengths)},)"
            )
        return edits.long()

    def _attack(self, state, first):
        """Attack the sentences of `state`; `first` is the index of its first sentence in the batch. Subclasses define it."""
        raise NotImplementedError

    def _near(self, state, rows, numbers):
        """Return which variants (M, L) of the sentences at `rows` are similar enough to the ORIGINAL sentences, bool (M,)."""
        if not self.similar:
            return torch.ones_like(rows, dtype=torch.bool)
        return (similarity(state.clean[rows], numbers) >= self.similar).to(rows.device)

    def _table(self, like):
        table = self.substitutes.numbers
        return None if table is None else table.to(like.device)


@dataclass(frozen=True)
class HotFlip(_WordSwaps):
    """Swap the word whose swap promises most, to first order: the largest (e_w' - e_w) . grad_e (Z_wrong - Z_true).

    Paper: Ebrahimi, Rao, Lowd and Dou 2018, "HotFlip: White-Box Adversarial Examples for Text Classification" (arXiv 1712.06751),
    equation 2 and section 5, for words. The paper takes the gradient of the loss, which ranks two classes in the same way but
    vanishes where the softmax saturates. The best few swaps are tried, and the one after which the wrong class leads most is
    kept; if none brings it nearer, the attack on that sentence ends.

    Args:
        substitutes: the words that may stand for each word: `text.any_word()`, `text.synonyms()`, `text.synonyms(guard=True)`.
        share: of a sentence's words that may be swapped, at least one (default 0.3).
        similar: least similarity to the ORIGINAL sentence, in [0, 1] (default 0: no limit).
        tried: how many swaps are tried at each step (default 8).

    Example:
        >>> altered = HotFlip(text.synonyms(guard=True))(model, sentences, labels)
    """

    tried: int = number(8, low=1)

    def _attack(self, state, first):
        table = self._table(state.numbers)
        while len(rows := state.going):
            places, words, promise = self._promising(state, rows, table)
            tried = min(self.tried, places.shape[1])
            many = rows.repeat_interleave(tried)
            variants = state.variants(many, places.flatten(), words.flatten())
            usable = promise.flatten().isfinite() & self._near(state, many, variants)
            leads = state.lead.new_full((len(many),), -torch.inf)
            leads[usable] = state.ask(many[usable], variants[usable])
            best, chosen = leads.view(-1, tried).max(1)
            better = best > state.lead[rows]
            state.stuck[rows[~better]] = True
            here = torch.arange(len(rows), device=rows.device)[better]
            chosen = chosen[better]
            state.take(rows[better], places[here, chosen], words[here, chosen], best[better])

    def _promising(self, state, rows, table):
        """Return the places, the substitutes and the first-order gains of the most promising swaps, (M, tried) each."""
        numbers = state.numbers[rows]
        gradient = self._gradient(state, rows, numbers)
        vectors = state.model.embedding.weight.detach()
        own = (gradient * vectors[numbers]).sum(-1, keepdim=True)
        if table is None:
            gain = gradient @ vectors.T - own
            gain[..., : UNKNOWN + 1] = -torch.inf
            gain.scatter_(-1, numbers[..., None], -torch.inf)
            words = None
        else:
            words = table[state.clean[rows]]
            gain = (vectors[words] * gradient[:, :, None]).sum(-1) - own
            gain = gain.masked_fill(words == 0, -torch.inf)
        gain = gain.masked_fill(~state.free[rows][..., None], -torch.inf)
        promise, index = gain.flatten(1).topk(min(self.tried, gain[0].numel()))
        places = index // gain.shape[2]
        words = index % gain.shape[2] if words is None else words.flatten(1).gather(1, index)
        return places, words, promise

    def _gradient(self, state, rows, numbers):
        """Return the gradient (M, L, D) of the wrong class's lead with respect to the words' vectors. It takes a query."""
        model = state.model
        if not isinstance(getattr(model, "embedding", None), nn.Embedding) or not hasattr(
            model, "from_vectors"
        ):
            raise InputError(
                "model: has no `embedding` and `from_vectors`, which this attack differentiates through; TextFooler needs neither"
            )
        state.queries[rows] += 1
        vectors = model.embedding(numbers).detach().requires_grad_()
        lead = -margin(model.from_vectors(vectors, numbers > 0), state.labels[rows])
        [gradient] = torch.autograd.grad(lead.sum(), vectors, allow_unused=True)
        if gradient is None:
            raise InputError(NO_GRADIENT)
        return gradient


@dataclass(frozen=True)
class TextFooler(_WordSwaps):
    """Swap words without a gradient: the word that the model needs most comes first, and all of its substitutes are tried.

    Paper: Jin, Jin, Zhou and Szolovits 2020, "Is BERT Really Robust?" (arXiv 1907.11932), algorithm 1. A word's importance is the
    lead that the true class loses if the word is unknown. Of the substitutes that succeed the one most similar to the ORIGINAL
    sentence is taken (the authors' code compares a window with the last step's), otherwise the one that helps most, if any does.
    Their sentence encoder and part-of-speech check are not here: `substitutes` says what is allowed. Every question to the model
    counts as a query.

    Args:
        substitutes: the words that may stand for each word, not `text.any_word()`, all of which would have to be tried.
        share: of a sentence's words that may be swapped, at least one (default 0.3).
        similar: least similarity to the ORIGINAL sentence, in [0, 1] (default 0: no limit).

    Example:
        >>> result = TextFooler(text.synonyms()).run(model, sentences, labels)
    """

    def __post_init__(self):
        super().__post_init__()
        if self.substitutes.numbers is None:
            raise InputError(
                "substitutes: got any word, far too many to try; allowed are synonyms or a table of your own"
            )

    def _attack(self, state, first):
        table = self._table(state.numbers)
        order = self._importance(state).argsort(dim=1, descending=True, stable=True)
        for rank in range(order.shape[1]):
            rows = state.going
            rows = rows[(state.clean[rows] > 0).sum(1) > rank]
            if not len(rows):
                return
            places = order[rows, rank]
            words = table[state.clean[rows, places]]
            several = words.shape[1]
            many, where = rows.repeat_interleave(several), places.repeat_interleave(several)
            variants = state.variants(many, where, words.flatten())
            usable = (words.flatten() > 0) & self._near(state, many, variants)
            leads = state.lead.new_full((len(many),), -torch.inf)
            leads[usable] = state.ask(many[usable], variants[usable])
            chosen = _chosen(leads, state.clean[many], variants, several)
            best = leads.view(-1, several).gather(1, chosen[:, None])[:, 0]
            better = best > state.lead[rows]
            here = torch.arange(len(rows), device=rows.device)[better]
            state.take(rows[better], places[better], words[here, chosen[better]], best[better])

    def _importance(self, state):
        """Return how much the lead of the wrong class grows if a word is unknown: (N, L), -inf for padding."""
        importance = torch.full(
            state.clean.shape, -torch.inf, dtype=state.lead.dtype, device=state.lead.device
        )
        rows, places = (state.free & (state.lead <= 0)[:, None]).nonzero().unbind(1)
        if len(rows):
            unknown = torch.full_like(places, UNKNOWN)
            importance[rows, places] = (
                state.ask(rows, state.variants(rows, places, unknown)) - state.lead[rows]
            )
        return importance


def _chosen(leads, clean, variants, several):
    """Return which of the `several` substitutes of each sentence to take, (M,), from their leads (M * several,).

    Of those that succeed the most similar to the original, otherwise the one with the largest lead. Each sentence is ranked by
    itself: a common scale for similarity and lead would be lost in rounding beside a sentence with large logits.
    """
    won = leads > 0
    near = torch.full(leads.shape, -torch.inf, dtype=torch.float64, device=leads.device)
    if won.any():
        near[won] = similarity(clean[won], variants[won]).to(leads.device)
    near, leads, won = (each.view(-1, several) for each in (near, leads, won))
    return torch.where(won.any(1), near.argmax(1), leads.argmax(1))


@dataclass(frozen=True)
class RandomSwaps(_WordSwaps):
    """The control: swap random words for random substitutes, one after another, and stop at the first success.

    With `edits=other.edits` in `run` it changes as many words as another attack did. It looks after each swap, so it has more
    chances than one draw.

    Args:
        substitutes: the words that may stand for each word.
        share: of a sentence's words that may be swapped, at least one (default 0.3).
        similar: least similarity to the ORIGINAL sentence, in [0, 1] (default 0: no limit); a swap below it is left out.
        seed: of the draws (default 0). A sentence's draws depend on the seed and its place alone.
    """

    seed: int = number(0, low=0, high=LARGEST_SEED)

    def _attack(self, state, first):
        plans = [self._plan(row.tolist(), first + place) for place, row in enumerate(state.clean)]
        for turn in range(max(map(len, plans), default=0)):
            rows = [row for row in state.going.tolist() if len(plans[row]) > turn]
            if not rows:
                continue
            places, words = torch.tensor(
                [plans[row][turn] for row in rows], device=state.numbers.device
            ).unbind(1)
            rows = torch.tensor(rows, device=state.numbers.device)
            variants = state.variants(rows, places, words)
            near = self._near(state, rows, variants)
            rows, places, words, variants = rows[near], places[near], words[near], variants[near]
            state.take(rows, places, words, state.ask(rows, variants))

    def _plan(self, numbers, place):
        """Return the swaps of one sentence in the order in which they are made: pairs (place, number of the new word)."""
        random = np.random.default_rng((self.seed, place))
        known, table, plan = len(self.substitutes.words), self.substitutes.numbers, []
        for i in random.permutation([i for i, each in enumerate(numbers) if each]):
            options = np.arange(UNKNOWN + 1, known) if table is None else table[numbers[i]].numpy()
            options = options[(options > 0) & (options != numbers[i])]
            if len(options):
                plan.append((int(i), int(random.choice(options))))
        return plan
