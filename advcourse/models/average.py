"""Model averaging: several models that answer as one."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from advcourse.core.inputs import InputError


class Average(nn.Module):
    """The average of the probabilities of `models`, as logits: Z = log(mean_i softmax(Z_i)).

    It keeps the model contract, so an attack on it sees all of its members: images (N, C, H, W) in [0, 1] to logits (N, K).
    Shifting one member's logits by a constant changes nothing; averaging logits instead would let the member with
    the largest ones decide.

    Raises:
        InputError: no models.
    """

    def __init__(self, models: Sequence[nn.Module]):
        super().__init__()
        if not len(models):
            raise InputError("models: got none; allowed is one or more")
        self.members = nn.ModuleList(models)

    def forward(self, x: Tensor) -> Tensor:
        # In the log domain: a probability that underflows would have no logarithm, and no gradient.
        log_probabilities = torch.stack([member(x).log_softmax(1) for member in self.members])
        return log_probabilities.logsumexp(0) - math.log(len(self.members))
