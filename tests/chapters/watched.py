"""Runs in a chapter's kernel before its first cell: a picture fails that shows a digit which reads otherwise than its label,
and a figure whose texts collide.

Number 825 of the test digits of `mnist-5k` is labelled 0 and has a tail, like a 6.
"""

import numpy as np
from matplotlib.axes import Axes

from advcourse import data, plots
from advcourse.plots.collisions import collisions

_UNCLEAR = data.load("mnist-5k").images[825, 0].numpy()
_imshow, _show = Axes.imshow, plots.show


def _watched(axes, picture, *args, **kwargs):
    shown = np.asarray(picture, dtype=float)
    shown = shown[..., 0] if shown.ndim == 3 else shown
    if shown.shape == _UNCLEAR.shape and shown.std() > 0:
        likeness = np.corrcoef(shown.ravel(), _UNCLEAR.ravel())[0, 1]
        assert likeness < 0.9, "shows a 0 that looks like a 6"  # the other digits: at most 0.77
    return _imshow(axes, picture, *args, **kwargs)


def _shown(figure, alt):
    shown = _show(figure, alt)
    assert not collisions(figure), f"{alt[:60]}: {collisions(figure)}"
    return shown


Axes.imshow, plots.show = _watched, _shown
