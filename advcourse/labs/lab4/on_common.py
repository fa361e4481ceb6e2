"""Lab 4: the mean size of each attack's changes, on the images on which all attacks succeed.

A table has a row for each attack and a column for each image: `size` (A, N), and `success` (A, N), bool.
"""

import math

import torch
from torch import Tensor

from advcourse.labs.comparing import NUMBERS, gives
from advcourse.labs.exercises import Case, Draw, Task, exercise
from advcourse.labs.lab4.questions import FIRST, LAST, one_for_each_attack
from advcourse.labs.properties import other_amount


def attempts(draw: Draw, x: Tensor | None, attacks: int = 4, n: int = 40) -> dict[str, Tensor]:
    """Attacks that succeed on three images in four; on five images all do, and on three others none does."""
    success = draw.uniform((attacks, n)) < 0.75
    order = draw.uniform((n,)).argsort()
    success[:, order[:5]], success[:, order[5:8]] = True, False
    spread = 1 + torch.arange(attacks)[:, None] / 2
    size = spread * (0.5 + draw.uniform((attacks, n))) * torch.where(success, 1.0, 1.7)
    return {"size": size, "success": success}


@exercise(
    "The same images for all",
    3,
    attempts,
    (
        "Which columns count? Those in which every row of success is True. That is one bool for each image.",
        "success.all(dim=0) is that mask, (N,). size[:, mask] keeps its columns.",
        "return size[:, success.all(dim=0)].mean(dim=1). The mean over no column is NaN of its own accord.",
    ),
    shape=one_for_each_attack,
    numbers="nan",
)
def on_common(size, success):
    return size[:, success.all(0)].mean(1)


@on_common.slip(
    "own successes",
    "Each attack is averaged over its own successes. So each has other images, and the one that fails on the hard ones looks "
    "best. Take the images on which all succeed.",
)
def each_by_itself(size, success):
    return (size * success).sum(1) / success.sum(1)


@on_common.slip(
    "any attack",
    "Images are in on which only some attacks succeed. Common are those on which all do: success.all(0).",
)
def any_instead_of_all(size, success):
    return size[:, success.any(0)].mean(1)


@on_common.slip(
    "all images", "All images are in, failures too. Take the images on which all attacks succeed."
)
def success_unused(size, success):
    return size.mean(1)


@on_common.slip(
    "majority",
    "Images are in on which most attacks succeed. Common are those on which all do: success.all(0).",
)
def most_attacks(size, success):
    return size[:, success.float().mean(0) > 0.5].mean(1)


@on_common.slip(
    "first attack decides",
    "The successes of the first attack decide alone. Common are the images on which all succeed.",
)
def first_row(size, success):
    return size[:, success[0]].mean(1)


@on_common.slip(
    "common failures",
    "These are the images on which no attack succeeds. Common are those on which all do: success.all(0).",
)
def negated(size, success):
    return size[:, (~success).all(0)].mean(1)


@on_common.slip("sum", "The sizes are added up, but not divided by the number of common images.")
def added_up(size, success):
    return size[:, success.all(0)].sum(1)


@on_common.slip(
    "divided by all",
    "The sum over the common images is divided by all N. Divide it by the number of common images.",
)
def over_n(size, success):
    return (size * success.all(0)).mean(1)


@on_common.slip(
    "median",
    "These are medians. With no failures among them the mean is a fair number here, and it is what is asked for.",
)
def middle_one(size, success):
    return size[:, success.all(0)].quantile(0.5, dim=1)


@on_common.slip(
    "attacks mixed", "All attacks get the same mean. Each has its own: work along the images, dim=1."
)
def one_for_all(size, success):
    return on_common(size, success).mean().repeat(len(size))


@on_common.slip(
    "0 for none",
    "There is no common image, and yet the sizes are 0: the smallest of all. Nothing was measured: NaN.",
)
def nothing_is_zero(size, success):
    return on_common(size, success).nan_to_num(0.0)


@on_common.slip(
    "infinity for none",
    "There is no common image, and yet the sizes are infinite. Nothing was measured: NaN.",
)
def nothing_is_infinite(size, success):
    return torch.where(success.all(0).any(), on_common(size, success), torch.inf)


@on_common.slip(
    "infinity times 0",
    "Here the failures have an infinite size, and all means are NaN: infinity times 0 is NaN. Choose the columns instead of "
    "multiplying by a mask: size[:, common].",
)
def with_a_factor(size, success):
    common = success.all(0).float()
    return (size * common).sum(1) / common.sum()


@on_common.slip(
    "NaN times 0",
    "Here the failures have the size NaN, and all means are NaN: NaN times 0 is NaN. Choose the columns instead of multiplying "
    "by a mask: size[:, common].",
)
def without_the_infinite_ones(size, success):
    common = success.all(0)
    return (size.masked_fill(size.isinf(), 0) * common).sum(1) / common.sum()


@on_common.right
def image_by_image(size, success):
    total, n = [0.0] * len(size), 0
    for i in range(size.shape[1]):
        if bool(success[:, i].all()):
            n += 1
            total = [t + float(s) for t, s in zip(total, size[:, i])]
    return size.new_tensor([t / n if n else math.nan for t in total])


@on_common.right
def with_nanmean(size, success):
    common = success.sum(0) == len(success)
    return torch.where(common, size, torch.nan).nanmean(1)


@on_common.wrong("formula")
def successes_of_all_but_one(size, success):
    return on_common(size, success[1:])


@on_common.wrong("shape")
def mean_of_each_image(size, success):
    return size[:, success.all(0)].mean(0)


@on_common.wrong("type")
def a_list_of_floats(size, success):
    return on_common(size, success).tolist()


@on_common.wrong("input")
def failures_marked(size, success):
    size[~success] = torch.nan
    return on_common(size, success)


@on_common.wrong("crash")
def along_the_wrong_dimension(size, success):
    return size[:, success.all(1)].mean(1)


@on_common.wrong("formula")
def of_four_attacks(size, success):
    return size[:, success.sum(0) == 4].mean(1)


@on_common.wrong("other amount")
def four_rows(size, success):
    first, second, third, fourth = success
    return size[:, first & second & third & fourth].mean(1)


def three_attacks(task: Task, draw: Draw) -> Case:
    return task.case(draw, **attempts(draw, None, attacks=3))


def of_four_and_of_three(task: Task, draw: Draw) -> list[Case]:
    """Questions about four attacks, and about three, whose number nobody may write down."""
    return [task.case(draw, **attempts(draw, None, attacks)) for attacks in (4, 4, 3)]


def none_in_common(task: Task, draw: Draw) -> Case:
    """Each image has an attack that fails on it."""
    case = task.case(draw)
    attacks, n = case["size"].shape
    success = case["success"].clone()
    success[torch.arange(n) % attacks, torch.arange(n)] = False
    return case.but(success=success)


def failures_at(task: Task, draw: Draw, size: float) -> Case:
    """A question in which the failures have this size."""
    case = task.case(draw)
    return case.but(size=torch.where(case["success"], case["size"], size))


on_common.checks(
    *FIRST,
    other_amount("It works for four attacks and fails for three.", three_attacks),
    gives(on_common, NUMBERS, make=of_four_and_of_three),
    gives(on_common, NUMBERS, ("0 for none", "infinity for none", "own successes"), make=none_in_common),
    gives(on_common, NUMBERS, ("infinity times 0",), make=failures_at, size=torch.inf),
    gives(on_common, NUMBERS, ("NaN times 0",), make=failures_at, size=torch.nan),
    *LAST,
)
