"""Drive past a sign: an explorer with the distance and the angle of the car, the photograph, and what the network reads on it."""

import html
from collections.abc import Mapping

import ipywidgets
import numpy as np
from matplotlib import rc_context
from torch import Tensor, nn

from advcourse import plots
from advcourse.cases.driveby import RoadTable, drive_by
from advcourse.core.inputs import InputError
from advcourse.core.rounding import percent
from advcourse.core.workers import torch_threads
from advcourse.plots.texts import PlainFigure

_SIZE, _BARS = (7.6, 3.0), 3  # inches; how many labels are shown
_PHOTOGRAPH, _MIND, _ROAD = (0.01, 0.12, 0.31, 0.78), (0.345, 0.2, 0.2, 0.55), (0.64, 0.17, 0.35, 0.73)
_WIDE = {"style": {"description_width": "90px"}, "layout": {"width": "400px", "max_width": "100%"}}


class DriveBy(ipywidgets.VBox):
    """See `drive_by_explorer`. Its controls are `plate`, `distance`, `angle` and `scene`; it shows `picture` and `message`.

    `glimpse` is the photograph that it shows, with what the network reads.
    """

    def __init__(
        self, model: nn.Module, plates: Mapping[str, Tensor], tables: Mapping[str, RoadTable], label: str
    ):
        self._model, self._plates, self._tables, self._label = model, plates, tables, label
        first = next(iter(tables.values()))
        low, high, most = min(first.distances), max(first.distances), max(first.angles)
        self.plate = ipywidgets.ToggleButtons(options=list(plates), description="on the sign")
        self.distance = ipywidgets.FloatSlider(
            high, min=low, max=high, step=0.5, readout_format=".1f", description="distance, m", **_WIDE
        )
        self.angle = ipywidgets.FloatSlider(
            0, min=-most, max=most, step=1, readout_format=".0f", description="angle, °", **_WIDE
        )
        self.scene = ipywidgets.IntSlider(0, 0, 20, description="street", **_WIDE)
        self.picture = ipywidgets.Image(format="png", layout={"width": "760px", "max_width": "100%"})
        self.message = ipywidgets.HTML()
        self._draw_once(first)
        controls = (self.plate, self.distance, self.angle, self.scene)
        super().__init__([*controls, self.picture, self.message])
        self.add_class("advcourse-explorer")
        for control in controls:
            control.observe(self._refresh, names="value")
        self._refresh()

    def _draw_once(self, table):
        """Lay out the three pictures; `_refresh` only changes what they hold."""
        with rc_context(plots.STYLE):
            self._figure = PlainFigure(figsize=_SIZE, dpi=100)
            photograph = self._figure.add_axes(_PHOTOGRAPH, xticks=[], yticks=[])
            mind, road = self._figure.add_axes(_MIND), self._figure.add_axes(_ROAD)
        self._photograph = photograph.imshow(np.ones((8, 8, 3)), interpolation="nearest")
        photograph.set_title("what the network sees", fontsize=9, y=1)
        self._bars = mind.barh(range(_BARS), [0] * _BARS, height=0.45, color=plots.COLOURS[0])
        self._names = [mind.text(0, i - 0.32, "", fontsize=9, va="bottom") for i in range(_BARS)]
        mind.set(xlim=(0, 1), ylim=(_BARS - 0.6, -0.75))
        mind.axis("off")
        rows, columns = table.hits.shape
        self._road = road.imshow(np.zeros((rows, columns)), cmap="cividis", vmin=0, vmax=1, aspect="auto")
        self._numbers = [
            [road.text(c, r, "", ha="center", va="center", fontsize=8) for c in range(columns)]
            for r in range(rows)
        ]
        (self._dot,) = road.plot([0], [0], "o", markersize=9, color=plots.COLOURS[5], markeredgecolor="white")
        road.set_xticks(range(columns), [f"{angle:g}" for angle in table.angles])
        road.set_yticks(range(rows), [f"{distance:g}" for distance in table.distances])
        road.set_xlabel("angle, degrees", fontsize=9)
        road.set_ylabel("distance, m", fontsize=9)
        road.set_title(f"read as “{self._label}”", fontsize=9, y=1)

    def _refresh(self, change=None):
        name = self.plate.value
        distance, angle = self.distance.value, self.angle.value
        with torch_threads(1):
            self.glimpse = drive_by(
                self._model, self._plates[name], distance, angle, self.scene.value, top=_BARS
            )
        self._photograph.set_data(self.glimpse.crop.permute(1, 2, 0).cpu().numpy())
        told = zip(self._bars, self._names, self.glimpse.labels, self.glimpse.probabilities, strict=True)
        for bar, text, label, share in told:
            bar.set_width(share)
            text.set_text(f"{label}, {percent(share)}")
        self._show_table(self._tables[name])
        self.picture.value = plots.png(self._figure, optimize=False)
        self._say(name, distance, angle)

    def _show_table(self, table):
        shares = (table.hits.double() / table.views).numpy()
        self._road.set_data(shares)
        for texts, row in zip(self._numbers, shares, strict=True):
            for text, share in zip(texts, row, strict=True):
                text.set_text(percent(share))
                text.set_color("white" if share < 0.55 else "black")
        x = np.interp(abs(self.angle.value), table.angles, range(len(table.angles)))
        y = np.interp(self.distance.value, table.distances, range(len(table.distances)))
        self._dot.set_data([x], [y])

    def _say(self, name, distance, angle):
        side = "from the front" if angle == 0 else f"{abs(angle):g} degrees from the {_side(angle)}"
        label, share = self.glimpse.labels[0], self.glimpse.probabilities[0]
        text = f"{name}, from {distance:g} m, {side}: the network reads “{label}”, {percent(share)} sure."
        self.message.value = f'<p role="status" aria-live="polite">{html.escape(text)}</p>'


def _side(angle):
    return "right" if angle > 0 else "left"


def drive_by_explorer(
    model: nn.Module, plates: Mapping[str, Tensor], tables: Mapping[str, RoadTable], label: str
) -> DriveBy:
    """Drive past a sign: choose what is pasted on it, and from where one looks.

    It shows the photograph as the network gets it, enlarged, the three labels that the network finds most likely, and the table
    of that plate with a dot at one's place.

    Args:
        model: a module from photographs (N, 3, 32, 32) to logits (N, 16).
        plates: name -> plate (4, S, S), such as the clean sign, the attack and its controls.
        tables: name -> `RoadTable` of the same plates, over the same distances and angles, each in rising order.
        label: the class that the tables count, in words.

    Returns:
        a `DriveBy`, an ipywidget.

    Raises:
        InputError: there are no plates, or they have no table each, or the tables' places differ or do not rise.
    """
    if not plates or plates.keys() != tables.keys():
        raise InputError(
            f"tables: got those of {sorted(tables)}; allowed is one for each plate, {sorted(plates)}"
        )
    places = {(table.distances, table.angles) for table in tables.values()}
    if len(places) > 1 or any(list(axis) != sorted(set(axis)) for pair in places for axis in pair):
        raise InputError("tables: got other places; allowed are the same rising distances and angles in each")
    return DriveBy(model, dict(plates), dict(tables), label)
