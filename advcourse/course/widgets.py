"""Explorers for notebooks: move a slider and see the attack. Each is an ipywidget and needs a running kernel."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace

import ipywidgets
import torch
from torch import Tensor, nn

from advcourse import attacks, plots
from advcourse.core.inputs import InputError, check_images, check_labels, check_range, evaluating, predict
from advcourse.core.randomness import seeded
from advcourse.core.rounding import number
from advcourse.core.workers import torch_threads
from advcourse.course.pictures import Labelled, Pictures
from advcourse.defenses import RegionClassifier, UniformNoise

Factories = Mapping[str, Callable[..., attacks.Attack]]
Kinds = Mapping[str, tuple[Callable[[float], Callable[[Tensor], Tensor]], Sequence[float]]]

UNTARGETED = -1
_WIDE = {"style": {"description_width": "60px"}, "layout": {"width": "330px"}}


def _madry(eps, steps):
    """Return the step size with which `steps` steps cover 2.5 times eps (Madry et al. 2018, appendix)."""
    return round(2.5 * eps / steps, 6)


ATTACKS = {
    "FGSM": lambda eps, targeted: attacks.FGSM(eps, targeted=targeted),
    "R+FGSM": lambda eps, targeted: attacks.RFGSM(eps, alpha=eps / 2, targeted=targeted),
    "LLC": lambda eps: attacks.LLC(eps),
    "BIM": lambda eps, steps, targeted: attacks.BIM(eps, _madry(eps, steps), steps, targeted=targeted),
    "PGD": lambda eps, steps, targeted: attacks.PGD(eps, _madry(eps, steps), steps, targeted=targeted),
    "U-MI-FGSM": lambda eps, steps: attacks.UMIFGSM(eps, steps=steps),
    "T-MI-FGSM": lambda eps, steps: attacks.TMIFGSM(eps, steps=steps),
}


class Explorer(Pictures):
    """See `explorer`. Its controls are `index`, `attack`, `eps`, `steps` and `target`; it shows `picture` and `message`.

    `result` is the last attack's record, or None if the attack failed; `error` is then the exception.
    """

    def __init__(
        self,
        model: nn.Module,
        data: Labelled,
        factories: Factories,
        index: int,
        eps: float,
        eps_max: float,
        steps: int,
    ):
        self._factories, self.result = factories, None
        budget = {"min": 0.0, "max": eps_max, "step": eps_max / 100, "readout_format": ".3f"}
        classes = [("none", UNTARGETED), *((name, label) for label, name in enumerate(data.classes))]
        self.index = ipywidgets.IntSlider(index, 0, len(data.labels) - 1, description="image", **_WIDE)
        self.attack = ipywidgets.Dropdown(options=list(factories), description="attack", **_WIDE)
        self.eps = ipywidgets.FloatSlider(eps, description="eps", **budget, **_WIDE)
        self.steps = ipywidgets.IntSlider(steps, 1, max(40, steps), description="steps", **_WIDE)
        self.target = ipywidgets.Dropdown(options=classes, description="target", **_WIDE)
        super().__init__(model, data, 3, ([self.index, self.attack], [self.eps, self.steps], [self.target]))
        self._refresh()

    def _refresh(self, change=None):
        i, label = self.index.value, self.target.value
        x, y = self._chosen(i)
        self.result = self.error = None
        try:
            with torch_threads(1):
                before = predict(self._model, x)
                self._draw(0, x, "clean", before)
                attack = self._chosen_attack()
                target = None if self.target.disabled or label == UNTARGETED else torch.full_like(y, label)
                self.result = attack.run(self._model, x, y, target)
        except Exception as error:  # any error of an attack under study belongs on the page, not in a log
            self.error = error
            self._draw(1, torch.ones_like(x), "")
            self._draw(2, torch.ones_like(x), "no result")
            self._say(f"No result. {type(error).__name__}: {error}")
        else:
            self._draw_result(self.result)
            self._say(self._sentence(self.result, before))
        self._show()

    def _chosen_attack(self):
        """Return the attack with the current settings, and disable the controls that its factory does not accept."""
        factory = self._factories[self.attack.value]
        targeted = self.target.value != UNTARGETED
        chosen = {"eps": round(self.eps.value, 6), "steps": self.steps.value, "targeted": targeted}
        accepted = inspect.signature(factory).parameters
        attack = factory(**{name: value for name, value in chosen.items() if name in accepted})
        self.eps.disabled, self.steps.disabled = "eps" not in accepted, "steps" not in accepted
        always_targeted = attack.targeted and not attack.chooses_target
        self.target.disabled = "targeted" not in accepted and not always_targeted
        return attack

    def _draw_result(self, result):
        change = (result.images - result.clean)[0].cpu()
        factor = plots.magnification(change)
        self._draw(1, plots.change_picture(change, factor), f"change × {factor:g}")
        self._draw(2, result.images, "adversarial", result.logits)
        plots.frame(self._axes[0, 2], bool(result.success))

    def _sentence(self, result, before):
        classes = self._data.classes
        first, then = self._answer(before), self._answer(result.logits)
        verb, aim = "fool", "the model"
        if result.target is not None:
            verb, aim = "make", f"the model say {classes[result.target]}"
        already = "" if before.argmax() == result.labels else " It was already wrong on the clean image."
        steps = int(result.steps)
        return (
            f"{result.attack} {f'{verb}s' if result.success else f'does not {verb}'} {aim}. "
            f"The label is {classes[result.labels]}. The model said {first}; now it says {then}.{already} "
            f"L∞ {number(result.distances['Linf'])}, L2 {number(result.distances['L2'])}; "
            f"{steps} step{'s' * (steps != 1)}."
        )


def explorer(
    model: nn.Module,
    data: Labelled,
    factories: Factories | None = None,
    *,
    index: int = 0,
    eps: float | None = None,
    eps_max: float = 0.5,
    steps: int = 10,
) -> Explorer:
    """Explore attacks: controls for image, attack, budget, steps and target; the clean image, the change, the adversarial image.

    Args:
        model: images (N, C, H, W) in [0, 1] to logits.
        data: an `ImageSet`, or an object with its `images`, `labels` and `classes`.
        factories: name -> function that makes an attack. Which of "eps", "steps" and "targeted" are among its parameters
            determines which controls it uses; the others are disabled. An attack's class will do (default `ATTACKS`).
        index: the initial image (default 0).
        eps: the initial budget, in units of the pixel range [0, 1] (default eps_max / 2).
        eps_max: the largest budget of the slider (default 0.5, for digits; colour images need about 0.1).
        steps: the initial number of steps (default 10).

    Returns:
        an `Explorer`, an ipywidget. An exception in an attack is shown as its text.

    Raises:
        InputError: there are no images, or they do not have 1 or 3 channels; there are no factories; or a value is out of range.
    """
    _check_data(data)
    factories = ATTACKS if factories is None else dict(factories)
    if not factories:
        raise InputError("factories: got none; allowed is at least one attack")
    check_range(index, "index", 0, len(data.labels) - 1, integer=True)
    check_range(eps_max, "eps_max", 0, exclusive_low=True)
    eps = eps_max / 2 if eps is None else check_range(eps, "eps", 0, eps_max)
    check_range(steps, "steps", 1, integer=True)
    return Explorer(model, data, factories, index, eps, eps_max, steps)


class TransformationExplorer(Pictures):
    """See `transformation_explorer`. Its controls are `index`, `kind`, `strength`, `eps` and `known`.

    `images` are the four images that it shows, (4, C, H, W), and `logits` the model's answers to them. They are None if something
    failed; `error` is then the exception.
    """

    def __init__(
        self, model: nn.Module, data: Labelled, kinds: Kinds, index: int, eps: float, eps_max: float
    ):
        self._kinds, self.images, self.logits = kinds, None, None
        budget = {"min": 0.0, "max": eps_max, "step": eps_max / 50, "readout_format": ".2f"}
        self.index = ipywidgets.IntSlider(index, 0, len(data.labels) - 1, description="image", **_WIDE)
        self.kind = ipywidgets.Dropdown(options=list(kinds), description="change", **_WIDE)
        self.strength = ipywidgets.SelectionSlider(options=self._strengths(), description="strength", **_WIDE)
        self.eps = ipywidgets.FloatSlider(eps, description="eps", **budget, **_WIDE)
        self.known = ipywidgets.Checkbox(False, description="the attacker knows of it", **_WIDE)
        super().__init__(model, data, 4, ([self.index, self.kind], [self.strength, self.eps], [self.known]))
        self.kind.unobserve(self._refresh, names="value")
        self.kind.observe(self._refill, names="value")
        self._refresh()

    def _strengths(self):
        return tuple(self._kinds[self.kind.value][1])

    def _refill(self, change):
        """Offer the strengths of another transformation, starting with the first."""
        self.strength.unobserve(self._refresh, names="value")
        self.strength.options = self._strengths()
        self.strength.observe(self._refresh, names="value")
        self._refresh()

    def _refresh(self, change=None):
        (x, y), self.images, self.logits, self.error = self._chosen(self.index.value), None, None, None
        try:
            with torch_threads(1), seeded(x.device, 0):
                change = self._kinds[self.kind.value][0](self.strength.value)
                source = nn.Sequential(attacks.BPDA(change), self._model) if self.known.value else self._model
                attacked = attacks.PGD(round(self.eps.value, 6), steps=20)(source, x, y)
                self.images = torch.cat([x, change(x), attacked, change(attacked)])
                self.logits = predict(self._model, self.images)
        except Exception as error:  # any error of a transformation under study belongs on the page
            self.error = error
            for column in range(4):
                self._draw(column, torch.ones_like(x), "no result")
            self._say(f"No result. {type(error).__name__}: {error}")
        else:
            for column, title in enumerate(("clean", "changed", "attacked", "attacked, changed")):
                answer = self.logits[column : column + 1]
                self._draw(column, self.images[column : column + 1], title, answer)
                plots.frame(self._axes[0, column], bool(answer.argmax() != y))
            self._say(self._sentence(y))
        self._show()

    def _sentence(self, y):
        clean, changed, attacked, both = (self._answer(row[None]) for row in self.logits)
        return (
            f"The label is {self._data.classes[y]}. The model says {clean}; for the changed image {changed}. "
            f"PGD, eps {number(self.eps.value)}, {'through' if self.known.value else 'without'} the change: "
            f"it says {attacked}; with the change {both}."
        )


def transformation_explorer(
    model: nn.Module, data: Labelled, kinds: Kinds, *, index: int = 0, eps: float = 0.3, eps_max: float = 0.5
) -> TransformationExplorer:
    """Choose a transformation and its strength; see the image without and with it, before and after 20 steps of PGD.

    The attacker sees the model alone or, with the box ticked, the model behind the transformation with the identity's gradient
    (`attacks.BPDA`). A frame marks images that the model misclassifies.

    Args:
        model: images (N, C, H, W) in [0, 1] to logits.
        data: an `ImageSet`, or an object with its `images`, `labels` and `classes`.
        kinds: name -> (make, strengths): `make(strength)` returns a function of images, for each strength in the sequence.
        index: the initial image (default 0).
        eps: the initial budget in L-infinity, in units of the pixel range [0, 1] (default 0.3).
        eps_max: the largest budget of the slider (default 0.5).

    Returns:
        a `TransformationExplorer`, an ipywidget. An exception in a transformation is shown as its text.

    Raises:
        InputError: there are no images, or they do not have 1 or 3 channels; there are no kinds, or one without strengths; or a
            value is out of range.
    """
    _check_data(data)
    if not kinds or not all(len(strengths) for _, strengths in kinds.values()):
        raise InputError(f"kinds: got {kinds!r}; allowed are one or more, each with one or more strengths")
    check_range(index, "index", 0, len(data.labels) - 1, integer=True)
    check_range(eps_max, "eps_max", 0, exclusive_low=True)
    check_range(eps, "eps", 0, eps_max)
    return TransformationExplorer(model, data, dict(kinds), index, eps, eps_max)


class VoteExplorer(Pictures):
    """See `vote_explorer`. Its controls are `index`, `version`, `radius` and `samples`; `votes` (K,) are the last votes."""

    _VOTERS = 4  # voters shown

    def __init__(
        self,
        model: nn.Module,
        versions: Mapping[str, Tensor],
        labels: Tensor,
        index: int,
        radius: float,
        samples: int,
    ):
        self._versions, self.votes = versions, None
        data = SimpleNamespace(images=next(iter(versions.values())), labels=labels, classes=None)
        self.index = ipywidgets.IntSlider(index, 0, len(labels) - 1, description="image", **_WIDE)
        self.version = ipywidgets.Dropdown(options=list(versions), description="version", **_WIDE)
        self.radius = ipywidgets.FloatSlider(radius, min=0, max=1, step=0.05, description="radius", **_WIDE)
        self.samples = ipywidgets.IntSlider(samples, 1, max(500, samples), description="voters", **_WIDE)
        rows = ([self.index, self.version], [self.radius, self.samples])
        super().__init__(model, data, 1 + self._VOTERS, rows)
        self._refresh()

    def _refresh(self, change=None):
        i, radius = self.index.value, round(self.radius.value, 6)
        x, y = self._versions[self.version.value][i : i + 1].to(self._device), int(self._data.labels[i])
        with torch_threads(1):
            with evaluating(self._model):
                self.votes = RegionClassifier(self._model, radius, self.samples.value).votes(x)[0]
            voters = UniformNoise(nn.Identity(), radius)(x.expand(self._VOTERS, -1, -1, -1))
            answers = predict(self._model, torch.cat([x, voters]))
        for column, image in enumerate([x, *voters.split(1)]):
            answer = answers[column : column + 1]
            self._draw(column, image, f"voter {column}" if column else "the image", answer)
            plots.frame(self._axes[0, column], bool(answer.argmax() != y))
        self._say(self._sentence(y, answers[:1]))
        self._show()

    def _sentence(self, y, alone):
        order = self.votes.argsort(descending=True, stable=True).tolist()
        counts = ", ".join(f"{k}: {self.votes[k]}" for k in order if self.votes[k])
        right = "right" if order[0] == y else "wrong"
        return (
            f"The label is {y}. The model alone says {self._answer(alone)}. "
            f"The votes of {self.samples.value}: {counts}. The vote is {right}."
        )


def vote_explorer(
    model: nn.Module,
    versions: Mapping[str, Tensor],
    labels: Tensor,
    *,
    index: int = 0,
    radius: float = 0.3,
    samples: int = 100,
) -> VoteExplorer:
    """Choose an image, its version, the radius and the number of voters; see the votes, and four of the voters.

    Each change draws new voters: `defenses.RegionClassifier` without a seed. A frame marks images that the model misclassifies.

    Args:
        model: images (N, C, H, W) in [0, 1] to logits.
        versions: name -> images (N, C, H, W) in [0, 1], such as clean and attacked ones.
        labels: (N,), the same for all versions.
        index: the initial image (default 0).
        radius: the initial radius, half the side of the cube, in units of the pixel range [0, 1] (default 0.3).
        samples: the initial number of voters (default 100).

    Returns:
        a `VoteExplorer`, an ipywidget.

    Raises:
        InputError: there are no versions, or images do not fit the labels; or a value is out of range.
    """
    if not versions:
        raise InputError("versions: got none; allowed is at least one, name -> images")
    for name, images in versions.items():
        _check_data(SimpleNamespace(images=check_images(images, f"versions[{name!r}]"), labels=labels))
        check_labels(labels, images, "labels")
    check_range(index, "index", 0, len(labels) - 1, integer=True)
    check_range(radius, "radius", 0, 1)
    check_range(samples, "samples", 1, integer=True)
    return VoteExplorer(model, dict(versions), labels, index, radius, samples)


def _check_data(data):
    if not len(data.labels) or data.images.shape[1] not in (1, 3):
        given = tuple(data.images.shape)
        raise InputError(f"data: got images of shape {given}; allowed are 1 or more of 1 or 3 channels")
