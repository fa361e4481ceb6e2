"""Lab 4: Wilson's interval of a rate."""

import math
from dataclasses import replace

import torch
from scipy.stats import beta, binomtest
from torch import Tensor

from advcourse.labs.checks import Student
from advcourse.labs.comparing import follows, gives, numbers
from advcourse.labs.exercises import Draw, exercise
from advcourse.labs.lab4.questions import FIRST, LAST
from advcourse.labs.verdicts import Finding

Z = 1.96
SHORT = "It has no length where all images succeed, or none: as if 5 images told all."


def counts(draw: Draw, x: Tensor | None, m: int = 24) -> dict[str, Tensor]:
    """Numbers of images from 5 to 400, and successes from none to all."""
    n = (5 * 80 ** draw.uniform((m,)).double()).round()
    successes = (n * draw.uniform((m,)).double()).round()
    successes[0], successes[1], successes[2] = 0, n[1], 1
    return {"successes": successes, "n": n}


def parts(successes, n, z=Z):
    p, whole = successes / n, 1 + z**2 / n
    return p, whole, (p + z**2 / (2 * n)) / whole, z / whole * (p * (1 - p) / n + z**2 / (4 * n**2)).sqrt()


def around(middle, half):
    return torch.stack([middle - half, middle + half])


@exercise(
    "How sure is that?",
    3,
    counts,
    (
        "Begin with p = successes / n, a share for each row. Then three lines: 1 + z²/n, the middle, the half-width.",
        "whole = 1 + z**2 / n; middle = (p + z**2 / (2 * n)) / whole.",
        "half = z / whole * (p * (1 - p) / n + z**2 / (4 * n**2)).sqrt(); return torch.stack([middle - half, middle + half]).",
    ),
    shape=lambda case: (2, len(case["n"])),
)
def interval(successes, n):
    p = successes / n
    whole = 1 + Z**2 / n
    middle = (p + Z**2 / (2 * n)) / whole
    half = Z / whole * (p * (1 - p) / n + Z**2 / (4 * n**2)).sqrt()
    return torch.stack([middle - half, middle + half])


@interval.slip("textbook interval", f"This is p ± z sqrt(p (1 - p) / n). {SHORT} Wilson's has more terms.")
def normal_interval(successes, n):
    p = successes / n
    return around(p, Z * (p * (1 - p) / n).sqrt())


@interval.slip(
    "textbook interval, cut",
    f"This is p ± z sqrt(p (1 - p) / n), cut off at 0 and 1. {SHORT} Wilson's never leaves [0, 1], and needs no cut.",
)
def normal_interval_in_the_box(successes, n):
    return normal_interval(successes, n).clamp(0, 1)


@interval.slip(
    "centre at p",
    "The middle of the interval is p. Wilson's is drawn towards 1/2: (p + z²/2n) / (1 + z²/n).",
)
def half_around_p(successes, n):
    p, _, _, half = parts(successes, n)
    return around(p, half)


@interval.slip("not divided", "Both the middle and the half-width must be divided by 1 + z²/n; neither is.")
def whole_forgotten(successes, n):
    _, whole, middle, half = parts(successes, n)
    return around(whole * middle, whole * half)


@interval.slip("half-width not divided", "The half-width must be divided by 1 + z²/n too.")
def whole_forgotten_once(successes, n):
    _, whole, middle, half = parts(successes, n)
    return around(middle, whole * half)


@interval.slip(
    "no z under the root",
    "The term z²/4n² is missing under the root. It is what is left of the half-width where p is 0 or 1.",
)
def standard_error_only(successes, n):
    p, whole, middle, _ = parts(successes, n)
    return around(middle, Z / whole * (p * (1 - p) / n).sqrt())


@interval.slip("4n, not 4n²", "Under the root stands z² / (4 n). It is z² / (4 n²).")
def n_not_squared(successes, n):
    p, whole, middle, _ = parts(successes, n)
    return around(middle, Z / whole * (p * (1 - p) / n + Z**2 / (4 * n)).sqrt())


@interval.slip("no root", "The half-width is a variance. Take the square root before you multiply by z.")
def variance(successes, n):
    p, whole, middle, _ = parts(successes, n)
    return around(middle, Z / whole * (p * (1 - p) / n + Z**2 / (4 * n**2)))


@interval.slip(
    "one standard error", "z is 1: that holds the true rate two times in three. 95 % need z = 1.96."
)
def z_of_one(successes, n):
    return around(*parts(successes, n, 1)[2:])


@interval.slip(
    "one side",
    "z is 1.645: 5 % are left on each side, so that this is a 90 % interval. 95 % need z = 1.96.",
)
def z_of_one_side(successes, n):
    return around(*parts(successes, n, 1.645)[2:])


@interval.slip("z is 2", "z is rounded to 2. 95 % need z = 1.96.")
def z_of_two(successes, n):
    return around(*parts(successes, n, 2)[2:])


@interval.slip("99 %", "z is 2.576, and this a 99 % interval. 95 % need z = 1.96.")
def z_of_ninety_nine_percent(successes, n):
    return around(*parts(successes, n, 2.576)[2:])


@interval.slip(
    "upside down",
    "The upper ends stand in the first row. Return the lower ends first: torch.stack([low, high]).",
)
def high_first(successes, n):
    return interval(successes, n).flip(0)


@interval.slip(
    "middle and half-width",
    "These are the middle and the half-width. Return middle - half and middle + half.",
)
def not_the_ends(successes, n):
    return torch.stack(parts(successes, n)[2:])


@interval.slip("percent", "These are percentages. Rates are shares, from 0 to 1.")
def out_of_a_hundred(successes, n):
    return 100 * interval(successes, n)


@interval.slip(
    "Agresti-Coull",
    "This is Agresti and Coull's interval: the same middle, but a wider one, which can leave [0, 1]. Write Wilson's half-width.",
)
def two_more_of_each(successes, n):
    more = n + Z**2
    q = (successes + Z**2 / 2) / more
    return around(q, Z * (q * (1 - q) / more).sqrt())


@interval.slip(
    "Clopper-Pearson",
    "This is the interval of Clopper and Pearson. It is never too short, and mostly too long. Write Wilson's.",
)
def exact_interval(successes, n):
    k, m = (values.double().cpu().numpy() for values in (successes, n))
    low, high = torch.tensor(beta.ppf(0.025, k, m - k + 1)), torch.tensor(beta.ppf(0.975, k + 1, m - k))
    return torch.stack([low.nan_to_num(0), high.nan_to_num(1)])


@interval.right
def with_scipy(successes, n):
    rows = [
        binomtest(int(k), int(m)).proportion_ci(0.95, method="wilson") if m else (math.nan, math.nan)
        for k, m in zip(successes.tolist(), n.tolist())
    ]
    return torch.tensor(rows).T.to(n)


@interval.right
def roots_of_the_parabola(successes, n):
    # (successes / n - q)**2 = z**2 q (1 - q) / n, solved for q
    a, b, c = n + Z**2, -(2 * successes + Z**2), successes**2 / n
    root = (b**2 - 4 * a * c).clamp_min(0).sqrt()
    return torch.stack([-b - root, -b + root]) / (2 * a)


@interval.wrong("formula")
def one_more_success(successes, n):
    return interval(successes, n + 1)


@interval.wrong("shape")
def a_row_for_each(successes, n):
    return interval(successes, n).T


@interval.wrong("not a number")
def root_of_the_wrong_sign(successes, n):
    p, whole, middle, _ = parts(successes, n)
    return around(middle, Z / whole * (p * (1 - p) / n - Z**2 / (4 * n**2)).sqrt())


@interval.wrong("input")
def shares_in_place(successes, n):
    return around(*parts(successes.div_(n) * n, n)[2:])


@interval.wrong("crash")
def one_number_at_a_time(successes, n):
    return binomtest(successes, n).proportion_ci(0.95, method="wilson")


@interval.wrong("ends for none")
def one_for_none(successes, n):
    return interval(successes, n.clamp_min(1))


@interval.wrong("ends for none")
def nan_is_zero(successes, n):
    return interval(successes, n).nan_to_num(0.0)


@interval.wrong("ends for none")
def from_0_to_1(successes, n):
    low, high = interval(successes, n)
    return torch.stack([low.nan_to_num(0.0), high.nan_to_num(1.0)])


WITHIN_A_MILLIONTH = numbers(1e-6)


def has_none_for_none(student: Student, draw: Draw) -> None:
    """Where n is 0 both ends are NaN, which no other interval may hold; the others are as ever."""
    case = student.task.case(draw)
    none = torch.arange(len(case["n"])) % 5 == 2
    case = case.but(**{name: case[name].masked_fill(none, 0) for name in ("successes", "n")})
    student = Student(student.runner, replace(student.task, numbers="nan"))
    measured = student(case)[:, none]
    if not measured.isnan().all():
        told = (
            f"Nothing was attacked, n is 0, and yet the interval is {measured[0, 0]:.2f} to {measured[1, 0]:.2f}. Both ends are "
            "NaN, as 0 / 0 is: put no other n in its place, and leave NaN as it is."
        )
        raise Finding("ends for none", told)
    follows(interval, by=WITHIN_A_MILLIONTH, make=lambda task, draw: case)(student, draw)


interval.checks(*FIRST, gives(interval, WITHIN_A_MILLIONTH), has_none_for_none, *LAST)
