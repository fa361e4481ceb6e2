"""Lab 12: what every lab passes, and the authors' answers against brute force, the library and cases worked out by hand."""

from itertools import combinations, product

import pytest
import torch
from lab_tests import LabTests

from advcourse import attacks
from advcourse.beyond import reinforcement
from advcourse.grading.run.staging import stage
from advcourse.labs.comparing import called
from advcourse.labs.definitions import model_of
from advcourse.labs.exercises import Draw
from advcourse.labs.lab12 import LAB, TASKS, show
from advcourse.labs.lab12.games import logits_of_games
from advcourse.labs.lab12.sentences import lead_of
from advcourse.labs.lab12.swap import swap, tries_every_option
from advcourse.labs.lab12.timing import gap
from advcourse.models.word_nets import WordReader


class TestLab12(LabTests):
    lab, written, pictures = LAB, 4, 2


class Linear(WordReader):
    """Logits (0, z): z is the sum over the places of the words' vectors times the place's slope; lead of class 1 over 0."""

    def __init__(self, vectors, slopes):
        super().__init__(*vectors.shape)
        self.embedding.weight.data, self.slopes = vectors, slopes

    def from_vectors(self, vectors, there):
        z = (vectors * self.slopes).sum((1, 2))
        return torch.stack([torch.zeros_like(z), z], 1)


def test_a_rank_by_hand():
    """Checks the notebook's example: gains 2 and 4 at place 0, 2 and 3 at place 1."""
    net = Linear(torch.tensor([[0.0], [0], [1], [4], [2], [3]]), torch.tensor([[2.0], [-1]]))
    asked = torch.tensor([2, 3]), 0, torch.tensor([[4, 5], [4, 2]])
    assert TASKS["rank"](net, *asked, 2).tolist() == [[0, 5], [1, 2]]
    assert TASKS["rank"](net, *asked, 1).tolist() == [[0, 5]]


@pytest.mark.parametrize("seed", range(3))
def test_on_a_linear_net_no_other_swaps_do_more(seed):
    """Checks the most promising swaps against all sets of two places with all of their options, each tried on the net."""
    draw = Draw(seed)
    net = Linear(draw.normal((20, 3)).double(), draw.normal((6, 3)).double())
    numbers, options = torch.arange(2, 8), 2 + (draw.uniform((6, 3)) * 18).long()

    def lead(pairs):
        altered = numbers.clone()
        for place, word in pairs:
            altered[place] = word
        return net(altered[None])[0, 1].item()

    every = [
        list(zip(places, words))
        for places in combinations(range(6), 2)
        for words in product(*(options[place].tolist() for place in places))
    ]
    assert lead(TASKS["rank"](net, numbers, 0, options, 2).tolist()) == pytest.approx(max(map(lead, every)))


def fewest(case):
    """The least number of swaps that succeed on a net whose words add up; None if all that are allowed do not."""
    numbers, options = case["numbers"], case["synonyms"][case["numbers"]]
    now, gains = lead_of(case.victim, numbers[None], case["label"])[0], []
    for place, words in enumerate(options):
        copies = numbers.repeat(len(words), 1)
        copies[:, place] = torch.where(words > 0, words, numbers[place])
        best = (lead_of(case.victim, copies, case["label"]) - now).max()
        gains.append(0.0 if case["stopwords"][numbers[place]] else best.item())
    gains.sort(reverse=True)
    reached = [now + sum(gains[:n]) > 0 for n in range(int(case["share"] * len(numbers)) + 1)]
    return reached.index(True) if any(reached) else None


def test_no_swaps_are_wasted_where_words_add_up():
    """Checks the swaps against the closed form for such nets: the largest true gains. To try all options reaches it."""
    solved = 0
    for seed in range(12):
        case = swap.case(Draw(seed), kind="alone", deep=1.2).to(torch.float64)
        least = fewest(case)
        for answer, exact in ((swap.solution, False), (tries_every_option, True)):
            found = called(answer, case).long()
            misread = lead_of(case.victim, found[None], case["label"])[0] > 0
            made = int((found != case["numbers"]).sum())
            if exact:
                assert (made if misread else None) == least
            elif misread:
                solved += 1
                assert least is not None and made >= least
    assert solved >= 5


def test_the_disturbance_is_the_librarys():
    """Checks the frames against BIM of the library, away from the actions that the player prefers, in float64."""
    for seed in range(3):
        case = TASKS["disturb"].case(Draw(seed), n=6).to(torch.float64)
        model = model_of(case)
        settings = {name: case[name] for name in ("eps", "alpha", "steps")}
        expected = attacks.BIM(**settings, keep="last")(model, case["x"], model(case["x"]).argmax(1))
        assert (called(TASKS["disturb"], case) - expected).abs().max() < 1e-9


def test_moments_by_hand():
    """Checks the notebook's example: of two actions, logits (0, d) have the gap tanh(d / 2)."""

    def games(*gaps):
        d = 2 * torch.tensor(gaps, dtype=torch.float64).atanh()
        return torch.stack([torch.zeros_like(d), d], -1)[:, None]

    past = games(0.4, 0.6, 0.8)
    assert torch.allclose(gap(past)[:, 0], torch.tensor([0.4, 0.6, 0.8], dtype=torch.float64))
    assert TASKS["moments"](games(0.5, 0.7, 0.2, 0.3), past, 2)[:, 0].tolist() == [False, True, False, True]


def test_moments_are_those_when_it_matters():
    """Checks the rule against `WhenItMatters` of the library in games of the trained player, until the attacks run short."""
    logits, past = (logits_of_games(reinforcement.Catch(30, seed)) for seed in (3, 4))
    chosen = TASKS["moments"](logits, past, 5).bool()
    assert (chosen.sum(0) == 5).all()
    rule = reinforcement.WhenItMatters(gap(past).flatten().quantile(1 - 5 / 17).item())
    for t in range(12):
        free = chosen[:t].sum(0) < 5
        assert torch.equal(chosen[t] & free, rule(t, logits[t]) & free)


def test_graded_answers_have_no_answers(tmp_path):
    """Checks the library that graded answers see, file by file: no attack on words or games is there, and no sentence."""
    stage(tmp_path)
    there = {path.relative_to(tmp_path / "advcourse").as_posix() for path in tmp_path.rglob("*")}
    assert "labs/lab12/__init__.py" in there
    shown = {n for n in there if n.startswith(("beyond", "data/files", "labs/lab12/"))}
    assert shown == {"labs/lab12/__init__.py"}


def test_a_view_waits_for_a_right_answer():
    """Checks `show` with a wrong answer: a sentence, and no game is played."""
    assert "check(moments)" in str(show(lambda logits, past, k: logits, task="moments"))
