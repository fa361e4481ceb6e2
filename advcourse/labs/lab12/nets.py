"""The models of lab 12 as recipes, so that answers get copies: nets that read sentences of made-up words."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

from advcourse.labs.victims import Victim
from advcourse.models.word_nets import WordReader

HIDDEN = 12


class Reader(WordReader):
    """The mean over the places of tanh of a window of `window` words' vectors, and one linear layer, to logits (N, 2).

    With a window of 1 the words add up, with one of 3 their order counts. Both are curved: what the gradient promises of a swap
    is not what the swap does.
    """

    def __init__(self, words: int, width: int, window: int):
        super().__init__(words, width)
        self.inner = nn.Conv1d(width, HIDDEN, window, padding=window // 2)
        self.last = nn.Linear(HIDDEN, 2)

    def from_vectors(self, vectors: Tensor, there: Tensor) -> Tensor:
        weight = there.to(vectors.dtype)[:, None]
        states = self.inner(vectors.transpose(1, 2) * weight).tanh() * weight
        return self.last(states.sum(2) / weight.sum(2).clamp_min(1))


@dataclass(frozen=True)
class SentenceNet(Victim):
    """A recipe for a net that reads sentences of `words` numbers; its weights follow from `seed`.

    `kind`: "alone" for a window of one word, "neighbours" for one of three. `shift` is added to logit 1, and all logits are
    `loud` times as large. Built with a type that is not floating-point, such as that of the words' numbers, it is float32.
    """

    words: int = 160
    width: int = 8
    shift: float = 0.0
    loud: float = 1.0

    def build(self, dtype: torch.dtype = torch.float32, device: str | torch.device = "cpu") -> nn.Module:
        dtype = dtype if dtype.is_floating_point else torch.float32
        with torch.device("meta"):  # no memory, and no random numbers
            net = Reader(self.words, self.width, _window(self))
        weights = {name: value.to(device, dtype, copy=True) for name, value in _drawn(self).items()}
        net.load_state_dict(weights, assign=True)
        return net.train(self.training)


def _window(recipe):
    return 1 if recipe.kind == "alone" else 3


@lru_cache(maxsize=64)
def _drawn(recipe):
    """The weights of a recipe by name."""
    generator = torch.Generator().manual_seed(recipe.seed)

    def normal(*shape):
        return torch.randn(shape, generator=generator)

    window = _window(recipe)
    return {
        "embedding.weight": normal(recipe.words, recipe.width),
        "inner.weight": normal(HIDDEN, recipe.width, window) * 1.5 / (recipe.width * window) ** 0.5,
        "inner.bias": 0.3 * normal(HIDDEN),
        "last.weight": recipe.loud * 2 * normal(2, HIDDEN),
        "last.bias": recipe.loud * torch.tensor([0.0, recipe.shift]),
    }
