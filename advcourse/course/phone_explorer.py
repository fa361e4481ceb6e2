"""An explorer for chapter 08: photograph a print, gently or carelessly, and see what the network makes of it."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace

import ipywidgets
import torch
from torch import Tensor, nn

from advcourse import plots
from advcourse.cases.camera import Phone
from advcourse.core.inputs import InputError, check_images, check_labels, check_range, predict
from advcourse.core.rounding import percent
from advcourse.core.workers import torch_threads
from advcourse.course.pictures import Pictures

_WIDE = {"style": {"description_width": "95px"}, "layout": {"width": "365px"}}
_TOP = 3


class PhoneExplorer(Pictures):
    """See `phone_explorer`. Its controls are `index`, `version`, `strength` and `shot`; `logits` (2, K) are the last answers."""

    def __init__(
        self,
        model: nn.Module,
        versions: Mapping[str, Tensor],
        labels: Tensor,
        classes: Sequence[str],
        index: int,
        strength: float,
    ):
        self._versions, self.logits = versions, None
        data = SimpleNamespace(images=next(iter(versions.values())), labels=labels, classes=classes)
        self.index = ipywidgets.IntSlider(index, 0, len(labels) - 1, description="image", **_WIDE)
        self.version = ipywidgets.Dropdown(options=list(versions), description="version", **_WIDE)
        range_ = {"min": 0.0, "max": 2.0, "step": 0.05, "readout_format": ".2f"}
        self.strength = ipywidgets.FloatSlider(strength, description="carelessness", **range_, **_WIDE)
        self.shot = ipywidgets.IntSlider(0, 0, 19, description="photograph", **_WIDE)
        super().__init__(model, data, 3, ([self.index, self.version], [self.strength, self.shot]))
        self._bars, self._names = self._empty_bars(self._axes[0, 2])
        self._refresh()

    def _empty_bars(self, axis):
        """Turn the third picture into bars; return them and their texts."""
        self._artists[2].remove()
        for spine in axis.spines.values():
            spine.set_visible(False)
        axis.set(xlim=(0, 1), ylim=(_TOP - 0.4, -0.6), aspect="auto", xticks=[])
        axis.barh(range(_TOP), [1] * _TOP, height=0.42, color="0.93")
        bars = axis.barh(range(_TOP), [0] * _TOP, height=0.42, color=plots.COLOURS[5])
        names = [axis.text(0.0, row - 0.26, "", va="bottom", fontsize=7) for row in range(_TOP)]
        return bars, names

    def _refresh(self, change=None):
        i, strength = self.index.value, round(self.strength.value, 6)
        x, y = self._versions[self.version.value][i : i + 1].to(self._device), int(self._data.labels[i])
        with torch_threads(1):
            photograph = Phone(strength, seed=self.shot.value)(x)
            self.logits = predict(self._model, torch.cat([x, photograph]))
        for column, (image, title) in enumerate(((x, "on the screen"), (photograph, "photographed"))):
            answer = self.logits[column : column + 1]
            self._draw(column, image, title, answer)
            plots.frame(self._axes[0, column], bool(answer.argmax() != y))
        top = self._draw_bars(self.logits[1])
        self._say(self._sentence(y, top))
        self._show()

    def _draw_bars(self, logits):
        """Show the likeliest classes of the photograph; return them in words."""
        shares, order = logits.double().softmax(0).topk(min(_TOP, len(logits)))
        words = [f"{self._data.classes[k]}, {percent(share)}" for share, k in zip(shares, order, strict=True)]
        for bar, name, share, text in zip(self._bars, self._names, shares.tolist(), words, strict=False):
            bar.set_width(share)
            name.set_text(text)
        self._axes[0, 2].title.set_text("the photograph's\nlikeliest classes")
        return words

    def _sentence(self, y, top):
        return (
            f"The label is {self._data.classes[y]}. On the screen the model says {self._answer(self.logits[:1])}. "
            f"Photographed at carelessness {self.strength.value:.2f} it finds most likely: {'; '.join(top)}."
        )


def phone_explorer(
    model: nn.Module,
    versions: Mapping[str, Tensor],
    labels: Tensor,
    classes: Sequence[str],
    *,
    index: int = 0,
    strength: float = 1.0,
) -> PhoneExplorer:
    """Photograph versions of images with a phone; see both, and the three classes that the model then finds most likely.

    Controls: the image, its version, how carelessly it is photographed (`Phone.strength`), and which photograph of it, of
    twenty. A frame marks what the model misreads.

    Args:
        model: images (N, C, H, W) in [0, 1] to logits.
        versions: name -> the images in this version, such as clean and attacked ones; all of one shape.
        labels: their labels (N,).
        classes: the names of the K classes.
        index: the initial image (default 0).
        strength: the initial carelessness, 0 to 2 (default 1).

    Returns:
        a `PhoneExplorer`, an ipywidget.

    Raises:
        InputError: there are no versions, or their shapes or labels do not fit; or a value is out of range.
    """
    shapes = {name: tuple(check_images(images, name).shape) for name, images in dict(versions).items()}
    if len(set(shapes.values())) != 1:
        raise InputError(f"versions: got shapes {shapes}; allowed is one or more versions of one shape")
    check_labels(labels, next(iter(versions.values())))
    check_range(index, "index", 0, len(labels) - 1, integer=True)
    check_range(strength, "strength", 0, 2)
    return PhoneExplorer(model, dict(versions), labels, classes, index, strength)
