"""Chapter 08: what a lens that is a little out of focus leaves of a change."""

from typing import Any

import torch

from advcourse.labs.exercises import Draw
from advcourse.practice.asking import ALL, slopes
from advcourse.practice.tasks import small_exercise


def drawn_changes(draw: Draw) -> dict[str, Any]:
    """Six changes of either sign, none of them zero; the two at the ends differ from each other and from their neighbours."""
    change = slopes(draw, 6)
    change[0], change[-1] = change[1] + 1, change[-2] - 2
    return {"change": change}


@small_exercise(
    "Through the lens",
    4,
    "medium",
    by_hand=({"change": torch.tensor([0.1, -0.1, 0.1, 0.1, 0.3])},),
    drawn=drawn_changes,
    hints=(
        "Each pixel keeps a half of its own change and gets a quarter of each neighbour's. A pixel at an end has one neighbour "
        "only, and stands in for the other one itself.",
        "torch.cat([change[:1], change[:-1]]) holds the left neighbour of each pixel. What holds the right one?",
    ),
    shape=lambda case: tuple(case["change"].shape),
    praise="Right. What all neighbours agree on goes through, and what turns from pixel to pixel is wiped out.",
)
def through_the_lens(change):
    left = torch.cat([change[:1], change[:-1]])
    right = torch.cat([change[1:], change[-1:]])
    return left / 4 + change / 2 + right / 4


@through_the_lens.slip(
    "dark outside",
    "At the two ends something is lost: you count the missing neighbour as 0. The pixel itself stands in for it.",
)
def nothing_beyond_the_ends(change):
    none = torch.zeros(1).to(change)
    return torch.cat([none, change[:-1]]) / 4 + change / 2 + torch.cat([change[1:], none]) / 4


@through_the_lens.slip(
    "in a ring",
    "The first pixel gets a quarter of the last one's change. The image is no ring: at an end the pixel stands in for the "
    "neighbour that is missing.",
)
def rolled(change):
    return change.roll(1) / 4 + change / 2 + change.roll(-1) / 4


@through_the_lens.slip(
    "thirds",
    "You give all three the same weight, a third. The pixel itself keeps a half, and its neighbours a quarter each.",
)
def equal_shares(change):
    left = torch.cat([change[:1], change[:-1]])
    right = torch.cat([change[1:], change[-1:]])
    return (left + change + right) / 3


@through_the_lens.slip(
    "one side",
    "You mix each pixel with one neighbour alone. Light spreads to both sides: a quarter from each.",
)
def left_alone(change):
    return torch.cat([change[:1], change[:-1]]) / 2 + change / 2


@through_the_lens.slip("one side")
def right_alone(change):
    return torch.cat([change[1:], change[-1:]]) / 2 + change / 2


@through_the_lens.slip(
    "weights of more than one",
    "The weights add up to more than one, so that the image gets brighter. Halve the pixel's own share, too.",
)
def keeps_itself(change):
    left = torch.cat([change[:1], change[:-1]])
    right = torch.cat([change[1:], change[-1:]])
    return left / 4 + change + right / 4


@through_the_lens.slip(
    "neighbours alone", "This is what the neighbours give. The pixel's own half is missing."
)
def without_itself(change):
    left = torch.cat([change[:1], change[:-1]])
    right = torch.cat([change[1:], change[-1:]])
    return left / 4 + right / 4


@through_the_lens.slip("unchanged", "This is the change as it was. The lens has not touched it yet.")
def a_perfect_lens(change):
    return change.clone()


@through_the_lens.right
def with_padding(change):
    wide = torch.cat([change[:1], change, change[-1:]])
    return (wide[:-2] + 2 * wide[1:-1] + wide[2:]) / 4


@through_the_lens.right
def as_a_convolution(change):
    wide = torch.nn.functional.pad(change[None, None], (1, 1), mode="replicate")
    return torch.nn.functional.conv1d(wide, torch.tensor([[[0.25, 0.5, 0.25]]]).to(change))[0, 0]


@through_the_lens.right
def pixel_by_pixel(change):
    n = len(change)
    mixed = [(change[max(i - 1, 0)] + 2 * change[i] + change[min(i + 1, n - 1)]) / 4 for i in range(n)]
    return torch.stack(mixed)


@through_the_lens.wrong("shape")
def inner_pixels_alone(change):
    return (change[:-2] + 2 * change[1:-1] + change[2:]) / 4


@through_the_lens.wrong("crash")
def a_neighbour_too_few(change):
    return change / 2 + change[1:] / 4 + change[:-1] / 4


@through_the_lens.wrong("input")
def in_place(change):
    change /= 2
    return change


through_the_lens.checks(*ALL)
