"""Lab 5: how many attacks a photograph destroys, counted on the images that the photograph itself leaves alone.

All rows hold class numbers: what the model reads in an image.
"""

import math

import torch
from torch import Tensor

from advcourse.labs.comparing import NUMBERS, gives
from advcourse.labs.exercises import Case, Draw, Task, exercise
from advcourse.labs.lab8.questions import FIRST, LAST
from advcourse.labs.properties import other_amount

CLASSES, IMAGES = 16, 90


def read(draw: Draw, y: Tensor, right: Tensor) -> Tensor:
    """What is read where the share `right` of the answers is y, and others are another class."""
    other = (y + 1 + (draw.uniform(y.shape) * (CLASSES - 1)).long()) % CLASSES
    return torch.where(draw.uniform(y.shape) < right, y, other)


def photographed(draw: Draw, x: Tensor | None, number: int = 3) -> dict[str, Tensor]:
    """Answers to clean images, and to those of so many attacks; a photograph of a clean image is misread now and then."""
    y = (draw.uniform((IMAGES,)) * CLASSES).long()
    on_screen = read(draw, y, torch.tensor(0.85))
    on_paper = read(draw, y, torch.where(on_screen == y, 0.75, 0.3))
    kept = torch.tensor([0.2, 0.5, 0.35, 0.1])[:number, None]
    attacked = read(draw, y.expand(number, -1), torch.where(on_screen == y, kept, 0.1))
    back = torch.where(on_paper == y, 0.3 + kept, 0.1)
    after = read(draw, y.expand(number, -1), torch.where(attacked == y, 0.85, back))
    stays = (after != y) & (draw.uniform(after.shape) < 0.5)  # a photograph is often misread as its image was
    after = torch.where(stays & (attacked != y), attacked, after)
    return {"clean": torch.stack([on_screen, on_paper]), "attacked": attacked, "after": after, "y": y}


@exercise(
    "Destroyed, or never there?",
    3,
    photographed,
    (
        "Three conditions decide whether an image counts for an attack: two about the clean image, one about the attacked one. "
        "Write them as one mask of shape (A, N).",
        "counts = (clean[0] == y) & (clean[1] == y) & (attacked != y). Of the images that count, destroyed are those with after "
        "== y.",
        "return (counts & (after == y)).sum(1) / counts.sum(1). Where nothing counts this is 0 / 0, which is NaN, as it should "
        "be.",
    ),
    shape=lambda case: (len(case["attacked"]),),
    numbers="nan",
)
def destruction(clean, attacked, after, y):
    return share(after == y, (clean == y).all(0) & (attacked != y))


def share(again, counts):
    return (counts & again).sum(1) / counts.sum(1)


@destruction.slip(
    "survival",
    "This is the share that survives: still misread in the photograph. Destroyed are those that are read rightly again.",
)
def still_misread(clean, attacked, after, y):
    return share(after != y, (clean == y).all(0) & (attacked != y))


@destruction.slip(
    "clean photographs forgotten",
    "You also count images whose clean photograph is misread. There the camera alone does the harm, and an attack looks as if it "
    "had survived. Ask for clean[1] == y, too.",
)
def the_papers_own(clean, attacked, after, y):
    return share(after == y, (clean[0] == y) & (attacked != y))


@destruction.slip(
    "clean screen forgotten",
    "You also count images that the model misreads on the screen without any attack. Nothing was won there: ask for clean[0] == "
    "y, too.",
)
def photographs_alone(clean, attacked, after, y):
    return share(after == y, (clean[1] == y) & (attacked != y))


@destruction.slip(
    "clean forgotten",
    "You never ask whether the clean image is read rightly, neither on the screen (clean[0]) nor in the photograph (clean[1]).",
)
def whatever_is_misread(clean, attacked, after, y):
    return share(after == y, attacked != y)


@destruction.slip(
    "either of the two",
    "You count images whose clean version is right on the screen or in the photograph. Both must be right: an and, no or.",
)
def or_for_and(clean, attacked, after, y):
    return share(after == y, (clean == y).any(0) & (attacked != y))


@destruction.slip(
    "attacks that failed",
    "You divide by all images whose clean version is right. Some of them the attack did not fool, and what failed cannot be "
    "destroyed: ask for attacked != y.",
)
def of_the_clean(clean, attacked, after, y):
    return share(after == y, (clean == y).all(0).expand_as(attacked))


@destruction.slip(
    "over all",
    "You divide by all N images. Divide by those that count: right on the screen, right in the photograph, and fooled.",
)
def over_n(clean, attacked, after, y):
    return ((clean == y).all(0) & (attacked != y) & (after == y)).double().mean(1)


@destruction.slip(
    "fooled anew",
    "You call an attack successful where it changes the model's answer. Beside a clean image that is misread, that may even be "
    "the right answer. Successful is what makes it wrong: attacked != y.",
)
def another_answer(clean, attacked, after, y):
    return share(after == y, attacked != clean[0])


@destruction.slip(
    "another wrong answer",
    "You call an attack destroyed where the photograph is read as something else than the attacked image was. Another wrong "
    "answer is still a wrong one: destroyed is after == y.",
)
def changes_its_mind(clean, attacked, after, y):
    return share(after != attacked, (clean == y).all(0) & (attacked != y))


@destruction.slip(
    "attacks pooled",
    "All attacks get one rate, that over all of them together. Each has its own: sum along the images, sum(1).",
)
def one_for_all(clean, attacked, after, y):
    counts = (clean == y).all(0) & (attacked != y)
    return ((counts & (after == y)).sum() / counts.sum()).expand(len(attacked)).clone()


@destruction.slip(
    "0 for none",
    "For an attack that fooled nobody you return 0, as if it had survived everything. There was nothing to destroy: it is NaN, "
    "0 / 0.",
)
def nan_is_zero(clean, attacked, after, y):
    return destruction(clean, attacked, after, y).nan_to_num(0.0)


@destruction.slip("0 for none")
def never_divides_by_zero(clean, attacked, after, y):
    counts = (clean == y).all(0) & (attacked != y)
    return (counts & (after == y)).sum(1) / counts.sum(1).clamp(min=1)


@destruction.slip(
    "1 for none",
    "For an attack that fooled nobody you return 1, as if the photograph had undone it. There was nothing to destroy: it is NaN, "
    "0 / 0.",
)
def nan_is_one(clean, attacked, after, y):
    return destruction(clean, attacked, after, y).nan_to_num(1.0)


@destruction.right
def attack_by_attack(clean, attacked, after, y):
    keeps = (clean[0] == y) & (clean[1] == y)
    rows = [(again == y)[keeps & (before != y)] for before, again in zip(attacked, after)]
    return torch.stack([row.double().mean() for row in rows])


@destruction.right
def in_plain_python(clean, attacked, after, y):
    rates = []
    for before, later in zip(attacked.tolist(), after.tolist()):
        again = [
            l == label
            for screen, paper, b, l, label in zip(*clean.tolist(), before, later, y.tolist())
            if screen == paper == label != b
        ]
        rates.append(sum(again) / len(again) if again else math.nan)
    return torch.tensor(rates, device=y.device)


@destruction.right
def one_minus_survival(clean, attacked, after, y):
    counts = ((clean == y).double().prod(0) * (attacked != y)).double()
    return 1 - (counts * (after != y)).sum(1) / counts.sum(1)


@destruction.wrong("crash")
def mean_of_bools(clean, attacked, after, y):
    return torch.stack([(row[(clean == y).all(0)] == y).mean() for row in after])


@destruction.wrong("shape")
def one_row_for_each_clean(clean, attacked, after, y):
    return share(after[:2] == y, (clean == y) & (attacked[:2] != y))


@destruction.wrong("type")
def a_list(clean, attacked, after, y):
    return destruction(clean, attacked, after, y).tolist()


@destruction.wrong("input")
def labels_in_place(clean, attacked, after, y):
    return share(after.sub_(y) == 0, (clean == y).all(0) & (attacked != y))


@destruction.wrong("other amount")
def three_of_them(clean, attacked, after, y):
    rates = [share(after == y, (clean == y).all(0) & (attacked != y))[a] for a in range(3)]
    return torch.stack(rates)


@destruction.wrong("formula")
def per_cent(clean, attacked, after, y):
    return 100 * destruction(clean, attacked, after, y)


def two_attacks(task: Task, draw: Draw) -> Case:
    return task.case(draw, **photographed(draw, None, 2))


def three_and_four(task: Task, draw: Draw) -> tuple[Case, Case]:
    return task.case(draw), task.case(draw, **photographed(draw, None, 4))


def one_fools_nobody(task: Task, draw: Draw) -> Case:
    """The second attack fools only images whose clean version is misread somewhere."""
    case = task.case(draw)
    attacked, kept = case["attacked"].clone(), (case["clean"] == case["y"]).all(0)
    attacked[1] = torch.where(kept, case["y"], attacked[1])
    return case.but(attacked=attacked)


destruction.checks(
    *FIRST,
    other_amount("It works for three attacks and fails for two.", two_attacks),
    gives(destruction, NUMBERS, make=three_and_four),
    gives(destruction, NUMBERS, ("0 for none", "1 for none"), make=one_fools_nobody),
    *LAST,
)
