"""Posters, stickers and photographs in other types and modes, and arguments of a form that they do not take."""

import copy

import numpy as np
import pytest
import torch

from advcourse import models
from advcourse.attacks.noise import Noise
from advcourse.cases.camera import Phone, Photographed, Road, printed
from advcourse.cases.driveby import road_tables
from advcourse.cases.signs import MOST_VIEWS, RP2, plate_of
from advcourse.core.inputs import InputError

QUICK = {"pool": 4, "batch": 2, "steps": 3, "search_steps": 2}


@pytest.fixture(scope="module")
def network():
    return models.load("signs-cnn")


def test_inference_mode_changes_nothing(network):
    """Inside torch.inference_mode, and with plate and mask that were made there, the pattern is the same, bit by bit."""
    plate, attack = plate_of("stop"), RP2(**QUICK)
    expected = attack.run(network, plate, "stop", "no entry")
    with torch.inference_mode():
        inside = attack.run(network, plate_of("stop"), "stop", "no entry")
    mask = inside.mask
    after = attack.run(network, inside.clean, "stop", "no entry", mask)
    assert torch.equal(inside.colours, expected.colours)
    assert torch.equal(after.colours, expected.colours)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("surface", ["stickers", "poster"])
def test_coarse_types_give_finite_patterns_of_their_type(kind, surface, network):
    """In 16 bits, the squares of small gradients are zero, and 1 / sqrt of them infinite: the steps are taken in 32."""
    coarse = copy.deepcopy(network).to(kind)
    attack = RP2(surface=surface, tv=1.0, nps=1.0, l1=1.0, penalty=1.0, **QUICK)
    result = attack.run(coarse, plate_of("stop").to(kind), "stop", "no entry")
    fine = attack.run(network, plate_of("stop"), "stop", "no entry")
    assert result.printed.dtype == result.colours.dtype == kind
    assert result.colours.isfinite().all()
    assert result.losses.isfinite().all()
    assert abs(result.losses[0].item() - fine.losses[0].item()) < 0.1 * fine.losses[0].item()


def test_no_attack_sees_a_view_that_is_measured():
    """The views behind `MOST_VIEWS` are for measurements, so a larger pool is refused."""
    RP2(pool=MOST_VIEWS)
    with pytest.raises(InputError, match="pool"):
        RP2(pool=MOST_VIEWS + 1)


def test_tables_take_arrays(network):
    """Distances and angles may be arrays: the counts are those of the same numbers in tuples."""
    known = {"views": 2, "plates": {"stop": plate_of("stop")}, "label": "stop"}
    expected = road_tables(network, distances=(10.0, 20.0), angles=(0.0, 20.0), **known)["stop"]
    arrays = road_tables(network, distances=np.array([10.0, 20.0]), angles=np.array([0.0, 20.0]), **known)
    assert torch.equal(arrays["stop"].hits, expected.hits)
    assert arrays["stop"].distances == (10.0, 20.0)


MISTAKES = {
    "road: got 3": lambda net: road_tables(net, {"stop": plate_of("stop")}, "stop", road=3),
    "distances: got": lambda net: road_tables(net, {"stop": plate_of("stop")}, "stop", distances=[(4, 10)]),
    "angles: got 90": lambda net: road_tables(net, {"stop": plate_of("stop")}, "stop", angles=[90]),
    "alpha: got str": lambda net: Photographed(net, Road(), "alpha"),
    "alpha: got shape": lambda net: Photographed(net, Road(), torch.ones(1, 64, 64)),
    "alpha: got one for another": lambda net: Photographed(net, Phone(), torch.ones(32, 32)),
    "of the size of alpha": lambda net: Photographed(net, Road(), torch.ones(32, 32))(
        torch.zeros(1, 3, 64, 64)
    ),
    "x: got type torch.uint8": lambda net: printed(torch.zeros(3, 4, 4, dtype=torch.uint8)),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_bad_input_is_told(message, network):
    """One error that names the argument."""
    with pytest.raises(InputError, match=message):
        MISTAKES[message](network)


def test_noise_of_no_images():
    """An empty batch has noise of its own shape and type."""
    x = torch.zeros(0, 3, 4, 4, dtype=torch.float64)
    for draw in (Noise(0).uniform, Noise(0).normal):
        assert draw(x).shape == x.shape
        assert draw(x).dtype == x.dtype
