"""The grader: its seeds, what it says of each kind of answer, and that it says what the notebook says."""

import json
from dataclasses import replace

import pytest
import torch
from answers import rooms
from grading_tests import answer, content, exercise, outcomes, solution
from lab_tests import SEED, by_grader, by_notebook
from submissions import holding

from advcourse.core.inputs import InputError
from advcourse.grading.run.grader import Grader
from advcourse.grading.tell.report import WEAK, Report, TaskResult
from advcourse.labs.lab1 import check
from advcourse.labs.lab1 import fgsm as fgsm_answers
from advcourse.labs.lab4 import LAB as LAB4

SECRET = b"a secret of the instructor"
WRONG_SIGN = """
import torch.nn.functional as F


def fgsm(model, x, y, eps):
    x_in = x.clone().requires_grad_()
    gradient = torch.autograd.grad(F.cross_entropy(model(x_in), y), x_in)[0]
    return (x - eps * gradient.sign()).clamp(0, 1)
"""


@pytest.fixture(scope="module")
def grader():
    with Grader() as grader:
        yield grader


def only(task, source, lab="lab1"):
    """The bytes of an untouched copy with one answer."""
    return content(answer(exercise(lab), task, source))


def result(report, task="fgsm"):
    (found,) = [found for found in report.tasks if found.task == task]
    return found


def test_the_verdict_is_the_notebooks(grader):
    """Checks all of the result, picture included, against `check` of the same function with the same seed in this process."""
    graded = result(grader.grade(only("fgsm", WRONG_SIGN), "lab1", "Ada", SECRET))
    here = check(fgsm_answers.sign_flipped, "fgsm", seed=graded.seed)
    for name in ("task", "outcome", "message", "points", "possible", "seed", "key", "trace"):
        assert getattr(graded, name) == getattr(here, name), name
    assert graded.alt == here.picture.alt and len(graded.picture) > 1000


def test_seeds_follow_from_the_secret(grader):
    """Checks which things the seeds depend on: secret, student, task and file; and that one seed for all repeats a check."""
    book = only("fgsm", WRONG_SIGN)

    def seeds(content=book, student="Ada", secret=SECRET, **how):
        return {task.task: task.seed for task in grader.grade(content, "lab1", student, secret, **how).tasks}

    first = seeds()
    assert seeds() == first and len(set(first.values())) == len(first)
    others = [seeds(student="Bob"), seeds(secret=b"another"), seeds(content=book + b"\n")]
    assert all(not set(other.values()) & set(first.values()) for other in others)
    assert set(seeds(seed=7).values()) == {7}
    drawn = [grader.grade(content(exercise("lab1")), "lab1").tasks[0].seed for _ in range(2)]
    assert drawn[0] != drawn[1]


def test_an_answer_that_calls_a_wrong_one_is_told(grader):
    """Checks the advice: the answer that calls a wrong one is pointed to it, the wrong one is not, and no right one is."""
    book = solution("lab1")
    calls = "def bim(model, x, y, eps, alpha, steps, target=None):\n    return project(x + alpha, x, eps)"
    book = answer(answer(book, "bim", calls), "project", "def project(x_adv, x, eps):\n    return x_adv")
    report = grader.grade(content(book), "lab1", secret=SECRET)
    assert result(report, "bim").advice == "It calls `project`, which is not right yet. Mend that first."
    assert result(report, "project").outcome == "wrong" and not result(report, "project").advice
    assert not result(report, "fgsm").advice and result(report, "fgsm").points == 2


def test_an_untouched_copy_is_not_attempted(grader):
    """Checks each task of the untouched copy, and of one without any cell."""
    empty = exercise("lab4")
    empty.cells = []
    for book in (exercise("lab4"), empty):
        report = grader.grade(content(book), "lab4")
        assert (
            set(outcomes(report).values()) == {"not attempted yet"}
            and report.points == 0
            and report.possible == 26
        )


def test_what_stops_an_answer_is_told(grader):
    """Checks five ways to fail before there is a function: the text says which, with the line as it stands in the cell."""
    missing = result(grader.grade(only("fgsm", "x = 1"), "lab1"))
    assert missing.outcome == "not attempted yet" and "no function `fgsm`" in missing.message
    broken = result(grader.grade(only("fgsm", "def fgsm(model, x, y, eps)\n    return x"), "lab1"))
    assert (broken.outcome, broken.key, broken.again) == ("does not compile", "syntax", "")
    told = "expected ':' (SyntaxError in line 1, `def fgsm(model, x, y, eps)`)."
    assert broken.message == f"Cell 7 does not compile: {told}"
    long = result(
        grader.grade(only("fgsm", f"def fgsm(model, x, y, eps):\n    return x\n#{'-' * 100_000}"), "lab1")
    )
    assert long.outcome == "does not compile" and "more than 100000 characters" in long.message
    crashing = result(grader.grade(only("fgsm", "table = {}['key']\nfgsm = table"), "lab1"))
    assert (
        crashing.outcome == "crashed" and "line 1, in <module>: table = {}['key']\nKeyError" in crashing.trace
    )
    inside = result(grader.grade(only("fgsm", "def fgsm(model, x, y, eps):\n    return x.nothing()"), "lab1"))
    assert (
        inside.outcome == "crashed" and "line 2, in fgsm: return x.nothing()\nAttributeError" in inside.trace
    )


def test_an_answer_whose_helper_does_not_compile(grader):
    """Checks a given helper and one of the student's own: the answer is told which cell it needs, not that it is unwritten."""
    book = solution("lab1")
    answer(book, "log_odds", "def log_odds(logits, label)\n    return logits")
    report = grader.grade(content(book), "lab1")
    told = "expected ':' (SyntaxError in line 1, `def log_odds(logits, label)`)."
    told = f"It needs `log_odds`, but cell 6 does not compile: {told}"
    fgsm, bim = result(report), result(report, "bim")
    assert (fgsm.outcome, fgsm.message, fgsm.again) == (bim.outcome, bim.message, "") == ("crashed", told, "")
    answer(book, "log_odds", "def helper(z):\nreturn z")
    fgsm = result(
        grader.grade(
            content(answer(book, "fgsm", "def fgsm(model, x, y, eps):\n    return helper(x)")), "lab1"
        )
    )
    assert "It needs `helper`, but cell 6 does not compile: expected an indented block" in fgsm.message
    assert "NameError" in fgsm.trace and fgsm.again


def test_what_is_no_notebook_gets_a_report(grader):
    """Checks a text file: an error in words, 0 points of all, and no exception."""
    report = grader.grade(b"print('hello')", "lab4", "Ada")
    assert report.error and report.points == 0 and report.possible == 26 and report.student == "Ada"


def test_plain_processes_say_the_same():
    """Checks lab 4 without bubblewrap against the notebook: the solution, the students' copy, and three wrong answers."""
    wrong = {room.task: room.wrongs[0][1] for room in rooms("lab4")[:3]}
    with Grader(isolation="process") as weak:
        assert weak.isolation == WEAK
        assert weak.grade(content(solution("lab4")), "lab4").points == LAB4.points
        for answers in ({}, wrong):
            report = weak.grade(holding(LAB4, answers), "lab4", seed=SEED)
            assert by_grader(report) == by_notebook(LAB4, answers)


def test_an_unknown_lab_is_told(grader):
    """Checks the error for a lab that is not there."""
    with pytest.raises(InputError, match="lab: got 'lab0'; allowed are 'lab1'"):
        grader.grade(b"", "lab0")


def test_the_judge_leaves_the_process_as_it_was(grader):
    """Checks threads and global random numbers of this process before and after."""
    before = torch.get_rng_state(), torch.get_num_threads()
    grader.grade(only("fgsm", WRONG_SIGN), "lab1")
    assert torch.equal(before[0], torch.get_rng_state()) and torch.get_num_threads() == before[1]


def test_a_report_is_plain_data():
    """Checks that JSON gives the same report back, and that other text is refused."""
    task = TaskResult("fgsm", "One step", "wrong", "It fails.", 0, 2, 7, key="box", alt="Three pictures")
    report = Report("Zoë", "lab1", "ab", "bubblewrap", (task,), notes=("A cell was empty.",), seconds=1.5)
    assert Report.from_json(report.as_json()) == report and report.possible == 2
    assert replace(report, tasks=(replace(task, points=5),)).points == 2
    for text in ("[]", "{}", "7", json.dumps({**json.loads(report.as_json()), "more": 1}), '{"tasks": [{}]}'):
        with pytest.raises(ValueError):
            Report.from_json(text)
