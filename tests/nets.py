"""Small models and images for tests: seeded, untrained, made in milliseconds."""

import torch
from torch import nn


class Linear(nn.Module):
    """Z = W x + b on flattened images: the model whose answers are known in closed form."""

    def __init__(self, weight, bias):
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)

    def forward(self, x):
        return x.flatten(1) @ self.weight.T + self.bias


class Scaled(nn.Module):
    """The same decisions with logits `factor` times as large: what distillation does to a model."""

    def __init__(self, model, factor):
        super().__init__()
        self.model, self.factor = model, factor

    def forward(self, x):
        return self.model(x) * self.factor


class Function(nn.Module):
    """A model that is a plain function of the images."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def linear(classes=2, shape=(1, 6, 6), seed=0, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    size = torch.Size(shape).numel()
    weight = torch.randn(classes, size, generator=g, dtype=torch.float64)
    return Linear(weight.to(dtype), torch.zeros(classes, dtype=dtype))


def conv(shape=(1, 8, 8), classes=5, seed=0, dtype=torch.float32):
    """A convolutional net with batch normalisation and dropout: parts that an attack could leave changed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(shape[0], 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Flatten(),
            nn.Linear(8 * shape[1] * shape[2], classes),
        ).to(dtype)


def images(n=6, shape=(1, 8, 8), seed=0, dtype=torch.float32):
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed)).to(dtype)
