"""How large the changes are: medians and common means as the judge computes them, and the slips known by their results.

A table has a row for each attack and a column for each image: `size` (A, N), and `success` (A, N), bool.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from advcourse.labs.checks import Case, Draw, Student, Task
from advcourse.labs.numbers import gives
from advcourse.labs.properties import other_amount
from advcourse.labs.verdicts import Finding

# The median


def table(draw: Draw, x: Tensor | None, n: int = 9, attacks: int = 6) -> dict[str, Tensor]:
    """So many attacks, from one that always succeeds to one that seldom does; failures have sizes, as budgeted attacks' do."""
    wanted = torch.tensor([n, n - 1, n // 2 + 1, n // 2, n // 2 - 1, 0])[:attacks]
    place = draw.uniform((len(wanted), n)).argsort(1)
    return {"size": 0.5 + 2.5 * draw.uniform(place.shape), "success": place < wanted[:, None]}


def fewer_of(settings: Callable[..., dict[str, Tensor]]) -> Callable[[Task, Draw], Case]:
    """Questions about three attacks."""
    return lambda task, draw: task.case(draw, **settings(draw, None, attacks=3))


def odd_and_even(task: Task, draw: Draw) -> list[Case]:
    return [task.case(draw, **table(draw, None, n)) for n in (9, 10, 11)]


def _middle(values, which="mean"):
    """The median of each row: of an even number the "mean" of the two in the middle, or the "lower" or "upper" of them."""
    n = values.shape[1]
    ordered = values.sort(1).values
    lower, upper = ordered[:, (n - 1) // 2], ordered[:, n // 2]
    return {"lower": lower, "upper": upper, "mean": torch.where(lower == upper, lower, (lower + upper) / 2)}[
        which
    ]


def _with_failures(case, at=torch.inf):
    return torch.where(case["success"], case["size"].double(), at)


def median_size(case: Case, which: str = "mean") -> Tensor:
    return _middle(_with_failures(case), which)


def _row_by_row(case, statistic):
    """The statistic of each attack's successes; NaN where there is none."""
    rows = zip(case["size"].double(), case["success"], strict=True)
    return torch.stack([statistic(size[success]) for size, success in rows])


def _median_of_successes(which):
    def statistic(values):
        return _middle(values[None], which)[0] if len(values) else values.new_tensor(torch.nan)

    return lambda case: _row_by_row(case, statistic)


def mean_of_successes(case: Case) -> Tensor:
    return _row_by_row(case, torch.mean)


def _medians(key, message, values):
    """A slip in the values, whichever of the two in the middle is taken."""
    return tuple(
        (key, message, lambda case, w=w: _middle(values(case), w)) for w in ("mean", "lower", "upper")
    )


_MEDIAN_SLIPS = (
    *(
        (
            "failures left out",
            "The failures are left out. So an attack that succeeds on the easiest image alone looks the best of all. Count all "
            "images, the failures with an infinite size.",
            _median_of_successes(which),
        )
        for which in ("mean", "lower", "upper")
    ),
    *_medians(
        "failures at 0",
        "Failures count as size 0: the more often an attack fails, the better it looks. Their size is infinite.",
        lambda case: _with_failures(case, 0.0),
    ),
    *_medians(
        "failures as they are",
        "success is not looked at: failures count with the size of the change that did not fool. It would take more than that: "
        "infinitely much, for all that we know.",
        lambda case: case["size"].double(),
    ),
    *_medians(
        "turned round",
        "The successes have become infinite, and the failures kept their size. It is the other way round.",
        lambda case: torch.where(case["success"], torch.inf, case["size"].double()),
    ),
    (
        "mean of successes",
        "This is the mean of the successes. It is what flatters weak attacks. Take the median of all images.",
        mean_of_successes,
    ),
    (
        "mean",
        "This is a mean. A single failure makes it infinite. The median asks only for the middle.",
        lambda case: _with_failures(case).mean(1),
    ),
    (
        "lower middle",
        "Of an even number of images you take the smaller size in the middle, as torch.median does. So half of the images are "
        "enough for a finite median. Take the mean of the two.",
        lambda case: median_size(case, "lower"),
    ),
    (
        "upper middle",
        "Of an even number of images you take the larger size in the middle. Take the mean of the two.",
        lambda case: median_size(case, "upper"),
    ),
    (
        "infinity minus infinity",
        "There is NaN where the median is infinite. torch.quantile goes from one number to the next by their difference, and "
        "infinity minus infinity is NaN. Sort each row, and take the middle.",
        lambda case: _with_failures(case).quantile(0.5, dim=1),
    ),
    (
        "attacks mixed",
        "All attacks get the same median. Each has its own: work along the images, dim=1.",
        lambda case: _middle(_with_failures(case).view(1, -1)).expand(len(case["size"])),
    ),
)


def fails_at_infinity(student: Student, draw: Draw) -> None:
    """Where the median is infinite, so is what comes back; a large number is none."""
    for case in odd_and_even(student.task, draw):
        found, expected = student(case), median_size(case)
        large = expected.isinf() & found.isfinite() & (found > 10 * case["size"].max())
        if large.any():
            told = (
                f"Where most images fail the median is infinite; yours is {found[large][0]:.4g}. A large number looks like a "
                "measured one, and other sizes may be larger. Use torch.inf."
            )
            raise Finding("a large number", told)


MEDIAN_SIZE = (
    other_amount("It works for six attacks and fails for three.", fewer_of(table)),
    fails_at_infinity,
    gives(median_size, _MEDIAN_SLIPS, cases=odd_and_even),
)


# The common successes


def attempts(draw: Draw, x: Tensor | None, attacks: int = 4, n: int = 40) -> dict[str, Tensor]:
    """Attacks that succeed on three images in four; on five images all do, and on three others none does."""
    success = draw.uniform((attacks, n)) < 0.75
    order = draw.uniform((n,)).argsort()
    success[:, order[:5]], success[:, order[5:8]] = True, False
    spread = 1 + torch.arange(attacks)[:, None] / 2
    size = spread * (0.5 + draw.uniform((attacks, n))) * torch.where(success, 1.0, 1.7)
    return {"size": size, "success": success}


def of_four_and_of_three(task: Task, draw: Draw) -> list[Case]:
    """Questions about four attacks, and about three, whose number nobody may write down."""
    return [task.case(draw, **attempts(draw, None, attacks)) for attacks in (4, 4, 3)]


def none_in_common(task: Task, draw: Draw) -> tuple[Case]:
    """Each image has an attack that fails on it."""
    case = task.case(draw)
    attacks, n = case["size"].shape
    success = case["success"].clone()
    success[torch.arange(n) % attacks, torch.arange(n)] = False
    return (case.but(success=success),)


def failures_at(size: float) -> Callable[[Task, Draw], tuple[Case]]:
    """Questions in which the failures have this size."""

    def cases(task, draw):
        case = task.case(draw)
        return (case.but(size=torch.where(case["success"], case["size"], size)),)

    return cases


def _mean_on(chosen):
    """The mean size of each attack over the images that `chosen(success)` (N,) says."""
    return lambda case: case["size"].double()[:, chosen(case["success"])].mean(1)


def _common(success):
    return success.all(0)


on_common = _mean_on(_common)


def _sum(case):
    return case["size"].double()[:, _common(case["success"])].sum(1)


_COMMON_SLIPS = (
    (
        "own successes",
        "Each attack is averaged over its own successes. So each has other images, and the one that fails on the hard ones looks "
        "best. Take the images on which all succeed.",
        mean_of_successes,
    ),
    (
        "any attack",
        "Images are in on which only some attacks succeed. Common are those on which all do: success.all(0).",
        _mean_on(lambda success: success.any(0)),
    ),
    (
        "all images",
        "All images are in, failures too. Take the images on which all attacks succeed.",
        _mean_on(lambda success: torch.ones_like(success[0])),
    ),
    (
        "majority",
        "Images are in on which most attacks succeed. Common are those on which all do: success.all(0).",
        _mean_on(lambda success: success.double().mean(0) > 0.5),
    ),
    (
        "first attack decides",
        "The successes of the first attack decide alone. Common are the images on which all succeed.",
        _mean_on(lambda success: success[0]),
    ),
    (
        "common failures",
        "These are the images on which no attack succeeds. Common are those on which all do: success.all(0).",
        _mean_on(lambda success: ~success.any(0)),
    ),
    ("sum", "The sizes are added up, but not divided by the number of common images.", _sum),
    (
        "divided by all",
        "The sum over the common images is divided by all N. Divide it by the number of common images.",
        lambda case: _sum(case) / case["size"].shape[1],
    ),
    (
        "median",
        "These are medians. With no failures among them the mean is a fair number here, and it is what is asked for.",
        lambda case: _middle(case["size"].double()[:, _common(case["success"])]),
    ),
    (
        "attacks mixed",
        "All attacks get the same mean. Each has its own: work along the images, dim=1.",
        lambda case: on_common(case).mean().expand(len(case["size"])),
    ),
)

_NONE_SLIPS = (
    (
        "0 for none",
        "There is no common image, and yet the sizes are 0: the smallest of all. Nothing was measured: NaN.",
        lambda case: torch.zeros(len(case["size"]), dtype=torch.float64),
    ),
    (
        "infinity for none",
        "There is no common image, and yet the sizes are infinite. Nothing was measured: NaN.",
        lambda case: torch.full((len(case["size"]),), torch.inf, dtype=torch.float64),
    ),
    *_COMMON_SLIPS[:1],
)


def _no_number(key, message):
    return ((key, message, lambda case: torch.full((len(case["size"]),), torch.nan, dtype=torch.float64)),)


_INFINITE_SLIPS = _no_number(
    "infinity times 0",
    "Here the failures have an infinite size, and all means are NaN: infinity times 0 is NaN. Choose the columns instead of "
    "multiplying by a mask: size[:, common].",
)
_NAN_SLIPS = _no_number(
    "NaN times 0",
    "Here the failures have the size NaN, and all means are NaN: NaN times 0 is NaN. Choose the columns instead of multiplying "
    "by a mask: size[:, common].",
)

ON_COMMON = (
    other_amount("It works for four attacks and fails for three.", fewer_of(attempts)),
    gives(on_common, _COMMON_SLIPS, cases=of_four_and_of_three),
    gives(on_common, _NONE_SLIPS, cases=none_in_common),
    gives(on_common, _INFINITE_SLIPS, cases=failures_at(torch.inf)),
    gives(on_common, _NAN_SLIPS, cases=failures_at(torch.nan)),
)
