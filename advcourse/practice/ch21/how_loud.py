"""Chapter 21: how loud a change is beside the sound, in decibels."""

import torch
from torch import Tensor

from advcourse.labs.exercises import Draw
from advcourse.practice.asking import ALL, rounded
from advcourse.practice.tasks import small_exercise


def drawn_sounds(draw: Draw) -> dict[str, Tensor]:
    """Eight samples of a sound and of a change: the loudest of each is below zero, and not at the same place."""
    wave = rounded(0.8 * draw.uniform((8,)) - 0.4)
    change = rounded(0.06 * draw.uniform((8,)) - 0.03)
    first = draw.integer() % 8
    wave[(first + 1) % 8], change[(first + 5) % 8] = 0.3, 0.02
    wave[first], change[(first + 3) % 8] = -0.6 - 0.1 * (draw.integer() % 3), -0.05
    return {"wave": wave, "change": change}


@small_exercise(
    "How loud is it?",
    5,
    "easy",
    by_hand=(
        {"wave": torch.tensor([0.2, -0.5, 0.1]), "change": torch.tensor([0.01, 0.02, -0.05])},
        {"wave": torch.tensor([0.8, -0.4, 0.0]), "change": torch.tensor([0.0, -0.008, 0.004])},
    ),
    drawn=drawn_sounds,
    hints=(
        "Compare the largest sample of the change with the largest one of the sound, both without their signs. Then turn the "
        "ratio into decibels: ten times less is -20.",
        "20 * (change.abs().max() / wave.abs().max()).log10()",
    ),
    shape=lambda case: (),
    praise="Twenty decibels down is a tenth, forty a hundredth, sixty a thousandth.",
)
def how_loud(wave, change):
    return 20 * (change.abs().max() / wave.abs().max()).log10()


@how_loud.slip(
    "ten",
    "With 10 you would compare energies. Sizes take 20: a tenth of the size has a hundredth of the energy.",
)
def with_ten(wave, change):
    return 10 * (change.abs().max() / wave.abs().max()).log10()


@how_loud.slip(
    "upside down", "You divide the sound by the change. A quiet change has a NEGATIVE number of decibels."
)
def upside_down(wave, change):
    return 20 * (wave.abs().max() / change.abs().max()).log10()


@how_loud.slip(
    "no ratio",
    "This is how loud the change is by itself. Beside a soft sound the same change is louder: divide.",
)
def by_itself(wave, change):
    return 20 * change.abs().max().log10()


@how_loud.slip(
    "signs",
    "You take the largest sample with its sign. A wave swings both ways: take sizes first, with abs().",
)
def with_signs(wave, change):
    return 20 * (change.max() / wave.max()).log10()


@how_loud.slip(
    "natural logarithm", "This is the natural logarithm. Decibels are made with the one to base 10: log10."
)
def natural(wave, change):
    return 20 * (change.abs().max() / wave.abs().max()).log()


@how_loud.slip(
    "place by place",
    "You divide sample by sample. Take the largest of each first; they need not be at the same place.",
)
def place_by_place(wave, change):
    return 20 * (change.abs() / wave.abs().clamp_min(1e-3)).max().log10()


@how_loud.right
def difference_of_levels(wave, change):
    return 20 * change.abs().max().log10() - 20 * wave.abs().max().log10()


@how_loud.right
def of_squares(wave, change):
    return 10 * torch.log10(change.square().max() / wave.square().max())


@how_loud.wrong("formula")
def root_mean_square(wave, change):
    return 20 * (change.square().mean() / wave.square().mean()).sqrt().log10()


how_loud.checks(*ALL)
