"""A wish for a photograph: the reader names any class, and the attack makes the network see it."""

import html
from collections.abc import Sequence

import ipywidgets
import torch
from torch import Tensor, nn

from advcourse import attacks, plots
from advcourse.core.inputs import predict
from advcourse.core.rounding import percent
from advcourse.course.progress import each_pass


class Wish(ipywidgets.VBox):
    """See `wish`. Its controls are `name` and `button`; `bar` shows the progress, `picture` and `message` the result."""

    def __init__(
        self, model: nn.Module, x: Tensor, y: Tensor, classes: Sequence[str], attack: attacks.Attack
    ):
        self._model, self._x, self._y, self._attack = model, x, y, attack
        self.classes, self.result = tuple(classes), None
        self.name = ipywidgets.Combobox(options=self.classes, description="I wish for", ensure_option=True)
        self.button = ipywidgets.Button(description="Make it so", button_style="primary", icon="magic")
        self.bar = ipywidgets.IntProgress(0, 0, attack.steps + 1, layout={"visibility": "hidden"})
        self.picture = ipywidgets.Image(format="png", layout={"max_width": "100%", "display": "none"})
        self.message = ipywidgets.HTML()
        self._say("Type a few letters, choose a name from the list, and press the button.")
        self.button.on_click(lambda _: self._grant())
        row = ipywidgets.HBox([self.name, self.button, self.bar], layout={"flex_flow": "row wrap"})
        super().__init__([row, self.picture, self.message])

    def _grant(self):
        name = self.name.value
        if name not in self.classes:
            self._say("Choose a name from the list: type a few letters, such as “cham” for champagne.")
            return
        target = torch.full_like(self._y, self.classes.index(name))
        if torch.equal(target, self._y):
            self._say(f"{name} is what the photograph shows. Wish for something else.")
            return
        self.button.disabled, self.bar.value, self.bar.layout.visibility = True, 0, "visible"
        try:
            with each_pass(self._model, self._advance):
                self.result = self._attack.run(self._model, self._x, self._y, target)
            self._show(name)
        finally:
            self.button.disabled, self.bar.layout.visibility = False, "hidden"

    def _advance(self):
        self.bar.value += 1

    def _show(self, name):
        before = predict(self._model, self._x)
        images, logits = torch.cat([self._x, self.result.images]), torch.cat([before, self.result.logits])
        granted = bool(self.result.success)
        figure = plots.minds(images, logits, self.classes, ("before", "after"), framed=(False, granted))
        self.picture.value, self.picture.layout.display = plots.png(figure, optimize=False), ""
        sure = percent(self.result.logits.softmax(1)[0, self.classes.index(name)])
        moved = f"No pixel moved by more than {self.result.distances['Linf'].item() * 255:.0f} of 255 grey levels."
        if granted:
            self._say(f"The network sees {name}, and is {sure} sure. {moved}")
        else:
            self._say(f"Not quite: the network gives {name} {sure}. {moved} More steps would help.")

    def _say(self, text):
        self.message.value = f'<p role="status" aria-live="polite">{html.escape(text)}</p>'


def wish(
    model: nn.Module, x: Tensor, y: Tensor, classes: Sequence[str], eps: float = 4 / 255, steps: int = 20
) -> Wish:
    """Let readers name any class, and change a photograph so that the network sees it.

    Args:
        model: the network.
        x: one photograph (1, C, H, W) in [0, 1].
        y: its label (1,).
        classes: the names of the model's classes.
        eps: how far each pixel may move (default 4/255).
        steps: steps of PGD (default 20), each of eps / 4.

    Returns:
        the widget, which shows itself as the last line of a cell.
    """
    return Wish(model, x, y, classes, attacks.PGD(eps=eps, alpha=eps / 4, steps=steps, targeted=True))
