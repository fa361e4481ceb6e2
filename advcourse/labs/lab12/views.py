"""`show(function)`: a student's function on real sentences and in games of Catch, against the nets of chapter 21."""

import torch
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from advcourse import data, models, plots
from advcourse.beyond import reinforcement, text
from advcourse.beyond.controls import RandomSigns
from advcourse.core.intervals import counted, printed
from advcourse.data import reviews
from advcourse.labs.lab12.games import logits_of_games, player
from advcourse.labs.lab12.lab import LAB
from advcourse.labs.lab12.seeing import preferred, walk
from advcourse.labs.showing import Shown, ShowRight

SENTENCES, GAMES, ATTACKS, SHARE = 60, 100, 5, 0.3
EPS = 0.2


def _stopwords():
    words = reviews.word_list()
    return torch.tensor([words.word(i) in ENGLISH_STOP_WORDS for i in range(len(words))])


def _swap(function):
    model, table = models.load("reviews-bag"), text.synonyms(guard=True).numbers
    chosen = text.read_rightly(model, data.load("reviews")).pick(SENTENCES)
    words, blocked = reviews.word_list(), _stopwords()
    misread, examples = 0, []
    for sentence, label in chosen:
        numbers = words.encode([sentence])[0]
        found = function(model, numbers, label, table, blocked, SHARE)
        with torch.no_grad():
            success = int(model(found[None]).argmax()) != label
        misread += success
        if success and len(examples) < 3:
            swaps = [
                f"{words.word(int(numbers[i]))} → {words.word(int(found[i]))}"
                for i in (found != numbers).nonzero()[:, 0]
            ]
            examples.append(f"“{sentence}”: {', '.join(swaps)}.")
    control = text.RandomSwaps(text.synonyms(guard=True), SHARE)
    random = control.run(model, chosen.sentences, chosen.labels).success_rate
    told = [
        f"{printed(counted(misread, len(chosen)))} of the sentences are misread after your swaps.",
        f"{printed(random)} after random swaps of as many words as are allowed.",
        *examples,
    ]
    return Shown("\n".join(told))


def _played(attack, seed=9):
    """The share of balls that are caught where attack(step, logits so far, x) gives the frames that the player sees."""
    games, seen, caught = reinforcement.Catch(GAMES, seed), [], 0
    while not games.over.all():
        x = games.observe()
        with torch.no_grad():
            seen.append(player()(x))
        disturbed = attack(len(seen) - 1, seen, x)
        with torch.no_grad():
            action = player()(disturbed).argmax(1)
        caught = games.step(action)
    return counted(int(caught.sum()), GAMES)


def _disturb(function):
    curves = {"your disturb": [], "noise as large": []}
    budgets = (0.05, 0.1, 0.15, 0.2)
    for eps in budgets:
        noise = RandomSigns(eps)
        curves["your disturb"].append(_played(lambda t, seen, x, e=eps: function(player(), x, e, e / 4, 5)))
        curves["noise as large"].append(
            _played(lambda t, seen, x, n=noise: n(player(), x, preferred(player(), x)))
        )
    told = [
        f"{name}: the player catches {printed(shares[1])} of the balls at eps {budgets[1]}."
        for name, shares in curves.items()
    ]
    drawn = {name: (budgets, [share.value for share in shares]) for name, shares in curves.items()}
    figure = plots.lines(drawn, "eps, of the pixel range", "balls caught", percentages=True, samples=GAMES)
    return Shown("\n".join(told), plots.png(figure), f"Two curves over eps. {' '.join(told)}")


def _moments(function):
    past = logits_of_games(reinforcement.Catch(50, 1))
    steps = reinforcement.Catch.steps

    def by_rule(t, seen):
        rest = torch.zeros(steps - len(seen), *seen[0].shape[:1], seen[0].shape[1])
        return function(torch.cat([torch.stack(seen), rest]), past, ATTACKS)[t].bool()

    rules = {
        "never": lambda t, seen: False,
        "the first five": lambda t, seen: t < ATTACKS,
        "your moments": by_rule,
        "the last five": lambda t, seen: t >= steps - ATTACKS,
    }
    shares = {}
    for name, rule in rules.items():

        def attack(t, seen, x, rule=rule):
            on = torch.as_tensor(rule(t, seen)).expand(len(x))
            if not on.any():
                return x
            disturbed = walk(player(), x, preferred(player(), x), EPS, EPS / 4, 5)
            return torch.where(on.view(-1, 1, 1, 1), disturbed, x)

        shares[name] = _played(attack)
    told = [f"{name}: {printed(share)} of the balls are caught." for name, share in shares.items()]
    figure = plots.bars({n: s.value for n, s in shares.items()}, "balls caught", percentages=True)
    return Shown("\n".join(told), plots.png(figure), f"Four bars. {' '.join(told)}")


VIEWS = {"swap": _swap, "disturb": _disturb, "moments": _moments}

show = ShowRight(LAB, VIEWS)
