"""Lab 5: what a printer makes of colours, from eight printed corners of the colour cube."""

from itertools import product

import torch
from torch import Tensor

from advcourse.labs.comparing import NUMBERS, gives
from advcourse.labs.exercises import Case, Draw, Task, exercise
from advcourse.labs.lab8.questions import FIRST, LAST
from advcourse.labs.numbers import can_be_followed
from advcourse.labs.properties import other_type

SCREEN = torch.tensor(
    list(product((0.0, 1.0), repeat=3))
)  # the corners as a screen shows them, row 4 r + 2 g + b
PAPER, INK = 0.93, 0.12  # the white of the paper, and the black of three inks on top of each other


def inks(draw: Draw) -> Tensor:
    """Eight printed corners, (8, 3): the screen's, duller, with colours that stray by up to 0.12."""
    dull = INK + (PAPER - INK) * (0.85 * SCREEN + 0.15 * SCREEN.mean(1, keepdim=True))
    return (dull + 0.12 * (2 * draw.uniform((8, 3)) - 1)).clamp(0.02, 0.98)


def some_images(draw: Draw, x: Tensor) -> dict[str, Tensor]:
    """Two images in colour, and a printer's colours."""
    return {"x": draw.uniform((2, 3, 6, 5)), "corners": inks(draw)}


@exercise(
    "Ink on paper",
    3,
    some_images,
    (
        "Each of the eight corners has a weight: the share of the paper on which the dots happen to lie so. The weights of a "
        "pixel add up to 1.",
        "Corner (r, g, b) is row 4 r + 2 g + b. Its weight is (x_red if r else 1 - x_red) times the same for green and blue.",
        "With share = torch.stack([1 - x, x]), (2, N, 3, H, W): weight of row 4 r + 2 g + b is share[r][:, 0] * share[g][:, 1] * "
        "share[b][:, 2]. Add up weight[:, None] * corners[row].view(3, 1, 1).",
    ),
    shape=lambda case: tuple(case["x"].shape),
)
def printed(x, corners):
    return mixed(weights(x), corners)


def weights(x):
    """The share of each corner in each pixel, (N, 8, H, W)."""
    off, on = 1 - x, x
    return torch.stack(
        [
            torch.stack([(on if bit else off)[:, c] for c, bit in enumerate(bits)]).prod(0)
            for bits in product((0, 1), repeat=3)
        ],
        1,
    )


def mixed(share, corners):
    return torch.einsum("nkhw,kc->nchw", share, corners)


@printed.slip(
    "channels apart",
    "Each channel is printed for itself, between the black and the white of the paper. Inks mix: the printed red depends on what "
    "green and blue are asked for, so all eight corners count.",
)
def black_to_white(x, corners):
    black, white = corners[0].view(3, 1, 1), corners[7].view(3, 1, 1)
    return black + x * (white - black)


@printed.slip("channels apart")
def with_its_own_primary(x, corners):
    black, pure = corners[0], torch.stack([corners[4, 0], corners[2, 1], corners[1, 2]])
    return black.view(3, 1, 1) + x * (pure - black).view(3, 1, 1)


@printed.slip(
    "axis order",
    "Red and blue are exchanged: row 4 r + 2 g + b is that of the corner (r, g, b), so row 1 is blue and row 4 is red. You take "
    "row r + 2 g + 4 b.",
)
def from_the_other_end(x, corners):
    return printed(x.flip(1), corners)


@printed.slip(
    "negative",
    "The weights are those of the opposite corners, so that white is printed black: a channel of 1 means the corners with a 1 "
    "there.",
)
def weights_of_the_opposite(x, corners):
    return printed(1 - x, corners)


@printed.slip(
    "clipped to the box",
    "You clip each channel to what the corners hold. A printer does not cut colours off, it mixes them: nearly all colours are "
    "changed, also those between the darkest and the lightest ink.",
)
def into_the_box(x, corners):
    low, high = corners.amin(0).view(3, 1, 1), corners.amax(0).view(3, 1, 1)
    return torch.minimum(torch.maximum(x, low), high)


@printed.slip(
    "nearest corner",
    "Each pixel gets one of the eight colours. Seen from afar the dots mix: interpolate between the corners.",
)
def one_corner_a_pixel(x, corners):
    return printed(x.round(), corners)


@printed.slip(
    "three inks added",
    "You add to black what each primary changes, as lights add up. Where two inks lie on top of each other they give a colour of "
    "their own: yellow, magenta, cyan and white have rows as well.",
)
def as_a_matrix(x, corners):
    change = torch.stack([corners[4], corners[2], corners[1]]) - corners[0]
    return corners[0].view(3, 1, 1) + torch.einsum("nkhw,kc->nchw", x, change)


@printed.slip(
    "weights do not add up to 1",
    "The factors 1 - x of the channels that a corner does not have are missing: a white pixel then gets all eight colours.",
)
def products_of_x_alone(x, corners):
    rows = [
        torch.stack([x[:, c] if bit else torch.ones_like(x[:, c]) for c, bit in enumerate(bits)]).prod(0)
        for bits in product((0, 1), repeat=3)
    ]
    return mixed(torch.stack(rows, 1), corners)


@printed.slip(
    "mean of the shares",
    "A corner's weight is the mean of its three shares. It is their product: the dots of the three inks lie independently of "
    "each other.",
)
def averaged(x, corners):
    off, on = 1 - x, x
    rows = [
        torch.stack([(on if bit else off)[:, c] for c, bit in enumerate(bits)]).mean(0) / 4
        for bits in product((0, 1), repeat=3)
    ]
    return mixed(torch.stack(rows, 1), corners)


@printed.slip(
    "printed twice",
    "The colours have gone through the printer twice. Do you print an image that is printed already?",
)
def a_copy_of_the_copy(x, corners):
    return printed(printed(x, corners), corners)


@printed.slip(
    "unprinted",
    "The image comes back as it was on the screen. The corners are what full and no ink look like on paper.",
)
def as_on_screen(x, corners):
    return x.clone()


@printed.right
def channel_by_channel(x, corners):
    table = corners.view(2, 2, 2, 1, 3, 1, 1)
    for channel in x.unbind(1):
        share = channel[:, None]
        table = (1 - share) * table[0] + share * table[1]
    return table


@printed.right
def as_a_volume(x, corners):
    volume = corners.T.reshape(1, 3, 2, 2, 2).expand(len(x), -1, -1, -1, -1)
    grid = (2 * x - 1).flip(1).permute(0, 2, 3, 1)[:, None]
    return torch.nn.functional.grid_sample(volume, grid, align_corners=True)[:, :, 0]


@printed.right
def row_by_row(x, corners):
    total = torch.zeros_like(x)
    for row, colour in enumerate(corners):
        share = torch.ones_like(x[:, :1])
        for channel, bit in enumerate((row // 4, row // 2 % 2, row % 2)):
            value = x[:, channel : channel + 1]
            share = share * (value if bit else 1 - value)
        total = total + share * colour.view(3, 1, 1)
    return total


@printed.wrong("shape")
def channels_last(x, corners):
    return printed(x, corners).permute(0, 2, 3, 1)


@printed.wrong("crash")
def corners_as_they_come(x, corners):
    return weights(x) @ corners


@printed.wrong("detached")
def without_a_graph(x, corners):
    return printed(x, corners).detach()


@printed.wrong("gradient")
def straight_through(x, corners):
    return x + (printed(x, corners) - x).detach()


@printed.wrong("input")
def complement_in_place(x, corners):
    y = x.clone()
    x.mul_(-1).add_(1)
    return printed(y, corners)


@printed.wrong("other type")
def in_single_precision(x, corners):
    return printed(x.float(), corners.float())


@printed.wrong("formula")
def with_a_tone_curve(x, corners):
    return printed(x**1.2, corners)


def with_the_corners(task: Task, draw: Draw) -> tuple[Case, Case]:
    """Two questions; the images of the second hold the eight corners, too."""
    case = task.case(draw)
    x = case["x"].clone()
    x[:, :, 0, :4], x[:, :, 1, :4] = SCREEN[:4].T, SCREEN[4:].T
    return task.case(draw), case.but(x=x)


printed.checks(
    *FIRST,
    gives(printed, NUMBERS, make=with_the_corners),
    can_be_followed(lambda case: printed(case["x"], case["corners"]), "x", "an attack that prints"),
    other_type,
    *LAST,
)
