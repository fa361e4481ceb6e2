"""The models that a lab's checks attack. A `Victim` is a recipe in plain numbers: whoever holds it builds the same model.

So the student's function can be given one copy, and its answer be judged on another, also in another process.
"""

from dataclasses import dataclass
from functools import cache

import torch
from torch import nn

from advcourse import models
from advcourse.inputs import check_choice

KINDS = ("linear", "smooth", "two hills", "mnist-cnn")


@dataclass(frozen=True)
class Victim:
    """A recipe for a model of images of `shape` (C, H, W) with `classes` classes; its weights follow from `seed`.

    `kind`: "linear", logits W x + b; "smooth", a small convolutional network whose gradient is never 0, with batch normalisation
    and dropout; "two hills", see `_two_hills`, where `size` is the distance from the middle to either top; "mnist-cnn", the
    model that ships with the library (1 x 28 x 28, ten classes).
    """

    kind: str
    seed: int = 0
    shape: tuple[int, int, int] = (1, 28, 28)
    classes: int = 10
    size: float = 0.1

    def build(self, dtype=torch.float32, device="cpu"):
        """A new copy of the model, in eval mode."""
        check_choice(self.kind, "kind", KINDS)
        model = {"linear": _linear, "smooth": _smooth, "two hills": _two_hills}.get(self.kind, _shipped)(self)
        return model.to(device=device, dtype=dtype).eval()


class Centre(nn.Module):
    """(x - 0.5) * gain: images in [0, 1] around 0."""

    def __init__(self, gain):
        super().__init__()
        self.gain = gain

    def forward(self, x):
        return (x - 0.5) * self.gain


def _draw(module, generator, scale=1.0):
    """Fill weights and biases with normal numbers; the weights' spread is scale / sqrt(inputs). No global randomness."""
    with torch.no_grad():
        fan_in = module.weight[0].numel()
        module.weight.copy_(torch.randn(module.weight.shape, generator=generator) * scale / fan_in**0.5)
        module.bias.copy_(torch.randn(module.bias.shape, generator=generator) * 0.1)
    return module


def _linear(victim):
    generator = torch.Generator().manual_seed(victim.seed)
    channels, height, width = victim.shape
    layer = nn.utils.skip_init(nn.Linear, channels * height * width, victim.classes)
    return nn.Sequential(nn.Flatten(), _draw(layer, generator, 0.3))


def _smooth(victim):
    generator = torch.Generator().manual_seed(victim.seed)
    channels, height, width = victim.shape
    convolution = nn.utils.skip_init(nn.Conv2d, channels, 8, 5, stride=2, padding=2)
    hidden = 8 * ((height + 1) // 2) * ((width + 1) // 2)
    norm = nn.BatchNorm2d(8)
    norm.running_mean.copy_(torch.randn(8, generator=generator) * 0.2)
    norm.running_var.copy_(0.5 + torch.rand(8, generator=generator))
    return nn.Sequential(
        Centre(8.0),
        _draw(convolution, generator, 1.5),
        norm,
        nn.Tanh(),
        nn.Dropout(0.5),
        nn.Flatten(),
        _draw(nn.utils.skip_init(nn.Linear, hidden, victim.classes), generator, 0.3),
    )


class TwoHills(nn.Module):
    """Logits (0, z): z climbs on both sides of first pixel = 0.5; only the hill on the right is high enough to fool."""

    def __init__(self, size):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor([3.0, 0.5]) / size)

    def forward(self, x):
        along = x.flatten(1)[:, 0] - 0.5
        z = self.slope[0] * along.relu() + self.slope[1] * (-along).relu() - 1
        return torch.stack([torch.zeros_like(z), z], 1)


def _two_hills(victim):
    """A model where a random start decides: from the middle, half of the starts climb to a top that fools nothing."""
    return TwoHills(victim.size)


@cache
def _loaded(name):
    return models.load(name)


def _shipped(victim):
    import copy

    return copy.deepcopy(_loaded(victim.kind))
