"""Chapter 09: dodging and impersonation, counted apart."""

from typing import Any

import torch

from advcourse.labs.exercises import Draw
from advcourse.practice.asking import ALL, joined
from advcourse.practice.tasks import small_exercise


def drawn_readings(draw: Draw) -> dict[str, Any]:
    """Ten readings of person 3: three right, two as the target 5, the others as somebody else, and one of these more often."""
    read = torch.tensor([3, 3, 3, 5, 5, 0, 0, 0, 1, 7])
    return {"read": read[draw.uniform((10,)).argsort()], "person": 3, "target": 5}


@small_exercise(
    "Two goals, two rates",
    3,
    "easy",
    by_hand=(
        {"read": torch.tensor([2, 7, 7, 4, 2]), "person": 2, "target": 7},
        {"read": torch.tensor([1, 1, 0, 6]), "person": 1, "target": 6},
    ),
    drawn=drawn_readings,
    hints=(
        "A photograph dodges if it is read as anybody but the person: read != person. It impersonates if it is read as target.",
        "(read == target).double().mean() is the share of all photographs; the other is alike. Return both: return dodged, "
        "impersonated.",
    ),
    shape=lambda case: (2,),
    praise="The second can never be larger than the first: whoever is taken for the target has also dodged.",
)
@joined
def two_rates(read, person, target):
    dodged = (read != person).double().mean()
    impersonated = (read == target).double().mean()
    return dodged, impersonated


@two_rates.slip(
    "the same twice",
    "You count every error as an impersonation. But who is taken for a third person has not become the target.",
)
@joined
def errors_twice(read, person, target):
    dodged = (read != person).double().mean()
    return dodged, dodged


@two_rates.slip(
    "among the dodged",
    "You divide the impersonations by the number of those that dodged. Both rates are shares of all photographs.",
)
@joined
def among_the_dodged(read, person, target):
    dodged = read != person
    return dodged.double().mean(), (read == target)[dodged].double().mean()


@two_rates.slip(
    "target left out",
    "You do not count as dodged who is read as the target. But that one has got away, too: read != person is all it takes.",
)
@joined
def without_the_target(read, person, target):
    return ((read != person) & (read != target)).double().mean(), (read == target).double().mean()


@two_rates.slip("swapped", "These are the two rates in the wrong order: first dodged, then impersonated.")
@joined
def swapped(read, person, target):
    return (read == target).double().mean(), (read != person).double().mean()


@two_rates.slip(
    "recognised", "Your first rate is the share that is recognised. Dodged is the rest: != instead of ==."
)
@joined
def recognised(read, person, target):
    return (read == person).double().mean(), (read == target).double().mean()


@two_rates.slip(
    "counts", "These are numbers of photographs. Rates are shares of all of them: mean instead of sum."
)
@joined
def counts(read, person, target):
    return (read != person).double().sum(), (read == target).double().sum()


@two_rates.slip(
    "most frequent",
    "You take whoever comes most often among the errors for the target. Who was wanted is given: count read == target.",
)
@joined
def the_most_frequent(read, person, target):
    away = read != person
    return away.double().mean(), (read == read[away].mode().values).double().mean()


@two_rates.right
@joined
def one_by_one(read, person, target):
    answers = read.tolist()
    return sum(who != person for who in answers) / len(answers), answers.count(target) / len(answers)


@two_rates.right
@joined
def from_the_rest(read, person, target):
    return 1 - (read == person).float().mean(), (read == target).float().mean()


@two_rates.wrong("crash")
def mean_of_flags(read, person, target):
    return (read != person).mean(), (read == target).mean()


two_rates.checks(*ALL)
