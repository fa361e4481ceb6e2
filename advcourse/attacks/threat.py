"""Threat models: what an attacker may change and what counts as success. Only attacks with the same one can be ranked."""

from dataclasses import dataclass

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
    """

    norm: str
    eps: float | None
    aim: str
    universal: bool = False

    @property
    def name(self) -> str:
        """The threat model in words, such as "L∞ ≤ 0.3, untargeted" or "least L2, targeted"."""
        norm = _NORMS.get(self.norm, self.norm)
        size = f"least {norm}" if self.eps is None else f"{norm} ≤ {self.eps:g}"
        size += " of all values" if self.norm == "L0" and self.eps is not None else ""
        return f"{size}, {self.aim}{', one change for all' if self.universal else ''}"

    def __str__(self):
        return self.name
