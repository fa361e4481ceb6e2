"""Nets that play: each maps what it sees of a game, images (N, C, H, W) in [0, 1], to a logit for each action, (N, K)."""

from torch import Tensor, nn


class CatchPlayer(nn.Sequential):
    """Two strided convolutions and one hidden layer, for 2 x 20 x 20: the last two frames of Catch, with three actions."""

    def __init__(self, actions: int = 3):
        super().__init__(
            nn.Conv2d(2, 8, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 16, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(16 * 5 * 5, 32),
            nn.ReLU(),
            nn.Linear(32, actions),
        )


class CartPolePlayer(nn.Module):
    """Two hidden layers, for 1 x 1 x 4: the four numbers of CartPole's state as an image, with two actions, left and right.

    The image is grey at a state of zeros, see `reinforcement.CartPole`; the net takes it back to the state, in units of its
    spread: `scale` of them are the whole range of the image.
    """

    def __init__(self, scale: float = 40.0, hidden: int = 32):
        super().__init__()
        self.scale = scale
        self.layers = nn.Sequential(
            nn.Linear(4, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, 2)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers((x.flatten(1) - 0.5) * self.scale)
