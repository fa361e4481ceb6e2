"""What answers of lab 12 about sentences share: the lead of the wrong class, its slope by the words' vectors, and the pairs."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


def lead(model: nn.Module, numbers: Tensor, label: int) -> Tensor:
    """How far the wrong class leads in each of the sentences (M, L), (M,)."""
    with torch.no_grad():
        logits = model(numbers)
    return logits[:, 1 - label] - logits[:, label]


def slope_of(model: nn.Module, numbers: Tensor, score: Callable[[Tensor], Tensor]) -> Tensor:
    """The gradient (L, D) of score(logits (2,)) by the vectors of the words of one sentence (L,)."""
    vectors = model.embedding(numbers).detach().requires_grad_()
    logits = model.from_vectors(vectors[None], (numbers > 0)[None])[0]
    (slope,) = torch.autograd.grad(score(logits), vectors)
    return slope


def wrong_minus_right(label: int) -> Callable[[Tensor], Tensor]:
    """The score that an attack climbs: the wrong class's lead."""
    return lambda logits: logits[1 - label] - logits[label]


def gains_of(model: nn.Module, numbers: Tensor, options: Tensor, slope: Tensor) -> Tensor:
    """The first-order gain of each option (L, S)."""
    vectors = model.embedding.weight.detach()
    change = vectors[options] - vectors[numbers][:, None]
    return (change * slope[:, None]).sum(2)


def best_pairs(gains: Tensor, options: Tensor, k: int) -> Tensor:
    """The best option of each place, and of these the best k, best first: rows (place, word)."""
    gains = gains.masked_fill(options == 0, -torch.inf)
    value, which = gains.max(1)
    places = value.argsort(descending=True)[: min(k, int((options > 0).any(1).sum()))]
    return torch.stack([places, options[places, which[places]]], 1)


def allowed(numbers: Tensor, synonyms: Tensor, stopwords: Tensor) -> Tensor:
    """The words (L, S) that may stand at each place, 0 for none."""
    return synonyms[numbers].masked_fill(stopwords[numbers][:, None], 0)
