"""What explorers share: controls above images side by side, with a sentence below."""

import html
from collections.abc import Sequence
from typing import Protocol

import ipywidgets
import torch
from torch import Tensor, nn

from advcourse import plots


class Labelled(Protocol):
    """What an explorer needs of a data set; an `ImageSet` has it."""

    images: Tensor
    labels: Tensor
    classes: Sequence[str]


class Pictures(ipywidgets.VBox):
    """Rows of controls above images side by side, in `picture`, and a sentence, in `message`."""

    def __init__(
        self,
        model: nn.Module,
        data: Labelled,
        columns: int,
        rows: Sequence[Sequence[ipywidgets.Widget]],
    ):
        self._model, self._data = model, data
        self._device = next((p.device for p in model.parameters()), torch.device("cpu"))
        self._figure, self._axes = plots.image_axes([["\n\n"] * columns])  # three lines each
        self._figure.set_dpi(100)
        blank = torch.ones(*data.images.shape[2:], 3).numpy()
        for axis in self._axes.flat:  # the empty axes show nothing but take time to draw
            axis.yaxis.set_visible(False)
        self._artists = [axis.imshow(blank, interpolation="nearest") for axis in self._axes[0]]
        self.error = None
        self.picture = ipywidgets.Image(
            format="png", layout={"width": f"{220 * columns}px", "max_width": "100%"}
        )
        self.message = ipywidgets.HTML()
        layout = {"flex_flow": "row wrap"}
        super().__init__([*(ipywidgets.HBox(row, layout=layout) for row in rows), self.picture, self.message])
        self.add_class("advcourse-explorer")
        for control in (control for row in rows for control in row):
            control.observe(self._refresh, names="value")

    def _refresh(self, change=None):
        """Draw and describe what the controls select; subclasses override it."""
        raise NotImplementedError

    def _chosen(self, i):
        """Return image number `i` and its label, as batches of one."""
        return (part[i : i + 1].to(self._device) for part in (self._data.images, self._data.labels))

    def _draw(self, column, image, title, logits=None):
        """Show an image in a column: a tensor (1, C, H, W), or a picture (H, W, 3)."""
        picture = (
            image[0].expand(3, -1, -1).permute(1, 2, 0).cpu().numpy() if torch.is_tensor(image) else image
        )
        self._artists[column].set_data(picture)
        answer = "" if logits is None else plots.answers(logits, self._data.classes)[1][0]
        self._axes[0, column].title.set_text(f"{title}\n{answer}")
        plots.frame(self._axes[0, column], False)

    def _answer(self, logits):
        return plots.answers(logits, self._data.classes)[1][0].replace("\n", ", ")

    def _show(self):
        self.picture.value = plots.png(self._figure, optimize=False)

    def _say(self, text):
        """Show the text below the picture. It is the picture's alternative text, because an Image has none of its own.

        (Its `tooltip` does not help: with a tooltip, ipywidgets 8.1 draws no image at all.)
        """
        self.message.value = f'<p role="status" aria-live="polite">{html.escape(text)}</p>'
