"""Lab 4: the accuracy that is left where each image meets its worst attack within a budget.

All that says whether the model is right is bool: True where it gives the true label.
"""

import torch
from torch import Tensor

from advcourse.labs.comparing import NUMBERS, gives
from advcourse.labs.exercises import Case, Draw, Task, exercise
from advcourse.labs.lab4.questions import FIRST, LAST
from advcourse.labs.properties import other_amount

ROUNDING = 1e-6  # a size this little above the budget is float32, no cheating
ASIDE = 1.5e-7  # sizes lie so far on either side of that: five float32 roundings, and no other tolerance fits between
VAST = 1e36  # a budget that is larger than whatever number stands for a failure


def attacks_and_budgets(
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


def held(clean, right, size, eps, slack=1e-6):
    """(E, A, N)."""
    return (right | (size > eps[:, None, None] + slack)) & clean


def share(kept):
    return kept.double().mean(1)


def nearest_success(right, size, failure):
    """The size of the smallest change that fools, (N,); `failure` where none does."""
    return torch.where(right, failure, size).amin(0)


@exercise(
    "The worst of all attacks",
    4,
    attacks_and_budgets,
    (
        "For one eps: an attack breaks an image where the model is not right and the size is within the budget. An image is "
        "right if it was right, and no attack breaks it. Then the mean.",
        "broken = ~right & (size <= eps + 1e-6) is (A, N) for one eps; broken.any(0) says which images any attack breaks.",
        "For all budgets write a loop, and torch.stack; or at once, with eps[:, None, None]: broken is (E, A, N) then. Return "
        "(clean & ~broken.any(1)).double().mean(1).",
    ),
    shape=lambda case: tuple(case["eps"].shape),
)
def worst_case(clean, right, size, eps):
    result = []
    for budget in eps:
        broken = ~right & (size <= budget + 1e-6)
        result.append((clean & ~broken.any(0)).double().mean())
    return torch.stack(result)


@worst_case.slip(
    "mean over attacks",
    "This is the accuracy averaged over the attacks. Nobody attacks with an average: a model that is right in 100 % under one "
    "attack and in 0 % under another is right in 0 %.",
)
def average(clean, right, size, eps):
    return held(clean, right, size, eps).double().mean(dim=(1, 2))


@worst_case.slip(
    "strongest attack alone",
    "This is the accuracy under the one attack that is the strongest on average. On other images another one is. First each "
    "image's worst attack, then the mean.",
)
def least_accuracy(clean, right, size, eps):
    return held(clean, right, size, eps).double().mean(2).amin(1)


@worst_case.slip(
    "weakest attack",
    "An image counts as right here if any attack leaves it so. The attacker chooses: it is right only if all do.",
)
def any_instead_of_all(clean, right, size, eps):
    return share(held(clean, right, size, eps).any(1))


@worst_case.slip(
    "budget unused",
    "size is not looked at. An image that was changed by more than eps says nothing about this budget: there the attack failed.",
)
def size_ignored(clean, right, size, eps):
    return (clean & right.all(0)).double().mean().repeat(len(eps))


@worst_case.slip(
    "over budget is wrong",
    "An image that was changed by more than eps counts as wrong here. Such an attack has failed at this budget, and the image "
    "stays as right as it was.",
)
def outside_is_broken(clean, right, size, eps):
    inside = size <= eps[:, None, None] + 1e-6
    return share(clean & (right & inside).all(1))


@worst_case.slip(
    "pairs within the budget",
    "You average over attacks and images within the budget. Each image counts once, by its worst attack.",
)
def mean_of_what_is_inside(clean, right, size, eps):
    return torch.stack([(right & clean)[size <= budget + 1e-6].double().mean() for budget in eps])


@worst_case.slip(
    "mean size",
    "The mean size of an attack decides whether it counts. The budget is for each image: an average says nothing of it.",
)
def attacks_that_fit_on_average(clean, right, size, eps):
    fits = [size.mean(1) <= budget + 1e-6 for budget in eps]
    return torch.stack([(clean & right[attacks].all(0)).double().mean() for attacks in fits])


@worst_case.slip(
    "clean mistakes",
    "Images that the model gets wrong without any attack count as right where no attack within the budget is wrong. No change "
    "is in every budget too.",
)
def clean_unused(clean, right, size, eps):
    return worst_case(torch.ones_like(clean), right, size, eps)


@worst_case.slip(
    "at the budget",
    "Changes of exactly eps do not count. They are within the budget: most attacks use it to the full.",
)
def strictly_inside(clean, right, size, eps):
    return share(clean & (right | (size >= eps[:, None, None])).all(1))


@worst_case.slip(
    "rounding",
    "Changes of eps and one float32 rounding do not count. Forgive 1e-6: without it, an attack that uses its budget to the full "
    "fails by chance.",
)
def no_slack(clean, right, size, eps):
    return share(held(clean, right, size, eps, 0).all(1))


@worst_case.slip(
    "too little forgiven",
    "Changes count that are a few 1e-8 above eps, and others do not that are nearly 1e-6 above it. Add 1e-6 itself; eps times "
    "1 + 1e-6 forgives less, and so does rounding to 6 decimals.",
)
def a_ten_millionth_of_slack(clean, right, size, eps):
    return share(held(clean, right, size, eps, 1e-7).all(1))


@worst_case.slip(
    "too much forgiven",
    "Changes that are more than 1e-6 above eps count too. Forgive 1e-6, for float32 rounds, and no more; to round both sides "
    "forgives more.",
)
def a_hundred_thousandth_of_slack(clean, right, size, eps):
    return share(held(clean, right, size, eps, 1e-5).all(1))


@worst_case.slip(
    "forgiven in proportion",
    "A large eps is forgiven more than a small one, as torch.isclose does by default, by 1e-5 of it. Forgive 1e-6 at each.",
)
def close_to_eps(clean, right, size, eps):
    eps = eps[:, None, None]
    broken = ~right & ((size <= eps) | torch.isclose(size, eps))
    return share(clean & ~broken.any(1))


@worst_case.slip(
    "a large number",
    "At a budget that is larger still than all sizes, no image is right any more: a large number stands for attacks that have "
    "not fooled, and eps may be larger. Use torch.inf.",
)
def failures_at_999(clean, right, size, eps):
    return share(clean & (nearest_success(right, size, 999.0) > eps[:, None] + 1e-6))


@worst_case.slip("share broken", "This is the share of images that are broken. Accuracy is the rest.")
def success_rate(clean, right, size, eps):
    return 1 - worst_case(clean, right, size, eps)


@worst_case.slip("count", "This is a number of images. Accuracy is the share of all N.")
def number_of_images(clean, right, size, eps):
    return held(clean, right, size, eps).all(1).sum(1).double()


@worst_case.slip(
    "one budget", "Every budget gets the accuracy at the largest one. Compare size with each eps."
)
def largest_budget(clean, right, size, eps):
    return worst_case(clean, right, size, eps.max().view(1)).repeat(len(eps))


@worst_case.right
def at_once(clean, right, size, eps):
    inside = size - eps[:, None, None] <= 1e-6
    return ((right | ~inside).all(1) & clean).float().mean(1)


@worst_case.right
def by_the_smallest_size(clean, right, size, eps):
    # From the size of its nearest success on, an image is broken; one that was never right is broken from 0 on.
    nearest = torch.where(clean, nearest_success(right, size, torch.inf), -torch.inf)
    return share(nearest > eps[:, None] + 1e-6)


@worst_case.wrong("formula")
def two_attacks_needed(clean, right, size, eps):
    return share((~held(clean, right, size, eps)).sum(1) < 2)


@worst_case.wrong("shape")
def a_curve_for_each_attack(clean, right, size, eps):
    return held(clean, right, size, eps).float().mean(2)


@worst_case.wrong("type")
def true_or_false(clean, right, size, eps):
    return held(clean, right, size, eps).flatten(1).all(1)


@worst_case.wrong("input")
def failures_made_infinite(clean, right, size, eps):
    size[right] = torch.inf
    return share(clean & (size > eps[:, None, None] + 1e-6).all(1))


@worst_case.wrong("crash")
def no_room_for_budgets(clean, right, size, eps):
    return (clean & (right | (size > eps)).all(0)).float().mean()


@worst_case.wrong("too much forgiven")
def a_thousandth_of_slack(clean, right, size, eps):
    return share(held(clean, right, size, eps, 1e-3).all(1))


@worst_case.wrong("too little forgiven")
def a_millionth_of_eps(clean, right, size, eps):
    return share(held(clean, right, size, eps * (1 + 1e-6), 0).all(1))


@worst_case.wrong("too much forgiven")
def both_rounded_to_five_decimals(clean, right, size, eps):
    return no_slack(clean, right, size.round(decimals=5), eps.round(decimals=5))


@worst_case.wrong("too little forgiven")
def both_rounded_to_six_decimals(clean, right, size, eps):
    return no_slack(clean, right, size.round(decimals=6), eps.round(decimals=6))


@worst_case.wrong("a large number")
def failures_at_a_billion(clean, right, size, eps):
    return share(clean & (nearest_success(right, size, 1e9) > eps[:, None] + 1e-6))


@worst_case.wrong("a large number")
def failures_beyond_the_largest(clean, right, size, eps):
    return share(clean & (nearest_success(right, size, size.max() + 1) > eps[:, None] + 1e-6))


@worst_case.wrong("other amount")
def four_attacks(clean, right, size, eps):
    result = []
    for budget in eps:
        kept = clean.clone()
        for a in range(4):
            kept &= right[a] | (size[a] > budget + 1e-6)
        result.append(kept.double().mean())
    return torch.stack(result)


@worst_case.wrong("other amount")
def five_budgets(clean, right, size, eps):
    return torch.stack([at_once(clean, right, size, eps[i : i + 1])[0] for i in range(5)])


def three_and_four_budgets(task: Task, draw: Draw) -> Case:
    return task.case(draw, **attacks_and_budgets(draw, None, attacks=3, budgets=4))


def ordinary_and_vast(task: Task, draw: Draw) -> tuple[Case, Case]:
    """Budgets as they are; and others, the last of which every change is within."""
    ordinary, case = (task.case(draw) for _ in range(2))
    return ordinary, case.but(eps=torch.cat([case["eps"][:-1], case["eps"].new_tensor([VAST])]))


worst_case.checks(
    *FIRST,
    other_amount(
        "It works for four attacks and five budgets, and fails for three and four.", three_and_four_budgets
    ),
    gives(worst_case, NUMBERS, make=ordinary_and_vast),
    *LAST,
)
