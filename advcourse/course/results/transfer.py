"""What is measured on all held-out images when one network reads what was made on others."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

from advcourse import data, models
from advcourse.core.inputs import InputError, check_range, predict
from advcourse.course.results.measured import Rate
from advcourse.course.results.sources import code_of


@dataclass(frozen=True, kw_only=True)
class Transfer(Rate):
    """The share of the images that `model` misreads after an attack on other networks, which it takes no part in.

    Args:
        made_on: the shipped networks that are attacked, through the mean of their logits.
        read_by: the shipped networks all of which read an image rightly, or it does not count (default: `made_on` and `model`).
    """

    made_on: tuple[str, ...]
    read_by: tuple[str, ...] = ()

    def __post_init__(self):
        super().__post_init__()
        if not self.made_on:
            raise InputError("made_on: got no network; allowed is one or more")

    @property
    def _readers(self):
        return self.read_by or (*self.made_on, self.model)

    def subjects(self, n: int | None = None) -> tuple[nn.Module, Tensor, Tensor]:
        """Return `model`, and the first n images (n, C, H, W) and labels (n,) that all networks read rightly (default: all)."""
        x, y = _agreed(self._readers, self.images)
        n = len(x) if n is None else check_range(n, "n", 1, len(x), integer=True)
        return models.load(self.model), x[:n].clone(), y[:n].clone()

    def measure(self, n: int | None = None) -> Tensor:
        """Return whether `model` misreads each of the first n images, (n,) bool, or reads the target if these are counted."""
        model, x, y = self.subjects(n)
        images, target = _made(self.attack, self.made_on, self._readers, self.images, len(x))
        read = predict(model, images).argmax(1)
        return read == target if self.counted == "targets" else read != y

    def identity(self) -> dict[str, str]:
        """Return the short keys of what decides the numbers, those of the attacked networks included."""
        own = super().identity()
        others = [
            Rate(name=name, attack=self.attack, model=name, images=self.images).identity()
            for name in (*self.made_on, *self.read_by)
        ]
        codes = sorted({key["code"] for key in (own, *others)})
        return own | {
            "code": "-".join([*codes, code_of([], alone=[__name__])[:16]]),
            "weights": "-".join(key["weights"] for key in (own, *others)),
        }


class MeanLogits(nn.Module):
    """Several networks as one, images (N, C, H, W) to the mean of their logits (N, K).

    Source: Dong et al. 2018, "Boosting Adversarial Attacks with Momentum", section 3.4, equation 8 with equal weights.
    """

    def __init__(self, networks: list[nn.Module]):
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([network(x) for network in self.networks]).mean(0)


@lru_cache(maxsize=8)
def _agreed(readers, images):
    """The held-out images (N, C, H, W) that all of the networks read rightly, and their labels (N,)."""
    held_out = data.load(images)
    answers = [predict(models.load(reader), held_out.images).argmax(1) for reader in readers]
    right = torch.stack([answer == held_out.labels for answer in answers]).all(0)
    return held_out.images[right], held_out.labels[right]


@lru_cache(maxsize=1)  # the networks that read them come one after the other
def _made(attack, made_on, readers, images, n):
    """The first n of the images attacked on some networks together, and their targets (None for an untargeted attack)."""
    x, y = (part[:n] for part in _agreed(readers, images))
    run = attack.run(MeanLogits([models.load(name) for name in made_on]), x, y)
    return run.images, run.target
