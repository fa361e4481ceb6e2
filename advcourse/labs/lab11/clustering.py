"""What the judge of lab 11 asks of a filter: activations of nets with a backdoor, whose split only the judge knows."""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from advcourse.core.rounding import percent
from advcourse.labs.checks import Student
from advcourse.labs.exercises import Draw
from advcourse.labs.lab11.given import two_means
from advcourse.labs.lab11.sets import a_trigger, digits, stamped, trained
from advcourse.labs.verdicts import Finding

LEARNT, SHARE = 1500, 0.04  # digits that a net learns from, and the share that is poisoned
LEAST = 0.9  # precision and recall
PLAIN = 0.6  # what clusters without a whitening have at most, on the nets that are asked about
COMPONENTS = 10
NETS = 2
TRIED = 8  # nets, until one tells right answers from wrong ones
# Seeds of nets on which the filter works, and plain clusters do not. On many others neither does, or both do: see `a_class`.
SEEDS = (7, 9, 36, 39, 64, 117)


def a_class(draw: Draw, x: None = None, h: Tensor | None = None) -> dict[str, Any]:
    """The activations `h`, or numbers that could be some, of which nothing but the form of the answer is asked."""
    return {"h": draw.normal((80, 64)).relu() if h is None else h}


@lru_cache(maxsize=8)
def poisoned_class(seed: int) -> tuple[Tensor, Tensor]:
    """Activations (n, 64) of all training images that are labelled as the target, and which of them are poison, (n,) bool."""
    draw = Draw(seed)
    x, y = digits(draw, LEARNT)
    trigger, target = a_trigger(draw), draw.integer() % 10
    others = (y != target).nonzero()[:, 0]
    chosen = others[draw.uniform((len(others),)).argsort()[: round(SHARE * LEARNT)]]
    x[chosen], y[chosen] = stamped(x[chosen], **trigger), target
    poison = torch.zeros(LEARNT, dtype=torch.bool)
    poison[chosen] = True
    net = trained(x, y, draw.integer())
    given = y == target
    return net[:3](x[given]), poison[given]


def found_by(flags: Tensor, poison: Tensor) -> tuple[float, float]:
    """Precision and recall of the flags; a precision of 0 where nothing is flagged."""
    hits = (flags & poison).double().sum()
    return (hits / flags.double().sum().clamp(min=1)).item(), (hits / poison.double().sum()).item()


def whitened(h: Tensor, components: int = COMPONENTS) -> Tensor:
    """The longest directions of the activations, each with unit variance."""
    centred = h.double() - h.double().mean(0)
    return torch.linalg.svd(centred, full_matrices=False).U[:, :components] * len(h) ** 0.5


def smaller(second: Tensor) -> Tensor:
    """The smaller of two clusters, where one is `second`."""
    return second if second.sum() <= len(second) / 2 else ~second


def tells(seed: int) -> bool:
    """Whether the net of this seed tells right answers from wrong ones."""
    h, poison = poisoned_class(seed)
    white = whitened(h)
    right = [min(found_by(smaller(two_means(white, i)), poison)) for i in range(2)]
    plain = min(found_by(smaller(two_means(h)), poison))
    return min(right) > 0.97 and plain < PLAIN


def _class_of(draw):
    """The activations of a class in a fresh order, and which are poison."""
    start = draw.integer()
    seed = next((s for s in (SEEDS[(start + i) % len(SEEDS)] for i in range(TRIED)) if tells(s)), SEEDS[0])
    h, poison = poisoned_class(seed)
    order = draw.uniform((len(h),)).argsort()
    return h[order], poison[order]


def finds_the_poison(student: Student, draw: Draw) -> None:
    """On fresh nets, nine of ten that it flags are poison, and nine of ten poisons are flagged."""
    for _ in range(NETS):
        h, poison = _class_of(draw)
        _judged(_flags(student, student.task.case(draw, h=h)), h, poison)


def _flags(student, case):
    found = student(case)
    if ((found != 0) & (found != 1)).any():
        told = "Return for each image whether it is suspicious: True or False, or 1 and 0. Yours holds other numbers."
        raise Finding("yes or no", told)
    return found.bool()


def _judged(flags, h, poison):
    precision, recall = found_by(flags, poison)
    if precision >= LEAST and recall >= LEAST:
        return
    if flags.all():
        told = (
            f"You flag all {len(h)} images of the class, and {percent(1 - poison.double().mean())} of them are clean. All "
            "poison is among "
            "them, and nothing is left to learn the class from: return one cluster."
        )
        raise Finding("whole class", told)
    if not flags.any():
        raise Finding("nothing flagged", "No image is flagged, though there is poison in the class.")
    told = (
        f"Of those that you flag {percent(precision)} are poison, and {percent(recall)} of the poison is flagged; "
        f"{percent(LEAST)} of both is demanded."
    )
    if min(found_by(~flags, poison)) >= LEAST:
        why = "The other cluster is the poison. Return the smaller of the two: an attacker poisons little."
        raise Finding("larger cluster", f"{told} {why}")
    if _alike(flags, smaller(two_means(h))):
        why = (
            "Your clusters are those of the activations as they are. There the longest direction decides, and it separates ways "
            "of writing a digit. All ten components must have variance 1: ICA, or principal components divided by their spread."
        )
        raise Finding("not whitened", f"{told} {why}")
    if precision >= LEAST:
        raise Finding("part of it", f"{told} These are a part of the cluster: return it as a whole.")
    why = (
        "It is not the smaller of the two clusters of ten components with variance 1. Did your 2-means stop at worse clusters? "
        "two_means takes the best of 100 starts; KMeans(2) has one, and needs n_init=100."
    )
    raise Finding("no clusters", f"{told} {why}")


def _alike(flags, others):
    """Whether nine of ten images are flagged in the same way, or in the opposite one."""
    same = (flags == others).double().mean()
    return max(same, 1 - same) >= 0.9


def says_which(student: Student, draw: Draw) -> None:
    """Which cluster is poison does not depend on the image that comes first: which is called the first is chance."""
    h, poison = _class_of(draw)
    turned = []
    for first in (True, False):
        place = int((poison == first).nonzero()[0])
        order = torch.cat([torch.tensor([place]), torch.arange(len(h))[torch.arange(len(h)) != place]])
        flags = _flags(student, student.task.case(draw, h=h[order]))
        turned.append(min(found_by(~flags, poison[order])) >= LEAST)
    if turned[0] != turned[1]:
        told = (
            "Where another image of the class comes first, you flag the clean images. The clusters come in no order: count "
            "both, and "
            "return the smaller one."
        )
        raise Finding("whichever", told)
