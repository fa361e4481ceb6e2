"""What chapter 09 lets one turn: a head, with and without glasses, and who the network takes it for."""

import html
import io
from collections.abc import Mapping

import ipywidgets
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from advcourse.core.inputs import InputError, predict
from advcourse.core.rounding import percent
from advcourse.core.workers import torch_threads
from advcourse.data import faces
from advcourse.data.heads import index_of, render_head

SIZE = 2 * faces.SIZE  # of the picture that is shown; the network reads it at half the size
TOP = 3
_WIDE = {"style": {"description_width": "70px"}, "layout": {"width": "330px"}}
_ANGLE = {"continuous_update": True, "readout_format": "d"}


def taken_for(model: nn.Module, head: Tensor) -> Tensor:
    """Return the logits (1, 40) for a head (3, 2 S, 2 S), which is averaged down to the S = 64 pixels that the network reads."""
    if head.dim() != 3 or head.shape != (3, SIZE, SIZE):
        raise InputError(f"head: got shape {tuple(head.shape)}; allowed is (3, {SIZE}, {SIZE})")
    with torch_threads(1):
        return predict(model, F.avg_pool2d(head[None], 2))


class FaceExplorer(ipywidgets.VBox):
    """See `face_explorer`. Its controls are `glasses`, `yaw`, `pitch`, `light` and `smile`; it shows `picture` and `mind`.

    `head` is the picture (3, 128, 128), `logits` what the network makes of it, (40,).
    """

    def __init__(self, model: nn.Module, wardrobe: Mapping[str, tuple[str, Tensor | None]]):
        self._model, self._wardrobe = model, dict(wardrobe)
        names = list(self._wardrobe)
        self.glasses = ipywidgets.Dropdown(options=names, description="glasses", **_WIDE)
        self.yaw = ipywidgets.IntSlider(0, -35, 35, description="yaw (°)", **_ANGLE, **_WIDE)
        self.pitch = ipywidgets.IntSlider(0, -20, 20, description="pitch (°)", **_ANGLE, **_WIDE)
        self.light = ipywidgets.IntSlider(0, -90, 90, description="light (°)", **_ANGLE, **_WIDE)
        self.smile = ipywidgets.FloatSlider(0, min=0, max=1, step=0.05, description="smile", **_WIDE)
        self.picture = ipywidgets.Image(format="png", layout={"width": "256px", "max_width": "100%"})
        self.mind = ipywidgets.HTML()
        wrap = {"flex_flow": "row wrap", "align_items": "flex-start"}
        controls = (self.glasses, self.yaw, self.pitch, self.light, self.smile)
        seen = ipywidgets.VBox([self.picture, self.mind], layout={"width": "272px"})
        super().__init__([ipywidgets.HBox([seen, ipywidgets.VBox(controls)], layout=wrap)])
        self.add_class("advcourse-explorer")
        for control in controls:
            control.observe(self._refresh, names="value")
        self._refresh()

    def _refresh(self, change=None):
        person, frame = self._wardrobe[self.glasses.value]
        turned = {"yaw": self.yaw.value, "pitch": self.pitch.value, "light": self.light.value}
        self.head = render_head(person, **turned, smile=self.smile.value, frame=frame, size=SIZE)
        self.logits = taken_for(self._model, self.head)[0]
        self.picture.value = _png(self.head)
        self.mind.value = _bars(self.logits, person)


def _png(head):
    pixels = (255 * head.clamp(0, 1)).round().byte().permute(1, 2, 0).cpu().numpy()
    file = io.BytesIO()
    Image.fromarray(pixels).resize((2 * SIZE, 2 * SIZE), Image.Resampling.BICUBIC).save(
        file, "png", compress_level=1
    )
    return file.getvalue()


def _bars(logits, person):
    """The name in words, which is the picture's alternative text too, and a bar for each of the three likeliest people."""
    shares, who = logits.softmax(0).topk(TOP)
    name = faces.CLASSES[who[0]]
    right = name == person
    says = f"{'✓' if right else '✗'} {person} is {'recognised' if right else f'taken for {name}'}."
    rows = (
        _bar(faces.CLASSES[i], float(share), person) for i, share in zip(who.tolist(), shares, strict=True)
    )
    return f'<p role="status" aria-live="polite"><strong>{html.escape(says)}</strong></p>{"".join(rows)}'


def _bar(name, share, person):
    colour = "#56B4E9" if name == person else "#D55E00"
    return (
        '<div style="display:flex;align-items:center;gap:6px;line-height:1.5">'
        f'<span style="width:70px">{html.escape(name)}</span>'
        '<span style="flex:1;border:1px solid #999;height:12px">'
        f'<span style="display:block;width:{100 * share:.1f}%;height:100%;background:{colour}"></span></span>'
        f'<span style="width:48px;text-align:right">{percent(share)}</span></div>'
    )


def face_explorer(model: nn.Module, wardrobe: Mapping[str, tuple[int | str, Tensor | None]]) -> FaceExplorer:
    """Explore a head: turn it, light it, let it smile, put glasses on; below it the three people who the network thinks it is.

    Args:
        model: pictures (N, 3, 64, 64) in [0, 1] to logits (N, 40).
        wardrobe: what can be chosen: a name -> (person, colours of the glasses' sheet as a printer gives them, (3, 16, 88), or
            None for no glasses). The first is shown first.

    Returns:
        a `FaceExplorer`, an ipywidget.

    Raises:
        InputError: there is nothing to choose, an entry is no pair, or an unknown person.
    """
    if not wardrobe:
        raise InputError("wardrobe: got nothing to choose from; allowed is at least one entry")
    wrong = [
        name for name, entry in wardrobe.items() if not isinstance(entry, tuple | list) or len(entry) != 2
    ]
    if wrong:
        raise InputError(f"wardrobe: got {wardrobe[wrong[0]]!r} for {wrong[0]!r}; allowed is (person, sheet)")
    named = {name: (faces.CLASSES[index_of(who)], sheet) for name, (who, sheet) in wardrobe.items()}
    return FaceExplorer(model, named)
