"""Grey levels and thermometer codes as the judge computes them, and the slips known by their results."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from advcourse.labs.checks import Case, Draw, Task
from advcourse.labs.lab8.defended import nearest_level
from advcourse.labs.numbers import gives
from advcourse.labs.properties import follows, recognises, same_as

NEAR = 1e-3  # of a level's width: no pixel that is drawn lies nearer to a border between two levels


def of_all_greys(
    draw: Draw, x: Tensor, bits: int | None = None, noise: float = 0.4
) -> dict[str, Tensor | int]:
    """Digits under so much grey noise, no pixel of which is half-way between two levels; 2 to 4 bits."""
    bits = bits or 2 + draw.integer() % 3
    x = (1 - noise) * x + noise * draw.uniform(x.shape)
    half = ((2**bits - 1) * x) % 1 - 0.5
    return {"x": torch.where(half.abs() < NEAR, x * 0.99, x), "bits": bits}


def pale(task: Task, draw: Draw, **how: Any) -> Case:
    """Images without black or white, each with a range of its own."""
    case = task.case(draw, **how)
    x = case["x"]
    low, high = 0.1 + 0.1 * draw.uniform((len(x), 1, 1, 1)), 0.75 + 0.1 * draw.uniform((len(x), 1, 1, 1))
    return case.but(**of_all_greys(draw, low + (high - low) * x, case["bits"]))


def quantise(case: Case) -> Tensor:
    return nearest_level(case["x"].double(), case["bits"])


def _rule(rule):
    """rule(x, 2^bits), as a function of the case."""
    return lambda case: rule(case["x"].double(), 2 ** case["bits"])


def _of_own_range(case, of, back):
    """As if the darkest pixel of the image, or of the batch, were 0, and the brightest 1; with the way `back` to the range."""
    x = case["x"].double()
    dims = {"image": (1, 2, 3), "channel": (2, 3), "batch": (0, 1, 2, 3)}[of]
    low, high = x.amin(dims, keepdim=True), x.amax(dims, keepdim=True)
    found = nearest_level((x - low) / (high - low), case["bits"])
    return low + (high - low) * found if back else found


def _slip(key, message, rule):
    return key, message, same_as(_rule(rule))


_QUANTISE_SLIPS = (
    _slip(
        "not divided",
        "These are the numbers of the levels, 0, 1, 2 ... Divide by 2^bits - 1, so that the last is 1.",
        lambda x, n: ((n - 1) * x).round(),
    ),
    _slip(
        "one level too many",
        "These are 2^bits steps, and so 2^bits + 1 levels, as in the code of Guo et al.: one more than `bits` bits can hold. "
        "From black to white there are 2^bits - 1 steps.",
        lambda x, n: (n * x).round() / n,
    ),
    _slip(
        "darkened",
        "Every pixel goes down to the level below, as where the lower bits are cut off: the image becomes darker, and white is "
        "no longer 1. Round to the nearest level.",
        lambda x, n: (n * x).floor() / n,
    ),
    _slip(
        "darkened by cut bits",
        "The lower bits of 8 are cut off: the image becomes darker. Round to the nearest of the levels 0, 1 / (2^bits - 1) "
        "... 1.",
        lambda x, n: (255 * x / (256 / n)).floor() * (256 / n) / 255,
    ),
    _slip(
        "rounded down",
        "The levels are right, but each pixel goes to the one below. Only pure white stays white. Round to the nearest: round, "
        "not floor.",
        lambda x, n: ((n - 1) * x).floor() / (n - 1),
    ),
    _slip(
        "rounded up",
        "The levels are right, but each pixel goes to the one above. Round to the nearest: round, not ceil.",
        lambda x, n: ((n - 1) * x).ceil() / (n - 1),
    ),
    _slip(
        "equal intervals",
        "The levels are right, but each has an interval of the same width, 1 / 2^bits. A pixel then does not always go to the "
        "nearest: round (2^bits - 1) * x.",
        lambda x, n: (n * x).floor().clamp_max(n - 1) / (n - 1),
    ),
    _slip(
        "no black, no white",
        "Each pixel goes to the middle of its interval, so that nothing is black or white any more. The first level is 0, and "
        "the last is 1.",
        lambda x, n: ((n * x).floor().clamp_max(n - 1) + 0.5) / n,
    ),
    (
        "bits for levels",
        "There are `bits` levels, or as many steps. With b bits one counts to 2^b: that many levels there are.",
        lambda case, images: any(
            same_as(lambda case, n=n: (case["x"].double() * n).round() / n)(case, images)
            for n in (case["bits"] - 1, case["bits"])
        ),
    ),
    _slip(
        "bits unused",
        "The image keeps all its 256 levels. The number of levels is 2^bits.",
        lambda x, n: (255 * x).round() / 255,
    ),
    *(
        (
            "own range",
            "The levels follow the darkest and the brightest pixel that happen to be there. They reach from 0 to 1, whatever "
            "these are; else the same pixel goes to another level in another company.",
            same_as(lambda case, of=of, back=back: _of_own_range(case, of, back)),
        )
        for of in ("image", "channel", "batch")
        for back in (True, False)
    ),
    _slip("unchanged", "The image is as it was. Round it.", lambda x, n: x),
)

QUANTISE = (
    recognises(quantise, _QUANTISE_SLIPS, make=pale),
    follows(quantise, make=pale, bits=1),
    follows(quantise, bits=6),
)


# The thermometer


def colours(draw: Draw, x: Tensor, levels: int | None = None) -> dict[str, Tensor | int]:
    """Small colour images; no pixel is at the border of an interval."""
    levels = levels or 5 + draw.integer() % 5
    x = draw.uniform((len(x), 3, 4, 5))
    middle = ((levels * x).floor() + 0.5) / levels
    return {"x": torch.where(((levels * x + 0.5) % 1 - 0.5).abs() < NEAR, middle, x), "levels": levels}


def borders(task: Task, draw: Draw) -> tuple[Case]:
    """Images that hold black, white and the borders of all intervals; the number of levels is a power of 2."""
    levels = 4 * 2 ** (draw.integer() % 3)
    at = torch.arange(levels + 1) / levels
    x = at[(draw.uniform((4, 3, 5, 7)) * (levels + 1)).long()]
    x[:, :, 0, 0], x[:, :, 0, 1] = 0.0, 1.0
    return (task.case(draw, x=x, levels=levels),)


def in_colour(task: Task, draw: Draw) -> list[Case]:
    """In float64: what float32 makes of a switch that is hardly on is off by more than a slip may be."""
    return [task.case(draw).to(torch.float64) for _ in range(2)]


def thermometer(
    case: Case, on: Callable[[Tensor, int, int], Tensor] | None = None, order: str = "channel by channel"
) -> Tensor:
    """The code, switch by switch. `on(x, l, levels)` and `order` serve the slips."""
    x, levels = case["x"].double(), case["levels"]
    on = on or _is_on
    switches = [on(x, level, levels).double() for level in range(levels)]  # each (N, C, H, W)
    stacked = torch.stack(switches, 2 if order == "channel by channel" else 1)
    return stacked.flatten(1, 2)


def _is_on(x, level, levels):
    return x > (level / levels if level else -1.0)


def _on(rule):
    return lambda case: thermometer(case, rule)


def _interval(x, levels):
    """The number of the interval that x is in."""
    return (x * levels).ceil().sub(1).clamp_min(0)


_THERMOMETER_SLIPS = (
    (
        "one hot",
        "Only the switch of the pixel's own interval is on: this is the one-hot code. In a thermometer all below it are on "
        "too.",
        _on(lambda x, level, levels: _interval(x, levels) == level),
    ),
    (
        "upside down",
        "The mercury falls: the switches from the pixel's interval upwards are on. Those from 0 up to it should be.",
        _on(lambda x, level, levels: _interval(x, levels) <= level),
    ),
    (
        "mirrored",
        "The number of switches that are on is right, but they are the last ones. Switch 0 comes first, and is always on.",
        _on(lambda x, level, levels: _is_on(x, levels - 1 - level, levels)),
    ),
    (
        "inverted",
        "On and off are the wrong way round: 1 is for the switches below the pixel's value.",
        _on(lambda x, level, levels: ~_is_on(x, level, levels)),
    ),
    (
        "levels first",
        "The switches are right, but in another order: first switch 0 of all channels, then switch 1 ... Switch l of channel c "
        "is channel c * levels + l: all of one channel stand together.",
        lambda case: thermometer(case, order="level by level"),
    ),
    (
        "one switch too few",
        "Switch 0 stands for the second interval. A pixel in interval b has switches 0 to b on, that is b + 1 of them.",
        _on(lambda x, level, levels: x > (level + 1) / levels),
    ),
    (
        "levels - 1 intervals",
        "The range is cut into levels - 1 intervals. There are as many as switches: interval b begins at b / levels.",
        _on(lambda x, level, levels: x > (level / (levels - 1) if level else -1.0)),
    ),
    (
        "nearest border",
        "The pixel is rounded to the nearest border. It lies in an interval: cut x * levels off, and do not round it.",
        _on(lambda x, level, levels: (x * levels).round() >= level),
    ),
    (
        "fractions",
        "Some switches are half on. A code holds 0 and 1 alone. (What you have is the smooth one that BPDA puts in its place.)",
        _on(lambda x, level, levels: (x * levels - level).clamp(0, 1)),
    ),
)

_BORDER_SLIPS = (
    (
        "white is off",
        "A white pixel has no switch on at all: 1.0 * levels is a number beyond the last interval. White lies in the last one, "
        "and has all switches on.",
        _on(lambda x, level, levels: torch.where(x < 1, _is_on(x, level, levels), False)),
    ),
    (
        "white is off",
        "A white pixel has no switch on at all: 1.0 * levels is a number beyond the last interval. White lies in the last one, "
        "and has all switches on.",
        _on(lambda x, level, levels: torch.where(x < 1, (x * levels).floor() >= level, False)),
    ),
    (
        "black is off",
        "A black pixel has no switch on. It lies in interval 0, and switch 0 is always on.",
        _on(lambda x, level, levels: x > level / levels),
    ),
    (
        "borders",
        "A pixel of exactly l / levels has switch l on. The border belongs to the interval below it: on is where x is greater, "
        "not where it is equal.",
        _on(lambda x, level, levels: x >= level / levels),
    ),
)

THERMOMETER = (
    gives(thermometer, _THERMOMETER_SLIPS, cases=in_colour),
    gives(thermometer, _BORDER_SLIPS, cases=borders),
)
