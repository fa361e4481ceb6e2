"""The measurements of one attack on one model: a number for each image, so that any average can be computed later."""

from dataclasses import dataclass, field

import numpy as np
import torch

from advcourse.attacks import ThreatModel
from advcourse.metrics import Efficiency


def as_array(values: torch.Tensor) -> np.ndarray:
    """Return a tensor's values as a numpy array. numpy has no bfloat16, so these values become float32, without any loss."""
    values = values.detach().cpu()
    return (values.float() if values.dtype == torch.bfloat16 else values).numpy()


@dataclass(frozen=True)
class Names:
    """The names of a cell in tables. `variant` tells budgets of one attack apart, such as "eps 0.1", and may be empty."""

    attack: str
    model: str
    data: str
    variant: str = ""

    @property
    def full_attack(self) -> str:
        """The name of the attack, with its variant."""
        return f"{self.attack}, {self.variant}" if self.variant else self.attack


@dataclass(frozen=True)
class Record:
    """The measurements of one attack on one model, for the N of the `picked` images that the model classifies correctly.

    Attributes:
        names: the names of the cell.
        attack: the attack's `repr`.
        kind, threat_model: as for `attacks.Attack`.
        identity: everything that determines the numbers, see `cells.determinants`.
        picked: number of images that were drawn from the data set.
        efficiency: the costs for one attacked image.
        clean: transformation -> the model's accuracy on the picked images after it.
        values: arrays by name, with a row for each attacked image: "index", its index among the picked images; "label";
            "target", -1 if untargeted; "prediction" under attack; "success", whether the attack succeeded; "wrong", whether
            any wrong label was reached; "size" in the attack's own norm; "L0" in pixels, "L1", "L2" and "Linf" of the change;
            "SSIM" and "PSD", NaN for images of height 1, which are no pictures; "wrong confidence", that of the prediction;
            "true confidence"; "noise tolerance"; "steps"; and for each transformation T "success T" and "wrong T", which are
            "success" and "wrong" after T.
        pictures: the first k images, "clean" and "attacked", (k, C, H, W) each.
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
        """The identity of the attacked model, see `advcourse.core.identity`."""
        return self.identity["model"]

    @property
    def success(self) -> np.ndarray:
        """Whether the attack on each image succeeded, (N,) bool."""
        return self.values["success"]

    @property
    def size(self) -> np.ndarray:
        """Size of each change in the attack's own norm, (N,)."""
        return self.values["size"]

    @property
    def distances(self) -> dict[str, np.ndarray]:
        """L0 (in pixels), L1, L2 and L-infinity of each change: a dictionary of arrays (N,)."""
        return {name: self.values[name] for name in ("L0", "L1", "L2", "Linf")}

    @property
    def success_rate(self) -> float:
        """Share of the N attacked images on which the attack succeeded; NaN for N = 0."""
        return self.success.mean() if len(self) else float("nan")

    @property
    def clean_accuracy(self) -> float:
        """Share of the picked images that the model classifies correctly without an attack; NaN if there are none."""
        return len(self) / self.picked if self.picked else float("nan")

    @property
    def transformations(self) -> tuple[str, ...]:
        """The names of the transformations that were applied."""
        return tuple(self.clean)
