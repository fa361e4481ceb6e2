"""Lab 4: the median size of the change that fools, failures counting as infinite.

A table has a row for each attack and a column for each image: `size` (A, N), and `success` (A, N), bool.
"""

import numpy as np
import torch
from torch import Tensor

from advcourse.labs.checks import Student
from advcourse.labs.comparing import NUMBERS, called, gives
from advcourse.labs.exercises import Case, Draw, Task, exercise
from advcourse.labs.lab4.questions import FIRST, LAST, one_for_each_attack
from advcourse.labs.properties import other_amount
from advcourse.labs.verdicts import Finding


def table(draw: Draw, x: Tensor | None, n: int = 9, attacks: int = 6) -> dict[str, Tensor]:
    """So many attacks, from one that always succeeds to one that seldom does; failures have sizes, as budgeted attacks' do."""
    wanted = torch.tensor([n, n - 1, n // 2 + 1, n // 2, n // 2 - 1, 0])[:attacks]
    place = draw.uniform((len(wanted), n)).argsort(1)
    return {"size": 0.5 + 2.5 * draw.uniform(place.shape), "success": place < wanted[:, None]}


def filled(size, success, value=torch.inf):
    return torch.where(success, size, value)


def middle(values):
    values, n = values.sort(1).values, values.shape[1]
    return (values[:, (n - 1) // 2] + values[:, n // 2]) / 2


def lower(values):
    return values.median(dim=1).values


def upper(values):
    return values.sort(1).values[:, values.shape[1] // 2]


@exercise(
    "How much does it take?",
    3,
    table,
    (
        "First a table in which failures are infinite: torch.where(success, size, torch.inf). Infinite numbers sort like "
        "others, at the end.",
        "values = torch.where(...).sort(dim=1).values. With n images the middle is column n // 2; for an even n columns n // 2 "
        "- 1 and n // 2 are the two in the middle.",
        "Both cases at once: return (values[:, (n - 1) // 2] + values[:, n // 2]) / 2, with n = size.shape[1].",
    ),
    shape=one_for_each_attack,
    numbers="nan",
)
def median_size(size, success):
    return middle(filled(size, success))


@median_size.slip(
    "failures left out",
    "The failures are left out. So an attack that succeeds on the easiest image alone looks the best of all. Count all images, "
    "the failures with an infinite size.",
)
def nanmedian(size, success):
    return filled(size, success, torch.nan).nanmedian(dim=1).values


@median_size.slip("failures left out")
def middle_of_the_successes(size, success):
    return filled(size, success, torch.nan).nanquantile(0.5, dim=1)


@median_size.slip("failures left out")
def upper_middle_of_the_successes(size, success):
    return filled(size, success, torch.nan).nanquantile(0.5, dim=1, interpolation="higher")


@median_size.slip(
    "failures at 0",
    "Failures count as size 0: the more often an attack fails, the better it looks. Their size is infinite.",
)
def multiplied(size, success):
    return middle(size * success)


@median_size.slip("failures at 0")
def multiplied_before_torch_median(size, success):
    return lower(size * success)


@median_size.slip("failures at 0")
def multiplied_before_column_n_half(size, success):
    return upper(size * success)


@median_size.slip(
    "failures as they are",
    "success is not looked at: failures count with the size of the change that did not fool. It would take more than that: "
    "infinitely much, for all that we know.",
)
def success_unused(size, success):
    return lower(size)


@median_size.slip("failures as they are")
def success_unused_in_the_middle(size, success):
    return middle(size)


@median_size.slip("failures as they are")
def success_unused_in_column_n_half(size, success):
    return upper(size)


@median_size.slip(
    "turned round",
    "The successes have become infinite, and the failures kept their size. It is the other way round.",
)
def where_turned_round(size, success):
    return middle(filled(size, ~success))


@median_size.slip("turned round")
def turned_round_before_torch_median(size, success):
    return lower(filled(size, ~success))


@median_size.slip("turned round")
def turned_round_before_column_n_half(size, success):
    return upper(filled(size, ~success))


@median_size.slip(
    "mean of successes",
    "This is the mean of the successes. It is what flatters weak attacks. Take the median of all images.",
)
def what_papers_report(size, success):
    return (size * success).sum(1) / success.sum(1)


@median_size.slip(
    "mean", "This is a mean. A single failure makes it infinite. The median asks only for the middle."
)
def mean_with_failures(size, success):
    return filled(size, success).mean(1)


@median_size.slip(
    "lower middle",
    "Of an even number of images you take the smaller size in the middle, as torch.median does. So half of the images are enough "
    "for a finite median. Take the mean of the two.",
)
def torch_median(size, success):
    return lower(filled(size, success))


@median_size.slip(
    "upper middle",
    "Of an even number of images you take the larger size in the middle. Take the mean of the two.",
)
def column_n_half(size, success):
    return upper(filled(size, success))


@median_size.slip(
    "infinity minus infinity",
    "There is NaN where the median is infinite. torch.quantile goes from one number to the next by their difference, and "
    "infinity minus infinity is NaN. Sort each row, and take the middle.",
)
def torch_quantile(size, success):
    return filled(size, success).quantile(0.5, dim=1)


@median_size.slip(
    "attacks mixed", "All attacks get the same median. Each has its own: work along the images, dim=1."
)
def all_in_one(size, success):
    return middle(filled(size, success).view(1, -1)).repeat(len(size))


@median_size.right
def with_numpy(size, success):
    values = size.cpu().numpy().copy()
    values[~success.cpu().numpy()] = np.inf
    return torch.from_numpy(np.median(values, axis=1)).to(size)


@median_size.right
def row_by_row(size, success):
    result = []
    for sizes, fooled in zip(size, success):
        found = sorted(sizes[fooled].tolist())
        n = len(sizes)
        found += [float("inf")] * (n - len(found))
        result.append(found[n // 2] if n % 2 else 0.5 * found[n // 2 - 1] + 0.5 * found[n // 2])
    return size.new_tensor(result)


@median_size.wrong("a large number")
def a_billion(size, success):
    return middle(filled(size, success, 1e9))


@median_size.wrong("formula")
def largest_for_failures(size, success):
    return middle(filled(size, success, size.max()))


@median_size.wrong("shape")
def along_the_attacks(size, success):
    return middle(filled(size, success).T)


@median_size.wrong("type")
def value_and_place(size, success):
    return filled(size, success).median(dim=1)


@median_size.wrong("input")
def in_place(size, success):
    size[~success] = torch.inf
    return middle(size)


@median_size.wrong("crash")
def picked_out(size, success):
    return size[success].view(len(size), -1).median(dim=1).values


@median_size.wrong("other amount")
def six_attacks(size, success):
    return torch.cat([median_size(size[[a]], success[[a]]) for a in range(6)])


def three_attacks(task: Task, draw: Draw) -> Case:
    return task.case(draw, **table(draw, None, attacks=3))


def odd_and_even(task: Task, draw: Draw) -> list[Case]:
    return [task.case(draw, **table(draw, None, n)) for n in (9, 10, 11)]


def fails_at_infinity(student: Student, draw: Draw) -> None:
    """Where the median is infinite, so is what comes back; a large number is none."""
    for case in odd_and_even(student.task, draw):
        found, expected = student(case), called(median_size, case)
        large = expected.isinf() & found.isfinite() & (found > 10 * case["size"].max())
        if large.any():
            told = (
                f"Where most images fail the median is infinite; yours is {found[large][0]:.4g}. A large number looks like a "
                "measured one, and other sizes may be larger. Use torch.inf."
            )
            raise Finding("a large number", told)


median_size.checks(
    *FIRST,
    other_amount("It works for six attacks and fails for three.", three_attacks),
    fails_at_infinity,
    gives(median_size, NUMBERS, make=odd_and_even),
    *LAST,
)
