"""Answers to search(state, fooled)."""

import torch

from museum import Room

room = Room("search")


def narrowed(state, success):
    lo, hi, c = state
    return torch.where(success, lo, lo.maximum(c)), torch.where(success, hi.minimum(c), hi), c


def following(lo, hi, c):
    return torch.stack([lo, hi, torch.where(hi < 1e9, (lo + hi) / 2, 10 * c)])


@room.right
def with_where(state, fooled):
    return following(*narrowed(state, fooled.all(0)))


@room.right
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


@room.wrong("any copy")
def one_copy_is_enough(state, fooled):
    return following(*narrowed(state, fooled.any(0)))


@room.wrong("first copy")
def looks_at_one_copy(state, fooled):
    return following(*narrowed(state, fooled[0]))


@room.wrong("shared by the batch")
def one_outcome_for_all(state, fooled):
    return following(*narrowed(state, fooled.all().expand(state.shape[1])))


@room.wrong("lo and hi swapped")
def bounds_the_wrong_way(state, fooled):
    return following(*narrowed(state, ~fooled.all(0)))


@room.wrong("never grows")
def always_the_middle(state, fooled):
    lo, hi, _ = narrowed(state, fooled.all(0))
    return torch.stack([lo, hi, (lo + hi) / 2])


@room.wrong("doubles")
def twice_instead_of_tenfold(state, fooled):
    lo, hi, c = narrowed(state, fooled.all(0))
    return torch.stack([lo, hi, torch.where(hi < 1e9, (lo + hi) / 2, 2 * c)])


@room.wrong("always grows")
def tenfold_after_each_failure(state, fooled):
    success = fooled.all(0)
    lo, hi, c = narrowed(state, success)
    return torch.stack([lo, hi, torch.where(success, (lo + hi) / 2, 10 * c)])


@room.wrong("bounds stand still")
def forgets_the_bounds(state, fooled):
    lo, hi, c = state
    return following(lo, hi, c)


@room.wrong("geometric mean")
def mean_of_the_logarithms(state, fooled):
    lo, hi, c = narrowed(state, fooled.all(0))
    return torch.stack([lo, hi, torch.where(hi < 1e9, (lo * hi).sqrt(), 10 * c)])


@room.wrong("formula")
def halves_after_a_success(state, fooled):
    success = fooled.all(0)
    lo, hi, c = narrowed(state, success)
    return torch.stack([lo, hi, torch.where(success, c / 2, 10 * c)])


@room.wrong("shape")
def constants_alone(state, fooled):
    return following(*narrowed(state, fooled.all(0)))[2]


@room.wrong("type")
def a_tuple_of_rows(state, fooled):
    return tuple(following(*narrowed(state, fooled.all(0))))


@room.wrong("input")
def writes_into_the_state(state, fooled):
    success = fooled.all(0)
    lo, hi, c = state
    hi[success] = c[success]
    lo[~success] = c[~success]
    return following(lo, hi, c)


@room.wrong("crash")
def asks_a_vector_whether_it_is_true(state, fooled):
    lo, hi, c = state
    if fooled.all(0):
        hi = c
    else:
        lo = c
    return following(lo, hi, c)


@room.wrong("last copy")
def the_last_copy_decides(state, fooled):
    return following(*narrowed(state, fooled[-1]))


@room.wrong("most copies")
def a_majority_is_enough(state, fooled):
    return following(*narrowed(state, fooled.double().mean(0) > 0.5))


@room.wrong("other type")
def through_float32(state, fooled):
    return following(*narrowed(state.float(), fooled.all(0))).to(state)


@room.wrong("formula")
def bounds_above_ten_thousand_unseen(state, fooled):
    lo, hi, c = narrowed(state, fooled.all(0))
    return torch.stack([lo, hi, torch.where(hi < 1e4, (lo + hi) / 2, 10 * c)])


@room.wrong("formula")
def grows_by_the_bound(state, fooled):
    lo, hi, c = narrowed(state, fooled.all(0))
    return torch.stack([lo, hi, torch.where(hi < 1e9, (lo + hi) / 2, 10 * state[0])])
