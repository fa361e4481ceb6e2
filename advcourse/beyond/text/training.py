"""Training of nets that read sentences."""

import torch
from torch import nn
from torch.nn import functional as F

from advcourse.core.inputs import InputError, check_range, check_seed
from advcourse.core.randomness import seeded
from advcourse.data.reviews import SentenceSet
from advcourse.data.words import UNKNOWN, WordList

_BUCKET = 8  # batches whose sentences are sorted by length


def train_reader(
    model: nn.Module,
    sentences: SentenceSet,
    words: WordList,
    *,
    epochs: int = 8,
    batch_size: int = 64,
    lr: float = 5e-3,
    dropped: float = 0.3,
    seed: int = 0,
) -> nn.Module:
    """Train a net on rated sentences with Adam, one cycle of the learning rate, and word dropout; return it in eval mode.

    Args:
        model: from the numbers of words (N, L) to logits (N, 2). It is changed.
        sentences: the training set.
        words: gives the words their numbers.
        epochs, batch_size, lr: of the training (defaults 8, 64 and 5e-3).
        dropped: the share of the words that are made unknown, drawn anew in each epoch (default 0.3). Source: Iyyer et al., ACL
            2015, section 3.3.
        seed: of the order and of the dropped words (default 0).

    Raises:
        InputError: a setting out of range, no sentences, or a model without weights.
    """
    if not isinstance(model, nn.Module) or not any(p.requires_grad for p in model.parameters()):
        raise InputError(
            f"model: got {type(model).__name__}; allowed is a torch.nn.Module with weights to train"
        )
    if not isinstance(sentences, SentenceSet) or not len(sentences):
        raise InputError(
            f"sentences: got {sentences!r}; allowed is a SentenceSet of one or more, such as data.load('reviews')"
        )
    if not isinstance(words, WordList):
        raise InputError(f"words: got {type(words).__name__}; allowed is a WordList")
    check_range(epochs, "epochs", 1, integer=True)
    check_range(batch_size, "batch_size", 1, integer=True)
    check_range(lr, "lr", 0, exclusive_low=True)
    check_range(dropped, "dropped", 0, 1)
    numbers, labels = words.encode(sentences.sentences), sentences.labels
    lengths = (numbers > 0).sum(1)
    optimiser = torch.optim.Adam(model.parameters(), lr=lr)
    steps = -(-len(numbers) // batch_size) * epochs
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, total_steps=steps)
    model.train()
    with seeded(torch.device("cpu"), check_seed(seed)):
        for _ in range(epochs):
            for rows in _batches(lengths, batch_size):
                batch = numbers[rows][:, : int(lengths[rows].max())]
                gone = (torch.rand(batch.shape) < dropped) & (batch > 0)
                loss = F.cross_entropy(model(batch.masked_fill(gone, UNKNOWN)), labels[rows])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
    return model.eval()


def _batches(lengths, size):
    """Return shuffled batches of rows in which sentences of similar length stand together, so that little is padding."""
    order = torch.randperm(len(lengths))
    parts = [part[lengths[part].argsort(stable=True)].split(size) for part in order.split(size * _BUCKET)]
    batches = [batch for part in parts for batch in part]
    return [batches[i] for i in torch.randperm(len(batches)).tolist()]
