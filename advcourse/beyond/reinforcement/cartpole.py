"""CartPole: a pole on a cart must not fall. The counter-example: a player whose every action is turned round holds out here.

It pushes left and right in turn anyway, and an attack that looks at the next action alone takes long to push the pole over:
the attacked player balances several times longer than a random one, while that of Catch does worse than chance.
"""

import math

import numpy as np
import torch
from torch import Tensor

from advcourse.beyond.reinforcement.playing import check_actions
from advcourse.core.inputs import check_range, check_seed

STEPS = 500
GRAVITY, CART, POLE, HALF, FORCE, TIME = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02  # m/s^2, kg, kg, m, N, s
FARTHEST, STEEPEST = 2.4, 12 * math.pi / 180  # m, rad
SPREAD = (0.06, 0.5, 0.09, 0.85)  # of the state in random play: m, m/s, rad, rad/s
SCALE = 40.0  # spreads that the range of the image holds


def next_state(state: np.ndarray, force: np.ndarray) -> np.ndarray:
    """Return the state a fiftieth of a second later, (N, 4): place and speed of the cart, angle and angular speed of the pole.

    Source: Barto, Sutton and Anderson, "Neuronlike adaptive elements that can solve difficult learning control problems", IEEE
    Transactions on Systems, Man and Cybernetics 13, 1983, without friction; an Euler step, as in gymnasium's CartPole-v1.

    Args:
        state: float64 (N, 4).
        force: (N,), on the cart, in newton; positive to the right.
    """
    place, speed, angle, turning = state.T
    sine, cosine, total = np.sin(angle), np.cos(angle), CART + POLE
    pushed = (force + POLE * HALF * np.square(turning) * sine) / total
    bent = (GRAVITY * sine - cosine * pushed) / (HALF * (4 / 3 - POLE * np.square(cosine) / total))
    pulled = pushed - POLE * HALF * bent * cosine / total
    return np.stack(
        [place + TIME * speed, speed + TIME * pulled, angle + TIME * turning, turning + TIME * bent], 1
    )


class CartPole:
    """Some games of CartPole, played side by side: 1 for each step until the pole leans by 12 degrees, the cart is 2.4 m away
    from the middle, or 500 steps have passed.

    A player sees its state as an image of four pixels, x = 1/2 + state / (40 spread), clipped to [0, 1], where the spread is that
    of random play, (0.06 m, 0.5 m/s, 0.09 rad, 0.85 rad/s). So the library's attacks run on it; eps = k / 40 moves each number by
    at most k spreads.

    Args:
        games: N.
        seed: of the starts, uniform within 0.05 of zero (default 0). The first games of a larger N are those of a smaller one.

    Attributes:
        over: bool (N,), which games have ended.
        state: float64 (N, 4), place (m), speed (m/s), angle (rad) and angular speed (rad/s).
        step_now: how many steps have been made.

    Raises:
        InputError: games or seed out of range.
    """

    actions = ("push left", "push right")
    steps = STEPS

    def __init__(self, games: int, seed: int = 0):
        games = check_range(games, "games", 1, integer=True)
        self.state = np.random.default_rng(check_seed(seed)).uniform(-0.05, 0.05, (games, 4))
        self.over = torch.zeros(games, dtype=torch.bool)
        self.step_now = 0

    def observe(self) -> Tensor:
        """Return what the players see: the states as images (N, 1, 1, 4) in [0, 1]."""
        scaled = torch.from_numpy(self.state / (SCALE * np.array(SPREAD)))
        return (0.5 + scaled).clamp(0, 1).float()[:, None, None]

    def step(self, actions: Tensor) -> Tensor:
        """Make one step with the actions (N,), 0 push left, 1 push right; return the rewards (N,): 1 for games still running.

        Raises:
            InputError: not an action for each game.
        """
        check_actions(actions, len(self.over), len(self.actions))
        running = ~self.over
        moved = next_state(self.state, FORCE * (2 * actions.cpu().numpy() - 1.0))
        self.state = np.where(running.numpy()[:, None], moved, self.state)
        self.step_now += 1
        out = (np.abs(self.state[:, 0]) > FARTHEST) | (np.abs(self.state[:, 2]) > STEEPEST)
        self.over = self.over | torch.from_numpy(out)
        if self.step_now >= STEPS:
            self.over = torch.ones_like(self.over)
        return running.float()
