"""Lab 12: at which moments of a game to attack."""

import torch
from torch import Tensor

from advcourse.beyond.reinforcement import Catch
from advcourse.core.rounding import percent
from advcourse.labs.checks import Student
from advcourse.labs.comparing import Comparison, called, gives, recognises
from advcourse.labs.exercises import Case, Draw, Task, exercise
from advcourse.labs.lab12.games import logits_of_games
from advcourse.labs.lab12.timing import gap, spend, usual
from advcourse.labs.properties import (
    answers,
    keeps_what_it_gets,
    leaves_nothing_behind,
    other_amount,
    other_device,
)
from advcourse.labs.verdicts import Finding

GAMES, EARLIER = 8, 20
NEAR = 3  # places in the order of the past gaps: so near to the threshold no gap is drawn
REAL, LONG, SHORT = (17, 3, 5), (17, 4, 5), (9, 5, 2)  # steps, actions, attacks: of Catch and of others


def _game(draw, steps, actions, games):
    """Logits (T, N, K) of a player who now and then is very sure."""
    return (0.2 + 3 * draw.uniform((steps, games, 1)) ** 2) * draw.normal((steps, games, actions))


class MomentsTask(Task):
    """Its cases hold logits of games, those of the trained player or drawn ones, and no images."""

    def case(self, draw: Draw, size: tuple[int, int, int] = LONG, real: bool = False) -> Case:
        """A fresh question about games of this `size`: steps, actions and attacks. `real`: the trained player's games."""
        steps, actions, k = size
        if real:
            both = [logits_of_games(Catch(n, draw.integer())) for n in (GAMES, EARLIER)]
        else:
            both = [_game(draw, steps, actions, n) for n in (GAMES, EARLIER)]
        past, logits = both[1], _away_from_the_threshold(draw, *both, k)
        return Case(None, torch.zeros(GAMES), {"logits": logits, "past": past, "k": k})


def _away_from_the_threshold(draw, logits, past, k):
    """The logits, with those replaced whose gap is so near to the threshold that two ways to compute it may disagree."""
    ordered = gap(past).flatten().sort().values
    at = round((1 - k / len(logits)) * (len(ordered) - 1))
    low, high = ordered[at - NEAR] - 1e-4, ordered[at + NEAR] + 1e-4
    logits = logits.clone()
    for t, n in ((gap(logits) > low) & (gap(logits) < high)).nonzero().tolist():
        while low < gap(logits[t, n]) < high:
            logits[t, n] = _game(draw, 1, logits.shape[2], 1)[0, 0]
    return logits


@exercise(
    "The best five moments",
    3,
    hints=(
        "The gap of a moment is softmax(-1), its largest minus its smallest. The threshold comes from the earlier games alone: "
        "gap(past).flatten().quantile(1 - k / len(logits)).",
        "Go through the steps t = 0, 1, ... and keep count: left = k - chosen.sum(0), one number for each game. What may step t "
        "look at? logits[t], and what was chosen before.",
        "chosen[t] = (left > 0) & ((gap(logits)[t] >= threshold) | (left >= len(logits) - t)), chosen being a bool tensor (T, N) "
        "of False at the start.",
    ),
    shape=lambda case: case["logits"].shape[:2],
    numbers="whole",
    kind=MomentsTask,
)
def moments(logits, past, k):
    return spend(gap(logits), usual(gap(past), k / len(logits)), k)


@moments.slip(
    "future knowledge",
    "You choose the k largest gaps of the whole game. At step t nobody knows what comes: decide by logits[t], by what has been "
    "chosen so far, and by the earlier games.",
)
def the_largest_of_the_game(logits, past, k):
    chosen = torch.zeros(logits.shape[:2], dtype=torch.bool, device=logits.device)
    return chosen.scatter(0, gap(logits).topk(k, 0).indices, True)


@moments.slip(
    "threshold of these games",
    "Your threshold comes from the games under attack, their ends included. They are not over yet: take it from `past`.",
)
def threshold_from_the_present(logits, past, k):
    return spend(gap(logits), usual(gap(logits), k / len(logits)), k)


@moments.slip(
    "first moments",
    "You attack the first k moments, whatever is at stake. Wait for a gap that reaches the threshold.",
)
def the_first(logits, past, k):
    return spend(gap(logits), 0.0, k)


@moments.slip(
    "last moments",
    "You attack the last k moments, whatever is at stake. That only the last ones may take what is left over is the second half "
    "of the rule; the first is the threshold.",
)
def the_last(logits, past, k):
    return spend(gap(logits), 2.0, k)


@moments.slip(
    "attacks left over",
    "Some games end with attacks left over. When as many steps are left as attacks, this one included, attack at each of them.",
)
def never_spends_the_rest(logits, past, k):
    return spend(gap(logits), usual(gap(past), k / len(logits)), k, keep=False)


@moments.slip(
    "no count",
    "Some games get more than k attacks: you attack wherever the gap reaches the threshold. Count what was used in each game.",
)
def without_a_budget(logits, past, k):
    return gap(logits) >= usual(gap(past), k / len(logits))


@moments.slip(
    "one budget for all games",
    "All games share one budget. Each game has k attacks of its own: sum over the steps, dim 0, and not over the games.",
)
def counts_over_all_games(logits, past, k):
    worth, chosen = gap(logits), torch.zeros(logits.shape[:2], dtype=torch.bool, device=logits.device)
    for t in range(len(worth)):
        left = k - chosen.sum()
        chosen[t] = (left > 0) & ((worth[t] >= usual(gap(past), k / len(logits))) | (left >= len(worth) - t))
    return chosen


@moments.slip(
    "two best actions",
    "Your gap is that between the best and the second best action. What an attack can cost is measured by the WORST: largest "
    "minus smallest probability.",
)
def best_minus_second(logits, past, k):
    def gap(logits):
        best = logits.softmax(-1).topk(2, -1).values
        return best[..., 0] - best[..., 1]

    return spend(gap(logits), usual(gap(past), k / len(logits)), k)


@moments.slip(
    "largest probability",
    "You look at the largest probability alone. A player may be sure of its best action and not mind the others: subtract the "
    "smallest.",
)
def largest_probability(logits, past, k):
    def gap(logits):
        return logits.softmax(-1).amax(-1)

    return spend(gap(logits), usual(gap(past), k / len(logits)), k)


@moments.slip(
    "logits for probabilities",
    "Your gap is that of the logits. Take their softmax first: a gap of 20 logits is hardly more than one of 10.",
)
def gap_of_the_logits(logits, past, k):
    def gap(logits):
        return logits.amax(-1) - logits.amin(-1)

    return spend(gap(logits), usual(gap(past), k / len(logits)), k)


@moments.slip(
    "softmax over the wrong axis",
    "Your softmax runs over the games or the steps. Probabilities are those of the actions, the last axis: softmax(-1).",
)
def softmax_over_the_games(logits, past, k):
    def gap(logits):
        p = logits.softmax(1)
        return p.amax(-1) - p.amin(-1)

    return spend(gap(logits), usual(gap(past), k / len(logits)), k)


@moments.slip("softmax over the wrong axis")
def softmax_over_the_steps(logits, past, k):
    def gap(logits):
        p = logits.softmax(0)
        return p.amax(-1) - p.amin(-1)

    return spend(gap(logits), usual(gap(past), k / len(logits)), k)


@moments.slip(
    "the other share",
    "Your threshold is far too low: you take the quantile k / T. The k / T largest gaps lie above the quantile 1 - k / T.",
)
def quantile_of_the_share(logits, past, k):
    return spend(gap(logits), usual(gap(past), 1 - k / len(logits)), k)


@moments.slip(
    "mean for the quantile",
    "Your threshold is the mean, or the median, of the past gaps. With it about half of all moments are good enough, and the "
    "attacks are spent early. Take the quantile 1 - k / T.",
)
def above_the_mean(logits, past, k):
    return spend(gap(logits), gap(past).mean(), k)


@moments.slip("mean for the quantile")
def above_the_median(logits, past, k):
    return spend(gap(logits), gap(past).median(), k)


@moments.slip(
    "below the threshold",
    "You attack where the gap is BELOW the threshold: there the player does not care which action it takes.",
)
def where_it_matters_least(logits, past, k):
    return spend(-gap(logits), -usual(gap(past), k / len(logits)), k)


@moments.slip(
    "a threshold for each step",
    "You have a threshold for each step of the game, of the few earlier games at that step. Pool all past gaps: flatten().",
)
def quantile_step_by_step(logits, past, k):
    threshold = gap(past).quantile(1 - k / len(logits), dim=1)
    return spend(gap(logits) - threshold[:, None], 0.0, k)


@moments.slip(
    "rest one step late",
    "The rest is spent one step too late, so that an attack is left over. At step t there are T - t steps left, this one "
    "included.",
)
def counts_the_steps_after_this(logits, past, k):
    worth, threshold = gap(logits), usual(gap(past), k / len(logits))
    chosen = torch.zeros_like(worth, dtype=torch.bool)
    for t in range(len(worth)):
        left = k - chosen.sum(0)
        chosen[t] = (left > 0) & ((worth[t] >= threshold) | (left > len(worth) - t))
    return chosen


@moments.right
def game_by_game(logits, past, k):
    def worth(z):
        p = torch.softmax(z, dim=-1)
        return float(p.max() - p.min())

    steps, games = logits.shape[:2]
    before = sorted(worth(z) for game in past.unbind(1) for z in game)
    threshold = before[round((1 - k / steps) * (len(before) - 1))]
    chosen = [[False] * games for _ in range(steps)]
    for n in range(games):
        left = k
        for t in range(steps):
            if left and (worth(logits[t, n]) >= threshold or steps - t <= left):
                chosen[t][n] = True
                left -= 1
    return torch.tensor(chosen, device=logits.device)


@moments.right
def with_counters(logits, past, k):
    T = logits.shape[0]
    p, q = logits.softmax(dim=2), past.softmax(dim=2)
    gaps, before = p.max(2).values - p.min(2).values, q.max(2).values - q.min(2).values
    many = max(1, round(before.numel() * k / T))
    threshold = before.flatten().topk(many).values[-1]
    left = torch.full_like(gaps[0], k)
    rows = []
    for t, now in enumerate(gaps):
        attack = torch.where(left > 0, (now >= threshold).to(left) + (left >= T - t).to(left), 0 * left) > 0
        left = left - attack.to(left)
        rows.append(attack.to(left))
    return torch.stack(rows)


@moments.slip("future knowledge")
def spends_them_on_the_largest_of_the_rest(logits, past, k):
    worth = gap(logits)
    chosen = torch.zeros_like(worth, dtype=torch.bool)
    for t in range(len(worth)):
        left = k - chosen.sum(0)
        better = (worth[t + 1 :] > worth[t]).sum(0)
        chosen[t] = (left > 0) & (better < left)
    return chosen


@moments.wrong("looks ahead")
def threshold_of_both(logits, past, k):
    threshold = usual(torch.cat([gap(past), gap(logits)], 1), k / len(logits))
    return spend(gap(logits), 0.5 * threshold + 0.5 * gap(logits).mean(), k)


@moments.wrong("other amount")
def five_of_seventeen(logits, past, k):
    return spend(gap(logits)[:17], usual(gap(past), 5 / 17), 5).view(17, -1)


@moments.wrong("formula")
def only_above_both(logits, past, k):
    worth = gap(logits)
    return spend(worth, 1.1 * usual(gap(past), k / len(logits)), k)


@moments.wrong("zeros and ones")
def the_gaps_themselves(logits, past, k):
    return gap(logits) * moments(logits, past, k)


@moments.wrong("shape")
def numbers_of_the_steps(logits, past, k):
    return gap(logits).topk(k, 0).indices


@moments.wrong("shape")
def games_first(logits, past, k):
    return moments(logits, past, k).T


@moments.wrong("crash")
def asks_for_the_player(logits, past, k):
    return spend(gap(player(logits)), usual(gap(past), k / len(logits)), k)  # noqa: F821


@moments.wrong("input")
def softmax_in_place(logits, past, k):
    logits[:] = logits.softmax(-1)
    worth = logits.amax(-1) - logits.amin(-1)
    return spend(worth, usual(gap(past), k / len(logits)), k)


def _other_moments(case: Case, found: Tensor, right: Tensor) -> Finding:
    """The finding for moments that no slip explains."""
    t, n = (found != right).nonzero()[0].tolist()
    share = percent((found != right).double().mean().item())
    told = (
        f"{share} of the decisions are not those of the rule. The first is at step {t} of game {n}: yours says "
        f"{'attack' if found[t, n] else 'wait'}, and the rule {'attack' if right[t, n] else 'wait'}."
    )
    return Finding("formula", told)


MOMENTS = Comparison(
    lambda student, case: student(case),
    called,
    lambda found, right: torch.equal(found, right),
    _other_moments,
)


def is_yes_or_no(student: Student, draw: Draw) -> None:
    """Each decision is True or False, or 1 or 0."""
    found = student(student.task.case(draw))
    odd = (found != 0) & (found != 1)
    if odd.any():
        told = f"Return True or False for each step of each game. Yours holds {found[odd][0]:.3g}."
        raise Finding("zeros and ones", told)


def decides_at_its_time(student: Student, draw: Draw) -> None:
    """What comes after a step changes no decision up to it."""
    case, other = student.task.case(draw), student.task.case(draw)
    for t in (len(case["logits"]) // 3, 2 * len(case["logits"]) // 3):
        later = torch.cat([case["logits"][:t], 4 * other["logits"][t:]])
        first, second = student(case)[:t], student(case.but(logits=later))[:t]
        if not torch.equal(first, second):
            told = (
                f"When the steps from {t} on turn out otherwise, you attack at other moments BEFORE step {t}. That is knowledge "
                "of the future: no player, and no attacker, has it in a game that goes on. Which sum, sort or mean in your code "
                "runs over all steps?"
            )
            raise Finding("looks ahead", told)


def _some(task: Task, draw: Draw) -> list[Case]:
    return [task.case(draw, REAL, True)] + [task.case(draw, size) for size in (LONG, LONG, SHORT)]


moments.checks(
    answers,
    keeps_what_it_gets,
    is_yes_or_no,
    other_amount(
        "It works for five of seventeen moments and fails for two of nine.",
        lambda task, draw: task.case(draw, SHORT),
    ),
    recognises(moments, by=MOMENTS, make=_some),
    decides_at_its_time,
    gives(moments, MOMENTS, make=_some),
    other_device,
    leaves_nothing_behind,
)
