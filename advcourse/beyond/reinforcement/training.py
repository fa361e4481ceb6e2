"""Training of players by policy gradients."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from advcourse.beyond.reinforcement.playing import Game
from advcourse.core.inputs import InputError, check_range, check_seed, predict
from advcourse.core.randomness import seeded


def train_player(
    player: nn.Module,
    game: Callable[[int, int], Game],
    *,
    rounds: int = 45,
    games: int = 128,
    epochs: int = 4,
    batch_size: int = 256,
    lr: float = 3e-3,
    clip: float = 0.2,
    entropy: float = 0.01,
    discount: float = 0.99,
    noise: float = 0.0,
    seed: int = 0,
) -> nn.Module:
    """Train a player by proximal policy optimisation; return it in eval mode.

    Source: Schulman et al. 2017, "Proximal Policy Optimization Algorithms" (arXiv 1707.06347), equation 7. In each round some
    games are played with random actions, drawn as the player's probabilities say. An action's advantage is what the game still
    brought, discounted, less the mean of that over all games that were at the same step: no second net estimates it.

    Args:
        player: from what it sees (N, C, H, W) to logits (N, K). It is changed.
        game: function of the number of games and a seed that starts new games, such as `Catch`.
        rounds, games: how many rounds of how many games (defaults 45 and 128).
        epochs, batch_size, lr: of the updates after each round (defaults 4, 256 and 3e-3; the rate falls linearly to 0).
        clip: how far an action's probability may move in a round, as a factor (default 0.2).
        entropy: weight of the entropy of the player's probabilities, which keeps it trying (default 0.01).
        discount: of later rewards, per step (default 0.99).
        noise: deviation of normal noise on what the player sees in training, clipped to [0, 1] (default 0: none).
        seed: of the games, the actions and the order (default 0).

    Raises:
        InputError: a setting out of range.
    """
    for name, value in (("rounds", rounds), ("games", games), ("epochs", epochs), ("batch_size", batch_size)):
        check_range(value, name, 1, integer=True)
    check_range(lr, "lr", 0, exclusive_low=True)
    check_range(discount, "discount", 0, 1)
    for name, value in (("noise", noise), ("clip", clip), ("entropy", entropy)):
        check_range(value, name, 0)
    check_seed(seed)
    _check_start(player, game)
    optimiser = torch.optim.Adam(player.parameters(), lr=lr)
    player.train()
    with seeded(torch.device("cpu"), check_seed(seed)):
        for turn in range(rounds):
            for group in optimiser.param_groups:
                group["lr"] = lr * (1 - turn / rounds)
            views, actions, chances, advantages = _experience(
                player, game(games, seed * 10_000 + turn), discount, noise
            )
            for _ in range(epochs):
                for rows in torch.randperm(len(views)).split(batch_size):
                    loss = _loss(
                        player, views[rows], actions[rows], chances[rows], advantages[rows], clip, entropy
                    )
                    optimiser.zero_grad()
                    loss.backward()
                    nn.utils.clip_grad_norm_(player.parameters(), 0.5)
                    optimiser.step()
    return player.eval()


def _check_start(player, game):
    if not isinstance(player, nn.Module) or not any(p.requires_grad for p in player.parameters()):
        raise InputError(
            f"player: got {type(player).__name__}; allowed is a torch.nn.Module with weights to train"
        )
    if not callable(game):
        raise InputError(f"game: got {game!r}; allowed is a function (games, seed) -> game, such as Catch")
    games = game(1, 0)
    if not all(hasattr(games, each) for each in ("actions", "steps", "over", "observe", "step")):
        raise InputError(f"game: made {type(games).__name__}; allowed is a game, such as Catch makes")
    kinds = predict(player, games.observe()).shape[1]
    if kinds != len(games.actions):
        raise InputError(f"player: got {kinds} logits; allowed are {len(games.actions)}, one for each action")


@torch.no_grad()
def _experience(player, games, discount, noise):
    """Play a round; return what was seen (M, C, H, W), done (M,), how likely that was, and the advantages (M,)."""
    views, actions, chances, rewards, running = [], [], [], [], []
    for _ in range(games.steps):
        alive = ~games.over
        if not alive.any():
            break
        view = games.observe()
        if noise:
            view = (view + noise * torch.randn_like(view)).clamp(0, 1)
        log_chances = player(view).log_softmax(1)
        action = torch.multinomial(log_chances.exp(), 1)
        rewards.append(games.step(action[:, 0]) * alive)
        views.append(view)
        actions.append(action[:, 0])
        chances.append(log_chances.gather(1, action)[:, 0])
        running.append(alive)
    running = torch.stack(running)
    advantages = advantages_of(torch.stack(rewards), running, discount)
    kept = (torch.stack(each)[running] for each in (views, actions, chances))
    return *kept, advantages[running]


def advantages_of(rewards: Tensor, running: Tensor, discount: float) -> Tensor:
    """Return what the game still brings at each step, discounted, less its mean over the games running then, (T, N), scaled.

    Args:
        rewards: (T, N).
        running: bool (T, N), which games were not over.
        discount: of later rewards, per step.
    """
    later, ahead = torch.zeros_like(rewards[0]), []
    for reward in rewards.flip(0):
        later = reward + discount * later
        ahead.append(later)
    ahead, weight = torch.stack(ahead[::-1]), running.to(rewards.dtype)
    mean = (ahead * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp_min(1)
    centred = (ahead - mean) * weight
    return centred / (centred[running].std() + 1e-8)


def _loss(player, views, actions, chances, advantages, clip, entropy):
    log_chances = player(views).log_softmax(1)
    ratio = (log_chances.gather(1, actions[:, None])[:, 0] - chances).exp()
    gain = torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)
    return -gain.mean() + entropy * (log_chances.exp() * log_chances).sum(1).mean()
