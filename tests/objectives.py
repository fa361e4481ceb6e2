"""What tests of training defenses share: models that note what they see."""

import torch
from tiny import linear
from torch import nn


class Recorder(nn.Module):
    """A model that notes the mode of each forward pass, and the images."""

    def __init__(self, model):
        super().__init__()
        self.model, self.seen = model, []

    def forward(self, x):
        self.seen.append((self.training, x.detach().clone()))
        return self.model(x)

    def learnt_from(self):
        """The batches of images that it saw in training mode."""
        return [images for training, images in self.seen if training]


def linear_model(classes=3, seed=0):
    """A linear model with random weights (classes, 16) and biases, and grey images whose ball of 0.25 lies within [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    model = linear(classes)
    with torch.no_grad():
        model[1].weight.copy_(torch.randn(classes, 16, generator=generator))
        model[1].bias.copy_(torch.randn(classes, generator=generator))
    x = 0.25 + 0.5 * torch.rand(60, 1, 4, 4, generator=generator)
    return model, x, torch.arange(60) % classes
