"""Which answers count as the same: by their syntax trees, names included."""

import textwrap

import pytest
from grading_tests import answer, content, exercise

from advcourse.grading.read import submission
from advcourse.grading.read.likeness import fingerprint
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
