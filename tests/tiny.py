"""Tiny data and networks that tests of training share."""

from functools import partial

import torch
from torch import nn

from advcourse.training import fit

quiet = partial(fit, device="cpu", progress=False)


def blobs(n=60, classes=3, seed=0):
    """Images 1 x 4 x 4 in `classes` noisy, overlapping kinds."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % classes
    x = 0.3 * torch.rand(n, 1, 4, 4, generator=generator)
    x[torch.arange(n), 0, y, :] += 0.25
    return x, y


def linear(classes=3, pixels=16):
    model = nn.Sequential(nn.Flatten(), nn.Linear(pixels, classes))
    nn.init.zeros_(model[1].weight)
    nn.init.zeros_(model[1].bias)
    return model


def network(seed=0, width=8):
    """With dropout and batch normalisation, so that random state and buffers matter."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Flatten(),
            nn.Linear(16, width),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Linear(width, 3),
        )


def same(model, state):
    return all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


def snapshot(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}
