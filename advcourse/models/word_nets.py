"""Nets that read sentences: a bag of embeddings, and a recurrent net.

Each maps the numbers of words (N, L), int64, 0 for padding after the last word and 1 for an unknown word, to logits (N, K). An
attack that needs a gradient asks for the words' vectors, `net.embedding`, and for the logits of vectors, `net.from_vectors`.
"""

from torch import Tensor, nn


class WordReader(nn.Module):
    """Base class: an embedding of `words` numbers in `width` dimensions, whose vectors a subclass reads in `from_vectors`."""

    def __init__(self, words: int, width: int):
        super().__init__()
        self.embedding = nn.Embedding(words, width)
        nn.init.normal_(self.embedding.weight, std=0.1)

    def forward(self, numbers: Tensor) -> Tensor:
        """Return the logits (N, K) of sentences, the numbers of whose words are (N, L)."""
        return self.from_vectors(self.embedding(numbers), numbers > 0)

    def from_vectors(self, vectors: Tensor, there: Tensor) -> Tensor:
        """Return the logits (N, K) of words' vectors (N, L, D); `there`, bool (N, L), says which are no padding."""
        raise NotImplementedError


class BagOfEmbeddings(WordReader):
    """The mean of the words' vectors, and one hidden layer: it does not see the order of the words.

    After Iyyer et al., "Deep unordered composition rivals syntactic methods for text classification", ACL 2015.

    Args:
        words: how many numbers there are, `len` of the word list.
        width: D (default 16).
        hidden: units of the hidden layer (default 32).
        classes: K (default 2).
    """

    def __init__(self, words: int, width: int = 16, hidden: int = 32, classes: int = 2):
        super().__init__(words, width)
        self.layers = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, classes))

    def from_vectors(self, vectors: Tensor, there: Tensor) -> Tensor:
        return self.layers(_mean(vectors, there))


class GatedReader(WordReader):
    """A gated recurrent unit (GRU) that reads word after word, and the mean of its states: the order counts.

    Source of the unit: Cho et al., "Learning phrase representations using RNN encoder-decoder", arXiv 1406.1078.

    Args:
        words: how many numbers there are, `len` of the word list.
        width: D (default 16).
        hidden: size of the state (default 24).
        classes: K (default 2).
    """

    def __init__(self, words: int, width: int = 16, hidden: int = 24, classes: int = 2):
        super().__init__(words, width)
        self.unit = nn.GRU(width, hidden, batch_first=True)
        self.last = nn.Linear(hidden, classes)

    def from_vectors(self, vectors: Tensor, there: Tensor) -> Tensor:
        states, _ = self.unit(vectors)  # what follows the last word reaches no earlier state
        return self.last(_mean(states, there))


def _mean(values, there):
    """Return the mean (N, D) of values (N, L, D) over the places (N, L) where there is a word."""
    weight = there.to(values.dtype)[..., None]
    return (values * weight).sum(1) / weight.sum(1).clamp_min(1)
