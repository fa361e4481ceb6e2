"""Chapter 21: what the gradient promises for each word that may stand in place of another."""

import torch
from torch import Tensor

from advcourse.labs.exercises import Draw
from advcourse.practice.asking import ALL
from advcourse.practice.tasks import small_exercise


def drawn_words(draw: Draw) -> dict[str, Tensor]:
    """Four substitutes, a word and a slope, in three dimensions, in eighths, so that no rounding decides.

    The word that leaves counts against the slope, and no dimension has a small part in that.
    """
    signs = torch.tensor([1.0, -1.0, 1.0])[draw.uniform((3,)).argsort()]
    slope = signs * (3 + torch.floor(10 * draw.uniform((3,)))) / 8
    own = -slope.sign() * (2 + torch.floor(6 * draw.uniform((3,)))) / 8
    vectors = (torch.floor(17 * draw.uniform((4, 3))) - 8) / 8
    return {"vectors": vectors, "own": own, "slope": slope}


@small_exercise(
    "What a swap promises",
    5,
    "medium",
    by_hand=(
        {
            "vectors": torch.tensor([[3.0, 1.0], [-2.0, 1.0]]),
            "own": torch.tensor([1.0, 1.0]),
            "slope": torch.tensor([-2.0, 0.5]),
        },
    ),
    drawn=drawn_words,
    hints=(
        "To first order the lead changes by the step times the slope, added up over the dimensions. What is the step if one word "
        "leaves and another comes?",
        "The step is vectors - own, one row for each substitute. (vectors - own) @ slope takes each row times the slope.",
    ),
    shape=lambda case: (len(case["vectors"]),),
    praise="One multiplication has ranked all words at once. No other question to the network was needed.",
)
def promised_gain(vectors, own, slope):
    return (vectors - own) @ slope


@promised_gain.slip(
    "own word forgotten",
    "You count the word that comes, and not the one that leaves. The step is the difference of the two: vectors - own.",
)
def only_what_comes(vectors, own, slope):
    return vectors @ slope


@promised_gain.slip(
    "sign",
    "You go from the new word to the old one. The step leads to the new word: vectors - own, not own - vectors.",
)
def backwards(vectors, own, slope):
    return (own - vectors) @ slope


@promised_gain.slip(
    "sizes",
    "You add sizes, as if every dimension helped. A step against the slope costs what one along it wins: leave the signs.",
)
def sizes_added(vectors, own, slope):
    return ((vectors - own) * slope).abs().sum(1)


@promised_gain.slip(
    "distance",
    "This is how far each word lies, whatever the direction. The gain is the step times the slope, added up.",
)
def how_far(vectors, own, slope):
    return (vectors - own).norm(dim=1)


@promised_gain.slip(
    "sign of the slope",
    "You use the sign of the slope, as FGSM does for pixels. There every pixel moves by the same amount; here the step is given, "
    "and each dimension counts by its whole slope.",
)
def signs_only(vectors, own, slope):
    return (vectors - own) @ slope.sign()


@promised_gain.slip("mean", "You take the mean over the dimensions. Their gains add up: sum.")
def averaged(vectors, own, slope):
    return ((vectors - own) * slope).mean(1)


@promised_gain.right
def word_by_word(vectors, own, slope):
    return torch.stack([((vector - own) * slope).sum() for vector in vectors])


@promised_gain.right
def what_comes_less_what_leaves(vectors, own, slope):
    return torch.einsum("vd,d->v", vectors, slope) - torch.dot(own, slope)


@promised_gain.wrong("crash")
def transposed(vectors, own, slope):
    return (vectors - own).T @ torch.cat([slope, slope, slope])


promised_gain.checks(*ALL)
