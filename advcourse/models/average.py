"""Model averaging: several models combined into one."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from advcourse.core.inputs import InputError


class Average(nn.Module):
    """The average of the probabilities of `models`, as logits: Z = log(mean_i softmax(Z_i)).

    It is itself a model, images (N, C, H, W) in [0, 1] to logits (N, K), so an attack on it sees all of its members. Shifting
    one member's logits by a constant changes nothing. (If the logits themselves were averaged, the member with the largest
    ones would decide.)

    Raises:
        InputError: `models` is empty.
    """

    def __init__(self, models: Sequence[nn.Module]):
        super().__init__()
        if not len(models):
            raise InputError("models: got none; allowed is one or more")
        self.members = nn.ModuleList(models)

    def forward(self, x: Tensor) -> Tensor:
        # In the log domain, because a probability that underflows has no logarithm and no gradient.
        log_probabilities = torch.stack([member(x).log_softmax(1) for member in self.members])
        return log_probabilities.logsumexp(0) - math.log(len(self.members))
