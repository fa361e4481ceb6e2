"""Attacks made of attacks: crafted on another model, or aimed at one wrong class after the other."""

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
    """An attack that another one, `attack`, does the work for: kind, norm, size and seed are that one's."""

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
    def universal(self) -> bool:
        return self.attack.universal

    @property
    def seed(self) -> int:
        return self.attack.seed

    @property
    def threat_model(self) -> ThreatModel:
        return self.attack.threat_model

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, target: Tensor | None = None) -> Tensor:
        return self.run(model, x, y, target).images

    def size(self, result: AttackResult) -> Tensor:
        return self.attack.size(result)


@dataclass(frozen=True)
class Transfer(_Composed):
    """Craft on another model, and carry the images over: what counts is what the attacked model makes of them.

    Papernot, McDaniel and Goodfellow 2016, "Transferability in Machine Learning" (arXiv 1605.07277). The other model is what the
    attacker has: a net of their own, a substitute that was trained on the model's answers, the model behind a defense that they
    know nothing of, or the defense with the gradient that it lacks. So an adaptive attack is a `Transfer`, too, from `BPDA` or
    `EOT` of the defense to the defense as it is deployed.

    Args:
        attack: any attack. The threat model is its own.
        source: the model that it is crafted on, or a function that makes it of the attacked model. Where it is on another device
            than the images it is copied.

    The record counts the passes through `source`; its success, logits and predictions are the attacked model's. A minimum-norm
    attack ends at the boundary of `source`, which carries over badly: give it a confidence.

    Example:
        >>> Transfer(PGD(0.3), models.load("mnist-cnn")).run(model, x, y).success_rate
        >>> Transfer(PGD(0.3), partial(EOT, draws=30)).run(RandomTransformation(model), x, y)

    Raises:
        InputError: a source that is neither, or whose function returns no module.
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
        """Attack `source`, and return the record as seen by `model`: see `AttackResult`."""
        check_model(model, check_images(x))
        with called("source"):
            result = self.attack.run(on_device(self._source_of(model), x.device), x, y, target, first)
        with seeded(x.device, self.seed):
            logits = predict(model, result.images) if len(x) else result.logits
        told = {"abstains": getattr(model, "abstains", False), "model": identity(model, quiet=True)}
        return replace(result, attack=self, logits=logits, **told)

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
    """An untargeted attack: a targeted one at each of the classes that the model finds likeliest beside `y`.

    Of all that succeed the nearest is kept, and else what brought the true label's margin lowest. It is the "best case" of
    Carlini and Wagner 2017, "Towards Evaluating the Robustness of Neural Networks" (arXiv 1608.04644), over the likeliest
    targets, and the multi-targeted attack of Gowal et al. 2019, "An Alternative Surrogate Loss for PGD-based Adversarial
    Testing" (arXiv 1910.09338).

    On a model that abstains, `abstains = True`, such as `defenses.Guarded(detector)`, the class "flagged", its last, is never a
    target, and to be flagged no success. That is the detector-aware attack of Carlini and Wagner 2017, "Adversarial
    Examples Are Not Easily Detected" (arXiv 1705.07263), with `CWL2(targeted=True)` for theirs: it moves an image over to another
    class and out of the detector's sight at once.

    Args:
        attack: with `targeted=True`.
        targets: classes that are tried, from 1 (default 3); all others for a larger number.

    The record's passes and seconds are those of all runs together, `steps` their sum.

    Example:
        >>> EachTarget(PGD(0.3, targeted=True)).run(Guarded(detector), x, y).success_rate

    Raises:
        InputError: an attack that is untargeted or chooses its own target.
    """

    targets: int = number(3, low=1)

    def __post_init__(self):
        super().__post_init__()
        if not self.attack.targeted or self.attack.chooses_target:
            raise InputError(f"attack: got {self.attack}; allowed is one that takes a target, targeted=True")

    @property
    def threat_model(self) -> ThreatModel:
        inner = self.attack.threat_model
        return ThreatModel(
            inner.norm, inner.eps, inner.aim.replace("targeted", "untargeted"), inner.universal
        )

    def run(
        self, model: nn.Module, x: Tensor, y: Tensor, target: Tensor | None = None, first: int = 0
    ) -> AttackResult:
        """Attack at each target, and return the record of the best of each image: see `AttackResult`."""
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
        """The likeliest wrong classes: as many tensors (N,) as there are targets."""
        logits = predict(model, x)
        if getattr(model, "abstains", False):
            logits = logits[:, :-1]
        check_classes(y, logits.shape[1])
        others = logits.scatter(1, y[:, None], -torch.inf)
        return others.topk(min(self.targets, others.shape[1] - 1), dim=1).indices.unbind(1)


def _better(one: AttackResult, other: AttackResult) -> AttackResult:
    """The better of two records for each image; steps, passes and seconds are those of both."""
    nearer = other.size < one.size if len(one.images) else one.success
    lower = _lead(other) < _lead(one)
    take = torch.where(one.success == other.success, torch.where(one.success, nearer, lower), other.success)

    def merged(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(take.view(-1, *[1] * (a.dim() - 1)), b, a)

    return replace(
        one,
        images=merged(one.images, other.images),
        logits=merged(one.logits, other.logits),
        steps=one.steps + other.steps,
        forward_passes=one.forward_passes + other.forward_passes,
        backward_passes=one.backward_passes + other.backward_passes,
        seconds=one.seconds + other.seconds,
        details={name: merged(value, other.details[name]) for name, value in one.details.items()},
    )


def _lead(result):
    """The true label's lead (N,) over the best wrong class; where the model abstains that counts as no wrong class."""
    logits = result.logits[:, :-1] if result.abstains else result.logits
    return margin(logits, result.labels)
