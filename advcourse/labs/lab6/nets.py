"""The models of lab 6 as recipes, so that answers get copies: a net of features, and a model that reads an app."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from advcourse.data.apps.android import RESTRICTED
from advcourse.data.apps.manifest import parse_manifest
from advcourse.data.apps.program import parse_program
from advcourse.labs.victims import Victim

HIDDEN = 48


class TwoLogits(nn.Module):
    """Features (N, D) to logits (N, 2), benign and malicious; steep, so that each addition turns the others' slopes."""

    def __init__(self, features: int, seed: int, shift: float, loud: float):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.hidden = nn.utils.skip_init(nn.Linear, features, HIDDEN)
        self.out = nn.utils.skip_init(nn.Linear, HIDDEN, 2)
        self.still = nn.Dropout(0.5)
        with torch.no_grad():
            for layer, spread in ((self.hidden, 8 / features**0.5), (self.out, loud * HIDDEN**-0.5)):
                layer.weight.copy_(spread * torch.randn(layer.weight.shape, generator=generator))
            self.hidden.bias.copy_(torch.randn(HIDDEN, generator=generator))
            self.out.bias.copy_(torch.tensor([0.0, loud * shift]))

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.still(self.hidden(x).tanh()))


@dataclass(frozen=True)
class AppNet(Victim):
    """A recipe for a net of `features`; `shift` is added to the logit of malicious, and all logits are `loud` times as large."""

    features: int = 80
    shift: float = 0.0
    loud: float = 1.0

    def build(self, dtype: torch.dtype = torch.float32, device: str | torch.device = "cpu") -> nn.Module:
        net = TwoLogits(self.features, self.seed, self.shift, self.loud).to(device=device, dtype=dtype)
        return net.train(self.training)


@dataclass(frozen=True)
class LevelNet(AppNet):
    """The same without biases: an app that has no features gets the logits 0 and 0, to the last bit."""

    def build(self, dtype: torch.dtype = torch.float32, device: str | torch.device = "cpu") -> nn.Module:
        net = super().build(dtype, device)
        with torch.no_grad():
            net.hidden.bias.zero_()
            net.out.bias.zero_()
        return net


@dataclass(frozen=True)
class Reader(Victim):
    """A recipe for a model that reads an app itself: called with a manifest and a program, it returns the suspicion, a float.

    It is above 0 for an alarm. `weights`: rows (feature, number), which are summed over the features that the app has, as is
    each of `pairs`, rows (feature, feature, number), for an app that has both; `start` is added.
    """

    weights: tuple[tuple[str, float], ...] = ()
    pairs: tuple[tuple[str, str, float], ...] = ()
    start: float = 0.0

    def build(
        self, dtype: torch.dtype = torch.float32, device: str | torch.device = "cpu"
    ) -> Callable[[str, str], float]:
        weights = dict(self.weights)

        def suspicion(manifest: str, program: str) -> float:
            seen = _seen(manifest, program)
            alone = sum(weight for name, weight in weights.items() if name in seen)
            return self.start + alone + sum(w for one, two, w in self.pairs if one in seen and two in seen)

        return suspicion


def _seen(manifest, program):
    """What the model reads: the names in the manifest, and the permissions that are requested and used."""
    app = parse_manifest(manifest)
    seen = {f"feature::{name}" for name, _ in app.hardware} | {f"permission::{p}" for p in app.permissions}
    for part in app.components:
        seen.add(f"{part.kind.removesuffix('-alias')}::{part.name}")
        seen |= {f"intent::{name}" for pair in part.filters for names in pair for name in names}
    used = {RESTRICTED[call.api] for call in parse_program(program).calls() if call.api in RESTRICTED}
    return seen | {f"real_permission::{name}" for name in used & set(app.permissions)}
