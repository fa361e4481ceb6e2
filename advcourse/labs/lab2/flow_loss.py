"""Lab 2: how rough a flow is, the loss that stAdv adds to that of the model."""

from functools import partial

import torch
from torch.nn.functional import pad

from advcourse.core.rounding import number
from advcourse.labs.checks import Student
from advcourse.labs.comparing import NUMBERS, answered, called, gives
from advcourse.labs.exercises import Draw, exercise
from advcourse.labs.lab2.questions import LAST
from advcourse.labs.numbers import can_be_followed, differs, near
from advcourse.labs.properties import answers, keeps_what_it_gets, treats_images_alone
from advcourse.labs.verdicts import Finding


def size(d):
    return (d.square().sum(1) + 1e-8).sqrt().flatten(1).sum(1)


def right(flow):
    return flow[:, :, :, 1:] - flow[:, :, :, :-1]


def below(flow):
    return flow[:, :, 1:] - flow[:, :, :-1]


def with_size(flow, of):
    return 2 * (of(right(flow)).flatten(1).sum(1) + of(below(flow)).flatten(1).sum(1))


def under_the_root(flow, constant):
    return with_size(flow, lambda d: (d.square().sum(1) + constant).sqrt())


def pairs(flow):
    height, width = flow.shape[2:]
    return height * (width - 1) + width * (height - 1)


@exercise(
    "How rough is a flow?",
    2,
    lambda draw, x: {"flow": draw.normal((len(x), 2, *x.shape[2:]))},
    (
        "Neighbours in a row: flow[:, :, :, 1:] - flow[:, :, :, :-1]. It has one column less than the flow, for the "
        "last pixel has no neighbour on its right.",
        "The size of a difference d (N, 2, ...) is (d.square().sum(1) + 1e-8).sqrt(). Sum it over the pixels of each image.",
        "Every pair stands in the sum twice, as (p, q) and as (q, p): return 2 * (across + down), where across and "
        "down are the two sums, (N,) each.",
    ),
    shape=lambda case: (len(case["flow"]),),
)
def flow_loss(flow):
    return 2 * (size(right(flow)) + size(below(flow)))


@flow_loss.slip(
    "diagonal neighbours",
    "The neighbours are the four at the corners. The paper means those to the left and right, above and below.",
)
def corners(flow):
    falling = flow[:, :, 1:, 1:] - flow[:, :, :-1, :-1]
    rising = flow[:, :, 1:, :-1] - flow[:, :, :-1, 1:]
    return 2 * (size(falling) + size(rising))


@flow_loss.slip(
    "eight neighbours",
    "All eight pixels around are counted. Only four are neighbours: to the left and right, above and below.",
)
def all_around(flow):
    return flow_loss(flow) + corners(flow)


@flow_loss.slip(
    "each pair once",
    "Each pair of neighbours is counted once. The sum runs over all p and over all neighbours q of p: so it is "
    "counted twice.",
)
def one_way(flow):
    return size(right(flow)) + size(below(flow))


@flow_loss.slip(
    "no root",
    "The squares are summed. Take the root of each pair's sum of squares before you add them up.",
)
def squares(flow):
    return with_size(flow, torch.square)


@flow_loss.slip(
    "absolute values",
    "The parts u and v are added by absolute value. Add their squares, then take the root: it is the length of a difference.",
)
def total_variation(flow):
    return with_size(flow, torch.abs)


@flow_loss.slip(
    "one root for all", "One root is taken of the sum over all pairs. Each pair has a root of its own."
)
def norm_of_everything(flow):
    return (squares(flow) + 1e-8).sqrt()


@flow_loss.slip(
    "wraps around",
    "The first row counts as the neighbour of the last: torch.roll goes round the edge. Compare slices, for example "
    "flow[:, :, 1:] with flow[:, :, :-1].",
)
def rolled(flow):
    ways = ((1, 2), (-1, 2), (1, 3), (-1, 3))
    return sum(size(flow - torch.roll(flow, *way)) for way in ways)


@flow_loss.slip(
    "mean",
    "The result is a mean over the pairs. The loss is their sum, and tau is chosen for that.",
)
def mean_over_pairs(flow):
    return flow_loss(flow) / (2 * pairs(flow))


@flow_loss.slip(
    "mean over pixels",
    "The result is a mean over the pixels. The loss is the sum over them, and tau is chosen for that.",
)
def mean_over_the_image(flow):
    return flow_loss(flow) / flow[0, 0].numel()


@flow_loss.right
def four_ways_with_a_mask(flow):
    n, _, height, width = flow.shape
    wide = pad(flow, (1, 1, 1, 1))
    inside = pad(torch.ones_like(flow[:, 0]), (1, 1, 1, 1))
    total = torch.zeros_like(flow[:, 0])
    for i, j in ((0, 1), (2, 1), (1, 0), (1, 2)):
        there = slice(i, i + height), slice(j, j + width)
        du, dv = (flow - wide[:, :, *there]).unbind(1)
        total += inside[:, *there] * torch.sqrt(du**2 + dv**2 + 1e-8)
    return total.sum((1, 2))


@flow_loss.wrong("bare root")
def nothing_under_the_root(flow):
    return under_the_root(flow, 0)


@flow_loss.wrong("shape")
def one_number_for_the_batch(flow):
    return flow_loss(flow).sum()


@flow_loss.wrong("formula")
def rows_alone(flow):
    return 2 * size(right(flow))


@flow_loss.wrong("another constant")
def a_millionth(flow):
    return under_the_root(flow, 1e-6)


@flow_loss.wrong("another constant")
def ten_times_it(flow):
    return under_the_root(flow, 1e-7)


@flow_loss.wrong("another constant")
def the_usual_constant(flow):
    return under_the_root(flow, 1e-10)


@flow_loss.wrong("another constant")
def a_tiny_constant(flow):
    return under_the_root(flow, 1e-12)


@flow_loss.wrong("another constant")
def one_for_each_part(flow):
    return with_size(flow, lambda d: (d.square() + 1e-8).sum(1).sqrt())


@flow_loss.wrong("outside the root")
def the_root_of_it_outside(flow):
    return with_size(flow, lambda d: d.square().sum(1).sqrt() + 1e-4)


@flow_loss.wrong("outside the root")
def it_outside(flow):
    return with_size(flow, lambda d: d.square().sum(1).sqrt() + 1e-8)


@flow_loss.wrong("root bounded below")
def a_least_root(flow):
    return with_size(flow, lambda d: d.square().sum(1).clamp_min(1e-8).sqrt())


@flow_loss.wrong("detached")
def flow_detached(flow):
    return flow_loss(flow.detach())


@flow_loss.wrong("detached")
def without_gradients(flow):
    with torch.no_grad():
        return flow_loss(flow)


@flow_loss.wrong("detached")
def made_of_floats(flow):
    return torch.tensor(flow_loss(flow).tolist(), dtype=flow.dtype, device=flow.device)


@flow_loss.wrong("gradient")
def neighbours_detached(flow):
    still = flow.detach()
    return 2 * (size(flow[:, :, :, 1:] - still[:, :, :, :-1]) + size(flow[:, :, 1:] - still[:, :, :-1]))


@flow_loss.wrong("formula")
def border_repeated(flow):
    wide, (height, width) = pad(flow, (1, 1, 1, 1), mode="replicate"), flow.shape[2:]
    ways = ((0, 1), (2, 1), (1, 0), (1, 2))
    return sum(size(flow - wide[:, :, i : i + height, j : j + width]) for i, j in ways)


def softens_the_root(student: Student, draw: Draw) -> None:
    """Where neighbours move alike, or nearly, the 1e-8 under the root counts: one flow is constant, the rest tremble a little."""
    case = student.task.case(draw)
    trembling = 10.0 ** -(2 + 2 * torch.arange(len(case["flow"])))  # 1e-4, 1e-6, 1e-8
    flow = trembling.view(-1, 1, 1, 1) * draw.normal(case["flow"].shape)
    flow[0] = draw.number(1, 3)
    case = case.but(flow=flow)
    found, expected = student(case), called(flow_loss, case)
    if near(found, expected).all():
        return
    at_rest = found[0].item() / (2 * pairs(flow))  # what a pair adds that moves alike
    told = f"Where all pixels move alike, the loss is {number(found[0].item(), 3)}, not {number(expected[0].item(), 3)}:"
    if at_rest == 0:
        told += (
            " the 1e-8 under the root is missing. The slope of a bare root is infinite at 0: where neighbours move alike, the "
            "gradient is NaN."
        )
        raise Finding("bare root", told)
    for key, message, of in (
        (
            "another constant",
            f"{told} {at_rest**2:.1e} stands under the root, where the formula has 1e-8, once for each pair.",
            lambda d: (d.square().sum(1) + at_rest**2).sqrt(),
        ),
        (
            "outside the root",
            f"A constant of {at_rest:.1e} is added to the root. It belongs under it: outside it leaves the slope at 0 infinite.",
            lambda d: d.square().sum(1).sqrt() + at_rest,
        ),
        (
            "root bounded below",
            f"The root is never less than {at_rest:.1e}, so small differences count as none. Add 1e-8 under the root.",
            lambda d: d.square().sum(1).sqrt().clamp_min(at_rest),
        ),
    ):
        if near(found, with_size(flow.double(), of)).all():
            raise Finding(key, message)
    raise differs(found, expected)


flow_loss.checks(
    answers,
    keeps_what_it_gets,
    gives(flow_loss, NUMBERS),
    softens_the_root,
    treats_images_alone,
    *LAST,
    can_be_followed(partial(answered, flow_loss), "flow", "stadv"),
)
