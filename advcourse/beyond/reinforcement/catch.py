"""Catch: a ball falls, and a paddle at the bottom must be under it. A miniature of Pong, seen in frames of 20 x 20 pixels."""

import numpy as np
import torch
from torch import Tensor

from advcourse.beyond.reinforcement.playing import check_actions
from advcourse.core.inputs import check_range, check_seed

SIZE, STEPS = 20, 17
PADDLE, BALL = 5, 2  # widths in pixels
LEFT, STAY, RIGHT = range(3)


class Catch:
    """Some games of Catch, played side by side. A game lasts 17 steps, and ends with a reward of 1 (caught) or 0.

    The ball, 2 x 2 pixels, starts at the top, in a random column, and falls one pixel a step; it drifts left, right or not at
    all, and bounces off the walls. The paddle, 5 pixels wide, starts in a random place of the bottom row, and moves by one pixel.
    The ball is caught if it lands with at least one pixel on the paddle. A player sees the last two frames as two channels, the
    older one first, (N, 2, 20, 20), black, with ball and paddle white.

    Args:
        games: N.
        seed: of the starts (default 0). The first games of a larger N are those of a smaller one.

    Attributes:
        over: bool (N,), which games have ended.
        step_now: how many steps have been made.

    Raises:
        InputError: games or seed out of range.
    """

    actions = ("left", "stay", "right")
    steps = STEPS

    def __init__(self, games: int, seed: int = 0):
        games = check_range(games, "games", 1, integer=True)
        draws = np.random.default_rng(check_seed(seed)).random((games, 3))
        widths = torch.tensor([SIZE - BALL + 1, 3, SIZE - PADDLE + 1])
        ball, drift, paddle = (torch.from_numpy(draws) * widths).long().unbind(1)
        self._ball, self._drift, self._paddle = ball, drift - 1, paddle
        self.over = torch.zeros(games, dtype=torch.bool)
        self.step_now = 0
        self._before = self._now = self._frame()

    def observe(self) -> Tensor:
        """Return what the players see, (N, 2, 20, 20): the frame before and the frame now, in [0, 1]."""
        return torch.stack([self._before, self._now], 1)

    def frames(self) -> Tensor:
        """Return the frames now, (N, 20, 20), to be drawn."""
        return self._now.clone()

    def step(self, actions: Tensor) -> Tensor:
        """Make one step with the actions (N,), 0 left, 1 stay, 2 right; return the rewards (N,), float32.

        Raises:
            InputError: not an action for each game.
        """
        check_actions(actions, len(self.over), len(self.actions))
        actions = actions.cpu()
        self._paddle = (self._paddle + actions - STAY).clamp(0, SIZE - PADDLE)
        moved = self._ball + self._drift
        outside = (moved < 0) | (moved > SIZE - BALL)
        self._drift = torch.where(outside, -self._drift, self._drift)
        self._ball = self._ball + self._drift
        self.step_now += 1
        self._before, self._now = self._now, self._frame()
        self.over |= self.step_now >= STEPS
        lands = (self._ball + BALL > self._paddle) & (self._ball < self._paddle + PADDLE)
        return (lands & self.over).float()

    def _frame(self):
        columns, frame = torch.arange(SIZE), torch.zeros(len(self._ball), SIZE, SIZE)
        ball = (columns >= self._ball[:, None]) & (columns < self._ball[:, None] + BALL)
        paddle = (columns >= self._paddle[:, None]) & (columns < self._paddle[:, None] + PADDLE)
        frame[:, self.step_now : self.step_now + BALL] = ball[:, None].float()
        return frame.index_put((torch.arange(len(frame)), torch.tensor(SIZE - 1)), paddle.float())
