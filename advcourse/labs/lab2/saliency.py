"""JSMA: the pair with the highest score and the whole attack as the judge computes them, and slips known by their results."""

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from advcourse.labs import definitions as by_hand
from advcourse.labs.checks import Case, Draw, Student, Task, picture
from advcourse.labs.lab2.nearest import jacobian
from advcourse.labs.properties import agree, same_as
from advcourse.labs.verdicts import Finding

NONE = (-1, -1)


def _slopes(gradients, target):
    """alpha and beta, (N, d): how the target's logit, and the sum of the others, grow with each pixel."""
    flat, rows = gradients.flatten(2), torch.arange(len(target))
    alpha = flat[rows, target]
    return alpha, flat.sum(1) - alpha


def _pair(alpha, beta, free, score="product", conditions="pair", itself=False):
    """The best pair (p, q) of one image, p < q, or NONE. `score`, `conditions` and `itself` serve the slips."""
    a, b = alpha[:, None] + alpha, beta[:, None] + beta
    allowed = free[:, None] & free
    if not itself:
        allowed = allowed & ~torch.eye(len(alpha), dtype=torch.bool)
    if conditions == "pair":
        allowed = allowed & (a > 0) & (b < 0)
    elif conditions == "each":
        good = (alpha > 0) & (beta < 0)
        allowed = allowed & good[:, None] & good
    elif conditions == "reversed":
        allowed = allowed & (a < 0) & (b > 0)
    value = {"product": -a * b, "target": a, "sum": a - b}[score].masked_fill(~allowed, -torch.inf)
    place = int(value.argmax())
    if not allowed.flatten()[place]:
        return NONE
    return tuple(sorted(divmod(place, len(alpha))))


def _pairs(gradients, target, free, others="others", **slip):
    alpha, beta = _slopes(gradients, target)
    beta = beta + alpha if others == "all" else beta
    found = [_pair(*row, **slip) for row in zip(alpha, beta, free.flatten(1))]
    return torch.tensor(found, dtype=torch.double)


def best_pair(case: Case, **slip: Any) -> Tensor:
    free = torch.ones_like(case["free"]) if slip.pop("all free", False) else case["free"]
    return _pairs(case["gradients"].double(), case["target"], free, **slip)


def _two_singles(case):
    """Two pixels, each with the best score of its own."""
    alpha, beta = _slopes(case["gradients"].double(), case["target"])
    good = (alpha > 0) & (beta < 0) & case["free"].flatten(1)
    return (-alpha * beta).masked_fill(~good, -torch.inf).topk(2).indices.double()


def _slip(**changed):
    return lambda case: best_pair(case, **changed)


PAIR_SLIPS = (
    (
        "no conditions",
        "The highest product wins, whatever its signs. Two pixels that lower the target and raise the others have a "
        "high product, too. A pair counts only where A > 0 and B < 0.",
        _slip(conditions="none"),
    ),
    (
        "target among the others",
        "B sums up the gradients of all classes, the target among them. Leave the target out: B = sum of all - target.",
        _slip(others="all"),
    ),
    (
        "reversed",
        "The pairs lower the target and raise the others: the conditions are the wrong way round. Ask for A > 0 and B < 0.",
        _slip(conditions="reversed"),
    ),
    (
        "each pixel alone",
        "Both pixels must meet the conditions alone. They are for the pair: a pixel that lowers the target a little "
        "may help more by lowering the others.",
        _slip(conditions="each"),
    ),
    (
        "two single pixels",
        "These are the two pixels with the best scores of their own. The score is for pairs: add the gradients of p and q "
        "first, then multiply.",
        _two_singles,
    ),
    (
        "paired with itself",
        "A pixel is paired with itself. p and q must differ: take the diagonal out.",
        _slip(itself=True),
    ),
    (
        "search set unused",
        "A chosen pixel is not free. Pixels outside the search set are out of the question: use the argument free.",
        _slip(**{"all free": True}),
    ),
    (
        "target's gradient alone",
        "The pair with the largest A wins. The score is the product -A * B: how much the others fall counts as well.",
        _slip(score="target"),
    ),
    (
        "sum, not product",
        "The score is A - B. It is the product -A * B.",
        _slip(score="sum"),
    ),
)


def finds_the_pair(student: Student, draw: Draw) -> None:
    """The pair is the judge's, in either order. Where it is that of a slip, the slip is named."""
    case = student.task.case(draw, **MANY)
    found, expected = student(case).sort(1).values, best_pair(case)
    if torch.equal(found, expected):
        return
    for key, message, slip in PAIR_SLIPS:
        if torch.equal(found, slip(case).sort(1).values):
            raise Finding(key, message)
    wrong = (found != expected).any(1)
    i = int(wrong.nonzero()[0])
    if (expected[wrong] == -1).all():
        raise _a_pair_too_many(i, "no pair meets the conditions", found[i])
    yours, right = (tuple(int(place) for place in pair[i]) for pair in (found, expected))
    told = f"Image {i}: your pair is {yours}, the one with the highest score is {right}. Compare your lines with the formula."
    raise Finding("formula", told)


def _a_pair_too_many(i, why, found):
    told = (
        f"Image {i}: {why}, and yet the answer is {tuple(int(place) for place in found)}. The argmax of a table without "
        "any score is its first place. Look whether the best score is a score at all; if not, return (-1, -1)."
    )
    return Finding("a pair where there is none", told)


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
            raise _a_pair_too_many(i, why, found[i])
    flat = (
        (3, "all gradients are 0, so A = 0 and B = 0"),
        (4, "A = 0 for all pairs"),
        (5, "B = 0 for all pairs"),
    )
    for i, why in flat:
        if (found[i] != -1).any():
            told = f"Image {i}: {why}, and yet a pair counts. A pair counts only where A > 0 and B < 0: 0 is neither."
            raise Finding("zero counts", told)


# The whole attack


@dataclass(eq=False)
class PairsTask(Task):
    """A task for JSMA: two images, since the table of pairs is large. The first, and every second one, is far from its target."""

    def case(self, draw: Draw, kind: str = "smooth", n: int = 2, **how: Any) -> Case:
        case = super().case(draw, kind, n, **how)
        target = case["target"].clone()
        target[::2] = by_hand.least_likely(case)[::2]
        return case.but(target=target)


def jsma(case: Case, **slip: Any) -> Tensor:
    """JSMA with the settings of the case; what differs in a `slip`: see JSMA_SLIPS."""
    x, theta, target = by_hand.clean(case), slip.get("theta", case["theta"]), case["target"]
    x_i, rounds = x.clone(), int(slip.get("budget", 1) * case["gamma"] * x[0].numel() / 2)
    barred = torch.zeros_like(x, dtype=torch.bool)
    for _ in range(rounds):
        logits, gradients = jacobian(case, x if slip.get("at x") else x_i)
        if slip.get("softmax"):
            p = logits.softmax(1).view(*logits.shape, 1, 1, 1)
            gradients = p * (gradients - (p * gradients).sum(1, keepdim=True))
        going = logits.argmax(1) != target
        if slip.get("at x"):
            going = by_hand.logits(case, x_i).argmax(1) != target
        if slip.get("no stop"):
            going = torch.ones_like(going)
        if slip.get("together"):
            going = going.all().expand(len(x))
        free = torch.ones_like(barred) if slip.get("all free") else (x_i < 1) & ~barred
        pairs = _pairs(
            gradients, target, free, **{k: v for k, v in slip.items() if k in ("conditions", "others")}
        )
        for n in range(len(x)):
            p, q = (int(v) for v in pairs[n])
            if not going[n] or (p, q) == NONE:
                continue
            flat = x_i[n].view(-1)
            for k in (p, q):
                flat[k] = theta if slip.get("sets") else flat[k] + theta * slip.get("away", 1)
                if slip.get("leaves at once"):
                    barred[n].view(-1)[k] = True
        x_i = x_i.clamp(0, 1)
    return x_i


def _one_round_more(case):
    return case.but(gamma=case["gamma"] + 2 / case["x"][0].numel())


def _clean_where_it_fails(case):
    x_i = jsma(case)
    reached = by_hand.logits(case, x_i).argmax(1) == case["target"]
    return torch.where(reached.view(-1, 1, 1, 1), x_i, by_hand.clean(case))


def _jsma(**slip):
    return same_as(lambda case: jsma(case, **slip), 1.0)


JSMA_SLIPS = (
    (
        "box",
        "Pixels go beyond 1: a pixel that was grey gets the whole theta. Clip to [0, 1] after each step.",
        lambda case, images: agree(images.clamp(0, 1), jsma(case), 1.0),
    ),
    (
        "budget in pairs",
        "Twice as many pixels change as allowed: gamma is a share of pixels, and each round changes two. Halve the "
        "number of rounds.",
        _jsma(budget=2),
    ),
    (
        "does not stop",
        "Pixels go on changing after the target is reached. An image that has got there stays as it is.",
        _jsma(**{"no stop": True}),
    ),
    (
        "stops with the first",
        "All images stop as soon as one has reached its target. The others go on.",
        _jsma(together=True),
    ),
    (
        "probabilities",
        "The pairs are those of the softmax. There the others' sum is the target with a minus, and says nothing new. Take the "
        "gradients of the logits.",
        _jsma(softmax=True),
    ),
    (
        "jacobian at x",
        "All pairs are chosen by the gradients at the clean image. They change with every pair: take them anew at x_i.",
        _jsma(**{"at x": True}),
    ),
    (
        "saturated pixels stay",
        "Pixels that are white already are chosen again, and nothing changes. Free are only those below 1.",
        _jsma(**{"all free": True}),
    ),
    (
        "leaves too early",
        "A pixel is out after its first change, though it is not white yet. It stays free until it reaches 1.",
        _jsma(**{"leaves at once": True}),
    ),
    (
        "darker",
        "The pixels become darker, but the pair was chosen for lighter ones. Add theta.",
        _jsma(away=-1),
    ),
    (
        "sets the value",
        "The pixels are set to theta. Add theta to what they are, and clip.",
        _jsma(sets=True),
    ),
    (
        "theta unused",
        "The pixels become white at once. Add theta, and clip to 1.",
        _jsma(theta=1.0),
    ),
    (
        "clean where it fails",
        "Images that do not reach their target come back unchanged. Return the images after the last round, whether they have "
        "reached it or not.",
        same_as(_clean_where_it_fails, 1.0),
    ),
    (
        "channels forgotten",
        "Too few values change in colour images: d is the number of all values of an image, channels included, x[0].numel().",
        lambda case, images: same_as(jsma, 1.0)(case.but(gamma=case["gamma"] / case["x"].shape[1]), images),
    ),
    (
        "rounds up",
        "There is one round too many. The share gamma is an upper limit: round down, int(gamma * d / 2).",
        lambda case, images: same_as(jsma, 1.0)(_one_round_more(case), images),
    ),
)


def changes_few_pixels(student: Student, draw: Draw) -> None:
    """At most the share gamma of the pixels changes."""
    case = student.task.case(draw)
    images, d = student(case), case["x"][0].numel()
    changed = (images != by_hand.clean(case)).flatten(1).sum(1)
    allowed = 2 * int(case["gamma"] * d / 2)
    if (most := int(changed.max())) > allowed:
        told = f"{most} of {d} pixels have changed; gamma = {case['gamma']} allows {allowed}."
        raise Finding("budget", told, picture(case, images, int(changed.argmax())))


def undone(task: Task, draw: Draw, **how: Any) -> Case:
    """A case of five rounds in which one round more, twice as many, half of them, and a common stop each end elsewhere."""
    for _ in range(20):
        case = task.case(draw, **SMALL, **how)
        half = case.but(gamma=case["gamma"] / 2)
        ends = [
            jsma(case),
            jsma(_one_round_more(case)),
            jsma(case, budget=2),
            jsma(half),
            jsma(case, together=True),
        ]
        if not any(torch.equal(one, other) for one, other in combinations(ends, 2)):
            break
    return case


MANY = {"shape": (1, 4, 5), "n": 24}  # few pixels, so that each condition decides somewhere
SMALL = {
    "shape": (2, 3, 6),
    "n": 8,
    "gamma": 0.32,
}  # 5.76 rounds, so five; a pixel is one value, in whichever channel
