"""What lasts: the destruction rate under transformations, and accuracy under several attacks, as the judge computes them.

The slips are known by their results. All that says whether the model is right is bool: True where it gives the true label.
"""

from typing import Any

import torch
from torch import Tensor

from advcourse.labs.checks import Case, Draw, Task
from advcourse.labs.numbers import gives
from advcourse.labs.properties import other_amount

ROUNDING = 1e-6  # a size this little above the budget is float32, no cheating
ASIDE = 1.5e-7  # sizes lie so far on either side of that: five float32 roundings, and no other tolerance fits between


# The destruction rate


def transformed(draw: Draw, x: Tensor | None, n: int = 80, number: int = 3) -> dict[str, Tensor]:
    """Answers before and after so many transformations, of which the first is gentle and the third is harsh."""
    harm = torch.tensor([0.05, 0.2, 0.45, 0.1])[:number, None]
    clean = draw.uniform((n,)) < 0.85
    attacked = draw.uniform((n,)) < torch.where(clean, 0.3, 0.05)
    clean_after = torch.where(clean, draw.uniform((number, n)) > harm, draw.uniform((number, n)) < 0.3)
    back = torch.where(attacked, 0.9, torch.where(clean, 0.2 + harm, 0.1))
    return {
        "clean": clean,
        "attacked": attacked,
        "clean_after": clean_after,
        "attacked_after": draw.uniform((number, n)) < back,
    }


def three_and_four(task: Task, draw: Draw) -> tuple[Case, Case]:
    return task.case(draw), task.case(draw, **transformed(draw, None, number=4))


def two_transformations(task: Task, draw: Draw) -> Case:
    return task.case(draw, **transformed(draw, None, number=2))


def nothing_fooled(task: Task, draw: Draw) -> tuple[Case]:
    case = task.case(draw)
    return (case.but(attacked=case["attacked"] | case["clean"]),)


def _share(of, among):
    """The share of True values in each row of `of` (T, N), among the columns `among` (N,)."""
    return of[:, among].double().mean(1)


def _rows(case):
    return case["clean"], case["attacked"], case["clean_after"], case["attacked_after"]


def _destroyed(case):
    clean, attacked, _, after = _rows(case)
    return _share(after, clean & ~attacked)


def _accuracy(case):
    return case["clean_after"].double().mean(1)


def destruction(case: Case) -> Tensor:
    """(2, T): the destruction rates, and the clean accuracies."""
    return torch.stack([_destroyed(case), _accuracy(case)])


def _first(rule):
    """A slip in the first row: rule(clean, attacked, clean_after, attacked_after)."""
    return lambda case: torch.stack([rule(*_rows(case)), _accuracy(case)])


def _second(rule):
    """A slip in the second row."""
    return lambda case: torch.stack([_destroyed(case), rule(*_rows(case))])


_DESTRUCTION_SLIPS = (
    (
        "survival",
        "The first row is the share that survives. Destroyed are those that the transformation makes right again: 1 minus yours.",
        _first(lambda clean, attacked, before, after: _share(~after, clean & ~attacked)),
    ),
    (
        "old mistakes",
        "Images count that the model got wrong without an attack. There was nothing to destroy. The sums hold C(x) as well.",
        _first(lambda clean, attacked, before, after: _share(after, ~attacked)),
    ),
    (
        "attacks that failed",
        "Attacks that never fooled the model count as destroyed. Both sums hold 1 - C(x'): take only what was fooled before.",
        _first(lambda clean, attacked, before, after: _share(after, clean)),
    ),
    (
        "failures above the line",
        "Above the fraction line attacks count that never fooled the model. Both sums hold 1 - C(x').",
        _first(
            lambda clean, attacked, before, after: (clean & after).sum(1).double() / (clean & ~attacked).sum()
        ),
    ),
    (
        "all images",
        "The first row is the accuracy on all attacked images after the transformation. Take only those that were right, and "
        "fooled.",
        _first(lambda clean, attacked, before, after: after.double().mean(1)),
    ),
    (
        "divided by all",
        "The destroyed ones are divided by all N images. Divide them by those that were right, and fooled.",
        _first(lambda clean, attacked, before, after: (clean & ~attacked & after).double().mean(1)),
    ),
    (
        "right after the transformation",
        "Images count by what the model says of them, clean, after the transformation. C(x) is about the image as it is.",
        _first(
            lambda clean, attacked, before, after: (
                (before & ~attacked & after).sum(1).double() / (before & ~attacked).sum(1)
            )
        ),
    ),
    (
        "transformations mixed",
        "All transformations get the same destruction rate. Each has its own: sum along the images, dim=1.",
        _first(
            lambda clean, attacked, before, after: _share(after, clean & ~attacked).mean().expand(len(after))
        ),
    ),
    (
        "rows swapped",
        "The accuracies stand in the first row and the destruction rates in the second. It is the other way round.",
        lambda case: destruction(case).flip(0),
    ),
    (
        "accuracy before",
        "The second row is the accuracy without the transformation. What does the transformation do to clean images?",
        _second(lambda clean, attacked, before, after: clean.double().mean().expand(len(after))),
    ),
    (
        "accuracy of those that were right",
        "The second row leaves out the clean images that were wrong before. It is the accuracy on all N, as anyone who puts the "
        "transformation before his model would get it.",
        _second(lambda clean, attacked, before, after: _share(before, clean)),
    ),
    (
        "accuracy of the fooled",
        "The second row is about the images alone that the attack fooled. It is the accuracy on all N clean images.",
        _second(lambda clean, attacked, before, after: _share(before, clean & ~attacked)),
    ),
    (
        "loss of accuracy",
        "The second row is the accuracy that is lost. It is the accuracy that is left: clean_after, averaged.",
        _second(lambda clean, attacked, before, after: clean.double().mean() - before.double().mean(1)),
    ),
)

_NONE_SLIPS = (
    (
        "0 for none",
        "Nothing was fooled, so nothing can be destroyed, and yet the rate is 0: as if the attack had survived. It is NaN, 0 / "
        "0.",
        _first(lambda clean, attacked, before, after: torch.zeros(len(after), dtype=torch.float64)),
    ),
    (
        "1 for none",
        "Nothing was fooled, so nothing can be destroyed, and yet the rate is 1. It is NaN, 0 / 0.",
        _first(lambda clean, attacked, before, after: torch.ones(len(after), dtype=torch.float64)),
    ),
)

DESTRUCTION = (
    other_amount("It works for three transformations and fails for two.", two_transformations),
    gives(destruction, _DESTRUCTION_SLIPS, cases=three_and_four),
    gives(destruction, _NONE_SLIPS, cases=nothing_fooled),
)


# The worst case


def attacked(
    draw: Draw, x: Tensor | None, n: int = 200, attacks: int = 4, budgets: int = 5
) -> dict[str, Tensor]:
    """So many attacks and budgets; half of the changes end at a budget, or beyond it by one float32 number or about 1e-6."""
    eps = draw.number(0.8, 1.2) * torch.tensor([0.05, 0.1, 0.15, 0.2, 0.3])[:budgets]
    size = 0.4 * draw.uniform((attacks, n))
    size = torch.where((size[..., None] - eps).abs().amin(-1) < 1e-3, size + 2e-3, size)
    at = eps[(budgets * draw.uniform((attacks, n))).long()]
    beyond = torch.nextafter(at, torch.tensor(torch.inf))
    dice = draw.uniform((attacks, n))
    ends = (at, beyond, at + (ROUNDING - ASIDE), at + (ROUNDING + ASIDE))
    for i, end in enumerate(ends):
        size = torch.where((dice * 8).long() == i, end, size)
    right = draw.uniform((attacks, n)) < torch.tensor([0.9, 0.6, 0.8, 0.7])[:attacks, None]
    return {"clean": draw.uniform((n,)) < 0.9, "right": right, "size": size, "eps": eps}


def three_and_four_budgets(task: Task, draw: Draw) -> Case:
    return task.case(draw, **attacked(draw, None, attacks=3, budgets=4))


VAST = 1e36  # a budget that is larger than whatever number stands for a failure


def ordinary_and_vast(task: Task, draw: Draw) -> tuple[Case, Case]:
    """Budgets as they are; and others, the last of which every change is within."""
    ordinary, case = (task.case(draw) for _ in range(2))
    return ordinary, case.but(eps=torch.cat([case["eps"][:-1], case["eps"].new_tensor([VAST])]))


def _inside(case, slack=ROUNDING):
    """(E, A, N): which changes count at each budget."""
    return case["size"].double() <= case["eps"].double()[:, None, None] + slack


def _left_right(case, **how):
    """(E, A, N): where an attack within the budget leaves the model right."""
    return (case["right"] | ~_inside(case, **how)) & case["clean"]


def worst_case(case: Case, **how: Any) -> Tensor:
    """Accuracy (E,) where each image meets its worst attack within the budget."""
    return _left_right(case, **how).all(1).double().mean(1)


def _pairs_inside(case):
    inside = _inside(case)
    return (inside & case["right"] & case["clean"]).sum((1, 2)).double() / inside.sum((1, 2))


def _by_mean_size(case):
    """Each attack counts as a whole, where its mean size is in the budget."""
    inside = (case["size"].double().mean(1) <= case["eps"].double()[:, None] + ROUNDING)[..., None]
    return ((case["right"] | ~inside) & case["clean"]).all(1).double().mean(1)


_WORST_SLIPS = (
    (
        "mean over attacks",
        "This is the accuracy averaged over the attacks. Nobody attacks with an average: a model that is right in 100 % under "
        "one attack and in 0 % under another is right in 0 %.",
        lambda case: _left_right(case).double().mean((1, 2)),
    ),
    (
        "strongest attack alone",
        "This is the accuracy under the one attack that is the strongest on average. On other images another one is. First each "
        "image's worst attack, then the mean.",
        lambda case: _left_right(case).double().mean(2).amin(1),
    ),
    (
        "weakest attack",
        "An image counts as right here if any attack leaves it so. The attacker chooses: it is right only if all do.",
        lambda case: _left_right(case).any(1).double().mean(1),
    ),
    (
        "budget unused",
        "size is not looked at. An image that was changed by more than eps says nothing about this budget: there the attack "
        "failed.",
        lambda case: (case["right"].all(0) & case["clean"]).double().mean().expand(len(case["eps"])),
    ),
    (
        "over budget is wrong",
        "An image that was changed by more than eps counts as wrong here. Such an attack has failed at this budget, and the "
        "image stays as right as it was.",
        lambda case: (case["right"] & _inside(case) & case["clean"]).all(1).double().mean(1),
    ),
    (
        "pairs within the budget",
        "You average over attacks and images within the budget. Each image counts once, by its worst attack.",
        _pairs_inside,
    ),
    (
        "mean size",
        "The mean size of an attack decides whether it counts. The budget is for each image: an average says nothing of it.",
        _by_mean_size,
    ),
    (
        "clean mistakes",
        "Images that the model gets wrong without any attack count as right where no attack within the budget is wrong. "
        "No change is in every budget too.",
        lambda case: (case["right"] | ~_inside(case)).all(1).double().mean(1),
    ),
    (
        "at the budget",
        "Changes of exactly eps do not count. They are within the budget: most attacks use it to the full.",
        lambda case: worst_case(case, slack=-1e-12),
    ),
    (
        "rounding",
        "Changes of eps and one float32 rounding do not count. Forgive 1e-6: without it, an attack that uses its budget to the "
        "full fails by chance.",
        lambda case: worst_case(case, slack=0.0),
    ),
    (
        "too little forgiven",
        "Changes count that are a few 1e-8 above eps, and others do not that are nearly 1e-6 above it. Add 1e-6 itself; eps "
        "times 1 + 1e-6 forgives less, and so does rounding to 6 decimals.",
        lambda case: worst_case(case, slack=ROUNDING / 2),
    ),
    (
        "too much forgiven",
        "Changes that are more than 1e-6 above eps count too. Forgive 1e-6, for float32 rounds, and no more; to round both "
        "sides forgives more.",
        lambda case: worst_case(case, slack=2 * ROUNDING),
    ),
    (
        "forgiven in proportion",
        "A large eps is forgiven more than a small one, as torch.isclose does by default, by 1e-5 of it. Forgive 1e-6 at each.",
        lambda case: worst_case(case, slack=1e-8 + 1e-5 * case["eps"].double()[:, None, None]),
    ),
    (
        "a large number",
        "At a budget that is larger still than all sizes, no image is right any more: a large number stands for attacks that "
        "have not fooled, and eps may be larger. Use torch.inf.",
        lambda case: torch.where(case["eps"] == VAST, 0.0, worst_case(case)),
    ),
    (
        "share broken",
        "This is the share of images that are broken. Accuracy is the rest.",
        lambda case: 1 - worst_case(case),
    ),
    (
        "count",
        "This is a number of images. Accuracy is the share of all N.",
        lambda case: worst_case(case) * len(case["clean"]),
    ),
    (
        "one budget",
        "Every budget gets the accuracy at the largest one. Compare size with each eps.",
        lambda case: worst_case(case)[-1:].expand(len(case["eps"])),
    ),
)

WORST_CASE = (
    other_amount(
        "It works for four attacks and five budgets, and fails for three and four.", three_and_four_budgets
    ),
    gives(worst_case, _WORST_SLIPS, cases=ordinary_and_vast),
)
