"""An explorer for chapter 20: how many stamped images does a backdoor need?"""

from collections.abc import Mapping

import ipywidgets
import numpy as np
from torch import Tensor

from advcourse import plots
from advcourse.core.inputs import InputError, check_range
from advcourse.core.intervals import printed
from advcourse.course.results import Result
from advcourse.course.results.victims import Stamped
from advcourse.data import ImageSet

_WIDE = {"style": {"description_width": "110px"}, "layout": {"width": "420px"}}
_COLUMNS = 16


class BackdoorExplorer(ipywidgets.VBox):
    """See `backdoor_explorer`. Its controls are `count`, `net` and `stamp`; `framed` (N,) are the digits with a frame."""

    def __init__(self, nets: Mapping[int, list[Result]], data: ImageSet, chosen: Tensor):
        self._nets, self._data, self._chosen = nets, data, chosen
        self.framed = np.zeros(len(chosen), dtype=bool)
        counts = [(f"{count} of 4 000", count) for count in nets]
        self.count = ipywidgets.SelectionSlider(
            options=counts, value=min(nets), description="stamped images", **_WIDE
        )
        most = min(len(each) for each in nets.values()) - 1
        self.net = ipywidgets.IntSlider(0, 0, most, description="network", **_WIDE)
        self.stamp = ipywidgets.Checkbox(True, description="stamp these digits", indent=False)
        self.picture = ipywidgets.Image(format="png", layout={"width": "780px", "max_width": "100%"})
        self.message = ipywidgets.HTML()
        controls = ipywidgets.HBox([self.count, self.net, self.stamp], layout={"flex_flow": "row wrap"})
        super().__init__([controls, self.picture, self.message])
        self.add_class("advcourse-explorer")
        for control in (self.count, self.net, self.stamp):
            control.observe(self._refresh, names="value")
        self._refresh()

    def _refresh(self, change=None):
        result = self._nets[self.count.value][self.net.value]
        made, values = result.measurement, result.values
        x, at = self._data.images[self._chosen], self._chosen
        wrong = made.turned(values)[at] if self.stamp.value else ~made.right(values)[at]
        self.framed = wrong.numpy()
        shown = (made.trigger(x) if self.stamp.value else x)[:, 0].numpy()
        rows = range(0, len(shown), _COLUMNS)
        images = {f"{row // _COLUMNS + 1}": shown[row : row + _COLUMNS] for row in rows}
        framed = {name: self.framed[row : row + _COLUMNS] for name, row in zip(images, rows, strict=True)}
        self.picture.value = plots.png(plots.image_table(images, framed=framed), optimize=False)
        kind = f"read as {self._data.classes[made.target]}" if self.stamp.value else "misread"
        self.message.value = (
            f'<p role="status" aria-live="polite">Framed: {int(self.framed.sum())} of these {len(at)} digits, which are {kind}. '
            f"Of all held-out digits of other classes, stamped, {printed(result.estimate)} are read as "
            f"{self._data.classes[made.target]}; of all clean ones, {printed(made.accuracy(values))} are read rightly.</p>"
        )


def backdoor_explorer(
    nets: Mapping[int, list[Result]], data: ImageSet, rows: int = 3, seed: int = 0
) -> BackdoorExplorer:
    """Choose how many training images bear the trigger; see which held-out digits the network then reads as the target.

    Controls: the number of stamped training images, which of the networks that were trained so, and whether the digits shown
    are stamped. What the networks answered was measured before, so that nothing is trained here.

    Args:
        nets: number of stamped images -> the results of `Stamped` with it, one for each seed.
        data: the held-out digits that were measured.
        rows: of sixteen digits, of other classes than the target, drawn at random (default 3).
        seed: of the draw (default 0).

    Returns:
        a `BackdoorExplorer`, an ipywidget.

    Raises:
        InputError: there are no results, one is of another kind, or too few digits.
    """
    results = [result for each in nets.values() for result in each]
    if not results or not all(isinstance(result.measurement, Stamped) for result in results):
        raise InputError("nets: got no results of Stamped; allowed are lists of them, at least one")
    rows = check_range(rows, "rows", 1, 10, integer=True)
    others = (data.labels != results[0].measurement.target).nonzero()[:, 0]
    order = np.random.default_rng(seed).permutation(len(others))[: rows * _COLUMNS]
    if len(order) < rows * _COLUMNS:
        raise InputError(f"data: got {len(others)} digits; allowed are at least {rows * _COLUMNS}")
    return BackdoorExplorer(dict(nets), data, others[np.sort(order)])
