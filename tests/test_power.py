"""The power of the labs' checks: what was counted, the page that shows it, and fresh seeds for every wrong answer."""

import json
import sys
from functools import partial

import deciding
import power
import pytest
import torch
from amounts import LONG, amount, some
from power_table import table
from remembering import remembering

from advcourse.labs import comparing
from advcourse.labs.exercises import Case

LEAST = 20


@pytest.fixture(scope="module")
def rows():
    return power.stored()


def test_every_answer_was_counted(rows):
    """Checks the stored names, and what each answer must get, against the files of the tasks."""
    present = {
        f"{lab}/{task}/{name}": must
        for lab in power.LABS
        for (task, name), (_, must) in power.answers(lab).items()
    }
    assert {name: row["must"] for name, row in rows.items()} == present
    assert [name for name, row in rows.items() if power.drawn(row) < LEAST] == []


def test_no_wrong_answer_passed_and_no_right_one_was_refused(rows):
    """Checks every stored count: "right" came each time for a right answer, and never for a wrong one."""
    guilty = {
        name: row["verdicts"]
        for name, row in rows.items()
        if row["verdicts"].get("right", 0) != (power.drawn(row) if row["must"] == "right" else 0)
    }
    assert guilty == {}


@pytest.mark.parametrize(
    "lab, task, name, seed",
    [
        ("lab1", "llc", "second_most_likely", 60),
        ("lab1", "llc", "second_most_likely", 176),
        ("lab3", "cw_loss", "cw_loss", 60),
        ("lab3", "cw_loss", "with_the_two_largest", 60),
        ("lab4", "rate", "out_of_a_hundred", 175),
        ("lab4", "rate", "share_that_holds", 143),
        ("lab7", "mixed_loss", "a_third_attacked", 96),
        ("lab7", "mixed_loss", "three_attacked_ones", 170),
        ("lab8", "squeeze_score", "first_alone", 187),
    ],
)
def test_draws_that_once_led_astray(lab, task, name, seed, one_thread):
    """Checks draws in which counting once found a right answer refused, or a mistake taken for another."""
    answer, must = power.answers(lab)[task, name]
    assert power.verdict(lab, task, answer, seed) == must


def test_the_page_shows_what_was_counted(rows):
    """Checks the page, character by character, against one that is made anew from the counts."""
    assert power.PAGE.read_text(encoding="utf-8") == table(rows)


@pytest.mark.long
@pytest.mark.parametrize(
    "lab, task",
    [pair for lab in power.LABS for pair in dict.fromkeys((lab, t) for t, _ in power.answers(lab))],
)
def test_fresh_seeds_tell_wrong_from_right(rows, one_thread, lab, task):
    """Checks the demand itself with seeds that were not counted: no wrong answer passes, no right one fails."""
    waiting = [(name, *row) for (of, name), row in power.answers(lab).items() if of == task]
    if not LONG:  # `LabTests` checks right answers with two seeds
        waiting = [row for row in waiting if row[2] != "right"]
    names = [name for name in rows if name.startswith(f"{lab}/{task}/")]
    first = max(power.drawn(rows[name]) for name in names) if names else 0
    with remembering() as results:
        for seed in range(first, first + amount(1, power.SEEDS)):
            results.clear()
            for name, answer, must in some(waiting, 4):
                told = power.verdict(lab, task, answer, seed)
                assert (told == "right") == (must == "right"), (name, seed, told)


# The counting


def test_a_run_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    """Checks the counts against runs of 1, 2 and 2 seeds more: what is there is not drawn again, and a stale row is."""
    path, wanted = tmp_path / "counts.json", {("rate", "number_of_hits"), ("rate", "rate")}
    everything = power.answers
    monkeypatch.setattr(
        power, "answers", lambda lab: {k: v for k, v in everything(lab).items() if k in wanted}
    )
    drawn = []

    class Pool:
        """Runs the portions in this process."""

        def __init__(self, *_):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def map(self, function, *columns):
            for job in zip(*columns):
                task, firsts, last = job
                drawn.extend((f"{task}/{name}", first, last) for name, first in firsts.items())
                yield function(*job)

    monkeypatch.setattr(power, "ProcessPoolExecutor", Pool)
    power.measure(["lab4"], 2, 1, path)
    counted = power.measure(["lab4"], 5, 1, path)
    hits, author = (f"lab4/rate/{name}" for name in ("number_of_hits", "rate"))
    assert sorted(drawn) == sorted(
        (name, *ends) for name in (hits, author) for ends in ((0, 1), (1, 2), (2, 5))
    )
    assert counted[hits]["verdicts"] == {"count": 5} and counted[author]["verdicts"] == {"right": 5}
    kept = json.loads(path.read_text(encoding="utf-8"))
    assert kept == counted
    kept[hits]["code"] = "another"
    power.save(kept, path)
    drawn.clear()
    assert power.measure(["lab4"], 5, 1, path)[hits] == {**counted[hits], "seconds": pytest.approx(0, abs=9)}
    assert {name for name, *_ in drawn} == {hits}


@pytest.mark.long
@pytest.mark.parametrize(
    "task",
    some(["lab7/zero_share", "lab1/bim", "lab2/jsma", "lab3/ead", "lab7/eat_loss", "lab8/eot_gradient"], 6),
)
def test_results_that_are_kept_change_no_verdict(one_thread, task):
    """Checks what answers are told, in every word, against what they are told where the judge computes everything anew."""
    lab, task = task.split("/")
    functions = [function for (of, _), (function, _) in power.answers(lab).items() if of == task]
    for seed in range(amount(1, 20)):
        alone = [repr(power.checked(lab, task, function, seed)) for function in functions[:: amount(3, 1)]]
        with remembering() as results:
            together = [
                repr(power.checked(lab, task, function, seed)) for function in functions[:: amount(3, 1)]
            ]
            assert results
        assert together == alone


def test_a_result_is_kept_for_its_question_and_its_function_alone():
    """Checks by counting calls: once for the same question, anew for another, and each time where random numbers are drawn."""
    calls = []

    def size(x):
        calls.append(x)
        return x.sum()

    def drawing(x):
        return torch.rand(()) + size(x)

    def ask(function, x):
        return comparing.called(function, Case(None, torch.zeros(1), {"x": x}))

    with remembering():
        ones, twos = torch.ones(1, 1, 2, 2), 2 * torch.ones(1, 1, 2, 2)
        first, again = ask(size, ones), ask(size, ones.clone())
        assert first == again == 4 and len(calls) == 1
        first.zero_()
        assert ask(size, ones) == 4 and ask(size, twos) == 8 and len(calls) == 2
        assert ask(torch.sum, twos[:, :, :1]) == 4 and ask(partial(size), ones.double()) == 4
        assert ask(drawing, ones) != ask(drawing, ones) and len(calls) == 5
    ask(size, ones)
    assert len(calls) == 6


PROBE = '''
"""A module that a test makes."""

FACTOR = 2


def helper(x):
    """Doubles."""
    return FACTOR * x


def answer(x):
    return helper(x), "a long sentence that a student is told, and that decides nothing"


def stranger(x):
    return x
'''


@pytest.mark.parametrize(
    "old, new, matters",
    [
        ("FACTOR = 2", "FACTOR = 3", True),
        ("return FACTOR * x", "return x * FACTOR", True),
        ("Doubles.", "Makes it twice as large.", False),
        ("def helper(x):", "def helper(x: int) -> int:", False),
        ("    return FACTOR", "    # why not\n    return FACTOR", False),
        ("a long sentence that a student is told", "another sentence that a student is told", False),
        ("    return x\n", "    return -x\n", False),
    ],
)
def test_what_decides_is_what_is_reached(tmp_path, monkeypatch, old, new, matters):
    """Checks the digest of an answer: it changes with the code that the answer reaches, and with nothing else."""
    monkeypatch.syspath_prepend(tmp_path)

    def digest(source, name):
        (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")
        try:
            return deciding.digest((name, "answer"))
        finally:
            sys.modules.pop(name, None)
            deciding._parts.cache_clear()

    assert old in PROBE
    before, after = digest(PROBE, "probe_before"), digest(PROBE.replace(old, new), "probe_after")
    assert before != digest(PROBE.replace("FACTOR = 2", "FACTOR = 4"), "probe_other")
    assert (before != after) == matters


def test_what_an_error_is_explained_with_decides_nothing():
    """Checks that what the judge runs is reached, and the advice, whose name stands there, is not."""
    texts = "\n".join(deciding._reached([("advcourse.labs.checks", "Student")]))
    assert "class Finding" in texts and "explained(" in texts
    assert "def explained" not in texts and "ADVICE" not in texts
