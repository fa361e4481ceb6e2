"""Lab 3: the search for a constant c for each image, one round of it."""

import torch
from torch import Tensor

from advcourse.labs.comparing import gives, numbers
from advcourse.labs.exercises import Draw, exercise
from advcourse.labs.lab3.questions import FIRST, keeps_the_digits
from advcourse.labs.properties import leaves_nothing_behind, other_device, other_type

UNBOUNDED = 1e10  # hi, while no constant has succeeded


def states(draw: Draw, x: Tensor, n: int = 24, copies: int = 3) -> dict[str, Tensor]:
    """Constants from 1e-3 to 1e7 in all stages of a search, and outcomes of all kinds."""
    c = 10 ** (10 * (torch.arange(n) // 4 + draw.uniform((n,))) / (n // 4) - 3)
    lo, hi = c * 0.5 * draw.uniform((n,)), c * (1.5 + draw.uniform((n,)))
    kind = torch.arange(n) % 4  # nothing known; a failure only; a success only; both
    lo, hi = torch.where(kind % 2 == 0, 0.0, lo), torch.where(kind < 2, UNBOUNDED, hi)
    fooled = draw.uniform((copies, n)) < 0.5
    fooled[:, n // 3 :] = fooled[:1, n // 3 :]  # of the rest all copies do, or none
    every = torch.arange(2**copies)[: n // 3]  # all that three copies can do, in some order
    fooled[:, draw.uniform(every.shape).argsort()] = (every >> torch.arange(copies)[:, None]) % 2 == 1
    return {"state": torch.stack([lo, hi, c]), "fooled": fooled}


def narrowed(state, success):
    """lo, hi and c after a round in which the images of `success` were fooled."""
    lo, hi, c = state
    return torch.where(success, lo, lo.maximum(c)), torch.where(success, hi.minimum(c), hi), c


def following(lo, hi, c, times=10):
    """The next state: c is the middle of the bounds, or so many times larger where no constant has succeeded."""
    return torch.stack([lo, hi, torch.where(hi < 1e9, (lo + hi) / 2, times * c)])


@exercise(
    "A constant for each image",
    3,
    states,
    (
        "First: which images succeeded? fooled has a row for each copy. Then each image moves one of its two bounds to c.",
        "lo, hi, c = state takes the rows apart, and torch.where(success, a, b) chooses image by image. A success moves hi, "
        "a failure lo.",
        "success = fooled.all(0); hi = torch.where(success, hi.minimum(c), hi); lo likewise, with maximum. The next c is "
        "torch.where(hi < 1e9, (lo + hi) / 2, 10 * c). Put the three rows together with torch.stack.",
    ),
    shape=lambda case: tuple(case["state"].shape),
)
def search(state, fooled):
    return following(*narrowed(state, fooled.all(0)))


@search.slip(
    "any copy", "One fooled copy counts as success. All copies of the image must fool: fooled.all(0)."
)
def one_copy_is_enough(state, fooled):
    return following(*narrowed(state, fooled.any(0)))


@search.slip("first copy", "The first copy decides alone. All copies of the image must fool: fooled.all(0).")
def looks_at_one_copy(state, fooled):
    return search(state, fooled[:1])


@search.slip("last copy", "The last copy decides alone. All copies of the image must fool: fooled.all(0).")
def the_last_copy_decides(state, fooled):
    return search(state, fooled[-1:])


@search.slip(
    "most copies",
    "A majority of fooled copies counts as success. All copies of the image must fool: fooled.all(0).",
)
def a_majority_is_enough(state, fooled):
    return following(*narrowed(state, fooled.double().mean(0) > 0.5))


@search.slip(
    "shared by the batch",
    "All images move together: the outcome of the whole batch decides. Each has its own lo, hi and c: torch.where.",
)
def one_outcome_for_all(state, fooled):
    return search(state, fooled.all().expand(1, state.shape[1]))


@search.slip(
    "lo and hi swapped",
    "The bounds move the wrong way round. After a success c is enough, so hi comes down to it; after a failure lo goes up.",
)
def bounds_the_wrong_way(state, fooled):
    return following(*narrowed(state, ~fooled.all(0)))


@search.slip(
    "never grows",
    "Where no constant has succeeded yet, hi = 1e10 is no bound, and half of it is far too large. Take 10 c there.",
)
def always_the_middle(state, fooled):
    lo, hi, _ = search(state, fooled)
    return torch.stack([lo, hi, (lo + hi) / 2])


@search.slip("doubles", "Where no constant has succeeded yet, c is doubled. Here it grows tenfold.")
def twice_instead_of_tenfold(state, fooled):
    return following(*narrowed(state, fooled.all(0)), times=2)


@search.slip(
    "always grows",
    "A failure makes c ten times larger even where a success is known. Between two known bounds take their middle.",
)
def tenfold_after_each_failure(state, fooled):
    lo, hi, c = narrowed(state, fooled.all(0))
    return torch.stack([lo, hi, torch.where(fooled.all(0), (lo + hi) / 2, 10 * c)])


@search.slip(
    "bounds stand still",
    "c changes, but lo and hi stay as they came. They are what the search remembers: move one of them to c first.",
)
def forgets_the_bounds(state, fooled):
    return following(*state)


@search.slip(
    "geometric mean",
    "The next c is the geometric mean of the bounds, which stays 0 while lo is 0. Here it is their middle, (lo + hi) / 2.",
)
def mean_of_the_logarithms(state, fooled):
    lo, hi, c = narrowed(state, fooled.all(0))
    return torch.stack([lo, hi, torch.where(hi < 1e9, (lo * hi).sqrt(), 10 * c)])


@search.right
def one_image_at_a_time(state, fooled):
    result = state.clone()
    for i in range(state.shape[1]):
        lo, hi, c = state[:, i].tolist()
        if fooled[:, i].sum() == len(fooled):
            hi = c
        else:
            lo = c
        result[:, i] = state.new_tensor([lo, hi, c * 10 if hi == 1e10 else lo + (hi - lo) / 2])
    return result


@search.wrong("formula")
def halves_after_a_success(state, fooled):
    lo, hi, c = narrowed(state, fooled.all(0))
    return torch.stack([lo, hi, torch.where(fooled.all(0), c / 2, 10 * c)])


@search.wrong("shape")
def constants_alone(state, fooled):
    return search(state, fooled)[2]


@search.wrong("type")
def a_tuple_of_rows(state, fooled):
    return tuple(search(state, fooled))


@search.wrong("input")
def writes_into_the_state(state, fooled):
    success = fooled.all(0)
    lo, hi, c = state
    hi[success] = c[success]
    lo[~success] = c[~success]
    return following(lo, hi, c)


@search.wrong("crash")
def asks_a_vector_whether_it_is_true(state, fooled):
    lo, hi, c = state
    if fooled.all(0):
        hi = c
    else:
        lo = c
    return following(lo, hi, c)


@search.wrong("other type")
def through_float32(state, fooled):
    return search(state.float(), fooled).to(state)


@search.wrong("formula")
def bounds_above_ten_thousand_unseen(state, fooled):
    lo, hi, c = narrowed(state, fooled.all(0))
    return torch.stack([lo, hi, torch.where(hi < 1e4, (lo + hi) / 2, 10 * c)])


@search.wrong("formula")
def grows_by_the_bound(state, fooled):
    lo, hi, _ = narrowed(state, fooled.all(0))
    return following(lo, hi, state[0])


search.checks(
    *FIRST,
    gives(search, numbers(least=1e-9)),
    other_type,
    keeps_the_digits,
    other_device,
    leaves_nothing_behind,
)
