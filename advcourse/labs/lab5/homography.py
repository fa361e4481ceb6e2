"""Lab 5: from where the corners are seen to where every point is.

A matrix is judged by what it does to points that were not among the pairs, so that its scale is free.
"""

import math

import torch
from torch import Tensor

from advcourse.labs.checks import Student
from advcourse.labs.comparing import Comparison, called, gives
from advcourse.labs.exercises import Case, Draw, Task, exercise
from advcourse.labs.lab8.questions import FIRST, LAST
from advcourse.labs.verdicts import Finding

CLOSE = 1e-4  # pixels
SIDE = 60.0  # of the plane that the points lie on, in its own unit; it is seen some five times as large


def seen(matrix: Tensor, points: Tensor) -> Tensor:
    """Where the points (K, 2) are seen, (K, 2)."""
    mapped = torch.cat([points, torch.ones_like(points[:, :1])], 1) @ matrix.mT
    return mapped[:, :2] / mapped[:, 2:]


def tilted(draw: Draw) -> Tensor:
    """The matrix of a tilted plane, (3, 3), float64: turned, stretched, moved, and nearer on one side than on the other."""
    turn, tilt = (torch.tensor(draw.number(low, high)).double() for low, high in ((0.2, 1.2), (0.003, 0.006)))
    toward = torch.tensor(draw.number(0.2, 1.3)).double()
    matrix = torch.eye(3, dtype=torch.float64)
    matrix[0, :2] = torch.stack([turn.cos(), -turn.sin()]) * draw.number(4, 6)
    matrix[1, :2] = torch.stack([turn.sin(), turn.cos()]) * draw.number(3, 5)
    matrix[:2, 2] = torch.tensor([draw.number(200, 400), draw.number(50, 150)])
    matrix[2, :2] = tilt * torch.stack([toward.cos(), toward.sin()])
    return matrix


def corners(draw: Draw) -> Tensor:
    """Four points near the corners of the plane, (4, 2), float64."""
    there = torch.tensor([[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9]]).double()
    return SIDE * (there + 0.08 * draw.normal((4, 2)).double().clamp(-1, 1))


def pairs(draw: Draw, x: Tensor | None) -> dict[str, Tensor]:
    """Four points, and where they are seen."""
    src = corners(draw)
    return {"src": src, "dst": seen(tilted(draw), src)}


@exercise(
    "Where is what in the photograph?",
    4,
    pairs,
    (
        "Each pair gives two equations in eight unknowns. Multiply the two fractions out, so that the unknowns stand alone, and "
        "set the last entry of H to 1.",
        "For a pair (x, y) -> (u, v): the row (x, y, 1, 0, 0, 0, -u x, -u y) times the unknowns is u, and the row (0, 0, 0, x, "
        "y, 1, -v x, -v y) is v. Put all rows of all pairs into one matrix.",
        "h = torch.linalg.lstsq(rows, target).solution, with rows (2K, 8) and target (2K, 1); then append a 1 and reshape to (3, "
        "3).",
    ),
    shape=lambda case: (3, 3),
)
def homography(src, dst):
    rows, target = equations(src, dst)
    return finished(torch.linalg.lstsq(rows, target).solution)


def equations(src, dst):
    """The rows (2K, 8) and what they give, (2K, 1): first all of u, then all of v."""
    (x, y), (u, v) = src.unbind(1), dst.unbind(1)
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    first = torch.stack([x, y, one, zero, zero, zero, -u * x, -u * y], 1)
    second = torch.stack([zero, zero, zero, x, y, one, -v * x, -v * y], 1)
    return torch.cat([first, second]), torch.cat([u, v])[:, None]


def finished(entries):
    """The matrix (3, 3) of eight entries (8, 1); the ninth is 1."""
    return torch.cat([entries[:, 0], torch.ones_like(entries[0])]).view(3, 3)


def affine(src, dst):
    """The matrix without the last row's two entries that fits best."""
    plane = torch.cat([src, torch.ones_like(src[:, :1])], 1)
    found = torch.linalg.lstsq(plane, dst).solution.T
    return torch.cat([found, torch.tensor([[0.0, 0.0, 1.0]]).to(src)])


@homography.slip(
    "inverse",
    "Your matrix leads from dst to src. Wanted is the way from src to dst: exchange the two, or take torch.linalg.inv.",
)
def back(src, dst):
    return homography(dst, src)


@homography.slip(
    "x and y swapped",
    "Your matrix takes y for the first coordinate and x for the second, as the rows and columns of an image do. Points come and "
    "go as (x, y).",
)
def rows_and_columns(src, dst):
    return homography(src.flip(1), dst.flip(1))


@homography.slip(
    "x and y of the source swapped",
    "Your matrix wants (y, x) and gives (u, v): the coordinates of src are in the wrong order.",
)
def source_flipped(src, dst):
    return homography(src.flip(1), dst)


@homography.slip(
    "no division",
    "Your last row is (0, 0, 1): nothing is ever divided, and parallels stay parallel. That is an affine map. A tilted sheet has "
    "a near and a far side: the last row has two unknowns more.",
)
def without_perspective(src, dst):
    return affine(src, dst)


@homography.slip(
    "first four only",
    "You use the first four pairs alone. Here three of these lie on one line, so that they do not determine the matrix; all "
    "pairs together do. Put the equations of all K pairs into one system, and take lstsq.",
    test=lambda case, found: of_four_alone(case, found),
)
def from_four(src, dst):
    rows, target = equations(src[:4], dst[:4])
    return finished(torch.linalg.lstsq(rows + 1e-9 * torch.ones_like(rows), target).solution)


@homography.slip(
    "transposed",
    "Your matrix is transposed: it would be right for (x, y, 1) H. Here it stands on the left: H (x, y, 1). Check the order of "
    "your reshape.",
)
def for_rows(src, dst):
    return homography(src, dst).mT


@homography.slip(
    "sign of the last row",
    "The last two entries have the wrong sign. From u (g x + h y + 1) = a x + b y + c it follows that u = a x + b y + c - u g x "
    "- u h y: the products stand in the row with a minus.",
)
def plus_for_minus(src, dst):
    rows, target = equations(src, dst)
    rows = torch.cat([rows[:, :6], -rows[:, 6:]], 1)
    return finished(torch.linalg.lstsq(rows, target).solution)


@homography.slip(
    "products of the source alone",
    "In the last two columns stand -x and -y. Multiplied out, the unknowns g and h stand beside u x and u y, and beside v x and "
    "v y.",
)
def products_forgotten(src, dst):
    rows, target = equations(src, dst)
    plain = -torch.cat([src, src])
    return finished(torch.linalg.lstsq(torch.cat([rows[:, :6], plain], 1), target).solution)


@homography.slip(
    "rows apart",
    "The rows of u and of v belong to other pairs than the numbers on the right: one order is pair by pair, the other all of u "
    "and then all of v. Use the same for both.",
)
def target_pair_by_pair(src, dst):
    rows, _ = equations(src, dst)
    return finished(torch.linalg.lstsq(rows, dst.reshape(-1, 1)).solution)


@homography.slip(
    "first singular vector",
    "You take the singular vector of the largest singular value. The one that solves the equations belongs to the smallest: "
    "Vh[-1].",
)
def largest(src, dst):
    return torch.linalg.svd(homogeneous(src, dst)).Vh[0].view(3, 3)


@homography.slip(
    "still scaled",
    "You shift and scale the points before you solve, and return the matrix of the scaled points. Undo it: inv(T_dst) @ H @ "
    "T_src.",
)
def not_undone(src, dst):
    return homography(moved(src)[1], moved(dst)[1])


@homography.slip(
    "moved only",
    "Your matrix only shifts the points: two of its entries hold something, where eight are to be found. The plane is also "
    "turned, stretched and tilted. Write the two equations of each pair into the rows of one system, and solve it.",
)
def a_shift(src, dst):
    matrix = torch.eye(3).to(src)
    matrix[:2, 2] = (dst - src).mean(0)
    return matrix


def homogeneous(src, dst):
    """The rows (2K, 9) that give 0."""
    rows, target = equations(src, dst)
    return torch.cat([rows, -target], 1)


def moved(points):
    """The matrix that brings points to mean 0 and mean distance sqrt(2), and the points then."""
    mean = points.mean(0)
    scale = 2**0.5 / (points - mean).norm(dim=1).mean()
    matrix = torch.diag(torch.stack([scale, scale, torch.ones_like(scale)]))
    matrix[:2, 2] = -scale * mean
    return matrix, scale * (points - mean)


@homography.right
def smallest_singular_vector(src, dst):
    return torch.linalg.svd(homogeneous(src, dst)).Vh[-1].view(3, 3)


@homography.right
def after_hartley(src, dst):
    (before, a), (after, b) = moved(src), moved(dst)
    found = torch.linalg.svd(homogeneous(a, b)).Vh[-1].view(3, 3)
    return torch.linalg.inv(after) @ found @ before


@homography.right
def pair_by_pair(src, dst):
    rows, target = [], []
    for (x, y), (u, v) in zip(src.tolist(), dst.tolist()):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        target += [[u], [v]]
    rows, target = (torch.tensor(part, dtype=src.dtype, device=src.device) for part in (rows, target))
    return finished(torch.linalg.pinv(rows) @ target)


@homography.wrong("crash")
def for_a_square_system(src, dst):
    rows, target = equations(src, dst)
    return finished(torch.linalg.solve(rows, target))


@homography.wrong("shape")
def eight_numbers(src, dst):
    rows, target = equations(src, dst)
    return torch.linalg.lstsq(rows, target).solution[:, 0]


@homography.wrong("type")
def a_list(src, dst):
    return homography(src, dst).tolist()


@homography.wrong("formula")
def in_half_precision(src, dst):
    return homography(src, dst).float().bfloat16().to(src)


@homography.wrong("input")
def origin_in_place(src, dst):
    src -= src.mean(0)
    return homography(src, dst)


@homography.wrong("formula")
def to_a_multiple(src, dst):
    matrix = homography(src, dst)
    matrix[2, 2] = 2
    return matrix


@homography.wrong("not a number")
def zero_matrix_divided(src, dst):
    rows, target = equations(src, dst)
    found = finished(torch.linalg.lstsq(rows, target).solution)
    return found / found[2, 2].sub(1)


def unseen() -> Tensor:
    """Points of the plane that are not among any pairs, (25, 2)."""
    along = torch.linspace(2, SIDE - 2, 5, dtype=torch.float64)
    return torch.cartesian_prod(along, along) + 0.3


def apart(found: Tensor, expected: Tensor) -> Tensor:
    """How far off each of the unseen points is, in pixels, (25,)."""
    away = (seen(found, unseen()) - seen(expected, unseen())).norm(dim=1)
    return away.nan_to_num(torch.inf, torch.inf)


def off(case: Case, found: Tensor, expected: Tensor) -> Finding:
    """The finding for a matrix that no slip explains: the point that is farthest off."""
    away = apart(found, expected)
    worst = int(away.argmax())
    (x, y), (u, v), (a, b) = (
        points[worst].tolist() for points in (unseen(), seen(expected, unseen()), seen(found, unseen()))
    )
    told = (
        f"A point that was not among the pairs, ({x:.1f}, {y:.1f}), belongs at ({u:.4f}, {v:.4f}), and your matrix sends it to "
        f"({a:.4f}, {b:.4f}), {float(away[worst]):.2g} pixels away. Allowed are {CLOSE:g}."
    )
    return Finding("formula", f"{told} {_where_from(case, found)}")


def _where_from(case, found):
    """What the pairs say about a matrix that is wrong elsewhere; four that it meets determine it, so then digits are lost."""
    src, dst = case["src"].double(), case["dst"].double()
    missed = (seen(found, src) - dst).norm(dim=1).nan_to_num(torch.inf, torch.inf)
    if missed.max() < 1:
        return (
            "The way is right, and digits are lost on it: compute in float64, as src comes, round nothing, and solve the system "
            "itself (lstsq), not its normal equations."
        )
    worst = int(missed.argmax())
    (x, y), (u, v) = src[worst].tolist(), dst[worst].tolist()
    p, q, w = (found @ torch.tensor([x, y, 1.0]).double()).tolist()
    return (
        f"Not even the pairs are met. Pair {worst}, ({x:.1f}, {y:.1f}) to ({u:.1f}, {v:.1f}): H (x, y, 1) is ({p:.4g}, {q:.4g}, "
        f"{w:.4g}), divided by the last ({p / w if w else math.inf:.1f}, {q / w if w else math.inf:.1f}). Put your own numbers "
        "into its two equations: the rows times the eight unknowns must give u and v. Is the ninth 1, and each at its place?"
    )


POINTS = Comparison(
    Student.__call__, called, lambda found, right: bool((apart(found, right) < CLOSE).all()), off
)


def of_four_alone(case: Case, found: Tensor) -> bool:
    """Whether the matrix fits the first four pairs, and not the others."""
    away = (seen(found, case["src"].double()) - case["dst"].double()).norm(dim=1).nan_to_num(torch.inf)
    return len(away) > 4 and bool((away[:4] < 0.1).all()) and not bool((away[4:] < 0.1).all())


def few_and_many(task: Task, draw: Draw) -> tuple[Case, Case]:
    """Four pairs; and seven."""
    matrix, src = tilted(draw), torch.cat([corners(draw), SIDE * draw.uniform((3, 2)).double()])
    return task.case(draw), task.case(draw, src=src, dst=seen(matrix, src))


def three_on_a_line(task: Task, draw: Draw) -> Case:
    """Six pairs, of which the first three lie on one line, and the fourth does not."""
    matrix, src = tilted(draw), corners(draw)
    first = torch.stack([src[0], (src[0] + src[2]) / 2, src[2], src[1], src[3], src[3].flip(0) * 0.7 + 5])
    return task.case(draw, src=first, dst=seen(matrix, first))


homography.checks(
    *FIRST,
    gives(homography, POINTS, make=three_on_a_line, keys=("first four only",), only=True),
    gives(
        homography,
        POINTS,
        make=few_and_many,
        keys=(
            "inverse",
            "x and y swapped",
            "x and y of the source swapped",
            "no division",
            "transposed",
            "sign of the last row",
            "products of the source alone",
            "rows apart",
            "first singular vector",
            "still scaled",
            "moved only",
        ),
    ),
    gives(homography, POINTS, make=three_on_a_line, keys=()),
    *LAST,
)
