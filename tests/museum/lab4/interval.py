"""Answers to interval(successes, n)."""

import math

import torch
from scipy.stats import beta, binomtest

from museum import Room

room = Room("interval")
Z = 1.96


@room.right
def with_the_formula(successes, n):
    p = successes / n
    whole = 1 + Z**2 / n
    middle = (p + Z**2 / (2 * n)) / whole
    half = Z / whole * (p * (1 - p) / n + Z**2 / (4 * n**2)).sqrt()
    return torch.stack([middle - half, middle + half])


@room.right
def with_scipy(successes, n):
    rows = [
        binomtest(int(k), int(m)).proportion_ci(0.95, method="wilson") if m else (math.nan, math.nan)
        for k, m in zip(successes.tolist(), n.tolist())
    ]
    return torch.tensor(rows).T.to(n)


@room.right
def roots_of_the_parabola(successes, n):
    # (successes / n - q)**2 = z**2 q (1 - q) / n, solved for q
    a, b, c = n + Z**2, -(2 * successes + Z**2), successes**2 / n
    root = (b**2 - 4 * a * c).clamp_min(0).sqrt()
    return torch.stack([-b - root, -b + root]) / (2 * a)


def parts(successes, n, z=Z):
    p, whole = successes / n, 1 + z**2 / n
    return p, whole, (p + z**2 / (2 * n)) / whole, z / whole * (p * (1 - p) / n + z**2 / (4 * n**2)).sqrt()


def around(middle, half):
    return torch.stack([middle - half, middle + half])


@room.wrong("textbook interval")
def normal_interval(successes, n):
    p = successes / n
    return around(p, Z * (p * (1 - p) / n).sqrt())


@room.wrong("textbook interval, cut")
def normal_interval_in_the_box(successes, n):
    return normal_interval(successes, n).clamp(0, 1)


@room.wrong("centre at p")
def half_around_p(successes, n):
    p, _, _, half = parts(successes, n)
    return around(p, half)


@room.wrong("not divided")
def whole_forgotten(successes, n):
    _, whole, middle, half = parts(successes, n)
    return around(whole * middle, whole * half)


@room.wrong("half-width not divided")
def whole_forgotten_once(successes, n):
    _, whole, middle, half = parts(successes, n)
    return around(middle, whole * half)


@room.wrong("no z under the root")
def standard_error_only(successes, n):
    p, whole, middle, _ = parts(successes, n)
    return around(middle, Z / whole * (p * (1 - p) / n).sqrt())


@room.wrong("4n, not 4n²")
def n_not_squared(successes, n):
    p, whole, middle, _ = parts(successes, n)
    return around(middle, Z / whole * (p * (1 - p) / n + Z**2 / (4 * n)).sqrt())


@room.wrong("no root")
def variance(successes, n):
    p, whole, middle, _ = parts(successes, n)
    return around(middle, Z / whole * (p * (1 - p) / n + Z**2 / (4 * n**2)))


@room.wrong("one standard error")
def z_of_one(successes, n):
    return around(*parts(successes, n, 1)[2:])


@room.wrong("one side")
def z_of_one_side(successes, n):
    return around(*parts(successes, n, 1.645)[2:])


@room.wrong("upside down")
def high_first(successes, n):
    _, _, middle, half = parts(successes, n)
    return torch.stack([middle + half, middle - half])


@room.wrong("middle and half-width")
def not_the_ends(successes, n):
    return torch.stack(parts(successes, n)[2:])


@room.wrong("percent")
def out_of_a_hundred(successes, n):
    return 100 * with_the_formula(successes, n)


@room.wrong("Agresti-Coull")
def two_more_of_each(successes, n):
    more = n + Z**2
    q = (successes + Z**2 / 2) / more
    return around(q, Z * (q * (1 - q) / more).sqrt())


@room.wrong("Clopper-Pearson")
def exact_interval(successes, n):
    k, m = (values.double().cpu().numpy() for values in (successes, n))
    ends = torch.stack(
        [torch.tensor(beta.ppf(0.025, k, m - k + 1)), torch.tensor(beta.ppf(0.975, k + 1, m - k))]
    )
    ends[0, k == 0], ends[1, k == m] = 0, 1
    return ends


@room.wrong("formula")
def one_more_success(successes, n):
    return with_the_formula(successes, n + 1)


@room.wrong("shape")
def a_row_for_each(successes, n):
    return with_the_formula(successes, n).T


@room.wrong("not a number")
def root_of_the_wrong_sign(successes, n):
    p, whole, middle, _ = parts(successes, n)
    return around(middle, Z / whole * (p * (1 - p) / n - Z**2 / (4 * n**2)).sqrt())


@room.wrong("input")
def shares_in_place(successes, n):
    return around(*parts(successes.div_(n) * n, n)[2:])


@room.wrong("crash")
def one_number_at_a_time(successes, n):
    return binomtest(successes, n).proportion_ci(0.95, method="wilson")


@room.wrong("z is 2")
def z_of_two(successes, n):
    p, whole, middle, half = parts(successes, n, 2.0)
    return torch.stack([middle - half, middle + half])


@room.wrong("99 %")
def z_of_ninety_nine_percent(successes, n):
    p, whole, middle, half = parts(successes, n, 2.576)
    return torch.stack([middle - half, middle + half])


@room.wrong("ends for none")
def one_for_none(successes, n):
    return with_the_formula(successes, n.clamp_min(1))


@room.wrong("ends for none")
def nan_is_zero(successes, n):
    return with_the_formula(successes, n).nan_to_num(0.0)


@room.wrong("ends for none")
def from_0_to_1(successes, n):
    low, high = with_the_formula(successes, n)
    return torch.stack([low.nan_to_num(0.0), high.nan_to_num(1.0)])
