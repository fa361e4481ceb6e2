"""stAdv: the warp and the flow's loss as the judge computes them, and slips known by their results."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from advcourse.core.rounding import number
from advcourse.labs import definitions as by_hand
from advcourse.labs.checks import Case, Draw, Student, picture
from advcourse.labs.numbers import differs, near
from advcourse.labs.properties import agree, same_as
from advcourse.labs.verdicts import Finding, Picture

UNDER_THE_ROOT = 1e-8


def flows(draw: Draw, x: Tensor) -> dict[str, Tensor]:
    """Each image moves as a whole by up to three pixels, to the right or left and up or down, and trembles a little."""
    n, _, height, width = x.shape
    whole = 1 + 2 * draw.uniform((n, 2, 1, 1))
    side = (draw.uniform((n, 2, 1, 1)) < 0.5) * 2.0 - 1
    return {"flow": whole * side + 0.3 * draw.normal((n, 2, height, width))}


def _read(x, row, column):
    """x (N, C, H, W) read at places (N, H, W) between the pixels: the mean of four, each by its nearness."""
    height, width = x.shape[2:]
    row, column = row.clamp(0, height - 1), column.clamp(0, width - 1)
    top, left = row.floor().long().clamp_max(height - 2), column.floor().long().clamp_max(width - 2)
    down, right = (row - top)[:, None], (column - left)[:, None]
    each = torch.arange(len(x))[:, None, None]

    def at(i, j):
        return x[each, :, i, j].movedim(-1, 1)

    upper = at(top, left) * (1 - right) + at(top, left + 1) * right
    lower = at(top + 1, left) * (1 - right) + at(top + 1, left + 1) * right
    return upper * (1 - down) + lower * down


def _moved(case, across=1.0, along=1.0, swap=False):
    """The image read at (u + across * flow of u, v + along * flow of v); the factors and `swap` serve the slips."""
    x, flow = by_hand.clean(case), case["flow"].double()
    u, v = (flow[:, 1], flow[:, 0]) if swap else (flow[:, 0], flow[:, 1])
    rows = torch.arange(x.shape[2]).view(1, -1, 1)
    columns = torch.arange(x.shape[3]).view(1, 1, -1)
    return _read(x, rows + along * v, columns + across * u)


def warp(case: Case) -> Tensor:
    return _moved(case)


def _scaled(factor):
    """A slip: the flow's two parts times factor(size of its own side, size of the other)."""

    def images(case):
        height, width = case["x"].shape[2:]
        return _moved(case, factor(width, height), factor(height, width))

    return images


def _sampled(align=True, **how):
    """The warp by grid_sample, with one of its settings wrong."""

    def images(case):
        x, flow = by_hand.clean(case), case["flow"].double()
        height, width = x.shape[2:]
        u = torch.linspace(-1, 1, width).view(1, 1, -1) + 2 * flow[:, 0] / (width - 1)
        v = torch.linspace(-1, 1, height).view(1, -1, 1) + 2 * flow[:, 1] / (height - 1)
        settings = {"padding_mode": "border", "align_corners": align, **how}
        return grid_sample(x, torch.stack([u, v], -1).double(), **settings)

    return images


WARP_SLIPS = (
    (
        "flow unused",
        "The image stays where it is. Add the flow to the grid.",
        same_as(by_hand.clean),
    ),
    (
        "x and y swapped",
        "The image moves down where it should move across. flow[:, 0] is the shift along the width, which is the first "
        "coordinate of grid_sample's grid; flow[:, 1] is the shift along the height.",
        same_as(lambda case: _moved(case, swap=True)),
    ),
    (
        "wrong way",
        "The image moves the other way: the flow is subtracted. The pixel at (u, v) is read at (u + flow, v + flow).",
        same_as(lambda case: _moved(case, -1, -1)),
    ),
    (
        "pixels unconverted",
        "The shifts are far too large: a flow in pixels is added to a grid that runs from -1 to 1. One pixel is 2 / (W "
        "- 1) of it.",
        same_as(_scaled(lambda own, other: (own - 1) / 2)),
    ),
    (
        "half a shift",
        "The image moves half as far as it should. The grid from -1 to 1 is 2 wide: one pixel is 2 / (W - 1).",
        same_as(_scaled(lambda own, other: 0.5)),
    ),
    (
        "W instead of W - 1",
        "The shifts are a little too small: one pixel is 2 / (W - 1) of the grid, not 2 / W. From the first centre to the last "
        "there are W - 1 pixels.",
        same_as(_scaled(lambda own, other: (own - 1) / own), most=1),
    ),
    (
        "sides swapped",
        "Images that are wider than high move by the wrong amounts: W and H are swapped in 2 / (W - 1). The first part "
        "of the flow goes with the width.",
        same_as(_scaled(lambda own, other: (own - 1) / (other - 1)), most=1),
    ),
    (
        "one size for both",
        "Images that are wider than high move by the wrong amount: both parts of the flow are divided by the same size. "
        "The first goes with W - 1, the second with H - 1.",
        lambda case, images: any(
            agree(images, _moved(case, *factors), 1)
            for height, width in [case["x"].shape[2:]]
            for factors in ((1, (height - 1) / (width - 1)), ((width - 1) / (height - 1), 1))
        ),
    ),
    (
        "align_corners",
        "The corners are off by half a pixel, and everything else a little. The grid puts the first centre at -1 and "
        "the last at 1: tell grid_sample, align_corners=True.",
        same_as(_sampled(align=False)),
    ),
    (
        "black border",
        'Black comes in from outside. There the border\'s pixels go on: padding_mode="border".',
        same_as(_sampled(padding_mode="zeros"), most=1),
    ),
    (
        "nearest",
        "Each pixel is a copy of its nearest one, so that there is no gradient for the flow. Take the bilinear mean of four.",
        same_as(_sampled(mode="nearest")),
    ),
)


def moves_as_told(**how: Any) -> Callable[[Student, Draw], None]:
    """The images are those that the flow points to. Where they are those of a known slip, the slip is named.

    `how`: the case, as for `Task.case`. The picture shows the right image beside the student's.
    """

    def ask(student, draw):
        case = student.task.case(draw, **how)
        images, expected = student(case), warp(case)
        if agree(images, expected, 1):
            return
        i = int((images - expected).abs().flatten(1).mean(1).argmax())
        shown = Picture(expected[i], images[i], "right")
        for key, message, test in WARP_SLIPS:
            if test(case, images):
                raise Finding(key, message, shown)
        raise Finding("formula", "The image is not the one that the flow points to.", shown)

    return ask


def zero_flow_changes_nothing(student: Student, draw: Draw) -> None:
    """No flow, no change."""
    case = student.task.case(draw)
    case = case.but(flow=torch.zeros_like(case["flow"]))
    images = student(case)
    if agree(images, by_hand.clean(case), 1):
        return
    shown = picture(case, images, 0)
    if agree(images, by_hand.clean(case).transpose(2, 3), 1):
        told = (
            "With a flow of 0 the image is mirrored at its diagonal: rows and columns are mixed up. The grid's last dimension is "
            "(x, y), the width first."
        )
        raise Finding("transposed", told, shown)
    if agree(images, _sampled(align=False)(case), 0.95):
        raise Finding(
            "align_corners", dict((key, told) for key, told, _ in WARP_SLIPS)["align_corners"], shown
        )
    told = (
        "With a flow of 0 the image changes. The grid without a flow must read each pixel at its own place."
    )
    raise Finding("zero flow", told, shown)


# The loss of the flow


_FOUR, _DIAGONAL = ((0, 1), (1, 0)), ((1, 1), (1, -1))


def _differences(flow, down, right):
    """flow minus its neighbour, (N, 2, ...), for all pixels that have that neighbour."""
    height, width = flow.shape[2:]
    a = flow[:, :, : height - down, max(0, -right) : width - max(0, right)]
    b = flow[:, :, down:, max(0, right) : width - max(0, -right)]
    return a - b


def _loss(flow, neighbours=_FOUR, size=None, twice=2):
    size = size or (lambda d: (d.square().sum(1) + UNDER_THE_ROOT).sqrt())
    return twice * sum(size(_differences(flow, *way)).flatten(1).sum(1) for way in neighbours)


def flow_loss(case: Case, **slip: Any) -> Tensor:
    return _loss(case["flow"].double(), **slip)


def _wrapped(case):
    flow = case["flow"].double()
    ways = ((1, 2), (-1, 2), (1, 3), (-1, 3))
    sizes = [((flow - flow.roll(*way)).square().sum(1) + UNDER_THE_ROOT).sqrt() for way in ways]
    return sum(size.flatten(1).sum(1) for size in sizes)


def _other(**slip):
    return lambda case: flow_loss(case, **slip)


FLOW_LOSS_SLIPS = (
    (
        "diagonal neighbours",
        "The neighbours are the four at the corners. The paper means those to the left and right, above and below.",
        _other(neighbours=_DIAGONAL),
    ),
    (
        "eight neighbours",
        "All eight pixels around are counted. Only four are neighbours: to the left and right, above and below.",
        _other(neighbours=_FOUR + _DIAGONAL),
    ),
    (
        "each pair once",
        "Each pair of neighbours is counted once. The sum runs over all p and over all neighbours q of p: so it is "
        "counted twice.",
        _other(twice=1),
    ),
    (
        "no root",
        "The squares are summed. Take the root of each pair's sum of squares before you add them up.",
        _other(size=lambda d: d.square().sum(1) + UNDER_THE_ROOT),
    ),
    (
        "absolute values",
        "The parts u and v are added by absolute value. Add their squares, then take the root: it is the length of a difference.",
        _other(size=lambda d: (d.square() + UNDER_THE_ROOT).sqrt().sum(1)),
    ),
    (
        "one root for all",
        "One root is taken of the sum over all pairs. Each pair has a root of its own.",
        lambda case: (2 * _loss(case["flow"].double(), size=lambda d: d.square().sum(1), twice=1)).sqrt(),
    ),
    (
        "wraps around",
        "The first row counts as the neighbour of the last: torch.roll goes round the edge. Compare slices, for example "
        "flow[:, :, 1:] with flow[:, :, :-1].",
        _wrapped,
    ),
    (
        "mean",
        "The result is a mean over the pairs. The loss is their sum, and tau is chosen for that.",
        lambda case: flow_loss(case) / (2 * _pairs_of(case)),
    ),
    (
        "mean over pixels",
        "The result is a mean over the pixels. The loss is the sum over them, and tau is chosen for that.",
        lambda case: flow_loss(case) / case["flow"][0, 0].numel(),
    ),
)


def _pairs_of(case):
    height, width = case["flow"].shape[2:]
    return height * (width - 1) + width * (height - 1)


def softens_the_root(student: Student, draw: Draw) -> None:
    """Where neighbours move alike, or nearly, the 1e-8 under the root counts: one flow is constant, the rest tremble a little."""
    case = student.task.case(draw)
    trembling = 10.0 ** -(2 + 2 * torch.arange(len(case["flow"])))  # 1e-4, 1e-6, 1e-8
    flow = trembling.view(-1, 1, 1, 1) * draw.normal(case["flow"].shape)
    flow[0] = draw.number(1, 3)
    case = case.but(flow=flow)
    found, expected = student(case), flow_loss(case)
    if near(found, expected).all():
        return
    at_rest = found[0].item() / (2 * _pairs_of(case))  # what a pair adds that moves alike
    told = f"Where all pixels move alike, the loss is {number(found[0].item(), 3)}, not {number(expected[0].item(), 3)}:"
    if at_rest == 0:
        told += (
            " the 1e-8 under the root is missing. The slope of a bare root is infinite at 0: where neighbours move alike, the "
            "gradient is NaN."
        )
        raise Finding("bare root", told)
    for key, message, size in (
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
        if near(found, flow_loss(case, size=size)).all():
            raise Finding(key, message)
    raise differs(found, expected)
