"""What was measured of one attack on one model: a number for each image, so that every average can still be chosen."""

from dataclasses import dataclass, field

import numpy as np
import torch

from advcourse.attacks import ThreatModel
from advcourse.metrics import Efficiency


def as_array(values: torch.Tensor) -> np.ndarray:
    """A tensor's values for numpy, which has no bfloat16: those become float32, exactly."""
    values = values.detach().cpu()
    return (values.float() if values.dtype == torch.bfloat16 else values).numpy()


@dataclass(frozen=True)
class Names:
    """What a cell is called in tables. `variant` tells budgets of one attack apart: "eps 0.1"; it may be empty."""

    attack: str
    model: str
    data: str
    variant: str = ""

    @property
    def full_attack(self) -> str:
        """The attack with its variant."""
        return f"{self.attack}, {self.variant}" if self.variant else self.attack


@dataclass(frozen=True)
class Record:
    """One attack on one model, on the images that the model reads correctly: N of the `picked` ones.

    names: what it is called. attack: its `repr`. kind, threat_model: see `attacks.Attack`. identity: all that determines the
    numbers, see `cells.determinants`. efficiency: per attacked image. clean: transformation -> the model's accuracy on the
    picked images after it.

    values: arrays by name, with a row for each attacked image:
        "index" its place among the picked; "label"; "target", -1 if untargeted; "prediction" under attack; "success" what the
        attack wanted; "wrong" any wrong label; "size" in the attack's own norm; "L0" pixels, "L1", "L2", "Linf" of the change;
        "SSIM"; "PSD"; "wrong confidence", of the prediction; "true confidence"; "noise tolerance"; "steps"; and for each
        transformation T "success T", the attack does what it wanted after T, and "wrong T", any wrong label after T.
    pictures: "clean" and "attacked", the first images (k, C, H, W).
    """

    names: Names
    attack: str
    kind: str
    threat_model: ThreatModel
    identity: dict
    picked: int
    efficiency: Efficiency
    clean: dict[str, float]
    values: dict[str, np.ndarray]
    pictures: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self):
        return len(self.values["index"])

    @property
    def model(self) -> str:
        """The identity of the attacked model: see `advcourse.core.identity`."""
        return self.identity["model"]

    @property
    def success(self) -> np.ndarray:
        """Which attacks did what they wanted, (N,) bool."""
        return self.values["success"]

    @property
    def size(self) -> np.ndarray:
        """Size of each change in the attack's own norm, (N,)."""
        return self.values["size"]

    @property
    def distances(self) -> dict[str, np.ndarray]:
        """L0 (pixels), L1, L2 and Linf of each change: a dictionary of arrays (N,)."""
        return {name: self.values[name] for name in ("L0", "L1", "L2", "Linf")}

    @property
    def success_rate(self) -> float:
        """Share of the N attacked images for which the attack did what it wanted; NaN for N = 0."""
        return self.success.mean() if len(self) else float("nan")

    @property
    def clean_accuracy(self) -> float:
        """Share of the picked images that the model reads correctly when nobody attacks."""
        return len(self) / self.picked if self.picked else float("nan")

    @property
    def transformations(self) -> tuple[str, ...]:
        """The names of the transformations that were applied."""
        return tuple(self.clean)
