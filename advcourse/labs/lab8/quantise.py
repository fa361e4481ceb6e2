"""Lab 8: fewer grey levels."""

import torch
from torch import Tensor

from advcourse.labs.comparing import follows, recognises
from advcourse.labs.exercises import Case, Draw, Task, exercise
from advcourse.labs.lab8.questions import FIRST, LAST
from advcourse.labs.properties import other_shape, other_type, treats_images_alone

NEAR = 1e-3  # of a level's width: no pixel that is drawn lies nearer to a border between two levels


def of_all_greys(
    draw: Draw, x: Tensor, bits: int | None = None, noise: float = 0.4
) -> dict[str, Tensor | int]:
    """Digits under so much grey noise, no pixel of which is half-way between two levels; 2 to 4 bits."""
    bits = bits or 2 + draw.integer() % 3
    x = (1 - noise) * x + noise * draw.uniform(x.shape)
    half = ((2**bits - 1) * x) % 1 - 0.5
    return {"x": torch.where(half.abs() < NEAR, x * 0.99, x), "bits": bits}


@exercise(
    "Fewer grey levels",
    2,
    of_all_greys,
    (
        "With b bits one counts from 0 to 2^b - 1. How many steps is that from black to white?",
        "steps = 2**bits - 1. Multiply by steps, and a pixel lies between two whole numbers. Take the nearer one.",
        "return (steps * x).round() / steps.",
    ),
)
def quantise(x, bits):
    steps = 2**bits - 1
    return (steps * x).round() / steps


@quantise.slip(
    "not divided",
    "These are the numbers of the levels, 0, 1, 2 ... Divide by 2^bits - 1, so that the last is 1.",
)
def numbers_of_levels(x, bits):
    return (x * (2**bits - 1)).round()


@quantise.slip(
    "one level too many",
    "These are 2^bits steps, and so 2^bits + 1 levels, as in the code of Guo et al.: one more than `bits` bits can hold. "
    "From black to white there are 2^bits - 1 steps.",
)
def guos_code(x, bits):
    return (x * 2**bits).round() / 2**bits


@quantise.slip(
    "darkened",
    "Every pixel goes down to the level below, as where the lower bits are cut off: the image becomes darker, and white is "
    "no longer 1. Round to the nearest level.",
)
def floor_of_steps(x, bits):
    return (x * 2**bits).floor() / 2**bits


@quantise.slip(
    "darkened by cut bits",
    "The lower bits of 8 are cut off: the image becomes darker. Round to the nearest of the levels 0, 1 / (2^bits - 1) "
    "... 1.",
)
def shifted_integers(x, bits):
    pixels = (x * 255).to(torch.uint8)
    return ((pixels >> (8 - bits)) << (8 - bits)).to(x) / 255


@quantise.slip(
    "rounded down",
    "The levels are right, but each pixel goes to the one below. Only pure white stays white. Round to the nearest: round, "
    "not floor.",
)
def floor_of_levels(x, bits):
    steps = 2**bits - 1
    return (x * steps).floor() / steps


@quantise.slip(
    "rounded up",
    "The levels are right, but each pixel goes to the one above. Round to the nearest: round, not ceil.",
)
def ceil_of_levels(x, bits):
    steps = 2**bits - 1
    return (x * steps).ceil() / steps


@quantise.slip(
    "equal intervals",
    "The levels are right, but each has an interval of the same width, 1 / 2^bits. A pixel then does not always go to the "
    "nearest: round (2^bits - 1) * x.",
)
def bins(x, bits):
    n = 2**bits
    return (x * n).floor().clamp(max=n - 1) / (n - 1)


@quantise.slip(
    "no black, no white",
    "Each pixel goes to the middle of its interval, so that nothing is black or white any more. The first level is 0, and "
    "the last is 1.",
)
def middles(x, bits):
    n = 2**bits
    return ((x * n).floor().clamp(max=n - 1) + 0.5) / n


@quantise.slip(
    "bits for levels",
    "There are `bits` levels, or as many steps. With b bits one counts to 2^b: that many levels there are.",
)
def as_many_as_bits(x, bits):
    return (x * (bits - 1)).round() / (bits - 1)


@quantise.slip("bits for levels")
def as_many_steps_as_bits(x, bits):
    return (x * bits).round() / bits


@quantise.slip("bits unused", "The image keeps all its 256 levels. The number of levels is 2^bits.")
def eight_bits(x, bits):
    return (255 * x).round() / 255


def stretched(x, bits, low, high):
    return quantise((x - low) / (high - low), bits)


def within(x, bits, low, high):
    return low + (high - low) * stretched(x, bits, low, high)


def range_over(x, *axes):
    return x.amin(axes, keepdim=True), x.amax(axes, keepdim=True)


@quantise.slip(
    "own range",
    "The levels follow the darkest and the brightest pixel that happen to be there. They reach from 0 to 1, whatever "
    "these are; else the same pixel goes to another level in another company.",
)
def range_of_the_image(x, bits):
    return within(x, bits, *range_over(x, 1, 2, 3))


@quantise.slip("own range")
def stretched_image(x, bits):
    return stretched(x, bits, *range_over(x, 1, 2, 3))


@quantise.slip("own range")
def range_of_the_batch(x, bits):
    return within(x, bits, x.min(), x.max())


@quantise.slip("own range")
def stretched_batch(x, bits):
    return stretched(x, bits, x.min(), x.max())


@quantise.slip("unchanged", "The image is as it was. Round it.")
def nothing_done(x, bits):
    return x.clone()


@quantise.right
def by_adding_a_half(x, bits):
    last = (1 << bits) - 1
    return (x * last + 0.5).floor().clamp(0, last).div(last)


@quantise.right
def by_distance(x, bits):
    levels = torch.linspace(0, 1, 2**bits, dtype=x.dtype, device=x.device)
    return levels[(x[..., None] - levels).abs().argmin(-1)]


@quantise.right
def with_bucketize(x, bits):
    levels = torch.arange(2**bits, device=x.device).to(x) / (2**bits - 1)
    return levels[torch.bucketize(x.contiguous(), (levels[1:] + levels[:-1]) / 2)]


@quantise.wrong("own range")
def range_of_each_channel(x, bits):
    return within(x, bits, *range_over(x, 2, 3))


@quantise.wrong("own range")
def stretched_channels(x, bits):
    return stretched(x, bits, *range_over(x, 2, 3))


@quantise.wrong("formula")
def borders_moved(x, bits):
    steps = 2**bits - 1
    return (steps * x + 0.25).floor() / steps


@quantise.wrong("input")
def in_place(x, bits):
    steps = 2**bits - 1
    return x.mul_(steps).round_().div_(steps)


@quantise.wrong("type")
def numpys(x, bits):
    return quantise(x, bits).cpu().numpy()


@quantise.wrong("other type")
def always_float32(x, bits):
    return quantise(x, bits).float()


@quantise.wrong("crash")
def bits_as_a_tensor(x, bits):
    return (x * (2 ** bits.float() - 1)).round()


def pale(task: Task, draw: Draw, **how: int) -> Case:
    """Images without black or white, each with a range of its own."""
    case = task.case(draw, **how)
    x = case["x"]
    low, high = 0.1 + 0.1 * draw.uniform((len(x), 1, 1, 1)), 0.75 + 0.1 * draw.uniform((len(x), 1, 1, 1))
    return case.but(**of_all_greys(draw, low + (high - low) * x, case["bits"]))


quantise.checks(
    *FIRST,
    recognises(quantise, make=pale),
    follows(quantise, make=pale, bits=1),
    follows(quantise, bits=6),
    treats_images_alone,
    other_type,
    other_shape,
    *LAST,
)
