"""Games and attacks on their players: the rules by hand and against gymnasium, the bars, and controls that could have won."""

import numpy as np
import pytest
import torch
from torch import nn

from advcourse import models
from advcourse.attacks import FGSM, ILLC, PGD
from advcourse.beyond.reinforcement import (
    AtSteps,
    CartPole,
    Catch,
    RandomSigns,
    WhenItMatters,
    play,
    train_player,
)
from advcourse.beyond.reinforcement.cartpole import FORCE, next_state
from advcourse.beyond.reinforcement.training import advantages_of
from advcourse.core.inputs import InputError, predict
from advcourse.zoo import recipes

GAMES = 200
NEW = 10**6 + 7  # a seed of games that no training used


@pytest.fixture(scope="module")
def player():
    return models.load("catch-player")


def caught(player, *attack, games=GAMES, **more):
    return play(player, Catch(games, seed=NEW), *attack, **more)


class Seer(nn.Module):
    """Reads ball and paddle from the newest frame, and follows the ball: catches every ball that can be caught."""

    def forward(self, x):
        now, columns = x[:, 1], torch.arange(20, dtype=x.dtype)
        ball, paddle = now[:, :19].sum(1), now[:, 19]
        ahead = (ball * columns).sum(1) / ball.sum(1) - (paddle * columns).sum(1) / paddle.sum(1)
        return torch.stack([-ahead, 0.4 - ahead.abs() * 0, ahead], 1)


# ---- Catch ----


def test_a_game_by_hand():
    """Against a game worked out on paper: ball and paddle move as told, the ball bounces, and the end decides."""
    game = Catch(1)
    game._ball, game._drift, game._paddle = (torch.tensor([each]) for each in (1, -1, 10))
    game._now = game._before = game._frame()
    columns = []
    for step in range(17):
        before, now = game.observe()[0]
        assert now[step : step + 2].sum() == 4 and now[19].sum() == 5 and now.sum() == 9
        columns.append(int(now[step].argmax()))
        reward = game.step(torch.tensor([0]))
        assert bool(game.over) == (step == 16) and (step == 16 or reward == 0)
        assert torch.equal(game.observe()[0, 0], now)
    assert (
        columns == [1, 0, 1, *range(2, 16)] and int(game._paddle) == 0
    )  # 10 steps to the left, then the wall
    assert int(game._ball) == 16 and reward == 0
    for ball, paddle, expected in (
        (4, 5, 1),
        (3, 5, 0),
        (9, 5, 1),
        (10, 5, 0),
    ):  # columns 4-5, 3-4, 9-10, 10-11 on 5-9
        game = Catch(1)
        game._ball, game._drift, game._paddle, game.step_now = (
            *(torch.tensor([e]) for e in (ball, 0, paddle)),
            16,
        )
        assert game.step(torch.tensor([1])) == expected


def test_games_follow_their_seed():
    """Against a second start, and fewer games: the first ones are the same; starts are spread over the columns."""
    assert torch.equal(Catch(5, seed=3).observe(), Catch(9, seed=3).observe()[:5])
    assert not torch.equal(Catch(5, seed=3).observe(), Catch(5, seed=4).observe())
    starts = Catch(2000, seed=1)
    assert starts._ball.unique().numel() == 19 and starts._paddle.unique().numel() == 16
    assert starts._drift.unique().tolist() == [-1, 0, 1]


def test_who_sees_all_catches_nearly_all():
    """Against a player written by hand, and chance: the game can be won, and not by luck."""
    assert caught(Seer()).mean_return.value >= 0.9
    assert 0.2 <= play(None, Catch(1000, seed=NEW)).mean_return.value <= 0.4


def test_the_shipped_player_catches(player):
    """Against its card, in new games: at least 0.85."""
    found = caught(player, games=1000).mean_return
    assert found.value >= 0.85 and found.n == 1000
    assert models.card("catch-player")["mean_return"] == pytest.approx(found.value, abs=0.04)
    settings = recipes.RECIPES["catch-player"].settings()
    assert models.card("catch-player")["settings"].items() <= settings.items()
    assert models.card("catch-player")["data"] == {"name": "catch"}


def test_attacks_beat_noise_and_lose_to_nobody(player):
    """Against the bars at eps 0.1: noise leaves at least 0.8, PGD at most 0.2, less than the random player."""
    noise, single, many = (
        caught(player, attack, games=600) for attack in (RandomSigns(0.1), FGSM(0.1), PGD(0.1, steps=5))
    )
    assert noise.mean_return.value >= 0.8 and many.mean_return.value <= 0.2
    assert single.mean_return.high < noise.mean_return.low
    assert many.mean_return.high < play(None, Catch(1000, seed=NEW)).mean_return.value
    assert many.changed_share > 0.9 and many.attacked_share == 1 and noise.changed_share < 0.3


def test_five_steps_are_enough_if_they_are_the_last(player):
    """Against the bars at 0.2: steps 12 to 16 leave at most 0.15, steps 0 to 3 nearly all; noise in the last five does little."""
    attack = PGD(0.2, steps=5)
    late, early = caught(player, attack, AtSteps(12, 16)), caught(player, attack, AtSteps(0, 3))
    assert late.mean_return.value <= 0.15 and early.mean_return.value >= 0.75
    assert late.attacked_share == pytest.approx(5 / 17) and early.attacked_share == pytest.approx(4 / 17)
    assert caught(player, RandomSigns(0.2), AtSteps(12, 16)).mean_return.low > late.mean_return.high
    matters = caught(player, attack, WhenItMatters(0.9))
    always = caught(player, attack)
    assert matters.attacked_share < 0.5 and matters.mean_return.value < early.mean_return.value
    assert always.mean_return.value <= matters.mean_return.value + 0.1


# ---- playing ----


def test_when_by_hand():
    """Against steps and probabilities written out: ln 9 gives 0.9 and 0.1, a gap of 0.8."""
    logits = torch.tensor([[np.log(9.0), 0.0], [0.0, 0.0]])
    assert AtSteps(2, 3)(2, logits).tolist() == [True, True] and AtSteps(2, 3)(4, logits).tolist() == [
        False,
        False,
    ]
    assert WhenItMatters(0.79)(0, logits).tolist() == [True, False]
    assert WhenItMatters(0.81)(0, logits).tolist() == [False, False]


def test_a_record_tells_what_was_seen_and_done(player):
    """Against the record itself: what was kept answers as the actions say, stays within eps, and changes only when attacked."""
    state = torch.get_rng_state()
    record = caught(player, PGD(0.1, steps=2), AtSteps(3, 5), games=6, keep=True)
    assert torch.equal(torch.get_rng_state(), state) and not player.training
    assert record.seen.shape == (17, 6, 2, 20, 20) and record.frames.shape == (18, 6, 20, 20)
    for step in range(17):
        assert torch.equal(predict(player, record.seen[step]).argmax(1), record.actions[step])
        clean = torch.stack([record.frames[max(step - 1, 0)], record.frames[step]], 1)
        far = (record.seen[step] - clean).abs().max()
        assert far <= 0.1 + 1e-6 and (far > 0) == (3 <= step <= 5)
    assert torch.equal(record.actions[:3], record.preferred[:3]) and record.attacked.sum() == 18
    again = caught(player, PGD(0.1, steps=2), AtSteps(3, 5), games=6)
    assert torch.equal(again.actions, record.actions) and again.seen is None
    assert record.returns.shape == (6,) and set(record.returns.tolist()) <= {0.0, 1.0}


def test_noise_is_drawn_anew_at_each_step(player):
    """Against the changes of two steps: an attack with a seed gets another one."""
    record = caught(player, RandomSigns(0.05), games=4, keep=True)
    signs = [(record.seen[step, :, 1, 10:12] > 0.02).float() for step in (0, 1)]
    assert not torch.equal(*signs)


@pytest.mark.parametrize(
    "bad, message",
    [
        (lambda: Catch(0), "games: got 0; allowed"),
        (lambda: CartPole(2, seed=-1), "seed: got -1; allowed"),
        (lambda: Catch(2).step(torch.tensor([0, 3])), "actions: got shape .2,. of torch.int64; allowed"),
        (lambda: CartPole(2).step(torch.tensor([0.0, 1.0])), "actions: got shape"),
        (lambda: Catch(2).step([0, 1]), "actions: got"),
        (lambda: AtSteps(3, 2), "last: got 2; allowed"),
        (lambda: WhenItMatters(1.5), "gap: got 1.5; allowed"),
        (lambda: play(None, Catch(2), PGD(0.1)), "attack: got one on the random player"),
        (lambda: play(Seer(), Catch(2), "PGD"), "attack: got 'PGD'; allowed is an untargeted attack"),
        (
            lambda: play(Seer(), Catch(2), PGD(0.1, targeted=True)),
            "attack: got PGD.*allowed is an untargeted",
        ),
        (lambda: play(nn.Identity(), Catch(2)), "model: returned"),
        (lambda: played_twice(), "game: got one that has been played"),
        (lambda: train_player(Seer(), Catch, rounds=0), "rounds: got 0"),
        (lambda: train_player(Seer(), Catch, discount=1.5), "discount: got 1.5"),
    ],
)
def test_bad_input_is_named(bad, message):
    """Against the sentences that say what is allowed."""
    with pytest.raises(InputError, match=message):
        bad()


def played_twice():
    game = Catch(2)
    play(None, game)
    play(None, game)


def test_an_attack_may_aim_at_the_worst_action(player):
    """Against the player's logits: an attack that chooses its target takes the least likely action more often than another."""
    chosen, any_other = (
        caught(player, attack, games=40, keep=True) for attack in (ILLC(0.2, steps=5), PGD(0.2, steps=5))
    )
    shares = []
    for record in (chosen, any_other):
        clean = torch.stack([record.frames[[0, *range(16)]], record.frames[:17]], 2).flatten(0, 1)
        shares.append((predict(player, clean).argmin(1) == record.actions.flatten()).double().mean())
    assert shares[0] > shares[1]


# ---- CartPole ----

# Computed by gymnasium 1.4.0, CartPole-v1: the state after the 4th and the 16th of these pushes.
PUSHES = (1, 1, 0, 1, 0, 0, 1, 0, 1, 1, 0, 0, 0, 1, 0, 1)
BEGIN = (0.01, -0.02, 0.03, -0.04)
FOURTH = (0.023959873781140326, 0.3689102079328361, 0.004477692793223374, -0.5959624480242942)
LAST = (0.04256459586447534, -0.016828069749384472, -0.04002341436620595, -0.11003655988550243)


def test_cartpole_moves_as_gymnasiums():
    """Against states that gymnasium computed, to the last digits."""
    game = CartPole(1)
    game.state[0] = BEGIN
    for i, push in enumerate(PUSHES, 1):
        assert game.step(torch.tensor([push])) == 1
        if i in (4, 16):
            np.testing.assert_allclose(game.state[0], FOURTH if i == 4 else LAST, rtol=0, atol=1e-14)


def test_cartpole_loses_no_energy_but_by_its_step():
    """Against mechanics: without a force, the energy of cart and pole stays the same to first order in the step."""
    state = np.array([[0.0, 0.3, 0.1, -0.4]])

    def energy(place, speed, angle, turning):
        mass, half = 0.1, 0.5
        across, up = speed + half * turning * np.cos(angle), -half * turning * np.sin(angle)
        return (
            0.5 * speed**2
            + 0.5 * mass * (across**2 + up**2 + (turning * half) ** 2 / 3)
            + mass * 9.8 * half * np.cos(angle)
        )

    moved = next_state(state, np.zeros(1))
    assert abs(energy(*moved[0]) - energy(*state[0])) < 0.02**2 * 10
    assert FORCE == 10


def test_cartpole_ends_where_it_should():
    """Against the limits: 2.4 m, 12 degrees, 500 steps; a game that is over stands still and gives nothing."""
    for state, ends in (((2.39, 1.0, 0, 0), True), ((0, 0, 0.209, 0.5), True), ((2.39, -1.0, 0, 0), False)):
        game = CartPole(2)
        game.state[0] = state
        assert game.step(torch.tensor([1, 1])).tolist() == [1, 1] and game.over.tolist() == [ends, False]
        if ends:
            stood = game.state[0].copy()
            assert game.step(torch.tensor([1, 1])).tolist() == [0, 1] and np.array_equal(game.state[0], stood)
    assert torch.equal(CartPole(2, seed=1).observe(), CartPole(5, seed=1).observe()[:2])


def test_views_hold_the_state():
    """Against the definition: zero is grey, one spread is a fortieth, and what is far out is clipped."""
    game = CartPole(1)
    game.state[0] = (0.06, -0.5, 0.18, 90)
    torch.testing.assert_close(game.observe().flatten(), torch.tensor([0.525, 0.475, 0.55, 1.0]))
    states, game = [], CartPole(64, seed=3)
    random = torch.Generator().manual_seed(0)
    while not game.over.all():
        states.append(game.state[~game.over.numpy()].copy())
        game.step(torch.randint(0, 2, (64,), generator=random))
    assert np.abs(np.concatenate(states).std(0) / (0.06, 0.5, 0.09, 0.85) - 1).max() < 0.2


def test_turning_actions_round_is_a_weak_attack_here():
    """Against 500 steps without an attack and under noise as large: a third of a spread shortens the game, and yet the player
    lasts three times as long as chance, to which the attacked player of Catch loses."""
    net, attack = models.load("cartpole-player"), FGSM(0.3 / 40)
    clean, noisy, attacked = (
        play(net, CartPole(30, seed=NEW), a).mean_return for a in (None, RandomSigns(0.3 / 40), attack)
    )
    assert clean.value >= 475 and models.card("cartpole-player")["mean_return"] >= 475
    assert noisy.value >= 400 and attacked.high < noisy.low
    assert attacked.low > 3 * play(None, CartPole(30, seed=NEW)).mean_return.value
    settings = recipes.RECIPES["cartpole-player"].settings()
    assert models.card("cartpole-player")["settings"].items() <= settings.items()


# ---- training ----


def test_advantages_by_hand():
    """Against three games on paper: what is still to come, less the mean of the running games, over the deviation."""
    rewards = torch.tensor([[1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    running = torch.tensor([[True, True, True], [True, True, False]])
    # to come, halved per step: 1.5, 0.5, 1 and then 1, 1; less their means: 0.5, -0.5, 0 and 0, 0
    centred = torch.tensor([[0.5, -0.5, 0.0], [0.0, 0.0, 0.0]])
    deviation = torch.tensor([0.5, -0.5, 0.0, 0.0, 0.0]).std()
    torch.testing.assert_close(advantages_of(rewards, running, 0.5), centred / deviation)


def test_training_is_repeatable_and_helps():
    """Against chance: a few rounds of the small player already balance longer; the seed decides, and global state stays."""
    state, nets = torch.get_rng_state(), [models.build("cartpole-player", seed=0) for _ in range(2)]
    for net in nets:
        train_player(net, CartPole, rounds=3, games=16, seed=1)
    assert torch.equal(torch.get_rng_state(), state) and not nets[0].training
    assert all(
        torch.equal(a, b) for a, b in zip(nets[0].state_dict().values(), nets[1].state_dict().values())
    )
    assert (
        play(nets[0], CartPole(50, seed=NEW)).mean_return.value
        > play(None, CartPole(50, seed=NEW)).mean_return.value + 5
    )


@pytest.mark.gpu
def test_a_player_on_a_gpu_plays_as_on_the_cpu(player):
    """Against the CPU: the same actions but for few that rounding may tip."""
    from copy import deepcopy

    here = caught(player, PGD(0.1, steps=2), AtSteps(12, 16), games=8)
    there = caught(deepcopy(player).to("cuda"), PGD(0.1, steps=2), AtSteps(12, 16), games=8)
    assert (here.actions != there.actions).double().mean() <= 0.1
