"""What an audit says: a light for each check, with its reason, numbers, witnesses and remedy."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from advcourse.core.inputs import InputError
from advcourse.core.intervals import Interval, counted

Light = Literal["grey", "green", "amber", "red"]
LIGHTS: tuple[Light, ...] = ("grey", "green", "amber", "red")  # from the mildest to the worst
# The number of each check -> its title. They are those of Carlini et al. 2019, after the contract and the budget.
CHECKS = {
    "0": "The contract is kept",
    "budget": "The budget is used",
    "1": "One step is no stronger than many",
    "2": "A larger budget fools no fewer images",
    "3": "A huge budget fools all",
    "4": "What sees no gradient is no stronger",
    "5": "Random noise is no stronger",
    "6": "More effort changes nothing",
    "7": "The worst case is taken image by image",
    "8": "The clean images are read",
    "9": "Targeted and untargeted are told apart",
    "10": "Randomness is averaged out",
    "11": "A straight gradient is no stronger",
    "12": "The attack breaks an undefended model",
    "13": "The attack breaks saturated logits",
    "14": "Another loss or step size is no stronger",
    "15": "Sizes are small enough to matter",
    "16": "Other changes are looked at",
    "17": "The gradient leads uphill",
    "18": "Everything is stated",
}


@dataclass(frozen=True)
class Witness:
    """An image that shows what a finding says.

    Attributes:
        index: its place in the audited batch.
        label, answer: the true class and the model's answer to `image`.
        size: of the change, in the audit's norm.
        clean, image: (C, H, W), before and after.
    """

    index: int
    label: int
    answer: int
    size: float
    clean: Tensor = field(repr=False)
    image: Tensor = field(repr=False)


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Attributes:
        check: a key of `CHECKS`.
        light: "green", "amber" or "red"; "grey" if the check does not apply, and `sentence` then says why.
        sentence: what was found.
        tried: the `repr` of each attack or change that was tried.
        numbers: name -> number.
        witnesses: at most three images that show it.
        remedy: a line of Python to run before the next audit; None if nothing is to be done. The names `model`, `x`, `y`,
            `attack`, `eps` and `straight` are the arguments of the audit, and `audited` is its result. All others come from
            `advcourse.attacks`, `advcourse.evaluation`, `dataclasses`, `functools`, `torch` and `torchvision`.
        passes: how many times an image went through a model in what was tried, forward and backward.
    """

    check: str
    light: Light
    sentence: str
    tried: tuple[str, ...] = ()
    numbers: Mapping[str, float] = field(default_factory=dict)
    witnesses: tuple[Witness, ...] = ()
    remedy: str | None = None
    passes: int = 0

    def __post_init__(self):
        object.__setattr__(self, "sentence", re.sub(r"\b1 images\b", "1 image", self.sentence))

    @property
    def title(self) -> str:
        """What the check asks for, in words."""
        return CHECKS[self.check]


@dataclass(frozen=True)
class Findings:
    """All findings of an audit, and what they rest on.

    Attributes:
        findings: one for each check, in the order of `CHECKS`.
        attack: the audited attack, as text.
        norm, eps: the ball.
        clean: (N,) bool, which images the model reads rightly without an attack.
        claimed: (N,) bool, which of these the audited attack leaves.
        minimum: (N,) bool, which of these are left by everything that was tried within the budget, image by image.
        images: (N, C, H, W), for each image one within the budget that fools the model; the clean image where nothing did.
        labels: (N,), the true labels.
        profile: "quick" or "full".
        stated: what determines the numbers, as text: model, data, seed, device, versions.
    """

    findings: tuple[Finding, ...]
    attack: str
    norm: str
    eps: float
    clean: Tensor
    claimed: Tensor
    minimum: Tensor
    images: Tensor
    labels: Tensor
    profile: str
    stated: Mapping[str, str]

    def __getitem__(self, check: str | int) -> Finding:
        """The finding of a check: its number, or "budget"."""
        for finding in self.findings:
            if finding.check == str(check):
                return finding
        raise InputError(f"check: got {check!r}; allowed are {', '.join(CHECKS)}")

    @property
    def light(self) -> Light:
        """The worst light of all findings."""
        return max((finding.light for finding in self.findings), key=LIGHTS.index)

    @property
    def clean_accuracy(self) -> Interval:
        """The share of the N images that are read rightly without an attack."""
        return counted(int(self.clean.sum()), len(self.clean))

    @property
    def claimed_accuracy(self) -> Interval:
        """The share of the N images that are read rightly after the audited attack."""
        return counted(int(self.claimed.sum()), len(self.claimed))

    @property
    def robust_accuracy(self) -> Interval:
        """The share of the N images that are read rightly after all that was tried."""
        return counted(int(self.minimum.sum()), len(self.minimum))

    @property
    def passes(self) -> int:
        """How many times an image went through a model in all checks."""
        return sum(finding.passes for finding in self.findings)


def light_of(fallen: int, n: int) -> Light:
    """Return the light for a robust accuracy that falls by `fallen` of `n` images.

    Amber means more than one image and more than 0.5 points, red more than two images and more than 2 points. One image alone
    shows nothing: a right attack of forty steps leaves one or two of forty digits that other attacks find.
    """
    points = 100 * fallen / n if n else 0
    if fallen > 2 and points > 2:
        return "red"
    return "amber" if fallen > 1 and points > 0.5 else "green"
