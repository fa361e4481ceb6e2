"""What tests of training defenses share: models that note what they see, and networks that learnt a thousand digits."""

from functools import cache

import torch
from tiny import linear, quiet
from torch import nn

from advcourse import data, models
from advcourse.core.inputs import accuracy
from advcourse.training import cross_entropy


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


def trained(objective, epochs=8):
    """A small network after some epochs on 1000 digits, in eval mode."""
    model, training = models.build("mnist-small", seed=0), data.load("mnist-5k", "train")
    pair = training.images[:1000], training.labels[:1000]
    quiet(model, pair, objective, epochs=epochs, batch_size=64, lr=5e-3)
    return model.eval()


@cache
def plain():
    """The same network, trained alike, without a defense."""
    return trained(cross_entropy)


def left(model, attack, victim=None):
    """The accuracy of `victim` (default: the model itself) on 200 held-out digits that were attacked on `model`."""
    x, y = data.load("mnist-5k").pick(200)
    return accuracy(victim or model, attack(model, x, y), y)
