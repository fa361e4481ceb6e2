"""A net plays games, and an attack changes what it sees: always, at some steps, or when it matters most."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Protocol

import torch
from torch import Tensor, nn

from advcourse.attacks import Attack
from advcourse.core.inputs import InputError, check_flag, check_range, check_seed, predict
from advcourse.core.intervals import Interval, bootstrap


class Game(Protocol):
    """What a game offers: see `Catch` and `CartPole`."""

    actions: tuple[str, ...]
    steps: int
    over: Tensor

    def observe(self) -> Tensor:
        """Return what the players see, images (N, C, H, W) in [0, 1]."""

    def step(self, actions: Tensor) -> Tensor:
        """Make one step with the actions (N,); return the rewards (N,)."""


@dataclass(frozen=True)
class AtSteps:
    """When to attack: from step `first` to step `last`, both included; the first step is 0."""

    first: int
    last: int

    def __post_init__(self):
        check_range(self.first, "first", 0, integer=True)
        check_range(self.last, "last", self.first, integer=True)

    def __call__(self, step: int, logits: Tensor) -> Tensor:
        """Return for which games (N,) the attack is on, at a step at which the player's logits are (N, K)."""
        return torch.full_like(logits[:, 0], self.first <= step <= self.last, dtype=torch.bool)


@dataclass(frozen=True)
class WhenItMatters:
    """When to attack: if the player prefers its best action to its worst by more than `gap`, in probability.

    Source: Lin et al. 2017, "Tactics of Adversarial Attack on Deep Reinforcement Learning Agents" (arXiv 1703.06748), equation 5:
    the strategically timed attack.
    """

    gap: float = 0.9

    def __post_init__(self):
        check_range(self.gap, "gap", 0, 1)

    def __call__(self, step: int, logits: Tensor) -> Tensor:
        """Return for which games (N,) the attack is on, at a step at which the player's logits are (N, K)."""
        probabilities = logits.softmax(1)
        return probabilities.amax(1) - probabilities.amin(1) > self.gap


@dataclass(frozen=True)
class Played:
    """The record of N games of at most T steps. After the end of a game its rows are False, or -1.

    Attributes:
        rewards: float32 (T, N).
        actions, preferred: int64 (T, N), what the player did, and what it would have done without the attack in that place.
        attacked, running: bool (T, N), where the attack was on, and which games were not over.
        seen: what the player saw, (T, N, C, H, W); None unless `keep`.
        frames: what happened, (T + 1, N, ...), for games that draw it; None unless `keep`.
    """

    rewards: Tensor
    actions: Tensor
    preferred: Tensor
    attacked: Tensor
    running: Tensor
    seen: Tensor | None = field(default=None, repr=False)
    frames: Tensor | None = field(default=None, repr=False)

    @property
    def returns(self) -> Tensor:
        """The sum of the rewards of each game, (N,)."""
        return self.rewards.sum(0)

    @property
    def mean_return(self) -> Interval:
        """The mean return over the N games with its bootstrap interval: of Catch the share of balls that are caught."""
        return bootstrap(self.returns, lambda values, axis: values.mean(axis))

    @property
    def attacked_share(self) -> float:
        """The share of the steps of running games at which the attack was on."""
        return (self.attacked.sum() / self.running.sum()).item()

    @property
    def changed_share(self) -> float:
        """The share of the attacked steps at which the player did something else than it would have; NaN for none."""
        changed = (self.actions != self.preferred) & self.attacked
        return (changed.sum() / self.attacked.sum()).item()


def play(
    player: nn.Module | None,
    game: Game,
    attack: Attack | None = None,
    when: Callable[[int, Tensor], Tensor] | None = None,
    *,
    seed: int = 0,
    keep: bool = False,
) -> Played:
    """Play games to their ends. The player takes the action with the largest logit.

    Args:
        player: from what it sees (N, C, H, W) to logits (N, K); None plays at random.
        game: a new `Catch` or `CartPole`, which is played to its end.
        attack: any untargeted attack of the library, which changes what the player sees, so that it leaves the action that it
            prefers; or one that aims at the least likely action, such as `attacks.ILLC`. None (default) for no attack. An attack
            with a seed gets another one at each step, counted up.
        when: at which steps, such as `AtSteps(12, 16)` or `WhenItMatters(0.9)`; None (default) for always.
        seed: of the random player (default 0).
        keep: whether the record keeps what was seen (default False).

    Raises:
        InputError: the player breaks the contract of a model, or the game is over, or an attack is given that takes targets.
    """
    _check(player, game, attack, when)
    check_flag(keep, "keep")
    device = next((p.device for p in player.parameters()), None) if player is not None else None
    chance = torch.Generator().manual_seed(check_seed(seed))
    rows, seen, frames = [], [], [game.frames()] if keep and hasattr(game, "frames") else []
    for step in range(game.steps):
        running, view = ~game.over, game.observe().to(device)
        if not running.any():
            break
        if player is None:
            logits = torch.rand(len(running), len(game.actions), generator=chance)
        else:
            logits = predict(player, view)
            if logits.shape[1] != len(game.actions):
                raise InputError(
                    f"player: got {logits.shape[1]} logits; allowed are {len(game.actions)}, one for each action"
                )
        preferred = logits.argmax(1)
        on = torch.zeros_like(running)
        if attack is not None:
            on = running if when is None else running & _chosen(when(step, logits), running)
            view = _attacked(player, view, preferred, _seeded(attack, step), on)
            logits = predict(player, view)
        actions = logits.argmax(1).cpu()
        rewards = game.step(actions) * running
        none = torch.full_like(actions, -1)
        both = (torch.where(running, each.cpu(), none) for each in (actions, preferred))
        rows.append((rewards, *both, on, running))
        if keep:
            seen.append(view.cpu())
            frames += [game.frames()] if frames else []
    kept = [torch.stack(each) if each else None for each in (seen, frames)]
    return Played(*(torch.stack(each) for each in zip(*rows)), *kept)


def _chosen(on, running):
    if not isinstance(on, Tensor) or on.dtype != torch.bool or on.shape != running.shape:
        raise InputError(f"when: returned {on!r}; allowed is a tensor ({len(running)},) of bool")
    return on.cpu()


def _attacked(player, view, preferred, attack, on):
    places = on.nonzero()[:, 0].to(view.device)
    if not len(places):
        return view
    view = view.clone()
    view[places] = attack(player, view[places], preferred[places])
    return view


def _seeded(attack, step):
    """Return the attack with a seed of its own for this step, if it has a seed."""
    own = is_dataclass(attack) and any(each.name == "seed" for each in fields(attack))
    return replace(attack, seed=attack.seed + step) if own else attack


def _check(player, game, attack, when):
    if player is not None and not isinstance(player, nn.Module):
        raise InputError(f"player: got {type(player).__name__}; allowed is a torch.nn.Module, or None")
    if not all(hasattr(game, each) for each in ("actions", "steps", "over", "observe", "step")):
        raise InputError(f"game: got {game!r}; allowed is a game, such as Catch(100)")
    if when is not None and not callable(when):
        raise InputError(f"when: got {when!r}; allowed is a function (step, logits) -> bool (N,), or None")
    if game.over.any():
        raise InputError("game: got one that has been played; allowed is a new one, such as Catch(100)")
    if attack is None:
        return
    if player is None:
        raise InputError("attack: got one on the random player, which sees nothing; allowed is None")
    if not isinstance(attack, Attack) or (attack.targeted and not attack.chooses_target):
        raise InputError(f"attack: got {attack!r}; allowed is an untargeted attack, such as attacks.PGD(0.1)")


def check_actions(actions: Tensor, games: int, kinds: int) -> None:
    """Raise `InputError` unless `actions` are int64 (games,), from 0 to kinds - 1."""
    fits = isinstance(actions, Tensor) and actions.dtype == torch.int64 and actions.shape == (games,)
    if not fits or (games and not (0 <= int(actions.min()) and int(actions.max()) < kinds)):
        given = (
            f"shape {tuple(actions.shape)} of {actions.dtype}"
            if isinstance(actions, Tensor)
            else repr(actions)
        )
        raise InputError(f"actions: got {given}; allowed are int64 numbers ({games},) from 0 to {kinds - 1}")
