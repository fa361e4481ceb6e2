"""Threat models: what an attacker may change and what counts as success. Only attacks with the same one can be ranked."""

from dataclasses import dataclass
from typing import Literal

_NORMS = {"Linf": "L∞", "EN": "elastic net"}


@dataclass(frozen=True)
class ThreatModel:
    """What an attacker may change, and what counts as success.

    Args:
        norm: "L0", "L1", "L2", "Linf", "EN" (EAD's sum of L1 and squared L2) or "flow" (stAdv's flow loss).
        eps: the budget in that norm (for JSMA the share of the values); None if the attack seeks the smallest change that
            succeeds.
        aim: what counts as success: "untargeted", "targeted" (towards the caller's labels) or "least likely class", and any
            further condition, such as a margin in logits.
        universal: True if one change is used for all images (default False).
        channel: "digital" (default) if the model is handed the very pixels that the attack made; "physical" if it is handed
            photographs of them, on which success is judged.
    """

    norm: str
    eps: float | None
    aim: str
    universal: bool = False
    channel: Literal["digital", "physical"] = "digital"

    @property
    def name(self) -> str:
        """The threat model in words, such as "L∞ ≤ 0.3, untargeted" or "L∞ ≤ 0.06, untargeted, physical"."""
        norm = _NORMS.get(self.norm, self.norm)
        size = f"least {norm}" if self.eps is None else f"{norm} ≤ {self.eps:g}"
        size += " of all values" if self.norm == "L0" and self.eps is not None else ""
        more = [", one change for all"] * self.universal + [", physical"] * (self.channel == "physical")
        return "".join([f"{size}, {self.aim}", *more])

    def __str__(self):
        return self.name
