"""EAD: its shrinkage and its loop as the judge computes them, and the slips known by their results."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from advcourse.labs import definitions as by_hand
from advcourse.labs.checks import Case, Draw, Student, picture
from advcourse.labs.lab3.nearest import at_distance
from advcourse.labs.lab3.questions import lead
from advcourse.labs.properties import SAME, agree, formula
from advcourse.labs.verdicts import Finding


def _shrunk(z, x, beta):
    change = z - x
    return (x + change.sign() * (change.abs() - beta).clamp_min(0)).clamp(0, 1)


# The loop


def _slope(case, x_i, weight):
    """Gradient of c f plus the squared distance at x_i, which counts `weight` times."""
    x_i = x_i.detach().requires_grad_()
    far = (x_i - by_hand.clean(case)).square().sum()
    value = case["const"] * lead(case, x_i).clamp_min(0).sum() + weight * far
    return torch.autograd.grad(value, x_i)[0]


def _elastic_net(beta, length, square):
    return beta * length + square


def _price(rule, case, x_i, weigh=_elastic_net):
    change = (x_i - by_hand.clean(case)).flatten(1)
    length, square = change.abs().sum(1), change.square().sum(1)
    return length if rule == "L1" else weigh(case["beta"], length, square)


def ead(
    case: Case,
    keep: str = "best",
    momentum: Callable[[int], float] = lambda k: k / (k + 3),
    decays: bool = True,
    **changed: Any,
) -> Tensor:
    """FISTA with a fixed constant, and the best of its iterates. The rest of the arguments serve the slips.

    keep: the "best" (or the "success or end"), "first" or "last" success, or the "end" of the loop; changed: the `rule`, the
    `threshold` (a function of alpha_k and beta), the `centre` of the shrinkage (a function of x and y_k), the place of the
    gradient (`at`), what is `returned`, "x" or "y", the weight `far` of the distance, and the price of the rule EN (`weigh`, a
    function of beta, the L1 norm and the squared L2 norm).
    """
    x, beta, steps = by_hand.clean(case), case["beta"], case["steps"]
    rule, threshold = changed.get("rule", case["rule"]), changed.get("threshold", lambda alpha, beta: beta)
    x_k, y_k = x, x
    best, lowest = x, torch.full((len(x),), torch.inf, dtype=x.dtype)
    for k in range(steps):
        alpha = case["lr"] * ((1 - k / steps) ** 0.5 if decays else 1)
        place = x_k if changed.get("at") == "x" else y_k
        stepped = y_k - alpha * _slope(case, place, changed.get("far", 1))
        new = _shrunk(stepped, changed.get("centre", lambda x, y: x)(x, y_k), threshold(alpha, beta))
        y_k, x_k = new + momentum(k) * (new - x_k), new
        shown = y_k if changed.get("returned") == "y" else x_k
        price = _price(rule, case, shown, changed.get("weigh", _elastic_net))
        better = lead(case, shown) < 0
        if keep in ("best", "success or end"):
            better &= price < lowest
        elif keep == "first":
            better &= lowest.isinf()
        best = torch.where(better.view(-1, 1, 1, 1), shown, best)
        lowest = torch.where(better, price, lowest)
    if keep == "success or end":
        return torch.where(lowest.isinf().view(-1, 1, 1, 1), shown, best)
    return shown if keep == "end" else best


_ROOT = {"weigh": lambda beta, length, square: beta * length + square.sqrt()}
_SQUARE_ALONE = {"weigh": lambda beta, length, square: square}

EAD_SLIPS = (
    (
        "keeps the last",
        "The last success is returned. Any iterate may be the best: compare each success with the best so far.",
        {"keep": "last"},
    ),
    (
        "keeps the first",
        "The first success is returned. Later ones are better: compare each success with the best so far.",
        {"keep": "first"},
    ),
    (
        "end of the loop",
        "The end of the loop is returned, successful or not. Keep the best success, and x where there is none.",
        {"keep": "end"},
    ),
    (
        "failure not clean",
        "Where nothing fools, the end of the loop comes back. Begin with best = x, and replace it by successes alone.",
        {"keep": "success or end"},
    ),
    (
        "threshold alpha beta",
        "The threshold shrinks with the step: alpha_k beta, as in a textbook. In EAD it is beta itself.",
        {"threshold": lambda alpha, beta: alpha * beta},
    ),
    (
        "shrinks towards y",
        "The step is shrunk towards y_k. It shrinks towards the clean image x: shrink(z, x, beta).",
        {"centre": lambda x, y: y},
    ),
    (
        "no momentum",
        "Each step starts from the iterate x_k. FISTA starts from y_k, which looks ahead: x_k + k / (k + 3) (x_k - x_{k-1}).",
        {"momentum": lambda k: 0.0},
    ),
    (
        "momentum ahead",
        "The momentum is one step ahead: (k + 1) / (k + 4). It is k / (k + 3) with k from 0, so the first is 0.",
        {"momentum": lambda k: (k + 1) / (k + 4)},
    ),
    (
        "full momentum",
        "The momentum is 1 throughout. It grows towards 1: k / (k + 3).",
        {"momentum": lambda k: 1.0},
    ),
    (
        "gradient at x_k",
        "The step starts from y_k, but its gradient is taken at x_k. Take it where the step starts.",
        {"at": "x"},
    ),
    (
        "no distance",
        "The gradient is that of c f alone. g also holds the squared distance |y_k - x|^2, which pulls back.",
        {"far": 0},
    ),
    (
        "steps of one length",
        "All steps are lr long. They get shorter: alpha_k = lr sqrt(1 - k / steps).",
        {"decays": False},
    ),
    (
        "rule EN alone",
        "rule is not looked at: EN decides always. With rule L1 the least L1 norm wins, the sum of |x_i - x|.",
        {"rule": "EN"},
    ),
    (
        "rule L1 alone",
        "rule is not looked at: L1 decides always. With rule EN the least beta L1 + L2^2 wins.",
        {"rule": "L1"},
    ),
    (
        "L2 not squared",
        "The price of the rule EN holds the L2 norm itself. There it is squared, as in what EAD lowers: beta L1 + L2^2.",
        _ROOT,
    ),
    (
        "L2 alone",
        "The rule EN looks at the L2 norm alone. The L1 norm counts too, beta times: beta L1 + L2^2.",
        _SQUARE_ALONE,
    ),
    (
        "judges y",
        "What is judged and kept is y_k, which is not shrunk and may leave the box. Judge the iterate x_{k+1}.",
        {"returned": "y"},
    ),
)


def _cases(task, draw):
    """A bent model; and a linear one with two classes: one big step to the boundary, by both rules, many small ones, too few."""
    line = task.case(draw, kind="linear", classes=2, grey=True)
    spread = 0.7 + 0.2 * torch.arange(
        len(line.labels), dtype=torch.float64
    )  # images that behave alike would hide a slip
    near = at_distance(line, 0.4 * spread).but(const=draw.number(76, 84), lr=0.04, beta=1e-2, steps=14)
    far = at_distance(line, 0.7 * spread).but(const=draw.number(9, 11), lr=0.05, beta=1e-3, steps=14)
    hopeless = far.but(const=0.5, beta=1e-6, steps=8)
    return task.case(draw, grey=True), near, near.but(rule="L1"), far, hopeless, _told_apart(task, draw)


def _told_apart(task, draw, n=32, each=2):
    """Of many images those whose best iterate another price than that of the rule EN would choose otherwise.

    Drawn anew until for each other price there is one, a tenth of whose pixels differ.
    """
    while True:
        line = task.case(draw, n=n, kind="linear", classes=2, grey=True)
        case = at_distance(line, 0.8 * torch.linspace(0.7, 1.3, n, dtype=torch.float64))
        case = case.but(const=draw.number(152, 168), lr=0.04, beta=6e-2, steps=14)
        right = ead(case)
        apart = [
            ((ead(case, **other) - right).abs() > 2 * SAME).double().flatten(1).mean(1)
            for other in (_ROOT, _SQUARE_ALONE)
        ]
        if min(shares.max() for shares in apart) >= 0.1:
            chosen = [i for shares in apart for i in shares.argsort(descending=True)[:each].tolist()]
            return case.images(sorted(set(chosen)))


def follows_fista(student: Student, draw: Draw) -> None:
    """The images of the formula in all cases. A slip is named if it explains all of them."""
    cases = _cases(student.task, draw)
    images = [student(case) for case in cases]
    wrong = [i for i, case in enumerate(cases) if not agree(images[i], ead(case))]
    if not wrong:
        return
    case, found = cases[wrong[0]], images[wrong[0]]
    for key, message, changed in EAD_SLIPS:
        if all(agree(mine, ead(asked, **changed)) for asked, mine in zip(cases, images)):
            raise Finding(key, message, picture(case, found, 0))
    raise formula(case, found, ead(case))
