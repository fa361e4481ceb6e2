"""Signed maps and the arrows of a flow, as they are drawn."""

import numpy as np
import pytest
import torch

from advcourse import plots
from advcourse.core.inputs import InputError

LOGITS = torch.tensor([[4.0, 0.0], [0.0, 2.0]])


def test_signed_maps_are_symmetric_about_zero():
    """Checks arrays, limits, titles, units and rings against the numbers handed in."""
    maps = {"alpha": torch.tensor([[1.0, -3.0], [0.0, 2.0]]), "flat": np.zeros((2, 2))}
    figure = plots.signed_maps(maps, "logits per unit", marks=[(0, 1)])
    drawn = [axis for axis in figure.axes if axis.images and axis.get_title()]
    assert [axis.get_title() for axis in drawn] == list(maps)
    assert drawn[0].images[0].get_clim() == (-3, 3) and drawn[1].images[0].get_clim() == (-1, 1)
    assert np.array_equal(drawn[0].images[0].get_array(), maps["alpha"])
    assert {tuple(map(int, line.get_xydata()[0])) for line in drawn[0].lines} == {(1, 0)}  # column, row
    assert [axis.get_xlabel() for axis in figure.axes if axis.get_xlabel()] == ["logits per unit"] * 2


def test_arrows_go_from_where_a_value_was_to_where_it_is():
    """By hand: a pixel at row 1, column 2 that takes its value from 2 to the right gets an arrow from there, 2 to the left."""
    images, flow = torch.full((2, 1, 4, 5), 0.5), torch.zeros(2, 2, 4, 5)
    flow[0, 0, 1, 2], flow[0, 1, 3, 3] = 2.0, 0.1
    figure = plots.bent(images, flow, images * 0.9, LOGITS, LOGITS[[1, 1]], classes=("cat", "dog"))
    axes = np.array(figure.axes).reshape(2, 2)
    arrows = axes[0, 0].collections[0]
    assert arrows.N == 1 and arrows.XY.tolist() == [[4, 1]] and (arrows.U.item(), arrows.V.item()) == (-2, 0)
    assert axes[0, 1].collections[0].N == 0
    assert [axis.get_title() for axis in axes[1]] == ["dog\n88 %", "dog\n88 %"]
    assert [axis.spines["top"].get_visible() for axis in axes[1]] == [True, False]
    assert np.allclose(axes[1, 0].images[0].get_array(), 0.45)
    assert len(plots.png(figure)) > 1000


def test_bad_input():
    """Checks that the message names the argument."""
    images = torch.rand(2, 1, 4, 5)
    with pytest.raises(InputError, match=r"flow: .* \(2, 2, 4, 5\)"):
        plots.bent(images, torch.zeros(2, 2, 5, 4), images, LOGITS, LOGITS)
    with pytest.raises(InputError, match="images"):
        plots.bent(images, torch.zeros(2, 2, 4, 5), images[:1], LOGITS, LOGITS)
    with pytest.raises(InputError, match="maps"):
        plots.signed_maps({}, "logits")
    with pytest.raises(InputError, match=r"maps\['a'\]"):
        plots.signed_maps({"a": np.zeros(3)}, "logits")
