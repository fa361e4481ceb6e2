"""The attack under audit: one of the library's, a function, or ready images; how it is run, and run with other settings."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from advcourse.attacks import EOT, Attack, Transfer, choose_target
from advcourse.core.inputs import InputError
from advcourse.core.randomness import seeded

Made = Attack | Callable[..., Tensor] | Tensor
NORMS = ("Linf", "L2")


@dataclass(frozen=True)
class Outcome:
    """What an attack made.

    images: (n, C, H, W). passes: forward and backward. success: (n,) bool by its own count, None if it has none. target: (n,)
    labels that it aimed at, None if untargeted.
    """

    images: Tensor
    passes: int
    success: Tensor | None = None
    target: Tensor | None = None


class Subject:
    """An attack, with what the audit may change about it.

    Args:
        attack: an `Attack`, a function (model, x, y) -> images, or images (N, C, H, W). The function's keyword parameters
            `eps`, `steps`, `restarts`, `alpha` and `seed`, if it has them, are settings that the audit varies.
        seed: of targets, and of what a function draws from torch's global generators.

    Raises:
        InputError: it is none of these.
    """

    def __init__(self, attack: Made, seed: int = 0):
        self.attack, self.seed = attack, seed
        if isinstance(attack, Attack):
            self.kind = "attack"
        elif isinstance(attack, Tensor):
            self.kind = "images"
        elif callable(attack) and not isinstance(attack, type | nn.Module):
            self.kind = "function"
        else:
            hint = "; make it an object: PGD(eps=0.3)" if isinstance(attack, type) else ""
            raise InputError(
                f"attack: got {attack!r}; allowed is an Attack, a function (model, x, y) -> images, or images of the shape of "
                f"x{hint}"
            )

    @property
    def text(self) -> str:
        """The attack as a line of text, without addresses."""
        if self.kind == "images":
            return f"ready images {tuple(self.attack.shape)}"
        if self.kind == "attack":
            return repr(self.attack)
        function = getattr(self.attack, "func", self.attack)
        name = getattr(function, "__name__", type(function).__name__)
        return f"{name}({', '.join(f'{key}={value!r}' for key, value in self.settings().items())})"

    @property
    def minimum_norm(self) -> bool:
        """True if it seeks the smallest change that succeeds."""
        return self.kind == "attack" and self.attack.kind == "minimum-norm"

    @property
    def targeted(self) -> bool:
        """True if it aims at a class."""
        return self.kind == "attack" and self.attack.targeted

    @property
    def replays(self) -> bool:
        """True if its images do not depend on the model: ready ones, or those made on a fixed other model."""
        source = getattr(self.attack, "source", None)
        return self.kind == "images" or isinstance(source, nn.Module)

    def seen(self, model: nn.Module) -> nn.Module:
        """Return what the attack differentiates, given the attacked model."""
        if not isinstance(self.attack, Transfer):
            return model
        source = self.attack.source
        return source if isinstance(source, nn.Module) else source(model)

    def averages(self, model: nn.Module) -> bool:
        """Return whether it attacks a mean over draws."""
        return any(isinstance(part, EOT) for part in self.seen(model).modules())

    def value(self, name: str) -> Any:
        """Return a setting; None if there is none of that name."""
        if self.kind == "attack":
            return getattr(_innermost(self.attack), name, None)
        return self.settings().get(name)

    def has(self, name: str) -> bool:
        """Return whether the attack has a setting of that name that can be changed."""
        if self.kind == "attack":
            return name in {part.name for part in fields(_innermost(self.attack))}
        return isinstance(self.settings().get(name), int | float)

    def varied(self, **changes: Any) -> "Subject":
        """Return the same attack with other settings, all of which it `has`."""
        if self.kind == "attack":
            return Subject(_replaced(self.attack, changes), self.seed)
        if isinstance(self.attack, _Bound):
            return Subject(_Bound(self.attack.function, self.attack.changes | changes), self.seed)
        return Subject(_Bound(self.attack, changes), self.seed)

    def run(self, model: nn.Module, x: Tensor, y: Tensor) -> Outcome:
        """Attack the images `x` (n, C, H, W) with labels `y` (n,).

        Raises:
            InputError: it returns something else than images of the shape of `x`.
        """
        if self.kind == "images":
            return Outcome(_shaped(self.attack, x), 0)
        if self.kind == "function":
            return self._called(model, x, y)
        target = None
        if self.attack.targeted and not self.attack.chooses_target:
            target = choose_target(model, x, y, "random", self.seed)
        result = self.attack.run(model, x, y, target)
        passes = result.forward_passes + result.backward_passes
        return Outcome(result.images, passes, result.success, result.target)

    def _called(self, model, x, y):
        seen = []
        handle = model.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
        modes = [(module, module.training) for module in model.modules()]
        try:
            with seeded(x.device, self.seed), torch.enable_grad():
                images = self.attack(model, x.detach().clone(), y.clone())
        finally:
            handle.remove()
            for module, training in modes:
                module.training = training
        return Outcome(_shaped(images, x), sum(seen))

    def settings(self) -> dict[str, Any]:
        """Return a function's settings: the parameters behind the first three, with their defaults."""
        if self.kind == "images":
            return {}
        if isinstance(self.attack, _Bound):
            return Subject(self.attack.function).settings() | self.attack.changes
        try:
            parameters = list(inspect.signature(self.attack).parameters.values())[3:]
        except (TypeError, ValueError):
            return {}
        return {one.name: one.default for one in parameters if one.default is not one.empty}


@dataclass(frozen=True)
class _Bound:
    """A function with some of its settings changed."""

    function: Callable[..., Tensor]
    changes: dict[str, Any]

    def __call__(self, model, x, y):
        return self.function(model, x, y, **self.changes)


def _shaped(images, x):
    if not isinstance(images, Tensor) or images.shape != x.shape or not images.is_floating_point():
        given = (
            f"a tensor of shape {tuple(images.shape)} and type {images.dtype}"
            if isinstance(images, Tensor)
            else type(images).__name__
        )
        raise InputError(
            f"attack: gave {given}; allowed are floating-point images of the shape of x, {tuple(x.shape)}"
        )
    return images.detach().to(x.device, x.dtype).clone()


def _innermost(attack):
    while isinstance(getattr(attack, "attack", None), Attack):
        attack = attack.attack
    return attack


def _replaced(attack, changes):
    if isinstance(getattr(attack, "attack", None), Attack):
        return replace(attack, attack=_replaced(attack.attack, changes))
    return replace(attack, **changes)
