"""Lab 2: the warp of stAdv, which moves pixels."""

from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from advcourse.labs.checks import Student, picture
from advcourse.labs.comparing import Comparison, agree, answered, called, gives
from advcourse.labs.definitions import clean
from advcourse.labs.exercises import Case, Draw, exercise
from advcourse.labs.numbers import can_be_followed
from advcourse.labs.properties import (
    answers,
    changes_the_images,
    keeps_what_it_gets,
    leaves_nothing_behind,
    other_device,
    other_type,
    stays_in_the_box,
    treats_images_alone,
)
from advcourse.labs.verdicts import Finding, Picture


def flows(draw: Draw, x: Tensor) -> dict[str, Tensor]:
    """Each image moves as a whole by up to three pixels, to the right or left and up or down, and trembles a little."""
    n, _, height, width = x.shape
    whole = 1 + 2 * draw.uniform((n, 2, 1, 1))
    side = (draw.uniform((n, 2, 1, 1)) < 0.5) * 2.0 - 1
    return {"flow": whole * side + 0.3 * draw.normal((n, 2, height, width))}


def axes(x):
    height, width = x.shape[2:]
    like = {"dtype": x.dtype, "device": x.device}
    return torch.linspace(-1, 1, width, **like), torch.linspace(-1, 1, height, **like)[:, None]


def scaled(x, flow, across, down, **settings):
    """grid_sample where one pixel is `across` of the grid in width, and `down` in height."""
    xs, ys = axes(x)
    grid = torch.stack([xs + across * flow[:, 0], ys + down * flow[:, 1]], -1)
    return grid_sample(x, grid, **{"padding_mode": "border", "align_corners": True, **settings})


def sampled(x, flow, **settings):
    """The warp, with other settings of grid_sample."""
    height, width = x.shape[2:]
    return scaled(x, flow, 2 / (width - 1), 2 / (height - 1), **settings)


@exercise(
    "Moving pixels instead of changing them",
    3,
    flows,
    (
        "grid_sample wants places, not shifts: a grid (N, H, W, 2), whose last dimension is (x, y), each from -1 at "
        "the first pixel's centre to 1 at the last one's. Begin with the grid of a flow of 0.",
        "xs = torch.linspace(-1, 1, W) and ys = torch.linspace(-1, 1, H) (on x's device, of its type). A shift of one pixel is "
        "2 / (W - 1) across and 2 / (H - 1) down.",
        "grid = torch.stack([xs + 2 * flow[:, 0] / (W - 1), ys[:, None] + 2 * flow[:, 1] / (H - 1)], -1); return "
        'grid_sample(x, grid, padding_mode="border", align_corners=True).',
    ),
)
def warp(x, flow):
    return sampled(x, flow)


@warp.slip("flow unused", "The image stays where it is. Add the flow to the grid.")
def flow_unused(x, flow):
    return warp(x, torch.zeros_like(flow))


@warp.slip(
    "x and y swapped",
    "The image moves down where it should move across. flow[:, 0] is the shift along the width, which is the first "
    "coordinate of grid_sample's grid; flow[:, 1] is the shift along the height.",
)
def rows_first(x, flow):
    return warp(x, flow.flip(1))


@warp.slip(
    "wrong way",
    "The image moves the other way: the flow is subtracted. The pixel at (u, v) is read at (u + flow, v + flow).",
)
def flow_subtracted(x, flow):
    return warp(x, -flow)


@warp.slip(
    "pixels unconverted",
    "The shifts are far too large: a flow in pixels is added to a grid that runs from -1 to 1. One pixel is 2 / (W "
    "- 1) of it.",
)
def pixels_as_they_are(x, flow):
    return scaled(x, flow, 1, 1)


@warp.slip(
    "half a shift",
    "The image moves half as far as it should. The grid from -1 to 1 is 2 wide: one pixel is 2 / (W - 1).",
)
def factor_two_forgotten(x, flow):
    height, width = x.shape[2:]
    return scaled(x, flow, 1 / (width - 1), 1 / (height - 1))


@warp.slip(
    "W instead of W - 1",
    "The shifts are a little too small: one pixel is 2 / (W - 1) of the grid, not 2 / W. From the first centre to the last "
    "there are W - 1 pixels.",
)
def divided_by_the_width(x, flow):
    height, width = x.shape[2:]
    return scaled(x, flow, 2 / width, 2 / height)


@warp.slip(
    "sides swapped",
    "Images that are wider than high move by the wrong amounts: W and H are swapped in 2 / (W - 1). The first part "
    "of the flow goes with the width.",
)
def height_for_width(x, flow):
    height, width = x.shape[2:]
    return scaled(x, flow, 2 / (height - 1), 2 / (width - 1))


@warp.slip(
    "one size for both",
    "Images that are wider than high move by the wrong amount: both parts of the flow are divided by the same size. "
    "The first goes with W - 1, the second with H - 1.",
)
def square_images_alone(x, flow):
    return scaled(x, flow, 2 / (x.shape[2] - 1), 2 / (x.shape[2] - 1))


@warp.slip("one size for both")
def width_for_both(x, flow):
    return scaled(x, flow, 2 / (x.shape[3] - 1), 2 / (x.shape[3] - 1))


@warp.slip(
    "align_corners",
    "The corners are off by half a pixel, and everything else a little. The grid puts the first centre at -1 and "
    "the last at 1: tell grid_sample, align_corners=True.",
)
def corners_not_aligned(x, flow):
    return sampled(x, flow, align_corners=False)


@warp.slip(
    "black border",
    'Black comes in from outside. There the border\'s pixels go on: padding_mode="border".',
)
def padded_with_zeros(x, flow):
    return sampled(x, flow, padding_mode="zeros")


def copies_pixels(case: Case, images: Tensor) -> bool:
    """Whether nearly all pixels are copies of the nearest: halfway between two, rounding decides which that is."""
    return agree(images, called(nearest_pixel, case))


@warp.slip(
    "nearest",
    "Each pixel is a copy of its nearest one, so that there is no gradient for the flow. Take the bilinear mean of four.",
    test=copies_pixels,
)
def nearest_pixel(x, flow):
    return sampled(x, flow, mode="nearest")


@warp.right
def with_affine_grid(x, flow):
    identity = torch.eye(2, 3, dtype=x.dtype, device=x.device).expand(len(x), -1, -1)
    grid = affine_grid(identity, x.shape, align_corners=True)
    size = torch.tensor([x.shape[3] - 1, x.shape[2] - 1], dtype=x.dtype, device=x.device)
    shift = 2 * flow.permute(0, 2, 3, 1) / size
    return grid_sample(x, (grid + shift).clamp(-1, 1), "bilinear", "zeros", align_corners=True)


@warp.right
def four_corners_by_hand(x, flow):
    n, c, height, width = x.shape
    rows = torch.arange(height, device=x.device)[:, None]
    columns = torch.arange(width, device=x.device)
    u = (columns + flow[:, 0]).clamp(0, width - 1)
    v = (rows + flow[:, 1]).clamp(0, height - 1)
    flat, total = x.flatten(2), torch.zeros_like(x)
    for i in (v.floor(), v.floor() + 1):
        for j in (u.floor(), u.floor() + 1):
            weight = (1 - (v - i).abs()).clamp_min(0) * (1 - (u - j).abs()).clamp_min(0)
            place = i.clamp_max(height - 1).long() * width + j.clamp_max(width - 1).long()
            read = flat.gather(2, place.view(n, 1, -1).expand(-1, c, -1)).view_as(x)
            total = total + weight[:, None] * read
    return total


@warp.wrong("transposed")
def rows_and_columns_mixed_up(x, flow):
    height, width = x.shape[2:]
    xs, ys = axes(x)
    grid = torch.stack([ys + 2 * flow[:, 1] / (height - 1), xs + 2 * flow[:, 0] / (width - 1)], -1)
    return grid_sample(x, grid, padding_mode="border", align_corners=True)


@warp.wrong("zero flow")
def grid_from_zero(x, flow):
    height, width = x.shape[2:]
    xs, ys = ((axis + 1) / 2 for axis in axes(x))
    grid = torch.stack([xs + 2 * flow[:, 0] / (width - 1), ys + 2 * flow[:, 1] / (height - 1)], -1)
    return grid_sample(x, grid, padding_mode="border", align_corners=True)


@warp.wrong("other type")
def grid_of_float32(x, flow):
    height, width = x.shape[2:]
    xs, ys = torch.linspace(-1, 1, width), torch.linspace(-1, 1, height)[:, None]
    u, v = flow.float()[:, 0], flow.float()[:, 1]
    grid = torch.stack([xs + 2 * u / (width - 1), ys + 2 * v / (height - 1)], -1)
    return grid_sample(x, grid, padding_mode="border", align_corners=True)


@warp.wrong("detached")
def flow_detached(x, flow):
    return warp(x, flow.detach())


@warp.wrong("detached")
def without_gradients(x, flow):
    with torch.no_grad():
        return warp(x, flow)


@warp.wrong("gradient")
def one_part_detached(x, flow):
    return warp(x, torch.stack([flow[:, 0], flow[:, 1].detach()], 1))


@warp.wrong("formula")
def mirrored_at_the_border(x, flow):
    return sampled(x, flow, padding_mode="reflection")


def beside_the_right_one(case: Case, images: Tensor, expected: Tensor) -> Picture:
    """The right image and the student's, where they differ the most."""
    i = int((images - expected).abs().flatten(1).mean(1).argmax())
    return Picture(expected[i], images[i], "right")


def points_elsewhere(case: Case, images: Tensor, expected: Tensor) -> Finding:
    """What is said of images that no slip explains."""
    told = "The image is not the one that the flow points to."
    return Finding("formula", told, beside_the_right_one(case, images, expected))


ALL_PIXELS = Comparison(
    Student.__call__,
    called,
    lambda images, expected: agree(images, expected, 1),
    points_elsewhere,
    beside_the_right_one,
)


def zero_flow_changes_nothing(student: Student, draw: Draw) -> None:
    """No flow, no change."""
    case = student.task.case(draw)
    case = case.but(flow=torch.zeros_like(case["flow"]))
    images, x = student(case), clean(case)
    if agree(images, x, 1):
        return
    shown = picture(case, images, 0)
    if agree(images, x.transpose(2, 3), 1):
        told = (
            "With a flow of 0 the image is mirrored at its diagonal: rows and columns are mixed up. The grid's last dimension is "
            "(x, y), the width first."
        )
        raise Finding("transposed", told, shown)
    if agree(images, called(corners_not_aligned, case), 0.95):
        (told,) = (slip.message for slip in warp.slips if slip.key == "align_corners")
        raise Finding("align_corners", told, shown)
    told = (
        "With a flow of 0 the image changes. The grid without a flow must read each pixel at its own place."
    )
    raise Finding("zero flow", told, shown)


warp.checks(
    answers,
    keeps_what_it_gets,
    zero_flow_changes_nothing,
    gives(warp, ALL_PIXELS),
    changes_the_images,
    stays_in_the_box,
    treats_images_alone,
    gives(warp, ALL_PIXELS, shape=(3, 20, 24)),
    other_type,
    other_device,
    leaves_nothing_behind,
    can_be_followed(partial(answered, warp), "flow", "stadv"),
)
