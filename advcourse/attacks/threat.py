"""What an attacker may do and what he wants: two attacks can be ranked only where these are the same."""

from dataclasses import dataclass

_NORMS = {"Linf": "L∞", "EN": "elastic net"}


@dataclass(frozen=True)
class ThreatModel:
    """The terms of an attack.

    norm: "L0", "L1", "L2", "Linf", "EN" (EAD's sum of L1 and L2 squared) or "flow" (stAdv's, of displaced pixels).
    eps: the budget in that norm (for JSMA the share of the values); None for the smallest change that succeeds.
    aim: what counts as success: "untargeted", "targeted" (the caller's labels), "least likely class"; more where the attack
        asks for more, such as a lead in logits.
    universal: one change for all images.
    """

    norm: str
    eps: float | None
    aim: str
    universal: bool = False

    @property
    def name(self) -> str:
        """In words: "L∞ ≤ 0.3, untargeted"; "least L2, targeted"."""
        norm = _NORMS.get(self.norm, self.norm)
        size = f"least {norm}" if self.eps is None else f"{norm} ≤ {self.eps:g}"
        size += " of all values" if self.norm == "L0" and self.eps is not None else ""
        return f"{size}, {self.aim}{', one change for all' if self.universal else ''}"

    def __str__(self):
        return self.name
