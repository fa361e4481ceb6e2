"""The autoencoders of the MagNet paper, which learn what clean images look like and restore images accordingly."""

from torch import nn

from advcourse.core.inputs import check_flag, check_range


class AutoEncoder(nn.Sequential):
    """MagNet's autoencoder for small images (N, C, H, W) in [0, 1], built of 3 x 3 convolutions and sigmoids.

    Paper: Meng and Chen 2017, "MagNet: A Two-Pronged Defense against Adversarial Examples" (arXiv 1705.09064).

    Args:
        channels: channels of the images (default 1).
        width: channels of the hidden layers (default 3, the paper's for MNIST).
        pooling: halve the image by average pooling and double it again, as in the paper's autoencoder I for MNIST (default
            True; height and width must be even). False gives its autoencoder II.
    """

    def __init__(self, channels: int = 1, width: int = 3, pooling: bool = True):
        check_range(channels, "channels", 1, integer=True)
        check_range(width, "width", 1, integer=True)
        inner = [nn.AvgPool2d(2), *_layer(width, width), *_layer(width, width), nn.Upsample(scale_factor=2)]
        middle = inner if check_flag(pooling, "pooling") else []
        super().__init__(*_layer(channels, width), *middle, *_layer(width, width), *_layer(width, channels))


def _layer(before, after):
    return nn.Conv2d(before, after, 3, padding=1), nn.Sigmoid()
