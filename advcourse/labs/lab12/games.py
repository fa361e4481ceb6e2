"""The games of lab 12's questions: frames of Catch, and what the trained player wants at each step of drawn games."""

from functools import cache

import torch
from torch import Tensor, nn

from advcourse import models
from advcourse.beyond.reinforcement import Catch
from advcourse.labs.exercises import Draw

FRAMES = (2, 20, 20)


def frames_of(draw: Draw, n: int) -> Tensor:
    """What the players of n games see at a drawn step, after random moves, (n, 2, 20, 20)."""
    games = Catch(n, draw.integer())
    for _ in range(1 + draw.integer() % (games.steps - 1)):
        games.step((draw.uniform((n,)) * 3).long().clamp_max(2))
    return games.observe()


@cache
def player() -> nn.Module:
    """The trained player of Catch."""
    return models.load("catch-player")


def logits_of_games(games: Catch) -> Tensor:
    """The player's logits at each step of games that it plays undisturbed, (T, N, 3)."""
    seen = []
    with torch.no_grad():
        while not games.over.all():
            seen.append(player()(games.observe()))
            games.step(seen[-1].argmax(1))
    return torch.stack(seen)
