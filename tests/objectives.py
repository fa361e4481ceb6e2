"""What tests of training defenses share: all objectives, models that note what they see, and networks that learnt some digits."""

import inspect
from dataclasses import fields
from functools import cache, partial

import torch
from tiny import linear, network, quiet
from torch import nn

from advcourse import data, defenses, models
from advcourse.core.inputs import accuracy
from advcourse.training import cross_entropy

# Fields that any objective may have: large enough a budget to matter to tiny images, and few steps.
QUICK = {"eps": 0.2, "alpha": 0.1, "steps": 2, "replays": 2, "draws": 2, "sigma": 0.1, "cap": 0.2}
# Fields that one objective needs: without a default, or with one that does not suit tiny images.
NEEDED = {
    "EAT": lambda: {"static": (network(seed=5), network(seed=6))},
    "DeepContractive": lambda: {"weight": 0.01},
    "InputGradientRegularization": lambda: {"weight": 0.5},
    "DefensiveDistillation": lambda: {"teacher": network(seed=5), "temperature": 2.0},
}


def is_objective(value):
    """True for a class whose call takes a model, images and labels."""
    parameters = ["self", "model", "x", "y"]
    return inspect.isclass(value) and [*inspect.signature(value.__call__).parameters] == parameters


def quick(kind, **settings):
    """An objective of the class `kind` that is quick on tiny images, with `settings`. A field whose default is None stays so."""
    known = {field.name: field.default for field in fields(kind) if field.init}
    chosen = {name: value for name, value in QUICK.items() if known.get(name) is not None}
    return kind(**chosen | NEEDED.get(kind.__name__, dict)() | settings)


def _objectives():
    """Name -> how to make it, of every objective that the package hands on; one that can ramp stands there twice.

    `LSPGA` learns from codes and not from images: its tests are those of the thermometer.
    """
    handed_on = {name: getattr(defenses, name) for name in defenses.__all__}
    kinds = {name: one for name, one in handed_on.items() if is_objective(one) and name != "LSPGA"}
    ramped = {
        f"{name} ramp": partial(quick, kind, ramp=0.9)
        for name, kind in kinds.items()
        if "ramp" in {field.name for field in fields(kind)}
    }
    return {name: partial(quick, kind) for name, kind in kinds.items()} | ramped


OBJECTIVES = _objectives()


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
