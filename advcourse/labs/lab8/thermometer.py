"""Lab 8: a pixel becomes a row of switches."""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from advcourse.labs.comparing import NUMBERS, gives
from advcourse.labs.exercises import Case, Draw, Task, exercise
from advcourse.labs.lab8.questions import FIRST, LAST
from advcourse.labs.properties import other_type

NEAR = 1e-3  # of an interval's width: no pixel that is drawn lies nearer to a border between two intervals


def colours(draw: Draw, x: Tensor, levels: int | None = None) -> dict[str, Tensor | int]:
    """Small colour images; no pixel is at the border of an interval."""
    levels = levels or 5 + draw.integer() % 5
    x = draw.uniform((len(x), 3, 4, 5))
    middle = ((levels * x).floor() + 0.5) / levels
    return {"x": torch.where(((levels * x + 0.5) % 1 - 0.5).abs() < NEAR, middle, x), "levels": levels}


def switches(case: Case) -> tuple[int, ...]:
    """The shape of the code."""
    n, channels, height, width = case["x"].shape
    return n, channels * case["levels"], height, width


def numbers(x, levels):
    return torch.arange(levels, device=x.device).view(-1, 1, 1)


def code(on, x):
    return on.to(x.dtype).flatten(1, 2)


@exercise(
    "A pixel becomes a row of switches",
    3,
    colours,
    (
        "One more axis: x[:, :, None] is (N, C, 1, H, W), and meets numbers of the shape (levels, 1, 1). Compare the two.",
        "l = torch.arange(levels, device=x.device).view(-1, 1, 1). Switch l is on where x > l / levels; switch 0 also where x "
        "is 0.",
        "on = (x[:, :, None] > l / levels) | (l == 0); return on.to(x.dtype).flatten(1, 2).",
    ),
    shape=switches,
)
def thermometer(x, levels):
    l = numbers(x, levels)
    return code((x[:, :, None] > l / levels) | (l == 0), x)


def hottest(x, levels):
    """The number of the last switch that is on, (N, C, 1, H, W)."""
    return (0.99999 * x * levels).floor()[:, :, None]


@thermometer.slip(
    "one hot",
    "Only the switch of the pixel's own interval is on: this is the one-hot code. In a thermometer all below it are on "
    "too.",
)
def own_interval_alone(x, levels):
    return code(numbers(x, levels) == hottest(x, levels), x)


@thermometer.slip(
    "upside down",
    "The mercury falls: the switches from the pixel's interval upwards are on. Those from 0 up to it should be.",
)
def from_there_upwards(x, levels):
    return code(numbers(x, levels) >= hottest(x, levels), x)


@thermometer.slip(
    "mirrored",
    "The number of switches that are on is right, but they are the last ones. Switch 0 comes first, and is always on.",
)
def last_ones_first(x, levels):
    return code((numbers(x, levels) <= hottest(x, levels)).flip(2), x)


@thermometer.slip(
    "inverted", "On and off are the wrong way round: 1 is for the switches below the pixel's value."
)
def off_is_on(x, levels):
    return 1 - thermometer(x, levels)


@thermometer.slip(
    "levels first",
    "The switches are right, but in another order: first switch 0 of all channels, then switch 1 ... Switch l of channel c "
    "is channel c * levels + l: all of one channel stand together.",
)
def stacked_in_front(x, levels):
    l = numbers(x, levels)[..., None]
    return code((x[:, None] > l / levels) | (l == 0), x)


@thermometer.slip(
    "one switch too few",
    "Switch 0 stands for the second interval. A pixel in interval b has switches 0 to b on, that is b + 1 of them.",
)
def counted_from_one(x, levels):
    return code(x[:, :, None] > (numbers(x, levels) + 1) / levels, x)


@thermometer.slip(
    "levels - 1 intervals",
    "The range is cut into levels - 1 intervals. There are as many as switches: interval b begins at b / levels.",
)
def with_linspace(x, levels):
    at = torch.linspace(0, 1, levels, device=x.device).view(-1, 1, 1)
    return code((x[:, :, None] > at) | (at == 0), x)


@thermometer.slip(
    "nearest border",
    "The pixel is rounded to the nearest border. It lies in an interval: cut x * levels off, and do not round it.",
)
def rounded(x, levels):
    return code(numbers(x, levels) <= (x * levels).round()[:, :, None], x)


@thermometer.slip(
    "fractions",
    "Some switches are half on. A code holds 0 and 1 alone. (What you have is the smooth one that BPDA puts in its place.)",
)
def smooth(x, levels):
    return (x[:, :, None] * levels - numbers(x, levels)).clamp(0, 1).flatten(1, 2)


@thermometer.slip(
    "white is off",
    "A white pixel has no switch on at all: 1.0 * levels is a number beyond the last interval. White lies in the last one, "
    "and has all switches on.",
)
def white_left_out(x, levels):
    l = numbers(x, levels)
    return code(((x[:, :, None] > l / levels) | (l == 0)) & (x[:, :, None] < 1), x)


@thermometer.slip("white is off")
def beyond_the_last(x, levels):
    interval = (x * levels).floor().long()
    hot = (numbers(x, levels) == interval[:, :, None]).to(x.dtype)
    return hot.flip(2).cumsum(2).flip(2).flatten(1, 2)


@thermometer.slip(
    "black is off", "A black pixel has no switch on. It lies in interval 0, and switch 0 is always on."
)
def strictly_above(x, levels):
    return code(x[:, :, None] > numbers(x, levels) / levels, x)


@thermometer.slip(
    "borders",
    "A pixel of exactly l / levels has switch l on. The border belongs to the interval below it: on is where x is greater, "
    "not where it is equal.",
)
def at_the_border_too(x, levels):
    return code(x[:, :, None] >= numbers(x, levels) / levels, x)


@thermometer.right
def as_in_the_paper(x, levels):
    return code(numbers(x, levels) <= hottest(x, levels), x)


@thermometer.right
def switch_by_switch(x, levels):
    channels = []
    for c in range(x.shape[1]):
        for l in range(levels):
            on = x[:, c] > l / levels if l else torch.ones_like(x[:, c], dtype=torch.bool)
            channels.append(on)
    return torch.stack(channels, 1).to(x)


def up_to(interval, x, levels):
    """The switches up to that of the interval, by its one-hot code."""
    hot = one_hot(interval, levels).to(x.dtype)  # (N, C, H, W, levels)
    return hot.flip(-1).cumsum(-1).flip(-1).permute(0, 1, 4, 2, 3).flatten(1, 2)


@thermometer.right
def from_one_hot(x, levels):
    return up_to(((x * levels).ceil() - 1).clamp(0, levels - 1).long(), x, levels)


@thermometer.wrong("formula")
def one_channel_for_all(x, levels):
    return thermometer(x[:, :1].expand_as(x), levels)


@thermometer.wrong("shape")
def five_axes(x, levels):
    return thermometer(x, levels).unflatten(1, (-1, levels))


@thermometer.wrong("type")
def bools(x, levels):
    return thermometer(x, levels).bool()


@thermometer.wrong("other type")
def always_float(x, levels):
    return thermometer(x, levels).float()


@thermometer.wrong("crash")
def one_hot_of_white(x, levels):
    return up_to((x * levels).floor().long() + 1, x, levels)


def in_colour(task: Task, draw: Draw) -> list[Case]:
    """In float64: what float32 makes of a switch that is hardly on is off by more than a slip may be."""
    return [task.case(draw).to(torch.float64) for _ in range(2)]


def borders(task: Task, draw: Draw) -> Case:
    """Images that hold black, white and the borders of all intervals; the number of levels is a power of 2."""
    levels = 4 * 2 ** (draw.integer() % 3)
    at = torch.arange(levels + 1) / levels
    x = at[(draw.uniform((4, 3, 5, 7)) * (levels + 1)).long()]
    x[:, :, 0, 0], x[:, :, 0, 1] = 0.0, 1.0
    return task.case(draw, x=x, levels=levels)


thermometer.checks(
    *FIRST,
    gives(thermometer, by=NUMBERS, make=in_colour),
    gives(thermometer, by=NUMBERS, make=borders, keys=("white is off", "black is off", "borders")),
    other_type,
    *LAST,
)
