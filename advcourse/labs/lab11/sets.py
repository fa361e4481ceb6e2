"""What the judge of lab 11 draws for each question: digits, a trigger, and a small net that learns from what it is given."""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from advcourse import data
from advcourse.labs.exercises import Case, Draw, Task

HIDDEN = 64
SIDE = 28


class PlainTask(Task):
    """A task that sets all its arguments itself, a victim among them, where it has one."""

    def case(self, draw: Draw, **overrides: Any) -> Case:
        """A fresh question of this task's settings; `overrides` go to them."""
        values = self.settings(draw, None, **overrides)
        kept = {name: values[name] for name in self.parameters if name != "model"}
        return Case(values.get("model"), torch.zeros(1), kept)


def digits(draw: Draw, n: int) -> tuple[Tensor, Tensor]:
    """`n` training digits, in no order, and their labels."""
    return data.load("mnist-5k", "train").pick(n, draw.integer())


def held_out(n: int) -> tuple[Tensor, Tensor]:
    """The first `n` test digits, and their labels."""
    return data.load("mnist-5k", "test").first(n)


def a_trigger(draw: Draw, lowest: float = 1.0) -> dict[str, Tensor]:
    """A square of 2 to 4 pixels near a corner, as `mask` and `pattern`, both (1, 28, 28); the weight is `lowest` or more.

    The pattern has bright and dark pixels, and numbers outside of the square as well, which the mask hides.
    """
    size = 2 + draw.integer() % 3
    row, column = (_near_an_edge(draw, size) for _ in range(2))
    mask = torch.zeros(1, SIDE, SIDE)
    mask[:, row : row + size, column : column + size] = draw.number(lowest, max(lowest, 0.9))
    pattern = draw.uniform(mask.shape)
    pattern[:, row : row + size, column : column + size] = 0.7 + 0.3 * draw.uniform((1, size, size))
    return {"mask": mask, "pattern": pattern}


def _near_an_edge(draw, size):
    gap = draw.integer() % 3
    return gap if draw.integer() % 2 else SIDE - size - gap


def stamped(x: Tensor, mask: Tensor, pattern: Tensor) -> Tensor:
    """The images with the trigger: (1 - mask) x + mask pattern."""
    return (1 - mask) * x + mask * pattern


@lru_cache(maxsize=8)
def _weights(seed):
    """The first weights of a net, without global randomness."""
    generator = torch.Generator().manual_seed(seed)
    sizes = ((HIDDEN, SIDE * SIDE), (10, HIDDEN))
    return [torch.randn(size, generator=generator) * (2 / size[1]) ** 0.5 for size in sizes]


def trained(x: Tensor, y: Tensor, seed: int, epochs: int = 6) -> nn.Sequential:
    """A net of one hidden layer, 784-64-10, after some epochs of Adam on the images x (N, 1, 28, 28) and their labels.

    It takes about 0.1 s on one core for 1 500 images, and reads nine digits of ten.
    """
    net = nn.Sequential(
        nn.Flatten(),
        nn.utils.skip_init(nn.Linear, SIDE * SIDE, HIDDEN),
        nn.ReLU(),
        nn.utils.skip_init(nn.Linear, HIDDEN, 10),
    )
    with torch.no_grad():
        for layer, weight in zip((net[1], net[3]), _weights(seed)):
            layer.weight.copy_(weight)
            layer.bias.zero_()
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    generator = torch.Generator().manual_seed(seed)
    x = x.flatten(1).float()
    for _ in range(epochs):
        for batch in torch.randperm(len(x), generator=generator).split(64):
            loss = F.cross_entropy(net(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return net.requires_grad_(False)
