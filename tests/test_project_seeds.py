"""What a test draws from the global generators does not depend on the tests that ran before it."""

import random

import numpy as np
import pytest
import torch
from conftest import SEED


@pytest.fixture
def fixed():
    """Numbers that a fixture draws."""
    return torch.rand(3)


@pytest.mark.parametrize("time", ["first", "second"])
def test_every_test_begins_with_the_same_numbers(fixed, time):
    """Against generators of our own: fixtures draw first, and the second time the same as the first."""
    own = torch.Generator().manual_seed(SEED)
    assert fixed.equal(torch.rand(3, generator=own)) and torch.rand(2).equal(torch.rand(2, generator=own))
    assert np.random.rand() == np.random.RandomState(SEED).rand()
    assert random.random() == random.Random(SEED).random()
