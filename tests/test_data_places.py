"""Places in data sets: what Python's own list makes of an index, and a sentence for each that it refuses."""

import numpy as np
import pytest
import torch

from advcourse import data
from advcourse.core.inputs import InputError
from advcourse.data.apps import AppSet
from advcourse.data.base import ImageSet
from advcourse.data.words import WordList

SETS = {name: data.load(name).subset(range(6)) for name in ("apps", "reviews", "spoken", "signs")}
each = pytest.mark.parametrize("some", SETS.values(), ids=SETS)


def same(a, b):
    """Whether two elements of a set are the same: an app, a sentence or an image, and its label."""
    return all(
        torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y for x, y in zip(a, b, strict=True)
    )


@each
def test_places_are_those_of_a_list(some):
    """Against a list of the elements: whole numbers of each kind, from both ends; and a loop, which ends after the last."""
    listed = list(some)
    assert len(listed) == len(some) == 6
    for i in (0, 5, -1, -6, np.int64(2), torch.tensor(3)):
        assert same(some[i], listed[int(i)])
    for chosen in (
        [2, -1, 2],
        np.array([0, 5]),
        torch.tensor([4]),
        range(3),
        (),
        torch.tensor([1], dtype=torch.uint8),
    ):
        expected = [listed[int(i)] for i in chosen]
        assert all(map(same, some.subset(chosen), expected)) and len(some.subset(chosen)) == len(expected)
    mask = [True, False, False, True, False, False]
    for chosen in (mask, torch.tensor(mask), np.array(mask)):
        assert all(map(same, some.subset(chosen), [listed[0], listed[3]])) and len(some.subset(chosen)) == 2


@each
@pytest.mark.parametrize(
    "i, words",
    [
        (10**6, ["1000000", "from -6 to 5"]),
        (6, ["got 6"]),
        (-7, ["got -7"]),
        (0.5, ["0.5"]),
        (True, ["True"]),
        ("a", ["'a'"]),
        (None, ["None"]),
        (slice(0, 2), ["slice(0, 2", "subset(range"]),
        (torch.tensor([1, 2]), ["[1, 2]"]),
    ],
)
def test_no_such_place(some, i, words):
    """Checks that the message names the argument, what was given and what is allowed; and that it is an IndexError as well."""
    with pytest.raises(InputError) as error:
        some[i]
    assert isinstance(error.value, IndexError) and all(word in str(error.value) for word in ["i: ", *words])


@each
@pytest.mark.parametrize(
    "indices, words",
    [
        ([0, 10**6], ["1000000", "from -6 to 5"]),
        ([-7], ["got -7"]),
        ([0.5], ["float", "whole numbers"]),
        ([[0, 1]], ["(1, 2)"]),
        (3, ["shape ()"]),
        ("ab", ["'ab'"]),
        (None, ["None"]),
        ([True], ["for 1", "each of 6"]),
        (torch.zeros(0, dtype=torch.bool), ["for 0", "each of 6"]),
    ],
)
def test_no_such_places(some, indices, words):
    """Checks the same of a subset's places."""
    with pytest.raises(InputError) as error:
        some.subset(indices)
    assert all(word in str(error.value) for word in ["indices: ", *words])


@each
def test_an_empty_set_has_no_places(some):
    """Checks what is said where nothing is allowed."""
    none = some.subset([])
    assert len(none) == 0 and list(none) == []
    with pytest.raises(InputError, match="i: got 0; the set is empty"):
        none[0]


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: AppSet(*map(torch.arange, (2, 2, 3)), name="", split="", licence=""), ["(2,), (2,), (3,)"]),
        (lambda: SETS["signs"].pick(2, "a"), ["seed", "'a'"]),
        (lambda: SETS["signs"].pick(2, -1), ["seed", "-1"]),
        (lambda: WordList(["a", "good"]).word(4), ["number", "got 4", "<= 3"]),
        (lambda: WordList(["a", "good"]).word(-1), ["number", "-1"]),
    ],
)
def test_what_else_sets_refuse(call, words):
    """Checks the messages of other arguments that reached torch or Python as they were."""
    with pytest.raises(InputError) as error:
        call()
    assert all(word in str(error.value) for word in words)


def test_sets_of_one_kind_stay_of_it():
    """Sounds stay sounds, and images images."""
    assert type(SETS["spoken"].subset([0])) is type(SETS["spoken"]) and type(SETS["signs"]) is ImageSet
