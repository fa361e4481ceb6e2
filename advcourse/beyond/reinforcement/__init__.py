"""Games: players that see images, and attacks on what they see, timed or not. Nets: "catch-player" and "cartpole-player".

>>> player = models.load("catch-player")
>>> reinforcement.play(player, reinforcement.Catch(100), attacks.PGD(0.1, steps=5)).mean_return
>>> late = reinforcement.AtSteps(12, 16)
>>> reinforcement.play(player, reinforcement.Catch(100), attacks.PGD(0.2, steps=5), late).mean_return
"""

from advcourse.beyond.controls import RandomSigns
from advcourse.beyond.reinforcement.cartpole import CartPole
from advcourse.beyond.reinforcement.catch import Catch
from advcourse.beyond.reinforcement.playing import AtSteps, Game, Played, WhenItMatters, play
from advcourse.beyond.reinforcement.training import train_player

__all__ = [
    "AtSteps",
    "CartPole",
    "Catch",
    "Game",
    "Played",
    "RandomSigns",
    "WhenItMatters",
    "play",
    "train_player",
]
