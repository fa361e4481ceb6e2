"""A PixelCNN, which models the probability of an image pixel by pixel."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from advcourse.core.inputs import InputError, check_range, evaluating


class PixelCNN(nn.Module):
    """The gated PixelCNN for grey images: log p(x) = sum_i log p(x_i | x_1, ..., x_{i-1}), in raster order.

    Paper: van den Oord et al. 2016, "Conditional Image Generation with PixelCNN Decoders", sections 2.1 and 2.2 (arXiv
    1606.05328), without the conditioning. A vertical stack sees the rows above a pixel. A horizontal stack sees the pixels to
    its left in the same row, and the output of the vertical stack. So no earlier pixel within reach is hidden, as some are with
    a single masked convolution. Each layer is tanh(a) * sigmoid(b), and the horizontal layers are residual. The first layer
    reaches 3 pixels up, left and right, and each further layer adds one pixel.

    A pixel has one of `levels` grey values k / (levels - 1), and its distribution is a softmax over them. Values between two
    levels count as the nearer one.

    Args:
        levels: number of grey values, 2 to 256 (default 16).
        channels: channels of each stack (default 16).
        layers: number of gated layers, at least 2 (default 5).
    """

    def __init__(self, levels: int = 16, channels: int = 16, layers: int = 5):
        super().__init__()
        self.levels = check_range(levels, "levels", 2, 256, integer=True)
        self.channels = check_range(channels, "channels", 1, integer=True)
        check_range(layers, "layers", 2, integer=True)
        self.layers = nn.ModuleList(_Gated(channels, first=not place) for place in range(layers))
        self.inner, self.outer = nn.Conv2d(channels, 2 * channels, 1), nn.Conv2d(2 * channels, levels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the log-probabilities (N, levels, H, W), in nats, of each pixel's levels, given the earlier pixels of `x`."""
        vertical = horizontal = check_grey(x)
        for layer in self.layers:
            vertical, horizontal = layer(vertical, horizontal)
        return self.outer(self.inner(horizontal.relu()).relu()).log_softmax(1)

    def rounded(self, x: Tensor) -> Tensor:
        """Return the images `x` (N, 1, H, W) with each pixel rounded to the nearest level."""
        return (x * (self.levels - 1)).round() / (self.levels - 1)

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log-probability (N,) of the rounded images `x` (N, 1, H, W): float64, in nats, of the whole image.

        Rounding and selecting a level have no gradient. Instead, the backward pass uses the identity for rounding, and the
        slope between the two neighbouring levels for selecting. Attacks on a detector differentiate this.
        """
        near = x + (self.rounded(x) - x).detach()
        log_p = self(near)
        place = (near.detach() * (self.levels - 1)).round().long()
        above, below = (place + 1).clamp_max(self.levels - 1), (place - 1).clamp_min(0)
        rise = log_p.detach().gather(1, above) - log_p.detach().gather(1, below)
        slope = rise / (above - below) * (self.levels - 1)
        chosen = log_p.gather(1, place) + slope * (near - near.detach())
        return chosen.double().sum((1, 2, 3))

    def bits(self, x: Tensor) -> Tensor:
        """Return the bits per pixel (N,) of the images `x`, -log2 p(x) / (H * W): `log_prob` in other units."""
        return self.log_prob(x) / (-math.log(2) * x.shape[2] * x.shape[3])

    def in_order(
        self, n: int, height: int, width: int, choose: Callable[[Tensor, int, int], Tensor]
    ) -> Tensor:
        """Generate `n` images (n, 1, height, width) pixel by pixel: `choose` picks each level, given the earlier pixels.

        Nothing is computed twice: the vertical stack runs once per row, when the rows above are complete, and the horizontal
        stack pixel by pixel. Apart from the overhead of small steps, this is as fast as one pass through the network.

        Args:
            n: number of images.
            height, width: their size in pixels.
            choose: (scores (n, levels), row, column) -> indices of the chosen levels (n,). Scores are log-probabilities up to
                a constant that is the same for all levels of a pixel.
        """
        with evaluating(self), torch.no_grad():
            return _InOrder(self, n, height, width).run(choose)

    def sample(self, n: int, height: int, width: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw `n` images (n, 1, height, width) from the network's distribution, on its device.

        Random numbers are drawn on the CPU, by `generator` (default: the global one), so that every device gets the same.
        """

        def draw(scores, row, column):
            return torch.multinomial(scores.softmax(1).cpu(), 1, generator=generator)[:, 0]

        return self.in_order(n, height, width, draw)


def check_grey(x: Tensor) -> Tensor:
    """Raise `InputError` unless the images `x` (N, C, H, W) have one channel."""
    if x.shape[1] != 1:
        raise InputError(f"x: got images of {x.shape[1]} channels; allowed are grey images, with 1 channel")
    return x


def bits_per_pixel(model: PixelCNN, x: Tensor, y: Tensor) -> Tensor:
    """The objective of a `PixelCNN`, for `training.fit`: the mean bits per pixel of the rounded images x (N, 1, H, W).

    The labels `y` are ignored.
    """
    if not isinstance(model, PixelCNN):
        raise InputError(f"model: got {type(model).__name__}; allowed is a PixelCNN")
    x = model.rounded(x)
    places = (x * (model.levels - 1)).round().long()[:, 0]
    return F.nll_loss(model(x), places) / math.log(2)


class _Gated(nn.Module):
    """One layer of both stacks. The first layer reads the image, and in a pixel's own row only what is left of the pixel."""

    def __init__(self, channels, first):
        super().__init__()
        self.first, before = first, 1 if first else channels
        self.rows, self.sides, self.left = (3, 3, 3) if first else (2, 1, 2)
        self.up = nn.Conv2d(before, 2 * channels, (self.rows, 2 * self.sides + 1))
        self.side = nn.Conv2d(before, 2 * channels, (1, self.left))
        self.link = nn.Conv2d(2 * channels, 2 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, vertical, horizontal):
        """Return both stacks (N, C, H, W) after this layer. The first layer computes a row and column too many and drops them."""
        height, width = vertical.shape[2:]
        above = F.pad(vertical, (self.sides, self.sides, self.rows - (not self.first), 0))
        beside = F.pad(horizontal, (self.left - (not self.first), 0))
        up = self.up(above)[:, :, :height]
        both = gate(self.side(beside)[..., :width] + self.link(up))
        return gate(up), self.out(both) + (0 if self.first else horizontal)

    def row(self, above):
        """Run the vertical stack on one row, from the `rows` above, (N, C, rows, W); return its output and the link."""
        up = self.up(F.pad(above, (self.sides, self.sides)))
        return gate(up), self.link(up) + self.side.bias.view(-1, 1, 1)


def gate(x: Tensor) -> Tensor:
    """Return tanh of the first half of the channels, times the sigmoid of the second half."""
    a, b = x.chunk(2, 1)
    return a.tanh() * b.sigmoid()


class _InOrder:
    """Images being generated, with the layers' outputs for the rows and pixels that are complete."""

    def __init__(self, network, n, height, width):
        self.network, self.n, self.width = network, n, width
        like = next(network.parameters())
        self.x = like.new_zeros(n, 1, height, width)
        # For each layer, the rows that its vertical convolution reads.
        self.above = [like.new_zeros(n, layer.up.in_channels, layer.rows, width) for layer in network.layers]
        self.weights = [
            (layer.side.weight[:, :, 0].transpose(1, 2).flatten(1).T, layer.out.weight[:, :, 0, 0].T)
            for layer in network.layers
        ]

    def run(self, choose):
        for row in range(self.x.shape[2]):
            links, pixels = self._links(), self.x[:, 0, row]
            left = [self.x.new_zeros(self.n, size) for size in self._reach()]
            for column in range(self.width):
                chosen = choose(self._scores([link[column] for link in links], left), row, column)
                pixels[:, column] = chosen.to(pixels) / (self.network.levels - 1)
                left[0] = torch.cat((left[0][:, 1:], pixels[:, column : column + 1]), 1)
            self.above[0] = torch.cat((self.above[0][:, :, 1:], self.x[:, :, row : row + 1]), 2)
        return self.x

    def _reach(self):
        """Return how many numbers each layer keeps about the pixels to the left."""
        return [layer.side.in_channels * (layer.left - (not layer.first)) for layer in self.network.layers]

    def _links(self):
        """Return, for each layer, the vertical stack's contribution to each pixel of the next row: (W, N, 2 C)."""
        links, rows = [], None
        for place, layer in enumerate(self.network.layers):
            if rows is not None:
                self.above[place] = torch.cat((self.above[place][:, :, 1:], rows), 2)
            rows, link = layer.row(self.above[place])
            links.append(link[:, :, 0].permute(2, 0, 1).contiguous())
        return links

    def _scores(self, links, left):
        """Return the scores (N, levels) at one pixel from the layers' values `left` of it, and advance those by a pixel."""
        hidden = None
        for place, (layer, link) in enumerate(zip(self.network.layers, links)):
            side, out = self.weights[place]
            seen = left[place] if hidden is None else torch.cat((left[place], hidden), 1)
            if hidden is not None:
                left[place] = hidden
            new = torch.addmm(layer.out.bias, gate(torch.addmm(link, seen, side)), out)
            hidden = new if hidden is None else new + hidden
        inner, outer = self.network.inner, self.network.outer
        hidden = F.linear(hidden.relu(), inner.weight.flatten(1), inner.bias)
        return F.linear(hidden.relu(), outer.weight.flatten(1), outer.bias)
