"""How often an attack succeeds: the rate and its interval as the judge computes them, and the slips known by their results."""

from collections.abc import Callable
from dataclasses import replace

import torch
from scipy.stats import beta
from torch import Tensor

from advcourse.labs.checks import Case, Draw, Student
from advcourse.labs.numbers import gives
from advcourse.labs.verdicts import Finding

Z = 1.96


# The interval


def counts(draw: Draw, x: Tensor | None, m: int = 24) -> dict[str, Tensor]:
    """Numbers of images from 5 to 400, and successes from none to all."""
    n = (5 * 80 ** draw.uniform((m,)).double()).round()
    successes = (n * draw.uniform((m,)).double()).round()
    successes[0], successes[1], successes[2] = 0, n[1], 1
    return {"successes": successes, "n": n}


def _given(case):
    n = case["n"].double()
    return case["successes"].double() / n, n


def wilson(
    case: Case,
    z: float = Z,
    shrinks: bool = True,
    widens: bool = True,
    drawn_in: bool = True,
    root: bool = True,
    added: Callable[[Tensor], Tensor] = lambda n: 4 * n**2,
) -> Tensor:
    """Low and high (2, M). The arguments after `case` serve the slips."""
    p, n = _given(case)
    whole = 1 + z**2 / n
    centre = (p + z**2 / (2 * n)) / whole if drawn_in else p
    under = p * (1 - p) / n + (z**2 / added(n) if widens else 0)
    half = z * (under.sqrt() if root else under)
    half = half / whole if shrinks else half
    return torch.stack([centre - half, centre + half])


def _wald(case, z=Z):
    return wilson(case, z, shrinks=False, widens=False, drawn_in=False)


def _undivided(case):
    return wilson(case) * (1 + Z**2 / _given(case)[1])


def _centre_and_half(case):
    low, high = wilson(case)
    return torch.stack([(low + high) / 2, (high - low) / 2])


def _agresti_coull(case):
    p, n = _given(case)
    more = n + Z**2
    q = (p * n + Z**2 / 2) / more
    half = Z * (q * (1 - q) / more).sqrt()
    return torch.stack([q - half, q + half])


def _clopper_pearson(case):
    k, n = (case[name].double().numpy() for name in ("successes", "n"))
    low, high = beta.ppf(0.025, k, n - k + 1), beta.ppf(0.975, k + 1, n - k)
    return torch.stack([torch.tensor(low).nan_to_num(0.0), torch.tensor(high).nan_to_num(1.0)])


def _changed_to(**how):
    return lambda case: wilson(case, **how)


_SHORT = "It has no length where all images succeed, or none: as if 5 images told all."

_INTERVAL_SLIPS = (
    ("textbook interval", f"This is p ± z sqrt(p (1 - p) / n). {_SHORT} Wilson's has more terms.", _wald),
    (
        "textbook interval, cut",
        f"This is p ± z sqrt(p (1 - p) / n), cut off at 0 and 1. {_SHORT} Wilson's never leaves [0, 1], and needs no cut.",
        lambda case: _wald(case).clamp(0, 1),
    ),
    (
        "centre at p",
        "The middle of the interval is p. Wilson's is drawn towards 1/2: (p + z²/2n) / (1 + z²/n).",
        _changed_to(drawn_in=False),
    ),
    (
        "not divided",
        "Both the middle and the half-width must be divided by 1 + z²/n; neither is.",
        _undivided,
    ),
    ("half-width not divided", "The half-width must be divided by 1 + z²/n too.", _changed_to(shrinks=False)),
    (
        "no z under the root",
        "The term z²/4n² is missing under the root. It is what is left of the half-width where p is 0 or 1.",
        _changed_to(widens=False),
    ),
    (
        "4n, not 4n²",
        "Under the root stands z² / (4 n). It is z² / (4 n²).",
        _changed_to(added=lambda n: 4 * n),
    ),
    (
        "no root",
        "The half-width is a variance. Take the square root before you multiply by z.",
        _changed_to(root=False),
    ),
    (
        "one standard error",
        "z is 1: that holds the true rate two times in three. 95 % need z = 1.96.",
        _changed_to(z=1.0),
    ),
    (
        "one side",
        "z is 1.645: 5 % are left on each side, so that this is a 90 % interval. 95 % need z = 1.96.",
        _changed_to(z=1.645),
    ),
    (
        "z is 2",
        "z is rounded to 2. 95 % need z = 1.96.",
        _changed_to(z=2.0),
    ),
    (
        "99 %",
        "z is 2.576, and this a 99 % interval. 95 % need z = 1.96.",
        _changed_to(z=2.576),
    ),
    (
        "upside down",
        "The upper ends stand in the first row. Return the lower ends first: torch.stack([low, high]).",
        lambda case: wilson(case).flip(0),
    ),
    (
        "middle and half-width",
        "These are the middle and the half-width. Return middle - half and middle + half.",
        _centre_and_half,
    ),
    ("percent", "These are percentages. Rates are shares, from 0 to 1.", lambda case: 100 * wilson(case)),
    (
        "Agresti-Coull",
        "This is Agresti and Coull's interval: the same middle, but a wider one, which can leave [0, 1]. Write Wilson's "
        "half-width.",
        _agresti_coull,
    ),
    (
        "Clopper-Pearson",
        "This is the interval of Clopper and Pearson. It is never too short, and mostly too long. Write Wilson's.",
        _clopper_pearson,
    ),
)


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
    gives(wilson, cases=lambda task, draw: [case], least=1e-6)(student, draw)


INTERVAL = (gives(wilson, _INTERVAL_SLIPS, least=1e-6), has_none_for_none)
