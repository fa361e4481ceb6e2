"""The networks of the course: small, without dropout or batch normalisation, so that it is easy to see what fools them.

Each maps images (N, C, H, W) in [0, 1] to logits (N, K).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

MNIST_MEAN, MNIST_STD = (0.1307,), (0.3081,)  # those of the 60 000 training images
FACES_MEAN, FACES_STD = (0.45, 0.38, 0.34), (0.22, 0.2, 0.19)  # approximately those of the training images
SIGNS_MEAN, SIGNS_STD = (0.45, 0.43, 0.43), (0.2, 0.2, 0.2)  # approximately those of the training images


class Normalise(nn.Module):
    """The layer (x - mean) / std, per channel. As a part of the model it lets attacks and budgets see images in [0, 1]."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


class MnistCNN(nn.Sequential):
    """Two convolutions, each with max-pooling, and one hidden layer, for 1 x 28 x 28: the default model of the course."""

    def __init__(self, classes: int = 10):
        super().__init__(
            Normalise(MNIST_MEAN, MNIST_STD),
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(32 * 7 * 7, 100),
            nn.ReLU(),
            nn.Linear(100, classes),
        )


class MnistWide(nn.Sequential):
    """Two convolutions with twice the channels of `MnistCNN`, strides instead of pooling, no hidden layer, for 1 x 28 x 28.

    After Springenberg et al., "Striving for simplicity: the all convolutional net", arXiv:1412.6806.
    """

    def __init__(self, classes: int = 10):
        super().__init__(
            Normalise(MNIST_MEAN, MNIST_STD),
            nn.Conv2d(1, 32, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(32, 64, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(64 * 7 * 7, classes),
        )


class MnistMLP(nn.Sequential):
    """Two hidden layers and no convolution, for 1 x 28 x 28."""

    def __init__(self, classes: int = 10):
        super().__init__(
            Normalise(MNIST_MEAN, MNIST_STD),
            nn.Flatten(),
            nn.Linear(28 * 28, 256),
            nn.ReLU(),
            nn.Linear(256, 128),
            nn.ReLU(),
            nn.Linear(128, classes),
        )


class MnistSmall(nn.Sequential):
    """Two strided 4 x 4 convolutions and one hidden layer, for 1 x 28 x 28: small enough for adversarial training on a CPU.

    The MNIST network of Wong, Rice and Kolter 2020, "Fast is better than free", arXiv:2001.03994. With `channels` other than 1,
    its input is a defense's encoding of an image, which it does not normalise.
    """

    def __init__(self, classes: int = 10, channels: int = 1):
        super().__init__(
            Normalise(MNIST_MEAN, MNIST_STD) if channels == 1 else nn.Identity(),
            nn.Conv2d(channels, 16, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * 7 * 7, 100),
            nn.ReLU(),
            nn.Linear(100, classes),
        )


class SignsCNN(nn.Sequential):
    """Three convolutions, each with max-pooling, and one hidden layer, for 3 x 32 x 32."""

    def __init__(self, classes: int):
        super().__init__(
            Normalise(SIGNS_MEAN, SIGNS_STD),
            nn.Conv2d(3, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(64 * 4 * 4, 128),
            nn.ReLU(),
            nn.Linear(128, classes),
        )


class FacesCNN(nn.Sequential):
    """Four convolutions, the first with stride 2 and the others with max-pooling, and one hidden layer, for 3 x 64 x 64."""

    def __init__(self, classes: int):
        super().__init__(
            Normalise(FACES_MEAN, FACES_STD),
            nn.Conv2d(3, 16, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(64, 64, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(64 * 4 * 4, 128),
            nn.ReLU(),
            nn.Linear(128, classes),
        )
