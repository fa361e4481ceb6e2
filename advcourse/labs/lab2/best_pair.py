"""Lab 2: the two pixels that help most, a pair of JSMA."""

from typing import Any

import torch
from torch import Tensor

from advcourse.labs.checks import Student
from advcourse.labs.comparing import Comparison, called, gives
from advcourse.labs.exercises import Case, Draw, exercise
from advcourse.labs.lab2.questions import CLASSES
from advcourse.labs.properties import (
    answers,
    keeps_what_it_gets,
    leaves_nothing_behind,
    other_device,
    other_shape,
    treats_images_alone,
)
from advcourse.labs.verdicts import Finding

MANY = {"shape": (1, 4, 5), "n": 24}  # few pixels, so that each condition decides somewhere


def a_jacobian(draw: Draw, x: Tensor) -> dict[str, Any]:
    """Gradients and a search set of about half of the pixels."""
    n = len(x)
    return {
        "gradients": draw.normal((n, CLASSES, *x.shape[1:])),
        "target": (10 * draw.uniform((n,))).long(),
        "free": draw.uniform(x.shape) < 0.5,
    }


def slopes(gradients, target):
    """alpha and beta, (N, d): how the target's logit, and the sum of the others, grow with each pixel."""
    flat = gradients.flatten(2)
    alpha = flat[torch.arange(len(flat)), target]
    return alpha, flat.sum(1) - alpha


def pairwise(v):
    return v[:, :, None] + v[:, None, :]


def both_free(free):
    return free.flatten(1)[:, :, None] & free.flatten(1)[:, None, :]


def tables(gradients, target, free):
    """A and B of all pairs (N, d, d), and which pairs are two free pixels."""
    alpha, beta = slopes(gradients, target)
    apart = ~torch.eye(alpha.shape[1], dtype=torch.bool, device=alpha.device)
    return pairwise(alpha), pairwise(beta), both_free(free) & apart


def chosen(score, allowed):
    d = score.shape[1]
    best, place = score.masked_fill(~allowed, -torch.inf).flatten(1).max(1)
    return torch.where(best.isinf()[:, None], -1, torch.stack([place // d, place % d], 1))


@exercise(
    "The two pixels that help most",
    4,
    a_jacobian,
    (
        "Flatten the pixels: gradients.flatten(2) is (N, K, d). The target's row is alpha (N, d); the sum over all "
        "classes minus alpha is beta (N, d). A pair's sums are a table: alpha[:, :, None] + alpha[:, None, :] is (N, "
        "d, d).",
        "Make the table score = -A * B, and put -inf wherever the pair is not allowed: A <= 0, B >= 0, p == q, or one of them is "
        "not free. masked_fill does that.",
        "best, place = score.flatten(1).max(1); the pair is (place // d, place % d). Where best is -inf no pair was allowed: "
        "torch.where(best.isinf()[:, None], -1, pair).",
    ),
    shape=lambda case: (len(case["gradients"]), 2),
    numbers="whole",
)
def best_pair(gradients, target, free):
    a, b, allowed = tables(gradients, target, free)
    return chosen(-a * b, allowed & (a > 0) & (b < 0))


@best_pair.slip(
    "no conditions",
    "The highest product wins, whatever its signs. Two pixels that lower the target and raise the others have a "
    "high product, too. A pair counts only where A > 0 and B < 0.",
)
def product_alone(gradients, target, free):
    a, b, allowed = tables(gradients, target, free)
    return chosen(-a * b, allowed)


@best_pair.slip(
    "target among the others",
    "B sums up the gradients of all classes, the target among them. Leave the target out: B = sum of all - target.",
)
def sum_over_all(gradients, target, free):
    a, b, allowed = tables(gradients, target, free)
    b = pairwise(gradients.flatten(2).sum(1))
    return chosen(-a * b, allowed & (a > 0) & (b < 0))


@best_pair.slip(
    "reversed",
    "The pairs lower the target and raise the others: the conditions are the wrong way round. Ask for A > 0 and B < 0.",
)
def conditions_turned_round(gradients, target, free):
    a, b, allowed = tables(gradients, target, free)
    return chosen(-a * b, allowed & (a < 0) & (b > 0))


@best_pair.slip(
    "each pixel alone",
    "Both pixels must meet the conditions alone. They are for the pair: a pixel that lowers the target a little "
    "may help more by lowering the others.",
)
def each_meets_the_conditions(gradients, target, free):
    a, b, allowed = tables(gradients, target, free)
    alpha, beta = slopes(gradients, target)
    good = (alpha > 0) & (beta < 0)
    return chosen(-a * b, allowed & good[:, :, None] & good[:, None, :])


@best_pair.slip(
    "two single pixels",
    "These are the two pixels with the best scores of their own. The score is for pairs: add the gradients of p and q "
    "first, then multiply.",
)
def best_two_alone(gradients, target, free):
    alpha, beta = slopes(gradients, target)
    good = (alpha > 0) & (beta < 0) & free.flatten(1)
    return (-alpha * beta).masked_fill(~good, -torch.inf).topk(2).indices


@best_pair.slip(
    "paired with itself", "A pixel is paired with itself. p and q must differ: take the diagonal out."
)
def diagonal_kept(gradients, target, free):
    a, b, allowed = tables(gradients, target, free)
    return chosen(-a * b, both_free(free) & (a > 0) & (b < 0))


@best_pair.slip(
    "search set unused",
    "A chosen pixel is not free. Pixels outside the search set are out of the question: use the argument free.",
)
def everywhere(gradients, target, free):
    return best_pair(gradients, target, torch.ones_like(free))


@best_pair.slip(
    "target's gradient alone",
    "The pair with the largest A wins. The score is the product -A * B: how much the others fall counts as well.",
)
def others_do_not_count(gradients, target, free):
    a, b, allowed = tables(gradients, target, free)
    return chosen(a, allowed & (a > 0) & (b < 0))


@best_pair.slip("sum, not product", "The score is A - B. It is the product -A * B.")
def sum_of_both(gradients, target, free):
    a, b, allowed = tables(gradients, target, free)
    return chosen(a - b, allowed & (a > 0) & (b < 0))


@best_pair.right
def image_by_image(gradients, target, free):
    pairs = []
    for g, t, f in zip(gradients, target, free):
        g, f = g.reshape(len(g), -1), f.reshape(-1).nonzero()[:, 0]
        alpha = g[t][f]
        beta = g[:, f].sum(0) - alpha
        p, q = torch.triu_indices(len(f), len(f), offset=1, device=g.device)
        a, b = alpha[p] + alpha[q], beta[p] + beta[q]
        good = ((a > 0) & (b < 0)).nonzero()[:, 0]
        if len(good) == 0:
            pairs.append(torch.tensor([-1, -1], device=g.device))
            continue
        best = good[(a[good] * b[good]).argmin()]
        pairs.append(torch.stack([f[q[best]], f[p[best]]]))  # the larger place first
    return torch.stack(pairs)


@best_pair.wrong("a pair where there is none")
def first_place_of_an_empty_table(gradients, target, free):
    a, b, allowed = tables(gradients, target, free)
    score = torch.where(allowed & (a > 0) & (b < 0), -a * b, 0)
    place, d = score.flatten(1).argmax(1), score.shape[1]
    return torch.stack([place // d, place % d], 1)


@best_pair.wrong("formula")
def lowest_score(gradients, target, free):
    a, b, allowed = tables(gradients, target, free)
    return chosen(a * b, allowed & (a > 0) & (b < 0))


@best_pair.wrong("shape")
def one_number_for_the_pair(gradients, target, free):
    a, b, allowed = tables(gradients, target, free)
    return (-a * b).masked_fill(~(allowed & (a > 0) & (b < 0)), -torch.inf).flatten(1).argmax(1)


@best_pair.wrong("zero counts")
def at_least_zero(gradients, target, free):
    a, b, allowed = tables(gradients, target, free)
    return chosen(-a * b, allowed & (a >= 0) & (b <= 0))


@best_pair.wrong("zero counts")
def the_target_may_stand_still(gradients, target, free):
    a, b, allowed = tables(gradients, target, free)
    return chosen(-a * b, allowed & (a >= 0) & (b < 0))


@best_pair.wrong("zero counts")
def the_others_may_stand_still(gradients, target, free):
    a, b, allowed = tables(gradients, target, free)
    return chosen(-a * b, allowed & (a > 0) & (b <= 0))


def another_pair(case: Case, found: Tensor, expected: Tensor) -> Finding:
    """What is said of pairs that no slip explains."""
    wrong = (found != expected).any(1)
    i = int(wrong.nonzero()[0])
    if (expected[wrong] == -1).all():
        return a_pair_too_many(i, "no pair meets the conditions", found[i])
    yours, right = (tuple(map(int, pair[i])) for pair in (found, expected))
    told = f"Image {i}: your pair is {yours}, the one with the highest score is {right}. Compare your lines with the formula."
    return Finding("formula", told)


def a_pair_too_many(i: int, why: str, found: Tensor) -> Finding:
    """What is said of a pair where there should be none."""
    told = (
        f"Image {i}: {why}, and yet the answer is {tuple(map(int, found))}. The argmax of a table without "
        "any score is its first place. Look whether the best score is a score at all; if not, return (-1, -1)."
    )
    return Finding("a pair where there is none", told)


IN_EITHER_ORDER = Comparison(
    lambda student, case: student(case).sort(1).values,
    lambda function, case: called(function, case).sort(1).values,
    torch.equal,
    another_pair,
)


def says_that_there_is_none(student: Student, draw: Draw) -> None:
    """Where no pair meets the conditions, or only one pixel is free, the answer is (-1, -1); A = 0 and B = 0 do not meet them."""
    case = student.task.case(draw, n=6, shape=MANY["shape"])
    gradients, free, target = case["gradients"].clone(), case["free"].clone(), case["target"]
    gradients[1] = gradients[1].abs()  # every class gains with every pixel: B < 0 nowhere
    free[2] = False
    free[2, 0, 1, 1] = True
    free[3:] = True
    gradients[3] = 0
    gradients[4] = -gradients[4].abs()
    gradients[4, target[4]] = 0
    alone = gradients[5, target[5]].abs()
    gradients[5] = 0
    gradients[5, target[5]] = alone
    found = student(case.but(gradients=gradients, free=free))
    for i, why in ((1, "no pair meets the conditions"), (2, "only one pixel is free")):
        if (found[i] != -1).any():
            raise a_pair_too_many(i, why, found[i])
    flat = (
        (3, "all gradients are 0, so A = 0 and B = 0"),
        (4, "A = 0 for all pairs"),
        (5, "B = 0 for all pairs"),
    )
    for i, why in flat:
        if (found[i] != -1).any():
            told = f"Image {i}: {why}, and yet a pair counts. A pair counts only where A > 0 and B < 0: 0 is neither."
            raise Finding("zero counts", told)


best_pair.checks(
    answers,
    keeps_what_it_gets,
    gives(best_pair, IN_EITHER_ORDER, **MANY),
    says_that_there_is_none,
    treats_images_alone,
    other_shape,
    other_device,
    leaves_nothing_behind,
)
