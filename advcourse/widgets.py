"""Explorers for notebooks: move a slider, see the attack. Each is an ipywidget and needs a running kernel."""

import html
import inspect
from contextlib import contextmanager

import ipywidgets
import torch

from advcourse import attacks, plots
from advcourse.inputs import InputError, check_range, predict
from advcourse.rounding import number

UNTARGETED = -1


def _madry(eps, steps):
    """The step size with which `steps` steps reach 2.5 times eps (Madry et al. 2018, appendix)."""
    return round(2.5 * eps / steps, 6)


@contextmanager
def _one_thread():
    """One thread of the processor inside: for one image more of them gain nothing, and cost much where others work too."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


ATTACKS = {
    "FGSM": lambda eps, targeted: attacks.FGSM(eps, targeted=targeted),
    "R+FGSM": lambda eps, targeted: attacks.RFGSM(eps, alpha=eps / 2, targeted=targeted),
    "LLC": lambda eps: attacks.LLC(eps),
    "BIM": lambda eps, steps, targeted: attacks.BIM(eps, _madry(eps, steps), steps, targeted=targeted),
    "PGD": lambda eps, steps, targeted: attacks.PGD(eps, _madry(eps, steps), steps, targeted=targeted),
    "U-MI-FGSM": lambda eps, steps: attacks.UMIFGSM(eps, steps=steps),
    "T-MI-FGSM": lambda eps, steps: attacks.TMIFGSM(eps, steps=steps),
}


class Explorer(ipywidgets.VBox):
    """See `explorer`. Its controls are `index`, `attack`, `eps`, `steps` and `target`; it shows `picture` and `message`.

    `result` is the last attack's record, None where it failed; `error` is then what it raised.
    """

    def __init__(self, model, data, factories, index, eps, eps_max, steps):
        self._model, self._data, self._factories = model, data, factories
        self._device = next((p.device for p in model.parameters()), torch.device("cpu"))
        self._figure, self._axes = plots.image_axes([["\n\n", "\n\n", "\n\n"]])  # three lines each
        self._figure.set_dpi(100)
        blank = torch.ones(*data.images.shape[2:], 3).numpy()
        for axis in self._axes.flat:  # nothing of theirs shows, and drawing nothing takes time
            axis.yaxis.set_visible(False)
        self._artists = [axis.imshow(blank, interpolation="nearest") for axis in self._axes[0]]
        self.result = self.error = None

        wide = {"style": {"description_width": "60px"}, "layout": {"width": "330px"}}
        budget = {"min": 0.0, "max": eps_max, "step": eps_max / 100, "readout_format": ".3f"}
        classes = [("none", UNTARGETED), *((name, label) for label, name in enumerate(data.classes))]
        self.index = ipywidgets.IntSlider(index, 0, len(data.labels) - 1, description="image", **wide)
        self.attack = ipywidgets.Dropdown(options=list(factories), description="attack", **wide)
        self.eps = ipywidgets.FloatSlider(eps, description="eps", **budget, **wide)
        self.steps = ipywidgets.IntSlider(steps, 1, max(40, steps), description="steps", **wide)
        self.target = ipywidgets.Dropdown(options=classes, description="target", **wide)
        self.picture = ipywidgets.Image(format="png", layout={"width": "660px", "max_width": "100%"})
        self.message = ipywidgets.HTML()
        rows = ([self.index, self.attack], [self.eps, self.steps], [self.target])
        layout = {"flex_flow": "row wrap"}
        super().__init__([*(ipywidgets.HBox(row, layout=layout) for row in rows), self.picture, self.message])
        for control in (self.index, self.attack, self.eps, self.steps, self.target):
            control.observe(self._refresh, names="value")
        self._refresh()

    def _refresh(self, change=None):
        i, label = self.index.value, self.target.value
        x, y = (part[i : i + 1].to(self._device) for part in (self._data.images, self._data.labels))
        self.result = self.error = None
        try:
            with _one_thread():
                before = predict(self._model, x)
                self._draw(0, x, "clean", before)
                attack = self._chosen_attack()
                target = None if self.target.disabled or label == UNTARGETED else torch.full_like(y, label)
                self.result = attack.run(self._model, x, y, target)
        except Exception as error:  # whatever an attack under study raises belongs on the page, not in a log
            self.error = error
            self._draw(1, torch.ones_like(x), "")
            self._draw(2, torch.ones_like(x), "no result")
            self._say(f"No result. {type(error).__name__}: {error}")
        else:
            self._draw_result(self.result)
            self._say(self._sentence(self.result, before))
        self.picture.value = plots.png(self._figure, optimize=False)

    def _chosen_attack(self):
        """The attack of the present settings. Controls that its factory does not take are disabled."""
        factory = self._factories[self.attack.value]
        targeted = self.target.value != UNTARGETED
        chosen = {"eps": round(self.eps.value, 6), "steps": self.steps.value, "targeted": targeted}
        accepted = inspect.signature(factory).parameters
        attack = factory(**{name: value for name, value in chosen.items() if name in accepted})
        self.eps.disabled, self.steps.disabled = "eps" not in accepted, "steps" not in accepted
        always_targeted = attack.targeted and not attack.chooses_target
        self.target.disabled = "targeted" not in accepted and not always_targeted
        return attack

    def _draw(self, column, image, title, logits=None):
        """Put the first of `image` (1, C, H, W) into a column, or the picture itself where it is (H, W, 3)."""
        picture = (
            image[0].expand(3, -1, -1).permute(1, 2, 0).cpu().numpy() if torch.is_tensor(image) else image
        )
        self._artists[column].set_data(picture)
        answer = "" if logits is None else plots.answers(logits, self._data.classes)[1][0]
        self._axes[0, column].title.set_text(f"{title}\n{answer}")
        plots.frame(self._axes[0, column], False)

    def _draw_result(self, result):
        change = (result.images - result.clean)[0].cpu()
        factor = plots.magnification(change)
        self._draw(1, plots.change_picture(change, factor), f"change × {factor:g}")
        self._draw(2, result.images, "adversarial", result.logits)
        plots.frame(self._axes[0, 2], bool(result.success))

    def _sentence(self, result, before):
        classes = self._data.classes
        first, then = (plots.answers(z, classes)[1][0].replace("\n", ", ") for z in (before, result.logits))
        verb, aim = "fool", "the model"
        if result.target is not None:
            verb, aim = "make", f"the model say {classes[result.target]}"
        already = "" if before.argmax() == result.labels else " It errs on the clean image already."
        steps = int(result.steps)
        return (
            f"{result.attack} {f'{verb}s' if result.success else f'does not {verb}'} {aim}. "
            f"The label is {classes[result.labels]}. The model said {first}; now it says {then}.{already} "
            f"L∞ {number(result.distances['Linf'])}, L2 {number(result.distances['L2'])}; "
            f"{steps} step{'s' * (steps != 1)}."
        )

    def _say(self, text):
        """Put the text below the picture: the picture's alternative, for an Image has none of its own.

        (Its `tooltip` is no way out: with one, ipywidgets 8.1 draws no image at all.)
        """
        self.message.value = f'<p role="status" aria-live="polite">{html.escape(text)}</p>'


def explorer(model, data, factories=None, *, index=0, eps=None, eps_max=0.5, steps=10):
    """Sliders over image, attack, budget, steps and target; beside them the clean image, the change, the adversarial image.

    Args:
        model: images (N, C, H, W) in [0, 1] to logits.
        data: an `ImageSet`, or what has its `images`, `labels` and `classes`.
        factories: name -> function that makes an attack. Its parameters, of "eps", "steps" and "targeted", tell
            which controls it heeds; the others are disabled. An attack's class will do (default `ATTACKS`).
        index: the image to begin with (default 0).
        eps: the budget to begin with, in units of the pixel range [0, 1] (default eps_max / 2).
        eps_max: the largest budget of the slider (default 0.5, for digits; colour images need about 0.1).
        steps: the steps to begin with (default 10).

    Returns:
        an `Explorer`, an ipywidget. What an attack raises is shown as its text.

    Raises:
        InputError: no images, or of other than 1 or 3 channels; no factories; a value out of range.
    """
    if not len(data.labels) or data.images.shape[1] not in (1, 3):
        given = tuple(data.images.shape)
        raise InputError(f"data: got images of shape {given}; allowed are 1 or more of 1 or 3 channels")
    factories = ATTACKS if factories is None else dict(factories)
    if not factories:
        raise InputError("factories: got none; allowed is at least one attack")
    check_range(index, "index", 0, len(data.labels) - 1, integer=True)
    check_range(eps_max, "eps_max", 0, exclusive_low=True)
    eps = eps_max / 2 if eps is None else check_range(eps, "eps", 0, eps_max)
    check_range(steps, "steps", 1, integer=True)
    return Explorer(model, data, factories, index, eps, eps_max, steps)
