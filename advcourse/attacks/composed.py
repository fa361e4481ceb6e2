"""Attacks built from other attacks: run on another model and transferred, or run once for each of several target classes."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from advcourse.attacks.base import Attack, AttackResult
from advcourse.attacks.hyperparameters import number
from advcourse.attacks.threat import ThreatModel
from advcourse.core.errors import called
from advcourse.core.identity import identity
from advcourse.core.inputs import (
    InputError,
    check_classes,
    check_images,
    check_labels,
    check_model,
    on_device,
    predict,
)
from advcourse.core.randomness import seeded
from advcourse.metrics import margin
from advcourse.training.checkpoints import describe


@dataclass(frozen=True)
class _Composed(Attack):
    """Base class for attacks that wrap another attack, `attack`, and inherit its kind, norm, size and seed."""

    attack: Attack

    def __post_init__(self):
        if not isinstance(self.attack, Attack):
            raise InputError(f"attack: got {self.attack!r}; allowed is an attack")
        super().__post_init__()

    @property
    def kind(self) -> str:
        return self.attack.kind

    @property
    def norm(self) -> str:
        return self.attack.norm

    @property
    def channel(self) -> str:
        return self.attack.channel

    @property
    def universal(self) -> bool:
        return self.attack.universal

    @property
    def black_box(self) -> bool:
        return self.attack.black_box

    @property
    def seed(self) -> int:
        return self.attack.seed

    @property
    def threat_model(self) -> ThreatModel:
        return self.attack.threat_model

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, target: Tensor | None = None) -> Tensor:
        """Attack the images `x` (N, C, H, W) and return the adversarial images. Arguments as for `run`."""
        return self.run(model, x, y, target).images

    def size(self, result: AttackResult) -> Tensor:
        return self.attack.size(result)

    def as_read(self, images: Tensor, first: int = 0) -> Tensor:
        return self.attack.as_read(images, first)


@dataclass(frozen=True)
class Transfer(_Composed):
    """Run an attack on another model, and measure success on the attacked model.

    Paper: Papernot, McDaniel and Goodfellow 2016, "Transferability in Machine Learning" (arXiv 1605.07277). The other model,
    `source`, is whatever the attacker has: a network of their own, a substitute trained on the model's answers, the model
    behind a defense that they know nothing about, or the defense with its missing gradient replaced. So an adaptive attack is
    a `Transfer`, too: from the defense with `BPDA` or `EOT` to the defense as it is deployed.

    The record counts the passes through `source`; its logits, predictions and success are those of the attacked model. A
    minimum-norm attack ends at the decision boundary of `source`, and such images rarely fool another model, so give it a
    confidence.

    Args:
        attack: any attack; the threat model is the same.
        source: the model that the images are made on, or a function that returns it, given the attacked model. A source on
            another device than the images is copied.

    Raises:
        InputError: `source` is neither a module nor a function, or its function does not return a module.

    Example:
        >>> Transfer(PGD(0.3), models.load("mnist-cnn")).run(model, x, y).success_rate
        >>> Transfer(PGD(0.3), partial(EOT, draws=30)).run(RandomTransformation(model), x, y)
    """

    source: nn.Module | Callable[[nn.Module], nn.Module]

    def __post_init__(self):
        super().__post_init__()
        if not callable(self.source):
            raise InputError(
                f"source: got {self.source!r}; allowed is a torch.nn.Module, or a function that returns one"
            )

    @property
    def targeted(self) -> bool:
        return self.attack.targeted

    @property
    def chooses_target(self) -> bool:
        return self.attack.chooses_target

    def run(
        self, model: nn.Module, x: Tensor, y: Tensor, target: Tensor | None = None, first: int = 0
    ) -> AttackResult:
        """Attack `source` and return the record, with the answers of `model` to the images. Arguments as for `Attack.run`."""
        check_model(model, check_images(x))
        with called("source"):
            result = self.attack.run(on_device(self._source_of(model), x.device), x, y, target, first)
        with seeded(x.device, self.seed):
            logits = predict(model, self.as_read(result.images, first)) if len(x) else result.logits
        fields = {"abstains": getattr(model, "abstains", False), "model": identity(model, quiet=True)}
        return replace(result, attack=self, logits=logits, **fields)

    def _source_of(self, model):
        if isinstance(self.source, nn.Module):
            return self.source
        source = self.source(model)
        if not isinstance(source, nn.Module):
            raise InputError(
                f"source: returned {type(source).__name__}; allowed is a function that returns a torch.nn.Module"
            )
        return source

    def __repr__(self):
        source = describe(self.source)
        if isinstance(self.source, nn.Module):
            source = f"{type(self.source).__name__} {identity(self.source)[:12]}"
        return f"Transfer(attack={self.attack!r}, source={source})"


@dataclass(frozen=True)
class EachTarget(_Composed):
    """Untargeted attack that runs a targeted one towards each of the likeliest wrong classes and keeps the best result.

    For each image, the nearest successful result is kept; if none succeeds, the one with the lowest margin of the true label.

    Papers: this is the "best case" of Carlini and Wagner 2017, "Towards Evaluating the Robustness of Neural Networks" (arXiv
    1608.04644), restricted to the likeliest targets, and the multi-targeted attack of Gowal et al. 2019, "An Alternative
    Surrogate Loss for PGD-based Adversarial Testing" (arXiv 1910.09338).

    If the model abstains (`abstains = True`), like `defenses.Guarded(detector)`, its last class means "flagged": it is never a
    target, and an image that gets this class is no success. With `CWL2(targeted=True)` this is the detector-aware attack of
    Carlini and Wagner 2017, "Adversarial Examples Are Not Easily Detected" (arXiv 1705.07263): it changes the class and evades
    the detector at the same time.

    In the record, `steps`, passes and seconds are the sums over all runs.

    Args:
        attack: an attack with `targeted=True` that takes its target from the caller.
        targets: how many of the likeliest wrong classes are tried, at least 1 (default 3); a larger number than there are
            tries them all.

    Raises:
        InputError: `attack` is untargeted or chooses its own target.

    Example:
        >>> EachTarget(PGD(0.3, targeted=True)).run(Guarded(detector), x, y).success_rate
    """

    targets: int = number(3, low=1)

    def __post_init__(self):
        super().__post_init__()
        if not self.attack.targeted or self.attack.chooses_target:
            raise InputError(
                f"attack: got {self.attack}; allowed is an attack that takes a target, with targeted=True"
            )

    @property
    def threat_model(self) -> ThreatModel:
        inner = self.attack.threat_model
        return replace(inner, aim=inner.aim.replace("targeted", "untargeted"))

    def run(
        self, model: nn.Module, x: Tensor, y: Tensor, target: Tensor | None = None, first: int = 0
    ) -> AttackResult:
        """Attack towards each target, and return an `AttackResult` of the best result for each image.

        Arguments as for `Attack.run`, but `target` must be None.

        Raises:
            InputError: `target` is given, or model, images or labels break their contract.
        """
        if target is not None:
            raise InputError("target: got labels; EachTarget chooses its own targets; allowed is None")
        check_model(model, check_images(x))
        y = check_labels(y, x)
        with seeded(x.device, self.seed):
            ranked = self._ranked(model, x, y)
        runs = [self.attack.run(model, x, y, goal, first) for goal in ranked]
        best = replace(runs[0], attack=self, target=None)
        for run in runs[1:]:
            best = _better(best, replace(run, attack=self, target=None))
        return best

    def _ranked(self, model, x, y):
        """Return the likeliest wrong classes, the likeliest first: a tensor (N,) for each target."""
        logits = predict(model, x)
        if getattr(model, "abstains", False):
            logits = logits[:, :-1]
        check_classes(y, logits.shape[1])
        others = logits.scatter(1, y[:, None], -torch.inf)
        return others.topk(min(self.targets, others.shape[1] - 1), dim=1).indices.unbind(1)


def _better(first: AttackResult, second: AttackResult) -> AttackResult:
    """Return the better of two records for each image; steps, passes and seconds are summed."""
    nearer = second.size < first.size if len(first.images) else first.success
    lower = _lead(second) < _lead(first)
    take = torch.where(
        first.success == second.success, torch.where(first.success, nearer, lower), second.success
    )

    def merged(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(take.view(-1, *[1] * (a.dim() - 1)), b, a)

    return replace(
        first,
        images=merged(first.images, second.images),
        logits=merged(first.logits, second.logits),
        steps=first.steps + second.steps,
        forward_passes=first.forward_passes + second.forward_passes,
        backward_passes=first.backward_passes + second.backward_passes,
        seconds=first.seconds + second.seconds,
        details={name: merged(value, second.details[name]) for name, value in first.details.items()},
    )


def _lead(result):
    """Return the true label's lead (N,) over the best wrong class, where "flagged" does not count as a wrong class."""
    logits = result.logits[:, :-1] if result.abstains else result.logits
    return margin(logits, result.labels)
