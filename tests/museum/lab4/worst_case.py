"""Answers to worst_case(clean, right, size, eps)."""

import torch

from museum import Room

room = Room("worst_case")


@room.right
def budget_by_budget(clean, right, size, eps):
    result = []
    for budget in eps:
        broken = ~right & (size <= budget + 1e-6)
        result.append((clean & ~broken.any(0)).double().mean())
    return torch.stack(result)


@room.right
def at_once(clean, right, size, eps):
    inside = size - eps[:, None, None] <= 1e-6
    return ((right | ~inside).all(1) & clean).float().mean(1)


@room.right
def by_the_smallest_size(clean, right, size, eps):
    # From the size of its nearest success on, an image is broken; one that was never right is broken from 0 on.
    nearest = torch.where(right, torch.inf, size).amin(0)
    nearest = torch.where(clean, nearest, -torch.inf)
    return (nearest > eps[:, None] + 1e-6).double().mean(1)


def held(clean, right, size, eps, slack=1e-6):
    """(E, A, N)."""
    return (right | (size > eps[:, None, None] + slack)) & clean


@room.wrong("mean over attacks")
def average(clean, right, size, eps):
    return held(clean, right, size, eps).float().mean(dim=(1, 2))


@room.wrong("strongest attack alone")
def least_accuracy(clean, right, size, eps):
    return held(clean, right, size, eps).float().mean(2).amin(1)


@room.wrong("weakest attack")
def any_instead_of_all(clean, right, size, eps):
    return held(clean, right, size, eps).any(1).float().mean(1)


@room.wrong("budget unused")
def size_ignored(clean, right, size, eps):
    return (clean & right.all(0)).float().mean().repeat(len(eps))


@room.wrong("over budget is wrong")
def outside_is_broken(clean, right, size, eps):
    inside = size <= eps[:, None, None] + 1e-6
    return (clean & (right & inside).all(1)).float().mean(1)


@room.wrong("pairs within the budget")
def mean_of_what_is_inside(clean, right, size, eps):
    return torch.stack([(right & clean)[size <= budget + 1e-6].float().mean() for budget in eps])


@room.wrong("mean size")
def attacks_that_fit_on_average(clean, right, size, eps):
    return torch.stack(
        [(clean & right[size.mean(1) <= budget + 1e-6].all(0)).float().mean() for budget in eps]
    )


@room.wrong("clean mistakes")
def clean_unused(clean, right, size, eps):
    return (right | (size > eps[:, None, None] + 1e-6)).all(1).float().mean(1)


@room.wrong("at the budget")
def strictly_inside(clean, right, size, eps):
    return (clean & (right | (size >= eps[:, None, None])).all(1)).float().mean(1)


@room.wrong("rounding")
def no_slack(clean, right, size, eps):
    return held(clean, right, size, eps, 0).all(1).float().mean(1)


@room.wrong("share broken")
def success_rate(clean, right, size, eps):
    return 1 - at_once(clean, right, size, eps)


@room.wrong("count")
def number_of_images(clean, right, size, eps):
    return held(clean, right, size, eps).all(1).sum(1).float()


@room.wrong("one budget")
def largest_budget(clean, right, size, eps):
    return held(clean, right, size, eps.max().view(1)).all(1).float().mean(1).repeat(len(eps))


@room.wrong("formula")
def two_attacks_needed(clean, right, size, eps):
    return ((~held(clean, right, size, eps)).sum(1) < 2).float().mean(1)


@room.wrong("shape")
def a_curve_for_each_attack(clean, right, size, eps):
    return held(clean, right, size, eps).float().mean(2)


@room.wrong("type")
def true_or_false(clean, right, size, eps):
    return held(clean, right, size, eps).flatten(1).all(1)


@room.wrong("input")
def failures_made_infinite(clean, right, size, eps):
    size[right] = torch.inf
    return (clean & (size > eps[:, None, None] + 1e-6).all(1)).float().mean(1)


@room.wrong("crash")
def no_room_for_budgets(clean, right, size, eps):
    return (clean & (right | (size > eps)).all(0)).float().mean()


@room.wrong("too much forgiven")
def a_thousandth_of_slack(clean, right, size, eps):
    broken = ~right & (size <= eps[:, None, None] + 1e-3)
    return (clean & ~broken.any(1)).double().mean(1)


@room.wrong("too much forgiven")
def a_hundred_thousandth_of_slack(clean, right, size, eps):
    return held(clean, right, size, eps, 1e-5).all(1).double().mean(1)


@room.wrong("too little forgiven")
def a_ten_millionth_of_slack(clean, right, size, eps):
    return held(clean, right, size, eps, 1e-7).all(1).double().mean(1)


@room.wrong("too little forgiven")
def a_millionth_of_eps(clean, right, size, eps):
    return held(clean, right, size, eps * (1 + 1e-6), 0).all(1).double().mean(1)


@room.wrong("too much forgiven")
def both_rounded_to_five_decimals(clean, right, size, eps):
    return held(clean, right, size.round(decimals=5), eps.round(decimals=5), 0).all(1).double().mean(1)


@room.wrong("too little forgiven")
def both_rounded_to_six_decimals(clean, right, size, eps):
    return held(clean, right, size.round(decimals=6), eps.round(decimals=6), 0).all(1).double().mean(1)


@room.wrong("forgiven in proportion")
def close_to_eps(clean, right, size, eps):
    eps = eps[:, None, None]
    broken = ~right & ((size <= eps) | torch.isclose(size, eps))
    return (clean & ~broken.any(1)).double().mean(1)


@room.wrong("other amount")
def four_attacks(clean, right, size, eps):
    result = []
    for budget in eps:
        kept = clean.clone()
        for a in range(4):
            kept &= right[a] | (size[a] > budget + 1e-6)
        result.append(kept.double().mean())
    return torch.stack(result)


@room.wrong("other amount")
def five_budgets(clean, right, size, eps):
    return torch.stack([at_once(clean, right, size, eps[i : i + 1])[0] for i in range(5)])


def nearest_success(right, size, failure):
    """The size of the smallest change that fools, (N,); `failure` where none does."""
    return torch.where(right, failure, size).amin(0)


@room.wrong("a large number")
def failures_at_999(clean, right, size, eps):
    return (clean & (nearest_success(right, size, 999.0) > eps[:, None] + 1e-6)).double().mean(1)


@room.wrong("a large number")
def failures_at_a_billion(clean, right, size, eps):
    return (clean & (nearest_success(right, size, 1e9) > eps[:, None] + 1e-6)).double().mean(1)


@room.wrong("a large number")
def failures_beyond_the_largest(clean, right, size, eps):
    failure = size.max() + 1
    return (clean & (nearest_success(right, size, failure) > eps[:, None] + 1e-6)).double().mean(1)
