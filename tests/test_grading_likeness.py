"""Which answers count as the same: by their syntax trees, names included."""

import textwrap
from dataclasses import replace

import pytest
from graded import report, result
from grading_tests import answer, content, exercise
from reports import Page

from advcourse.grading.read import submission
from advcourse.grading.read.likeness import fingerprint
from advcourse.grading.tell import overview
from advcourse.labs.lab1 import LAB

ANSWER = """
def bim(model, x, y, eps, alpha, steps):
    adv = x.clone()
    for _ in range(steps):
        adv = adv + alpha * gradient(model, adv, y).sign()
        adv = torch.min(torch.max(adv, x - eps), x + eps).clamp(0, 1)
    return adv
"""
SAME = {
    "as it is": ANSWER,
    "comments, blanks": ANSWER.replace("\n    for", "\n\n    # go on\n    for").replace("(model, adv, y)", "( model,adv,  y )"),
    "a docstring": ANSWER.replace("steps):\n    adv", 'steps):\n    """I wrote this."""\n    adv', 1),
    "an import more": f"import math\n{ANSWER}",
}  # fmt: skip
OTHER = {
    "names": ANSWER.replace("adv", "z"),
    "a number": ANSWER.replace("clamp(0, 1)", "clamp(0, 2)"),
    "a helper": ANSWER.replace("alpha *", "step(alpha) *") + "\ndef step(alpha):\n    return alpha\n",
}


def printed(source):
    given = submission.released("lab1")
    submitted = submission.read(content(answer(exercise("lab1"), "bim", textwrap.dedent(source))))
    return fingerprint(submission.program("bim", tuple(LAB.tasks), submitted, given))


@pytest.mark.parametrize("kind", SAME)
def test_layout_and_words_beside_the_code_do_not_count(kind):
    """Checks the answer in other clothes against itself."""
    assert printed(SAME[kind]) == printed(ANSWER) != ""


@pytest.mark.parametrize("kind", OTHER)
def test_everything_else_counts(kind):
    """Checks an answer that differs in one thing."""
    assert printed(OTHER[kind]) not in ("", printed(ANSWER))


@pytest.mark.parametrize(
    "source",
    [
        "def bim(*a):\n    return a[1]",
        "def bim(:",
        "",
        "def bim(model, x, y):\n    raise NotImplementedError()",
    ],
)
def test_too_little_is_not_compared(source):
    """Checks an answer of one line, one that does not compile, none, and the copy as it was given out."""
    assert printed(source) == ""


@pytest.mark.parametrize(
    ("tried", "alike", "listed"),
    [(2, 2, 1), (3, 3, 1), (4, 4, 0), (7, 4, 0), (8, 4, 1), (9, 5, 0), (10, 5, 1)],
)
def test_how_many_may_write_the_same(tried, alike, listed):
    """By hand: three in any class, more up to half of those who tried; the page says so. Who has not tried does not count."""
    answers = ["same"] * alike + [f"own{i}" for i in range(tried - alike)] + [""] * 9
    made = [
        replace(report(f"s{i}", replace(result("fgsm"), answer=answer)), digest=f"file{i}")
        for i, answer in enumerate(answers)
    ]
    page = Page(overview.page(made, "Lab 1"))
    assert len(page.tables.get("Identical answers", [0])) == 1 + listed
    rule = "Up to 3 students are listed in any class; more only if they are at most half of those who tried the task"
    assert (rule in page.text) == bool(listed)
