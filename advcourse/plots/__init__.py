"""The course's figures. Each function takes arrays or tensors and returns a `matplotlib.figure.Figure`.

pyplot is not used, so no global state is changed and no figure is shown without being asked for: `show(figure, alt)` displays
one, with alternative text. All figures can be read in grey: lines differ by marker and dash, areas are labelled, bars are
hatched, and the map of a change runs from dark (less light) to bright (more light). The colours are those of Okabe and Ito
(2008) and the colour map cividis (Nunez, Anderton and Renslow, PLOS ONE 13(7), 2018), which colour-blind readers can tell
apart.
"""

from advcourse.plots.charts import accuracy_against_eps, bars, histogram, lines
from advcourse.plots.describing import describe
from advcourse.plots.drawing import Plane, highest
from advcourse.plots.fields import bent, signed_maps
from advcourse.plots.films import film
from advcourse.plots.flows import Gate, Mind, Net, Tile, flow
from advcourse.plots.images import adversarial, answers, change_picture, grid, image_axes, magnification
from advcourse.plots.large import large
from advcourse.plots.maps import slice2d
from advcourse.plots.matrices import bar_panels, distributions, heat_map, image_table
from advcourse.plots.minds import minds
from advcourse.plots.moving import MovingPicture, walk
from advcourse.plots.napkin import cube, napkin
from advcourse.plots.rates import roc_curves
from advcourse.plots.sounds import levels, spectrograms
from advcourse.plots.style import (
    COLOURS,
    CRISP,
    DASHES,
    DPI,
    FOOLED,
    HATCHES,
    MARKERS,
    OUTLINED,
    STYLE,
    AccessibleFigure,
    frame,
    png,
    show,
)

__all__ = [
    "COLOURS",
    "CRISP",
    "DASHES",
    "DPI",
    "FOOLED",
    "HATCHES",
    "MARKERS",
    "OUTLINED",
    "STYLE",
    "AccessibleFigure",
    "MovingPicture",
    "show",
    "walk",
    "film",
    "levels",
    "spectrograms",
    "describe",
    "png",
    "frame",
    "grid",
    "adversarial",
    "magnification",
    "change_picture",
    "image_axes",
    "answers",
    "minds",
    "large",
    "lines",
    "accuracy_against_eps",
    "bars",
    "histogram",
    "slice2d",
    "signed_maps",
    "bent",
    "heat_map",
    "bar_panels",
    "distributions",
    "roc_curves",
    "image_table",
    "Plane",
    "highest",
    "napkin",
    "cube",
    "flow",
    "Tile",
    "Net",
    "Gate",
    "Mind",
]
