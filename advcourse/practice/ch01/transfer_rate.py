"""Chapter 01: of the images that fool one model, the share that fools another one too."""

import torch
from torch import Tensor

from advcourse.labs.exercises import Draw
from advcourse.practice.asking import ALL
from advcourse.practice.tasks import small_exercise

COUNTS = ((4, 2, 1, 3), (3, 5, 2, 1), (2, 4, 1, 3), (5, 1, 3, 2), (1, 3, 2, 5))


def drawn_images(draw: Draw) -> dict[str, Tensor]:
    """Some images fool both models, some only the source, some only the other one, and some neither."""
    both, source, other, neither = COUNTS[draw.integer() % len(COUNTS)]
    place = draw.uniform((both + source + other + neither,)).argsort()
    only_other = (place >= both + source) & (place < both + source + other)
    return {"fools_source": place < both + source, "fools_other": (place < both) | only_other}


@small_exercise(
    "How much carries over",
    4,
    "easy",
    by_hand=(
        {
            "fools_source": torch.tensor([True, True, True, False, False]),
            "fools_other": torch.tensor([True, False, False, True, False]),
        },
        {
            "fools_source": torch.tensor([False, False, False]),
            "fools_other": torch.tensor([True, False, False]),
        },
    ),
    drawn=drawn_images,
    hints=(
        "An image that does not even fool the model it was made on has nothing to carry over. Which images do you look at, "
        "then, and which of them do you count?",
        "A mask picks entries: fools_other[fools_source] holds what the other model does on the images that fool the source. "
        "Its mean, after .double(), is the answer, and is nan by itself where nothing is left.",
    ),
    shape=lambda case: (),
    praise="Where nothing fools the source model there is nothing to measure: nan says so, and 0 would not.",
    numbers="nan",
)
def transfer_rate(fools_source, fools_other):
    return fools_other[fools_source].double().mean()


@transfer_rate.slip(
    "among all images",
    "You divide by all images. Those that do not even fool the source model had nothing to carry over: leave them out.",
)
def over_all(fools_source, fools_other):
    return (fools_source & fools_other).double().mean()


@transfer_rate.slip(
    "other direction",
    "You ask how many of those that fool the other model also fool the source. It is the other way round: choose by "
    "fools_source.",
)
def of_the_other(fools_source, fools_other):
    return fools_source[fools_other].double().mean()


@transfer_rate.slip(
    "other model alone",
    "This is how often the other model is fooled at all, even by images that the source model reads correctly. Those had "
    "nothing to carry over: look only at the ones that fool the source.",
)
def rate_on_the_other(fools_source, fools_other):
    return fools_other.double().mean()


@transfer_rate.slip(
    "source model alone",
    "This is how often the source model is fooled. The other one plays no part in it: look at what it does on just these images.",
)
def rate_on_the_source(fools_source, fools_other):
    return fools_source.double().mean()


@transfer_rate.slip(
    "two counts",
    "You divide two counts that need not be of the same images: an image that fools the other model alone is counted above the "
    "line, too. Above it belong only those that fool both.",
)
def others_per_source(fools_source, fools_other):
    return fools_other.sum() / fools_source.sum()


@transfer_rate.slip(
    "agreement",
    "You count where both models do the same, and so also the images that fool neither. Look only at those that fool the source "
    "model.",
)
def same_on_both(fools_source, fools_other):
    return (fools_source == fools_other).double().mean()


@transfer_rate.slip(
    "either",
    "You divide by the images that fool at least one of the two. Divide by those that fool the source.",
)
def over_either(fools_source, fools_other):
    return (fools_source & fools_other).sum() / (fools_source | fools_other).sum()


@transfer_rate.slip(
    "what is lost",
    "This is the share that does not carry over. Of the images that fool the source model, count those that fool the other one "
    "too.",
)
def lost_on_the_way(fools_source, fools_other):
    return (~fools_other)[fools_source].double().mean()


@transfer_rate.slip(
    "0 for nothing",
    "Where no image fools the source model, you answer 0: as if attacks had been tried, and none had carried over. Nothing was "
    "tried; say so with nan, float('nan').",
)
def zero_for_none(fools_source, fools_other):
    return (fools_source & fools_other).sum() / fools_source.sum().clamp(min=1)


@transfer_rate.slip("count", "This is a number of images. Divide it by how many fool the source model.")
def number_of_both(fools_source, fools_other):
    return (fools_source & fools_other).sum().double()


@transfer_rate.right
def by_division(fools_source, fools_other):
    return (fools_source & fools_other).sum() / fools_source.sum()


@transfer_rate.right
def by_counting(fools_source, fools_other):
    chosen = [
        other for source, other in zip(fools_source.tolist(), fools_other.tolist(), strict=True) if source
    ]
    return sum(chosen) / len(chosen) if chosen else float("nan")


@transfer_rate.wrong("crash")
def mean_of_true_and_false(fools_source, fools_other):
    return fools_other[fools_source].mean()


@transfer_rate.wrong("crash")
def divides_by_none(fools_source, fools_other):
    return int((fools_source & fools_other).sum()) / int(fools_source.sum())


@transfer_rate.wrong("0 for nothing")
def zero_by_hand(fools_source, fools_other):
    return transfer_rate(fools_source, fools_other).nan_to_num(0)


@transfer_rate.wrong("shape")
def one_for_each_image(fools_source, fools_other):
    return (fools_source & fools_other).double()


transfer_rate.checks(*ALL)
